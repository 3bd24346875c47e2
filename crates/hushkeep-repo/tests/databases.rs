//! A database and the files beside it are restored together, or not at all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_repo::storage::Folder;
use hushkeep_repo::{ItemError, Overwrite, Quiet, RelPath, Repository, RestoreOptions, RestoreReport, Storage};
use hushkeep_storage::MemoryStorage;

/// A folder with a database, its log, and another file whose name begins as theirs.
fn stored() -> (Arc<dyn Storage>, Repository) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let mut repository = Device::new(1).create(&storage);
    let tree = MemoryTree::new(&[
        ("chat.db", Node::Database { page_size: 4096, bytes: random(1, 4096 * 3) }),
        ("chat.db-notes", Node::File(b"notes".to_vec())),
        ("chat.db-wal", Node::File(b"log".to_vec())),
        ("other-wal", Node::File(b"of nothing".to_vec())),
    ]);
    backup(&mut repository, &tree, NOW);
    (storage, repository)
}

fn restore(
    repository: &Repository,
    target: &MemoryTarget,
    select: &(dyn Fn(&RelPath) -> bool + Sync),
    (overwrite, best_effort): (Overwrite, bool),
) -> RestoreReport {
    let options = RestoreOptions { select, overwrite, best_effort, dry_run: false };
    repository.restore(&repository.snapshots()[0], target, &options, &Quiet).unwrap()
}

/// A target in which a database lies that is not the one of the snapshot.
fn with_another() -> MemoryTarget {
    let target = MemoryTarget::default();
    target.nodes.lock().unwrap().insert(path("chats"), Node::Folder);
    target.nodes.lock().unwrap().insert(path("chats/chat.db"), Node::File(b"newer".to_vec()));
    target
}

#[test]
fn no_log_is_put_beside_a_database_that_stays() {
    let (_, repository) = stored();
    let target = with_another();
    let report = restore(&repository, &target, &|_| true, (Overwrite::Never, false));
    let nodes = target.nodes.into_inner().unwrap();
    assert_eq!(nodes[&path("chats/chat.db")], Node::File(b"newer".to_vec()));
    assert!(!nodes.contains_key(&path("chats/chat.db-wal")));
    assert!(nodes.contains_key(&path("chats/chat.db-notes")) && nodes.contains_key(&path("chats/other-wal")));
    assert_eq!((report.files, report.files_kept), (2, 2));
}

#[test]
fn a_log_comes_with_its_database() {
    let (_, repository) = stored();
    let target = MemoryTarget::default();
    let is_database = |path: &RelPath| path.to_string() == "chats/chat.db";
    let report = restore(&repository, &target, &is_database, (Overwrite::Always, false));
    let nodes = target.nodes.into_inner().unwrap();
    assert_eq!(nodes[&path("chats/chat.db-wal")], Node::File(b"log".to_vec()));
    assert_eq!(report.files, 2, "{nodes:?}");
}

#[test]
fn no_log_is_put_beside_another_database_when_its_own_is_damaged() {
    let (storage, repository) = stored();
    let bytes = |name: &str| name == "chats/chat.db";
    let entries: Vec<_> = repository.entries(&repository.snapshots()[0]).map(Result::unwrap).collect();
    let entry = entries.iter().find(|entry| bytes(&entry.path.to_string())).unwrap();
    assert_eq!(repository.logs_beside(&repository.snapshots()[0], entry), [path("chats/chat.db-wal")]);
    let beside = entries.iter().find(|entry| entry.path == path("chats/chat.db-wal")).unwrap();
    assert!(repository.logs_beside(&repository.snapshots()[0], beside).is_empty());

    // The first segment of the pack has the file contents; the middle of it is the database's.
    let pack = storage.list(Folder::Packs).unwrap().remove(0).name;
    let mut object = storage.get(&pack).unwrap();
    object[6000] ^= 1;
    storage.delete(&pack).unwrap();
    storage.put(&pack, &object).unwrap();
    for (target, is_there) in [(with_another(), true), (MemoryTarget::default(), false)] {
        let report = restore(&repository, &target, &|_| true, (Overwrite::Always, true));
        let told = report.problems.iter().find(|problem| problem.path == path("chats/chat.db-wal"));
        let is_kept_away = told.is_some_and(|problem| matches!(problem.error, ItemError::WithoutDatabase));
        assert_eq!(is_kept_away, is_there, "{:?}", report.problems);
    }
}
