//! What keeps a database in one state, and ends in time.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Holds a lock or a read transaction, which ends when it is dropped, and drops it after a limit, whatever the
/// reader does meanwhile: while it lasts, the database's application cannot write, or cannot shorten its log.
pub(crate) struct Lease<T> {
    held: Arc<Mutex<Option<T>>>,
    /// Dropped, it ends the thread that waits for the limit.
    _stop: mpsc::Sender<()>,
}

impl<T: Send + 'static> Lease<T> {
    /// Begins to hold it.
    pub(super) fn begin(held: T, limit: Duration) -> io::Result<Self> {
        let held = Arc::new(Mutex::new(Some(held)));
        let (stop, stopped) = mpsc::channel::<()>();
        let shared = Arc::clone(&held);
        thread::Builder::new().name("database lease".into()).spawn(move || {
            if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                drop(lock(&shared).take());
            }
        })?;
        Ok(Self { held, _stop: stop })
    }
}

impl<T> Lease<T> {
    /// Uses what is held; `None` once the limit has passed.
    pub(super) fn with<R>(&self, action: impl FnOnce(&T) -> R) -> Option<R> {
        lock(&self.held).as_ref().map(action)
    }

    /// Ends it; tells whether it had lasted until now.
    pub(crate) fn end(self) -> bool {
        lock(&self.held).take().is_some()
    }
}

/// The waiting thread may live for a moment longer: what is held ends here.
impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        drop(lock(&self.held).take());
    }
}

fn lock<T>(held: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
