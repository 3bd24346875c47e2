//! Where objects are kept.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::Timestamp;
use crate::cache::Cache;

/// A place that keeps write-once objects. It is never trusted: whatever it returns is authenticated before use.
///
/// # Contract
///
/// * Objects are immutable: the engine never puts twice under one name with different bytes.
/// * When [`put`](Self::put) returns `Ok`, the object is durable and complete. When it returns an error, the
///   object may or may not be there; it is never there in part.
/// * Any method may be called from several threads at once, and again after an error.
/// * An implementation does not retry and does not cache: wrappers do.
///
/// `testkit::storage` holds the suite that every implementation passes.
pub trait Storage: Send + Sync {
    /// What this storage can promise beyond the contract.
    fn features(&self) -> Features;

    /// Stores a new object.
    ///
    /// With [`Features::create_if_absent`], fails with [`StorageErrorKind::AlreadyExists`] if the name is taken,
    /// and of several at once exactly one succeeds. Without it, the later bytes may replace the earlier.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError>;

    /// Reads a whole object.
    ///
    /// Fails with [`StorageErrorKind::TooLong`] if it is longer than [`Folder::max_len`], before anything is made of that
    /// length: anyone may have put it there.
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError>;

    /// Reads the bytes of `range`, or as many of them as the object has: a range beyond its end is empty.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError>;

    /// Lists the objects of a folder, in no particular order. What is not an object is left out. A folder that
    /// does not exist lists as empty; a storage that does not exist is an error of kind
    /// [`StorageErrorKind::NotFound`].
    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError>;

    /// Removes an object. Removing what is not there succeeds.
    fn delete(&self, name: &ObjectName) -> Result<(), StorageError>;

    /// What this device keeps of the storage. Whoever calls decides what to keep; only a wrapper has one.
    fn cache(&self) -> Option<&dyn Cache> {
        None
    }
}

/// What a storage can promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// [`Storage::put`] never replaces: of two writers of one name, one is told.
    pub create_if_absent: bool,
}

/// The folders of a repository (spec §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// Config objects: `config/<n>-<random>`.
    Config,
    /// Commits: `commits/<seq>` or `commits/<seq>-<random>`.
    Commits,
    /// Index objects.
    Index,
    /// Packs.
    Packs,
}

impl Folder {
    /// Every folder.
    pub const ALL: [Self; 4] = [Self::Config, Self::Commits, Self::Index, Self::Packs];

    /// The folder's name on the storage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Commits => "commits",
            Self::Index => "index",
            Self::Packs => "packs",
        }
    }

    /// The greatest length of an object in it, in bytes (spec §13).
    pub const fn max_len(self) -> u64 {
        match self {
            Self::Config => 4 << 20,
            Self::Commits | Self::Index => 1 << 30,
            Self::Packs => (1 << 38) - 1,
        }
    }
}

/// The name of an object: a folder, and up to 80 lower-case letters, digits and dashes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    folder: Folder,
    file: String,
}

impl ObjectName {
    /// A name in `folder`, if `file` can be one.
    pub fn new(folder: Folder, file: impl Into<String>) -> Result<Self, InvalidObjectName> {
        let file = file.into();
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if file.is_empty() || file.len() > 80 || !file.bytes().all(valid) {
            return Err(InvalidObjectName);
        }
        Ok(Self { folder, file })
    }

    /// The folder the object lies in.
    pub fn folder(&self) -> Folder {
        self.folder
    }

    /// The name inside the folder.
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder.name(), self.file)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({self})")
    }
}

impl FromStr for ObjectName {
    type Err = InvalidObjectName;

    fn from_str(text: &str) -> Result<Self, InvalidObjectName> {
        let (folder, file) = text.split_once('/').ok_or(InvalidObjectName)?;
        let folder = Folder::ALL.into_iter().find(|known| known.name() == folder).ok_or(InvalidObjectName)?;
        Self::new(folder, file)
    }
}

/// The text cannot be the name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an object")]
pub struct InvalidObjectName;

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The object's name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored, by the storage's clock, where the storage tells.
    pub stored: Option<Timestamp>,
}

/// A storage operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {subject}")]
pub struct StorageError {
    /// What went wrong, sorted by what can be done about it.
    pub kind: StorageErrorKind,
    /// The object or folder it happened to.
    pub subject: String,
    /// The storage's own word for it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// An error about `subject`.
    pub fn new(kind: StorageErrorKind, subject: impl ToString) -> Self {
        Self { kind, subject: subject.to_string(), source: None }
    }

    /// The same error with the storage's own word for it.
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

/// Sorted by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// No such object, or no such storage.
    #[error("not found")]
    NotFound,
    /// The name is taken.
    #[error("already exists")]
    AlreadyExists,
    /// No space or quota left.
    #[error("the storage is full")]
    Full,
    /// The storage refuses this user.
    #[error("permission denied")]
    Denied,
    /// The storage did not answer, or broke off: the same call may succeed later.
    #[error("the storage cannot be reached")]
    Unreachable,
    /// The storage has the object and cannot read it, as a disk with bad sectors, or one that is connected badly; or what
    /// has its name is no file at all. Trying again at once will not help.
    #[error("the storage cannot read what it holds")]
    Unreadable,
    /// The object is longer than one in its folder may be.
    #[error("the object is longer than any may be")]
    TooLong,
    /// Anything else; trying again will not help.
    #[error("the storage failed")]
    Failed,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Other programs refuse longer ones (spec §13).
    #[test]
    fn objects_have_the_greatest_lengths_of_the_specification() {
        assert_eq!(Folder::ALL.map(Folder::max_len), [4_194_304, 1_073_741_824, 1_073_741_824, 274_877_906_943]);
    }

    proptest! {
        #[test]
        fn any_name_round_trips(folder in prop::sample::select(Folder::ALL.to_vec()), file in "[a-z0-9-]{1,80}") {
            let name = ObjectName::new(folder, file).unwrap();
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn a_name_that_is_read_has_one_form(text in "(config|commits|packs)/[a-zA-Z0-9./-]{0,9}") {
            if let Ok(name) = text.parse::<ObjectName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn an_error_keeps_the_word_of_the_storage() {
        let error = StorageError::new(StorageErrorKind::Full, "packs").because("quota");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!((error.to_string().as_str(), source.as_deref()), ("the storage is full: packs", Some("quota")));
    }

    #[test]
    fn names_round_trip_and_foreign_ones_are_refused() {
        let name: ObjectName = "packs/0123-ab".parse().unwrap();
        assert_eq!(
            (name.folder(), name.file(), name.to_string().as_str()),
            (Folder::Packs, "0123-ab", "packs/0123-ab")
        );
        for text in ["packs", "packs/", "packs/A", "packs/../x", "other/a", "packs/.tmp", "packs/a/b"] {
            assert_eq!(text.parse::<ObjectName>(), Err(InvalidObjectName), "{text}");
        }
    }
}
