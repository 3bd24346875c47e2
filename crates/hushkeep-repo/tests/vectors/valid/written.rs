//! Valid repositories that the engine itself wrote.

use std::sync::Arc;

use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::recovery::RecoveryKey;
use hushkeep_core::wire::RecordWriter;
use hushkeep_core::wrap::{KdfParams, Passphrase, PassphraseWrap, WrapPlace};
use hushkeep_repo::storage::{Features, Folder};
use hushkeep_repo::{LockedRepository, Protector, ProtectorKind, PruneOptions, Quiet, RelPath, Repository, Storage};
use hushkeep_storage::MemoryStorage;
use serde_json::json;

use crate::common::{Device, MemoryTree, NOW, Node, at, backup, key};
use crate::expected::{Snapshot, Vector, escape, valid};

const DAY: i64 = 86_400;

pub(crate) fn all() -> Vec<Vector> {
    vec![
        one_file(),
        eight_backups(),
        two_tips(),
        merged_tips(),
        both_forms_of_commit_names(),
        marked_packs(),
        repacked_and_dropped(),
        protectors(),
        three_epochs(),
        password(),
    ]
}

/// A repository that is being written, and what was backed up into it.
struct Writing {
    name: &'static str,
    /// Salts of one vector are not those of another.
    seed: u64,
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
    now: i64,
    snapshots: Vec<Snapshot>,
}

impl Writing {
    fn new(name: &'static str, create_if_absent: bool) -> Self {
        let memory = MemoryStorage::new(Features { create_if_absent });
        memory.set_time(at(NOW));
        let seed = name.bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
        Self { name, seed, storage: Arc::new(memory.clone()), memory, now: NOW, snapshots: Vec::new() }
    }

    fn device(&self, number: u64) -> Device {
        Device::new(self.seed * 10 + number)
    }

    /// Backs up on this storage, and notes what a reader must find of it.
    fn back_up(&mut self, repository: &mut Repository, tree: &MemoryTree) {
        self.wait(60);
        let snapshot = backup(repository, tree, self.now).snapshot.unwrap();
        self.snapshots.push(expected(snapshot.number, &snapshot.id.to_string(), tree));
    }

    fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        self.memory.set_time(at(self.now));
    }

    /// A storage that has what this one has, as another device sees it that is cut off from now on.
    fn copy(&self, create_if_absent: bool) -> Self {
        let copy = Self { now: self.now, ..Self::new(self.name, create_if_absent) };
        copy.take_in(self);
        copy
    }

    /// Takes in what another storage has and this one lacks.
    fn take_in(&self, other: &Self) {
        for info in Folder::ALL.iter().flat_map(|folder| other.storage.list(*folder).unwrap()) {
            if self.storage.get(&info.name).is_err() {
                self.storage.put(&info.name, &other.storage.get(&info.name).unwrap()).unwrap();
            }
        }
    }

    fn forget(&mut self, repository: &mut Repository, number: u64) {
        let gone: Vec<_> = repository.snapshots().iter().filter(|s| s.number == number).map(|s| s.id).collect();
        repository.forget(&gone, at(self.now)).unwrap();
        self.snapshots.retain(|snapshot| snapshot.number != number);
    }

    fn prune(&self, repository: &mut Repository) {
        let (max_unused, max_repack_bytes) = (0.0, u64::MAX);
        let options = PruneOptions { now: at(self.now), max_unused, max_repack_bytes, dry_run: false };
        repository.prune(&options, &Quiet).unwrap();
    }

    fn count(&self, folder: Folder) -> usize {
        self.storage.list(folder).unwrap().len()
    }

    fn vector(mut self, key: &BackupKey) -> Vector {
        let names = Folder::ALL.iter().flat_map(|folder| self.storage.list(*folder).unwrap());
        let objects = names.map(|info| (info.name.to_string(), self.storage.get(&info.name).unwrap())).collect();
        let key = RecoveryKey::from_backup_key(key).to_text().to_string();
        self.snapshots.sort_by_key(|snapshot| (snapshot.number, snapshot.id.clone()));
        let (name, expected) = (self.name.to_owned(), valid(&self.snapshots));
        Vector { name, objects, key, passphrase: None, memory: None, expected }
    }
}

/// What a backup of a tree must give.
fn expected(number: u64, id: &str, tree: &MemoryTree) -> Snapshot {
    let mut snapshot = Snapshot { number, id: id.to_owned(), ..Snapshot::default() };
    let in_snapshot = |path: &RelPath| match path.is_root() {
        true => b"chats".to_vec(),
        false => [b"chats/", path.as_bytes()].concat(),
    };
    for (path, node) in &tree.nodes {
        let path = in_snapshot(path);
        match node {
            Node::Folder => snapshot.folders.push(escape(&path)),
            Node::File(bytes) | Node::Database { bytes, .. } => snapshot.file(&path, bytes),
            Node::Link(target) => drop(snapshot.links.insert(escape(&path), escape(target))),
            Node::HardLink(to) => drop(snapshot.hard_links.insert(escape(&path), escape(&in_snapshot(to)))),
            other => panic!("{other:?}"),
        }
    }
    snapshot
}

/// A database of 512-byte pages that are these numbers over and over.
fn database(pages: &[u8]) -> Node {
    Node::Database { page_size: 512, bytes: pages.iter().flat_map(|page| [*page; 512]).collect() }
}

/// A file that compresses. If some did and some did not, it would be chance which of them are sealed first.
fn picture(number: u8) -> Node {
    Node::File(format!("picture {number} ").repeat(30).into_bytes())
}

fn tree() -> MemoryTree {
    MemoryTree::new(&[
        ("chat.db", database(&[1, 2, 3, 4, 5, 6])),
        ("media", Node::Folder),
        ("media/a.jpg", picture(99)),
        ("media/b.txt", Node::File(b"hello ".repeat(50))),
        ("media/c.txt", Node::HardLink(RelPath::new("media/b.txt").unwrap())),
        ("newest", Node::Link(b"media/a.jpg".to_vec())),
    ])
}

/// The same a number of days later.
fn tree_of_day(day: u8) -> MemoryTree {
    let mut tree = tree();
    let mut pages = [1, 2, 3, 4, 5, 6];
    (0..day).for_each(|day| pages[usize::from(day) % 6] = 10 + day);
    tree.set("chat.db", database(&pages));
    for day in 0..day {
        tree.set(&format!("media/day-{day}.jpg"), picture(day));
    }
    tree
}

fn one_file() -> Vector {
    let mut writing = Writing::new("one-file", true);
    let mut repository = writing.device(1).create(&writing.storage);
    writing.back_up(&mut repository, &MemoryTree::new(&[("a.txt", Node::File(b"hello".to_vec()))]));
    writing.vector(&key())
}

/// Lists, maps and commits as deltas of deltas; the eighth index object has taken the place of seven.
fn eight_backups() -> Vector {
    let mut writing = Writing::new("eight-backups", true);
    let mut repository = writing.device(1).create(&writing.storage);
    (0..8).for_each(|day| writing.back_up(&mut repository, &tree_of_day(day)));
    writing.vector(&key())
}

/// Two devices backed up at once, where a storage does not create only if absent.
fn apart(name: &'static str) -> Writing {
    let mut writing = Writing::new(name, false);
    let mut one = writing.device(1).create(&writing.storage);
    let mut other = writing.copy(false);
    writing.back_up(&mut one, &tree());
    let mut two = writing.device(2).open(&other.storage);
    other.back_up(&mut two, &tree_of_day(2));
    writing.take_in(&other);
    writing.snapshots.append(&mut other.snapshots);
    assert_eq!(writing.count(Folder::Commits), 2);
    writing
}

fn two_tips() -> Vector {
    apart("two-tips").vector(&key())
}

fn merged_tips() -> Vector {
    let mut writing = apart("merged-tips");
    let mut three = writing.device(3).open(&writing.storage);
    writing.back_up(&mut three, &tree_of_day(3));
    writing.vector(&key())
}

/// Moved from a storage that creates only if absent to one that does not.
fn both_forms_of_commit_names() -> Vector {
    let mut first = Writing::new("both-forms-of-commit-names", true);
    let mut repository = first.device(1).create(&first.storage);
    first.back_up(&mut repository, &MemoryTree::new(&[("a.txt", Node::File(b"hello".to_vec()))]));
    let mut writing = first.copy(false);
    writing.snapshots.append(&mut first.snapshots);
    let mut repository = writing.device(2).open(&writing.storage);
    // The same again: no new pack.
    writing.back_up(&mut repository, &MemoryTree::new(&[("a.txt", Node::File(b"hello".to_vec()))]));
    writing.vector(&key())
}

/// Three backups of which the first two are forgotten: what is left of their packs is copied, the old ones are marked.
fn forgotten(name: &'static str) -> (Writing, Repository) {
    let mut writing = Writing::new(name, true);
    let mut repository = writing.device(1).create(&writing.storage);
    let mut last = tree_of_day(4);
    last.remove("media/day-1.jpg");
    [tree_of_day(0), tree_of_day(2), last].iter().for_each(|tree| writing.back_up(&mut repository, tree));
    writing.forget(&mut repository, 1);
    writing.forget(&mut repository, 2);
    writing.prune(&mut repository);
    (writing, repository)
}

fn marked_packs() -> Vector {
    forgotten("marked-packs").0.vector(&key())
}

/// Two packs are left: that of the last backup, and one that holds contents of the lists of both before.
fn repacked_and_dropped() -> Vector {
    let (mut writing, mut repository) = forgotten("repacked-and-dropped");
    writing.wait(DAY + 1);
    writing.prune(&mut repository);
    assert_eq!(writing.count(Folder::Packs), 2);
    writing.vector(&key())
}

const PASSPHRASE: &str = "correct horse battery staple";

/// Configs of three numbers, two copies each; the newest has a passphrase and a kind of protector that nobody knows yet.
fn protectors() -> Vector {
    let mut writing = Writing::new("protectors", true);
    let mut repository = writing.device(1).create(&writing.storage);
    let passphrase = Passphrase::new(PASSPHRASE).unwrap();
    let (id, rng) = (ProtectorId::from_bytes([2; 4]), &mut *writing.device(4).rng());
    let place = WrapPlace { repository: repository.id(), protector: id, epoch: repository.epoch() };
    let wrap = PassphraseWrap::seal(&key(), &passphrase, KdfParams::FLOOR, &place, rng).unwrap();
    let later = ProtectorKind::Unknown { kind: 77, data: b"of a later version".to_vec() };
    let added = [(id, ProtectorKind::Passphrase(wrap.encode())), (ProtectorId::from_bytes([3; 4]), later)];
    for (id, kind) in added {
        let protector = Protector::new(id, kind, "added later".into(), at(writing.now));
        repository.set_protectors([repository.protectors(), &[protector]].concat(), at(writing.now)).unwrap();
    }
    assert_eq!(writing.count(Folder::Config), 6);
    writing.back_up(&mut repository, &MemoryTree::new(&[("a.txt", Node::File(b"hello".to_vec()))]));
    Vector { passphrase: Some(PASSPHRASE.to_owned()), ..writing.vector(&key()) }
}

/// A password behind a vault, which is being changed: two pairs of one record (spec/vault.md §4).
fn password() -> Vector {
    let mut writing = Writing::new("password", true);
    let mut repository = writing.device(1).create(&writing.storage);
    let pair = |version| {
        RecordWriter::new()
            .critical(1, *b"https://vault.example.org:8743")
            .critical(2, [0xa1; 32])
            .critical(3, [0xa2; 32])
            .critical(4, [0xa3; 32])
            .critical(5, [version; 16])
            .critical_int(6, KdfParams::DEFAULT.memory_kib().into())
            .critical_int(7, KdfParams::DEFAULT.iterations().into())
            .critical_int(8, KdfParams::DEFAULT.lanes().into())
            .finish()
    };
    for number in [4, 5] {
        let (id, kind) = (ProtectorId::from_bytes([number; 4]), ProtectorKind::Vault(pair(number)));
        let protector = Protector::new(id, kind, String::new(), at(writing.now));
        repository.set_protectors([repository.protectors(), &[protector]].concat(), at(writing.now)).unwrap();
    }
    writing.back_up(&mut repository, &MemoryTree::new(&[("a.txt", Node::File(b"hello".to_vec()))]));
    writing.vector(&key())
}

fn later_key(number: u8) -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [number; 32]))
}

/// Two rotations, a backup before, between and after; and a backup of a device that did not know of the first.
fn three_epochs() -> Vector {
    let mut writing = Writing::new("three-epochs", false);
    let mut repository = writing.device(1).create(&writing.storage);
    writing.back_up(&mut repository, &tree_of_day(1));
    let mut late = writing.copy(false);
    for (number, day) in [(4, 2), (5, 3)] {
        writing.wait(60);
        let protectors = repository.protectors().to_vec();
        repository.rotate(&later_key(number), protectors, at(writing.now)).unwrap();
        writing.back_up(&mut repository, &tree_of_day(day));
    }
    let mut two = writing.device(2).open(&late.storage);
    late.back_up(&mut two, &MemoryTree::new(&[("late.txt", Node::File(b"nobody sees this".to_vec()))]));
    let configs: Vec<_> = late.storage.list(Folder::Config).unwrap().into_iter().map(|info| info.name).collect();
    configs.iter().for_each(|config| late.storage.delete(config).unwrap());
    let before = writing.storage.list(Folder::Commits).unwrap();
    writing.take_in(&late);
    let commits = writing.storage.list(Folder::Commits).unwrap();
    let outdated: Vec<String> =
        commits.iter().filter(|info| before.iter().all(|b| b.name != info.name)).map(|i| i.name.to_string()).collect();
    let mut vector = writing.vector(&later_key(5));
    vector.expected["outdated"] = json!(outdated);
    vector
}

/// Whether the passphrase of a vector leads to this key.
pub(crate) fn opens(locked: &LockedRepository, passphrase: &str, key: &BackupKey) -> bool {
    let passphrase = Passphrase::new(passphrase).unwrap();
    locked.protectors().any(|protector| match protector.kind {
        ProtectorKind::Passphrase(wrap) => {
            let wrap = PassphraseWrap::decode(wrap).unwrap();
            wrap.open(&passphrase, &protector.place).unwrap().ct_eq(key)
        }
        _ => false,
    })
}
