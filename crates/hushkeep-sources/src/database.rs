//! SQLite databases: which they are, and how each is read in one state without changing anything.
//!
//! A database is read in one of three ways (`docs/decisions/0009-live-sqlite.md` has the reasons):
//!
//! * **Live, with a write-ahead log**: another process holds SQLite's locks. It is read through SQLite's own pager
//!   in one read transaction; what is read is the database with its log merged in, so `-wal`, `-shm` and
//!   `-journal` are absorbed.
//! * **With a rollback journal, local**: its bytes are read under the lock that SQLite's own readers take, which
//!   keeps writers out. A journal that has ended is an ordinary file; one in use is of a later state.
//! * **Dead, or on a network file system**: nobody uses its log, or its journal is hot. Its bytes are read, and
//!   the file, its `-wal` and its `-journal` are compared before and after. These are ordinary files.
//!
//! Ordinary files beside a database are read after it, and only as parts of the state in which it was read.
//!
//! SQLite itself opens only what another process has open with a write-ahead log. Anything else it would change:
//! it may leave an `-shm` behind, and sets owner and mode of a journal.

mod journal;
mod lease;
mod live;
mod state;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use hushkeep_repo::tree::{FileView, TreeError, TreeErrorKind};

use self::journal::Journal;
pub(crate) use self::lease::Lease;
use self::live::LiveView;
pub(crate) use self::state::State;
use self::state::{Part, head};
use crate::folder::{FolderTree, Place, open_file};
use crate::platform;
use crate::stat::tree_error;
use crate::view::BytesView;

/// What SQLite adds to a database's name for the files that belong to it.
pub(crate) const COMPANIONS: [&str; 3] = ["-journal", "-shm", "-wal"];

/// The bytes of a database that SQLite locks (<https://www.sqlite.org/lockingv3.html>). A reader locks the first
/// for a moment and then all of the last; a writer locks the second, and all of the last to write to the file.
const PENDING: Range<u64> = 0x4000_0000..0x4000_0001;
const RESERVED: Range<u64> = 0x4000_0001..0x4000_0002;
const SHARED: Range<u64> = 0x4000_0002..0x4000_0200;

/// The bytes of an `-shm` that SQLite locks: from the writer's lock to the "dead man's switch" that every user of
/// a write-ahead log holds (<https://www.sqlite.org/walformat.html#wal_locks>).
const SHM_LOCKS: Range<u64> = 120..129;

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
    if !is_live(&place).map_err(failed)? {
        return Ok(Box::new(BytesView::database(file, place, page_size, state, tree)?));
    }
    drop(file);
    if let Some(view) = LiveView::open(&place, tree.options())? {
        return Ok(Box::new(view));
    }
    // SQLite cannot make sense of it. Its bytes are still worth keeping.
    let file = place.open().map_err(failed)?;
    let state = State::read(&place).map_err(failed)?;
    Ok(Box::new(BytesView::database(file, place, page_size, state, tree)?))
}

/// Opens a view of the bytes of a database with a rollback journal, under a reader's lock.
fn open_locked<'a>(
    tree: &'a FolderTree,
    place: Place,
    file: File,
    page_size: u32,
    state: State,
) -> Result<BytesView<'a>, TreeError> {
    let path = place.path.clone();
    let failed = |source| tree_error(&path, source);
    let lock = match place.open().and_then(|file| lock_for_reading(file, tree.options().lock_wait)) {
        Ok(lock) => lock,
        Err(source) if source.kind() == io::ErrorKind::TimedOut => {
            return Err(TreeError { path, kind: TreeErrorKind::Locked, source: Some(source) });
        }
        // A file system without locks.
        Err(_) => return BytesView::database(file, place, page_size, state, tree),
    };
    // A writer may have committed while the lock was waited for: the state is what it is under the lock. Nothing that
    // was opened of the database may be closed here, which would end the lock on some systems.
    let database = Part::of(&file).map_err(failed)?;
    let moved = database != Part::of(&lock).map_err(failed)?
        || !database.is_at(&place)
        || database.asks_for_write_ahead_log()
        || place.dir.symlink_metadata(place.beside("-wal")).is_ok();
    let journal = match Journal::find(&place, &lock).map_err(failed)? {
        Journal::Ended(journal) => Some(journal),
        Journal::None | Journal::InUse => None,
        Journal::Hot => {
            drop(lock);
            let state = State::read(&place).map_err(failed)?;
            return BytesView::database(file, place, page_size, state, tree);
        }
    };
    // Without a lock, the view will find itself changed, and be tried again.
    let Some(page_size) = self::page_size(&file).map_err(failed)?.filter(|_| !moved) else {
        return BytesView::database(file, place, page_size, state, tree);
    };
    let lease = Lease::begin(lock, tree.options().hold_limit).map_err(failed)?;
    Ok(BytesView::database(file, place, page_size, State::without_log(database, journal), tree)?.locked(lease))
}

/// Waits for the lock that SQLite's readers take. It lasts until the file is closed.
fn lock_for_reading(file: File, wait: Duration) -> io::Result<File> {
    let begin = Instant::now();
    loop {
        // A writer that wants to write to the file keeps new readers out by the first of the two.
        let free = platform::lock_for_reading(&file, PENDING)?;
        let locked = free && platform::lock_for_reading(&file, SHARED)?;
        platform::unlock(&file, PENDING)?;
        if locked {
            return Ok(file);
        }
        if begin.elapsed() >= wait {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another process is writing to it"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether another process uses a database's write-ahead log. Without an `-shm` that can be opened nobody can tell.
fn is_live(place: &Place) -> io::Result<bool> {
    open_file(&place.dir, &place.beside("-shm")).map_or(Ok(false), |shm| platform::is_locked(&shm, SHM_LOCKS))
}
