//! Time as the storage tells it: the one clock that all devices share.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::objects::{Objects, number_of};
use crate::storage::{Folder, StorageError};

/// When commits were stored, by the storage's own clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct StorageClock {
    /// The latest time of all commits of each number; `None` where the storage does not tell.
    commits: BTreeMap<u64, Option<Timestamp>>,
    /// The time at which something was stored last.
    pub(crate) now: Option<Timestamp>,
}

impl StorageClock {
    /// Reads the clock from listings.
    pub(crate) fn read(objects: &Objects) -> Result<Self, StorageError> {
        let mut clock = Self::default();
        for folder in [Folder::Commits, Folder::Index, Folder::Packs] {
            for info in objects.storage.list(folder)? {
                clock.now = clock.now.max(info.stored);
                if let Some(number) = number_of(&info.name).filter(|_| folder == Folder::Commits) {
                    let stored = clock.commits.entry(number).or_insert(info.stored);
                    *stored = info.stored.and_then(|time| Some(stored.as_ref()?.max(&time).to_owned()));
                }
            }
        }
        Ok(clock)
    }

    /// How many seconds lie between the storing of the commits of a number and `now`. Commits before the first one
    /// that is still there are older than any time. `None` if the storage does not tell.
    pub(crate) fn age(&self, number: u64, now: Timestamp) -> Option<i64> {
        let (first, _) = self.commits.first_key_value()?;
        if number < *first {
            return Some(i64::MAX);
        }
        let stored = (*self.commits.get(&number)?)?;
        Some(now.seconds.saturating_sub(stored.seconds))
    }
}
