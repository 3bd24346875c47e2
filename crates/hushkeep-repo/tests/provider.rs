//! What a storage sees of a repository: what it must not, and what `spec/threat-model.md` says that it does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch};
use hushkeep_core::name::{ProtectorId, RepositoryId};
use hushkeep_core::seal::{Header, padded_len};
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError};
use hushkeep_repo::{
    BackupOptions, CheckOptions, LockedRepository, Overwrite, Protector, ProtectorKind, PruneOptions, Quiet, RelPath,
    Repository, RestoreOptions, Source, Storage,
};
use hushkeep_storage::MemoryStorage;

const DAY: i64 = 86_400;

/// Requests are for whole steps of this many bytes.
const STEP: u64 = 65_536;

/// Every object of a storage.
type Objects = BTreeMap<ObjectName, Vec<u8>>;

fn objects(storage: &Arc<dyn Storage>) -> Objects {
    let names = Folder::ALL.into_iter().flat_map(|folder| storage.list(folder).unwrap());
    names.map(|info| (info.name.clone(), storage.get(&info.name).unwrap())).collect()
}

fn len(objects: &Objects) -> usize {
    objects.values().map(Vec::len).sum()
}

fn memory() -> (MemoryStorage, Arc<dyn Storage>) {
    let memory = MemoryStorage::new(Features { create_if_absent: false });
    memory.set_time(at(NOW));
    (memory.clone(), Arc::new(memory))
}

/// What one device stores of a tree, day by day.
fn stored(device: &Device, days: &[&MemoryTree]) -> Objects {
    let (_, storage) = memory();
    let mut repository = device.create(&storage);
    for (day, tree) in (0..).zip(days) {
        backup(&mut repository, *tree, NOW + day * DAY);
    }
    objects(&storage)
}

/// Letters that compress to about half, the same for the same seed.
fn letters(seed: u64, len: usize) -> Vec<u8> {
    random(seed, len).into_iter().map(|byte| b'a' + byte % 16).collect()
}

/// Things that nobody but the owner may see. Each stands somewhere in [`secret_tree`], or is given beside it.
const MARKERS: [&str; 9] = [
    "marker of a message",
    "marker of a page",
    "marker of a file name.jpg",
    "marker of a folder",
    "/marker/of/a/link",
    "marker of a label",
    "/marker/of/a/source",
    "marker of a device",
    "marker of a protector",
];

fn secret_tree(day: u64) -> MemoryTree {
    let text = |marker: &str| format!("{marker}, day {day}").repeat(200).into_bytes();
    let pages = [text(MARKERS[1]), random(day, 4096 * 30)].concat();
    let mut tree = MemoryTree::new(&[("chat.db", Node::Database { page_size: 4096, bytes: pages })]);
    tree.set(MARKERS[3], Node::Folder);
    tree.set(&format!("{}/{}", MARKERS[3], MARKERS[2]), Node::File(random(100 + day, 90_000)));
    tree.set("message.txt", Node::File(text(MARKERS[0])));
    tree.set("short.txt", Node::File(MARKERS[0].into()));
    tree.set("link", Node::Link(MARKERS[4].into()));
    tree
}

fn secret_backup(repository: &mut Repository, tree: &MemoryTree, now: i64) {
    let options = BackupOptions::new(at(now), MARKERS[7].into());
    let source = Source { label: path(MARKERS[5]), path: MARKERS[6].into(), tree };
    repository.backup(&[source], &options, &Quiet).unwrap();
}

fn new_key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| bytes.copy_from_slice(&random(77, 32))))
}

/// Every object that a life with everything in it stores, also those that are deleted in the end.
fn objects_of_a_life() -> Objects {
    let (memory, storage) = memory();
    let device = Device::new(1);
    let mut repository = device.create(&storage);
    for day in 0..4 {
        secret_backup(&mut repository, &secret_tree(u64::try_from(day).unwrap()), NOW + day * DAY);
    }
    let mut seen = objects(&storage);
    let mut protectors = repository.protectors().to_vec();
    let kind = ProtectorKind::Passphrase(b"a wrap".to_vec());
    protectors.push(Protector::new(ProtectorId::from_bytes([1; 4]), kind, MARKERS[8].into(), at(NOW)));
    repository.set_protectors(protectors, at(NOW)).unwrap();
    let first = repository.snapshots()[0].id;
    repository.forget(&[first], at(NOW)).unwrap();
    for day in [10, 20] {
        memory.set_time(at(NOW + day * DAY));
        let now = at(NOW + day * DAY);
        let options = PruneOptions { now, max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false };
        repository.prune(&options, &Quiet).unwrap();
        seen.extend(objects(&storage));
    }
    repository.rotate(&new_key(), repository.protectors().to_vec(), at(NOW)).unwrap();
    secret_backup(&mut repository, &secret_tree(9), NOW + 30 * DAY);
    seen.extend(objects(&storage));
    seen
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// All runs of eight bytes: so many bytes agree by chance nowhere in these tests.
fn runs(bytes: &[u8]) -> HashSet<[u8; 8]> {
    bytes.windows(8).map(|run| run.try_into().unwrap()).collect()
}

#[test]
fn no_object_shows_what_was_backed_up() {
    let id = RepositoryId::from_bytes([8; 16]);
    let keys = [(key(), Epoch::FIRST), (new_key(), Epoch(1))];
    let secrets: Vec<[u8; 32]> =
        keys.iter().flat_map(|(key, epoch)| [*key.expose(), *key.epoch_secret(&id, *epoch).expose()]).collect();
    let mut contents = HashSet::new();
    for node in [0, 1, 2, 3, 9].iter().flat_map(|day| secret_tree(*day).nodes.into_values()) {
        if let Node::File(bytes) | Node::Database { bytes, .. } = node {
            contents.extend(runs(&bytes));
        }
    }
    let seen = objects_of_a_life();
    assert!(seen.keys().map(ObjectName::folder).collect::<BTreeSet<_>>().len() == 4 && seen.len() > 20);
    for (name, object) in &seen {
        for marker in MARKERS {
            assert!(!holds(object, marker.as_bytes()), "{name} shows {marker:?}");
        }
        assert!(secrets.iter().all(|secret| !holds(object, secret)), "{name} shows a key");
        assert!(runs(object).is_disjoint(&contents), "{name} shows a piece of a file");
    }
}

#[test]
fn equal_files_under_different_keys_share_no_byte() {
    let tree = secret_tree(1);
    let made = |key: &BackupKey, id: u8, seed: u64| {
        let (_, storage) = memory();
        let device = Device::new(seed);
        let id = RepositoryId::from_bytes([id; 16]);
        let mut repository =
            Repository::create(Arc::clone(&storage), device.state.clone(), key, id, at(NOW), device.rng()).unwrap();
        secret_backup(&mut repository, &tree, NOW);
        objects(&storage)
    };
    // All but headers and the clear length at the end, which are there to be read.
    let sealed = |objects: &Objects| {
        let sealed = objects.values().flat_map(|object| {
            let (_, header_len) = Header::parse(object).unwrap();
            runs(&object[header_len..object.len() - 4])
        });
        sealed.collect::<HashSet<_>>()
    };
    let own = sealed(&made(&key(), 8, 1));
    assert!(own.is_disjoint(&sealed(&made(&new_key(), 8, 2))), "another key");
    assert!(own.is_disjoint(&sealed(&made(&key(), 9, 1))), "another repository of the same key, and the same chance");
    assert!(own.is_disjoint(&sealed(&made(&key(), 8, 3))), "everything the same, but sealed anew");
}

#[test]
fn names_come_from_chance_alone() {
    let seen = objects_of_a_life();
    let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    for name in seen.keys() {
        let (number, random) = name.file().split_once('-').unwrap_or(("", name.file()));
        let is_numbered = number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()) && hex(random, 8);
        assert!(if number.is_empty() { hex(random, 32) } else { is_numbered }, "{name}");
    }
    let names = |seed, tree: &MemoryTree| stored(&Device::new(seed), &[tree]).into_keys().collect::<BTreeSet<_>>();
    let (one, other) = (secret_tree(1), secret_tree(2));
    assert_eq!(names(1, &one), names(1, &other), "other contents, the same chance");
    assert!(names(1, &one).is_disjoint(&names(2, &one)), "the same contents, other chance");
}

#[test]
fn lengths_are_steps_with_a_floor() {
    let mut seen = objects_of_a_life();
    let mut tree = MemoryTree::default();
    tree.nodes.insert(RelPath::root(), Node::Folder);
    for (number, len) in [1, 1000, 70_001, 1_234_567, 5_000_003].into_iter().enumerate() {
        tree.set(&format!("{number}.bin"), Node::File(random(7, len)));
        seen.extend(stored(&Device::new(50 + number as u64), &[&tree]));
    }
    for (name, object) in &seen {
        let floor = if name.folder() == Folder::Packs { 32_768 } else { 4096 };
        assert!(object.len() >= floor && object.len() == padded_len(object.len()), "{name}: {}", object.len());
    }
}

#[test]
fn small_backups_look_alike() {
    let lens = |file: usize, name: &str| {
        let tree = MemoryTree::new(&[(name, Node::File(random(1, file)))]);
        let lens = stored(&Device::new(1), &[&tree]).into_values().map(|object| object.len());
        lens.collect::<Vec<_>>()
    };
    assert_eq!(lens(1, "a"), lens(31_000, "a name that is not short"));
    assert_ne!(lens(1, "a"), lens(40_000, "a"), "beyond the floor, a difference shows");
}

#[test]
fn every_header_names_repository_and_epoch() {
    let id = RepositoryId::from_bytes([8; 16]);
    let seen = objects_of_a_life();
    let headers: Vec<Header> = seen.values().map(|object| Header::parse(object).unwrap().0).collect();
    assert!(headers.iter().all(|header| header.repository == id));
    let epochs: BTreeSet<u32> = headers.iter().map(|header| header.epoch.0).collect();
    assert_eq!(epochs, BTreeSet::from([0, 1]), "a rotation shows");
    for (name, header) in seen.keys().zip(&headers) {
        assert!(name.folder() == Folder::Config || header.clear.is_empty(), "{name} has a clear part");
    }
}

#[test]
fn a_config_shows_how_many_protectors_there_are_and_of_which_kind() {
    let (_, storage) = memory();
    let mut repository = Device::new(1).create(&storage);
    let mut protectors = repository.protectors().to_vec();
    let kind = ProtectorKind::Passphrase(b"a wrap".to_vec());
    protectors.push(Protector::new(ProtectorId::from_bytes([1; 4]), kind.clone(), MARKERS[8].into(), at(NOW)));
    repository.set_protectors(protectors, at(NOW)).unwrap();
    let seen = LockedRepository::find(storage, None).unwrap();
    let kinds: Vec<&ProtectorKind> = seen.protectors().map(|protector| protector.kind).collect();
    assert_eq!(kinds, [&ProtectorKind::RecoveryKey, &kind]);
}

/// What was asked of a storage: objects stored, in their order, and parts read.
#[derive(Default)]
struct Log {
    put: Vec<ObjectName>,
    read: Vec<(ObjectName, Range<u64>)>,
}

/// A storage that watches.
struct Watching {
    inner: Arc<dyn Storage>,
    log: Mutex<Log>,
}

impl Watching {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: memory().1, log: Mutex::default() })
    }

    fn take(&self) -> Log {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    fn len_of(&self, name: &ObjectName) -> u64 {
        self.inner.get(name).unwrap().len() as u64
    }
}

impl Storage for Watching {
    fn features(&self) -> Features {
        Features { create_if_absent: true }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.log.lock().unwrap().put.push(name.clone());
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.inner.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.log.lock().unwrap().read.push((name.clone(), range.clone()));
        self.inner.get_range(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.inner.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.inner.delete(name)
    }
}

/// Two days, each with a file that fills many steps.
fn watched() -> (Arc<Watching>, Arc<dyn Storage>) {
    let watching = Watching::new();
    let storage: Arc<dyn Storage> = watching.clone();
    let mut repository = Device::new(1).create(&storage);
    let mut tree = MemoryTree::new(&[("one.mp4", Node::File(random(1, 700_001)))]);
    backup(&mut repository, &tree, NOW);
    tree.set("two.mp4", Node::File(random(2, 900_001)));
    tree.set("chat.db", Node::Database { page_size: 4096, bytes: random(3, 4096 * 300) });
    backup(&mut repository, &tree, NOW + DAY);
    (watching, storage)
}

/// Restores what lies at a path of the newest snapshot; empty for everything.
fn restore_one(repository: &Repository, wanted: &str) {
    let select = |place: &RelPath| wanted.is_empty() || *place == path(wanted);
    let options = RestoreOptions { select: &select, overwrite: Overwrite::Always, best_effort: false, dry_run: false };
    let newest = repository.snapshots().last().unwrap();
    let report = repository.restore(newest, &MemoryTarget::default(), &options, &Quiet).unwrap();
    assert!(report.files > 0 && report.problems.is_empty());
}

#[test]
fn parts_are_read_in_whole_steps() {
    let (watching, storage) = watched();
    restore_one(&Device::new(2).open(&storage), "");
    restore_one(&Device::new(2).open(&storage), "chats/chat.db");
    for index in storage.list(Folder::Index).unwrap() {
        storage.delete(&index.name).unwrap();
    }
    // Tables are read from the packs themselves now.
    let mut repository = Device::new(2).open(&storage);
    repository.check(&CheckOptions { read_data: 0.0 }, &Quiet).unwrap();
    let mut tree = MemoryTree::new(&[("one.mp4", Node::File(random(1, 700_001)))]);
    tree.set("three.mp4", Node::File(random(4, 200_000)));
    backup(&mut repository, &tree, NOW + 2 * DAY);
    let read = watching.take().read;
    assert!(read.iter().any(|(name, range)| range.end < watching.len_of(name)), "some end inside of an object");
    assert!(read.iter().any(|(_, range)| range.start > 0), "some begin inside of an object");
    for (name, range) in &read {
        let ends_well = range.end % STEP == 0 || range.end == watching.len_of(name);
        assert!(range.start % STEP == 0 && ends_well, "{name}: {range:?}");
    }
}

#[test]
fn which_file_is_restored_shows_in_the_parts_that_are_read() {
    let (watching, storage) = watched();
    let read = |wanted: &str| {
        let repository = Device::new(2).open(&storage);
        watching.take();
        restore_one(&repository, wanted);
        let read = watching.take().read;
        read.into_iter().map(|(name, range)| (name, range.start, range.end)).collect::<BTreeSet<_>>()
    };
    let (one, two, all) = (read("chats/one.mp4"), read("chats/two.mp4"), read(""));
    assert_eq!(one, read("chats/one.mp4"), "and shows again");
    assert!(one != two && one != all && two != all);
    let bytes = |read: &BTreeSet<(ObjectName, u64, u64)>| read.iter().map(|(_, start, end)| end - start).sum::<u64>();
    assert!(bytes(&one) < bytes(&all) && bytes(&two) < bytes(&all), "{} {} {}", bytes(&one), bytes(&two), bytes(&all));
}

#[test]
fn each_change_shows_as_one_numbered_commit_after_its_packs() {
    let watching = Watching::new();
    let storage: Arc<dyn Storage> = watching.clone();
    let mut repository = Device::new(1).create(&storage);
    watching.take();
    // More than one pack: they come one after the other, then the index object, then the commit.
    let tree = MemoryTree::new(&[("video.mp4", Node::File(random(1, 20 << 20)))]);
    backup(&mut repository, &tree, NOW);
    let folders: Vec<Folder> = watching.take().put.iter().map(ObjectName::folder).collect();
    assert_eq!(folders, [Folder::Packs, Folder::Packs, Folder::Index, Folder::Commits]);
    backup(&mut repository, &tree, NOW + DAY);
    let newest = repository.snapshots()[1].id;
    repository.forget(&[newest], at(NOW)).unwrap();
    repository.set_protectors(repository.protectors().to_vec(), at(NOW)).unwrap();
    let commits: Vec<String> =
        storage.list(Folder::Commits).unwrap().into_iter().map(|info| info.name.file().to_owned()).collect();
    assert_eq!(commits, (1..=4).map(|number| format!("{number:010}")).collect::<Vec<_>>());
    let configs = storage.list(Folder::Config).unwrap();
    let numbers: Vec<&str> = configs.iter().map(|info| &info.name.file()[..10]).collect();
    assert_eq!(numbers, ["0000000001", "0000000001", "0000000002", "0000000002"]);
}

/// Somebody sends the owner a file in a chat, and the storage tells him how much that day's objects hold.
#[test]
fn who_sends_a_file_learns_from_the_sizes_whether_it_was_there() {
    let before = MemoryTree::new(&[("had.jpg", Node::File(random(1, 300_000)))]);
    let grown_by = |sent: u64| {
        let mut after = before.clone();
        after.set("received.jpg", Node::File(random(sent, 300_000)));
        len(&stored(&Device::new(1), &[&before, &after])) - len(&stored(&Device::new(1), &[&before]))
    };
    assert!(grown_by(1) < 100_000 && grown_by(2) > 300_000, "{} {}", grown_by(1), grown_by(2));
    // A byte more, and it is another file: only the whole of it can be asked for.
    let mut changed = random(1, 300_000);
    changed.push(0);
    let mut after = before.clone();
    after.set("received.jpg", Node::File(changed));
    assert!(len(&stored(&Device::new(1), &[&before, &after])) > len(&stored(&Device::new(1), &[&before])) + 300_000);
}

#[test]
fn what_resembles_other_new_files_takes_less_room() {
    let with = |sent: u64| {
        let mut almost = letters(sent, 400_000);
        almost[0] = b'!';
        let tree = MemoryTree::new(&[
            ("a message.txt", Node::File(letters(1, 400_000))),
            ("received.txt", Node::File(almost)),
        ]);
        len(&stored(&Device::new(1), &[&tree]))
    };
    assert!(with(1) + 100_000 < with(2), "{} {}", with(1), with(2));
}
