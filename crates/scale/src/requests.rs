//! Counting what is asked of a storage, by what is asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hushkeep::repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError};
use serde_json::{Value, json};

/// Counts the calls to another storage.
pub(crate) struct RequestCounter {
    inner: Arc<dyn Storage>,
    counts: Mutex<Requests>,
}

/// How often each thing was asked for: by the operation and the folder, a number of calls and of bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(BTreeMap<(&'static str, Folder), (u64, u64)>);

impl Requests {
    /// All together, and each kind of its own.
    pub(crate) fn to_json(&self) -> Value {
        let kinds = self.0.iter().map(|((operation, folder), (calls, bytes))| {
            (format!("{operation} {}", folder.name()), json!({ "requests": calls, "bytes": bytes }))
        });
        let sum = |part: fn(&(u64, u64)) -> u64| self.0.values().map(part).sum::<u64>();
        let kinds: serde_json::Map<_, _> = kinds.collect();
        json!({ "total": sum(|count| count.0), "bytes": sum(|count| count.1), "kinds": kinds })
    }
}

impl RequestCounter {
    /// Counts from zero.
    pub(crate) fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Requests {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, operation: &'static str, folder: Folder, bytes: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, total) = counts.0.entry((operation, folder)).or_default();
        *calls += 1;
        *total += bytes as u64;
    }
}

impl Storage for RequestCounter {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.count("put", name.folder(), bytes.len());
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        let read = self.inner.get(name);
        self.count("get", name.folder(), read.as_ref().map_or(0, Vec::len));
        read
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let read = self.inner.get_range(name, range);
        self.count("get range of", name.folder(), read.as_ref().map_or(0, Vec::len));
        read
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.count("list", folder, 0);
        self.inner.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.count("delete", name.folder(), 0);
        self.inner.delete(name)
    }
}
