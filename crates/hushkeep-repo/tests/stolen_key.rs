//! Somebody has a key that was stolen, and perhaps the storage on his side: what `spec/threat-model.md` says of him.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;
#[path = "common/reseal.rs"]
mod reseal;

use std::sync::Arc;

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch, EpochKeys};
use hushkeep_core::name::{ObjectId, RepositoryId};
use hushkeep_core::seal::{OpenError, Opener, Parts};
use hushkeep_repo::state::StateKey;
use hushkeep_repo::storage::{Features, Folder, ObjectName};
use hushkeep_repo::{
    FindError, LockedRepository, PruneError, PruneOptions, Quiet, ReadError, Repository, RotateError, State, Storage,
    UnlockError,
};
use hushkeep_storage::fault::Fault;
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};
use reseal::{change, place_of_pack_row, with_commit_body};

const DAY: i64 = 86_400;

fn other_key(byte: u8) -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [byte; 32]))
}

fn tree(text: &str) -> MemoryTree {
    MemoryTree::new(&[("message.txt", Node::File(text.as_bytes().to_vec()))])
}

fn memory() -> (MemoryStorage, Arc<dyn Storage>) {
    memory_with(Features { create_if_absent: false })
}

fn memory_with(features: Features) -> (MemoryStorage, Arc<dyn Storage>) {
    let memory = MemoryStorage::new(features);
    memory.set_time(at(NOW));
    (memory.clone(), Arc::new(memory))
}

fn copy_of(storage: &Arc<dyn Storage>) -> (MemoryStorage, Arc<dyn Storage>) {
    copy_with(Features { create_if_absent: false }, storage)
}

fn copy_with(features: Features, storage: &Arc<dyn Storage>) -> (MemoryStorage, Arc<dyn Storage>) {
    let (memory, copy) = memory_with(features);
    for info in Folder::ALL.into_iter().flat_map(|folder| storage.list(folder).unwrap()) {
        memory.set_time(info.stored.unwrap());
        copy.put(&info.name, &storage.get(&info.name).unwrap()).unwrap();
    }
    (memory, copy)
}

fn open_with(key: &BackupKey, device: &Device, storage: &Arc<dyn Storage>) -> Result<Repository, UnlockError> {
    LockedRepository::find(Arc::clone(storage), None).unwrap().unlock(key, device.state.clone(), device.rng(), at(NOW))
}

fn rotated(owner: &Device) -> (MemoryStorage, Arc<dyn Storage>) {
    rotated_on(memory(), owner)
}

/// One backup, then a rotation to the key of 4s an hour later, then another backup.
fn rotated_on(
    (memory, storage): (MemoryStorage, Arc<dyn Storage>),
    owner: &Device,
) -> (MemoryStorage, Arc<dyn Storage>) {
    let mut repository = owner.create(&storage);
    backup(&mut repository, &tree("before"), NOW);
    memory.set_time(at(NOW + 3600));
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW + 3600)).unwrap();
    backup(&mut repository, &tree("after"), NOW + 7200);
    (memory, storage)
}

#[test]
fn an_old_key_opens_what_was_there_and_nothing_later() {
    let (_, storage) = rotated(&Device::new(1));
    let id = RepositoryId::from_bytes([8; 16]);
    let keys = |epoch| key().epoch_secret(&id, epoch).working_keys(id);
    let opens = |keys: &EpochKeys, object: &[u8]| {
        let parts = Parts::split(object).unwrap();
        let opener = Opener::new(keys, parts.header.kind, &parts.header)?;
        opener.open_trailer(parts.trailer).map(drop)
    };
    let mut counts = [0, 0];
    for info in Folder::ALL.into_iter().flat_map(|folder| storage.list(folder).unwrap()) {
        let object = storage.get(&info.name).unwrap();
        let epoch = Parts::split(&object).unwrap().header.epoch;
        counts[epoch.0 as usize] += 1;
        match epoch {
            Epoch::FIRST => assert_eq!(opens(&keys(epoch), &object), Ok(()), "{}", info.name),
            _ => assert_eq!(opens(&keys(epoch), &object), Err(OpenError::Damaged), "{}", info.name),
        }
    }
    assert_eq!(counts, [3, 6], "a pack, an index object and a commit; those again, two configs, and the rotation");
}

#[test]
fn who_has_the_key_can_lock_the_owner_out() {
    let (_, storage) = memory();
    let (owner, thief) = (Device::new(1), Device::new(2));
    backup(&mut owner.create(&storage), &tree("mine"), NOW);
    let mut stolen = thief.open(&storage);
    stolen.rotate(&other_key(66), stolen.protectors().to_vec(), at(NOW)).unwrap();
    assert!(matches!(owner.try_open(&storage), Err(UnlockError::WrongKey)), "noticed");
    for info in Folder::ALL.into_iter().flat_map(|folder| storage.list(folder).unwrap()) {
        storage.delete(&info.name).unwrap();
    }
    assert!(matches!(LockedRepository::find(storage, None), Err(FindError::NoRepository)), "noticed");
}

/// Not even a successor that claims to continue it takes back what a device has seen.
#[test]
fn who_has_the_key_cannot_take_back_what_a_device_has_seen() {
    let (_, storage) = memory();
    let (owner, thief) = (Device::new(1), Device::new(2));
    backup(&mut owner.create(&storage), &tree("first"), NOW);
    let (_, earlier) = copy_of(&storage);
    backup(&mut owner.open(&storage), &tree("second"), NOW + DAY);
    for day in 2..5 {
        backup(&mut thief.open(&earlier), &tree("forged"), NOW + day * DAY);
    }
    assert!(matches!(owner.try_open(&earlier), Err(UnlockError::RolledBack)));
}

/// It says that it is this device's, of the same folder and times. What it has in the files is not taken over.
#[test]
fn a_snapshot_that_somebody_made_up_proves_no_file_unchanged() {
    let (_, storage) = memory();
    let (owner, thief) = (Device::new(1), Device::new(2));
    let (own, forged) = (tree("ours"), tree("evil"));
    backup(&mut owner.create(&storage), &own, NOW);
    let id = owner.state.load(StateKey::Device).unwrap().unwrap();
    thief.state.store(StateKey::Device, &id).unwrap();
    let mut stolen = thief.open(&storage);
    backup(&mut stolen, &forged, NOW + DAY);
    assert_restores(&stolen, &stolen.snapshots()[1], &forged);

    let mut repository = owner.open(&storage);
    assert_eq!(repository.snapshots()[0].device, repository.snapshots()[1].device);
    own.opened.lock().unwrap().clear();
    backup(&mut repository, &own, NOW + 2 * DAY);
    assert_restores(&repository, &repository.snapshots()[2], &own);
    assert!(own.opened.lock().unwrap().is_empty(), "its own list still counts");
}

/// What an object begins with tells, however much somebody puts behind it.
#[test]
fn a_rotation_is_told_of_by_configs_that_are_longer_than_any_may_be() {
    let owner = Device::new(1);
    let (_, storage) = memory();
    backup(&mut owner.create(&storage), &tree("before"), NOW);
    let configs = |storage: &Arc<dyn Storage>| names(storage, Folder::Config);
    let (before, old) = (copy_of(&storage).1, configs(&storage));
    let mut repository = owner.open(&storage);
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW)).unwrap();
    for name in configs(&storage) {
        change(&storage, &name, |object| [object, vec![0; 4 << 20]].concat());
    }
    old.iter().for_each(|name| storage.put(name, &before.get(name).unwrap()).unwrap());
    let opened = Device::new(2).try_open(&storage);
    assert!(matches!(opened, Err(UnlockError::Read(ReadError::Rotated))), "{:?}", opened.err());
}

/// The storage shows the state before a rotation, and the thief goes on there under the old key.
#[test]
fn a_hidden_rotation_fools_only_a_device_that_never_saw_it() {
    let (owner, fellow, thief) = (Device::new(1), Device::new(2), Device::new(3));
    let (_, storage) = memory();
    let mut repository = owner.create(&storage);
    backup(&mut repository, &tree("before"), NOW);
    fellow.open(&storage);
    let (_, hidden) = copy_of(&storage);
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW)).unwrap();
    backup(&mut thief.open(&hidden), &tree("forged"), NOW + DAY);

    assert!(matches!(open_with(&other_key(4), &owner, &hidden), Err(UnlockError::WrongKey)), "has the new key");
    assert!(matches!(owner.try_open(&hidden), Err(UnlockError::RolledBack)), "has the old key, and saw the rotation");
    assert_eq!(fellow.open(&hidden).snapshots().len(), 2, "has the old key, and saw nothing of it");
}

/// Lets the thief do something under the old key, on what he kept from before the rotation, and puts all that it
/// stores into the true storage, which says that it came at the time `stored`.
fn forge(memory: &MemoryStorage, storage: &Arc<dyn Storage>, stored: i64, act: impl FnOnce(&mut Repository)) {
    forge_on(copy_of(storage).1, (memory, storage), stored, act);
}

/// The same, on this copy.
fn forge_on(
    before: Arc<dyn Storage>,
    (memory, storage): (&MemoryStorage, &Arc<dyn Storage>),
    stored: i64,
    act: impl FnOnce(&mut Repository),
) {
    for info in Folder::ALL.into_iter().flat_map(|folder| before.list(folder).unwrap()) {
        if Parts::split(&before.get(&info.name).unwrap()).unwrap().header.epoch != Epoch::FIRST {
            before.delete(&info.name).unwrap();
        }
    }
    let (_, configs) = self::memory();
    Device::new(1).create(&configs);
    for info in configs.list(Folder::Config).unwrap() {
        before.put(&info.name, &configs.get(&info.name).unwrap()).unwrap();
    }
    act(&mut Device::new(9).open(&before));
    memory.set_time(at(stored));
    for folder in [Folder::Packs, Folder::Index, Folder::Commits] {
        for info in before.list(folder).unwrap() {
            if storage.get(&info.name).is_err() {
                storage.put(&info.name, &before.get(&info.name).unwrap()).unwrap();
            }
        }
    }
}

fn numbers(repository: &Repository) -> Vec<u64> {
    repository.snapshots().iter().map(|snapshot| snapshot.number).collect()
}

#[test]
fn a_commit_under_an_old_key_is_told_and_not_used() {
    let owner = Device::new(1);
    let (memory, storage) = rotated(&owner);
    forge(&memory, &storage, NOW + DAY, |stolen| drop(backup(stolen, &tree("forged"), NOW)));
    let repository = open_with(&other_key(4), &owner, &storage).unwrap();
    assert_eq!((numbers(&repository), repository.outdated_commits().count()), (vec![1, 3], 1));
}

/// Nor does any clock let it in: in a folder whoever may write there sets the times of files, and a storage tells what it
/// likes.
#[test]
fn no_clock_lets_a_commit_under_an_old_key_in() {
    for create_if_absent in [true, false] {
        let owner = Device::new(1);
        let (memory, storage) = rotated_on(memory_with(Features { create_if_absent }), &owner);
        forge(&memory, &storage, NOW, |stolen| {
            backup(stolen, &tree("forged"), NOW);
            stolen.forget(&[stolen.snapshots()[0].id], at(NOW)).unwrap();
        });
        for device in [&owner, &Device::new(5)] {
            let repository = open_with(&other_key(4), device, &storage).unwrap();
            assert_eq!((numbers(&repository), repository.outdated_commits().count()), (vec![1, 3], 2));
            assert_eq!(repository.forgotten_snapshots().count(), 0);
            assert_restores(&repository, &repository.snapshots()[0], &tree("before"));
        }
    }
}

/// Where two devices can publish at once, what another stored while the key was replaced is taken in by who replaces it.
#[test]
fn what_another_device_stored_during_a_rotation_is_taken_in() {
    let (memory, storage) = memory();
    let (owner, fellow) = (Device::new(1), Device::new(2));
    backup(&mut owner.create(&storage), &tree("before"), NOW);
    let (shared, other) = (Arc::clone(&storage), fellow.clone());
    let mut has_stored = false;
    let meanwhile = FaultStorage::new(Arc::clone(&storage), move |call| {
        if !has_stored && call.operation == Operation::Put && call.subject.starts_with("commits/") {
            has_stored = true;
            backup(&mut other.open(&shared), &tree("meanwhile"), NOW + 60);
        }
        None
    });
    let meanwhile: Arc<dyn Storage> = Arc::new(meanwhile);
    let mut repository = owner.open(&meanwhile);
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW + 60)).unwrap();
    forge(&memory, &storage, NOW, |stolen| drop(backup(stolen, &tree("forged"), NOW)));
    for device in [&owner, &fellow, &Device::new(5)] {
        let repository = open_with(&other_key(4), device, &storage).unwrap();
        assert_eq!((numbers(&repository), repository.outdated_commits().count()), (vec![1, 2], 1));
        assert_restores(&repository, &repository.snapshots()[1], &tree("meanwhile"));
    }
}

/// Who opens the rest of a damaged repository takes what is left: one bad object must not lock an owner out.
#[test]
fn a_commit_under_an_old_key_counts_if_every_newer_one_is_damaged() {
    let owner = Device::new(1);
    let (memory, storage) = rotated_on(memory_with(Features { create_if_absent: true }), &owner);
    let newer = names(&storage, Folder::Commits).split_off(1);
    assert_eq!(newer.len(), 2);
    forge(&memory, &storage, NOW, |stolen| {
        (0..3).for_each(|_| drop(backup(stolen, &tree("forged"), NOW)));
    });
    newer.iter().for_each(|name| damage(&storage, name));
    let repository = open_with(&other_key(4), &owner, &storage).unwrap();
    assert_eq!(numbers(&repository), [1, 2, 3, 4]);
    assert_restores(&repository, &repository.snapshots()[0], &tree("before"));
    assert_restores(&repository, &repository.snapshots()[3], &tree("forged"));
    assert!(!repository.damaged_commits().is_empty());
}

/// Which commits were replaced for long is not said by one under an old key, which can claim any number and ancestors and, with
/// the storage's help, any time.
#[test]
fn a_commit_under_an_old_key_does_not_tell_what_is_old() {
    let owner = Device::new(1);
    let (memory, storage) = rotated_on(memory_with(Features { create_if_absent: true }), &owner);
    let mut repository = open_with(&other_key(4), &owner, &storage).unwrap();
    (4..=40).for_each(|_| drop(backup(&mut repository, &tree("after"), NOW + 7200)));
    memory.set_time(at(NOW + 95 * DAY));
    (41..=43).for_each(|_| drop(backup(&mut repository, &tree("after"), NOW + 95 * DAY)));
    // His commits name others by the same numbers.
    let (_, before) = copy_with(Features { create_if_absent: true }, &storage);
    let back_up = |stolen: &mut Repository| (2..=50).for_each(|_| drop(backup(stolen, &tree("forged"), NOW)));
    forge_on(before, (&memory, &storage), NOW, back_up);
    let newest: ObjectName = "commits/0000000050".parse().unwrap();
    storage.put(&format!("{newest}-zz").parse().unwrap(), &storage.get(&newest).unwrap()).unwrap();

    memory.set_time(at(NOW + 96 * DAY));
    let now = at(NOW + 96 * DAY);
    let options = PruneOptions { now, max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false };
    let mut repository = open_with(&other_key(4), &owner, &storage).unwrap();
    repository.forget(&[repository.snapshots()[0].id], now).unwrap();
    repository.prune(&options, &Quiet).unwrap();
    // His copy has a name as where two devices can publish at once: there commits go a week after they were dropped.
    memory.set_time(at(NOW + 104 * DAY));
    backup(&mut repository, &tree("after"), NOW + 104 * DAY);
    repository.prune(&options, &Quiet).unwrap();
    let left = names(&storage, Folder::Commits);
    let is_left = |number: u64| left.iter().any(|name| name.file() == format!("{number:010}"));
    assert_eq!((1..=43).filter(|number| is_left(*number)).collect::<Vec<_>>(), (35..=43).collect::<Vec<_>>());
}

/// Damage took all commits of two epochs. Who goes on from what is left says so in a way that every reader takes.
#[test]
fn a_commit_stands_though_none_of_the_epoch_before_is_left() {
    let owner = Device::new(1);
    let (_, storage) = rotated_on(memory_with(Features { create_if_absent: true }), &owner);
    let mut repository = open_with(&other_key(4), &owner, &storage).unwrap();
    repository.rotate(&other_key(5), repository.protectors().to_vec(), at(NOW + 10_800)).unwrap();
    let newer = names(&storage, Folder::Commits).split_off(1);
    assert_eq!(newer.len(), 3);
    newer.iter().for_each(|name| damage(&storage, name));

    let mut repository = open_with(&other_key(5), &Device::new(2), &storage).unwrap();
    backup(&mut repository, &tree("since then"), NOW + 14_400);
    newer.iter().for_each(|name| storage.delete(name).unwrap());
    let mut repository = open_with(&other_key(5), &Device::new(3), &storage).unwrap();
    assert!(repository.damaged_commits().is_empty());
    assert_eq!(repository.outdated_commits().count(), 0);
    assert_eq!(numbers(&repository), [1, 5]);
    backup(&mut repository, &tree("later"), NOW + 18_000);
    let repository = open_with(&other_key(5), &Device::new(4), &storage).unwrap();
    assert_eq!(numbers(&repository), [1, 5, 6]);
    assert_restores(&repository, &repository.snapshots()[0], &tree("before"));
}

fn damage(storage: &Arc<dyn Storage>, name: &ObjectName) {
    let mut object = storage.get(name).unwrap();
    object[200] ^= 1;
    storage.delete(name).unwrap();
    storage.put(name, &object).unwrap();
}

/// One backup, then a rotation an hour later, which stays the newest commit; returns its name, too.
fn just_rotated(features: Features) -> (MemoryStorage, Arc<dyn Storage>, ObjectName) {
    let (memory, storage) = memory_with(features);
    let owner = Device::new(1);
    let mut repository = owner.create(&storage);
    backup(&mut repository, &tree("before"), NOW);
    memory.set_time(at(NOW + 3600));
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW + 3600)).unwrap();
    let rotation = names(&storage, Folder::Commits).pop().unwrap();
    (memory, storage, rotation)
}

#[test]
fn a_copy_of_the_rotation_under_another_name_lets_nobody_in() {
    let (memory, storage, rotation) = just_rotated(Features { create_if_absent: true });
    forge(&memory, &storage, NOW + 4000, |stolen| drop(backup(stolen, &tree("forged"), NOW)));
    memory.set_time(at(NOW + 5000));
    let copy: ObjectName = format!("{rotation}-zzzzzzzz").parse().unwrap();
    storage.put(&copy, &storage.get(&rotation).unwrap()).unwrap();
    let repository = open_with(&other_key(4), &Device::new(5), &storage).unwrap();
    assert_eq!((numbers(&repository), repository.outdated_commits().count()), (vec![1], 1));
    assert!(repository.damaged_commits().is_empty());
}

fn two_files(text: &str) -> MemoryTree {
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    MemoryTree::new(&[("message.txt", file("before")), ("other.txt", file(text))])
}

/// What only a damaged commit named is named by the next one, be it a rotation: the packs of before it would be lost to all.
#[test]
fn a_rotation_beside_damage_loses_no_pack() {
    let (_, storage) = memory_with(Features { create_if_absent: true });
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("before"), NOW);
    backup(&mut repository, &two_files("new"), NOW + 3600);
    damage(&storage, &"commits/0000000001".parse().unwrap());
    let mut repository = Device::new(2).open(&storage);
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW + 7200)).unwrap();
    let repository = open_with(&other_key(4), &Device::new(3), &storage).unwrap();
    assert_restores(&repository, &repository.snapshots()[0], &two_files("new"));
}

#[test]
fn a_change_of_protectors_beside_a_damaged_rotation_loses_no_pack() {
    let (_, storage, rotation) = just_rotated(Features { create_if_absent: true });
    backup(&mut open_with(&other_key(4), &Device::new(1), &storage).unwrap(), &two_files("new"), NOW + 7200);
    damage(&storage, &rotation);
    let mut repository = open_with(&other_key(4), &Device::new(2), &storage).unwrap();
    repository.set_protectors(repository.protectors().to_vec(), at(NOW + 10_800)).unwrap();
    let repository = open_with(&other_key(4), &Device::new(3), &storage).unwrap();
    let newest = repository.snapshots().last().unwrap().clone();
    assert_restores(&repository, &newest, &two_files("new"));
}

/// A rotation that was completed deletes the configs of before: where none is left, its commit was lost.
#[test]
fn a_rotation_that_is_missing_locks_nobody_out() {
    let (_, storage, rotation) = just_rotated(Features { create_if_absent: true });
    storage.delete(&rotation).unwrap();
    let mut repository = open_with(&other_key(4), &Device::new(5), &storage).unwrap();
    let damaged: Vec<_> = repository.damaged_commits().iter().map(|damage| damage.object.clone()).collect();
    assert_eq!((numbers(&repository), damaged), (vec![1], vec!["commits".to_owned()]));
    assert_restores(&repository, &repository.snapshots()[0], &tree("before"));
    backup(&mut repository, &tree("after"), NOW + 7200);
    let repository = open_with(&other_key(4), &Device::new(6), &storage).unwrap();
    assert_eq!((numbers(&repository), repository.damaged_commits().len()), (vec![1, 2], 0));
}

/// A config under an old key stands before the others: its thief knows its passphrase, which still gives the old key.
#[test]
fn a_config_under_an_old_key_hides_no_other() {
    let (_, storage, _) = just_rotated(Features { create_if_absent: true });
    let (_, before) = memory();
    let mut stolen = Device::new(1).create(&before);
    (0..5).for_each(|_| drop(stolen.set_protectors(stolen.protectors().to_vec(), at(NOW)).unwrap()));
    for name in names(&before, Folder::Config) {
        storage.put(&name, &before.get(&name).unwrap()).unwrap();
    }
    let opened = open_with(&key(), &Device::new(5), &storage);
    assert!(matches!(opened, Err(UnlockError::Read(ReadError::Rotated))), "{:?}", opened.err());
    let mut repository = open_with(&other_key(4), &Device::new(5), &storage).unwrap();
    assert_eq!((numbers(&repository), names(&storage, Folder::Config).len()), (vec![1], 2 + 6));
    backup(&mut repository, &tree("after"), NOW + 7200);
    assert_eq!(names(&storage, Folder::Config).len(), 2, "those of the old key go, whatever their numbers");
}

/// A pack of a backup that was killed before the rotation: who has the old key can put another in its place.
#[test]
fn nothing_under_an_old_key_is_taken_up_again() {
    let (memory, storage) = memory_with(Features { create_if_absent: true });
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree("before"), NOW);
    let dying: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), |call| {
        (call.operation == Operation::Put && call.subject.starts_with("index/")).then_some(Fault::CrashBefore)
    }));
    let killed = try_backup(&mut device.open(&dying), &tree("killed then"), NOW).map(drop);
    assert!(killed.is_err(), "{killed:?}");
    let mut repository = device.open(&storage);
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW)).unwrap();
    let packs = names(&storage, Folder::Packs).len();
    assert_eq!((packs, backup(&mut repository, &tree("killed then"), NOW).bytes_new), (2, 11));
    let now = at(NOW + 30 * DAY);
    memory.set_time(now);
    backup(&mut repository, &tree("killed then"), now.seconds);
    let options = PruneOptions { now, max_unused: 1.0, max_repack_bytes: 0, dry_run: false };
    let report = repository.prune(&options, &Quiet).unwrap();
    assert_eq!((report.dropped.packs, report.marked.packs), (1, 0), "nobody may use it: it is not marked first");
    assert_eq!(names(&storage, Folder::Packs).len(), 2);
    assert_restores(&repository, &repository.snapshots()[1], &tree("killed then"));
}

/// A commit that lies under another name only is damaged, and then what is left counts.
#[test]
fn a_rotation_that_was_renamed_locks_nobody_out() {
    let (_, storage, rotation) = just_rotated(Features { create_if_absent: true });
    storage.put(&format!("{rotation}-aaaaaaaa").parse().unwrap(), &storage.get(&rotation).unwrap()).unwrap();
    storage.delete(&rotation).unwrap();
    let repository = open_with(&other_key(4), &Device::new(5), &storage).unwrap();
    assert_eq!((numbers(&repository), repository.damaged_commits().len()), (vec![1], 1));
}

/// Rows never disappear: what nobody understands keeps every later prune from giving something back.
#[test]
fn a_snapshot_of_a_later_version_that_was_made_up_outlives_the_key() {
    let (_, storage) = memory_with(Features { create_if_absent: true });
    let mut stolen = Device::new(9).create(&storage);
    backup(&mut stolen, &tree("before"), NOW);
    let id = stolen.snapshots()[0].id.to_string();
    change(&storage, &names(&storage, Folder::Commits)[0], |object| {
        with_commit_body(&object, |body| {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let row = body.windows(16).position(|bytes| hex(bytes) == id).unwrap() + 16;
            // Behind the length of the row, which takes a byte or two.
            let status = row + if body[row] < 0x80 { 1 } else { 2 };
            assert_eq!(std::mem::replace(&mut body[status], 2), 0);
        })
    });
    let mut repository = Device::new(1).open(&storage);
    repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW)).unwrap();
    backup(&mut repository, &tree("after"), NOW + 60);
    let options = PruneOptions { now: at(NOW), max_unused: 0.0, max_repack_bytes: 0, dry_run: false };
    let pruned = repository.prune(&options, &Quiet);
    assert!(matches!(pruned, Err(PruneError::Read(ReadError::Damaged(damage))) if damage.cause.is_newer_version()));
    assert_restores(&repository, &repository.snapshots()[0], &tree("after"));
}

/// The number of a change is never used twice: behind the highest there is there is no other.
#[test]
fn a_commit_with_the_highest_number_is_the_last() {
    const HIGHEST: [u8; 9] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let (_, storage) = memory_with(Features { create_if_absent: true });
    backup(&mut Device::new(9).create(&storage), &tree("before"), NOW);
    let first: ObjectName = "commits/0000000001".parse().unwrap();
    let last: ObjectName = format!("commits/{}", i64::MAX).parse().unwrap();
    let forged = with_commit_body(&storage.get(&first).unwrap(), |body| {
        assert_eq!(body[..3], [3, 1, 1], "a number of one byte");
        body.splice(1..3, [&[9], HIGHEST.as_slice()].concat());
        let name = body.len() - 11;
        assert_eq!(body[name..], *b"\x0a0000000001");
        body.splice(name.., [&[19], last.file().as_bytes()].concat());
    });
    storage.delete(&first).unwrap();
    storage.put(&last, &forged).unwrap();
    let mut repository = Device::new(1).open(&storage);
    assert!(try_backup(&mut repository, &tree("after"), NOW + 60).is_err());
    let rotated = repository.rotate(&other_key(4), repository.protectors().to_vec(), at(NOW));
    assert!(matches!(rotated, Err(RotateError::Unchanged(_))), "{rotated:?}");
    assert_restores(&repository, &repository.snapshots()[0], &tree("before"));
}

/// The names of new packs are there to be listed before a commit names them. Whoever has the key names one first, as a pack of
/// his own.
#[test]
fn a_pack_that_somebody_else_named_is_not_built_on() {
    // Live again: such a row wins over every other of that pack. Or dropped, and does not say when: that is no row, and wins.
    for (create_if_absent, status) in [(true, 2), (false, 2), (true, 255), (false, 255)] {
        let (_, storage) = memory_with(Features { create_if_absent });
        let owner = Device::new(1);
        backup(&mut owner.create(&storage), &tree("before"), NOW);
        let (before, shared) = (names(&storage, Folder::Packs), Arc::clone(&storage));
        let mut has_stored = false;
        let meanwhile: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), move |call| {
            if !has_stored && call.operation == Operation::Put && call.subject.starts_with("index/") {
                has_stored = true;
                let new = names(&shared, Folder::Packs).into_iter().find(|name| !before.contains(name)).unwrap();
                name_as_other(&shared, &new, status);
            }
            None
        }));
        let mut repository = owner.open(&meanwhile);
        let report = backup(&mut repository, &tree("mine"), NOW + 3600);
        assert_eq!(report.bytes_new, 2 * 4, "stored once more");
        assert_restores(&repository, repository.snapshots().last().unwrap(), &tree("mine"));
        backup(&mut repository, &tree("and later"), NOW + 7200);
        let repository = Device::new(3).open(&storage);
        let [.., mine, later] = repository.snapshots() else { panic!("both are there") };
        assert_restores(&repository, mine, &tree("mine"));
        assert_restores(&repository, later, &tree("and later"));
    }
}

/// Backs up, and gives the new pack the name of another in the commit, and this status.
fn name_as_other(storage: &Arc<dyn Storage>, other: &ObjectName, status: u8) {
    let before = [names(storage, Folder::Packs), names(storage, Folder::Commits)].concat();
    backup(&mut Device::new(2).open(storage), &tree("forged"), NOW);
    let is_new = |name: &ObjectName| !before.contains(name);
    let own = names(storage, Folder::Packs).into_iter().find(is_new).unwrap();
    let commit = names(storage, Folder::Commits).into_iter().find(is_new).unwrap();
    let [own, other] = [&own, other].map(|name| name.file().parse::<ObjectId>().unwrap());
    change(storage, &commit, |object| {
        with_commit_body(&object, |body| {
            let place = place_of_pack_row(body, &own);
            body[place..place + 16].copy_from_slice(other.as_bytes());
            body[place + 17] = status;
        })
    });
}
