//! How far a long operation has come.

use crate::RelPath;

/// Told how far a long operation has come. Called from several threads; must return quickly.
pub trait Progress: Send + Sync {
    /// How much there is to do, as soon as it is known.
    fn total(&self, _files: u64, _bytes: u64) {}

    /// Work on an item begins.
    fn item(&self, _path: &RelPath) {}

    /// So much more of the files was read or written.
    fn advance(&self, _files: u64, _bytes: u64) {}

    /// So much more was sent to the storage or fetched from it.
    fn transferred(&self, _bytes: u64) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {}
