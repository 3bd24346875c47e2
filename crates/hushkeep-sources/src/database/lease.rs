//! A read transaction that ends in time.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

/// A connection whose read transaction ends after a limit, whatever its reader does meanwhile: while it lasts,
/// the database's application cannot shorten its write-ahead log, or cannot write.
pub(crate) struct Lease {
    connection: Arc<Mutex<Option<Connection>>>,
    /// Dropped, it ends the thread that waits for the limit.
    _stop: mpsc::Sender<()>,
}

impl Lease {
    /// Takes a connection with a transaction begun.
    pub(super) fn begin(connection: Connection, limit: Duration) -> io::Result<Self> {
        let connection = Arc::new(Mutex::new(Some(connection)));
        let (stop, stopped) = mpsc::channel::<()>();
        let shared = Arc::clone(&connection);
        thread::Builder::new().name("database lease".into()).spawn(move || {
            if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                drop(lock(&shared).take());
            }
        })?;
        Ok(Self { connection, _stop: stop })
    }

    /// Reads with the connection; `None` once the limit has passed.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> T) -> Option<T> {
        lock(&self.connection).as_ref().map(read)
    }

    /// Closes the connection; tells whether the transaction had lasted until now.
    pub(crate) fn end(self) -> bool {
        lock(&self.connection).take().is_some()
    }
}

/// The waiting thread may hold the connection for a moment longer: it is closed here.
impl Drop for Lease {
    fn drop(&mut self) {
        drop(lock(&self.connection).take());
    }
}

fn lock(connection: &Mutex<Option<Connection>>) -> MutexGuard<'_, Option<Connection>> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
