//! Forgetting, pruning and rotating: what leaves, what stays, and when.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;
#[path = "common/reseal.rs"]
mod reseal;

use std::sync::Arc;

use common::place::*;
use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_repo::storage::{Features, Folder, StorageErrorKind};
use hushkeep_repo::{
    CheckOptions, LockedRepository, Protector, ProtectorKind, PruneError, PruneOptions, Quiet, Repository, RotateError,
    Storage, UnlockError,
};
use hushkeep_storage::fault::Fault;
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

const ID: ProtectorId = ProtectorId::from_bytes([1; 4]);

fn forget(repository: &mut Repository, numbers: &[u64], place: &Place) {
    let gone = repository.snapshots().iter().filter(|snapshot| numbers.contains(&snapshot.number));
    let ids: Vec<_> = gone.map(|snapshot| snapshot.id).collect();
    assert_eq!(ids.len(), numbers.len());
    repository.forget(&ids, at(place.now)).unwrap();
}

fn database(seeds: &[u64]) -> Node {
    Node::Database { page_size: 4096, bytes: seeds.iter().flat_map(|seed| random(*seed, 4096)).collect() }
}

/// A tree with a database of these pages and a file of its own.
fn tree(pages: &[u64], file: u64) -> MemoryTree {
    let mut tree = MemoryTree::new(&[("chat.db", database(pages)), ("file.jpg", Node::File(random(file, 50_000)))]);
    // Another file has another time.
    tree.times.insert(path("file.jpg"), 1_600_000_000 + i64::try_from(file).unwrap());
    tree
}

fn assert_whole(repository: &Repository) {
    let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// The snapshots that a device without memory finds, by number.
fn numbers(place: &Place) -> Vec<u64> {
    Device::new(77).open(&place.storage).snapshots().iter().map(|snapshot| snapshot.number).collect()
}

#[test]
fn a_forgotten_snapshot_is_gone_and_its_bytes_follow_when_they_waited() {
    for (exclusive, wait) in [(true, DAY), (false, 7 * DAY)] {
        let mut place = Place::new(exclusive);
        let mut repository = Device::new(1).create(&place.storage);
        let (first, second) = (tree(&[1, 2, 3], 100), tree(&[4, 5, 6], 101));
        backup(&mut repository, &first, NOW);
        backup(&mut repository, &second, NOW + 60);
        let first_id = repository.snapshots()[0].id;
        let preview = repository.preview_prune(&[first_id], &options(&place)).unwrap();
        assert_eq!((preview.marked.packs, place.count(Folder::Packs)), (1, 2), "{preview:?}");
        assert_eq!(prune(&mut repository, &place).marked.packs, 0);
        forget(&mut repository, &[1], &place);
        assert_eq!(numbers(&place), [2]);
        let forgotten: Vec<u64> = repository.forgotten_snapshots().map(|snapshot| snapshot.number).collect();
        assert_eq!(forgotten, [1]);

        let report = prune(&mut repository, &place);
        assert_eq!((report.marked.packs, report.dropped.packs, report.deleted), (1, 0, 0), "{report:?}");
        // The second snapshot's lists are based on the first one's: those were copied.
        assert_eq!((place.count(Folder::Packs), report.written.packs), (3, 1));
        place.wait(wait - 1);
        let report = prune(&mut repository, &place);
        assert_eq!((report.waiting.packs, report.wait_seconds), (1, wait.unsigned_abs()));
        assert_eq!(report.next_drop_seconds, Some(1));
        assert_eq!(place.count(Folder::Packs), 3);
        place.wait(1);
        let dry_run = PruneOptions { dry_run: true, ..options(&place) };
        for options in [dry_run, options(&place)] {
            let report = repository.prune(&options, &Quiet).unwrap();
            assert_eq!((report.dropped.packs, report.waiting.packs), (1, 0), "{report:?}");
        }
        if !exclusive {
            assert_eq!(place.count(Folder::Packs), 3, "who replaces the key now may not have seen that it was dropped");
            place.wait(wait);
            prune(&mut repository, &place);
            let commits = place.count(Folder::Commits);
            prune(&mut repository, &place);
            assert_eq!(place.count(Folder::Commits), commits, "the clock was set once");
        }
        assert_eq!(place.count(Folder::Packs), 2);
        assert_restores(&repository, &repository.snapshots()[0], &second);
        let other = Device::new(2).open(&place.storage);
        assert_restores(&other, &other.snapshots()[0], &second);
        assert_whole(&other);
    }
}

#[test]
fn an_object_with_a_time_of_the_future_shortens_no_wait() {
    let place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    backup(&mut repository, &tree(&[1, 2, 3], 100), NOW);
    backup(&mut repository, &tree(&[4, 5, 6], 101), NOW + 60);
    let put_in_future = |from: &str, name: &str| {
        let (from, name) = (from.parse().unwrap(), name.parse().unwrap());
        let object = place.storage.get(&from).unwrap();
        place.storage.delete(&name).unwrap();
        place.memory.set_time(at(NOW + 3650 * DAY));
        place.storage.put(&name, &object).unwrap();
        place.memory.set_time(at(NOW));
    };
    put_in_future("commits/0000000001", "commits/0000000001");
    // As a backup leaves it that is still under way.
    let index = format!("index/{}", "5".repeat(32)).parse().unwrap();
    place.storage.put(&index, b"an index object").unwrap();
    forget(&mut repository, &[1], &place);
    for _ in 0..2 {
        let newest = place.storage.list(Folder::Commits).unwrap().pop().unwrap().name.to_string();
        put_in_future(&newest, &format!("{newest}-zzzzzzzz"));
        let report = prune(&mut repository, &place);
        assert_eq!((report.dropped.packs, report.deleted), (0, 0), "{report:?}");
    }
    assert_eq!(place.count(Folder::Packs), 3);
}

#[test]
fn a_prune_with_nothing_to_do_changes_nothing() {
    let mut place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    backup(&mut repository, &tree(&[1], 2), NOW);
    place.wait(100 * DAY);
    let before = place.count(Folder::Commits) + place.count(Folder::Index);
    assert_eq!(prune(&mut repository, &place).deleted, 0);
    assert_eq!(place.count(Folder::Commits) + place.count(Folder::Index), before);
}

/// Else each prune would store the whole index anew, and publish what changes nothing.
#[test]
fn a_pack_of_which_the_status_cannot_grow_stays_and_costs_nothing() {
    const HIGHEST_LIVE: u8 = 254;
    let mut place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    backup(&mut repository, &tree(&[1], 2), NOW);
    let first = [names(&place.storage, Folder::Packs), names(&place.storage, Folder::Commits)].concat();
    backup(&mut repository, &tree(&[3], 4), NOW + 60);
    let second = |folder| names(&place.storage, folder).into_iter().find(|name| !first.contains(name)).unwrap();
    let id = second(Folder::Packs).file().parse().unwrap();
    reseal::change(&place.storage, &second(Folder::Commits), |object| {
        reseal::with_commit_body(&object, |body| {
            let row = reseal::place_of_pack_row(body, &id);
            body[row + 17] = HIGHEST_LIVE;
        })
    });
    let mut repository = Device::new(2).open(&place.storage);
    forget(&mut repository, &[2], &place);
    place.wait(100 * DAY);
    let before = objects(&place.storage);
    assert_eq!(prune(&mut repository, &place).marked.packs, 0);
    assert!(objects(&place.storage) == before);
}

/// A database whose pages change one after the other: of its first pack ever less is needed.
#[test]
fn what_is_left_of_packs_is_put_together_anew() {
    let mut place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    let mut pages: Vec<u64> = (0..64).collect();
    let mut trees = Vec::new();
    for day in 0..20 {
        pages[(day * 5) % 64] = 1000 + day as u64;
        pages.push(2000 + day as u64);
        trees.push(tree(&pages, 100 + day as u64));
        backup(&mut repository, &trees[day], NOW + day as i64 * DAY);
        place.wait(DAY);
    }
    forget(&mut repository, &(1..20).collect::<Vec<_>>(), &place);
    let before = place.bytes();
    let dry = repository.prune(&PruneOptions { dry_run: true, ..options(&place) }, &Quiet).unwrap();
    let report = prune(&mut repository, &place);
    assert_eq!((dry.repacked, dry.marked), (report.repacked, report.marked));
    assert!(report.repacked.packs > 0 && report.written.packs == 1, "{report:?}");
    place.wait(DAY);
    let report = prune(&mut repository, &place);
    assert_eq!(place.count(Folder::Packs), 1, "{report:?}");
    assert!(place.bytes() < before / 2, "{} of {before}", place.bytes());
    let mut other = Device::new(2).open(&place.storage);
    assert_restores(&other, &other.snapshots()[0], &trees[19]);
    assert_whole(&other);

    // A backup goes on from there, and stores only what is new.
    pages[0] = 5000;
    let next = tree(&pages, 119);
    let report = backup(&mut other, &next, NOW + 30 * DAY);
    assert_eq!(report.bytes_new, 4096);
    assert_restores(&other, &other.snapshots()[1], &next);
    let report = prune(&mut other, &place);
    assert_eq!(report.repacked.packs, 0, "a pack of which all is needed is left alone: {report:?}");
}

#[test]
fn the_limit_of_cost_holds() {
    let place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    let pages: Vec<u64> = (0..64).collect();
    backup(&mut repository, &tree(&pages, 1), NOW);
    backup(&mut repository, &tree(&pages[..32], 2), NOW + DAY);
    forget(&mut repository, &[1], &place);
    let little = PruneOptions { max_repack_bytes: 1000, ..options(&place) };
    let report = repository.prune(&little, &Quiet).unwrap();
    assert_eq!((report.repacked.packs, report.marked.packs), (0, 0));
    assert!(report.unused_bytes > 100_000, "{report:?}");
    let tolerant = PruneOptions { max_unused: 0.9, ..options(&place) };
    assert_eq!(repository.prune(&tolerant, &Quiet).unwrap().repacked.packs, 0);
    assert_eq!(prune(&mut repository, &place).repacked.packs, 1);
}

/// Who prunes because the storage is full must not fill it.
#[test]
fn a_prune_that_a_full_storage_ends_leaves_no_copies() {
    // One pack for the second backup's lists, and one index object. Then a copy fits; or both do, and the index does not.
    for (folder, fit) in [(Folder::Packs, 2), (Folder::Index, 1)] {
        let place = Place::new(true);
        let mut pictures = MemoryTree::new(&[]);
        (0..60).for_each(|number| pictures.set(&format!("{number:02}.jpg"), Node::File(random(number, 1_000_000))));
        backup(&mut Device::new(1).create(&place.storage), &pictures, NOW);
        (0..60).step_by(2).for_each(|number| pictures.remove(&format!("{number:02}.jpg")));
        let mut puts = 0;
        let full: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&place.storage), move |call| {
            let is_one = call.operation == Operation::Put && call.subject.starts_with(folder.name());
            puts += u32::from(is_one);
            (is_one && puts > fit).then_some(Fault::Refuse(StorageErrorKind::Full))
        }));
        let mut repository = Device::new(1).open(&full);
        backup(&mut repository, &pictures, NOW + 60);
        forget(&mut repository, &[1], &place);
        let before = names(&place.storage, Folder::Packs);
        let pruned = repository.prune(&options(&place), &Quiet);
        assert!(matches!(pruned, Err(PruneError::Storage(_))), "{pruned:?}");
        assert_eq!(names(&place.storage, Folder::Packs), before);
    }
}

#[test]
fn many_small_packs_become_one() {
    let mut place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    let mut tree = MemoryTree::new(&[]);
    for day in 0..20 {
        tree.set(&format!("{day:02}.jpg"), Node::File(random(day, 5000)));
        backup(&mut repository, &tree, NOW + day as i64 * DAY);
    }
    assert_eq!(place.count(Folder::Packs), 20);
    prune(&mut repository, &place);
    place.wait(DAY);
    prune(&mut repository, &place);
    assert_eq!(place.count(Folder::Packs), 1);
    assert_eq!(numbers(&place).len(), 20);
    assert_restores(&repository, &repository.snapshots()[19], &tree);
    assert_whole(&repository);
}

/// One device forgets and prunes while another backs up upon what it opened before.
#[test]
fn a_backup_under_way_brings_back_what_is_marked_and_replaces_what_is_dropped() {
    for (wait, exclusive) in [(0, true), (2 * DAY, true), (0, false), (2 * DAY, false), (8 * DAY, false)] {
        let mut place = Place::new(exclusive);
        let (owner, late) = (Device::new(1), Device::new(2));
        owner.create(&place.storage);
        let first = tree(&[1, 2, 3, 4], 7);
        let mut late_repository = late.open(&place.storage);
        backup(&mut late_repository, &first, NOW);
        let mut pruner = owner.open(&place.storage);
        let mut late_repository = late.open(&place.storage);

        forget(&mut pruner, &[1], &place);
        prune(&mut pruner, &place);
        place.wait(wait);
        prune(&mut pruner, &place);
        let changed = tree(&[1, 2, 3, 9], 7);
        backup(&mut late_repository, &changed, NOW + 60);

        let other = Device::new(3).open(&place.storage);
        assert_eq!(other.snapshots().len(), 1);
        assert_restores(&other, &other.snapshots()[0], &changed);
        assert_whole(&other);
        place.wait(30 * DAY);
        let mut pruner = owner.open(&place.storage);
        prune(&mut pruner, &place);
        place.wait(30 * DAY);
        prune(&mut pruner, &place);
        let other = Device::new(4).open(&place.storage);
        assert_restores(&other, &other.snapshots()[0], &changed);
        assert_whole(&other);
    }
}

#[test]
fn a_storage_that_never_deletes_still_works() {
    let mut place = Place::new(true);
    let refuse = |call: &hushkeep_storage::fault::Call<'_>| {
        (call.operation == Operation::Delete).then_some(Fault::Refuse(StorageErrorKind::Denied))
    };
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&place.storage), refuse));
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(&[1, 2], 1), NOW);
    backup(&mut repository, &tree(&[3, 4], 2), NOW);
    forget(&mut repository, &[1], &place);
    prune(&mut repository, &place);
    place.wait(DAY);
    let report = prune(&mut repository, &place);
    assert_eq!((report.dropped.packs, report.deleted), (1, 0));
    assert!(report.undeleted.iter().any(|name| name.starts_with("packs/")), "{report:?}");
    let mut other = Device::new(2).open(&storage);
    backup(&mut other, &tree(&[3, 4, 1], 2), NOW + DAY);
    assert_restores(&other, &other.snapshots()[1], &tree(&[3, 4, 1], 2));
    assert_whole(&other);
    let refused = other.set_protectors(other.protectors()[..0].to_vec(), at(NOW)).unwrap();
    assert!(refused.iter().all(|name| name.starts_with("config/")) && !refused.is_empty());
}

#[test]
fn without_the_storages_clock_nothing_is_dropped() {
    let memory = MemoryStorage::default();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(&[1], 1), NOW);
    backup(&mut repository, &tree(&[2], 2), NOW);
    let gone = repository.snapshots()[0].id;
    repository.forget(&[gone], at(NOW)).unwrap();
    let late = PruneOptions { now: at(NOW + 900 * DAY), max_unused: 0.0, max_repack_bytes: 0, dry_run: false };
    for _ in 0..2 {
        let report = repository.prune(&late, &Quiet).unwrap();
        assert!(report.no_clock && report.dropped.packs == 0 && report.deleted == 0, "{report:?}");
    }
    assert_eq!(storage.list(Folder::Packs).unwrap().len(), 2);
}

#[test]
fn nothing_is_pruned_beside_damage() {
    let place = Place::new(true);
    let mut repository = Device::new(1).create(&place.storage);
    backup(&mut repository, &tree(&[1], 1), NOW);
    backup(&mut repository, &tree(&[2], 2), NOW);
    let commit = place.storage.list(Folder::Commits).unwrap().remove(1).name;
    place.storage.delete(&commit).unwrap();
    place.storage.put(&commit, b"damaged").unwrap();
    let mut repository = Device::new(2).open(&place.storage);
    assert!(matches!(repository.prune(&options(&place), &Quiet), Err(PruneError::Incomplete(_))));
}

/// A commit a day for a year: those that nothing needs any more go, and devices that come back late are not alarmed.
#[test]
fn old_commits_go_and_nobody_takes_it_for_a_roll_back() {
    let mut place = Place::new(true);
    let device = Device::new(1);
    let mut repository = device.create(&place.storage);
    let (seldom, mut tree) = (Device::new(2), MemoryTree::new(&[]));
    for day in 0..200u8 {
        tree.set("a", Node::File(vec![day; 100]));
        backup(&mut repository, &tree, place.now);
        if day == 3 {
            seldom.open_at(&place.storage, place.now).unwrap();
        }
        place.wait(DAY);
        if day % 20 == 19 {
            let old: Vec<_> = repository.snapshots().iter().rev().skip(5).map(|snapshot| snapshot.id).collect();
            repository.forget(&old, at(place.now)).unwrap();
            prune(&mut repository, &place);
        }
    }
    assert!(place.count(Folder::Commits) < 170, "{} commits", place.count(Folder::Commits));
    assert!(place.count(Folder::Packs) < 50 && place.count(Folder::Index) < 10);
    assert_eq!(seldom.open_at(&place.storage, place.now).unwrap().snapshots().len(), 5);
    let other = Device::new(3).open(&place.storage);
    assert_restores(&other, other.snapshots().last().unwrap(), &tree);
    assert_whole(&other);

    // One that cannot be read may be based on any of them: they stay, and all else goes on.
    place.wait(40 * DAY);
    let commits = place.storage.list(Folder::Commits).unwrap();
    let damaged = commits[commits.len() - 20].name.clone();
    place.storage.delete(&damaged).unwrap();
    place.storage.put(&damaged, b"damaged").unwrap();
    let mut repository = Device::new(4).open(&place.storage);
    let report = prune(&mut repository, &place);
    assert_eq!(report.damage.iter().map(|damage| &damage.object).collect::<Vec<_>>(), [&damaged.to_string()]);
    assert!(report.deleted > 0);
    assert!(place.count(Folder::Commits) >= commits.len());
    place.storage.delete(&damaged).unwrap();
    let oldest = repository.snapshots()[0].number;
    forget(&mut repository, &[oldest], &place);
    prune(&mut repository, &place);
    assert!(place.count(Folder::Commits) < commits.len() - 30);
}

#[test]
fn after_a_rotation_only_the_new_key_opens_and_nothing_is_sent_again() {
    for exclusive in [true, false] {
        let place = Place::new(exclusive);
        let device = Device::new(1);
        let mut repository = device.create(&place.storage);
        let first = tree(&[1, 2, 3], 4);
        backup(&mut repository, &first, NOW);
        let protectors = repository.protectors().to_vec();
        assert!(repository.rotate(&new_key(), protectors, at(NOW)).unwrap().is_empty());
        let second = tree(&[1, 2, 9], 4);
        assert_eq!(backup(&mut repository, &second, NOW + 60).bytes_new, 4096);

        assert!(matches!(device.try_open(&place.storage), Err(UnlockError::WrongKey)));
        for device in [&device, &Device::new(2)] {
            let repository = open_with(&new_key(), device, &place.storage).unwrap();
            assert_restores(&repository, &repository.snapshots()[0], &first);
            assert_restores(&repository, &repository.snapshots()[1], &second);
            assert_whole(&repository);
        }
    }
}

/// The device dies between the new config and the commit that names it: the old key goes on, and so do the ways to it.
#[test]
fn the_old_protectors_are_found_below_those_of_a_rotation_that_was_not_completed() {
    let place = Place::new(true);
    let device = Device::new(1);
    let mut repository = device.create(&place.storage);
    let recovery_key = repository.protectors().to_vec();
    backup(&mut repository, &tree(&[1], 1), NOW);
    let passphrase = |byte| Protector::new(ID, ProtectorKind::Passphrase(vec![byte]), String::new(), at(NOW));
    repository.set_protectors([recovery_key.as_slice(), &[passphrase(1)]].concat(), at(NOW)).unwrap();
    let dying = FaultStorage::new(Arc::clone(&place.storage), |call| {
        (call.operation == Operation::Put && call.subject.starts_with("commits/")).then_some(Fault::CrashBefore)
    });
    let dying: Arc<dyn Storage> = Arc::new(dying);
    let mut dead = device.open(&dying);
    let failed = dead.rotate(&new_key(), [recovery_key.as_slice(), &[passphrase(2)]].concat(), at(NOW));
    assert!(matches!(failed, Err(RotateError::Unknown(_))), "{failed:?}");

    let locked = LockedRepository::find(Arc::clone(&place.storage), None).unwrap();
    let wraps = locked.protectors().filter_map(|protector| match protector.kind {
        ProtectorKind::Passphrase(wrap) => Some(wrap.as_slice()),
        _ => None,
    });
    assert_eq!(wraps.collect::<Vec<_>>(), [[2], [1]]);
    assert!(matches!(open_with(&new_key(), &device, &place.storage), Err(UnlockError::NotInForce)));
    let mut repository = device.open(&place.storage);
    assert_eq!(repository.protectors().len(), 2);

    // The rotation's commit may be on its way to a device that sees it late: its config is not that device's to delete.
    repository.set_protectors(recovery_key, at(NOW)).unwrap();
    let locked = LockedRepository::find(Arc::clone(&place.storage), None).unwrap();
    let wraps = locked.protectors().filter(|protector| matches!(protector.kind, ProtectorKind::Passphrase(_)));
    assert_eq!(wraps.count(), 1, "the new passphrase");
    // Nor does damage of what was written under the old key end the rotation.
    let first = "commits/0000000001".parse().unwrap();
    let mut object = place.storage.get(&first).unwrap();
    object[200] ^= 1;
    place.storage.delete(&first).unwrap();
    place.storage.put(&first, &object).unwrap();
    let opened = open_with(&new_key(), &Device::new(2), &place.storage).map(drop);
    assert!(matches!(opened, Err(UnlockError::NotInForce)), "{opened:?}");
}

/// The device dies before it has deleted what opens no more: the next backup, of whichever device, does so.
#[test]
fn ways_to_a_key_that_were_given_up_go_with_the_next_backup() {
    for (create_if_absent, rotates) in [(true, true), (true, false), (false, true)] {
        let place = Place::new(create_if_absent);
        let device = Device::new(1);
        let mut repository = device.create(&place.storage);
        let recovery_key = repository.protectors().to_vec();
        let passphrase = Protector::new(ID, ProtectorKind::Passphrase(vec![1]), String::new(), at(NOW));
        repository.set_protectors([recovery_key.as_slice(), &[passphrase]].concat(), at(NOW)).unwrap();
        let dying = FaultStorage::new(Arc::clone(&place.storage), |call| {
            (call.operation == Operation::Delete && call.subject.starts_with("config/")).then_some(Fault::CrashBefore)
        });
        let dying: Arc<dyn Storage> = Arc::new(dying);
        let mut dead = device.open(&dying);
        let key = if rotates {
            dead.rotate(&new_key(), recovery_key, at(NOW)).unwrap_err();
            new_key()
        } else {
            dead.set_protectors(recovery_key, at(NOW)).unwrap_err();
            key()
        };
        assert!(place.count(Folder::Config) > 2);

        let mut other = open_with(&key, &Device::new(2), &place.storage).unwrap();
        backup(&mut other, &tree(&[1], 1), NOW);
        // Without a rotation the first config may stay: it had no passphrase.
        assert_eq!(place.count(Folder::Config), if rotates { 2 } else { 4 });
        assert_eq!(open_with(&key, &device, &place.storage).unwrap().protectors().len(), 1);
    }
}

/// Somebody has the old key and a session that began before the rotation.
#[test]
fn who_has_only_the_old_key_cannot_go_on_writing() {
    for exclusive in [true, false] {
        let place = Place::new(exclusive);
        let owner = Device::new(1);
        let mut repository = owner.create(&place.storage);
        backup(&mut repository, &tree(&[1], 4), NOW);
        let thief = Device::new(2);
        let mut stolen = thief.open(&place.storage);
        let protectors = repository.protectors().to_vec();
        repository.rotate(&new_key(), protectors, at(NOW)).unwrap();
        let error = try_backup(&mut stolen, &tree(&[66], 4), NOW).unwrap_err();
        assert!(error.to_string().contains("new key") || error.to_string().contains("unknown epoch"), "{error}");

        let repository = open_with(&new_key(), &owner, &place.storage).unwrap();
        assert_eq!(repository.snapshots().len(), 1);
        assert_whole(&repository);
    }
}

/// What a thief writes between two rotations was stored before the second; it was too late for the first all the same.
#[test]
fn a_second_rotation_does_not_let_in_what_the_first_kept_out() {
    let mut place = Place::new(false);
    let owner = Device::new(1);
    let mut repository = owner.create(&place.storage);
    backup(&mut repository, &tree(&[1], 4), NOW);
    let stolen: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent: false }));
    copy(&place.storage, &stolen);
    repository.rotate(&new_key(), repository.protectors().to_vec(), at(NOW)).unwrap();

    backup(&mut Device::new(2).open(&stolen), &tree(&[66], 4), NOW + 60);
    place.wait(DAY);
    copy(&stolen, &place.storage);
    place.wait(DAY);
    let third = BackupKey::from_secret(Secret::build(|bytes| *bytes = [5; 32]));
    let mut repository = open_with(&new_key(), &owner, &place.storage).unwrap();
    repository.rotate(&third, repository.protectors().to_vec(), at(NOW)).unwrap();
    backup(&mut repository, &tree(&[1, 2], 4), NOW + 120);

    for device in [&owner, &Device::new(3)] {
        let repository = open_with(&third, device, &place.storage).unwrap();
        assert_eq!(repository.snapshots().len(), 2);
        assert_eq!(repository.outdated_commits().count(), 1);
    }
}

/// Copies what is not there yet.
fn copy(from: &Arc<dyn Storage>, to: &Arc<dyn Storage>) {
    for info in Folder::ALL.into_iter().flat_map(|folder| from.list(folder).unwrap()) {
        if to.get(&info.name).is_err() {
            to.put(&info.name, &from.get(&info.name).unwrap()).unwrap();
        }
    }
}
