//! Storages on which two devices can publish at once: one may not see yet what the other said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod common;
#[path = "common/reseal.rs"]
mod reseal;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use common::place::*;
use common::*;
use hushkeep_core::name::ProtectorId;
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError};
use hushkeep_repo::{ConfigError, Protector, ProtectorKind, Repository, Storage};
use hushkeep_storage::fault::{Call, Fault};
use hushkeep_storage::{FaultStorage, Operation};
use reseal::{change, with_commit_body};

fn tree(text: &str) -> MemoryTree {
    MemoryTree::new(&[("note.txt", Node::File(text.as_bytes().to_vec()))])
}

/// Takes an object off the storage.
fn take(storage: &Arc<dyn Storage>, name: ObjectName) -> (ObjectName, Vec<u8>) {
    let bytes = storage.get(&name).unwrap();
    storage.delete(&name).unwrap();
    (name, bytes)
}

fn is_put(call: &Call<'_>, folder: Folder) -> bool {
    call.operation == Operation::Put && call.subject.starts_with(folder.name())
}

/// Replaces the key; just before its commit arrive objects of another device.
fn rotate_while(place: &Place, owner: &Device, arrive: Vec<(ObjectName, Vec<u8>)>) {
    let (memory, mut arrive) = (Arc::clone(&place.storage), arrive);
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&place.storage), move |call| {
        if is_put(call, Folder::Commits) {
            arrive.drain(..).for_each(|(name, bytes)| memory.put(&name, &bytes).unwrap());
        }
        None
    }));
    let mut repository = owner.open(&storage);
    let protectors = repository.protectors().to_vec();
    repository.rotate(&new_key(), protectors, at(place.now)).unwrap();
}

/// Backs up a while later, so that the storage's clock stands there, and prunes; tells how many packs are dropped, and how many
/// are there.
fn prune_after(place: &mut Place, repository: &mut Repository, tree: &MemoryTree, seconds: i64) -> (u64, usize) {
    place.wait(seconds);
    backup(repository, tree, place.now);
    (prune(repository, place).dropped.packs, place.count(Folder::Packs))
}

/// A backup that took ten days ends while the key is replaced, and is taken in. Whoever does not see that yet finds packs of an
/// old key which no commit names.
#[test]
fn what_a_late_backup_stored_stays_while_another_device_does_not_see_that_it_counts() {
    let (mut place, owner) = (Place::new(false), Device::new(1));
    backup(&mut owner.create(&place.storage), &tree("first"), NOW);
    let named = [names(&place.storage, Folder::Index), names(&place.storage, Folder::Commits)].concat();
    let late = tree("a second text");
    backup(&mut Device::new(2).open(&place.storage), &late, NOW);
    let new = [names(&place.storage, Folder::Index), names(&place.storage, Folder::Commits)].concat();
    let new = new.into_iter().filter(|name| !named.contains(name)).map(|name| take(&place.storage, name)).collect();
    place.wait(10 * DAY);
    rotate_while(&place, &owner, new);

    let unseen = take(&place.storage, names(&place.storage, Folder::Commits).pop().unwrap());
    let mut other = open_with(&new_key(), &Device::new(3), &place.storage).unwrap();
    assert_eq!((other.snapshots().len(), other.outdated_commits().count()), (1, 1));
    assert_eq!(prune(&mut other, &place).dropped.packs, 0);
    place.storage.put(&unseen.0, &unseen.1).unwrap();

    for _ in 0..3 {
        prune_after(&mut place, &mut other, &tree("first"), 7 * DAY);
    }
    let repository = open_with(&new_key(), &Device::new(4), &place.storage).unwrap();
    assert_restores(&repository, &repository.snapshots()[1], &late);
}

/// Whoever has the old key stores a commit as well while it is replaced. A late backup came at the same time: he says that
/// another lay in its place, or that it lay somewhere else.
#[test]
fn a_late_commit_calls_no_other_dropped() {
    for has_lower_number in [false, true] {
        let (place, owner) = (Place::new(false), Device::new(1));
        backup(&mut owner.create(&place.storage), &tree("first"), NOW);
        let first = names(&place.storage, Folder::Commits);
        let thief = Place::new(false);
        objects(&place.storage).iter().for_each(|(name, bytes)| thief.storage.put(name, bytes).unwrap());

        let late = tree("a second text");
        backup(&mut Device::new(2).open(&place.storage), &tree("of before"), NOW);
        backup(&mut Device::new(3).open(&place.storage), &late, NOW);
        let came = names(&place.storage, Folder::Commits).into_iter().filter(|name| !first.contains(name));
        let came: Vec<_> = came.map(|name| take(&place.storage, name)).collect();
        let (newest, id) = (&came[1].0, commit_id(&came[1].1));

        backup(&mut Device::new(9).open(&thief.storage), &tree("forged"), NOW);
        let mut forged = names(&thief.storage, Folder::Commits).into_iter().max().unwrap();
        if has_lower_number {
            let first_id = commit_id(&thief.storage.get(&first[0]).unwrap());
            exchange(&thief.storage, &forged, &first_id, &id);
            exchange(&thief.storage, &forged, first[0].file().as_bytes(), b"0000000001-aaaaaaaa");
        } else {
            let second = forged.clone();
            backup(&mut Device::new(8).open(&thief.storage), &tree("forged twice"), NOW);
            // So that the next one stands by itself.
            change(&thief.storage, &first[0], |object| [object, vec![0]].concat());
            backup(&mut Device::new(7).open(&thief.storage), &tree("forged for the third time"), NOW);
            forged = names(&thief.storage, Folder::Commits).into_iter().max().unwrap();
            exchange(&thief.storage, &forged, second.file().as_bytes(), came[0].0.file().as_bytes());
        }
        rotate_while(&place, &owner, [came.as_slice(), &[take(&thief.storage, forged.clone())]].concat());

        let repository = open_with(&new_key(), &Device::new(4), &place.storage).unwrap();
        assert_eq!(repository.outdated_commits().collect::<Vec<_>>(), [forged.to_string()], "{newest}");
        assert_restores(&repository, repository.snapshots().last().unwrap(), &late);
        assert_eq!(repository.snapshots().len(), 3);
    }
}

/// The last place in a commit's body where some bytes stand gets others.
fn exchange(storage: &Arc<dyn Storage>, commit: &ObjectName, from: &[u8], to: &[u8]) {
    change(storage, commit, |object| {
        with_commit_body(&object, |body| {
            let at = body.windows(from.len()).rposition(|bytes| bytes == from).unwrap();
            body[at..at + to.len()].copy_from_slice(to);
        })
    });
}

/// The first 16 bytes of BLAKE3 of a commit's body (spec §11.1).
fn commit_id(object: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    with_commit_body(object, |body| {
        id.copy_from_slice(&blake3::derive_key("hushkeep/1 commit id", body)[..16]);
    });
    id
}

/// Nobody takes in any more what a backup left that never ended.
#[test]
fn what_was_left_under_an_old_key_is_given_back_once_the_new_one_has_held() {
    for (exclusive, wait) in [(true, DAY), (false, 7 * DAY)] {
        let (mut place, owner) = (Place::new(exclusive), Device::new(1));
        backup(&mut owner.create(&place.storage), &tree("first"), NOW);
        let dying = FaultStorage::new(Arc::clone(&place.storage), |call| {
            is_put(call, Folder::Index).then_some(Fault::CrashBefore)
        });
        let dying: Arc<dyn Storage> = Arc::new(dying);
        try_backup(&mut Device::new(2).open(&dying), &tree("a second text"), NOW).unwrap_err();
        place.wait(30 * DAY);
        rotate_while(&place, &owner, Vec::new());
        let mut repository = open_with(&new_key(), &owner, &place.storage).unwrap();
        let before = place.count(Folder::Packs);
        let pruned = [wait - 1, 1, wait].map(|wait| prune_after(&mut place, &mut repository, &tree("first"), wait));
        assert_eq!(pruned, [(0, before), (1, if exclusive { before - 1 } else { before }), (0, before - 1)]);
    }
}

/// While two devices change the ways to the key at once, and both take that back, a third one opens the repository by what
/// they stored.
#[test]
fn a_config_that_is_taken_back_is_named_by_no_commit() {
    for exclusive in [true, false] {
        let place = Place::new(exclusive);
        backup(&mut Device::new(1).create(&place.storage), &tree("first"), NOW);
        let before = names(&place.storage, Folder::Config).len();
        let opened = Arc::new(Mutex::new(None));
        let (memory, opens) = (Arc::clone(&place.storage), Arc::clone(&opened));
        let meanwhile: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&place.storage), move |call| {
            let lists = call.operation == Operation::List && call.subject == Folder::Config.name();
            if lists && names(&memory, Folder::Config).len() == before + 2 {
                *opens.lock().unwrap() = Some(Device::new(2).open(&memory));
                memory.put(&"config/0000000002-badcafe0".parse().unwrap(), b"of a third device").unwrap();
            }
            None
        }));
        let mut repository = Device::new(1).open(&meanwhile);
        let kind = ProtectorKind::Passphrase(vec![1; 50]);
        let passphrase = Protector::new(ProtectorId::from_bytes([1; 4]), kind, String::new(), at(NOW));
        let protectors = [repository.protectors(), &[passphrase]].concat();
        let changed = repository.set_protectors(protectors, at(NOW));
        assert!(matches!(changed, Err(ConfigError::Conflict)), "{changed:?}");

        let mut other = opened.lock().unwrap().take().unwrap();
        assert_eq!(other.protectors().len(), 2, "was opened by the config that is gone");
        backup(&mut other, &tree("a second text"), NOW + 60);
        let repository = Device::new(3).open(&place.storage);
        // The other device has finished what the first one began, as if it had been killed.
        assert_eq!((repository.protectors().len(), repository.snapshots().len()), (2, 2));
    }
}

/// The same objects, reached in a way in which two devices can take one number.
struct OtherWay(Arc<dyn Storage>);

impl Storage for OtherWay {
    fn features(&self) -> Features {
        Features { create_if_absent: false }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.0.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.0.get_range(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.0.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.0.delete(name)
    }
}

/// A folder that one device has on a disk of its own, and another through a network or a program that synchronizes.
#[test]
fn a_storage_reached_in_two_ways_gets_the_longer_waits() {
    let (mut place, owner) = (Place::new(true), Device::new(1));
    let mut repository = owner.create(&place.storage);
    backup(&mut repository, &tree("first"), NOW);
    assert_eq!(prune(&mut repository, &place).wait_seconds, DAY.unsigned_abs());
    let other_way: Arc<dyn Storage> = Arc::new(OtherWay(Arc::clone(&place.storage)));
    backup(&mut Device::new(2).open(&other_way), &tree("a second text"), NOW);

    let first = repository.snapshots()[0].id;
    repository.forget(&[first], at(NOW)).unwrap();
    let report = prune(&mut repository, &place);
    assert_eq!((report.marked.packs, report.wait_seconds), (1, 7 * DAY.unsigned_abs()));
    assert_eq!(report.kept_seconds, 7 * DAY.unsigned_abs());
    let dropped =
        [DAY, 6 * DAY - 1, 1].map(|wait| prune_after(&mut place, &mut repository, &tree("a second text"), wait).0);
    assert_eq!(dropped, [0, 0, 1]);
}
