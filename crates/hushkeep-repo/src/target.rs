//! Where a restore goes.

use crate::tree::Metadata;
use crate::{RelPath, Timestamp};

/// A folder that a restore writes into, and never outside of.
///
/// Every path is resolved below the target's root without following symbolic links, whatever already lies there
/// or was restored before.
pub trait Target: Send + Sync {
    /// What already lies at `path`, if anything.
    fn existing(&self, path: &RelPath) -> Result<Option<Existing>, TargetError>;

    /// Makes sure that a folder is there, and that this user can write into it.
    fn create_directory(&self, path: &RelPath) -> Result<(), TargetError>;

    /// Begins a file of `len` bytes under a temporary name. It reads as zeros where nothing is written.
    fn create_file(&self, path: &RelPath, len: u64) -> Result<Box<dyn TargetFile + '_>, TargetError>;

    /// Makes a symbolic link, replacing what is not a folder.
    fn create_symlink(&self, path: &RelPath, to: &[u8], metadata: &Metadata) -> Result<(), TargetError>;

    /// Makes `path` another name of the restored file `original`, replacing what is not a folder.
    fn create_hard_link(&self, path: &RelPath, original: &RelPath) -> Result<(), TargetError>;

    /// Gives a folder its final mode and time, after everything inside is written.
    fn finish_directory(&self, path: &RelPath, metadata: &Metadata) -> Result<(), TargetError>;

    /// Moves a stray file out of the way under a new name beside it; returns that name.
    fn set_aside(&self, path: &RelPath) -> Result<RelPath, TargetError>;

    /// Returns when everything that was written is on the disk.
    fn sync(&self) -> Result<(), TargetError>;
}

/// A file being restored. Dropped before [`finish`](Self::finish), it leaves nothing behind.
pub trait TargetFile: Send + Sync {
    /// Writes at a place in the file.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError>;

    /// Reads back from a place in the file, filling the buffer.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), TargetError>;

    /// Gives the file its metadata and its name, replacing what is there. Whole or not at all.
    fn finish(self: Box<Self>, metadata: &Metadata) -> Result<(), TargetError>;

    /// Gives a file that is not whole a name that says so, and that was free; returns that name.
    fn finish_damaged(self: Box<Self>, metadata: &Metadata) -> Result<RelPath, TargetError>;
}

/// What already lies at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// A folder.
    Directory,
    /// A file.
    File {
        /// Its length in bytes.
        len: u64,
        /// When its contents last changed.
        modified: Timestamp,
    },
    /// A symbolic link or anything else.
    Other,
}

/// A place that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}")]
pub struct TargetError {
    /// Where.
    pub path: RelPath,
    /// What is wrong.
    pub kind: TargetErrorKind,
    /// The system's own word for it.
    #[source]
    pub source: Option<std::io::Error>,
}

/// Why a place could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetErrorKind {
    /// The system refused, or failed.
    #[error("cannot be written")]
    Unwritable,
    /// No space is left.
    #[error("no space is left")]
    Full,
    /// The way leads through a symbolic link or something that is no folder.
    #[error("lies behind something that is not a folder")]
    NotADirectory,
    /// A folder lies where a file should go, or the other way round.
    #[error("something of another kind is in the way")]
    InTheWay,
}
