//! What the writer tells of what it does, before and after it does it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// The tables that every transaction keeps equal in `id` and `n`.
pub(crate) const TABLES: [&str; 3] = ["one", "two", "three"];

/// A committed state of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// The transaction that made it: a later one has a higher number, and none is used again.
    pub(crate) number: i64,
    /// A hash of every row.
    pub(crate) digest: String,
}

impl State {
    /// The state that a connection sees.
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let number: i64 = connection.query_row("SELECT n FROM state", [], |row| row.get(0))?;
        let mut hasher = blake3::Hasher::new();
        for table in TABLES {
            let mut statement = connection.prepare(&format!("SELECT id, n, filler FROM {table} ORDER BY id"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (id, n): (i64, i64) = (row.get(0)?, row.get(1)?);
                let filler = row.get_ref(2)?.as_blob()?;
                hasher.update(&id.to_le_bytes());
                hasher.update(&n.to_le_bytes());
                hasher.update(&filler.len().to_le_bytes());
                hasher.update(filler);
            }
            hasher.update(table.as_bytes());
        }
        Ok(Self { number, digest: hasher.finalize().to_hex()[..16].to_owned() })
    }
}

/// The log of one life of the writer. Every line is in the file before the writer goes on, so that it outlives it.
pub(crate) struct Log(File);

impl Log {
    /// So long is every line: none lies across two pages of the file, and a killed writer leaves none half.
    const LINE: usize = 64;

    pub(crate) fn create(path: &Path) -> Self {
        Self(File::create_new(path).unwrap())
    }

    pub(crate) fn put(&self, line: impl Display) {
        let line = format!("{:<width$}\n", line.to_string(), width = Self::LINE - 1);
        assert_eq!(line.len(), Self::LINE, "{line}");
        (&self.0).write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn opened(&self, state: &State) {
        self.put(format_args!("opened {} {}", state.number, state.digest));
    }

    pub(crate) fn commits(&self, state: &State) {
        self.put(format_args!("commits {} {}", state.number, state.digest));
    }

    pub(crate) fn busy(&self, what: &str, waited: Duration) {
        self.put(format_args!("busy {what} {}", waited.as_micros()));
    }
}

/// What the writer's logs tell of all its lives until now.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Every state that was surely committed, by its number.
    pub(crate) committed: BTreeMap<i64, String>,
    /// The state that the last life was about to commit, if it has not told whether it did.
    pub(crate) undecided: Option<State>,
    /// The number of the last transaction that was about to be committed.
    pub(crate) last_tried: i64,
    pub(crate) lives: u64,
    /// How many times the writer began to open its database, to close it, or to switch its journal.
    turns: u64,
    /// Whether it is at one of these.
    turning: bool,
    /// Whether the last life has ended in good order.
    pub(crate) ended: bool,
    /// Lives that ended inside a transaction.
    pub(crate) ended_inside: u64,
    /// What else was done, how many times.
    pub(crate) done: BTreeMap<String, u64>,
    /// What the writer was refused, and how long it had waited.
    pub(crate) refused: Vec<(String, Duration)>,
    /// The longest that anything took.
    pub(crate) longest: Duration,
    inside: bool,
}

impl History {
    /// Reads the logs in a folder, one for each life.
    pub(crate) fn read(logs: &Path) -> Self {
        let mut history = Self::default();
        let paths: BTreeSet<_> = fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().path()).collect();
        for path in paths {
            (history.lives, history.ended) = (history.lives + 1, false);
            history.turn();
            let text = fs::read_to_string(path).unwrap();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.for_each(|line| history.line(line));
            history.ended_inside += u64::from(std::mem::take(&mut history.inside));
        }
        history
    }

    /// The number of the last transaction that was surely committed.
    pub(crate) fn last_committed(&self) -> i64 {
        *self.committed.last_key_value().unwrap().0
    }

    /// Whether the writer neither opened nor closed its database between this and `after`, nor switched its journal.
    /// It may have been killed.
    pub(crate) fn is_steady_until(&self, after: &Self) -> bool {
        !self.turning && self.turns == after.turns
    }

    fn turn(&mut self) {
        self.turns += 1;
        self.turning = true;
    }

    /// Settles what a killed writer left open: `found` is what was found in its database.
    pub(crate) fn settle(&mut self, found: &State) {
        if self.undecided.take().as_ref() == Some(found) {
            self.committed.insert(found.number, found.digest.clone());
        }
        let last = self.committed.last_key_value().map(|(number, digest)| (*number, digest.as_str()));
        assert_eq!(last, Some((found.number, found.digest.as_str())), "the writer lost or invented a transaction");
    }

    fn line(&mut self, line: &str) {
        self.turning &= !["opened", "switched", "ended"].iter().any(|end| line.starts_with(end));
        let state = |number: &str, digest: &str| State { number: number.parse().unwrap(), digest: digest.to_owned() };
        let time = |micros: &str| Duration::from_micros(micros.parse().unwrap());
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["opened", number, digest] if self.committed.is_empty() => {
                self.committed.insert(number.parse().unwrap(), digest.to_owned());
            }
            ["opened", number, digest] => self.settle(&state(number, digest)),
            ["begins"] => self.inside = true,
            ["commits", number, digest] => {
                self.undecided = Some(state(number, digest));
                self.last_tried = number.parse().unwrap();
            }
            ["committed"] => {
                let State { number, digest } = self.undecided.take().unwrap();
                self.committed.insert(number, digest);
                self.inside = false;
            }
            ["undone"] => (self.undecided, self.inside) = (None, false),
            ["did", what] => *self.done.entry(what.to_owned()).or_default() += 1,
            ["busy", what, micros] => self.refused.push((what.to_owned(), time(micros))),
            ["took", micros] => self.longest = self.longest.max(time(micros)),
            ["closes" | "switches"] => self.turn(),
            ["switched"] => {}
            ["ended"] => self.ended = true,
            _ => panic!("not a line of a log: {line}"),
        }
    }
}
