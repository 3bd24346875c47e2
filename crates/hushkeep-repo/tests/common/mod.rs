//! Trees, targets and devices in memory, for testing the engine alone.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a test may fail")]

pub(crate) mod place;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_repo::state::{StateError, StateKey};
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::target::{Existing, TargetError, TargetErrorKind, TargetFile};
use hushkeep_repo::tree::{Consistency, FileView, ItemKind, Layout, Metadata, TreeError, TreeErrorKind, TreeItem};
use hushkeep_repo::{
    BackupOptions, BackupReport, LockedRepository, Overwrite, Quiet, RelPath, Repository, RestoreError, RestoreOptions,
    RestoreReport, Snapshot, Source, State, Storage, Target, Timestamp, Tree, UnlockError,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// A long time after every file of the tests was last changed.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// What a file system holds, as far as the engine cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Folder,
    File(Vec<u8>),
    Database {
        page_size: u32,
        bytes: Vec<u8>,
    },
    Link(Vec<u8>),
    HardLink(RelPath),
    /// A file that cannot be read to its end.
    Broken,
    /// A file that changes whenever it is read.
    Restless(Vec<u8>),
}

/// A tree in memory. Everything is as old as its `times` say.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryTree {
    pub(crate) nodes: BTreeMap<RelPath, Node>,
    pub(crate) times: BTreeMap<RelPath, i64>,
    /// Every path that was opened.
    pub(crate) opened: Arc<Mutex<Vec<RelPath>>>,
}

impl MemoryTree {
    pub(crate) fn new(nodes: &[(&str, Node)]) -> Self {
        let mut tree = Self::default();
        tree.nodes.insert(RelPath::root(), Node::Folder);
        nodes.iter().for_each(|(name, node)| tree.set(name, node.clone()));
        tree
    }

    /// Sets a node; its times move on.
    pub(crate) fn set(&mut self, name: &str, node: Node) {
        let time = self.times.values().max().copied().unwrap_or(1_600_000_000) + 1;
        self.times.insert(path(name), time);
        self.nodes.insert(path(name), node);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.nodes.remove(&path(name));
    }

    fn metadata(&self, path: &RelPath) -> Metadata {
        let time = self.times.get(path).copied().unwrap_or(1_500_000_000);
        Metadata { mode: 0o640, modified: Timestamp { seconds: time, nanos: 7 }, changed: at(time) }
    }
}

impl Tree for MemoryTree {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        Box::new(self.nodes.iter().map(|(path, node)| {
            let kind = match node {
                Node::Folder => ItemKind::Directory,
                Node::Link(target) => ItemKind::Symlink { target: target.clone() },
                Node::File(bytes) | Node::Database { bytes, .. } | Node::Restless(bytes) => {
                    let linked = self.nodes.values().any(|other| *other == Node::HardLink(path.clone()));
                    let inode = self.nodes.keys().position(|other| other == path).unwrap() as u64;
                    let link = linked.then_some(hushkeep_repo::tree::LinkId { device: 1, inode });
                    ItemKind::File { len: bytes.len() as u64, sparse: false, link }
                }
                Node::HardLink(original) => {
                    let inode = self.nodes.keys().position(|other| other == original).unwrap() as u64;
                    let link = Some(hushkeep_repo::tree::LinkId { device: 1, inode });
                    ItemKind::File { len: 0, sparse: false, link }
                }
                Node::Broken => ItemKind::File { len: 10, sparse: false, link: None },
            };
            Ok(TreeItem { path: path.clone(), kind, metadata: self.metadata(path) })
        }))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        self.opened.lock().unwrap().push(path.clone());
        let (layout, bytes, consistency) = match &self.nodes[path] {
            Node::File(bytes) => (Layout::Bytes, bytes.clone(), Consistency::Consistent),
            Node::Restless(bytes) => (Layout::Bytes, bytes.clone(), Consistency::ChangedWhileRead),
            Node::Database { page_size, bytes } => (Layout::Pages(*page_size), bytes.clone(), Consistency::Consistent),
            Node::Broken => (Layout::Bytes, vec![1; 5], Consistency::Consistent),
            other => panic!("{other:?} is not a file"),
        };
        let broken = self.nodes[path] == Node::Broken;
        let metadata = self.metadata(path);
        Ok(Box::new(MemoryView { path: path.clone(), layout, bytes, at: 0, metadata, consistency, broken }))
    }
}

struct MemoryView {
    path: RelPath,
    layout: Layout,
    bytes: Vec<u8>,
    at: usize,
    metadata: Metadata,
    consistency: Consistency,
    broken: bool,
}

impl FileView for MemoryView {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn metadata(&self) -> Metadata {
        self.metadata
    }

    fn absorbed(&self) -> &[RelPath] {
        &[]
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        let count = buffer.len().min(self.bytes.len() - self.at).min(1_000_003);
        if count == 0 && self.broken {
            let source = Some(std::io::Error::other("bad sector"));
            return Err(TreeError { path: self.path.clone(), kind: TreeErrorKind::Unreadable, source });
        }
        buffer[..count].copy_from_slice(&self.bytes[self.at..][..count]);
        self.at += count;
        Ok(count)
    }

    fn finish(self: Box<Self>) -> Result<Consistency, TreeError> {
        Ok(self.consistency)
    }
}

/// A target in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryTarget {
    pub(crate) nodes: Mutex<BTreeMap<RelPath, Node>>,
    pub(crate) metadata: Mutex<BTreeMap<RelPath, Metadata>>,
    /// A file that can be begun and not written, as where a disk has a bad sector.
    pub(crate) unwritable: Option<RelPath>,
}

struct MemoryFile<'a> {
    target: &'a MemoryTarget,
    path: RelPath,
    bytes: Mutex<Vec<u8>>,
}

impl Target for MemoryTarget {
    fn existing(&self, path: &RelPath) -> Result<Option<Existing>, TargetError> {
        Ok(self.nodes.lock().unwrap().get(path).map(|node| match node {
            Node::Folder => Existing::Directory,
            Node::File(bytes) => {
                let modified = self.metadata.lock().unwrap().get(path).map_or(at(0), |metadata| metadata.modified);
                Existing::File { len: bytes.len() as u64, modified }
            }
            _ => Existing::Other,
        }))
    }

    fn create_directory(&self, path: &RelPath) -> Result<(), TargetError> {
        self.nodes.lock().unwrap().insert(path.clone(), Node::Folder);
        Ok(())
    }

    fn create_file(&self, path: &RelPath, len: u64) -> Result<Box<dyn TargetFile + '_>, TargetError> {
        if self.nodes.lock().unwrap().get(path) == Some(&Node::Folder) {
            return Err(TargetError { path: path.clone(), kind: TargetErrorKind::InTheWay, source: None });
        }
        let bytes = Mutex::new(vec![0; usize::try_from(len).unwrap()]);
        Ok(Box::new(MemoryFile { target: self, path: path.clone(), bytes }))
    }

    fn create_symlink(&self, path: &RelPath, to: &[u8], metadata: &Metadata) -> Result<(), TargetError> {
        self.nodes.lock().unwrap().insert(path.clone(), Node::Link(to.to_vec()));
        self.metadata.lock().unwrap().insert(path.clone(), *metadata);
        Ok(())
    }

    fn create_hard_link(&self, path: &RelPath, original: &RelPath) -> Result<(), TargetError> {
        let mut nodes = self.nodes.lock().unwrap();
        let file = nodes.get(original).cloned().expect("the file is restored before its links");
        nodes.insert(path.clone(), file);
        Ok(())
    }

    fn finish_directory(&self, path: &RelPath, metadata: &Metadata) -> Result<(), TargetError> {
        self.metadata.lock().unwrap().insert(path.clone(), *metadata);
        Ok(())
    }

    fn set_aside(&self, path: &RelPath) -> Result<RelPath, TargetError> {
        let mut nodes = self.nodes.lock().unwrap();
        let moved = path.with_suffix(".before-restore").unwrap();
        let node = nodes.remove(path).unwrap();
        nodes.insert(moved.clone(), node);
        Ok(moved)
    }

    fn sync(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

impl TargetFile for MemoryFile<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        if self.target.unwritable.as_ref() == Some(&self.path) {
            return Err(TargetError { path: self.path.clone(), kind: TargetErrorKind::Unwritable, source: None });
        }
        let offset = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), TargetError> {
        let offset = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + buffer.len()]);
        Ok(())
    }

    fn finish(self: Box<Self>, metadata: &Metadata) -> Result<(), TargetError> {
        let bytes = self.bytes.into_inner().unwrap();
        self.target.nodes.lock().unwrap().insert(self.path.clone(), Node::File(bytes));
        self.target.metadata.lock().unwrap().insert(self.path, *metadata);
        Ok(())
    }

    fn finish_damaged(self: Box<Self>, metadata: &Metadata) -> Result<RelPath, TargetError> {
        let path = self.path.with_suffix(".damaged").unwrap();
        Box::new(Self { path: path.clone(), ..*self }).finish(metadata)?;
        Ok(path)
    }
}

/// A device's memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryState(Mutex<BTreeMap<StateKey, Vec<u8>>>);

impl State for MemoryState {
    fn load(&self, key: StateKey) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.lock().unwrap().get(&key).cloned())
    }

    fn store(&self, key: StateKey, value: &[u8]) -> Result<(), StateError> {
        self.0.lock().unwrap().insert(key, value.to_vec());
        Ok(())
    }
}

/// One device: its memory, and the randomness of its next run.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) state: Arc<MemoryState>,
    seed: u64,
    runs: Arc<Mutex<u64>>,
}

impl Device {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Arc::default(), seed, runs: Arc::default() }
    }

    pub(crate) fn rng(&self) -> Box<ChaCha20Rng> {
        let mut runs = self.runs.lock().unwrap();
        *runs += 1;
        Box::new(ChaCha20Rng::seed_from_u64(self.seed << 32 | *runs))
    }

    pub(crate) fn create(&self, storage: &Arc<dyn Storage>) -> Repository {
        let id = RepositoryId::from_bytes([8; 16]);
        let state: Arc<dyn State> = self.state.clone();
        Repository::create(Arc::clone(storage), state, &key(), id, at(NOW), self.rng()).unwrap()
    }

    pub(crate) fn open(&self, storage: &Arc<dyn Storage>) -> Repository {
        self.try_open(storage).unwrap()
    }

    pub(crate) fn try_open(&self, storage: &Arc<dyn Storage>) -> Result<Repository, UnlockError> {
        self.open_at(storage, NOW)
    }

    /// Opens the repository at a time by the device's own clock.
    pub(crate) fn open_at(&self, storage: &Arc<dyn Storage>, now: i64) -> Result<Repository, UnlockError> {
        let locked = LockedRepository::find(Arc::clone(storage), None).unwrap();
        locked.unlock(&key(), self.state.clone(), self.rng(), at(now))
    }
}

/// The names of the objects in a folder.
pub(crate) fn names(storage: &Arc<dyn Storage>, folder: Folder) -> Vec<ObjectName> {
    storage.list(folder).unwrap().into_iter().map(|info| info.name).collect()
}

/// Every object of a storage.
pub(crate) fn objects(storage: &Arc<dyn Storage>) -> Vec<(ObjectName, Vec<u8>)> {
    let names = Folder::ALL.iter().flat_map(|folder| names(storage, *folder));
    names.map(|name| (name.clone(), storage.get(&name).unwrap())).collect()
}

pub(crate) fn key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [3; 32]))
}

pub(crate) fn backup(repository: &mut Repository, tree: &dyn Tree, now: i64) -> BackupReport {
    try_backup(repository, tree, now).unwrap()
}

pub(crate) fn try_backup(
    repository: &mut Repository,
    tree: &dyn Tree,
    now: i64,
) -> Result<BackupReport, hushkeep_repo::BackupError> {
    let options = BackupOptions::new(at(now), "phone".into());
    let source = Source { label: path("chats"), path: b"/data/chats".to_vec(), tree };
    repository.backup(&[source], &options, &Quiet)
}

pub(crate) fn restore_into(
    repository: &Repository,
    snapshot: &Snapshot,
    target: &MemoryTarget,
    best_effort: bool,
) -> Result<RestoreReport, RestoreError> {
    let overwrite = Overwrite::Always;
    let options = RestoreOptions { select: &|_| true, overwrite, best_effort, dry_run: false };
    repository.restore(snapshot, target, &options, &Quiet)
}

/// Everything that restoring a snapshot gives.
pub(crate) fn restored_nodes(repository: &Repository, snapshot: &Snapshot) -> BTreeMap<RelPath, Node> {
    let target = MemoryTarget::default();
    let report = restore_into(repository, snapshot, &target, false).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    target.nodes.into_inner().unwrap()
}

/// What restoring a snapshot of a tree must give.
pub(crate) fn expected_nodes(tree: &MemoryTree) -> BTreeMap<RelPath, Node> {
    let expected = tree.nodes.iter().map(|(place, node)| {
        let place = if place.is_root() { path("chats") } else { path("chats").join(place.as_bytes()).unwrap() };
        let node = match node {
            Node::Database { bytes, .. } => Node::File(bytes.clone()),
            Node::HardLink(original) => tree.nodes[original].clone(),
            node => node.clone(),
        };
        (place, node)
    });
    expected.collect()
}

/// Restores a snapshot and compares it with the tree it was made of.
pub(crate) fn assert_restores(repository: &Repository, snapshot: &Snapshot, tree: &MemoryTree) {
    let target = MemoryTarget::default();
    let report = restore_into(repository, snapshot, &target, false).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let (nodes, expected) = (target.nodes.into_inner().unwrap(), expected_nodes(tree));
    assert_eq!(nodes.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (place, node) in &expected {
        assert!(nodes[place] == *node, "{place} differs");
    }
    for (place, metadata) in target.metadata.into_inner().unwrap() {
        let own = place.as_bytes().strip_prefix(b"chats/".as_slice()).unwrap_or_default();
        let own = RelPath::new(own).unwrap();
        if !matches!(tree.nodes[&own], Node::HardLink(_)) {
            assert_eq!(metadata.modified, tree.metadata(&own).modified, "{place}");
        }
    }
}
