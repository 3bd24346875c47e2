//! The configs of a repository are lost, and its owner has the recovery key (spec §3.6).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{
    CheckOptions, LockedRepository, Protector, ProtectorKind, Quiet, ReadError, RebuildError, Repository, Storage,
    rebuild_config,
};
use hushkeep_storage::MemoryStorage;

fn new_key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [77; 32]))
}

fn tree(text: &str) -> MemoryTree {
    MemoryTree::new(&[("note.txt", Node::File(text.as_bytes().to_vec()))])
}

fn passphrase() -> Protector {
    let id = ProtectorId::from_bytes([1; 4]);
    Protector::new(id, ProtectorKind::Passphrase(vec![1]), String::new(), at(NOW))
}

/// A repository with a backup under each of two keys, and a passphrase.
fn two_epochs() -> Arc<dyn Storage> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("first"), NOW);
    let protectors = [repository.protectors(), &[passphrase()]].concat();
    repository.rotate(&new_key(), protectors, at(NOW)).unwrap();
    backup(&mut repository, &tree("second"), NOW + 60);
    storage
}

fn configs(storage: &Arc<dyn Storage>) -> Vec<ObjectName> {
    storage.list(Folder::Config).unwrap().into_iter().map(|info| info.name).collect()
}

fn change(storage: &Arc<dyn Storage>, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) {
    let mut object = storage.get(name).unwrap();
    change(&mut object);
    storage.delete(name).unwrap();
    storage.put(name, &object).unwrap();
}

fn rebuild(storage: &Arc<dyn Storage>, key: &BackupKey) -> Result<bool, RebuildError> {
    rebuild_config(storage, key, at(NOW), &mut Device::new(8).rng())
}

fn open(storage: &Arc<dyn Storage>, device: &Device) -> Repository {
    let locked = LockedRepository::find(Arc::clone(storage), None).unwrap();
    locked.unlock(&new_key(), device.state.clone(), device.rng(), at(NOW)).unwrap()
}

#[test]
fn the_key_alone_brings_everything_back() {
    let storage = two_epochs();
    configs(&storage).iter().for_each(|name| storage.delete(name).unwrap());
    assert!(LockedRepository::find(Arc::clone(&storage), None).is_err());

    assert!(rebuild(&storage, &new_key()).unwrap());
    let mut repository = open(&storage, &Device::new(2));
    for (snapshot, text) in repository.snapshots().iter().zip(["first", "second"]) {
        assert_restores(&repository, snapshot, &tree(text));
    }
    assert_eq!(
        repository.protectors().iter().map(|protector| &protector.kind).collect::<Vec<_>>(),
        [&ProtectorKind::RecoveryKey]
    );
    backup(&mut repository, &tree("third"), NOW + 120);
    let protectors = [repository.protectors(), &[passphrase()]].concat();
    repository.set_protectors(protectors, at(NOW)).unwrap();

    let repository = open(&storage, &Device::new(3));
    assert_restores(&repository, &repository.snapshots()[2], &tree("third"));
    let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn damaged_configs_are_as_good_as_none() {
    let storage = two_epochs();
    for name in configs(&storage) {
        change(&storage, &name, |object| object[0] ^= 1);
    }
    assert!(rebuild(&storage, &new_key()).unwrap());
    assert_eq!(open(&storage, &Device::new(2)).snapshots().len(), 2);
}

/// It may have a protector that was removed since.
#[test]
fn an_older_config_is_no_reason_not_to() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    let older: Vec<_> = configs(&storage).into_iter().map(|name| (storage.get(&name).unwrap(), name)).collect();
    let protectors = [repository.protectors(), &[passphrase()]].concat();
    repository.set_protectors(protectors, at(NOW)).unwrap();
    configs(&storage).iter().for_each(|name| storage.delete(name).unwrap());
    older.iter().for_each(|(object, name)| storage.put(name, object).unwrap());
    assert!(Device::new(2).try_open(&storage).is_err());

    assert!(rebuild(&storage, &key()).unwrap());
    assert_eq!(Device::new(2).open(&storage).protectors().len(), 1);
}

#[test]
fn a_config_that_holds_stays_alone() {
    let storage = two_epochs();
    let before = configs(&storage);
    assert!(!rebuild(&storage, &new_key()).unwrap());
    storage.delete(&before[0]).unwrap();
    assert!(!rebuild(&storage, &new_key()).unwrap());
    assert_eq!(configs(&storage), before[1..]);
}

#[test]
fn only_the_newest_key_makes_one() {
    let storage = two_epochs();
    configs(&storage).iter().for_each(|name| storage.delete(name).unwrap());
    let stranger = BackupKey::from_secret(Secret::build(|bytes| *bytes = [5; 32]));
    assert!(matches!(rebuild(&storage, &stranger), Err(RebuildError::WrongKey)));
    assert!(matches!(rebuild(&storage, &key()), Err(RebuildError::Rotated)));
    assert!(configs(&storage).is_empty());

    // The newest commit is damaged: the one before it tells as much.
    let newest = storage.list(Folder::Commits).unwrap().pop().unwrap().name;
    change(&storage, &newest, |object| *object.last_mut().unwrap() ^= 1);
    assert!(rebuild(&storage, &new_key()).unwrap());
}

#[test]
fn nothing_is_made_beside_a_newer_config_or_where_nothing_is() {
    const VERSION_AT: usize = 8;
    let storage = two_epochs();
    let before = configs(&storage);
    before.iter().for_each(|name| change(&storage, name, |object| object[VERSION_AT] = 2));
    let refused = rebuild(&storage, &new_key());
    assert!(matches!(refused, Err(RebuildError::Read(ReadError::Damaged(damage))) if damage.cause.is_newer_version()));
    assert_eq!(configs(&storage), before);
    let nothing: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    assert!(matches!(rebuild(&nothing, &new_key()), Err(RebuildError::NoRepository)));
}
