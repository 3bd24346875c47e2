//! What one device must remember between runs.

/// The memory of one device about one repository. State, not cache: losing it weakens a check.
///
/// Implementations write atomically: after a crash an entry is the old or the new one, whole.
pub trait State: Send + Sync {
    /// Reads an entry; `None` if it was never stored.
    fn load(&self, key: StateKey) -> Result<Option<Vec<u8>>, StateError>;

    /// Stores an entry durably, replacing an earlier one.
    fn store(&self, key: StateKey, value: &[u8]) -> Result<(), StateError>;
}

/// The entries of a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    /// The ends of the commit chain that this device has seen: what catches a storage that rolls back.
    Tips,
    /// Packs that an unfinished backup has uploaded.
    Journal,
    /// Packs that a check found bad.
    BadPacks,
    /// The snapshots that this device published last.
    Published,
    /// This device's own random id, so that its sources are told from another device's.
    Device,
}

impl StateKey {
    /// The entry's name, usable as a file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tips => "tips",
            Self::Journal => "journal",
            Self::BadPacks => "bad-packs",
            Self::Published => "published",
            Self::Device => "device",
        }
    }
}

/// This device's memory cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the device's own state ({entry}) cannot be {action}")]
pub struct StateError {
    /// What could not be read or written.
    pub entry: &'static str,
    /// `read` or `written`.
    pub action: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
