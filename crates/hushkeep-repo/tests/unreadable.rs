//! A disk that cannot read what it lists, for a while: what is decided then must not outlast it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_repo::state::StateKey;
use hushkeep_repo::storage::{Folder, StorageErrorKind};
use hushkeep_repo::{
    BackupOptions, CheckError, CheckOptions, ConfigError, DamageCause, Quiet, ReadError, RebuildError, RotateError,
    Source, State, Storage, UnlockError, rebuild_config,
};
use hushkeep_storage::fault::{Call, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

fn tree() -> MemoryTree {
    MemoryTree::new(&[("picture.jpg", Node::File(random(1, 200_000))), ("note.txt", Node::File(b"hello".to_vec()))])
}

fn memory(device: &Device) -> Arc<dyn Storage> {
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    backup(&mut device.create(&memory), &tree(), NOW);
    memory
}

/// The storage as a disk of which some reads fail.
fn disk(memory: &Arc<dyn Storage>, mut fails: impl FnMut(&Call<'_>) -> bool + Send + 'static) -> Arc<dyn Storage> {
    let plan = move |call: &Call<'_>| fails(call).then_some(Fault::Refuse(StorageErrorKind::Unreadable));
    Arc::new(FaultStorage::new(Arc::clone(memory), plan))
}

/// What was written under the key of before does not count beside it.
#[test]
fn a_rotation_that_cannot_be_read_for_a_moment_lets_nothing_else_in() {
    let device = Device::new(1);
    let memory = memory(&device);
    let mut repository = device.open(&memory);
    repository.rotate(&place::new_key(), repository.protectors().to_vec(), at(NOW)).unwrap();
    let mut reads = 0;
    let shaky = disk(&memory, move |call| {
        let is_rotation = call.operation == Operation::Get && call.subject == "commits/0000000002";
        reads += u32::from(is_rotation);
        is_rotation && reads == 1
    });
    let opened = place::open_with(&place::new_key(), &device, &shaky);
    let error = opened.err().unwrap();
    let UnlockError::Read(ReadError::Damaged(damage)) = &error else { panic!("{error:?}") };
    assert_eq!(damage.object, "commits/0000000002");
    assert!(place::open_with(&place::new_key(), &device, &shaky).unwrap().is_key_proven());
}

#[test]
fn a_disk_that_is_pulled_out_condemns_no_pack() {
    let device = Device::new(1);
    let memory = memory(&device);
    let mut is_gone = false;
    let pulled = disk(&memory, move |call| {
        is_gone |= call.operation == Operation::GetRange && call.subject.starts_with("packs/");
        is_gone
    });
    let checked = device.open(&pulled).check(&CheckOptions { read_data: 1.0 }, &Quiet);
    assert!(matches!(checked, Err(CheckError::Read(ReadError::Storage(_)))), "{checked:?}");

    // While a backup looks at what is there, after it has stored its own.
    let (mut has_stored, mut is_gone) = (false, false);
    let pulled = disk(&memory, move |call| {
        let is_pack = call.subject.starts_with("packs/");
        has_stored |= call.operation == Operation::Put && is_pack;
        is_gone |= has_stored && call.operation == Operation::GetRange && is_pack;
        is_gone
    });
    let mut tree = tree();
    tree.set("diary.txt", Node::File(vec![1; 100]));
    let options = BackupOptions::new(at(NOW), "phone".into());
    let source = Source { label: path("chats"), path: b"/data/chats".to_vec(), tree: &tree };
    assert!(device.open(&pulled).backup(&[source], &options, &Quiet).is_err());
    assert!(device.state.load(StateKey::BadPacks).unwrap().is_none());
    assert!(backup(&mut device.open(&memory), &tree, NOW + 60).damage.is_empty());
}

/// It may be read again later, and would be under an old key then.
#[test]
fn the_key_is_not_replaced_while_a_commit_cannot_be_read() {
    let device = Device::new(1);
    let memory = memory(&device);
    backup(&mut Device::new(2).open(&memory), &tree(), NOW + 60);
    let newest = names(&memory, Folder::Commits).pop().unwrap().to_string();
    let bad = disk(&memory, move |call| call.subject == newest);
    let mut repository = device.open(&bad);
    assert_eq!(repository.snapshots().len(), 1);
    let key = BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32]));
    let protectors = repository.protectors().to_vec();
    let refused = repository.rotate(&key, protectors, at(NOW));
    let Err(RotateError::Unchanged(ConfigError::Read(ReadError::Damaged(damage)))) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(damage.cause, DamageCause::Unreadable);
    // A backup does no harm: what can be read again is joined.
    backup(&mut repository, &tree(), NOW + 120);
    assert_eq!(device.open(&memory).snapshots().len(), 3);
}

/// The passphrases in them would be lost.
#[test]
fn no_config_is_made_beside_one_that_cannot_be_read() {
    let memory = memory(&Device::new(1));
    let before = names(&memory, Folder::Config);
    for folder in ["config/", "commits/"] {
        let bad = disk(&memory, move |call| call.operation != Operation::List && call.subject.starts_with(folder));
        let refused = rebuild_config(&bad, &key(), at(NOW), &mut Device::new(8).rng());
        assert!(matches!(refused, Err(RebuildError::Read(ReadError::Storage(_)))), "{folder}: {refused:?}");
    }
    assert_eq!(names(&memory, Folder::Config), before);
}
