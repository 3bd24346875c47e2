//! An application that uses a database: another process, which runs the SQL it is told to.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

/// Two tables that every transaction keeps equal, and enough rows that both lie on many pages.
pub(crate) const SCHEMA: &str = "PRAGMA page_size = 1024; CREATE TABLE one(n, filler); CREATE TABLE two(n, filler);
    WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 300)
    INSERT INTO one SELECT 0, randomblob(500) FROM i; INSERT INTO two SELECT * FROM one;";

/// A transaction that counts one further.
pub(crate) const COMMIT: &str = "BEGIN IMMEDIATE; UPDATE one SET n = n + 1; UPDATE two SET n = n + 1; COMMIT;";

/// Another process with a connection to a database: runs what it is told to, and answers.
pub(crate) struct Application {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Application {
    pub(crate) fn start(database: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "application", "--ignored", "--nocapture"])
            .env("APPLICATION_DATABASE", database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, answers }
    }

    /// Runs SQL; the answer is `ok`, or what went wrong.
    pub(crate) fn try_run(&mut self, sql: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{}", sql.replace('\n', " ")).unwrap();
        let mut line = String::new();
        while !line.contains("answer: ") {
            line.clear();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the application died");
        }
        line.split("answer: ").last().unwrap().trim().to_owned()
    }

    pub(crate) fn run(&mut self, sql: &str) {
        assert_eq!(self.try_run(sql), "ok", "{sql}");
    }

    /// Ends it in good order, and checks that nothing ever went wrong there.
    pub(crate) fn end(mut self) {
        drop(self.process.stdin.take());
        io::copy(&mut self.answers, &mut io::sink()).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The body of [`Application`]'s process. Each test file that uses it has a test `application` that calls this.
pub(crate) fn serve() {
    let connection = Connection::open(std::env::var_os("APPLICATION_DATABASE").unwrap()).unwrap();
    let mut line = String::new();
    while io::stdin().read_line(&mut line).unwrap() != 0 {
        let line = std::mem::take(&mut line);
        if line.trim() == "commit until the end" {
            println!("answer: ok");
            commit_until_the_end(&connection);
            return;
        }
        match connection.execute_batch(&line) {
            Ok(()) => println!("answer: ok"),
            Err(error) => println!("answer: {error}"),
        }
    }
}

fn commit_until_the_end(connection: &Connection) {
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
        told.store(true, Ordering::Relaxed);
    });
    while !ended.load(Ordering::Relaxed) {
        connection.execute_batch(COMMIT).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
}

/// A folder with an application that has made a database in it.
pub(crate) fn application_with(pragmas: &str) -> (TempDir, PathBuf, Application) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("chat.db");
    let mut application = Application::start(&database);
    application.run(&format!("PRAGMA synchronous = OFF; PRAGMA page_size = 1024; {pragmas} {SCHEMA}"));
    (folder, database, application)
}

/// The counter in a database given as bytes, after checking that it is whole and both tables agree.
pub(crate) fn counter(bytes: &[u8]) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("copy.db"), bytes).unwrap();
    counter_of(&Connection::open(folder.path().join("copy.db")).unwrap())
}

pub(crate) fn counter_of(copy: &Connection) -> i64 {
    let check: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let sql = "SELECT min(n), max(n), count(*) FROM (SELECT n FROM one UNION ALL SELECT n FROM two)";
    let (min, max, rows): (i64, i64, i64) = copy.query_row(sql, [], |row| row.try_into()).unwrap();
    assert_eq!((min, rows), (max, 600), "the view mixes two states");
    min
}
