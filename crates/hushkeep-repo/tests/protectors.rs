//! The ways to get the key back: there is room for so many, and a change that broke off is finished.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;
#[path = "common/reseal.rs"]
mod reseal;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::seal::{Header, MAX_CLEAR_LEN};
use hushkeep_repo::storage::{Features, Folder, StorageErrorKind};
use hushkeep_repo::{ConfigError, LockedRepository, Protector, ProtectorKind, Repository, RotateError, Storage};
use hushkeep_storage::fault::Fault;
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

const MAX_PROTECTORS: u8 = 32;

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

fn new_key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32]))
}

fn protector(id: u8, kind: ProtectorKind) -> Protector {
    Protector::new(ProtectorId::from_bytes([id; 4]), kind, String::new(), at(NOW))
}

fn passphrases(count: u8) -> Vec<Protector> {
    (0..count).map(|id| protector(id, ProtectorKind::Passphrase(vec![id; 80]))).collect()
}

/// One of a kind that only later versions know.
fn later(len: usize) -> Protector {
    protector(99, ProtectorKind::Unknown { kind: 7, data: vec![1; len] })
}

/// How long the clear part of the newest config is, in bytes.
fn clear_len(storage: &Arc<dyn Storage>) -> usize {
    let newest = names(storage, Folder::Config).into_iter().max().unwrap();
    Header::parse(&storage.get(&newest).unwrap()).unwrap().0.clear.len()
}

/// A protector that alone makes a clear part as long as it may be.
fn longest() -> Protector {
    let storage = storage();
    let len = 60_000;
    Device::new(1).create(&storage).set_protectors(vec![later(len)], at(NOW)).unwrap();
    later(len + MAX_CLEAR_LEN - clear_len(&storage))
}

/// Takes these, and opens with them; then refuses those, and changes nothing, whether they are for this key or a new one.
fn assert_last_that_fit(taken: &[Protector], refused: &[Protector]) {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    repository.set_protectors(taken.to_vec(), at(NOW)).unwrap();
    let before = objects(&storage);
    assert!(matches!(repository.set_protectors(refused.to_vec(), at(NOW)), Err(ConfigError::TooMany)));
    let rotated = repository.rotate(&new_key(), refused.to_vec(), at(NOW));
    assert!(matches!(rotated, Err(RotateError::Unchanged(ConfigError::TooMany))), "{rotated:?}");
    assert_eq!(objects(&storage), before);
    assert_eq!(Device::new(2).open(&storage).protectors(), taken);

    repository.rotate(&new_key(), taken.to_vec(), at(NOW)).unwrap();
    assert_eq!(open_with_new_key(&storage).protectors(), taken);
}

fn open_with_new_key(storage: &Arc<dyn Storage>) -> Repository {
    let device = Device::new(3);
    let locked = LockedRepository::find(Arc::clone(storage), None).unwrap();
    locked.unlock(&new_key(), device.state.clone(), device.rng(), at(NOW)).unwrap()
}

#[test]
fn there_is_room_for_32_protectors() {
    assert_last_that_fit(&passphrases(MAX_PROTECTORS), &passphrases(MAX_PROTECTORS + 1));
}

/// Those of later versions may be long.
#[test]
fn there_is_room_for_65536_bytes_of_protectors() {
    let longest = [longest()];
    assert_last_that_fit(&longest, &[longest.as_slice(), &passphrases(1)].concat());
    let (most, more) = (later(60_000), later(MAX_CLEAR_LEN));
    assert_last_that_fit(std::slice::from_ref(&most), std::slice::from_ref(&more));
}

/// The numbers of the configs that are there.
fn numbers(storage: &Arc<dyn Storage>) -> BTreeSet<String> {
    names(storage, Folder::Config).iter().map(|name| name.file()[..10].trim_start_matches('0').to_owned()).collect()
}

/// A torn upload must not lose the ways to the key: what does not open is none.
#[test]
fn as_many_older_configs_stay_as_are_whole() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let mut next = || repository.set_protectors(repository.protectors().to_vec(), at(NOW)).unwrap();
    (2..=3).for_each(|_| drop(next()));
    for name in names(&storage, Folder::Config).iter().filter(|name| name.file().starts_with("0000000002")) {
        reseal::change(&storage, name, |mut object| {
            object[1000] ^= 1;
            object
        });
    }
    next();
    assert_eq!(numbers(&storage), ["1", "2", "3", "4"].map(str::to_owned).into());
    next();
    assert_eq!(numbers(&storage), ["3", "4", "5"].map(str::to_owned).into());
}

/// Who removed a passphrase was killed before that was published. It must not open the repository for ever.
#[test]
fn a_removal_that_broke_off_is_finished_by_the_next_backup() {
    for create_if_absent in [true, false] {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent }));
        let mut repository = Device::new(1).create(&storage);
        let only_key = repository.protectors().to_vec();
        repository.set_protectors([only_key.as_slice(), &passphrases(1)].concat(), at(NOW)).unwrap();
        backup(&mut repository, &MemoryTree::new(&[]), NOW);
        let dying: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), |call| {
            let is_commit = call.operation == Operation::Put && call.subject.starts_with(Folder::Commits.name());
            is_commit.then_some(Fault::CrashBefore)
        }));
        assert!(Device::new(1).open(&dying).set_protectors(only_key, at(NOW)).is_err());
        let with_it = |storage| {
            names(storage, Folder::Config).iter().filter(|name| name.file().starts_with("0000000002")).count()
        };
        assert_eq!(with_it(&storage), 2, "they open it");

        backup(&mut Device::new(2).open(&storage), &MemoryTree::new(&[]), NOW + 60);
        assert_eq!(with_it(&storage), 0);
        let repository = Device::new(3).open(&storage);
        assert_eq!((repository.protectors().len(), repository.snapshots().len()), (1, 2));
    }
}

/// A network file system did the call twice, and could not read what it had stored: the new key must not be thrown away.
#[test]
fn a_rotation_that_takes_its_own_commit_for_anothers_is_not_told_as_undone() {
    let storage = storage();
    let device = Device::new(1);
    backup(&mut device.create(&storage), &MemoryTree::new(&[]), NOW);
    let twice: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), |call| {
        let is_commit = call.operation == Operation::Put && call.subject.starts_with(Folder::Commits.name());
        is_commit.then_some(Fault::LoseReply(StorageErrorKind::AlreadyExists))
    }));
    let mut repository = device.open(&twice);
    let rotated = repository.rotate(&new_key(), repository.protectors().to_vec(), at(NOW + 60));
    assert!(matches!(rotated, Err(RotateError::Unknown(_))), "{rotated:?}");
    let locked = LockedRepository::find(storage, None).unwrap();
    let opened = locked.unlock(&new_key(), device.state.clone(), device.rng(), at(NOW + 60)).unwrap();
    assert_eq!(opened.snapshots().len(), 1);
}
