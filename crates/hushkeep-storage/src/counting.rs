//! Counting what is asked of a storage.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError};

use crate::Operation;

/// Counts the calls to another storage. Below a [`RetryStorage`](crate::RetryStorage) it counts what really
/// happened, above it what was asked for.
pub struct CountingStorage {
    inner: Arc<dyn Storage>,
    counts: Mutex<Counts>,
}

/// How often each operation was called, and for how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Objects stored, and their bytes, also of calls that failed.
    pub put: Count,
    /// Whole objects read.
    pub get: Count,
    /// Parts of objects read.
    pub get_range: Count,
    /// Listings; their bytes are not known.
    pub list: Count,
    /// Objects removed.
    pub delete: Count,
}

/// A number of calls and of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Bytes of objects handed over or returned.
    pub bytes: u64,
}

impl Counts {
    /// All calls together.
    pub fn total(&self) -> Count {
        let all = [self.put, self.get, self.get_range, self.list, self.delete];
        Count { calls: all.iter().map(|count| count.calls).sum(), bytes: all.iter().map(|count| count.bytes).sum() }
    }

    fn of(&mut self, operation: Operation) -> &mut Count {
        match operation {
            Operation::Put => &mut self.put,
            Operation::Get => &mut self.get,
            Operation::GetRange => &mut self.get_range,
            Operation::List => &mut self.list,
            Operation::Delete => &mut self.delete,
        }
    }
}

impl CountingStorage {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, operation: Operation, bytes: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.of(operation);
        count.calls += 1;
        count.bytes += bytes as u64;
    }

    fn count_read(&self, operation: Operation, read: Result<Vec<u8>, StorageError>) -> Result<Vec<u8>, StorageError> {
        self.count(operation, read.as_ref().map_or(0, Vec::len));
        read
    }
}

impl Storage for CountingStorage {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.count(Operation::Put, bytes.len());
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.count_read(Operation::Get, self.inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.count_read(Operation::GetRange, self.inner.get_range(name, range))
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.count(Operation::List, 0);
        self.inner.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.count(Operation::Delete, 0);
        self.inner.delete(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStorage;

    #[test]
    fn every_call_is_counted_with_its_bytes() {
        let storage = CountingStorage::new(Arc::new(MemoryStorage::default()));
        let name = "packs/a".parse().unwrap();
        storage.put(&name, b"12345").unwrap();
        storage.put(&name, b"123").unwrap_err();
        storage.get(&name).unwrap();
        storage.get(&"packs/b".parse().unwrap()).unwrap_err();
        storage.get_range(&name, 3..9).unwrap();
        storage.list(Folder::Packs).unwrap();
        storage.delete(&name).unwrap();
        let count = |calls, bytes| Count { calls, bytes };
        let expected = Counts {
            put: count(2, 8),
            get: count(2, 5),
            get_range: count(1, 2),
            list: count(1, 0),
            delete: count(1, 0),
        };
        assert_eq!(storage.counts(), expected);
        assert_eq!(storage.counts().total(), count(7, 15));
    }
}
