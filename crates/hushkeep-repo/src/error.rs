//! Why a repository could not be read.

use hushkeep_core::seal::OpenError;
use hushkeep_core::wire::WireError;

use crate::storage::{ObjectName, StorageError, StorageErrorKind};

/// Something in a repository could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The storage failed. Nothing is known to be lost.
    #[error(transparent)]
    Storage(StorageError),
    /// An object is not what it was when it was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Another device gave the repository a new key.
    #[error("the repository has a new key, which this device does not know")]
    Rotated,
}

/// An object that is not what it was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {cause}")]
pub struct Damage {
    /// The object's name on the storage.
    pub object: String,
    /// What is wrong with it.
    pub cause: DamageCause,
}

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageCause {
    /// It is not there.
    #[error("the object is missing")]
    Missing,
    /// It is there, and the storage cannot read it.
    #[error("the storage cannot read the object")]
    Unreadable,
    /// It does not open.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    /// It opens, but what is inside does not decode.
    #[error(transparent)]
    Encoding(#[from] WireError),
    /// A content does not have the name it was stored under, or a file not its hash.
    #[error("a content is not the one it was stored as")]
    Content,
    /// It belongs to an epoch whose key is not known here.
    #[error("the object belongs to an unknown epoch")]
    UnknownEpoch,
    /// Something refers to a content that no index object knows.
    #[error("something refers to a content that is nowhere")]
    UnknownContent,
    /// Something in a file list lies below what is not a folder.
    #[error("a file list holds something outside of any folder")]
    OutsideFolder,
    /// A newer version wrote it, or a part of it, in a way that this one does not know, or says in a config that older ones
    /// may not do this.
    #[error("a newer version of hushkeep wrote this")]
    NewerVersion,
    /// It has another length than when it was stored.
    #[error("the object has another length than when it was stored")]
    Length,
    /// It is longer than any of its kind may be (spec §7.1).
    #[error("the object is longer than any of its kind may be")]
    TooLong,
}

impl DamageCause {
    /// Whether the object is not damaged at all, but was written by a version that this one does not understand.
    ///
    /// Of other objects than configs, the format version in the header does not tell: it is proven only when the object
    /// opens. A newer version says in the config that it was there (spec §14).
    pub fn is_newer_version(self) -> bool {
        let is_newer = |error| matches!(error, WireError::UnknownCritical(_) | WireError::UnknownValue);
        matches!(self, Self::NewerVersion) || matches!(self, Self::Encoding(error) if is_newer(error))
    }
}

impl Damage {
    pub(crate) fn new(object: &ObjectName, cause: impl Into<DamageCause>) -> Self {
        Self { object: object.to_string(), cause: cause.into() }
    }
}

impl ReadError {
    /// Sorts a storage's error: what must be there and is not, cannot be read for good, or can be no object, counts as
    /// damage.
    pub(crate) fn from_storage(error: StorageError, object: &ObjectName) -> Self {
        match error.kind {
            StorageErrorKind::NotFound => Damage::new(object, DamageCause::Missing).into(),
            StorageErrorKind::Unreadable => Damage::new(object, DamageCause::Unreadable).into(),
            StorageErrorKind::TooLong => Damage::new(object, DamageCause::TooLong).into(),
            _ => Self::Storage(error),
        }
    }
}
