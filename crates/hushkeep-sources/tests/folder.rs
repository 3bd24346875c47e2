//! Folders as trees: order, kinds, errors, and that nothing is changed or followed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use common::{everything, path, read};
use hushkeep_repo::tree::{Consistency, ItemKind, Layout, TreeErrorKind, TreeItem};
use hushkeep_repo::{RelPath, Timestamp, Tree};
use hushkeep_sources::{FolderOptions, FolderTree, Patterns};

fn tree(folder: &Path) -> FolderTree {
    FolderTree::new(folder, FolderOptions::default()).unwrap()
}

fn walked(tree: &FolderTree) -> Vec<TreeItem> {
    tree.walk().map(Result::unwrap).collect()
}

fn paths(tree: &FolderTree) -> Vec<String> {
    walked(tree).iter().map(|item| item.path.to_string()).collect()
}

#[test]
fn a_walk_follows_the_order_of_paths_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a-b", "a.b", "a/c", "a/b/x", "Z", "é"] {
        let name = folder.path().join(name);
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::write(name, "x").unwrap();
    }
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff\n")), "x").unwrap();
    let before = everything(folder.path());

    let tree = tree(folder.path());
    let items = walked(&tree);
    let mut sorted: Vec<RelPath> = items.iter().map(|item| item.path.clone()).collect();
    sorted.sort();
    assert_eq!(items.iter().map(|item| item.path.clone()).collect::<Vec<_>>(), sorted);
    assert_eq!(items.first().map(|item| &item.path), Some(&RelPath::root()));
    assert!(sorted.contains(&path(b"\xff\n")) && sorted.contains(&path("a/b/x")) && sorted.len() == 10);
    for item in items.iter().filter(|item| matches!(item.kind, ItemKind::File { .. })) {
        let mut view = tree.open(&item.path).unwrap();
        assert_eq!(common::read_all(view.as_mut()), b"x");
        assert_eq!((view.layout(), view.metadata()), (Layout::Bytes, item.metadata));
        assert_eq!(view.finish().unwrap(), Consistency::Consistent);
    }
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn an_item_is_looked_at_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    for name in ["a", "c"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let tree = tree(folder.path());
    let mut walk = tree.walk();
    assert!(walk.by_ref().take(2).all(|item| item.is_ok()));
    fs::write(folder.path().join("b/new"), "x").unwrap();
    fs::remove_file(folder.path().join("c")).unwrap();
    let rest: Vec<_> = walk.collect();
    assert_eq!(rest.iter().flatten().map(|item| item.path.to_string()).collect::<Vec<_>>(), ["b", "b/new"]);
    let error = rest.into_iter().find_map(Result::err).unwrap();
    assert_eq!((error.path, error.kind), (path("c"), TreeErrorKind::Gone));
}

#[test]
fn every_kind_of_item_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "12345").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4640)).unwrap();
    let modified = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(&file).unwrap().set_modified(modified).unwrap();
    fs::hard_link(&file, folder.path().join("other name")).unwrap();
    symlink("/nowhere/\n", folder.path().join("link")).unwrap();
    fs::File::create(folder.path().join("holes")).unwrap().set_len(1 << 20).unwrap();

    let items = walked(&tree(folder.path()));
    let [_, file, holes, link, other] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(file.metadata.mode, 0o4640);
    assert_eq!(file.metadata.modified, Timestamp { seconds: 1_000_000_000, nanos: 123_456_789 });
    assert!(matches!(file.kind, ItemKind::File { len: 5, sparse: false, link: Some(_) }));
    assert_eq!(file.kind, other.kind);
    assert_eq!(holes.kind, ItemKind::File { len: 1 << 20, sparse: true, link: None });
    assert_eq!(link.kind, ItemKind::Symlink { target: b"/nowhere/\n".to_vec() });
}

#[test]
fn a_socket_is_an_error_of_its_own_and_is_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::write(folder.path().join("z"), "x").unwrap();
    let tree = tree(folder.path());
    let found: Vec<_> =
        tree.walk().skip(1).map(|item| item.map(|item| item.path).map_err(|error| error.kind)).collect();
    assert_eq!(found, [Err(TreeErrorKind::Special), Err(TreeErrorKind::Special), Ok(path("z"))]);
    for name in ["pipe", "socket"] {
        assert_eq!(tree.open(&path(name)).err().unwrap().kind, TreeErrorKind::Special);
    }
}

#[test]
fn symbolic_links_are_not_followed_by_open() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "x").unwrap();
    symlink(outside.path(), folder.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    let tree = tree(folder.path());
    for name in ["folder/secret", "file", "folder"] {
        assert!(tree.open(&path(name)).is_err(), "{name}");
    }
    assert_eq!(paths(&tree), [".", "file", "folder"]);
}

#[test]
fn what_is_excluded_is_not_visited_and_neither_is_what_lies_below() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["keep/a.tmp", "keep/b", "cache/x/y", "deep/cache/z"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let excludes = Patterns::new(["*.tmp", "/cache"]).unwrap();
    let tree = FolderTree::new(folder.path(), FolderOptions { excludes, ..FolderOptions::default() }).unwrap();
    assert_eq!(paths(&tree), [".", "deep", "deep/cache", "deep/cache/z", "keep", "keep/b"]);
}

#[test]
fn a_single_file_is_its_folder_with_nothing_else_in_it() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["notes", "notes-wal", "other"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    symlink("notes", folder.path().join("link")).unwrap();
    assert_eq!(paths(&tree(&folder.path().join("notes"))), [".", "notes"]);
    assert_eq!(paths(&tree(&folder.path().join("link"))), [".", "notes"]);
    assert!(FolderTree::new(&folder.path().join("missing"), FolderOptions::default()).is_err());
    assert!(FolderTree::new(Path::new("/dev/null"), FolderOptions::default()).is_err());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("file");
    fs::write(&name, vec![0; 100_000]).unwrap();
    let tree = tree(folder.path());
    assert_eq!(read(&tree, "file").2, Consistency::Consistent);

    let view = tree.open(&path("file")).unwrap();
    fs::OpenOptions::new().append(true).open(&name).unwrap().write_all(b"more").unwrap();
    assert_eq!(view.finish().unwrap(), Consistency::ChangedWhileRead);

    let view = tree.open(&path("file")).unwrap();
    fs::write(folder.path().join("new"), "x").unwrap();
    fs::rename(folder.path().join("new"), &name).unwrap();
    assert_eq!(view.finish().unwrap(), Consistency::ChangedWhileRead);
}
