//! SQLite databases that nobody uses, with what their applications left beside them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::application::{COMMIT, application_with, counter_of};
use common::engine::Device;
use common::{everything, kept, path, read, tree};
use hushkeep_repo::Tree;
use hushkeep_repo::tree::{Consistency, Layout};
use rusqlite::Connection;
use tempfile::TempDir;

/// The body of `Application`'s process.
#[test]
#[ignore = "the other tests start it as a process of its own"]
fn application() {
    common::application::serve();
}

/// Backs up a folder that nobody uses: each file must come back exactly, and nothing may change. Tells its files.
fn check_dead(folder: &Path) -> Vec<String> {
    let before = everything(folder);
    check_views(folder);
    let (mut device, restored) = (Device::new(), tempfile::tempdir().unwrap());
    let restored = restored.path().join("restored");
    let report = device.back_up(&tree(folder));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    device.restore(&report.snapshot.unwrap(), &restored);
    assert_eq!(everything(folder), before);
    assert!(kept(&everything(&restored), &restored) == kept(&before, folder));

    let copy = tempfile::tempdir().unwrap();
    for name in before.keys() {
        fs::copy(name, copy.path().join(name.file_name().unwrap())).unwrap();
    }
    assert!(after_opening(&restored) == after_opening(copy.path()));
    before.keys().map(|name| name.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Reads every file by itself.
fn check_views(folder: &Path) {
    let tree = tree(folder);
    let items: Vec<_> = tree.walk().skip(1).map(|item| item.unwrap().path).collect();
    for item in &items {
        let (bytes, absorbed, consistency) = read(&tree, &item.to_string());
        assert!(bytes == fs::read(folder.join(item.to_string())).unwrap(), "{item}");
        assert_eq!(consistency, Consistency::Consistent, "{item}");
        assert!(items.iter().all(|other| !absorbed.contains(other)), "{item}");
    }
}

/// What SQLite makes of a folder when the application starts again: what it says, and every byte it leaves.
fn after_opening(folder: &Path) -> (String, Vec<(String, Vec<u8>)>) {
    let connection = Connection::open(folder.join("chat.db")).unwrap();
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let said = match connection.query_row("PRAGMA integrity_check", [], check) {
        Ok(said) => said,
        Err(error) => error.to_string(),
    };
    drop(connection);
    let left = everything(folder).into_iter();
    (said, left.map(|(path, (bytes, _))| (path.file_name().unwrap().to_str().unwrap().to_owned(), bytes)).collect())
}

/// Ends an application by a crash in the middle of `transaction`, after two that were committed.
fn crashed_in(pragmas: &str, transaction: &str) -> TempDir {
    let (folder, _, mut application) = application_with(pragmas);
    application.run(COMMIT);
    application.run(COMMIT);
    application.run(transaction);
    application.kill();
    folder
}

#[test]
fn what_a_crashed_application_left_is_restored_exactly_and_not_touched() {
    let between = "SELECT 1";
    let begun = "BEGIN; UPDATE one SET n = 7";
    // A cache of one page makes SQLite write to the database, or its log, in the middle of the transaction.
    let half_written = "PRAGMA cache_size = 1; BEGIN; UPDATE one SET n = 7, filler = randomblob(500)";
    let with_log = vec!["chat.db", "chat.db-shm", "chat.db-wal"];
    let (alone, with_journal) = (vec!["chat.db"], vec!["chat.db", "chat.db-journal"]);
    for (mode, transaction, left) in [
        ("WAL", between, &with_log),
        ("WAL", begun, &with_log),
        ("WAL", half_written, &with_log),
        ("DELETE", between, &alone),
        ("DELETE", begun, &with_journal),
        ("DELETE", half_written, &with_journal),
        ("TRUNCATE", between, &with_journal),
        ("TRUNCATE", half_written, &with_journal),
        ("PERSIST", between, &with_journal),
        ("PERSIST", begun, &with_journal),
        ("PERSIST", half_written, &with_journal),
    ] {
        let folder = crashed_in(&format!("PRAGMA journal_mode = {mode};"), transaction);
        assert_eq!(check_dead(folder.path()), *left, "{mode}: {transaction}");
        assert_eq!(counter_of(&Connection::open(folder.path().join("chat.db")).unwrap()), 2, "{mode}: {transaction}");
        check_dead(folder.path());
    }
}

#[test]
fn whatever_lies_beside_a_dead_database_is_restored_exactly_and_not_touched() {
    let with_log = crashed_in("PRAGMA journal_mode = WAL;", "SELECT 1");
    let other_log = crashed_in("PRAGMA journal_mode = WAL;", COMMIT);
    let half_written = "PRAGMA cache_size = 1; BEGIN; UPDATE one SET n = 7, filler = randomblob(500)";
    let with_journal = crashed_in("PRAGMA journal_mode = PERSIST;", half_written);
    let of = |folder: &TempDir, name: &str| fs::read(folder.path().join(name)).unwrap();
    let (log, index) = (of(&with_log, "chat.db-wal"), of(&with_log, "chat.db-shm"));
    let journal = of(&with_journal, "chat.db-journal");
    let cut = |bytes: &[u8], len: usize| Some(bytes[..len].to_vec());
    let no_head = |bytes: &[u8]| Some([vec![0; 28], bytes[28..].to_vec()].concat());

    // The database, what lies beside it, and the committed state that is still in there, if there is one.
    for (database, suffix, beside, counter) in [
        (&with_log, "-shm", None, Some(2)),
        (&with_log, "-shm", Some(Vec::new()), Some(2)),
        (&with_log, "-shm", Some(vec![0; index.len()]), Some(2)),
        (&with_log, "-shm", Some(of(&other_log, "chat.db-shm")), Some(2)),
        (&with_log, "-wal", Some(of(&other_log, "chat.db-wal")), None),
        (&with_log, "-wal", cut(&log, log.len() - 700), None),
        (&with_log, "-wal", cut(&log, 40), None),
        (&with_log, "-wal", no_head(&log), None),
        (&with_log, "-journal", Some(journal.clone()), None),
        (&with_journal, "-journal", cut(&journal, journal.len() / 2), None),
        (&with_journal, "-journal", cut(&journal, 3), None),
        (&with_journal, "-journal", no_head(&journal), None),
        (&with_journal, "-wal", Some(log.clone()), None),
        (&with_journal, "-wal", Some(Vec::new()), Some(2)),
        (&with_journal, "-shm", Some(index.clone()), Some(2)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for file in everything(database.path()).into_keys() {
            fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        let path = folder.path().join(format!("chat.db{suffix}"));
        match &beside {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        check_dead(folder.path());
        if let Some(counter) = counter {
            assert_eq!(counter_of(&Connection::open(folder.path().join("chat.db")).unwrap()), counter);
        }
    }
}

#[test]
fn what_an_application_left_in_good_order_is_restored_exactly_and_not_touched() {
    for (mode, left) in [
        ("WAL", vec!["chat.db"]),
        ("DELETE", vec!["chat.db"]),
        ("TRUNCATE", vec!["chat.db", "chat.db-journal"]),
        ("PERSIST", vec!["chat.db", "chat.db-journal"]),
    ] {
        let (folder, _, mut application) = application_with(&format!("PRAGMA journal_mode = {mode};"));
        application.run(COMMIT);
        application.end();
        assert_eq!(check_dead(folder.path()), left, "{mode}");
    }
}

#[test]
fn a_file_that_sqlite_refuses_or_would_read_differently_is_exact() {
    let (folder, database, application) = application_with("");
    application.end();
    let good = fs::read(&database).unwrap();
    let garbage = [good[..100].to_vec(), vec![0xa5; 50_000]].concat();
    let tail = [good.as_slice(), b"odd tail"].concat();
    let more_pages = [good.as_slice(), &[0xa5; 2048]].concat();
    let fewer_pages = good[..good.len() - 5000].to_vec();
    for bytes in [garbage, tail, more_pages, fewer_pages, good[..100].to_vec(), good[..99].to_vec()] {
        fs::write(&database, &bytes).unwrap();
        assert_eq!(check_dead(folder.path()), ["chat.db"]);
    }
    assert_eq!(tree(folder.path()).open(&path("chat.db")).unwrap().layout(), Layout::Pages(1024));
    let mut bad_size = good;
    bad_size[17] = 1;
    fs::write(&database, bad_size).unwrap();
    assert_eq!(tree(folder.path()).open(&path("chat.db")).unwrap().layout(), Layout::Bytes);
}
