//! Records in one SQLite file. An answer that a change is kept leaves only after it would outlive a power cut.
//!
//! One thread writes. While one transaction is on its way to the disk, other changes gather, and go there together in the next:
//! the disk, which is asked a few hundred times a second, does not limit the guesses to that.

use std::fs::OpenOptions;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hushkeep_vault::message::{EVENTS_TOLD, Event};
use hushkeep_vault::server::{AttemptStore, Row, RowState, StoreError, Vault};
use hushkeep_vault::{RecordId, VaultId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::fence::Numbered;

/// So many changes go to the disk together at most.
const MAX_GROUP: usize = 256;

/// So many threads read at the same time at most.
const READERS: usize = 4;

/// So many records are listed at a time.
pub(crate) const PAGE: u32 = 4096;

/// So long one connection waits for another.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// The version of the tables, as SQLite keeps it in `user_version`.
const VERSION: u32 = 2;

const SCHEMA: &str = "
    CREATE TABLE records (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
        seq INTEGER NOT NULL,
        due INTEGER,
        row BLOB NOT NULL
    ) STRICT;
    CREATE INDEX due ON records (due) WHERE due IS NOT NULL;
    CREATE TABLE events (
        record INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        PRIMARY KEY (record, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE numbers (
        name TEXT PRIMARY KEY,
        number INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE vault (
        id BLOB NOT NULL CHECK (length(id) = 32)
    ) STRICT;";

/// Records in a file.
pub struct SqliteStore {
    changes: Mutex<Option<Sender<Job>>>,
    writer: Option<JoinHandle<()>>,
    readers: Vec<Mutex<Connection>>,
    next_reader: std::sync::atomic::AtomicUsize,
}

/// How many records do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unopened {
    /// They are sealed under a key that the vault does not have: they are from before a rekey.
    pub another_key: u64,
    /// They are damaged.
    pub damaged: u64,
}

/// What the thread that writes is asked for, and where its end is told.
enum Job {
    Change(Change, Done),
    /// Nothing changes; but what was overwritten leaves the log.
    Tidy(Done),
}

type Done = SyncSender<Result<bool, rusqlite::Error>>;

enum Change {
    Insert { id: RecordId, row: Row, event: Event },
    Replace { id: RecordId, row: Row, new: Row, event: Event },
    Reseal { id: RecordId, row: Row, new: Row },
    Delete { id: RecordId, row: Row },
    Number { name: String, number: u64 },
}

/// A file that cannot be opened as a vault's records.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It cannot be read, or is no file of records.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It cannot be made.
    #[error("{}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is empty, or something else.
    #[error("{} has no records of a vault", .0.display())]
    NoRecords(PathBuf),
    /// It is from before the first release.
    #[error("{} is from before the first release of hushkeep-vaultd, and cannot be used any more", .0.display())]
    Unreleased(PathBuf),
    /// A later version of this program has written it.
    #[error("{} is of a later version of hushkeep-vaultd", .0.display())]
    Newer(PathBuf),
    /// They are another vault's.
    #[error("{} has the records of another vault: these keys do not open them", .0.display())]
    AnotherVault(PathBuf),
}

impl SqliteStore {
    /// Makes the file of a new vault. It must not be there.
    pub fn create(path: &Path, vault: &VaultId) -> Result<(), RecordsError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|source| RecordsError::Create { path: path.to_owned(), source })?;
        let failed = |source| RecordsError::File { path: path.to_owned(), source };
        let connection = connect(path).map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        connection.execute("INSERT INTO vault (id) VALUES (?1)", [vault.as_bytes()]).map_err(failed)?;
        connection.pragma_update(None, "user_version", VERSION).map_err(failed)
    }

    /// Opens a vault's file.
    pub fn open(path: &Path, vault: &VaultId) -> Result<Self, RecordsError> {
        let failed = |source| RecordsError::File { path: path.to_owned(), source };
        let connect = || connect(path).map_err(failed);
        let connection = connect()?;
        match connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).map_err(failed)? {
            VERSION => {}
            0 => return Err(RecordsError::NoRecords(path.to_owned())),
            1 => return Err(RecordsError::Unreleased(path.to_owned())),
            _ => return Err(RecordsError::Newer(path.to_owned())),
        }
        let known = connection.query_row("SELECT id FROM vault", [], |row| row.get::<_, [u8; 32]>(0));
        if known.map_err(failed)? != *vault.as_bytes() {
            return Err(RecordsError::AnotherVault(path.to_owned()));
        }
        let (sender, receiver) = channel();
        let writer = std::thread::spawn(move || write(connection, &receiver));
        let readers: Result<Vec<_>, RecordsError> = (0..READERS).map(|_| connect().map(Mutex::new)).collect();
        let changes = Mutex::new(Some(sender));
        Ok(Self { changes, writer: Some(writer), readers: readers?, next_reader: Default::default() })
    }

    /// How many records there are.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.read(|connection| connection.query_row("SELECT count(*) FROM records", [], |row| row.get(0)))
    }

    /// The time of the newest event, in seconds since 1970-01-01 00:00:00 UTC, by the clock of then.
    pub fn newest_event(&self) -> Result<Option<i64>, StoreError> {
        self.read(|connection| connection.query_row("SELECT max(time) FROM events", [], |row| row.get(0)))
    }

    /// Some records, those first that were made first: so many after one of this number. Returns each with its number.
    pub fn records_after(&self, number: i64, count: u32) -> Result<Vec<(i64, RecordId)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT number, id FROM records WHERE number > ?1 ORDER BY number LIMIT ?2")?;
            let record = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, RecordId::from_bytes(row.get(1)?)));
            statement.query_map(params![number, count], record)?.collect()
        })
    }

    /// How many records do not open with a vault's keys: under another key, and for damage.
    pub fn unopened(&self, vault: &Vault) -> Result<Unopened, StoreError> {
        let (mut unopened, mut last) = (Unopened::default(), 0);
        loop {
            let page = self.records_after(last, PAGE)?;
            let Some((newest, _)) = page.last() else { return Ok(unopened) };
            last = *newest;
            for (_, id) in page {
                match self.load(&id)?.map(|row| vault.state_of(&id, &row)) {
                    Some(RowState::AnotherKey) => unopened.another_key += 1,
                    Some(RowState::Damaged) => unopened.damaged += 1,
                    Some(RowState::Opens) | None => {}
                }
            }
        }
    }

    /// Takes out of the log what was overwritten or deleted in the file; `false` if somebody is reading it, and it stays until
    /// the next time.
    pub fn tidy(&self) -> Result<bool, StoreError> {
        self.ask(Job::Tidy)
    }

    /// Whether the thread that writes is there: without it nothing is counted any more, whatever the disk does.
    pub fn has_writer(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.is_finished())
    }

    /// Makes a change that means nothing: whether the disk takes changes is known afterwards.
    pub fn check(&self) -> Result<(), StoreError> {
        let checks = self.number("checks")?;
        self.set_number("checks", checks.wrapping_add(1) & i64::MAX.unsigned_abs())
    }

    /// Writes a copy, in one state, to a new file.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_str().ok_or_else(|| StoreError("the name of the copy is no text".into()))?;
        self.read(|connection| connection.execute("VACUUM INTO ?1", [&path]).map(drop))
    }

    /// Whether the file is whole: all that is found wrong.
    pub fn damage(&self) -> Result<Vec<String>, StoreError> {
        let found = self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
        })?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    fn change(&self, change: Change) -> Result<bool, StoreError> {
        self.ask(|done| Job::Change(change, done))
    }

    /// Waits for the thread that writes.
    fn ask(&self, job: impl FnOnce(Done) -> Job) -> Result<bool, StoreError> {
        let (done, end) = sync_channel(1);
        let sent = match &*self.changes.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(changes) => changes.send(job(done)).is_ok(),
            None => false,
        };
        let end = if sent { end.recv().ok() } else { None };
        end.ok_or_else(|| StoreError("the thread that writes has ended".into()))?
            .map_err(|error| StoreError(error.into()))
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, StoreError> {
        let number = self.next_reader.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % READERS;
        let reader = self.readers.get(number).ok_or_else(|| StoreError("there is no reader".into()))?;
        read(&reader.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|error| StoreError(error.into()))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.changes.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.take() {
            // If it has panicked, whoever waited for it was told.
            let _ = writer.join();
        }
    }
}

impl AttemptStore for SqliteStore {
    fn load(&self, record: &RecordId) -> Result<Option<Row>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT seq, due, row FROM records WHERE id = ?1")?;
            let row = |row: &rusqlite::Row<'_>| Ok(Row { seq: row.get(0)?, due: row.get(1)?, bytes: row.get(2)? });
            statement.query_row([record.as_bytes()], row).optional()
        })
    }

    fn insert(&self, record: &RecordId, row: &Row, event: &Event) -> Result<bool, StoreError> {
        self.change(Change::Insert { id: *record, row: row.clone(), event: event.clone() })
    }

    fn replace(&self, record: &RecordId, row: &Row, new: &Row, event: &Event) -> Result<bool, StoreError> {
        let (row, new, event) = (row.clone(), new.clone(), event.clone());
        self.change(Change::Replace { id: *record, row, new, event })
    }

    fn reseal(&self, record: &RecordId, row: &Row, new: &Row) -> Result<bool, StoreError> {
        self.change(Change::Reseal { id: *record, row: row.clone(), new: new.clone() })
    }

    fn delete(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError> {
        self.change(Change::Delete { id: *record, row: row.clone() })
    }

    fn due(&self, waiting: RangeInclusive<i64>, count: usize) -> Result<Vec<RecordId>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id FROM records WHERE due < ?1 OR due > ?2 ORDER BY due LIMIT ?3")?;
            let range = params![waiting.start(), waiting.end(), count as u64];
            statement.query_map(range, |row| Ok(RecordId::from_bytes(row.get(0)?)))?.collect()
        })
    }

    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT events.seq, time, kind FROM events JOIN records ON record = number WHERE id = ?1 \
                 AND events.seq <= ?2 ORDER BY events.seq DESC LIMIT ?3",
            )?;
            let event = |row: &rusqlite::Row<'_>| Ok(Event::new(row.get(0)?, row.get(1)?, row.get(2)?));
            let events = statement.query_map(params![record.as_bytes(), until, count as u64], event)?;
            let mut events: Vec<Event> = events.collect::<Result<_, _>>()?;
            events.reverse();
            Ok(events)
        })
    }
}

impl Numbered for SqliteStore {
    fn number(&self, name: &str) -> Result<u64, StoreError> {
        self.read(|connection| {
            let number = connection.query_row("SELECT number FROM numbers WHERE name = ?1", [name], |row| row.get(0));
            Ok(number.optional()?.unwrap_or_default())
        })
    }

    fn set_number(&self, name: &str, number: u64) -> Result<(), StoreError> {
        self.change(Change::Number { name: name.to_owned(), number }).map(drop)
    }
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A change that was answered must outlive a power cut: the log is synced with every transaction. (A file system that cannot
    // have one gets a journal beside the file, whose end is synced by this, and by FULL is not.)
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    connection.pragma_update(None, "fullfsync", true)?;
    // What a record held is overwritten when it is destroyed or replaced.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Takes changes until nobody can send any more.
fn write(mut connection: Connection, changes: &Receiver<Job>) {
    while let Ok(first) = changes.recv() {
        let (mut together, mut dones, mut tidy) = (Vec::new(), Vec::new(), Vec::new());
        for job in std::iter::once(first).chain(changes.try_iter().take(MAX_GROUP - 1)) {
            match job {
                Job::Change(change, done) => {
                    together.push(change);
                    dones.push(done);
                }
                Job::Tidy(done) => tidy.push(done),
            }
        }
        if !together.is_empty() {
            write_together(&mut connection, together, dones);
        }
        for done in tidy {
            drop(done.send(empty_log(&connection)));
        }
    }
}

/// Writes the log into the file, and empties it; `false` if somebody reads what is in it. That is not waited for: others wait
/// for this.
fn empty_log(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.busy_timeout(Duration::ZERO)?;
    let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(BUSY_LIMIT)?;
    Ok(!is_busy?)
}

/// Makes changes in one transaction. If that fails, each is tried by itself: a change that was made all the same finds another
/// row then, and is told so.
fn write_together(connection: &mut Connection, changes: Vec<Change>, dones: Vec<Done>) {
    match commit(connection, &changes) {
        Ok(made) => dones.into_iter().zip(made).for_each(|(done, made)| drop(done.send(Ok(made)))),
        // The error cannot be shared: each is tried by itself, and told its own.
        Err(_) => changes.into_iter().zip(dones).for_each(|(change, done)| {
            let made = commit(connection, &[change]).map(|made| made.into_iter().all(|made| made));
            drop(done.send(made));
        }),
    }
}

/// In one transaction, then durable.
fn commit(connection: &mut Connection, changes: &[Change]) -> Result<Vec<bool>, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let made: Result<Vec<bool>, rusqlite::Error> = changes.iter().map(|change| make(&transaction, change)).collect();
    let made = made?;
    transaction.commit()?;
    Ok(made)
}

fn make(transaction: &Transaction<'_>, change: &Change) -> Result<bool, rusqlite::Error> {
    match change {
        Change::Insert { id, row, event } => {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO records (id, seq, due, row) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING",
            )?;
            let is_made = insert.execute(params![id.as_bytes(), row.seq, row.due, row.bytes])? == 1;
            if is_made {
                keep_event(transaction, transaction.last_insert_rowid(), event)?;
            }
            Ok(is_made)
        }
        Change::Replace { id, row, new, event } => {
            let mut update = transaction.prepare_cached(
                "UPDATE records SET seq = ?4, due = ?5, row = ?6 WHERE id = ?1 AND seq = ?2 AND row = ?3 RETURNING number",
            )?;
            let made = params![id.as_bytes(), row.seq, row.bytes, new.seq, new.due, new.bytes];
            let record = update.query_row(made, |record| record.get(0)).optional()?;
            if let Some(record) = record {
                keep_event(transaction, record, event)?;
            }
            Ok(record.is_some())
        }
        Change::Reseal { id, row, new } => {
            let mut update = transaction
                .prepare_cached("UPDATE records SET due = ?4, row = ?5 WHERE id = ?1 AND seq = ?2 AND row = ?3")?;
            Ok(update.execute(params![id.as_bytes(), row.seq, row.bytes, new.due, new.bytes])? == 1)
        }
        Change::Number { name, number } => {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO numbers (name, number) VALUES (?1, ?2)")?;
            Ok(insert.execute(params![name, number])? == 1)
        }
        Change::Delete { id, row } => {
            let mut events = transaction.prepare_cached(
                "DELETE FROM events WHERE record = (SELECT number FROM records WHERE id = ?1 AND seq = ?2 AND row = ?3)",
            )?;
            events.execute(params![id.as_bytes(), row.seq, row.bytes])?;
            let mut records =
                transaction.prepare_cached("DELETE FROM records WHERE id = ?1 AND seq = ?2 AND row = ?3")?;
            Ok(records.execute(params![id.as_bytes(), row.seq, row.bytes])? == 1)
        }
    }
}

fn keep_event(transaction: &Transaction<'_>, record: i64, event: &Event) -> Result<(), rusqlite::Error> {
    let mut insert =
        transaction.prepare_cached("INSERT INTO events (record, seq, time, kind) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![record, event.seq(), event.time(), event.kind()])?;
    // So many are told, and no older ones: who guesses at a record of his own again and again fills no disk.
    if let Some(oldest) = event.seq().checked_sub(EVENTS_TOLD as u64) {
        let mut delete = transaction.prepare_cached("DELETE FROM events WHERE record = ?1 AND seq <= ?2")?;
        delete.execute(params![record, oldest])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hushkeep_vault::server::ROW_LEN;

    use super::*;

    const VAULT: VaultId = VaultId::from_bytes([1; 32]);

    #[test]
    fn records_are_known_by_their_vault_copied_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (new_file(&folder), folder.path().join("copy.db"));
        let store = SqliteStore::open(&path, &VAULT).unwrap();
        for number in 1..=5 {
            store.insert(&id(number), &row(1, 1), &Event::new(1, 70 + i64::from(number), 1)).unwrap();
        }
        store.set_number("fence", 9).unwrap();
        store.copy_to(&copy).unwrap();
        store.delete(&id(1), &row(1, 1)).unwrap();
        assert!(store.reseal(&id(2), &row(1, 1), &row(1, 7)).unwrap());
        assert!(!store.reseal(&id(2), &row(1, 1), &row(1, 8)).unwrap());
        assert_eq!((store.load(&id(2)).unwrap(), store.events(&id(2), 1, 9).unwrap().len()), (Some(row(1, 7)), 1));
        drop(store);
        let other = SqliteStore::open(&path, &VaultId::from_bytes([2; 32]));
        assert!(matches!(other, Err(RecordsError::AnotherVault(_))));
        Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(SqliteStore::open(&path, &VAULT), Err(RecordsError::Newer(_))));

        let copy = SqliteStore::open(&copy, &VAULT).unwrap();
        assert_eq!((copy.count().unwrap(), copy.number("fence").unwrap(), copy.number("other").unwrap()), (5, 9, 0));
        assert_eq!((copy.newest_event().unwrap(), copy.damage().unwrap()), (Some(75), Vec::new()));
        let first = copy.records_after(0, 2).unwrap();
        assert_eq!(first.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [id(1), id(2)]);
        assert_eq!(copy.records_after(first[1].0, 10).unwrap().len(), 3);
    }

    /// No kill shows what a power cut would take: that is for SQLite to see to, if it is told.
    #[test]
    fn each_change_is_synced_and_what_it_replaces_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let connection = connect(&new_file(&folder)).unwrap();
        let setting = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).unwrap();
        let (extra, on) = (3, 1);
        assert_eq!(["synchronous", "fullfsync", "secure_delete"].map(setting), [extra, on, on]);
        let journal = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        assert_eq!(journal.unwrap(), "wal");
    }

    /// What was overwritten would else stay in the log until that is full.
    #[test]
    fn what_was_deleted_is_nowhere_once_the_log_is_tidied() {
        let folder = tempfile::tempdir().unwrap();
        let path = new_file(&folder);
        let store = SqliteStore::open(&path, &VAULT).unwrap();
        store.insert(&id(1), &row(1, 0xa5), &Event::new(1, 5, 1)).unwrap();
        store.delete(&id(1), &row(1, 0xa5)).unwrap();
        let holds_it = || {
            let files =
                std::fs::read_dir(folder.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            files.into_iter().any(|bytes| bytes.windows(64).any(|window| window == [0xa5; 64]))
        };
        assert!(holds_it());
        assert!(store.tidy().unwrap() && !holds_it());
        store.check().unwrap();
        assert!(store.has_writer());
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.db");
        assert!(matches!(SqliteStore::open(&path, &VAULT), Err(RecordsError::File { .. })));
        assert!(!path.exists());
        // As a copy that was broken off leaves it: it must not pass for a vault without records.
        std::fs::write(&path, "").unwrap();
        assert!(matches!(SqliteStore::open(&path, &VAULT), Err(RecordsError::NoRecords(_))));
        assert!(matches!(SqliteStore::create(&path, &VAULT), Err(RecordsError::Create { .. })));
    }

    fn new_file(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("records.db");
        SqliteStore::create(&path, &VAULT).unwrap();
        path
    }

    fn row(seq: u64, byte: u8) -> Row {
        Row { seq, due: (byte == 3).then_some(50), bytes: vec![byte; ROW_LEN] }
    }

    fn id(number: u32) -> RecordId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        RecordId::from_bytes(bytes)
    }

    #[test]
    fn a_row_is_replaced_only_as_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = new_file(&folder);
        let store = SqliteStore::open(&path, &VAULT).unwrap();
        assert_eq!(store.load(&id(1)).unwrap(), None);
        assert!(!store.replace(&id(1), &row(0, 0), &row(1, 1), &Event::new(1, 5, 1)).unwrap());
        assert!(store.insert(&id(1), &row(1, 1), &Event::new(1, 5, 1)).unwrap());
        assert!(!store.insert(&id(1), &row(1, 2), &Event::new(1, 6, 1)).unwrap());
        assert!(store.replace(&id(1), &row(1, 1), &row(2, 3), &Event::new(2, 7, 3)).unwrap());
        assert!(!store.replace(&id(1), &row(1, 1), &row(2, 4), &Event::new(2, 8, 3)).unwrap());
        // Another record that has got to the same number.
        assert!(!store.replace(&id(1), &row(2, 4), &row(3, 5), &Event::new(3, 8, 3)).unwrap());
        drop(store);

        let store = SqliteStore::open(&path, &VAULT).unwrap();
        assert_eq!(store.load(&id(1)).unwrap(), Some(row(2, 3)));
        let due = |first, last, most| store.due(first..=last, most).unwrap().len();
        assert_eq!([due(50, 60, 9), due(51, 60, 9), due(40, 49, 9), due(51, 60, 0)], [0, 1, 1, 0]);
        assert_eq!(store.due(51..=60, 9).unwrap(), [id(1)]);
        assert_eq!(store.events(&id(1), 2, 5).unwrap(), [Event::new(1, 5, 1), Event::new(2, 7, 3)]);
        assert_eq!(store.events(&id(1), 2, 1).unwrap(), [Event::new(2, 7, 3)]);
        assert_eq!(store.events(&id(1), 1, 5).unwrap(), [Event::new(1, 5, 1)]);
        assert!(!store.delete(&id(1), &row(2, 4)).unwrap() && store.delete(&id(1), &row(2, 3)).unwrap());
        assert_eq!((store.load(&id(1)).unwrap(), store.events(&id(1), 2, 5).unwrap()), (None, Vec::new()));
    }

    /// Of all who have read the same row, one replaces it.
    #[test]
    fn of_many_at_once_one_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&new_file(&folder), &VAULT).unwrap();
        store.insert(&id(1), &row(0, 0), &Event::new(0, 0, 1)).unwrap();
        let made = Mutex::new(0);
        std::thread::scope(|scope| {
            for byte in 0..16 {
                let (store, made) = (&store, &made);
                scope.spawn(move || {
                    for _ in 0..3 {
                        let before = store.load(&id(1)).unwrap().unwrap();
                        let seq = before.seq + 1;
                        let (new, event) = (row(seq, byte), Event::new(seq, 0, 3));
                        let is_made = store.replace(&id(1), &before, &new, &event).unwrap();
                        *made.lock().unwrap() += u64::from(is_made);
                    }
                });
            }
        });
        let last = store.load(&id(1)).unwrap().unwrap().seq;
        assert_eq!(*made.lock().unwrap(), last);
        assert_eq!(store.events(&id(1), last, 100).unwrap().len() as u64, last + 1);
    }
}
