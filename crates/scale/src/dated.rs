//! A storage at which days go by.

use std::fs::{File, FileTimes};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hushkeep::repo::Timestamp;
use hushkeep::repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError, StorageErrorKind};
use hushkeep::storage::FolderStorage;

/// A folder whose clock shows a time of the caller's choice: whatever is stored gets it as its file's.
pub(crate) struct DatedStorage {
    inner: FolderStorage,
    root: PathBuf,
    now: SystemTime,
}

impl DatedStorage {
    /// Makes the folder at `root`, if it is missing, or opens it, at the time `now`.
    pub(crate) fn create(root: &Path, now: Timestamp) -> Result<Self, StorageError> {
        let since_1970 = Duration::from_secs(u64::try_from(now.seconds).unwrap_or_default());
        let now = SystemTime::UNIX_EPOCH + since_1970;
        Ok(Self { inner: FolderStorage::create(root)?, root: root.to_owned(), now })
    }

    fn date(&self, name: &ObjectName) -> io::Result<()> {
        let path = self.root.join(name.folder().name()).join(name.file());
        File::options().write(true).open(path)?.set_times(FileTimes::new().set_modified(self.now))
    }
}

impl Storage for DatedStorage {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.inner.put(name, bytes)?;
        self.date(name).map_err(|error| StorageError::new(StorageErrorKind::Failed, name).because(error))
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.inner.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.inner.get_range(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.inner.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.inner.delete(name)
    }
}
