//! A writer does to its database whatever an application may do, and dies at it, while backups run in a loop.
//!
//! `cargo test` runs a few rounds. `HUSHKEEP_SOAK_ROUNDS=500 cargo test -p hushkeep-sources --test live_database --
//! --nocapture` runs many, and prints what they came to.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod dawdling;
mod log;
mod plan;
mod summary;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use common::engine::Device;
use common::{everything, kept};
use dawdling::Dawdling;
use hushkeep_repo::tree::TreeErrorKind;
use hushkeep_repo::{Problem, ProblemKind};
use hushkeep_sources::{FolderOptions, FolderTree};
use log::{History, State, TABLES};
use plan::Plan;
use rusqlite::Connection;
use summary::Summary;
use tempfile::TempDir;
use writer::Process;

const DEFAULT_ROUNDS: u64 = 4;
const BACKUPS_PER_ROUND: u32 = 12;

/// The body of the writer's process.
#[test]
#[ignore = "the other test starts it as a process of its own"]
fn writer() {
    writer::write();
}

#[test]
fn each_backup_is_one_committed_state_whatever_the_writer_does() {
    let rounds = std::env::var("HUSHKEEP_SOAK_ROUNDS").map_or(DEFAULT_ROUNDS, |rounds| rounds.parse().unwrap());
    let mut summary = Summary::default();
    for seed in 0..rounds {
        // A round that fails is the last that is shown.
        println!("{:?}", Plan::of(seed));
        Round::new(Plan::of(seed)).run(&mut summary);
    }
    println!("{summary}");
}

/// A database, its writer's logs, and the backups of the folder with the database.
struct Round {
    plan: Plan,
    folder: TempDir,
    device: Device,
}

/// What a backup that told of no problem holds.
struct View {
    state: State,
    /// The last transaction of which the writer had told before the backup began that it is committed.
    committed_before: i64,
    /// The last transaction of which the writer told before the backup ended that it would be committed.
    tried_before_end: i64,
}

impl Round {
    fn new(plan: Plan) -> Self {
        let round = Self { plan, folder: tempfile::tempdir().unwrap(), device: Device::new() };
        fs::create_dir(round.data()).unwrap();
        fs::create_dir(round.logs()).unwrap();
        round
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    fn run(mut self, summary: &mut Summary) {
        let (plan, data, logs) = (self.plan, self.data(), self.logs());
        let views = thread::scope(|scope| {
            let (stop, stopped) = mpsc::channel();
            let lives = scope.spawn(move || live_and_die(&plan, &data, &logs, &stopped));
            wait_until_opened(&self.logs());
            let views: Vec<_> = (0..BACKUPS_PER_ROUND).filter_map(|_| self.back_up_live(summary)).collect();
            drop(stop);
            summary.kills += lives.join().unwrap();
            views
        });
        self.check_dead();
        let mut history = History::read(&self.logs());
        assert!(history.ended || !plan.ends_well);
        history.settle(&look_into(&self.data()));
        check_views(&views, &history);
        check_refusals(&plan, &history);
        summary.add(&history);
    }

    /// Backs up while the writer lives or has just died; `None` if the backup itself tells that it is not whole.
    fn back_up_live(&mut self, summary: &mut Summary) -> Option<View> {
        let before = History::read(&self.logs());
        let options =
            FolderOptions { lock_wait: Plan::PATIENT, hold_limit: self.plan.hold_limit, ..FolderOptions::default() };
        let tree = FolderTree::new(&self.data(), options).unwrap();
        let report = self.device.back_up(&Dawdling::new(tree, self.plan.seed + summary.backups));
        let after = History::read(&self.logs());
        summary.backups += 1;
        if !report.problems.is_empty() {
            self.check_problems(&report.problems, before.is_steady_until(&after), summary);
            return None;
        }
        let restored = tempfile::tempdir().unwrap();
        let folder = restored.path().join("restored");
        self.device.restore(&report.snapshot.unwrap(), &folder);
        let (committed_before, tried_before_end) = (before.last_committed(), after.last_tried);
        Some(View { state: look_into(&folder), committed_before, tried_before_end })
    }

    /// A backup may tell that the database changed only if the writer came, went or switched its journal meanwhile,
    /// and that it took too long only if it had very little time: then either. It tells of nothing else.
    fn check_problems(&self, problems: &[Problem], steady: bool, summary: &mut Summary) {
        let short_of_time = self.plan.hold_limit < Duration::from_millis(100);
        assert!(short_of_time || !steady, "{problems:?}");
        let too_long = |problem: &Problem| problem.kind == ProblemKind::Unread(TreeErrorKind::Locked);
        let changed = |problem: &Problem| {
            let gone = ProblemKind::Unread(TreeErrorKind::GoneFromDatabase);
            problem.kind == ProblemKind::ChangedWhileRead || problem.kind == gone
        };
        if problems.iter().all(changed) {
            summary.told_changed += 1;
        } else {
            assert!(
                short_of_time && problems.iter().all(|problem| changed(problem) || too_long(problem)),
                "{problems:?}"
            );
            summary.told_too_long += 1;
        }
    }

    /// Backs up when the writer is gone: every byte comes back, and nothing of the source has changed.
    fn check_dead(&mut self) {
        let before = everything(&self.data());
        let tree = FolderTree::new(&self.data(), FolderOptions::default()).unwrap();
        let report = self.device.back_up(&tree);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        let restored = self.folder.path().join("restored");
        self.device.restore(&report.snapshot.unwrap(), &restored);
        assert!(everything(&self.data()) == before, "the source was changed");
        assert!(kept(&everything(&restored), &restored) == kept(&before, &self.data()), "not the same files");
        assert_eq!(look_into(&restored), look_into(&self.data()));
    }
}

/// One life of the writer after the other, until `stopped`; tells how many were killed.
fn live_and_die(plan: &Plan, data: &Path, logs: &Path, stopped: &Receiver<()>) -> u64 {
    let random = &mut plan.random(u32::MAX);
    let mut kills = 0;
    for life in 0.. {
        let process = Process::start(plan, life, &data.join("chat.db"), logs);
        if life == 0 {
            wait_until_opened(logs);
        }
        if stopped.recv_timeout(plan.longest_life.mul_f64(random.f64())) == Err(RecvTimeoutError::Disconnected) {
            if plan.ends_well {
                process.end();
            } else {
                process.kill();
                kills += 1;
            }
            break;
        }
        if random.u8(..4) == 0 {
            process.end();
        } else {
            process.kill();
            kills += 1;
        }
        // Sometimes a backup finds it dead, and sometimes it comes back in the middle of one.
        thread::sleep(Duration::from_millis(random.u64(0..30)));
    }
    kills
}

/// Waits until the writer has made its database.
fn wait_until_opened(logs: &Path) {
    let begin = Instant::now();
    while History::read(logs).committed.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the writer does not start");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Opens a database as its application would, and checks that it is whole.
fn look_into(folder: &Path) -> State {
    let connection = Connection::open(folder.join("chat.db")).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let rows_of = |table| format!("SELECT '{table}', id, n FROM {table}");
    let differing = format!(
        "SELECT count(*) FROM (SELECT id, n, count(*) AS times FROM ({}) GROUP BY id, n) WHERE times <> {}",
        TABLES.map(rows_of).join(" UNION ALL "),
        TABLES.len()
    );
    assert_eq!(connection.query_row(&differing, [], |row| row.get(0)), Ok(0), "the tables are of different states");
    State::of(&connection).unwrap()
}

/// Each view is exactly one state that was committed, neither too old nor too new, and they never go back.
fn check_views(views: &[View], history: &History) {
    for View { state, committed_before, tried_before_end } in views {
        assert_eq!(history.committed.get(&state.number), Some(&state.digest), "{state:?} was never committed");
        assert!((*committed_before..=*tried_before_end).contains(&state.number), "{state:?}");
    }
    assert!(views.is_sorted_by_key(|view| view.state.number));
}

/// A writer that waits longer than a backup may hold the database is never refused anything; any other only after
/// it has waited as long as it wanted to.
fn check_refusals(plan: &Plan, history: &History) {
    for (what, waited) in &history.refused {
        assert!(plan.busy_timeout < Plan::PATIENT && *waited >= plan.busy_timeout, "{what} after {waited:?}");
    }
}
