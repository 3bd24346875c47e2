//! A small repository that is the same in every run, and all that can be read of one.

use std::collections::HashSet;
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_repo::{CheckOptions, EntryKind, LockedRepository, Overwrite, Quiet, Repository, RestoreOptions, Storage};
use hushkeep_storage::MemoryStorage;

use crate::repository::common::{Device, MemoryTree, NOW, Node, at, backup, path, random};
use crate::target::CountingTarget;

/// Trees and devices in memory, as the engine's own tests have them.
#[path = "../../crates/hushkeep-repo/tests/common/mod.rs"]
mod common;

/// The key of the repository.
pub fn key() -> BackupKey {
    common::key()
}

/// Two backups: files, folders and links, one file of several chunks, a database whose pages change, and what was removed.
pub fn base() -> Arc<dyn Storage> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    let mut tree = MemoryTree::new(&[
        ("a", Node::Folder),
        ("a/large", Node::File(random(1, 3000))),
        ("a/text", Node::File(b"the same again and again. ".repeat(40))),
        ("b", Node::File(random(2, 700))),
        ("c", Node::HardLink(path("b"))),
        ("db", database(&[1, 2, 3, 4])),
        ("e", Node::Folder),
        ("link", Node::Link(b"a/text".to_vec())),
    ]);
    backup(&mut repository, &tree, NOW);
    tree.set("db", database(&[1, 5, 3, 4, 6]));
    tree.set("b2", Node::File(random(3, 90)));
    tree.remove("e");
    backup(&mut repository, &tree, NOW + 1);
    storage
}

/// A database of pages that each tell their seed.
fn database(seeds: &[u64]) -> Node {
    Node::Database { page_size: 512, bytes: seeds.iter().flat_map(|seed| random(*seed, 512)).collect() }
}

/// Opens a repository on a new device and reads all of it: what is refused is refused, the rest is read to its end.
pub fn read_all(storage: &Arc<dyn Storage>) {
    let device = Device::new(2);
    let Ok(locked) = LockedRepository::find(Arc::clone(storage), None) else { return };
    let Ok(repository) = locked.unlock(&key(), device.state.clone(), device.rng(), at(NOW)) else { return };
    for snapshot in repository.snapshots() {
        let entries: Vec<_> = repository.entries(snapshot).map_while(Result::ok).collect();
        let paths: HashSet<_> = entries.iter().map(|entry| &entry.path).collect();
        assert_eq!(paths.len(), entries.len(), "no path comes twice");
        let files = entries.iter().filter(|entry| matches!(entry.entry.kind, EntryKind::File(_)));
        for file in files.take(4) {
            let _ = repository.read_file(file, &mut Bounded(CountingTarget::MAX_BYTES));
        }
        restore(&repository, snapshot);
    }
    let _ = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet);
    // What was remembered of it does not keep the device from opening it again.
    assert!(locked.unlock(&key(), device.state.clone(), device.rng(), at(NOW)).is_ok());
}

fn restore(repository: &Repository, snapshot: &hushkeep_repo::Snapshot) {
    let target = CountingTarget::default();
    let overwrite = Overwrite::Always;
    let options = RestoreOptions { select: &|_| true, overwrite, best_effort: true, dry_run: false };
    let _ = repository.restore(snapshot, &target, &options, &Quiet);
}

/// Takes so many bytes, and then no more.
struct Bounded(u64);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
