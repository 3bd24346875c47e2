//! What a device keeps of a storage saves requests, and never more than that.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;
#[path = "common/reseal.rs"]
mod reseal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::place::{new_key, open_with};
use common::*;
use hushkeep_core::name::ProtectorId;
use hushkeep_repo::cache::{Cache, CacheKey};
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{Protector, ProtectorKind, Storage, UnlockError};
use hushkeep_storage::{CachedStorage, CountingStorage, MemoryStorage};

#[derive(Default)]
struct MemoryCache {
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Whether everything should be read again.
    is_old: AtomicBool,
}

impl Cache for MemoryCache {
    fn load(&self, key: &CacheKey) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().get(&key.to_string()).cloned()
    }

    fn is_due(&self, key: &CacheKey) -> bool {
        key.segment.is_none() && self.is_old.load(Ordering::Relaxed)
    }

    fn store(&self, key: &CacheKey, sealed: &[u8]) {
        self.kept.lock().unwrap().insert(key.to_string(), sealed.to_vec());
    }

    fn retain(&self, wanted: &dyn Fn(&CacheKey) -> bool) {
        self.kept.lock().unwrap().retain(|key, _| wanted(&CacheKey::parse(key).unwrap()));
    }
}

/// A storage in memory, how it is used, and what a device keeps of it.
struct Place {
    memory: Arc<dyn Storage>,
    counting: Arc<CountingStorage>,
    cache: Arc<MemoryCache>,
    storage: Arc<dyn Storage>,
}

impl Place {
    fn new() -> Self {
        let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let counting = Arc::new(CountingStorage::new(Arc::clone(&memory)));
        let cache = Arc::new(MemoryCache::default());
        let storage: Arc<dyn Storage> = Arc::new(CachedStorage::new(counting.clone(), cache.clone()));
        Self { memory, counting, cache, storage }
    }

    fn requests(&self) -> u64 {
        self.counting.counts().total().calls
    }
}

fn tree(days: u64) -> MemoryTree {
    let mut tree = MemoryTree::new(&[("folder", Node::Folder)]);
    for day in 0..days {
        tree.set(&format!("folder/{day}.jpg"), Node::File(random(day, 20_000)));
    }
    tree.set("chat.db", Node::Database { page_size: 4096, bytes: random(days, 4096 * 40) });
    tree
}

#[test]
fn an_unchanged_backup_takes_five_requests() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    for day in 1..=30 {
        backup(&mut device.open(&place.storage), &tree(day), NOW + i64::try_from(day).unwrap() * 86_400);
    }
    let before = place.requests();
    let mut repository = device.open_at(&place.storage, NOW + 31 * 86_400).unwrap();
    let report = backup(&mut repository, &tree(30), NOW + 31 * 86_400);
    assert_eq!((report.bytes_new, report.objects_stored), (0, 1));
    assert_eq!(place.requests() - before, 5, "three folders listed; the newest commit read, one stored");

    // A day with something new: one pack and one index object more, and two looks at what is there.
    let before = place.requests();
    backup(&mut device.open_at(&place.storage, NOW + 32 * 86_400).unwrap(), &tree(31), NOW + 32 * 86_400);
    assert_eq!(place.requests() - before, 9);
}

#[test]
fn a_cache_that_lies_is_not_believed() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    let (first, second) = (tree(2), tree(3));
    backup(&mut device.open(&place.storage), &first, NOW);
    backup(&mut device.open(&place.storage), &second, NOW + 60);
    let names: Vec<String> = place.cache.kept.lock().unwrap().keys().cloned().collect();
    assert!(names.len() > 6, "{names:?}");
    let lies: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[20] ^= 1,
        |bytes| bytes.truncate(10),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        for name in &names {
            place.cache.kept.lock().unwrap().entry(name.clone()).and_modify(lie);
            let repository = device.open(&place.storage);
            assert!(repository.damaged_commits().is_empty(), "lie {number} about {name}");
            assert_restores(&repository, &repository.snapshots()[0], &first);
            assert_restores(&repository, &repository.snapshots()[1], &second);
        }
    }
    // Nothing of it is seen by a device that keeps nothing.
    let other = Device::new(2).open(&place.memory);
    assert_restores(&other, &other.snapshots()[1], &second);
}

#[test]
fn nothing_is_built_on_what_only_this_device_keeps() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    backup(&mut device.open(&place.storage), &tree(2), NOW);
    backup(&mut device.open(&place.storage), &tree(3), NOW + 60);
    let packs: Vec<_> = place.memory.list(Folder::Packs).unwrap().into_iter().map(|info| info.name).collect();
    for pack in packs {
        let whole = place.memory.get(&pack).unwrap();
        place.memory.delete(&pack).unwrap();
        let report = backup(&mut device.open(&place.storage), &tree(3), NOW + 120);
        assert!(report.damage.iter().any(|damage| damage.object == pack.to_string()));
        let other = Device::new(2).open(&place.memory);
        assert_restores(&other, other.snapshots().last().unwrap(), &tree(3));
        place.memory.put(&pack, &whole).unwrap();
    }
}

/// Changes one bit in the middle of an object.
fn damage(storage: &Arc<dyn Storage>, name: &ObjectName) {
    let mut object = storage.get(name).unwrap();
    let middle = object.len() / 2;
    object[middle] ^= 1;
    storage.delete(name).unwrap();
    storage.put(name, &object).unwrap();
}

#[test]
fn a_damaged_newest_commit_is_said_again() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    backup(&mut device.open(&place.storage), &tree(1), NOW);
    backup(&mut device.open(&place.storage), &tree(2), NOW + 60);
    let newest: ObjectName = "commits/0000000002".parse().unwrap();
    damage(&place.memory, &newest);
    let mut repository = device.open(&place.storage);
    assert_eq!(repository.mended_commits()[0].object, newest.to_string());
    let report = backup(&mut repository, &tree(3), NOW + 120);
    assert!(report.damage.iter().any(|damage| damage.object == newest.to_string()));
    let other = Device::new(2).open(&place.memory);
    assert!(other.damaged_commits().is_empty() && repository.mended_commits().is_empty());
    for (snapshot, days) in other.snapshots().iter().zip(1..=3) {
        assert_restores(&other, snapshot, &tree(days));
    }
    assert_eq!(other.snapshots().len(), 3);
}

#[test]
fn a_lost_or_damaged_config_is_stored_again() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    backup(&mut device.open(&place.storage), &tree(1), NOW);
    let stored = || names(&place.memory, Folder::Config);
    for (round, is_lost) in [(0, true), (1, false)] {
        let first = stored().remove(0);
        if is_lost {
            place.memory.delete(&first).unwrap();
        } else {
            damage(&place.memory, &first);
        }
        place.cache.is_old.store(true, Ordering::Relaxed);
        let report = backup(&mut device.open(&place.storage), &tree(1), NOW + 60 + round);
        assert_eq!((report.damage.len(), stored().len()), (usize::from(!is_lost), 2), "{:?}", report.damage);
        assert!(!stored().contains(&first));
    }
    // Both at once: this device still has them.
    stored().iter().for_each(|name| damage(&place.memory, name));
    assert!(Device::new(2).try_open(&place.memory).is_err());
    let report = backup(&mut device.open(&place.storage), &tree(1), NOW + 120);
    assert_eq!((report.damage.len(), stored().len()), (2, 2), "{:?}", report.damage);
    assert!(Device::new(2).try_open(&place.memory).is_ok());
    let report = backup(&mut device.open(&place.storage), &tree(1), NOW + 180);
    assert_eq!(report.damage, []);
}

#[test]
fn damaged_bases_are_noticed_when_they_are_due() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    for day in 1..=4 {
        backup(&mut device.open(&place.storage), &tree(day), NOW + i64::try_from(day).unwrap());
    }
    damage(&place.memory, &"commits/0000000002".parse().unwrap());
    assert!(device.open(&place.storage).mended_commits().is_empty());
    place.cache.is_old.store(true, Ordering::Relaxed);
    let mut repository = device.open(&place.storage);
    assert_eq!(repository.mended_commits().len(), 1);
    backup(&mut repository, &tree(5), NOW + 60);
    let other = Device::new(2).open(&place.memory);
    assert!(other.damaged_commits().is_empty());
    assert_eq!(other.snapshots().len(), 5);
}

#[test]
fn another_commit_in_the_place_of_a_base_replaces_none_that_is_kept() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    for day in 1..=4 {
        backup(&mut device.open(&place.storage), &tree(day), NOW + i64::try_from(day).unwrap());
    }
    let [second, third] = ["commits/0000000002", "commits/0000000003"].map(|name| name.parse::<ObjectName>().unwrap());
    let other = place.memory.get(&third).unwrap();
    place.memory.delete(&second).unwrap();
    place.memory.put(&second, &other).unwrap();
    place.cache.is_old.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let repository = device.open(&place.storage);
        assert_eq!(repository.mended_commits()[0].object, second.to_string());
        assert_eq!((repository.snapshots().len(), repository.damaged_commits().len()), (4, 0));
    }
    backup(&mut device.open(&place.storage), &tree(5), NOW + 60);
    assert_eq!(Device::new(2).open(&place.memory).snapshots().len(), 5);
}

#[test]
fn a_config_that_was_replaced_meanwhile_is_not_stored_again() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    let mut other = Device::new(2).open(&place.memory);
    let kind = ProtectorKind::Passphrase(vec![1; 50]);
    let passphrase = Protector::new(ProtectorId::from_bytes([1; 4]), kind, "old".to_owned(), at(NOW));
    let recovery_key = other.protectors().to_vec();
    other.set_protectors([recovery_key.as_slice(), &[passphrase]].concat(), at(NOW)).unwrap();

    let first = names(&place.memory, Folder::Config).pop().unwrap();
    place.memory.delete(&first).unwrap();
    let mut repository = device.open(&place.storage);
    // The other device removes the passphrase, and every config that has it.
    other.set_protectors(recovery_key, at(NOW + 30)).unwrap();
    let before = names(&place.memory, Folder::Config);
    backup(&mut repository, &tree(1), NOW + 60);
    assert_eq!(names(&place.memory, Folder::Config), before);
    assert!(before.iter().all(|name| name.file().starts_with("0000000003-")), "{before:?}");
}

#[test]
fn another_commit_of_the_same_name_is_a_roll_back() {
    let place = Place::new();
    let (first, second) = (Device::new(1), Device::new(2));
    first.create(&place.storage);
    backup(&mut first.open(&place.storage), &tree(1), NOW);
    backup(&mut first.open(&place.storage), &tree(2), NOW + 60);
    let newest: ObjectName = "commits/0000000002".parse().unwrap();
    place.memory.delete(&newest).unwrap();
    // As a folder that is synchronised does when two devices wrote at once.
    backup(&mut second.open(&place.memory), &tree(3), NOW + 90);
    assert!(names(&place.memory, Folder::Commits).contains(&newest));
    assert!(matches!(first.try_open(&place.storage), Err(UnlockError::RolledBack)));
}

#[test]
fn what_is_not_needed_any_more_is_not_kept() {
    let place = Place::new();
    let device = Device::new(1);
    device.create(&place.storage);
    for day in 0..100 {
        let mut tree = tree(1);
        tree.set("notes", Node::File(random(1000 + day, 2000)));
        backup(&mut device.open(&place.storage), &tree, NOW + i64::try_from(day).unwrap() * 86_400);
    }
    let kept = |folder: &str| place.cache.kept.lock().unwrap().keys().filter(|key| key.starts_with(folder)).count();
    assert!(kept("commits.") <= 66 && kept("index.") <= 16 && kept("config.") <= 2);
}

/// It says itself under which key it is, also where what lies on the storage says nothing any more.
#[test]
fn a_late_commit_that_only_newer_versions_read_stops_nobody_when_it_is_damaged() {
    let place = Place::new();
    let device = Device::new(1);
    backup(&mut device.create(&place.storage), &tree(1), NOW);
    let mut repository = device.open(&place.storage);
    let protectors = repository.protectors().to_vec();
    repository.rotate(&new_key(), protectors, at(NOW)).unwrap();
    let first: ObjectName = "commits/0000000001".parse().unwrap();
    let late: ObjectName = "commits/0000000001-0badcafe".parse().unwrap();
    // An unknown critical field, of no bytes.
    let newer = reseal::with_commit_body(&place.memory.get(&first).unwrap(), |body| body.extend([17 << 1 | 1, 0]));
    for bytes in [newer.as_slice(), &newer[..100], &[]] {
        place.memory.delete(&late).unwrap();
        place.memory.put(&late, bytes).unwrap();
        let repository = open_with(&new_key(), &device, &place.storage).unwrap();
        assert_eq!(repository.outdated_commits().collect::<Vec<_>>(), [late.to_string()], "{} bytes", bytes.len());
    }
}
