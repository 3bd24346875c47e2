//! What this device keeps of a storage: a folder with a file for each part of an object, sealed as it is there.

use std::fs;
use std::path::{Path, PathBuf};

use hushkeep_repo::cache::{Cache, CacheKey};

use crate::private_file;

/// A cache in a folder for this user alone. Whatever fails there only costs fetching again.
#[derive(Debug)]
pub struct FolderCache {
    folder: PathBuf,
}

impl FolderCache {
    /// A cache in this folder, which is made when something is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.folder.join(key.to_string())
    }
}

/// After so many seconds what is kept is read from the storage again, to see that it still is there.
const SECONDS_KEPT: u64 = 7 * 86_400;

impl Cache for FolderCache {
    fn load(&self, key: &CacheKey) -> Option<Vec<u8>> {
        fs::read(self.path(key)).ok()
    }

    /// Whole objects, which are small, a week after they were fetched. Of packs, which are large, `check` tells.
    fn is_due(&self, key: &CacheKey) -> bool {
        let kept = fs::metadata(self.path(key)).and_then(|found| found.modified());
        let age = kept.ok().and_then(|kept| kept.elapsed().ok());
        key.segment.is_none() && age.is_none_or(|age| age.as_secs() >= SECONDS_KEPT)
    }

    fn store(&self, key: &CacheKey, sealed: &[u8]) {
        // Not durable: a part that is torn by a crash does not open, and is fetched again.
        let _ = private_file::put(&self.path(key), sealed);
    }

    fn retain(&self, wanted: &dyn Fn(&CacheKey) -> bool) {
        for path in files(&self.folder) {
            let key = path.file_name().and_then(|name| CacheKey::parse(name.to_str()?));
            if !key.is_some_and(|key| wanted(&key)) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_objects_are_due_after_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FolderCache::new(folder.path().to_owned());
        let key = |text| CacheKey::parse(text).unwrap();
        for (text, is_due) in [("packs.01.2", false), ("commits.0000000001", true), ("config.0000000001", true)] {
            cache.store(&key(text), b"sealed");
            assert!(!cache.is_due(&key(text)), "{text}");
            let file = fs::File::options().write(true).open(cache.path(&key(text))).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(SECONDS_KEPT + 1)).unwrap();
            assert_eq!(cache.is_due(&key(text)), is_due, "{text}");
            file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(3600)).unwrap();
            assert_eq!(cache.is_due(&key(text)), is_due, "{text}: of the future");
        }
        assert!(cache.is_due(&key("index.01")), "nothing is kept");
    }

    #[test]
    fn keeps_what_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FolderCache::new(folder.path().join("made/when/needed"));
        let key = |text| CacheKey::parse(text).unwrap();
        assert_eq!(cache.load(&key("packs.01.2")), None);
        cache.retain(&|_| true);
        for text in ["packs.01.2", "packs.02.1", "commits.0000000001"] {
            cache.store(&key(text), text.as_bytes());
        }
        fs::write(cache.folder.join("stray"), "").unwrap();
        cache.retain(&|key| key.object.file() != "02");
        assert_eq!(cache.load(&key("packs.01.2")).unwrap(), b"packs.01.2");
        assert_eq!((cache.load(&key("packs.02.1")), files(&cache.folder).count()), (None, 2));
    }
}
