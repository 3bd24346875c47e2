//! Snapshots made to escape from where they are restored: a writer who holds the key, but means harm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_repo::tree::{FileView, TreeError, TreeItem};
use hushkeep_repo::{CheckOptions, DamageCause, Quiet, ReadError, RelPath, RestoreError, Storage, Tree};
use hushkeep_storage::MemoryStorage;

/// Yields the nodes of a tree in an order of its own.
struct Shuffled(MemoryTree, Vec<RelPath>);

impl Tree for Shuffled {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        let mut items: Vec<_> = self.0.walk().collect();
        items.sort_by_key(|item| self.1.iter().position(|path| *path == item.as_ref().unwrap().path));
        Box::new(items.into_iter())
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        self.0.open(path)
    }
}

/// Backs up nodes in the order they are given, and tries to restore them.
fn restored(nodes: &[(&str, Node)]) -> Result<Vec<RelPath>, RestoreError> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    let mut tree = MemoryTree::new(nodes);
    if nodes.first().is_some_and(|(name, _)| name.is_empty()) {
        tree.nodes.insert(RelPath::root(), nodes[0].1.clone());
    }
    let mut order = vec![RelPath::root()];
    order.extend(nodes.iter().map(|(name, _)| path(name)));
    backup(&mut repository, &Shuffled(tree, order), NOW);
    let target = MemoryTarget::default();
    restore_into(&repository, &repository.snapshots()[0], &target, false)?;
    Ok(target.nodes.into_inner().unwrap().into_keys().collect())
}

fn refused(nodes: &[(&str, Node)]) -> DamageCause {
    match restored(nodes) {
        Err(RestoreError::Read(ReadError::Damaged(damage))) => damage.cause,
        Ok(paths) => panic!("restored {paths:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn file() -> Node {
    Node::File(b"harm".to_vec())
}

#[test]
fn nothing_is_restored_through_a_link_or_a_file() {
    let link = Node::Link(b"/etc".to_vec());
    assert_eq!(refused(&[("a", link.clone()), ("a/passwd", file())]), DamageCause::OutsideFolder);
    assert_eq!(refused(&[("a", file()), ("a/b", file())]), DamageCause::OutsideFolder);
    assert_eq!(refused(&[("", link), ("a", file())]), DamageCause::OutsideFolder);
}

#[test]
fn nothing_is_restored_below_a_folder_that_is_not_in_the_list() {
    assert_eq!(refused(&[("a/b", file())]), DamageCause::OutsideFolder);
    assert_eq!(refused(&[("a", Node::Folder), ("a/b/c", file())]), DamageCause::OutsideFolder);
}

#[test]
fn a_path_that_comes_twice_or_out_of_order_is_refused() {
    let nodes = [("b", file()), ("a", file())];
    assert!(matches!(refused(&nodes), DamageCause::Encoding(_)));
    assert!(restored(&[("a", file()), ("b", file())]).is_ok());
}

#[test]
fn check_names_a_hostile_list() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    let tree = MemoryTree::new(&[("a", Node::Link(b"/".to_vec())), ("a/b", file())]);
    backup(&mut repository, &tree, NOW);
    let report = repository.check(&CheckOptions { read_data: 0.0 }, &Quiet).unwrap();
    assert_eq!(report.findings[0].damage.cause, DamageCause::OutsideFolder);
    assert_eq!(report.findings[0].affected[0].number, 1);
}
