//! Beside a damaged commit: packs are used that only it may have named, and what is found out later counts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_repo::storage::{Folder, ObjectName, StorageErrorKind};
use hushkeep_repo::{CheckOptions, PruneError, PruneOptions, Quiet, Storage, UnlockError};
use hushkeep_storage::fault::Fault;
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

fn tree(text: &str) -> MemoryTree {
    MemoryTree::new(&[("message.txt", Node::File(text.as_bytes().to_vec()))])
}

fn replace(storage: &Arc<dyn Storage>, name: &ObjectName, object: &[u8]) {
    storage.delete(name).unwrap();
    storage.put(name, object).unwrap();
}

fn damaged(mut object: Vec<u8>) -> Vec<u8> {
    object[200] ^= 1;
    object
}

/// Two backups, by a device whose random numbers are always the same: whatever the second holds, its pack has the same id.
fn two_backups(second: &MemoryTree) -> (Arc<dyn Storage>, ObjectName) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("first"), NOW);
    let before = names(&storage, Folder::Packs);
    backup(&mut repository, second, NOW);
    let pack = names(&storage, Folder::Packs).into_iter().find(|pack| !before.contains(pack)).unwrap();
    (storage, pack)
}

/// Another pack lay in the place of the one that the damaged commit named, which came back with it.
#[test]
fn what_was_salvaged_is_given_up_for_what_is_named() {
    let (storage, pack) = two_backups(&tree("second, and longer"));
    let (other, same_pack) = two_backups(&tree("another, of another length"));
    assert_eq!(pack, same_pack);
    let commit: ObjectName = "commits/0000000002".parse().unwrap();
    let (whole_pack, whole_commit) = (storage.get(&pack).unwrap(), storage.get(&commit).unwrap());
    replace(&storage, &pack, &other.get(&pack).unwrap());
    replace(&storage, &commit, &damaged(whole_commit.clone()));

    let device = Device::new(2);
    let mut repository = device.open(&storage);
    assert_eq!(repository.snapshots().len(), 1);
    replace(&storage, &pack, &whole_pack);
    replace(&storage, &commit, &whole_commit);
    // It reads the history anew, for somebody else has published.
    backup(&mut Device::new(3).open(&storage), &tree("third of all"), NOW);
    backup(&mut repository, &tree("by the second device"), NOW + 7200);
    assert_restores(&repository, &repository.snapshots()[1], &tree("second, and longer"));
}

/// What is published is remembered, even if what comes next cannot be read just then.
#[test]
fn a_published_backup_is_remembered_though_the_storage_fails_then() {
    let (storage, _) = two_backups(&tree("second"));
    let first: ObjectName = "commits/0000000001".parse().unwrap();
    replace(&storage, &first, &damaged(storage.get(&first).unwrap()));
    let device = Device::new(2);
    let mut is_published = false;
    let failing: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), move |call| {
        is_published |= call.operation == Operation::Put && call.subject.starts_with("commits/");
        let fails = is_published && call.operation == Operation::List && call.subject.starts_with("packs");
        fails.then_some(Fault::Refuse(StorageErrorKind::Unreachable))
    }));
    let report = backup(&mut device.open(&failing), &tree("third of all"), NOW);
    assert!(report.snapshot.is_some());
    let newest: ObjectName = "commits/0000000003".parse().unwrap();
    assert_eq!(device.open(&storage).snapshots().len(), 2, "the first went with its commit");
    storage.delete(&newest).unwrap();
    assert!(device.try_open(&storage).is_err(), "it was seen");
}

/// What the guide tells to do about a damaged commit, once the backup after it is whole.
#[test]
fn a_damaged_commit_that_was_moved_away_keeps_nothing_from_working() {
    let (storage, _) = two_backups(&tree("second"));
    let (owner, damaged_one) = (Device::new(2), "commits/0000000002".parse().unwrap());
    owner.open(&storage);
    replace(&storage, &damaged_one, &damaged(storage.get(&damaged_one).unwrap()));
    let mut repository = owner.open(&storage);
    backup(&mut repository, &tree("third"), NOW);
    let options = PruneOptions { now: at(NOW), max_unused: 0.0, max_repack_bytes: 0, dry_run: false };
    assert!(matches!(repository.prune(&options, &Quiet), Err(PruneError::Incomplete(_))));

    storage.delete(&damaged_one).unwrap();
    assert!(matches!(owner.try_open(&storage), Err(UnlockError::RolledBack)), "it remembers that there was one");
    for device in [3, 4] {
        let mut repository = Device::new(device).open(&storage);
        assert_eq!((repository.snapshots().len(), repository.damaged_commits().len()), (2, 0));
        assert_restores(&repository, &repository.snapshots()[1], &tree("third"));
        repository.prune(&options, &Quiet).unwrap();
        assert!(repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap().findings.is_empty());
    }
}
