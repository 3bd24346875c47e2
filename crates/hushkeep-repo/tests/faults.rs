//! Damage, missing objects, full storages and killed backups.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_repo::storage::{Folder, ObjectInfo, ObjectName, StorageErrorKind};
use hushkeep_repo::{
    BackupError, BackupReport, CheckError, CheckOptions, CheckReport, FindError, LockedRepository, Overwrite, Quiet,
    ReadError, RelPath, Repository, RestoreError, RestoreOptions, Storage, UnlockError,
};
use hushkeep_storage::fault::{self, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage};

const WHOLE: CheckOptions = CheckOptions { read_data: 1.0 };

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

fn tree() -> MemoryTree {
    let database = Node::Database { page_size: 4096, bytes: random(3, 4096 * 30) };
    MemoryTree::new(&[
        ("chat.db", database),
        ("large.mp4", Node::File(random(1, 3 << 20))),
        ("note.txt", Node::File(b"hello ".repeat(500))),
        ("picture.jpg", Node::File(random(2, 200_000))),
    ])
}

fn changed(tree: &MemoryTree) -> MemoryTree {
    let mut tree = tree.clone();
    tree.set("chat.db", Node::Database { page_size: 4096, bytes: random(4, 4096 * 30) });
    tree.set("new.jpg", Node::File(random(5, 100_000)));
    tree
}

fn replace(storage: &Arc<dyn Storage>, name: &ObjectName, bytes: &[u8]) {
    storage.delete(name).unwrap();
    storage.put(name, bytes).unwrap();
}

/// Damages every part of a pack.
fn rot(storage: &Arc<dyn Storage>, pack: &ObjectName) {
    let mut object = storage.get(pack).unwrap();
    object.iter_mut().skip(200_000).step_by(200_000).for_each(|byte| *byte ^= 1);
    replace(storage, pack, &object);
}

fn assert_tells_of(report: &BackupReport, packs: &[ObjectName]) {
    let found: Vec<String> = report.damage.iter().map(|damage| damage.object.clone()).collect();
    assert!(packs.iter().all(|name| found.contains(&name.to_string())), "{found:?} of {packs:?}");
}

fn all(storage: &Arc<dyn Storage>) -> Vec<ObjectInfo> {
    Folder::ALL.into_iter().flat_map(|folder| storage.list(folder).unwrap()).collect()
}

fn check(repository: &Repository) -> CheckReport {
    repository.check(&WHOLE, &Quiet).unwrap()
}

/// What a device without memory finds, whatever it can open.
fn check_anew(storage: &Arc<dyn Storage>) -> Option<CheckReport> {
    let locked = match LockedRepository::find(Arc::clone(storage), None) {
        Ok(locked) => locked,
        Err(FindError::Read(ReadError::Damaged(_)) | FindError::NoRepository) => return None,
        Err(error) => panic!("{error}"),
    };
    match locked.unlock(&key(), Device::new(9).state, Device::new(9).rng(), at(NOW)) {
        Ok(repository) => Some(check(&repository)),
        Err(UnlockError::Read(ReadError::Damaged(_)) | UnlockError::WrongKey) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_whole_repository_has_no_findings() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(), NOW);
    backup(&mut repository, &changed(&tree()), NOW + 60);
    let report = check(&repository);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.snapshots, report.unreferenced), (2, 0));
    assert_eq!(report.objects, all(&storage).len() as u64);
}

/// Every object of every kind: one bit flipped, the end cut off, taken away. `check` names it, or the repository
/// does not open and says why.
#[test]
fn any_damage_to_any_object_is_found() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(), NOW);
    backup(&mut repository, &changed(&tree()), NOW + 60);
    for info in all(&storage) {
        let whole = storage.get(&info.name).unwrap();
        let places = (0..12).map(|step| step * (whole.len() - 1) / 11).chain([9, 20, 70, whole.len() - 30]);
        for place in places {
            let mut bytes = whole.clone();
            bytes[place] ^= 4;
            replace(&storage, &info.name, &bytes);
            assert_named(&storage, &info.name, &format!("bit flipped at {place}"));
        }
        replace(&storage, &info.name, &whole[..whole.len() / 2]);
        assert_named(&storage, &info.name, "cut");
        replace(&storage, &info.name, &whole);
    }
    assert!(check_anew(&storage).unwrap().findings.is_empty());
}

fn assert_named(storage: &Arc<dyn Storage>, name: &ObjectName, defect: &str) {
    if let Some(report) = check_anew(storage) {
        let named = report.findings.iter().any(|finding| finding.damage.object == name.to_string());
        assert!(named, "{name}, {defect}: {:?}", report.findings);
    }
}

#[test]
fn a_missing_pack_is_named_with_what_it_hurts_and_the_rest_comes_back() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let (first, second) = (tree(), changed(&tree()));
    backup(&mut repository, &first, NOW);
    let before: Vec<ObjectName> = all(&storage).into_iter().map(|info| info.name).collect();
    backup(&mut repository, &second, NOW + 60);
    let mut packs = storage.list(Folder::Packs).unwrap().into_iter().map(|info| info.name);
    let second_pack = packs.find(|name| !before.contains(name)).unwrap();
    storage.delete(&second_pack).unwrap();

    let repository = Device::new(2).open(&storage);
    let report = check(&repository);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].damage.object, second_pack.to_string());
    let numbers: Vec<u64> = report.findings[0].affected.iter().map(|affected| affected.number).collect();
    assert_eq!(numbers, [2]);
    assert_restores(&repository, &repository.snapshots()[0], &first);
    let target = MemoryTarget::default();
    let failed = restore_into(&repository, &repository.snapshots()[1], &target, false);
    assert!(matches!(failed, Err(RestoreError::Read(_) | RestoreError::Damaged { .. })));
}

/// A database, and a file of several chunks, in more than one pack. With one pack gone, all the rest of them comes back
/// where it belongs.
#[test]
fn of_a_damaged_file_everything_else_comes_back() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let (old, new) = (random(1, 4096 * 30), random(2, 4096 * 10));
    let mut tree = MemoryTree::new(&[("chat.db", Node::Database { page_size: 4096, bytes: old.clone() })]);
    backup(&mut repository, &tree, NOW);
    let before: Vec<ObjectName> = all(&storage).into_iter().map(|info| info.name).collect();
    let changed = [&old[..4096 * 10], &new, &old[4096 * 20..]].concat();
    tree.set("chat.db", Node::Database { page_size: 4096, bytes: changed });
    backup(&mut repository, &tree, NOW + 60);
    let second: Vec<ObjectName> = all(&storage).into_iter().map(|info| info.name).collect();
    let packs = |names: &[ObjectName]| -> Vec<ObjectName> {
        names.iter().filter(|name| name.folder() == Folder::Packs).cloned().collect()
    };
    // The first pack holds the lists' bases as well; its copy of the pages is what is damaged.
    let first_pack = packs(&before).remove(0);
    let second_pack = packs(&second).into_iter().find(|name| *name != first_pack).unwrap();
    let mut bytes = storage.get(&first_pack).unwrap();
    bytes[1000] ^= 1;
    replace(&storage, &first_pack, &bytes);

    let repository = Device::new(2).open(&storage);
    let (target, snapshot) = (MemoryTarget::default(), &repository.snapshots()[1]);
    let report = restore_into(&repository, snapshot, &target, true).unwrap();
    let problem = &report.problems[0];
    assert_eq!((problem.path.to_string(), report.files), ("chats/chat.db".into(), 0));
    let kept = problem.kept_as.clone().unwrap();
    let expected = [vec![0; 4096 * 10], new, vec![0; 4096 * 10]].concat();
    assert!(target.nodes.lock().unwrap()[&kept] == Node::File(expected), "what the second pack holds is there");
    assert!(!target.nodes.lock().unwrap().contains_key(&path("chats/chat.db")));
    assert_ne!(second_pack, first_pack);
}

#[test]
fn a_damaged_segment_hurts_only_its_files() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(), NOW);
    let pack = storage.list(Folder::Packs).unwrap()[0].name.clone();
    let mut bytes = storage.get(&pack).unwrap();
    bytes[100] ^= 1;
    replace(&storage, &pack, &bytes);

    let repository = Device::new(2).open(&storage);
    let report = check(&repository);
    assert_eq!(report.findings.len(), 1);
    let hurt = &report.findings[0].affected[0].paths;
    assert!(!hurt.is_empty() && hurt.len() < 4, "{hurt:?}");

    let target = MemoryTarget::default();
    assert!(restore_into(&repository, &repository.snapshots()[0], &target, false).is_err());
    for (place, node) in target.nodes.into_inner().unwrap() {
        let own = RelPath::new(place.as_bytes().strip_prefix(b"chats/".as_slice()).unwrap_or_default()).unwrap();
        if let (Node::File(restored), Node::File(original)) = (node, &tree().nodes[&own]) {
            assert!(restored == *original, "{place} got its name though it is not whole");
        }
    }
    let target = MemoryTarget::default();
    let report = restore_into(&repository, &repository.snapshots()[0], &target, true).unwrap();
    let named: Vec<_> = report.problems.iter().map(|problem| problem.path.clone()).collect();
    assert_eq!(named, *hurt);
    let restored = target.nodes.into_inner().unwrap();
    for (place, node) in tree().nodes {
        let place = if place.is_root() { path("chats") } else { path("chats").join(place.as_bytes()).unwrap() };
        assert_eq!(restored.contains_key(&place), !hurt.contains(&place), "{place}");
        if let (Some(Node::File(restored)), Node::File(original)) = (restored.get(&place), node) {
            assert!(*restored == original, "{place}");
        }
    }
}

#[test]
fn the_next_backup_heals_what_is_still_in_the_sources() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(), NOW);
    for info in storage.list(Folder::Packs).unwrap() {
        storage.delete(&info.name).unwrap();
    }
    let report = backup(&mut repository, &tree(), NOW + 60);
    assert!(!report.damage.is_empty());
    let repository = Device::new(2).open(&storage);
    assert_restores(&repository, &repository.snapshots()[1], &tree());
}

/// Nothing that a backup needs is hurt: it looks at some of the rest each time.
#[test]
fn backups_find_out_by_and_by_what_the_storage_changed() {
    let storage = storage();
    let device = Device::new(1);
    let mut tree = tree();
    let noise = (0..3_000_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    tree.set("video.mp4", Node::File(noise.collect()));
    backup(&mut device.create(&storage), &tree, NOW);
    let largest = storage.list(Folder::Packs).unwrap().into_iter().max_by_key(|info| info.len).unwrap();
    let mut object = storage.get(&largest.name).unwrap();
    let middle = object.len() / 2;
    object[middle] ^= 1;
    storage.delete(&largest.name).unwrap();
    storage.put(&largest.name, &object).unwrap();

    let mut found = Vec::new();
    for day in 1..100_u8 {
        let now = NOW + i64::from(day);
        // A backup of which nothing is new looks at nothing.
        assert!(backup(&mut device.open(&storage), &tree, now).damage.is_empty());
        tree.set("diary.txt", Node::File(vec![day; 100]));
        let before = all(&storage);
        let report = backup(&mut device.open(&storage), &tree, now);
        let new: Vec<_> = all(&storage).into_iter().filter(|info| !before.contains(info)).collect();
        let bytes = new.iter().map(|info| info.len).sum();
        assert_eq!((report.objects_stored, report.bytes_stored), (new.len() as u64, bytes), "day {day}");
        found = report.damage;
        if !found.is_empty() {
            assert!(report.bytes_new > 3_000_000, "what was damaged is counted as new");
            break;
        }
    }
    assert_eq!(found.iter().map(|damage| damage.object.clone()).collect::<Vec<_>>(), [largest.name.to_string()]);
    // What the pack held is stored again in the same backup.
    let other = Device::new(2).open(&storage);
    assert_restores(&other, other.snapshots().last().unwrap(), &tree);
}

/// Where one pack is damaged, others are.
#[test]
fn a_backup_that_finds_damage_looks_for_more() {
    let (storage, device) = (storage(), Device::new(1));
    let mut tree = MemoryTree::new(&[]);
    for number in 0..50 {
        tree.set(&format!("picture-{number:02}.jpg"), Node::File(random(number, 1_000_000)));
    }
    backup(&mut device.create(&storage), &tree, NOW);
    let rotten = names(&storage, Folder::Packs);
    assert!(rotten.len() >= 3);
    rotten.iter().for_each(|name| rot(&storage, name));
    tree.set("diary.txt", Node::File(vec![1; 100]));
    let report = backup(&mut device.open(&storage), &tree, NOW + 60);
    assert_tells_of(&report, &rotten);
    let other = Device::new(2).open(&storage);
    assert_restores(&other, other.snapshots().last().unwrap(), &tree);
}

/// A disk with bad sectors lists an object and cannot read it.
#[test]
fn what_a_disk_cannot_read_is_damage_like_any_other() {
    let memory = storage();
    let mut repository = Device::new(1).create(&memory);
    backup(&mut repository, &tree(), NOW);
    backup(&mut repository, &changed(&tree()), NOW + 60);
    for info in all(&memory) {
        let name = info.name.to_string();
        let refuse =
            move |call: &fault::Call| (call.subject == name).then_some(Fault::Refuse(StorageErrorKind::Unreadable));
        let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&memory), refuse));
        assert_named(&faulty, &info.name, "unreadable");
        // Of configs there are two, and what any of the rest holds is no reason not to open.
        let repository = Device::new(2).open(&faulty);
        if info.name.folder() == Folder::Packs {
            for snapshot in repository.snapshots() {
                restore_into(&repository, snapshot, &MemoryTarget::default(), true).unwrap();
            }
        }
    }
}

#[test]
fn a_lost_index_is_rebuilt_from_the_packs() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(), NOW);
    let index = storage.list(Folder::Index).unwrap()[0].name.clone();
    storage.delete(&index).unwrap();
    let repository = Device::new(2).open(&storage);
    assert_restores(&repository, &repository.snapshots()[0], &tree());
    let report = check(&repository);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].damage.object, index.to_string());

    let mut repository = repository;
    backup(&mut repository, &changed(&tree()), NOW + 60);
    let healed = Device::new(3).open(&storage);
    assert!(check(&healed).findings.is_empty());
    assert_restores(&healed, &healed.snapshots()[0], &tree());
    assert_restores(&healed, &healed.snapshots()[1], &changed(&tree()));
}

/// Killed after any number of storage operations: the earlier snapshot stays whole, the next backup finishes and
/// sends no pack twice.
#[test]
fn a_backup_killed_anywhere_is_resumed() {
    for create_if_absent in [true, false] {
        let features = hushkeep_repo::storage::Features { create_if_absent };
        for call in 0.. {
            let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::new(features));
            let device = Device::new(1);
            backup(&mut device.create(&memory), &tree(), NOW);
            let faulty = Arc::new(FaultStorage::new(Arc::clone(&memory), fault::crash_at(call)));
            let shared: Arc<dyn Storage> = faulty.clone();
            let killed = device
                .try_open_quietly(&shared)
                .and_then(|mut repository| try_backup(&mut repository, &changed(&tree()), NOW + 60).ok());
            if !faulty.has_crashed() {
                assert!(killed.is_some());
                break;
            }
            let mut repository = device.open(&memory);
            assert_restores(&repository, &repository.snapshots()[0], &tree());
            backup(&mut repository, &changed(&tree()), NOW + 120);
            assert_restores(&repository, repository.snapshots().last().unwrap(), &changed(&tree()));
            let report = check(&Device::new(2).open(&memory));
            assert!(report.findings.is_empty(), "killed at call {call}: {:?}", report.findings);
            assert!(report.unreferenced <= 2, "killed at call {call}: {} objects left", report.unreferenced);
        }
    }
}

impl Device {
    fn try_open_quietly(&self, storage: &Arc<dyn Storage>) -> Option<Repository> {
        let locked = LockedRepository::find(Arc::clone(storage), None).ok()?;
        locked.unlock(&key(), self.state.clone(), self.rng(), at(NOW)).ok()
    }
}

/// What a backup finds bad may be what it has from one that was killed: nothing is built on that either.
#[test]
fn a_bad_pack_is_not_resumed() {
    let (memory, device) = (storage(), Device::new(1));
    device.create(&memory);
    let mut large = MemoryTree::new(&[]);
    for number in 0..40 {
        large.set(&format!("picture-{number:02}.jpg"), Node::File(random(number, 1_000_000)));
    }
    let refuse =
        |call: &fault::Call| call.subject.starts_with("commits/").then_some(Fault::Refuse(StorageErrorKind::Failed));
    let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&memory), refuse));
    assert!(try_backup(&mut device.open(&faulty), &large, NOW).is_err());

    let rotten = names(&memory, Folder::Packs);
    assert!(rotten.len() >= 2);
    rotten.iter().for_each(|name| rot(&memory, name));
    large.set("diary.txt", Node::File(vec![1; 100]));
    let report = backup(&mut device.open(&memory), &large, NOW + 60);
    assert_tells_of(&report, &rotten);
    let other = Device::new(2).open(&memory);
    assert_restores(&other, other.snapshots().last().unwrap(), &large);
    assert!(check(&other).findings.is_empty());
}

#[test]
fn a_full_storage_is_told_and_nothing_is_lost() {
    let memory = storage();
    let device = Device::new(1);
    backup(&mut device.create(&memory), &tree(), NOW);
    let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&memory), fault::full_after(50_000)));
    let failed = try_backup(&mut device.open(&faulty), &changed(&tree()), NOW + 60);
    assert!(matches!(failed, Err(BackupError::Storage(error)) if error.kind == StorageErrorKind::Full));
    let repository = device.open(&memory);
    assert_restores(&repository, &repository.snapshots()[0], &tree());
    assert!(check(&repository).findings.is_empty());
}

#[test]
fn one_of_the_first_two_configs_is_enough() {
    let storage = storage();
    Device::new(1).create(&storage);
    for info in storage.list(Folder::Config).unwrap() {
        let whole = storage.get(&info.name).unwrap();
        let mut bytes = whole.clone();
        bytes[3000] ^= 1;
        replace(&storage, &info.name, &bytes);
        assert_eq!(Device::new(2).open(&storage).protectors().len(), 1);
        replace(&storage, &info.name, &whole);
    }
}

/// An index object shown in the place of another, or an old one in the place of its successor.
#[test]
fn exchanged_index_objects_are_noticed_and_lose_nothing() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree(), NOW);
    backup(&mut repository, &changed(&tree()), NOW + 60);
    let names: Vec<ObjectName> = storage.list(Folder::Index).unwrap().into_iter().map(|info| info.name).collect();
    let first = storage.get(&names[0]).unwrap();
    replace(&storage, &names[1], &first);
    let repository = Device::new(2).open(&storage);
    assert_restores(&repository, &repository.snapshots()[0], &tree());
    assert_restores(&repository, &repository.snapshots()[1], &changed(&tree()));
    let report = check(&repository);
    assert!(!report.findings.is_empty());
}

#[test]
fn a_storage_that_cannot_be_reached_is_no_damage() {
    let storage = storage();
    backup(&mut Device::new(1).create(&storage), &tree(), NOW);
    let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&storage), |call: &fault::Call| {
        call.subject.starts_with("packs/").then_some(Fault::Refuse(StorageErrorKind::Unreachable))
    }));
    let checked = Device::new(2).open(&faulty).check(&WHOLE, &Quiet);
    assert!(matches!(checked, Err(CheckError::Read(ReadError::Storage(_)))));
}

#[test]
fn a_hard_link_is_never_made_to_what_was_not_restored() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let mut tree =
        MemoryTree::new(&[("a.jpg", Node::File(random(1, 90_000))), ("b.jpg", Node::HardLink(path("a.jpg")))]);
    tree.times.insert(path("b.jpg"), 1);
    backup(&mut repository, &tree, NOW);
    let target = MemoryTarget::default();
    target.nodes.lock().unwrap().insert(path("chats/a.jpg"), Node::File(b"somebody else's".to_vec()));
    let options = RestoreOptions { select: &|_| true, overwrite: Overwrite::Never, best_effort: false, dry_run: false };
    repository.restore(&repository.snapshots()[0], &target, &options, &Quiet).unwrap();
    let nodes = target.nodes.into_inner().unwrap();
    assert_eq!(nodes[&path("chats/a.jpg")], Node::File(b"somebody else's".to_vec()));
    assert_eq!(nodes[&path("chats/b.jpg")], Node::File(random(1, 90_000)));
}

#[test]
fn what_a_check_found_bad_is_stored_again_by_the_next_backup() {
    let storage = storage();
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree(), NOW);
    let pack = storage.list(Folder::Packs).unwrap()[0].name.clone();
    let mut bytes = storage.get(&pack).unwrap();
    bytes[100] ^= 1;
    replace(&storage, &pack, &bytes);

    assert_eq!(check(&device.open(&storage)).findings.len(), 1);
    let report = backup(&mut device.open(&storage), &tree(), NOW + 60);
    assert!(!report.damage.is_empty() && report.bytes_new > 0);
    let repository = device.open(&storage);
    assert_restores(&repository, &repository.snapshots()[1], &tree());
    let hurt: Vec<u64> = check(&repository).findings[0].affected.iter().map(|affected| affected.number).collect();
    assert_eq!(hurt, [1]);
}
