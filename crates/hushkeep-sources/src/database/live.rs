//! A live database through SQLite's own pager.

use std::io;

use hushkeep_repo::RelPath;
use hushkeep_repo::tree::{Consistency, FileView, Layout, Metadata, TreeError, TreeErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::{COMPANIONS, Lease};
use crate::folder::{FolderOptions, Place};
use crate::stat::{Stamp, tree_error};

/// One committed state of a database, its write-ahead log merged in, page by page.
///
/// The lock-byte page of a database beyond 1 GiB reads as zeros: SQLite never stores anything in it.
pub(crate) struct LiveView {
    path: RelPath,
    metadata: Metadata,
    absorbed: Vec<RelPath>,
    lease: Lease<Connection>,
    page_size: u32,
    page_count: u32,
    /// The number of the page to read next; pages count from 1.
    next: u32,
    /// What is left of a page that did not fit into the reader's buffer.
    rest: Vec<u8>,
}

impl LiveView {
    /// Opens the database at `place`; `None` if SQLite refuses it.
    pub(super) fn open(place: &Place, options: &FolderOptions) -> Result<Option<Self>, TreeError> {
        let failed = |source| tree_error(&place.path, source);
        let found = place.dir.symlink_metadata(&place.name).map_err(failed)?;
        let stamp = Stamp::from(&found);
        let connection = match connect(place, options) {
            Ok(connection) => connection,
            Err(error) if is_busy(&error) => {
                let (kind, source) = (TreeErrorKind::Locked, Some(io::Error::other(error)));
                return Err(TreeError { path: place.path.clone(), kind, source });
            }
            Err(_) => return Ok(None),
        };
        if !stamp.is_at(&place.full) {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let (page_size, page_count) = size(&connection).map_err(|error| failed(io::Error::other(error)))?;
        Ok(Some(Self {
            path: place.path.clone(),
            metadata: stamp.metadata,
            absorbed: COMPANIONS.iter().filter_map(|suffix| place.path.with_suffix(suffix).ok()).collect(),
            lease: Lease::begin(connection, options.hold_limit).map_err(failed)?,
            page_size,
            page_count,
            next: 1,
            rest: Vec::new(),
        }))
    }

    fn read_pages(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        let Self { lease, next, rest, .. } = self;
        let (pages, size) = (self.page_count, self.page_size as usize);
        let read = lease.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1")?;
            let mut filled = 0;
            while let (Some(free @ [_, ..]), true) = (buffer.get_mut(filled..), *next <= pages) {
                filled += statement.query_row([*next], |row| {
                    let page = row.get_ref(0)?.as_blob()?;
                    if page.len() != size {
                        return Err(FromSqlError::InvalidType.into());
                    }
                    Ok(take(page, free, rest))
                })?;
                *next += 1;
            }
            Ok(filled)
        });
        let error = match read {
            Some(Ok(filled)) => return Ok(filled),
            Some(Err(error)) => (TreeErrorKind::Unreadable, io::Error::other::<Error>(error)),
            None => (TreeErrorKind::Locked, io::Error::new(io::ErrorKind::TimedOut, "reading it took too long")),
        };
        Err(TreeError { path: self.path.clone(), kind: error.0, source: Some(error.1) })
    }
}

/// Opens a database, and begins a read transaction.
///
/// The last connection to a write-ahead log moves it into the database unless it is told not to.
fn connect(place: &Place, options: &FolderOptions) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(&place.full, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(options.lock_wait)?;
    connection.execute_batch("BEGIN")?;
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    Ok(connection)
}

fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The page size, and the number of pages in this transaction.
fn size(connection: &Connection) -> Result<(u32, u32), Error> {
    let read = |pragma| connection.query_row(pragma, [], |row| row.get(0));
    Ok((read("PRAGMA page_size")?, read("PRAGMA page_count")?))
}

/// Copies the beginning of `page` into `buffer`, and what does not fit into `rest`.
fn take(page: &[u8], buffer: &mut [u8], rest: &mut Vec<u8>) -> usize {
    let len = page.len().min(buffer.len());
    let (now, later) = page.split_at(len);
    if let Some(free) = buffer.get_mut(..len) {
        free.copy_from_slice(now);
    }
    rest.extend_from_slice(later);
    len
}

impl FileView for LiveView {
    fn layout(&self) -> Layout {
        Layout::Pages(self.page_size)
    }

    fn metadata(&self) -> Metadata {
        self.metadata
    }

    fn absorbed(&self) -> &[RelPath] {
        &self.absorbed
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        if self.rest.is_empty() {
            return self.read_pages(buffer);
        }
        let rest = std::mem::take(&mut self.rest);
        Ok(take(&rest, buffer, &mut self.rest))
    }

    fn finish(self: Box<Self>) -> Result<Consistency, TreeError> {
        Ok(Consistency::Consistent)
    }
}
