//! A storage whose clock a test sets, and what happens there after a while.

use std::sync::Arc;

use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_repo::storage::{Features, Folder};
use hushkeep_repo::{LockedRepository, PruneOptions, PruneReport, Quiet, Repository, Storage, UnlockError};
use hushkeep_storage::MemoryStorage;

use super::{Device, NOW, at};

pub(crate) const DAY: i64 = 86_400;

/// A storage in memory with a clock.
pub(crate) struct Place {
    pub(crate) memory: MemoryStorage,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) now: i64,
}

impl Place {
    pub(crate) fn new(create_if_absent: bool) -> Self {
        let memory = MemoryStorage::new(Features { create_if_absent });
        memory.set_time(at(NOW));
        Self { storage: Arc::new(memory.clone()), memory, now: NOW }
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        self.memory.set_time(at(self.now));
    }

    pub(crate) fn count(&self, folder: Folder) -> usize {
        self.storage.list(folder).unwrap().len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.storage.list(Folder::Packs).unwrap().iter().map(|info| info.len).sum()
    }
}

pub(crate) fn options(place: &Place) -> PruneOptions {
    PruneOptions { now: at(place.now), max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false }
}

pub(crate) fn prune(repository: &mut Repository, place: &Place) -> PruneReport {
    repository.prune(&options(place), &Quiet).unwrap()
}

pub(crate) fn new_key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32]))
}

pub(crate) fn open_with(
    key: &BackupKey,
    device: &Device,
    storage: &Arc<dyn Storage>,
) -> Result<Repository, UnlockError> {
    LockedRepository::find(Arc::clone(storage), None).unwrap().unlock(key, device.state.clone(), device.rng(), at(NOW))
}
