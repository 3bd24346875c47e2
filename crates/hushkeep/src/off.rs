//! Turning the backup off: this device forgets its key, and, if its owner wants that, the storage loses the backups before.

use hushkeep_core::name::RepositoryId;
use hushkeep_repo::cache::Cache as _;
use hushkeep_repo::storage::{Folder, Storage, StorageError, StorageErrorKind};
use hushkeep_storage::OpenError;

use crate::home::{DeviceState, Home, HomeError};
use crate::place::Place;

/// What was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OffError {
    /// The storage cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// This device cannot note what it is doing. Nothing was deleted.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The storage failed. Some of the backups may be gone; the same again deletes the rest.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Forgets the key, and all that this device remembers and keeps of a repository.
pub fn forget(home: &Home, repository: &RepositoryId) -> Result<(), HomeError> {
    if let Some(cache) = home.cache(repository) {
        cache.retain(&|_| false);
    }
    home.device(repository).forget()
}

/// How far this device got with deleting the backups of a repository, in a run that was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleting {
    /// It has not begun.
    No,
    /// Some may be gone, and the history with them, so that it opens no more. What is left is to be deleted without that.
    Some,
    /// Only configs may be left. Where no repository is found any more, they are gone as well.
    AllButConfigs,
}

/// How far this device got.
pub fn deleting(home: &Home, repository: &RepositoryId) -> Deleting {
    home.device(repository).deleting()
}

/// What became of a repository's objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeletedBackups {
    /// How many are gone.
    pub deleted: u64,
    /// Those that the storage refuses to delete.
    pub kept: Vec<String>,
}

/// Deletes every object of the repository at a place: nobody gets anything back. This device knows, from before the first one
/// goes, that it is doing that.
///
/// Configs go last: as long as one is there, whoever was interrupted here finds a repository, and can do it again.
pub fn delete_backups(home: &Home, repository: &RepositoryId, place: &Place) -> Result<DeletedBackups, OffError> {
    let storage = place.open(None)?;
    delete_all(&home.device(repository), storage.as_ref())
}

fn delete_all(device: &DeviceState, storage: &dyn Storage) -> Result<DeletedBackups, OffError> {
    device.set_deleting(Deleting::Some)?;
    let mut done = DeletedBackups::default();
    for folder in [Folder::Packs, Folder::Index, Folder::Commits] {
        delete_folder(storage, folder, &mut done)?;
    }
    device.set_deleting(Deleting::AllButConfigs)?;
    delete_folder(storage, Folder::Config, &mut done)?;
    Ok(done)
}

fn delete_folder(storage: &dyn Storage, folder: Folder, done: &mut DeletedBackups) -> Result<(), StorageError> {
    for info in storage.list(folder)? {
        match storage.delete(&info.name) {
            Ok(()) => done.deleted += 1,
            Err(error) if error.kind == StorageErrorKind::Denied => done.kept.push(info.name.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hushkeep_core::keys::BackupKey;
    use hushkeep_repo::Repository;
    use hushkeep_storage::{FaultStorage, MemoryStorage, fault};

    use super::*;

    #[test]
    fn wherever_it_is_broken_off_the_same_again_deletes_the_rest() {
        for call in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::at(folder.path());
            let (id, memory) = (RepositoryId::generate(&mut crate::random()), MemoryStorage::default());
            let (key, device) = (BackupKey::generate(&mut crate::random()), home.device(&id));
            let storage: Arc<dyn Storage> = Arc::new(memory.clone());
            let (state, rng) = (Arc::new(device.clone()), Box::new(crate::random()));
            Repository::create(storage, state, &key, id, crate::now(), rng).unwrap();
            device.keep_key(&key).unwrap();
            assert_eq!(deleting(&home, &id), Deleting::No);

            let dying = FaultStorage::new(Arc::new(memory.clone()), fault::crash_at(call));
            let is_done = delete_all(&device, &dying).is_ok();
            let left = |folder| memory.list(folder).unwrap().len();
            let others = left(Folder::Packs) + left(Folder::Index) + left(Folder::Commits);
            assert!(left(Folder::Config) > 0 || deleting(&home, &id) == Deleting::AllButConfigs, "{call}");
            assert!(others == 0 || deleting(&home, &id) == Deleting::Some, "{call}");
            assert!(device.key().unwrap().is_some(), "{call}: as long as it is not done, it can be done again");

            delete_all(&device, &memory).unwrap();
            assert!(Folder::ALL.iter().all(|folder| left(*folder) == 0), "{call}");
            forget(&home, &id).unwrap();
            assert!(device.key().unwrap().is_none() && deleting(&home, &id) == Deleting::No);
            if is_done {
                assert!(call > 4);
                return;
            }
        }
    }
}
