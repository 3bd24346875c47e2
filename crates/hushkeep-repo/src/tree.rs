//! What is backed up.

use crate::{RelPath, Timestamp};

/// A folder of files (or a single file) to be backed up. Reading it never changes it.
pub trait Tree: Send + Sync {
    /// Visits the root and everything below it in the order of [`RelPath`]. An error concerns one item; the walk
    /// goes on after it. The walk does not run ahead: an item is looked at when it is asked for.
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_>;

    /// Opens a consistent view of a file.
    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError>;
}

/// One item of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeItem {
    /// Where it is, below the tree's root.
    pub path: RelPath,
    /// What it is.
    pub kind: ItemKind,
    /// Its metadata.
    pub metadata: Metadata,
}

/// What an item of a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A folder.
    Directory,
    /// A file with contents.
    File {
        /// Its length in bytes when it was looked at.
        len: u64,
        /// Whether the file system keeps it with holes.
        sparse: bool,
        /// For a file with several names: equal for all of them. `None` for a file with one name.
        link: Option<LinkId>,
    },
    /// A symbolic link, never followed.
    Symlink {
        /// Where it points, as raw bytes.
        target: Vec<u8>,
    },
}

/// Tells which names are hard links of one file, within one walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkId {
    /// The device the file lives on.
    pub device: u64,
    /// The file's number on it.
    pub inode: u64,
}

/// What is kept of an item besides its contents. Owner, access control lists and extended attributes are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Unix permission bits (the lowest twelve).
    pub mode: u32,
    /// When the contents last changed.
    pub modified: Timestamp,
    /// When the file system last changed anything about it (ctime): used only to see that nothing did.
    pub changed: Timestamp,
}

/// A view of one file that stays the same while it is read.
pub trait FileView: Send {
    /// How the contents are cut into pieces.
    fn layout(&self) -> Layout;

    /// The file's metadata, as of this view.
    fn metadata(&self) -> Metadata;

    /// Files beside this one whose contents are part of this view (a live database's `-wal`, `-shm`, `-journal`):
    /// they are not backed up on their own.
    fn absorbed(&self) -> &[RelPath];

    /// Reads the next bytes; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError>;

    /// Ends reading and tells whether what was read is one state of the file.
    fn finish(self: Box<Self>) -> Result<Consistency, TreeError>;
}

/// How a file's contents are cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Any bytes.
    Bytes,
    /// A SQLite database with pages of this many bytes: a power of two from 512 to 65536.
    Pages(u32),
}

/// Whether what was read is one state of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// It is.
    Consistent,
    /// The file changed while it was read: the bytes may mix two states.
    ChangedWhileRead,
}

/// An item that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}")]
pub struct TreeError {
    /// The item.
    pub path: RelPath,
    /// What is wrong with it.
    pub kind: TreeErrorKind,
    /// The system's own word for it.
    #[source]
    pub source: Option<std::io::Error>,
}

/// Why an item could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeErrorKind {
    /// The system refused to read it, or failed.
    #[error("cannot be read")]
    Unreadable,
    /// It was there when the folder was listed, and is gone.
    #[error("disappeared while it was being backed up")]
    Gone,
    /// A file that belongs to a database as that was read, which is not whole without it, is gone.
    #[error("was gone before it was read: the stored copy of its database may be half old and half new")]
    GoneFromDatabase,
    /// A socket, pipe or device: these have no contents to keep.
    #[error("is a socket, pipe or device and has no contents to keep")]
    Special,
    /// A live database whose application did not let go of it in time.
    #[error("is a database whose application kept it locked")]
    Locked,
}
