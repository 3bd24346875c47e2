//! SQLite databases that nobody uses, with what their applications left beside them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::application::{COMMIT, application_with, counter_of};
use common::{everything, path, read, tree};
use hushkeep_repo::Tree;
use hushkeep_repo::tree::{Consistency, Layout};
use rusqlite::Connection;

/// The body of `Application`'s process.
#[test]
#[ignore = "the other tests start it as a process of its own"]
fn application() {
    common::application::serve();
}

/// Reads every file of a folder that nobody uses: each must be exact, and nothing may change.
fn check_dead(folder: &Path) -> Vec<String> {
    let before = everything(folder);
    let tree = tree(folder);
    let items: Vec<_> = tree.walk().skip(1).map(|item| item.unwrap().path).collect();
    for item in &items {
        let (bytes, absorbed, consistency) = read(&tree, &item.to_string());
        assert!(bytes == fs::read(folder.join(item.to_string())).unwrap(), "{item}");
        assert_eq!(consistency, Consistency::Consistent, "{item}");
        assert!(items.iter().all(|other| !absorbed.contains(other)), "{item}");
    }
    assert_eq!(everything(folder), before);
    items.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_crashed_application_left_is_copied_exactly_and_not_touched() {
    let (folder, _, mut application) = application_with("PRAGMA journal_mode = WAL;");
    application.run(COMMIT);
    application.kill();
    assert_eq!(check_dead(folder.path()), ["chat.db", "chat.db-shm", "chat.db-wal"]);

    // A cache of one page makes SQLite write to the database in the middle of the transaction.
    let (folder, database, mut application) = application_with("PRAGMA cache_size = 1;");
    application.run("BEGIN; UPDATE one SET n = 7, filler = randomblob(500)");
    application.kill();
    assert_eq!(check_dead(folder.path()), ["chat.db", "chat.db-journal"]);
    assert_eq!(counter_of(&Connection::open(database).unwrap()), 0, "the journal was hot");
    assert_eq!(check_dead(folder.path()), ["chat.db"]);
}

#[test]
fn what_an_application_left_in_good_order_is_copied_exactly_and_not_touched() {
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
