//! How people name a storage.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use hushkeep_repo::storage::{Storage, StorageError};

use crate::FolderStorage;

/// Opens the storage at `location`, which must exist.
pub fn open(location: &str) -> Result<Arc<dyn Storage>, OpenError> {
    match location.parse()? {
        Location::Folder(path) => Ok(Arc::new(FolderStorage::open(path)?)),
    }
}

/// Opens the storage at `location`, and makes it if there is none. Nothing that is there is changed.
pub fn create(location: &str) -> Result<Arc<dyn Storage>, OpenError> {
    match location.parse()? {
        Location::Folder(path) => Ok(Arc::new(FolderStorage::create(path)?)),
    }
}

/// Where a storage is, parsed but not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A folder: a plain path, or `file:` with a path, percent-encoded as in any URL (RFC 8089).
    Folder(PathBuf),
}

/// The text names no storage that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLocation {
    /// No text at all.
    #[error("the location of a storage cannot be empty")]
    Empty,
    /// A kind of storage that this program does not have.
    #[error("storage of kind `{0}:` is not supported, only folders are (a path, or file:PATH)")]
    UnsupportedScheme(String),
    /// A `file:` URL of another computer.
    #[error("`file:` names a folder of this computer, not of `{0}`")]
    RemoteFile(String),
    /// A percent sign without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path in a `file:` location is not percent-encoded UTF-8")]
    InvalidEncoding,
}

/// A storage that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text names no storage.
    #[error(transparent)]
    Location(#[from] InvalidLocation),
    /// The storage is not there, or refuses.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What stands before the first colon is a scheme, unless it holds a slash (`./a:b`) or is a drive letter (`C:\a`).
impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        if text.is_empty() {
            return Err(InvalidLocation::Empty);
        }
        match text.split_once(':') {
            Some(("file", rest)) => file_path(rest).map(Self::Folder),
            Some((scheme, _)) if scheme.len() != 1 && !scheme.contains(['/', '\\']) => {
                Err(InvalidLocation::UnsupportedScheme(scheme.to_owned()))
            }
            _ => Ok(Self::Folder(text.into())),
        }
    }
}

/// Text that parses to the same location, if the path is UTF-8.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Folder(path) = self;
        let text = path.to_string_lossy();
        match text.parse() {
            Ok(Self::Folder(same)) if same == *path => f.write_str(&text),
            _ => write!(f, "{}", Path::new(".").join(path).display()),
        }
    }
}

/// The path in `file:PATH`, `file:///PATH` or `file://localhost/PATH`.
fn file_path(rest: &str) -> Result<PathBuf, InvalidLocation> {
    let path = match rest.strip_prefix("//") {
        Some(authority_and_path) => match authority_and_path.find('/').map(|at| authority_and_path.split_at(at)) {
            Some(("" | "localhost", path)) => path,
            Some((host, _)) => return Err(InvalidLocation::RemoteFile(host.to_owned())),
            None => return Err(InvalidLocation::RemoteFile(authority_and_path.to_owned())),
        },
        None => rest,
    };
    let path = percent_decoded(path).ok_or(InvalidLocation::InvalidEncoding)?;
    if path.is_empty() { Err(InvalidLocation::Empty) } else { Ok(path.into()) }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use hushkeep_repo::storage::{Folder, StorageErrorKind};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_leads_to_the_same_place(text in "(file:)?(//)?[a-z.]{0,3}[:/%\\\\]?[a-f0-9:/%. ]{0,9}") {
            if let Ok(Location::Folder(path)) = text.parse() {
                let shown = Location::Folder(path.clone()).to_string();
                let Ok(Location::Folder(again)) = shown.parse() else { panic!("{shown}") };
                prop_assert_eq!(again.strip_prefix(".").unwrap_or(&again), path.strip_prefix(".").unwrap_or(&path));
            }
        }

        #[test]
        fn any_path_can_be_written_as_a_url(path in "/\\PC{1,9}") {
            let encoded: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(format!("file:{encoded}").parse(), folder(&path));
        }
    }

    fn folder(path: &str) -> Result<Location, InvalidLocation> {
        Ok(Location::Folder(path.into()))
    }

    #[test]
    fn paths_and_file_urls_are_folders() {
        for (text, path) in [
            ("/srv/backup", "/srv/backup"),
            ("backup", "backup"),
            ("./a:b", "./a:b"),
            ("/a:b", "/a:b"),
            (r"C:\backup", r"C:\backup"),
            ("50%", "50%"),
            ("file:/srv/backup", "/srv/backup"),
            ("file:backup", "backup"),
            ("file:///srv/my%20backup%25", "/srv/my backup%"),
            ("file://localhost/srv/%c3%a4", "/srv/ä"),
        ] {
            assert_eq!(text.parse(), folder(path), "{text}");
        }
    }

    #[test]
    fn what_is_no_folder_is_never_taken_for_one() {
        let scheme = |name: &str| InvalidLocation::UnsupportedScheme(name.to_owned());
        let host = |name: &str| InvalidLocation::RemoteFile(name.to_owned());
        for (text, error) in [
            ("", InvalidLocation::Empty),
            ("s3://bucket/prefix", scheme("s3")),
            ("rclone:remote:path", scheme("rclone")),
            ("me@host:/srv/backup", scheme("me@host")),
            ("FILE:/srv", scheme("FILE")),
            (":backup", scheme("")),
            ("file:", InvalidLocation::Empty),
            ("file://nas/backup", host("nas")),
            ("file://backup", host("backup")),
            ("file:/srv/50%", InvalidLocation::InvalidEncoding),
            ("file:/srv/%+1", InvalidLocation::InvalidEncoding),
            ("file:/srv/%ff", InvalidLocation::InvalidEncoding),
        ] {
            assert_eq!(text.parse::<Location>(), Err(error), "{text}");
        }
    }

    #[test]
    fn display_parses_back() {
        for path in ["/srv/backup", "backup", "a:b", "file:x", "50%", r"C:\backup"] {
            let shown = Location::Folder(path.into()).to_string();
            let Ok(Location::Folder(back)) = shown.parse() else { panic!("{shown}") };
            assert_eq!(back.strip_prefix(".").unwrap_or(&back), Path::new(path));
        }
    }

    #[test]
    fn open_never_makes_what_create_does() {
        let parent = tempfile::tempdir().unwrap();
        let location = parent.path().join("new/repository").to_str().unwrap().to_owned();
        let missing = open(&location).err().unwrap();
        assert!(matches!(missing, OpenError::Storage(error) if error.kind == StorageErrorKind::NotFound));
        assert!(!parent.path().join("new").exists());

        create(&location).unwrap().put(&"packs/a".parse().unwrap(), b"a").unwrap();
        create(&format!("file:{location}")).unwrap();
        assert_eq!(open(&location).unwrap().list(Folder::Packs).unwrap().len(), 1);
    }
}
