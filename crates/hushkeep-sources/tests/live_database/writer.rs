//! The writer: a process that does whatever an application may do to its database.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Connection, Error, ErrorCode};

use crate::log::{Log, State, TABLES};
use crate::plan::{Life, Plan, one_of};

/// More rows would only make the rounds longer.
const MAX_ROWS: i64 = 300;

/// The writer's process.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a life of the writer, which keeps its log in `logs`.
    pub(crate) fn start(plan: &Plan, life: u32, database: &Path, logs: &Path) -> Self {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--ignored", "--nocapture"])
            .env("WRITER_SEED", plan.seed.to_string())
            .env("WRITER_LIFE", life.to_string())
            .env("WRITER_DATABASE", database)
            .env("WRITER_LOG", logs.join(format!("{life:06}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(process.unwrap())
    }

    /// Ends it in good order, and checks that nothing unexpected happened there.
    pub(crate) fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }

    /// Ends it as a crash does; it must have lived until now.
    pub(crate) fn kill(mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the writer died by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The body of the writer's process: it writes until its input ends.
pub(crate) fn write() {
    let variable = |name| std::env::var(name).unwrap();
    let plan = Plan::of(variable("WRITER_SEED").parse().unwrap());
    let life: u32 = variable("WRITER_LIFE").parse().unwrap();
    let log = Log::create(variable("WRITER_LOG").as_ref());
    let mut writer = Writer {
        connection: open(variable("WRITER_DATABASE").as_ref(), &plan, &plan.life(life)),
        log,
        random: plan.random(life),
        plan,
        number: i64::from(life) << 32,
    };
    writer.log.opened(&State::of(&writer.connection).unwrap());
    writer.connection.busy_timeout(plan.busy_timeout).unwrap();
    let ended = until_input_ends();
    while !ended.load(Ordering::Relaxed) {
        writer.act();
    }
    writer.log.put("closes");
    writer.connection.close().unwrap();
    writer.log.put("ended");
}

fn until_input_ends() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
        told.store(true, Ordering::Relaxed);
    });
    ended
}

/// Opens the database as an application does when it starts, and makes it the first time.
fn open(database: &Path, plan: &Plan, life: &Life) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Plan::PATIENT).unwrap();
    let Plan { page_size, auto_vacuum, .. } = plan;
    let Life { rollback_journal, cache_size, checkpoint_after, synchronous, journal_size_limit } = life;
    let pragmas = format!(
        "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA cache_size = {cache_size};
        PRAGMA wal_autocheckpoint = {checkpoint_after}; PRAGMA synchronous = {synchronous};
        PRAGMA journal_size_limit = {journal_size_limit};"
    );
    connection.execute_batch(&pragmas).unwrap();
    // To leave a write-ahead log takes a database that nobody else reads.
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    if mode != "wal" {
        let mode = if plan.write_ahead_log { "WAL" } else { rollback_journal };
        connection.execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
    }
    if connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)) == Ok(0) {
        let tables = TABLES.map(|table| {
            format!("CREATE TABLE {table}(id INTEGER PRIMARY KEY, n, filler); CREATE INDEX {table}_n ON {table}(n);")
        });
        let tables = tables.concat();
        let sql = format!("BEGIN; CREATE TABLE state(n); INSERT INTO state VALUES (0); {tables} COMMIT");
        connection.execute_batch(&sql).unwrap();
    }
    connection
}

struct Writer {
    connection: Connection,
    log: Log,
    random: fastrand::Rng,
    plan: Plan,
    /// The number of the last transaction.
    number: i64,
}

impl Writer {
    fn act(&mut self) {
        match self.random.u32(0..100) {
            0..30 => self.transaction(Self::change_a_few),
            30..45 => self.transaction(Self::change_all),
            45..60 => self.transaction(Self::insert),
            60..68 => self.transaction(Self::delete),
            68..73 => self.vacuum(),
            73..85 => self.checkpoint(),
            85..90 => self.run("incremental-vacuum", "PRAGMA incremental_vacuum(7)").map_or((), drop),
            90..91 => self.switch_journal(),
            _ => thread::sleep(Duration::from_millis(self.random.u64(0..20))),
        }
    }

    /// A transaction, which may be slow, be undone, or be refused at any step.
    fn transaction(&mut self, changes: impl Fn(&mut Self) -> String) {
        self.number += 1;
        let begin = one_of(&mut self.random, ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]);
        let changes = changes(self) + &format!("UPDATE state SET n = {}", self.number);
        self.log.put("begins");
        let mut going = self.run("begin", begin).is_some() && self.run("change", &changes).is_some();
        if going && self.random.u8(..4) == 0 {
            thread::sleep(Duration::from_millis(self.random.u64(0..30)));
        }
        if going && self.random.u8(..8) != 0 {
            self.log.commits(&State::of(&self.connection).unwrap());
            going = self.run("commit", "COMMIT").is_some();
            if going {
                self.log.put("committed");
                return;
            }
        }
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").unwrap();
        }
        self.log.put("undone");
    }

    fn change_a_few(&mut self) -> String {
        let (from, n) = (self.random.i64(0..MAX_ROWS), self.number);
        let change =
            |table| format!("UPDATE {table} SET n = {n}, filler = {FILLER} WHERE id BETWEEN {from} AND {from} + 5;");
        TABLES.map(change).concat()
    }

    fn change_all(&mut self) -> String {
        let n = self.number;
        TABLES.map(|table| format!("UPDATE {table} SET n = {n}, filler = {FILLER};")).concat()
    }

    fn insert(&mut self) -> String {
        let (count, n) = (self.random.i64(1..100), self.number);
        let insert = |table| {
            format!(
                "WITH RECURSIVE i(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM i WHERE id < {count})
                INSERT INTO {table} SELECT id + (SELECT coalesce(max(id), 0) FROM {table}), {n}, {FILLER} FROM i
                WHERE (SELECT count(*) FROM {table}) < {MAX_ROWS};"
            )
        };
        TABLES.map(insert).concat()
    }

    fn delete(&mut self) -> String {
        let (divisor, rest) = (self.random.i64(1..4), self.random.i64(0..4));
        TABLES.map(|table| format!("DELETE FROM {table} WHERE id % {divisor} <= {rest};")).concat()
    }

    /// Moves every page; a database without a write-ahead log may get pages of another size.
    fn vacuum(&mut self) {
        let page_size = one_of(&mut self.random, [512, 2048, 8192, 32768]);
        if self.random.u8(..3) == 0 {
            self.connection.execute_batch(&format!("PRAGMA page_size = {page_size}")).unwrap();
        }
        self.run("vacuum", "VACUUM");
    }

    fn checkpoint(&mut self) {
        let mode = one_of(&mut self.random, ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
        if let Some(kept_away) = self.run("checkpoint", &format!("PRAGMA wal_checkpoint({mode})"))
            && kept_away == Some(1)
        {
            self.log.put("did busy-checkpoint");
            let is_patient = mode != "PASSIVE" && self.plan.busy_timeout == Plan::PATIENT;
            assert!(!is_patient, "a backup kept a checkpoint away");
        }
    }

    /// Leaves a write-ahead log, or begins one. SQLite refuses the first at once while anybody reads.
    fn switch_journal(&mut self) {
        let mode = one_of(&mut self.random, ["WAL", "DELETE", "TRUNCATE", "PERSIST"]);
        self.log.put("switches");
        let switched = self.connection.execute_batch(&format!("PRAGMA journal_mode = {mode}"));
        match switched {
            Ok(()) => self.log.put("did switch-of-journal"),
            Err(error) if is_busy(&error) => self.log.put("did refused-switch-of-journal"),
            Err(error) => panic!("{mode}: {error}"),
        }
        self.log.put("switched");
    }

    /// Runs SQL. `None` if the database was busy; else the number that the last row begins with, if there is one.
    fn run(&self, what: &str, sql: &str) -> Option<Option<i64>> {
        let begin = Instant::now();
        let result = run_to_the_end(&self.connection, sql);
        let took = begin.elapsed();
        self.log.put(format_args!("took {}", took.as_micros()));
        match result {
            Ok(number) => {
                self.log.put(format_args!("did {what}"));
                Some(number)
            }
            Err(error) if is_busy(&error) => {
                self.log.busy(what, took);
                None
            }
            Err(error) => panic!("{what}: {error}: {sql}"),
        }
    }
}

/// Fillers of many lengths: within a page, and across several.
const FILLER: &str = "randomblob(abs(random()) % 1500)";

fn run_to_the_end(connection: &Connection, sql: &str) -> rusqlite::Result<Option<i64>> {
    let (mut batch, mut number) = (rusqlite::Batch::new(connection, sql), None);
    while let Some(mut statement) = batch.next()? {
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            number = row.get(0).ok();
        }
    }
    Ok(number)
}

fn is_busy(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}
