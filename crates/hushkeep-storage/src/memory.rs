//! Memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushkeep_repo::Timestamp;
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError, StorageErrorKind};

/// A storage in memory, for tests and for trying things out. Clones share their objects.
#[derive(Clone)]
pub struct MemoryStorage {
    features: Features,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Default)]
struct Contents {
    objects: BTreeMap<ObjectName, Object>,
    now: Option<Timestamp>,
}

struct Object {
    bytes: Vec<u8>,
    stored: Option<Timestamp>,
}

impl MemoryStorage {
    /// An empty storage with these features.
    pub fn new(features: Features) -> Self {
        Self { features, contents: Arc::default() }
    }

    /// Sets the storage's clock: the time at which objects are stored from now on. Before the first call the
    /// storage does not tell times.
    pub fn set_time(&self, now: Timestamp) {
        self.lock().now = Some(now);
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty storage that creates only if absent.
impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new(Features { create_if_absent: true })
    }
}

impl Storage for MemoryStorage {
    fn features(&self) -> Features {
        self.features
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let mut contents = self.lock();
        if self.features.create_if_absent && contents.objects.contains_key(name) {
            return Err(StorageError::new(StorageErrorKind::AlreadyExists, name));
        }
        let object = Object { bytes: bytes.to_vec(), stored: contents.now };
        contents.objects.insert(name.clone(), object);
        Ok(())
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        let max_len = name.folder().max_len();
        let object = self.get_range(name, 0..max_len + 1)?;
        if object.len() as u64 > max_len {
            return Err(StorageError::new(StorageErrorKind::TooLong, name));
        }
        Ok(object)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let contents = self.lock();
        let object = contents.objects.get(name).ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, name))?;
        let end = usize::try_from(range.end).map_or(object.bytes.len(), |end| end.min(object.bytes.len()));
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        Ok(object.bytes.get(start..end).unwrap_or_default().to_vec())
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        let contents = self.lock();
        let inside = contents.objects.iter().filter(|(name, _)| name.folder() == folder);
        let info = |(name, object): (&ObjectName, &Object)| ObjectInfo {
            name: name.clone(),
            len: object.bytes.len() as u64,
            stored: object.stored,
        };
        Ok(inside.map(info).collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.lock().objects.remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        testkit::storage::conformance(|| Box::new(MemoryStorage::default()));
        testkit::storage::conformance(|| Box::new(MemoryStorage::new(Features { create_if_absent: false })));
    }

    #[test]
    fn clones_share_objects_and_the_clock() {
        let storage = MemoryStorage::default();
        let other = storage.clone();
        let time = Timestamp::new(1_700_000_000, 5).unwrap();
        storage.put(&"packs/a".parse().unwrap(), b"a").unwrap();
        storage.set_time(time);
        other.put(&"packs/b".parse().unwrap(), b"b").unwrap();
        let times: Vec<_> = storage.list(Folder::Packs).unwrap().into_iter().map(|info| info.stored).collect();
        assert_eq!(times, [None, Some(time)]);
    }
}
