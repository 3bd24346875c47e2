//! The configs of a repository are lost, and its owner has the recovery key (spec §3.6).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, ObjectKind};
use hushkeep_core::name::ProtectorId;
use hushkeep_core::seal::{self, HEADER_LEN, Header};
use hushkeep_repo::storage::{Features, Folder, ObjectName, StorageErrorKind};
use hushkeep_repo::{
    CheckOptions, LockedRepository, Protector, ProtectorKind, Quiet, ReadError, RebuildError, Repository, Storage,
    rebuild_config,
};
use hushkeep_storage::fault::{self, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

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

/// A folder that a program synchronises.
fn synchronised() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new(Features { create_if_absent: false }))
}

/// What such a program does, sooner or later.
fn synchronise(from: &Arc<dyn Storage>, to: &Arc<dyn Storage>) {
    for info in Folder::ALL.into_iter().flat_map(|folder| from.list(folder).unwrap()) {
        if to.get(&info.name).is_err() {
            to.put(&info.name, &from.get(&info.name).unwrap()).unwrap();
        }
    }
}

/// Seals an object of the first epoch anew, with other contents.
fn reseal(object: &mut Vec<u8>, kind: ObjectKind, edit: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) {
    let (header, _) = Header::parse(object).unwrap();
    let keys = key().epoch_secret(&header.repository, header.epoch).working_keys(header.repository);
    let mut body = seal::open_single(&keys, kind, object).unwrap().to_vec();
    let mut clear = header.clear;
    edit(&mut clear, &mut body);
    *object = seal::seal_single(&keys, kind, clear, &body, 4096, &mut Device::new(9).rng());
}

fn lose_configs(storage: &Arc<dyn Storage>) {
    configs(storage).iter().for_each(|name| storage.delete(name).unwrap());
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
    lose_configs(&storage);
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
    lose_configs(&storage);
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
    lose_configs(&storage);
    let stranger = BackupKey::from_secret(Secret::build(|bytes| *bytes = [5; 32]));
    assert!(matches!(rebuild(&storage, &stranger), Err(RebuildError::WrongKey)));
    assert!(matches!(rebuild(&storage, &key()), Err(RebuildError::Rotated { .. })));
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

/// The storage hides every commit of the newer key, and one of its configs is all that tells of it.
#[test]
fn an_old_key_makes_none_beside_a_config_of_a_newer_one() {
    let storage = two_epochs();
    let before = configs(&storage);
    let rotation: ObjectName = "commits/0000000002".parse().unwrap();
    for info in storage.list(Folder::Commits).unwrap().into_iter().filter(|info| info.name >= rotation) {
        storage.delete(&info.name).unwrap();
    }
    assert_eq!(storage.list(Folder::Commits).unwrap().len(), 1);
    let is_refused = || match rebuild(&storage, &key()) {
        Err(RebuildError::Rotated { object }) => object.starts_with("config/"),
        _ => false,
    };
    assert!(is_refused());
    // Whatever its clear part says.
    before.iter().for_each(|name| change(&storage, name, |object| object[HEADER_LEN] ^= 0xff));
    assert!(is_refused());
    assert_eq!(configs(&storage), before);
}

/// There are two of each, or none.
#[test]
fn of_a_config_that_cannot_be_stored_twice_none_stays() {
    let storage = two_epochs();
    lose_configs(&storage);
    let mut puts = 0;
    let refuse = move |call: &fault::Call| {
        puts += u32::from(call.operation == Operation::Put && call.subject.starts_with("config/"));
        (call.operation == Operation::Put && puts == 2).then_some(Fault::Refuse(StorageErrorKind::Full))
    };
    let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), refuse));
    assert!(matches!(rebuild(&faulty, &new_key()), Err(RebuildError::Read(ReadError::Storage(_)))));
    assert!(configs(&storage).is_empty());
    assert!(rebuild(&faulty, &new_key()).unwrap());
    assert_eq!(configs(&storage).len(), 2);
}

/// Whoever can write to the storage can put an old commit above all others.
#[test]
fn a_replayed_commit_does_not_tell_which_config_holds() {
    for keeps_older in [true, false] {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let mut repository = Device::new(1).create(&storage);
        backup(&mut repository, &tree("first"), NOW);
        let protectors = [repository.protectors(), &[passphrase()]].concat();
        repository.set_protectors(protectors, at(NOW)).unwrap();
        let is_lost = |name: &&ObjectName| !keeps_older || name.file() > "0000000002";
        configs(&storage).iter().filter(is_lost).for_each(|name| storage.delete(name).unwrap());
        let first = storage.get(&"commits/0000000001".parse().unwrap()).unwrap();
        storage.put(&"commits/0000000099-zzzzzzzz".parse().unwrap(), &first).unwrap();
        assert!(rebuild(&storage, &key()).unwrap());
        assert_eq!(Device::new(2).open(&storage).snapshots().len(), 1);
        assert!(!rebuild(&storage, &key()).unwrap());
    }
}

#[test]
fn of_several_tips_the_newest_config_counts() {
    let (phone, laptop) = (synchronised(), synchronised());
    let mut repository = Device::new(1).create(&phone);
    backup(&mut repository, &tree("first"), NOW);
    synchronise(&phone, &laptop);
    let protectors = [repository.protectors(), &[passphrase()]].concat();
    repository.set_protectors(protectors, at(NOW)).unwrap();
    let mut unseen = Device::new(2).open(&laptop);
    backup(&mut unseen, &tree("second"), NOW + 1);
    backup(&mut unseen, &tree("third"), NOW + 2);
    synchronise(&laptop, &phone);
    configs(&phone).iter().filter(|name| name.file() > "0000000002").for_each(|name| phone.delete(name).unwrap());
    assert!(Device::new(3).try_open(&phone).is_err());
    assert!(rebuild(&phone, &key()).unwrap());
    assert_eq!(Device::new(3).open(&phone).snapshots().len(), 3);
}

/// A device that did not know of the rotation wrote above it.
#[test]
fn an_old_key_makes_none_whatever_was_written_under_it() {
    let (storage, laptop) = (synchronised(), synchronised());
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("first"), NOW);
    synchronise(&storage, &laptop);
    let protectors = repository.protectors().to_vec();
    repository.rotate(&new_key(), protectors, at(NOW)).unwrap();
    let mut late = Device::new(2).open(&laptop);
    backup(&mut late, &tree("second"), NOW + 5);
    backup(&mut late, &tree("third"), NOW + 6);
    synchronise(&laptop, &storage);
    lose_configs(&storage);
    assert!(matches!(rebuild(&storage, &key()), Err(RebuildError::Rotated { .. })));
    assert!(rebuild(&storage, &new_key()).unwrap());
}

#[test]
fn nothing_is_made_beside_what_a_newer_version_wrote() {
    let newer = |storage: &Arc<dyn Storage>| match rebuild(storage, &key()) {
        Err(RebuildError::Read(ReadError::Damaged(damage))) => damage.cause.is_newer_version(),
        other => panic!("{other:?}"),
    };
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("first"), NOW);
    // The sealed part of the config is damaged, and its clear part asks for version 2 of readers.
    let name = configs(&storage).remove(0);
    let whole = storage.get(&name).unwrap();
    change(&storage, &name, |object| {
        reseal(object, ObjectKind::Config, |clear, _| {
            assert_eq!(clear[..3], [3, 1, 1]);
            clear[2] = 2;
        });
        *object.last_mut().unwrap() ^= 1;
    });
    assert!(newer(&storage));

    change(&storage, &name, |object| *object = whole);
    lose_configs(&storage);
    // A commit that is coded in a way of which only a newer version knows.
    let newest = storage.list(Folder::Commits).unwrap().pop().unwrap().name;
    change(&storage, &newest, |object| reseal(object, ObjectKind::Commit, |_, body| *body = vec![2, 9, 9]));
    assert!(newer(&storage));
    assert!(configs(&storage).is_empty());
}

/// The config of a rotation arrived before its commit did.
#[test]
fn the_config_of_a_rotation_that_is_on_its_way_stays() {
    let (storage, phone) = (synchronised(), synchronised());
    backup(&mut Device::new(1).create(&storage), &tree("first"), NOW);
    synchronise(&storage, &phone);
    let mut rotating = Device::new(1).open(&phone);
    let protectors = [rotating.protectors(), &[passphrase()]].concat();
    rotating.rotate(&new_key(), protectors, at(NOW)).unwrap();
    for name in configs(&phone) {
        storage.put(&name, &phone.get(&name).unwrap()).unwrap();
    }
    let mut other = Device::new(2).open(&storage);
    let id = ProtectorId::from_bytes([7; 4]);
    let another = Protector::new(id, ProtectorKind::Passphrase(vec![7]), String::new(), at(NOW));
    let protectors = [other.protectors(), &[another]].concat();
    other.set_protectors(protectors, at(NOW)).unwrap();
    backup(&mut Device::new(2).open(&storage), &tree("second"), NOW + 1);
    assert!(configs(&phone).iter().all(|name| configs(&storage).contains(name)));
}
