//! SQLite databases while another process uses them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::application::{Application, COMMIT, SCHEMA, application_with, counter, counter_of};
use common::engine::Device;
use common::{Everything, everything, path, read, read_all, tree};
use hushkeep_repo::tree::{Consistency, FileView, Layout, TreeError, TreeErrorKind, TreeItem};
use hushkeep_repo::{RelPath, Tree};
use hushkeep_sources::{FolderOptions, FolderTree};
use rusqlite::Connection;

/// The body of [`Application`]'s process.
#[test]
#[ignore = "the other tests start it as a process of its own"]
fn application() {
    common::application::serve();
}

/// Backs up a folder as the engine does: `None` if a file changed while it was read. A journal may be gone.
fn back_up(tree: &FolderTree) -> Option<Vec<(String, Vec<u8>)>> {
    let (mut files, mut absorbed) = (Vec::new(), Vec::new());
    for item in tree.walk().skip(1) {
        let item = item.unwrap().path;
        if absorbed.contains(&item) {
            continue;
        }
        let mut view = match tree.open(&item) {
            Err(error) if error.kind == TreeErrorKind::Gone && item == path("chat.db-journal") => continue,
            view => view.unwrap(),
        };
        files.push((item.to_string(), read_all(view.as_mut())));
        absorbed.extend(view.absorbed().to_vec());
        if view.finish().unwrap() == Consistency::ChangedWhileRead {
            return None;
        }
    }
    Some(files)
}

/// Backs up until some states were seen; what is restored must each time be one committed state. Tells the last.
fn back_up_in_a_loop(folder: &Path) -> i64 {
    let (begin, mut seen) = (Instant::now(), 0);
    let mut last = -1;
    while seen < 10 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{seen} states");
        let Some(files) = back_up(&tree(folder)) else { continue };
        let restored = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(restored.path().join(name), bytes).unwrap();
        }
        let counter = counter_of(&Connection::open(restored.path().join("chat.db")).unwrap());
        assert!(counter >= last);
        seen += u32::from(counter > last);
        last = counter;
    }
    last
}

#[test]
fn each_backup_is_one_committed_state_while_an_application_writes() {
    let modes = ["WAL; PRAGMA wal_autocheckpoint = 20", "DELETE", "TRUNCATE", "PERSIST"];
    thread::scope(|scope| {
        for mode in modes {
            scope.spawn(move || {
                let pragmas = format!("PRAGMA busy_timeout = 10000; PRAGMA journal_mode = {mode};");
                let (folder, database, mut application) = application_with(&pragmas);
                application.run("commit until the end");
                let last = back_up_in_a_loop(folder.path());
                application.end();
                assert!(counter_of(&Connection::open(database).unwrap()) >= last);
            });
        }
    });
}

/// Bytes, modes and modification times. The index of a live log (`-shm`) changes with its readers; and SQLite
/// running as root sets the owner of a log that it opens, which shows in the ctime.
fn kept_while_live(folder: Everything) -> Vec<(PathBuf, Vec<u8>, [i64; 3])> {
    let kept = |(path, (bytes, [mode, seconds, nanos, ..])): (PathBuf, (Vec<u8>, [i64; 6]))| {
        let is_index = path.extension() == Some("db-shm".as_ref());
        if is_index { (path, Vec::new(), [0; 3]) } else { (path, bytes, [mode, seconds, nanos]) }
    };
    folder.into_iter().map(kept).collect()
}

#[test]
fn a_live_log_is_merged_and_absorbed() {
    let (folder, database, mut application) = application_with("PRAGMA journal_mode = WAL;");
    application.run("PRAGMA wal_checkpoint(TRUNCATE)");
    application.run(COMMIT);
    let before = everything(folder.path());
    let link = folder.path().with_extension("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let tree = tree(&link);
    fs::remove_file(&link).unwrap();

    let view = tree.open(&path("chat.db")).unwrap();
    assert_eq!(view.layout(), Layout::Pages(1024));
    assert_eq!(view.absorbed(), ["chat.db-journal", "chat.db-shm", "chat.db-wal"].map(path));
    assert_eq!(view.finish().unwrap(), Consistency::Consistent);
    assert_eq!(counter(&read(&tree, "chat.db").0), 1);
    assert_eq!(counter(&fs::read(&database).unwrap()), 0, "the log was not merged into the source");

    assert_eq!(kept_while_live(before), kept_while_live(everything(folder.path())));
    application.end();
}

#[test]
fn a_slow_reader_does_not_keep_a_live_log_from_its_application() {
    let (folder, _, mut application) = application_with("PRAGMA journal_mode = WAL;");
    let tree = tree(folder.path());
    let mut view = tree.open(&path("chat.db")).unwrap();
    assert_ne!(view.read(&mut [0; 10]).unwrap(), 0);
    application.run(COMMIT);
    thread::sleep(Duration::from_millis(600));
    // The rest of the page is in memory; the next one needs the transaction that has ended.
    let error = (0..200).find_map(|_| view.read(&mut [0; 1024]).err()).unwrap();
    assert_eq!(error.kind, TreeErrorKind::Locked);
    application.run("PRAGMA wal_checkpoint(TRUNCATE)");
    assert_eq!(fs::metadata(folder.path().join("chat.db-wal")).unwrap().len(), 0);
    drop(view);
    assert_eq!(counter(&read(&tree, "chat.db").0), 1);
    application.end();
}

#[test]
fn a_rollback_database_is_read_under_a_lock_that_ends_in_time() {
    let (folder, database, mut application) = application_with("");
    let before = everything(folder.path());
    let tree = tree(folder.path());
    let (bytes, absorbed, consistency) = read(&tree, "chat.db");
    assert_eq!((absorbed, consistency), (vec![], Consistency::Consistent));
    assert!(bytes == fs::read(&database).unwrap());
    assert_eq!(everything(folder.path()), before);

    application.run("PRAGMA busy_timeout = 0");
    let slow_tree = FolderTree::new(folder.path(), FolderOptions::default()).unwrap();
    let view = slow_tree.open(&path("chat.db")).unwrap();
    assert_eq!(application.try_run(COMMIT), "database is locked");
    application.run("ROLLBACK");
    assert_eq!(view.finish().unwrap(), Consistency::Consistent);
    application.run(COMMIT);

    drop(slow_tree.open(&path("chat.db")).unwrap());
    application.run(COMMIT);

    application.run("PRAGMA busy_timeout = 30000");
    let view = tree.open(&path("chat.db")).unwrap();
    application.run(COMMIT);
    assert_eq!(view.finish().unwrap(), Consistency::ChangedWhileRead);
    application.end();
}

#[test]
fn a_database_in_use_is_waited_for_and_then_reported() {
    let (folder, database, mut application) = application_with("");
    let options = FolderOptions { lock_wait: Duration::from_millis(100), ..FolderOptions::default() };
    let tree = FolderTree::new(folder.path(), options).unwrap();

    // A writer that has not touched the database file yet: its journal is no part of the state that is read, and
    // would, restored with it, be taken for one that must be undone.
    application.run("BEGIN IMMEDIATE; UPDATE one SET n = 7");
    assert!(fs::metadata(folder.path().join("chat.db-journal")).unwrap().len() > 0);
    let files = back_up(&tree).unwrap();
    assert!(matches!(files.as_slice(), [(name, bytes)] if name == "chat.db" && counter(bytes) == 0));
    assert_eq!(tree.open(&path("chat.db-journal")).err().unwrap().kind, TreeErrorKind::Gone);
    application.run("ROLLBACK; BEGIN EXCLUSIVE");
    let error = tree.open(&path("chat.db")).err().unwrap();
    assert_eq!((error.kind, error.path), (TreeErrorKind::Locked, path("chat.db")));
    application.run("ROLLBACK");
    assert!(read(&tree, "chat.db").0 == fs::read(database).unwrap());
    application.end();
}

fn names(tree: &FolderTree) -> Vec<String> {
    tree.walk().skip(1).map(|item| item.unwrap().path.to_string()).collect()
}

#[test]
fn a_database_that_is_written_while_it_is_waited_for_is_read_as_it_is_then() {
    let (folder, _, mut application) = application_with("");
    application.run("BEGIN EXCLUSIVE; UPDATE one SET n = 1; UPDATE two SET n = 1");
    let tree = tree(folder.path());
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            application.run("COMMIT");
        });
        let (bytes, _, consistency) = read(&tree, "chat.db");
        assert_eq!(consistency, Consistency::Consistent);
        assert_eq!(counter(&bytes), 1);
    });
    application.end();
}

#[test]
fn files_that_come_and_go_with_transactions_are_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b-journal", "b-wal", "c-shm", "d"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    Connection::open(folder.path().join("chat.db")).unwrap().execute_batch(SCHEMA).unwrap();
    fs::create_dir(folder.path().join("chat.db-journal")).unwrap();
    let tree = tree(folder.path());
    let mut walk = tree.walk();
    assert_eq!(walk.by_ref().take(2).flatten().count(), 2);
    assert_eq!(read(&tree, "chat.db").2, Consistency::Consistent);
    for name in ["b-journal", "b-wal", "c-shm", "d"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let rest: Vec<_> = walk.map(|item| item.map_err(|error| (error.path, error.kind))).collect();
    assert!(matches!(&rest[..], [Ok(database), Ok(folder), Err(gone)]
        if database.path == path("chat.db") && folder.path == path("chat.db-journal")
            && *gone == (path("d"), TreeErrorKind::Gone)));
}

#[test]
fn a_journal_that_no_longer_fits_its_database_is_told() {
    let (folder, _, mut application) = application_with("PRAGMA journal_mode = PERSIST;");
    let folder_tree = tree(folder.path());
    assert_eq!(read(&folder_tree, "chat.db").2, Consistency::Consistent);
    let view = folder_tree.open(&path("chat.db-journal")).unwrap();
    application.run(COMMIT);
    assert_eq!(view.finish().unwrap(), Consistency::ChangedWhileRead);
    assert_eq!(folder_tree.open(&path("chat.db-journal")).err().unwrap().kind, TreeErrorKind::Gone);
    assert_eq!(names(&folder_tree), ["chat.db"]);
    application.end();

    let (folder, database, mut application) = application_with("PRAGMA journal_mode = WAL;");
    application.run(COMMIT);
    application.kill();
    let folder_tree = tree(folder.path());
    assert_eq!(read(&folder_tree, "chat.db").2, Consistency::Consistent);
    let mut application = Application::start(&database);
    application.run(COMMIT);
    for name in ["chat.db-wal", "chat.db-shm"] {
        assert_eq!(read(&folder_tree, name).2, Consistency::ChangedWhileRead, "{name}");
    }
    application.end();
}

/// A folder in which something happens just before the walk is asked for its next item.
struct Meanwhile<'a> {
    tree: FolderTree,
    /// The root is item 1, and the database item 2.
    before_item: u32,
    happens: &'a (dyn Fn() + Sync),
}

impl Tree for Meanwhile<'_> {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        let (mut walk, mut item) = (self.tree.walk(), 0);
        Box::new(std::iter::from_fn(move || {
            item += 1;
            if item == self.before_item {
                (self.happens)();
            }
            walk.next()
        }))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        self.tree.open(path)
    }
}

/// A cache of one page makes SQLite write to the database in the middle of the transaction.
const HALF_WRITTEN: &str = "PRAGMA cache_size = 1; BEGIN; UPDATE one SET n = 7, filler = randomblob(500)";

#[test]
fn what_a_copied_database_needs_is_never_left_out_in_silence() {
    for (pragmas, sql, needed) in
        [("PRAGMA journal_mode = WAL;", COMMIT, "chat.db-wal"), ("", HALF_WRITTEN, "chat.db-journal")]
    {
        let (folder, database, mut application) = application_with(pragmas);
        application.run(sql);
        application.kill();
        let starts_again_and_ends_well = || {
            let mut application = Application::start(&database);
            application.run("SELECT * FROM one");
            application.end();
            assert!(!folder.path().join(needed).exists());
        };
        let meanwhile = Meanwhile { tree: tree(folder.path()), before_item: 3, happens: &starts_again_and_ends_well };
        let mut told = Vec::new();
        for item in meanwhile.walk() {
            match item {
                Ok(item) if item.path == path("chat.db") => drop(read(&meanwhile.tree, "chat.db")),
                Ok(_) => {}
                Err(error) => told.push((error.path.to_string(), error.kind)),
            }
        }
        assert_eq!(told, [(needed.to_owned(), TreeErrorKind::GoneFromDatabase)]);
        // The engine looks again, and finds the database as its application left it.
        assert_eq!(Device::new().back_up(&meanwhile).problems, []);
    }
}

#[test]
fn what_a_copied_database_needs_comes_with_it_though_it_is_younger_than_the_list_of_files() {
    for (pragmas, sql, counter) in [("PRAGMA journal_mode = WAL;", COMMIT, 1), ("", HALF_WRITTEN, 0)] {
        let (folder, database, application) = application_with(pragmas);
        application.end();
        fs::write(folder.path().join("chat.db-between"), "x").unwrap();
        let starts_again_and_crashes = || {
            let mut application = Application::start(&database);
            application.run(sql);
            application.kill();
        };
        let tree = Meanwhile { tree: tree(folder.path()), before_item: 2, happens: &starts_again_and_crashes };
        let mut device = Device::new();
        let report = device.back_up(&tree);
        assert_eq!(report.problems, []);
        let restored = tempfile::tempdir().unwrap();
        device.restore(&report.snapshot.unwrap(), &restored.path().join("chats"));
        assert_eq!(counter_of(&Connection::open(restored.path().join("chats/chat.db")).unwrap()), counter);
        assert!(restored.path().join("chats/chat.db-between").exists());
    }
}

#[test]
fn a_log_that_its_application_keeps_to_itself_is_copied_only_with_its_database() {
    // Without an -shm there are no locks to see, as on a network file system.
    let (folder, _, mut application) =
        application_with("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;");
    application.run(COMMIT);
    assert!(!folder.path().join("chat.db-shm").exists());
    let tree = tree(folder.path());

    let view = tree.open(&path("chat.db")).unwrap();
    application.run(COMMIT);
    assert_eq!(view.finish().unwrap(), Consistency::ChangedWhileRead);

    assert_eq!(read(&tree, "chat.db").2, Consistency::Consistent);
    application.run("PRAGMA wal_checkpoint");
    application.run(COMMIT);
    assert_eq!(read(&tree, "chat.db-wal").2, Consistency::ChangedWhileRead);

    let copy = tempfile::tempdir().unwrap();
    for name in ["chat.db", "chat.db-wal"] {
        let (bytes, absorbed, consistency) = read(&tree, name);
        assert_eq!((absorbed, consistency), (vec![], Consistency::Consistent));
        fs::write(copy.path().join(name), bytes).unwrap();
    }
    assert_eq!(counter_of(&Connection::open(copy.path().join("chat.db")).unwrap()), 3);
    application.end();
}

#[test]
fn a_database_on_its_own_comes_with_what_belongs_to_it() {
    let (folder, database, mut application) = application_with("PRAGMA journal_mode = WAL;");
    application.run(COMMIT);
    application.kill();
    fs::write(folder.path().join("chat.db-other"), "x").unwrap();
    let tree = FolderTree::new(&database, FolderOptions::default()).unwrap();
    let found: Vec<_> = tree.walk().map(|item| item.unwrap().path.to_string()).collect();
    assert_eq!(found, [".", "chat.db", "chat.db-shm", "chat.db-wal"]);
}
