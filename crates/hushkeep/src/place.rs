//! Where a repository is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use hushkeep_repo::Storage;
use hushkeep_storage::{CachedStorage, InvalidLocation, Location, OpenError, RetryPolicy, RetryStorage, SystemClock};

use crate::folder_cache::FolderCache;

/// Where a repository is, or shall be, as its owner wrote it.
#[derive(Debug, Clone)]
pub struct Place {
    text: String,
    location: Location,
}

impl Place {
    /// The folder that the repository is in, as an absolute path, if it is in one.
    pub fn folder(&self) -> Option<PathBuf> {
        let Location::Folder(path) = &self.location;
        Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
    }

    /// Opens the storage, which must exist, with what this device keeps of it.
    pub(crate) fn open(&self, cache: Option<FolderCache>) -> Result<Arc<dyn Storage>, OpenError> {
        Ok(cached(patient(hushkeep_storage::open(&self.text)?), cache))
    }

    /// Opens the storage, and makes it if there is none.
    pub(crate) fn create(&self, cache: Option<FolderCache>) -> Result<Arc<dyn Storage>, OpenError> {
        Ok(cached(patient(hushkeep_storage::create(&self.text)?), cache))
    }

    /// Every name this place is remembered under: its path as it is written, and without symbolic links. The
    /// second may not be known while a disk is not mounted.
    pub(crate) fn names(&self) -> Vec<String> {
        let Location::Folder(path) = &self.location;
        let written = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let resolved = resolve(&written);
        let mut names = vec![written.to_string_lossy().into_owned(), resolved.to_string_lossy().into_owned()];
        names.dedup();
        names
    }
}

/// Follows symbolic links as far as the path exists.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(resolved), ..) => resolved,
        (Err(_), Some(parent), Some(name)) => resolve(parent).join(name),
        (Err(_), ..) => path.to_owned(),
    }
}

fn patient(storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
    Arc::new(RetryStorage::new(storage, RetryPolicy::default(), Arc::new(SystemClock::start())))
}

fn cached(storage: Arc<dyn Storage>, cache: Option<FolderCache>) -> Arc<dyn Storage> {
    match cache {
        Some(cache) => Arc::new(CachedStorage::new(storage, Arc::new(cache))),
        None => storage,
    }
}

impl FromStr for Place {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        Ok(Self { text: text.to_owned(), location: text.parse()? })
    }
}

/// The text as the owner wrote it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_its_path_and_by_what_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("disk")).unwrap();
        std::os::unix::fs::symlink(root.join("disk"), root.join("link")).unwrap();
        let place: Place = root.join("link/backup").to_str().unwrap().parse().unwrap();
        let expected = ["link/backup", "disk/backup"].map(|path| root.join(path).to_str().unwrap().to_owned());
        assert_eq!(place.names(), expected);

        std::fs::remove_dir(root.join("disk")).unwrap();
        assert_eq!(place.names(), expected[..1], "the disk is gone, the written path still is a name");
    }
}
