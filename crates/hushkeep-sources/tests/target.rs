//! Folders as targets: exact files, and nothing outside of the folder, whatever lies in it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::{everything, path};
use hushkeep_repo::target::{Existing, TargetErrorKind};
use hushkeep_repo::tree::Metadata;
use hushkeep_repo::{RelPath, Target, Timestamp};
use hushkeep_sources::FolderTarget;

const METADATA: Metadata =
    Metadata { mode: 0o640, modified: Timestamp { seconds: -5, nanos: 999_999_999 }, changed: Timestamp::EPOCH };

fn write(target: &FolderTarget, path: &RelPath, bytes: &[u8]) -> Result<(), TargetErrorKind> {
    let file = target.create_file(path, bytes.len() as u64).map_err(|error| error.kind)?;
    file.write_at(0, bytes).map_err(|error| error.kind)?;
    file.finish(&METADATA).map_err(|error| error.kind)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_whole_with_its_metadata_and_holes() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(&folder.path().join("new/root")).unwrap();
    let file = target.create_file(&path("a/b/file"), 10 << 20).unwrap();
    file.write_at((10 << 20) - 3, b"end").unwrap();
    let (mut zeros, mut end) = ([1; 16], [0; 3]);
    file.read_at(5 << 20, &mut zeros).unwrap();
    file.read_at((10 << 20) - 3, &mut end).unwrap();
    assert_eq!((zeros, &end), ([0; 16], b"end"));
    assert_eq!(target.existing(&path("a/b/file")).unwrap(), None);
    file.finish(&Metadata { mode: 0o7751, ..METADATA }).unwrap();

    let found = fs::metadata(folder.path().join("new/root/a/b/file")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.len()), (0o751, 10 << 20));
    assert_eq!((found.mtime(), found.mtime_nsec()), (-5, 999_999_999));
    assert!(found.blocks() * 512 < found.len());
    let existing = Existing::File { len: 10 << 20, modified: METADATA.modified };
    assert_eq!(target.existing(&path("a/b/file")).unwrap(), Some(existing));
    target.sync().unwrap();
}

#[test]
fn everything_is_private_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let root = folder.path().join("new/root");
    let target = FolderTarget::new(&root).unwrap();
    let file = target.create_file(&path("folder/file"), 1).unwrap();
    let unfinished = names(&root.join("folder"));
    assert_eq!((unfinished.len(), mode(&root.join("folder").join(&unfinished[0]))), (1, 0o600));
    file.finish(&METADATA).unwrap();
    assert_eq!(mode(&root.join("folder/file")), 0o640);
    for made in ["new", "new/root", "new/root/folder"] {
        assert_eq!(mode(&folder.path().join(made)), 0o700, "{made}");
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    FolderTarget::new(&root).unwrap();
    assert_eq!(mode(&root), 0o755, "a folder that was there stays as it is");
}

#[test]
fn an_unfinished_file_leaves_nothing_and_spares_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(folder.path()).unwrap();
    fs::write(folder.path().join("file"), "old").unwrap();
    let file = target.create_file(&path("file"), 3).unwrap();
    file.write_at(0, b"new").unwrap();
    drop(file);
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"old");
}

#[test]
fn hostile_and_long_names_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(folder.path()).unwrap();
    let long = [b'x'; 255];
    for name in [b"a\nb\x1b[2J".as_slice(), b"\xff\xfe", b" ", b"-rf", b"\\", &long, b"*"] {
        write(&target, &path(name), b"x").unwrap();
        target.create_symlink(&path([name.get(..200).unwrap_or(name), b".link"].concat()), name, &METADATA).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 14);
    assert_eq!(write(&target, &path([b'x'; 256]), b"x"), Err(TargetErrorKind::Unwritable));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 14);
}

#[test]
fn no_symbolic_link_on_the_way_is_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("file"), "theirs").unwrap();
    let before = everything(outside.path());
    let target = FolderTarget::new(folder.path()).unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("real/file"), "mine").unwrap();
    symlink(outside.path(), folder.path().join("found")).unwrap();
    symlink("real", folder.path().join("inside")).unwrap();
    target.create_symlink(&path("restored"), outside.path().to_str().unwrap().as_bytes(), &METADATA).unwrap();
    target.create_symlink(&path("up"), b"..", &METADATA).unwrap();

    for link in ["found", "inside", "restored", "up"] {
        let below = path(link).join(b"file").unwrap();
        let kind = |result: Result<(), hushkeep_repo::target::TargetError>| result.unwrap_err().kind;
        assert_eq!(write(&target, &below, b"x"), Err(TargetErrorKind::NotADirectory));
        assert_eq!(kind(target.existing(&below).map(drop)), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.create_directory(&below)), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.create_symlink(&below, b"x", &METADATA)), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.create_hard_link(&below, &path("real/file"))), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.create_hard_link(&path("stolen"), &below)), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.set_aside(&below).map(drop)), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.finish_directory(&path(link), &METADATA)), TargetErrorKind::NotADirectory);
        assert_eq!(kind(target.create_directory(&path(link))), TargetErrorKind::InTheWay);
        assert_eq!(kind(target.create_hard_link(&path("stolen"), &path(link))), TargetErrorKind::InTheWay);
    }
    assert_eq!(everything(outside.path()), before);
    assert_eq!(names(folder.path()), ["found", "inside", "real", "restored", "up"]);
}

#[test]
fn what_is_in_a_files_way_is_replaced_unless_it_is_a_folder() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = FolderTarget::new(folder.path()).unwrap();
    let theirs = outside.path().join("file");
    fs::write(&theirs, "theirs").unwrap();
    symlink(&theirs, folder.path().join("link")).unwrap();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    fs::hard_link(&theirs, folder.path().join("shared")).unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    for name in ["link", "dangling", "shared", "pipe"] {
        write(&target, &path(name), b"mine").unwrap();
        assert!(fs::symlink_metadata(folder.path().join(name)).unwrap().is_file());
    }
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");

    fs::create_dir(folder.path().join("folder")).unwrap();
    assert_eq!(write(&target, &path("folder"), b"x"), Err(TargetErrorKind::InTheWay));
    assert_eq!(target.create_symlink(&path("folder"), b"x", &METADATA).unwrap_err().kind, TargetErrorKind::InTheWay);
    assert_eq!(target.create_hard_link(&path("folder"), &path("link")).unwrap_err().kind, TargetErrorKind::InTheWay);
    assert_eq!(write(&target, &RelPath::root(), b"x"), Err(TargetErrorKind::InTheWay));
    assert_eq!(write(&target, &path("link/below"), b"x"), Err(TargetErrorKind::NotADirectory));
    assert_eq!(target.create_directory(&path("link")).unwrap_err().kind, TargetErrorKind::InTheWay);
    assert_eq!(names(folder.path()), ["dangling", "folder", "link", "pipe", "shared"]);
}

#[test]
fn a_folder_gets_its_mode_when_it_is_finished_and_until_then_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(folder.path()).unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
    target.create_directory(&path("a/b")).unwrap();
    assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
    target.finish_directory(&path("a/b"), &Metadata { mode: 0o2500, ..METADATA }).unwrap();
    let found = fs::metadata(folder.path().join("a/b")).unwrap();
    assert_eq!((mode("a/b"), found.mtime(), found.mtime_nsec()), (0o500, -5, 999_999_999));

    target.create_directory(&path("a/b")).unwrap();
    assert_eq!(mode("a/b"), 0o700);
    target.finish_directory(&path("a/b"), &Metadata { mode: 0, ..METADATA }).unwrap();
    target.create_directory(&path("a/b")).unwrap();
    assert_eq!(mode("a/b"), 0o700);
    write(&target, &path("a/b/file"), b"x").unwrap();
    target.finish_directory(&RelPath::root(), &Metadata { mode: 0o750, ..METADATA }).unwrap();
    assert_eq!(mode(""), 0o750);
    assert!(target.finish_directory(&path("missing"), &METADATA).is_err());
}

#[test]
fn links_are_restored_as_links() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(folder.path()).unwrap();
    write(&target, &path("a"), b"x").unwrap();
    fs::write(folder.path().join("b"), "old").unwrap();
    for _ in 0..2 {
        target.create_hard_link(&path("b"), &path("a")).unwrap();
        target.create_symlink(&path("link"), b"/etc/\xff", &METADATA).unwrap();
    }
    assert_eq!(fs::metadata(folder.path().join("b")).unwrap().nlink(), 2);
    let link = fs::symlink_metadata(folder.path().join("link")).unwrap();
    assert_eq!((link.mtime(), link.mtime_nsec()), (-5, 999_999_999));
    assert_eq!(names(folder.path()), ["a", "b", "link"]);
    assert!(target.create_symlink(&path("empty"), b"", &METADATA).is_err());
    assert!(target.create_symlink(&path("nul"), b"a\0b", &METADATA).is_err());
    assert!(target.create_hard_link(&path("c"), &path("missing/a")).is_err());
    assert_eq!(names(folder.path()), ["a", "b", "link"]);
}

#[test]
fn stray_files_are_set_aside_under_fresh_names() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(folder.path()).unwrap();
    for expected in ["x-wal.before-restore", "x-wal.before-restore-2", "x-wal.before-restore-3"] {
        fs::write(folder.path().join("x-wal"), expected).unwrap();
        assert_eq!(target.set_aside(&path("x-wal")).unwrap(), path(expected));
        assert_eq!(fs::read_to_string(folder.path().join(expected)).unwrap(), expected);
    }
    assert!(target.set_aside(&path("x-wal")).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn a_time_beyond_every_clock_does_not_lose_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(folder.path()).unwrap();
    for seconds in [i64::MIN, i64::MAX] {
        let metadata = Metadata { modified: Timestamp { seconds, nanos: 999_999_999 }, ..METADATA };
        let file = target.create_file(&path("file"), 1).unwrap();
        file.finish(&metadata).unwrap();
        target.create_symlink(&path("link"), b"x", &metadata).unwrap();
        target.create_directory(&path("folder")).unwrap();
        target.finish_directory(&path("folder"), &metadata).unwrap();
    }
    assert_eq!(names(folder.path()), ["file", "folder", "link"]);
}
