//! Several devices, storages that take only plain writes, and storages that go back in time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::{ProtectorId, RepositoryId};
use hushkeep_repo::state::{StateError, StateKey};
use hushkeep_repo::storage::{Features, Folder, ObjectName};
use hushkeep_repo::{
    BackupError, BackupOptions, CheckOptions, ConfigError, CreateError, FindError, LockedRepository, Protector,
    ProtectorKind, Quiet, ReadError, Repository, Source, State, Storage, UnlockError,
};
use hushkeep_storage::fault::{Call, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

fn storage(create_if_absent: bool) -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new(Features { create_if_absent }))
}

/// A folder with one file, whose time differs for different texts.
fn tree(text: &str) -> MemoryTree {
    let mut tree = MemoryTree::new(&[("note.txt", Node::File(text.as_bytes().to_vec()))]);
    tree.times.insert(path("note.txt"), 1_600_000_000 + text.bytes().map(i64::from).sum::<i64>());
    tree
}

fn copy_of(storage: &Arc<dyn Storage>) -> Arc<dyn Storage> {
    let copy: Arc<dyn Storage> = Arc::new(MemoryStorage::new(storage.features()));
    objects(storage).iter().for_each(|(name, bytes)| copy.put(name, bytes).unwrap());
    copy
}

#[test]
fn two_devices_that_alternate_see_each_other() {
    for create_if_absent in [true, false] {
        let storage = storage(create_if_absent);
        let (one, two) = (Device::new(1), Device::new(2));
        one.create(&storage);
        for day in 0..6 {
            let device = if day % 2 == 0 { &one } else { &two };
            backup(&mut device.open(&storage), &tree(&format!("day {day}")), NOW + day);
        }
        let repository = Device::new(3).open(&storage);
        let numbers: Vec<u64> = repository.snapshots().iter().map(|snapshot| snapshot.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        for (day, snapshot) in repository.snapshots().iter().enumerate() {
            assert_restores(&repository, snapshot, &tree(&format!("day {day}")));
        }
    }
}

#[test]
fn times_of_another_device_prove_nothing() {
    let storage = storage(true);
    let (one, mut two) = (tree("same length 1"), tree("same length 2"));
    two.times = one.times.clone();
    backup(&mut Device::new(1).create(&storage), &one, NOW);
    let mut other = Device::new(2).open(&storage);
    backup(&mut other, &two, NOW + 60);
    assert_restores(&other, &other.snapshots()[1], &two);
}

#[test]
fn two_writers_at_once_both_keep_their_snapshot() {
    for create_if_absent in [true, false] {
        let storage = storage(create_if_absent);
        Device::new(1).create(&storage);
        let mut one = Device::new(1).open(&storage);
        let mut two = Device::new(2).open(&storage);
        backup(&mut one, &tree("one"), NOW);
        backup(&mut two, &tree("two"), NOW);
        backup(&mut one, &tree("three"), NOW + 60);
        let repository = Device::new(3).open(&storage);
        assert_eq!(repository.snapshots().len(), 3);
        for text in ["one", "two", "three"] {
            let found = repository.snapshots().iter().any(|snapshot| {
                let target = MemoryTarget::default();
                restore_into(&repository, snapshot, &target, false).unwrap();
                let nodes = target.nodes.into_inner().unwrap();
                nodes[&path("chats/note.txt")] == Node::File(text.as_bytes().to_vec())
            });
            assert!(found, "{text} is in no snapshot");
        }
    }
}

#[test]
fn tips_that_a_stale_listing_left_apart_are_joined() {
    let storage = storage(false);
    Device::new(1).create(&storage);
    let other_half = copy_of(&storage);
    backup(&mut Device::new(1).open(&storage), &tree("one"), NOW);
    backup(&mut Device::new(2).open(&other_half), &tree("two"), NOW);
    objects(&other_half).iter().for_each(|(name, bytes)| storage.put(name, bytes).unwrap());

    let device = Device::new(3);
    assert_eq!(device.open(&storage).snapshots().len(), 2);
    backup(&mut device.open(&storage), &tree("three"), NOW + 60);
    let repository = Device::new(4).open(&storage);
    assert_eq!(repository.snapshots().len(), 3);
    assert_restores(&repository, repository.snapshots().last().unwrap(), &tree("three"));
}

#[test]
fn a_storage_that_goes_back_in_time_is_caught() {
    let storage = storage(true);
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree("one"), NOW);
    let earlier = copy_of(&storage);
    backup(&mut device.open(&storage), &tree("two"), NOW + 60);

    assert!(matches!(device.try_open(&earlier), Err(UnlockError::RolledBack)));
    // A device that has seen nothing later has no memory to compare with.
    assert!(Device::new(2).try_open(&earlier).is_ok());
    // Another writer's commit on the earlier state does not hide what is missing.
    backup(&mut Device::new(2).open(&earlier), &tree("other"), NOW + 90);
    assert!(matches!(device.try_open(&earlier), Err(UnlockError::RolledBack)));
    assert_eq!(device.open(&storage).snapshots().len(), 2);
}

/// Flips a bit in a commit.
fn damage(storage: &Arc<dyn Storage>, number: u64) {
    let name: ObjectName = format!("commits/{number:010}").parse().unwrap();
    let mut bytes = storage.get(&name).unwrap();
    bytes[100] ^= 1;
    storage.delete(&name).unwrap();
    storage.put(&name, &bytes).unwrap();
}

/// Whichever commit is damaged: every other snapshot is still there and whole, old devices and new ones are told,
/// and the next backup mends the chain.
#[test]
fn a_damaged_commit_hides_only_its_own_snapshot() {
    for damaged in 1..=6 {
        let storage = storage(true);
        let device = Device::new(1);
        device.create(&storage);
        for day in 1..=6 {
            backup(&mut device.open(&storage), &tree(&format!("day {day}")), NOW + day);
        }
        damage(&storage, damaged);
        for device in [&device, &Device::new(2)] {
            let repository = device.open(&storage);
            assert!(!repository.damaged_commits().is_empty());
            let numbers: Vec<u64> = repository.snapshots().iter().map(|snapshot| snapshot.number).collect();
            let expected: Vec<u64> = (1..=6).filter(|number| *number != damaged).collect();
            assert_eq!(numbers, expected, "commit {damaged} is damaged");
            for snapshot in repository.snapshots() {
                assert_restores(&repository, snapshot, &tree(&format!("day {}", snapshot.number)));
            }
            let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
            assert!(report.findings.iter().any(|finding| finding.damage.object.starts_with("commits/")));
            assert_eq!(report.unreferenced, 0);
        }
        backup(&mut device.open(&storage), &tree("day 7"), NOW + 7);
        let repository = Device::new(3).open(&storage);
        assert_eq!(repository.snapshots().len(), 6);
        for snapshot in repository.snapshots() {
            assert_restores(&repository, snapshot, &tree(&format!("day {}", snapshot.number)));
        }
    }
}

#[test]
fn a_wrong_key_is_told_before_anything_else() {
    let storage = storage(true);
    Device::new(1).create(&storage);
    let wrong = BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32]));
    let before = objects(&storage);
    let locked = LockedRepository::find(Arc::clone(&storage), None).unwrap();
    assert!(!locked.accepts(&wrong) && locked.accepts(&key()));
    let device = Device::new(2);
    let unlocked = locked.unlock(&wrong, device.state.clone(), device.rng(), at(NOW));
    assert!(matches!(unlocked, Err(UnlockError::WrongKey)));
    assert_eq!(objects(&storage), before);
}

#[test]
fn a_place_without_a_repository_is_told_and_two_in_one_have_their_keys() {
    let empty = storage(true);
    assert!(matches!(LockedRepository::find(Arc::clone(&empty), None), Err(FindError::NoRepository)));
    Device::new(1).create(&empty);
    let (state, id) = (Device::new(2).state, RepositoryId::from_bytes([9; 16]));
    let again = Repository::create(Arc::clone(&empty), state, &key(), id, at(NOW), Device::new(2).rng());
    assert!(matches!(again, Err(CreateError::Exists)));

    let (other, other_key) = (storage(true), BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32])));
    let state = Device::new(3).state;
    Repository::create(Arc::clone(&other), state, &other_key, id, at(NOW), Device::new(3).rng()).unwrap();
    objects(&other).iter().for_each(|(name, bytes)| empty.put(name, bytes).unwrap());
    let both = LockedRepository::find(empty, None).unwrap();
    assert!(both.id_for(&other_key) == Some(id) && both.id_for(&key()).is_some_and(|own| own != id));
}

fn passphrase(byte: u8) -> Protector {
    let kind = ProtectorKind::Passphrase(vec![byte; 50]);
    Protector::new(ProtectorId::from_bytes([byte; 4]), kind, format!("number {byte}"), at(NOW))
}

#[test]
fn protectors_change_and_the_configs_of_three_numbers_stay() {
    let storage = storage(true);
    let device = Device::new(1);
    let mut repository = device.create(&storage);
    for byte in 1..=5 {
        let protectors = [repository.protectors(), &[passphrase(byte)]].concat();
        repository.set_protectors(protectors, at(NOW)).unwrap();
    }
    assert_eq!(storage.list(Folder::Config).unwrap().len(), 6);
    assert_eq!(device.open(&storage).protectors().len(), 6);
    let locked = LockedRepository::find(Arc::clone(&storage), None).unwrap();
    assert_eq!(locked.protectors().count(), 6);
}

#[test]
fn one_damaged_config_locks_nobody_out() {
    let storage = storage(true);
    let mut repository = Device::new(1).create(&storage);
    let protectors = [repository.protectors(), &[passphrase(1)]].concat();
    repository.set_protectors(protectors, at(NOW)).unwrap();
    for info in storage.list(Folder::Config).unwrap() {
        let whole = storage.get(&info.name).unwrap();
        let mut damaged = whole.clone();
        let at = damaged.len() - 30;
        damaged[at] ^= 1;
        for bytes in [damaged, whole] {
            storage.delete(&info.name).unwrap();
            storage.put(&info.name, &bytes).unwrap();
            assert_eq!(Device::new(2).open(&storage).protectors().len(), 2, "{}", info.name);
        }
    }
}

#[test]
fn an_old_config_cannot_pass_for_the_newest() {
    let storage = storage(true);
    let device = Device::new(1);
    let mut repository = device.create(&storage);
    let first = storage.list(Folder::Config).unwrap()[0].name.clone();
    let old = storage.get(&first).unwrap();
    let protectors = [repository.protectors(), &[passphrase(1)]].concat();
    repository.set_protectors(protectors, at(NOW)).unwrap();

    // Shown under a higher number, it is found out by the number inside.
    storage.put(&"config/0000000009-00000000".parse().unwrap(), &old).unwrap();
    assert_eq!(device.open(&storage).protectors().len(), 2);

    // Shown alone, it is found out by the commit that names its successor.
    for info in storage.list(Folder::Config).unwrap() {
        if !info.name.file().starts_with("0000000001-") {
            storage.delete(&info.name).unwrap();
        }
    }
    assert!(matches!(Device::new(2).try_open(&storage), Err(UnlockError::Read(ReadError::Damaged(_)))));
}

#[test]
fn objects_of_another_repository_are_refused() {
    let (own, foreign) = (storage(true), storage(true));
    let device = Device::new(1);
    backup(&mut device.create(&own), &tree("own"), NOW);
    let state = Device::new(2).state;
    let id = RepositoryId::from_bytes([7; 16]);
    let mut other = Repository::create(Arc::clone(&foreign), state, &key(), id, at(NOW), Device::new(2).rng()).unwrap();
    backup(&mut other, &tree("foreign"), NOW);
    let commit: ObjectName = "commits/0000000001".parse().unwrap();
    let foreign_commit = foreign.get(&commit).unwrap();
    own.delete(&commit).unwrap();
    own.put(&commit, &foreign_commit).unwrap();
    assert!(matches!(Device::new(3).try_open(&own), Err(UnlockError::Read(ReadError::Damaged(_)))));
}

#[test]
fn files_of_other_programs_are_left_alone() {
    let storage = storage(true);
    let device = Device::new(1);
    let strays =
        ["config/readme", "commits/desktop-ini", "commits/18446744073709551615", "commits/0", "packs/x", "index/y"];
    let strays = strays.map(|name| name.parse::<ObjectName>().unwrap());
    let mut repository = device.create(&storage);
    strays.iter().for_each(|name| storage.put(name, b"not ours").unwrap());
    for byte in 1..=4 {
        let protectors = [repository.protectors(), &[passphrase(byte)]].concat();
        repository.set_protectors(protectors, at(NOW)).unwrap();
    }
    backup(&mut device.open(&storage), &tree("one"), NOW);
    assert_restores(&device.open(&storage), &device.open(&storage).snapshots()[0], &tree("one"));
    strays.iter().for_each(|name| assert_eq!(storage.get(name).unwrap(), b"not ours"));
}

#[test]
fn protectors_changed_by_two_devices_at_once_are_told() {
    let storage = storage(true);
    let mut repository = Device::new(1).create(&storage);
    let protectors = [repository.protectors(), &[passphrase(1)]].concat();
    let config = storage.list(Folder::Config).unwrap()[0].name.clone();
    let foreign: ObjectName = "config/0000000002-00000000".parse().unwrap();
    let conflicting = Arc::new(FaultStorage::new(Arc::clone(&storage), {
        let storage = Arc::clone(&storage);
        move |call: &Call| {
            if call.operation == Operation::Put && call.subject.starts_with("config/") {
                let _ = storage.put(&foreign, &storage.get(&config).unwrap());
            }
            None
        }
    }));
    let conflicting: Arc<dyn Storage> = conflicting;
    let mut other = Device::new(2).open(&conflicting);
    assert!(matches!(other.set_protectors(protectors.clone(), at(NOW)), Err(ConfigError::Conflict)));
    assert_eq!(storage.list(Folder::Config).unwrap().len(), 3);
    repository.set_protectors(protectors, at(NOW)).unwrap();
}

#[test]
fn a_commit_under_another_number_is_refused() {
    let storage = storage(true);
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree("one"), NOW);
    backup(&mut device.open(&storage), &tree("two"), NOW + 60);
    let first = storage.get(&"commits/0000000001".parse().unwrap()).unwrap();
    storage.put(&"commits/0000000009".parse().unwrap(), &first).unwrap();
    let mut other = Device::new(2).open(&storage);
    assert_eq!((other.snapshots().len(), other.damaged_commits().len()), (2, 1));
    backup(&mut other, &tree("three"), NOW + 90);
    assert_eq!(Device::new(3).open(&storage).snapshots().len(), 3);
}

/// A storage that shows no commit that came through this handle, whenever `lies` is set.
fn forgetful(storage: &Arc<dyn Storage>, lies: &Arc<AtomicBool>) -> Arc<dyn Storage> {
    let lies = Arc::clone(lies);
    Arc::new(FaultStorage::new(Arc::clone(storage), move |call: &Call| {
        let lists = call.operation == Operation::List && call.subject == "commits";
        (lists && lies.load(Ordering::Relaxed)).then_some(Fault::Stale(usize::MAX))
    }))
}

#[test]
fn a_storage_that_goes_back_while_a_backup_runs_is_caught_before_anything_is_published() {
    let (storage, lies) = (storage(false), Arc::new(AtomicBool::new(false)));
    let device = Device::new(1);
    device.create(&storage);
    let forgetful = forgetful(&storage, &lies);
    backup(&mut device.open(&forgetful), &tree("one"), NOW);
    let mut repository = device.open(&forgetful);
    lies.store(true, Ordering::Relaxed);
    let failed = try_backup(&mut repository, &tree("two"), NOW + 60);
    assert!(matches!(failed, Err(BackupError::RolledBack)));
    assert!(matches!(device.try_open(&forgetful), Err(UnlockError::RolledBack)));
    lies.store(false, Ordering::Relaxed);
    assert_eq!(device.open(&storage).snapshots().len(), 1);
}

#[test]
fn a_stray_file_with_a_high_number_uses_none_up() {
    let storage = storage(true);
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree("one"), NOW);
    for stray in ["commits/9223372036854775807", "commits/0000000002", "config/9223372036854775807-0"] {
        storage.put(&stray.parse().unwrap(), b"stray").unwrap();
    }
    for (text, number) in [("two", 3), ("three", 4)] {
        let report = backup(&mut device.open(&storage), &tree(text), NOW + i64::from(number));
        assert_eq!(report.snapshot.unwrap().number, u64::try_from(number).unwrap());
    }
    let mut repository = device.open(&storage);
    let protectors = [repository.protectors(), &[passphrase(1)]].concat();
    repository.set_protectors(protectors, at(NOW)).unwrap();
    assert_eq!(device.open(&storage).protectors().len(), 2);
    assert_eq!(Device::new(2).open(&storage).snapshots().len(), 3);
}

#[test]
fn a_protector_that_was_dropped_is_in_no_config_any_more() {
    let storage = storage(true);
    let mut repository = Device::new(1).create(&storage);
    let first = repository.protectors().to_vec();
    repository.set_protectors([first.as_slice(), &[passphrase(7)]].concat(), at(NOW)).unwrap();
    repository.set_protectors([first.as_slice(), &[passphrase(7), passphrase(8)]].concat(), at(NOW)).unwrap();
    repository.set_protectors([first.as_slice(), &[passphrase(8)]].concat(), at(NOW)).unwrap();
    for info in storage.list(Folder::Config).unwrap() {
        let object = storage.get(&info.name).unwrap();
        assert!(!object.windows(50).any(|window| window == [7; 50]), "{} still has it", info.name);
    }
    assert_eq!(Device::new(2).open(&storage).protectors().len(), 2);
}

#[test]
fn configs_of_another_repository_in_the_same_place_stay() {
    let (own, foreign) = (storage(true), storage(true));
    let (state, id) = (Device::new(2).state, RepositoryId::from_bytes([9; 16]));
    Repository::create(Arc::clone(&foreign), state, &key(), id, at(NOW), Device::new(2).rng()).unwrap();
    let mut repository = Device::new(1).create(&own);
    objects(&foreign).iter().for_each(|(name, bytes)| own.put(name, bytes).unwrap());
    let first = repository.protectors().to_vec();
    repository.set_protectors([first.as_slice(), &[passphrase(7)]].concat(), at(NOW)).unwrap();
    repository.set_protectors(first.clone(), at(NOW)).unwrap();
    let next_key = BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32]));
    repository.rotate(&next_key, first, at(NOW)).unwrap();
    assert!(names(&foreign, Folder::Config).iter().all(|name| own.get(name).is_ok()));
    assert_eq!(names(&own, Folder::Config).len(), 4, "two of each");
}

#[test]
fn an_old_view_of_the_protectors_undoes_nothing() {
    let storage = storage(true);
    let mut one = Device::new(1).create(&storage);
    let mut two = Device::new(2).open(&storage);
    let first = one.protectors().to_vec();
    one.set_protectors([first.as_slice(), &[passphrase(1)]].concat(), at(NOW)).unwrap();
    let late = two.set_protectors([first.as_slice(), &[passphrase(2)]].concat(), at(NOW));
    assert!(matches!(late, Err(ConfigError::Conflict)));
    // A backup of the device with the old view does not let the storage hide the newer config.
    backup(&mut two, &tree("two"), NOW + 60);
    for info in storage.list(Folder::Config).unwrap() {
        if info.name.file().starts_with("0000000002-") {
            storage.delete(&info.name).unwrap();
        }
    }
    assert!(matches!(Device::new(3).try_open(&storage), Err(UnlockError::Read(ReadError::Damaged(_)))));
}

#[test]
fn another_writers_snapshot_is_readable_through_the_same_repository() {
    let storage = storage(true);
    let mut one = Device::new(1).create(&storage);
    let mut two = Device::new(2).open(&storage);
    backup(&mut two, &tree("two"), NOW);
    backup(&mut one, &tree("one"), NOW + 60);
    let snapshots = one.snapshots().to_vec();
    assert_restores(&one, &snapshots[0], &tree("two"));
    assert_restores(&one, &snapshots[1], &tree("one"));
}

#[test]
fn labels_that_no_reader_takes_are_refused_before_anything_is_stored() {
    let storage = storage(true);
    let mut repository = Device::new(1).create(&storage);
    let tree = tree("one");
    for labels in [&["a/b"][..], &[""], &["a", "a"]] {
        let sources = labels.iter().map(|label| Source { label: path(label), path: b"/x".to_vec(), tree: &tree });
        let options = BackupOptions::new(at(NOW), "phone".into());
        let refused = repository.backup(&sources.collect::<Vec<_>>(), &options, &Quiet);
        assert!(matches!(refused, Err(BackupError::Labels)), "{labels:?}");
    }
    assert!(storage.list(Folder::Packs).unwrap().is_empty() && storage.list(Folder::Commits).unwrap().is_empty());
}

/// Two devices that take turns, then one flipped bit in a commit that one of them remembers and nobody else needs.
#[test]
fn an_old_commit_that_rots_locks_nobody_out() {
    let storage = storage(true);
    let (one, two) = (Device::new(1), Device::new(2));
    one.create(&storage);
    backup(&mut one.open(&storage), &tree("one"), NOW);
    for day in 1..=40 {
        backup(&mut two.open(&storage), &tree(&format!("day {day}")), NOW + day);
    }
    let whole = storage.get(&"commits/0000000001".parse().unwrap()).unwrap();
    damage(&storage, 1);
    assert_eq!(Device::new(3).open(&storage).snapshots().len(), 41);
    let repository = one.open(&storage);
    assert_eq!((repository.snapshots().len(), repository.damaged_commits().len()), (41, 1));

    // Neither is a backup meanwhile, which leaves the row of the damaged commit out.
    let mut two = two.open(&storage);
    backup(&mut one.open(&storage), &tree("meanwhile"), NOW + 41);
    backup(&mut two, &tree("meanwhile"), NOW + 42);
    assert_eq!(Device::new(4).open(&storage).snapshots().len(), 43);

    // Put back from a copy, it is no alarm either.
    storage.delete(&"commits/0000000001".parse().unwrap()).unwrap();
    storage.put(&"commits/0000000001".parse().unwrap(), &whole).unwrap();
    assert!(one.open(&storage).damaged_commits().is_empty());
}

#[test]
fn a_copy_of_a_commit_under_another_name_is_no_alarm() {
    let storage = storage(false);
    let (one, two) = (Device::new(1), Device::new(2));
    one.create(&storage);
    backup(&mut one.open(&storage), &tree("one"), NOW);
    backup(&mut one.open(&storage), &tree("two"), NOW + 1);
    for info in storage.list(Folder::Commits).unwrap() {
        let copy = format!("{}-zzzzzzzz", &info.name.file()[..10]);
        let bytes = storage.get(&info.name).unwrap();
        storage.put(&ObjectName::new(Folder::Commits, copy).unwrap(), &bytes).unwrap();
    }
    backup(&mut two.open(&storage), &tree("three"), NOW + 2);
    let repository = one.open(&storage);
    assert_eq!((repository.snapshots().len(), repository.damaged_commits().len()), (3, 0));
}

#[test]
fn what_was_damaged_is_not_forgotten_by_the_next_backup() {
    let storage = storage(true);
    let device = Device::new(1);
    device.create(&storage);
    for day in 1..=3 {
        backup(&mut device.open(&storage), &tree(&format!("day {day}")), NOW + day);
    }
    damage(&storage, 3);
    let report = backup(&mut device.open(&storage), &tree("day 4"), NOW + 4);
    assert!(report.damage.iter().any(|damage| damage.object == "commits/0000000003"));
    storage.delete(&"commits/0000000003".parse().unwrap()).unwrap();
    assert!(matches!(device.try_open(&storage), Err(UnlockError::RolledBack)));
}

/// Of a remembered commit with a damaged base nobody can tell whether the history still says all that it said.
#[test]
fn what_has_a_damaged_base_is_not_forgotten_by_the_next_backup() {
    let storage = storage(true);
    let (one, two) = (Device::new(1), Device::new(2));
    one.create(&storage);
    for day in 1..=3 {
        backup(&mut one.open(&storage), &tree(&format!("day {day}")), NOW + day);
    }
    damage(&storage, 2);
    backup(&mut two.open(&storage), &tree("day 4"), NOW + 4);
    backup(&mut one.open(&storage), &tree("day 5"), NOW + 5);
    storage.delete(&"commits/0000000003".parse().unwrap()).unwrap();
    assert!(matches!(one.try_open(&storage), Err(UnlockError::RolledBack)));
}

/// A commit is damaged as a base, a full one follows, then the damaged one is put back from a copy.
#[test]
fn a_commit_that_comes_back_whole_brings_its_snapshot_back() {
    let storage = storage(true);
    let (one, two) = (Device::new(1), Device::new(2));
    one.create(&storage);
    backup(&mut one.open(&storage), &tree("one"), NOW);
    backup(&mut one.open(&storage), &tree("two"), NOW + 1);
    let name: ObjectName = "commits/0000000002".parse().unwrap();
    let whole = storage.get(&name).unwrap();
    backup(&mut two.open(&storage), &tree("three"), NOW + 2);
    damage(&storage, 2);
    for day in 4..=40 {
        backup(&mut two.open(&storage), &tree(&format!("day {day}")), NOW + day);
    }
    storage.delete(&name).unwrap();
    storage.put(&name, &whole).unwrap();
    let repository = one.open(&storage);
    assert!(repository.damaged_commits().is_empty());
    assert_eq!(repository.snapshots().len(), 40);
    assert_eq!(Device::new(3).open(&storage).snapshots().len(), 40);
}

/// A device whose disk is full: what it remembers can be read, and nothing is added.
struct FullState(Arc<MemoryState>);

impl State for FullState {
    fn load(&self, key: StateKey) -> Result<Option<Vec<u8>>, StateError> {
        self.0.load(key)
    }

    fn store(&self, key: StateKey, _: &[u8]) -> Result<(), StateError> {
        Err(StateError { entry: key.name(), action: "written", source: "no space left".into() })
    }
}

#[test]
fn who_cannot_remember_can_still_read() {
    let storage = storage(true);
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree("day"), NOW);
    let state = Arc::new(FullState(device.state.clone()));
    let locked = LockedRepository::find(Arc::clone(&storage), None).unwrap();
    let mut repository = locked.unlock(&key(), state, device.rng(), at(NOW)).unwrap();
    assert_eq!(repository.unremembered().map(|error| error.action), Some("written"));
    assert_restores(&repository, &repository.snapshots()[0], &tree("day"));
    assert!(matches!(try_backup(&mut repository, &tree("next day"), NOW + 60), Err(BackupError::State(_))));
    assert!(device.open(&storage).unremembered().is_none());
}
