//! SQLite databases: which they are, and how each is read in one state without changing anything.
//!
//! A database is one of three things (`docs/decisions/live-sqlite.md` has the reasons):
//!
//! * **Live, with a write-ahead log**: another process holds SQLite's locks. It is read through SQLite's own pager
//!   in one read transaction; what is read is the database with its log merged in, so `-wal`, `-shm` and
//!   `-journal` are absorbed.
//! * **With a rollback journal, local**: its bytes are read under SQLite's own read lock, which keeps writers out.
//!   A journal that is in use, or none, is absorbed; one that has ended is an ordinary file.
//! * **Dead, on a network file system, or refused by SQLite** (damaged, encrypted inside, a hot journal): its
//!   bytes are read without SQLite, and the file, its `-wal` and its `-journal` are compared before and after.
//!   These are ordinary files, and must still fit the database when they are read in their turn.
//!
//! SQLite is never given a database that nobody else has open with a write-ahead log: opening it would leave an
//! `-shm` behind, or change it.

mod lease;
mod live;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::time::Duration;

use hushkeep_repo::RelPath;
use hushkeep_repo::tree::{FileView, TreeError, TreeErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

pub(crate) use self::lease::Lease;
use self::live::LiveView;
use crate::folder::{FolderTree, Place, open_file};
use crate::platform;
use crate::stat::{Stamp, tree_error};
use crate::view::BytesView;

/// What SQLite adds to a database's name for the files that belong to it.
pub(crate) const COMPANIONS: [&str; 3] = ["-journal", "-shm", "-wal"];

/// The bytes of an `-shm` that SQLite locks: WAL_WRITE_LOCK to the "dead man's switch" that every user of a
/// write-ahead log holds (<https://www.sqlite.org/walformat.html#wal_locks>).
const SHM_LOCKS: Range<u64> = 120..129;

/// How much of a file's beginning tells one state from the next: a database's change counter, a log's salts.
const HEAD_LEN: u64 = 100;

/// The page size of a SQLite database; `None` for anything else.
pub(crate) fn page_size(file: &File) -> io::Result<Option<u32>> {
    let head = head(file)?;
    let (Some(magic), Some(size)) = (head.first_chunk(), head.get(16..).and_then(<[u8]>::first_chunk)) else {
        return Ok(None);
    };
    let size = match u16::from_be_bytes(*size) {
        1 => 65536,
        size => u32::from(size),
    };
    Ok((magic == b"SQLite format 3\0" && size >= 512 && size.is_power_of_two()).then_some(size))
}

/// Opens a consistent view of a database.
pub(crate) fn open<'a>(
    tree: &'a FolderTree,
    place: Place,
    file: File,
    page_size: u32,
) -> Result<Box<dyn FileView + 'a>, TreeError> {
    let path = place.path.clone();
    let failed = |source| tree_error(&path, source);
    let state = State::read(&place).map_err(failed)?;
    if platform::is_on_network(&file).map_err(failed)? {
        return Ok(Box::new(BytesView::database(file, place, page_size, state, tree)?));
    }
    if !state.has_write_ahead_log() {
        return Ok(Box::new(open_locked(tree, place, file, page_size, state)?));
    }
    if is_live(&place).map_err(failed)? {
        drop(file);
        if let Some(view) = LiveView::open(&place, tree.options())? {
            return Ok(Box::new(view));
        }
        let file = place.open().map_err(failed)?;
        let state = State::read(&place).map_err(failed)?;
        return Ok(Box::new(BytesView::database(file, place, page_size, state, tree)?));
    }
    Ok(Box::new(BytesView::database(file, place, page_size, state, tree)?))
}

/// Opens a view of the bytes of a database with a rollback journal, under SQLite's read lock if SQLite gives one.
fn open_locked<'a>(
    tree: &'a FolderTree,
    place: Place,
    file: File,
    page_size: u32,
    state: State,
) -> Result<BytesView<'a>, TreeError> {
    let path = place.path.clone();
    let failed = |source| tree_error(&path, source);
    let connection = connect(&place, tree.options().lock_wait)?;
    // From here on nothing may close a descriptor of the database before the connection is closed. If anything
    // moved before the lock was there, the view goes without it: it will find itself changed, and be tried again.
    let holds = state.database.as_ref() == Some(&Part::of(&file).map_err(failed)?)
        && place.dir.symlink_metadata(place.beside("-wal")).is_err()
        && Stamp::of(&file).map_err(failed)?.is_at(&place.full);
    let connection = connection.filter(|_| holds);
    let absorbed = if state.has_ended_journal() { Vec::new() } else { companions(&path, &["-journal"]) };
    let view = BytesView::database(file, place, page_size, state, tree)?;
    Ok(match connection {
        Some(connection) => view.locked(Lease::begin(connection, tree.options().hold_limit).map_err(failed)?, absorbed),
        None => view,
    })
}

/// Opens a database for reading, with a read transaction begun; `None` if SQLite refuses it for what it is.
fn connect(place: &Place, lock_wait: Duration) -> Result<Option<Connection>, TreeError> {
    let begin = || {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&place.full, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(lock_wait)?;
        connection.execute_batch("BEGIN")?;
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        Ok(connection)
    };
    match begin() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) if is_busy(&error) => Err(TreeError {
            path: place.path.clone(),
            kind: TreeErrorKind::Locked,
            source: Some(io::Error::other(error)),
        }),
        Err(_) => Ok(None),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether another process uses a database's write-ahead log.
fn is_live(place: &Place) -> io::Result<bool> {
    match open_file(&place.dir, &place.beside("-shm")) {
        Ok(shm) => platform::is_locked(&shm, SHM_LOCKS),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The paths of the files that belong to a database.
fn companions(database: &RelPath, suffixes: &[&str]) -> Vec<RelPath> {
    suffixes.iter().filter_map(|suffix| database.with_suffix(suffix).ok()).collect()
}

/// What tells one state of a database on disk from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    database: Option<Part>,
    journal: Option<Part>,
    wal: Option<Part>,
}

/// One of a database's files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    stamp: Stamp,
    head: Vec<u8>,
}

impl State {
    /// Reads the state of the database at `place`. It opens and closes the files: no SQLite connection of this
    /// process may be open on them.
    pub(crate) fn read(place: &Place) -> io::Result<Self> {
        let part = |suffix| match place.dir.symlink_metadata(place.beside(suffix)) {
            Ok(found) if found.is_file() => Part::of(&open_file(&place.dir, &place.beside(suffix))?).map(Some),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Self { database: part("")?, journal: part("-journal")?, wal: part("-wal")? })
    }

    /// Whether the header's format versions (bytes 18 and 19) ask for a write-ahead log, or one is there.
    fn has_write_ahead_log(&self) -> bool {
        let versions = self.database.as_ref().and_then(|database| database.head.get(18..20));
        self.wal.is_some() || versions != Some([1, 1].as_slice())
    }

    /// Whether a journal lies there that says nothing: an application empties it or clears its first bytes when
    /// a transaction has ended.
    fn has_ended_journal(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.head.first().is_none_or(|first| *first == 0))
    }
}

impl Part {
    fn of(file: &File) -> io::Result<Self> {
        Ok(Self { stamp: Stamp::of(file)?, head: head(file)? })
    }
}

/// The beginning of a file. Leaves the file's position at its beginning.
fn head(mut file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(HEAD_LEN).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}
