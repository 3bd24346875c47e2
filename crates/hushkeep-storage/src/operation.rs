//! What can be asked of a storage.

/// The methods of [`Storage`](hushkeep_repo::Storage) that reach the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Store an object.
    Put,
    /// Read a whole object.
    Get,
    /// Read a part of an object.
    GetRange,
    /// List a folder.
    List,
    /// Remove an object.
    Delete,
}
