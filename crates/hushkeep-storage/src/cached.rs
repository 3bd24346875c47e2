//! A storage of which this device keeps something.

use std::ops::Range;
use std::sync::Arc;

use hushkeep_repo::Storage;
use hushkeep_repo::cache::Cache;
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError};

/// A storage with a cache. It passes every call on: what to keep, and when to look there first, is the engine's to say.
pub struct CachedStorage {
    inner: Arc<dyn Storage>,
    cache: Arc<dyn Cache>,
}

impl CachedStorage {
    /// `inner` with `cache`.
    pub fn new(inner: Arc<dyn Storage>, cache: Arc<dyn Cache>) -> Self {
        Self { inner, cache }
    }
}

impl Storage for CachedStorage {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.inner.put(name, bytes)
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

    fn cache(&self) -> Option<&dyn Cache> {
        Some(self.cache.as_ref())
    }
}
