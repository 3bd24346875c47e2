//! A storage and a device in memory, for tests of what other crates cannot reach.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch};
use hushkeep_core::name::{ObjectId, RepositoryId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::pack::{Class, Coding, ListEntry, PackInfo, PackTable, Segment, Stretch};
use crate::state::{StateError, StateKey};
use crate::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError, StorageErrorKind};
use crate::{Repository, State, Storage, Timestamp};

#[derive(Default)]
pub(crate) struct MemoryStorage(Mutex<BTreeMap<ObjectName, Vec<u8>>>);

impl Storage for MemoryStorage {
    fn features(&self) -> Features {
        Features { create_if_absent: true }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let replaced = self.0.lock().unwrap().insert(name.clone(), bytes.to_vec());
        assert!(replaced.is_none(), "{name} is stored once");
        Ok(())
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        let objects = self.0.lock().unwrap();
        objects.get(name).cloned().ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let object = self.get(name)?;
        let place = |at: u64| usize::try_from(at).unwrap().min(object.len());
        Ok(object[place(range.start)..place(range.end)].to_vec())
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        let objects = self.0.lock().unwrap();
        let inside = objects.iter().filter(|(name, _)| name.folder() == folder);
        let info = |(name, object): (&ObjectName, &Vec<u8>)| ObjectInfo {
            name: name.clone(),
            len: object.len() as u64,
            stored: None,
        };
        Ok(inside.map(info).collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct MemoryState(Mutex<BTreeMap<StateKey, Vec<u8>>>);

impl State for MemoryState {
    fn load(&self, key: StateKey) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.lock().unwrap().get(&key).cloned())
    }

    fn store(&self, key: StateKey, value: &[u8]) -> Result<(), StateError> {
        self.0.lock().unwrap().insert(key, value.to_vec());
        Ok(())
    }
}

/// A repository without a snapshot.
pub(crate) fn repository() -> Repository {
    let key = BackupKey::from_secret(Secret::build(|bytes| *bytes = [7; 32]));
    let (storage, state) = (Arc::new(MemoryStorage::default()), Arc::new(MemoryState::default()));
    let rng = Box::new(ChaCha20Rng::seed_from_u64(1));
    Repository::create(storage, state, &key, RepositoryId::from_bytes([8; 16]), Timestamp::EPOCH, rng).unwrap()
}

/// What an index object has of a pack, which is sound and different for each number.
pub(crate) fn pack(number: u16) -> PackInfo {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let id = ObjectId::from_bytes(id);
    let lists = vec![ListEntry { id, epoch: Epoch(0), names_digest: [3; 16] }];
    let segment = |class| Segment {
        class,
        coding: Coding::Plain,
        sealed_len: 116,
        raw_len: 100,
        stretches: vec![Stretch { list: 0, first: 0, count: 5 }],
    };
    let table = PackTable { lists, segments: vec![segment(Class::Data), segment(Class::Names)] };
    PackInfo { id, epoch: Epoch(0), salt: [5; 32], len: 4096, table }
}
