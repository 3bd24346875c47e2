//! What goes in comes out, day after day, and costs what changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use hushkeep_repo::tree::{FileView, TreeError, TreeErrorKind, TreeItem};
use hushkeep_repo::{BackupOptions, ProblemKind, Quiet, RelPath, Repository, Source, Storage, Tree};
use hushkeep_storage::MemoryStorage;

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

/// A database of `pages` different pages, some of them empty, and a tail of `tail` bytes.
fn database(page_size: u32, pages: u8, tail: usize) -> Node {
    let mut bytes = Vec::new();
    for page in 0..pages {
        let content = if page % 5 == 4 { vec![0; page_size as usize] } else { vec![page; page_size as usize] };
        bytes.extend(content);
    }
    bytes.extend(vec![9; tail]);
    Node::Database { page_size, bytes }
}

fn everything() -> MemoryTree {
    let odd_name = String::from_utf8(b"line\nbreak \xc3\xbc".to_vec()).unwrap();
    MemoryTree::new(&[
        ("Databases", Node::Folder),
        ("Databases/msgstore.db", database(4096, 200, 0)),
        ("Databases/odd.db", database(512, 7, 100)),
        ("Databases/large-pages.db", database(65536, 5, 1)),
        ("Empty folder", Node::Folder),
        ("Media", Node::Folder),
        ("Media/empty.txt", Node::File(Vec::new())),
        ("Media/large.mp4", Node::File(random(1, 9 << 20))),
        ("Media/link.jpg", Node::HardLink(path("Media/picture.jpg"))),
        ("Media/picture.jpg", Node::File(random(2, 300_000))),
        ("Media/same.jpg", Node::File(random(2, 300_000))),
        ("Media/text.txt", Node::File(b"hello ".repeat(1000))),
        ("Media/where", Node::Link(b"/nowhere\xff".to_vec())),
        (&odd_name, Node::File(b"odd".to_vec())),
    ])
}

#[test]
fn everything_comes_back_on_a_device_without_memory() {
    let storage = storage();
    // The hard link sorts before its file: the first name carries the contents.
    let mut tree = everything();
    tree.remove("Media/link.jpg");
    tree.set("Media/zlink.jpg", Node::HardLink(path("Media/picture.jpg")));
    let report = backup(&mut Device::new(1).create(&storage), &tree, NOW);
    assert!(report.problems.is_empty());
    let other = Device::new(2).open(&storage);
    assert_eq!(other.snapshots().len(), 1);
    assert_restores(&other, &other.snapshots()[0], &tree);
}

#[test]
fn every_day_of_a_living_folder_comes_back() {
    let storage = storage();
    let device = Device::new(1);
    let mut repository = device.create(&storage);
    let mut tree = everything();
    tree.remove("Media/link.jpg");
    let mut days = Vec::new();
    for day in 0..70u8 {
        let Node::Database { page_size, mut bytes } = database(4096, 200, 0) else { unreachable!() };
        bytes[usize::from(day) * 4096..][..4096].fill(day ^ 0x55);
        bytes.truncate(bytes.len() - usize::from(day % 3) * 4096);
        tree.set("Databases/msgstore.db", Node::Database { page_size, bytes });
        tree.set(&format!("Media/day-{day:02}.jpg"), Node::File(random(100 + u64::from(day), 50_000)));
        if day % 7 == 3 {
            tree.remove(&format!("Media/day-{:02}.jpg", day - 2));
        }
        if day % 9 == 0 {
            repository = device.open(&storage);
        }
        backup(&mut repository, &tree, NOW + i64::from(day) * 86_400);
        days.push(tree.clone());
    }
    let other = Device::new(2).open(&storage);
    for (snapshot, tree) in other.snapshots().iter().zip(&days) {
        assert_restores(&other, snapshot, tree);
    }
    let indexes = storage.list(hushkeep_repo::storage::Folder::Index).unwrap().len();
    assert!(indexes < 90, "{indexes} index objects");
}

#[test]
fn an_unchanged_folder_costs_one_commit_and_is_not_read_again() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let mut tree = everything();
    tree.remove("Media/link.jpg");
    backup(&mut repository, &tree, NOW);
    tree.opened.lock().unwrap().clear();
    let report = backup(&mut repository, &tree, NOW + 60);
    assert_eq!((report.files_new, report.files_changed, report.files_removed), (0, 0, 0));
    assert_eq!((report.objects_stored, report.bytes_new), (1, 0));
    let opened = tree.opened.lock().unwrap().clone();
    let databases = opened.iter().filter(|path| path.to_string().ends_with(".db")).count();
    assert!(databases == 3 && opened.len() <= 5, "{opened:?}");
    assert_restores(&repository, &repository.snapshots()[1], &tree);
}

#[test]
fn one_changed_page_costs_one_page() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let mut bytes = random(5, 4096 * 500);
    let mut tree = MemoryTree::new(&[("chat.db", Node::Database { page_size: 4096, bytes: bytes.clone() })]);
    backup(&mut repository, &tree, NOW);
    bytes[4096 * 77] ^= 1;
    tree.set("chat.db", Node::Database { page_size: 4096, bytes: bytes.clone() });
    let report = backup(&mut repository, &tree, NOW + 60);
    assert_eq!((report.bytes_new, report.objects_stored), (4096, 3));
    assert!(report.bytes_stored < 45_000, "{} bytes", report.bytes_stored);

    // The same database under a dated name, as some apps keep them.
    tree.set("chat-2026-11-24.db", Node::Database { page_size: 4096, bytes });
    let report = backup(&mut repository, &tree, NOW + 120);
    assert_eq!(report.bytes_new, 0);
    assert!(report.bytes_stored < 45_000, "{} bytes", report.bytes_stored);
    assert_restores(&repository, repository.snapshots().last().unwrap(), &tree);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_safe() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let mut tree = MemoryTree::new(&[
        ("broken.jpg", Node::Broken),
        ("restless.log", Node::Restless(vec![5; 100])),
        ("whole.txt", Node::File(b"whole".to_vec())),
    ]);
    let report = backup(&mut repository, &tree, NOW);
    let named: Vec<_> = report.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(named, ["chats/broken.jpg", "chats/restless.log"]);
    assert_eq!(report.problems[0].detail.as_deref(), Some("bad sector"));
    assert_eq!(report.problems[1].kind, ProblemKind::ChangedWhileRead);
    tree.remove("broken.jpg");
    tree.set("restless.log", Node::File(vec![5; 100]));
    let target = MemoryTarget::default();
    restore_into(&repository, &repository.snapshots()[0], &target, false).unwrap();
    let nodes = target.nodes.into_inner().unwrap();
    assert_eq!(nodes[&path("chats/whole.txt")], Node::File(b"whole".to_vec()));
    assert_eq!(nodes[&path("chats/restless.log")], Node::File(vec![5; 100]));
    assert!(!nodes.contains_key(&path("chats/broken.jpg")));
}

#[test]
fn a_file_changed_just_now_is_read_again_next_time() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let tree = MemoryTree::new(&[("note.txt", Node::File(b"one".to_vec()))]);
    let just_now = tree.times[&path("note.txt")] + 1;
    backup(&mut repository, &tree, just_now);
    backup(&mut repository, &tree, NOW);
    assert_eq!(tree.opened.lock().unwrap().len(), 2);
    let report = backup(&mut repository, &tree, NOW + 60);
    assert_eq!((tree.opened.lock().unwrap().len(), report.objects_stored), (2, 1));
}

/// A clock may say anything, and the snapshot of whoever has the key as well.
#[test]
fn a_file_is_read_again_if_the_snapshot_before_is_of_the_first_second_there_is() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let tree = MemoryTree::new(&[("note.txt", Node::File(b"one".to_vec()))]);
    backup(&mut repository, &tree, i64::MIN);
    let report = backup(&mut repository, &tree, NOW);
    assert_eq!((tree.opened.lock().unwrap().len(), report.files_unchanged), (2, 1));
}

#[test]
fn a_file_in_the_root_of_the_source_can_be_the_source() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let mut tree = MemoryTree::default();
    tree.nodes.insert(RelPath::root(), Node::File(b"alone".to_vec()));
    backup(&mut repository, &tree, NOW);
    assert_restores(&repository, &repository.snapshots()[0], &tree);
}

#[test]
fn stray_logs_do_not_lie_beside_a_restored_database() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let tree = MemoryTree::new(&[("chat.db", database(4096, 3, 0))]);
    backup(&mut repository, &tree, NOW);
    let target = MemoryTarget::default();
    target.nodes.lock().unwrap().insert(path("chats/chat.db-wal"), Node::File(b"stray".to_vec()));
    let report = restore_into(&repository, &repository.snapshots()[0], &target, false).unwrap();
    assert_eq!(report.set_aside, [(path("chats/chat.db-wal"), path("chats/chat.db-wal.before-restore"))]);
}

/// A tree in which a file beside a database is gone when it is first walked through.
struct Settling {
    tree: MemoryTree,
    walks: AtomicUsize,
}

impl Tree for Settling {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        let gone = TreeError { path: path("chat.db-wal"), kind: TreeErrorKind::GoneFromDatabase, source: None };
        let is_first = self.walks.fetch_add(1, Ordering::Relaxed) == 0;
        Box::new(self.tree.walk().chain(is_first.then_some(Err(gone))))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        self.tree.open(path)
    }
}

#[test]
fn a_source_whose_database_moved_is_read_again_and_counted_once() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    let back_up = |repository: &mut Repository, tree: &MemoryTree| {
        let settling = Settling { tree: tree.clone(), walks: AtomicUsize::new(0) };
        let source = Source { label: path("chats"), path: b"/chats".to_vec(), tree: &settling };
        let options = BackupOptions::new(at(NOW), "test".to_owned());
        let report = repository.backup(&[source], &options, &Quiet).unwrap();
        (report, settling.walks.into_inner())
    };
    let mut tree = MemoryTree::new(&[("note.txt", Node::File(b"one".to_vec()))]);
    let (report, walks) = back_up(&mut repository, &tree);
    assert_eq!((report.problems.len(), walks), (1, 1), "there is no database");

    tree.set("chat.db", database(4096, 3, 0));
    let (report, walks) = back_up(&mut repository, &tree);
    assert_eq!((report.problems.len(), walks), (0, 2));
    assert_eq!((report.files_new, report.files_unchanged), (1, 1));
    let snapshot = repository.snapshots().last().unwrap();
    assert_eq!((snapshot.problems, snapshot.sources[0].files), (0, 2));
    assert_restores(&repository, snapshot, &tree);
}
