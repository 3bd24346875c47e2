//! Time as the storage tells it: the one clock that all devices share.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::objects::{Objects, number_of};
use crate::storage::{Folder, ObjectName, StorageError};

/// When commits were stored, by the storage's own clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct StorageClock {
    /// The latest time of all commits of each number; `None` where the storage does not tell.
    commits: BTreeMap<u64, Option<Timestamp>>,
    /// A time that is past for sure: of an object just stored, or else the earliest of the commits with the highest number.
    /// Not the latest of all: one old object with a time of the future, or a copy that somebody made of the newest one, must
    /// not make everything old.
    pub(crate) now: Option<Timestamp>,
}

impl StorageClock {
    /// Reads the clock from listings; it stands at the time of an object that was just stored, if one is given.
    pub(crate) fn read(objects: &Objects, just_stored: Option<&ObjectName>) -> Result<Self, StorageError> {
        let mut clock = Self::default();
        let commits = objects.storage.list(Folder::Commits)?;
        for info in &commits {
            if let Some(number) = number_of(&info.name) {
                let stored = clock.commits.entry(number).or_insert(info.stored);
                *stored = info.stored.and_then(|time| Some(stored.as_ref()?.max(&time).to_owned()));
            }
        }
        clock.now = match just_stored {
            Some(name) => {
                let found = objects.storage.list(name.folder())?.into_iter().find(|info| info.name == *name);
                found.and_then(|info| info.stored)
            }
            None => clock.commits.last_key_value().and_then(|(newest, _)| {
                let newest = commits.iter().filter(|info| number_of(&info.name) == Some(*newest));
                newest.map(|info| info.stored).min().flatten()
            }),
        };
        Ok(clock)
    }

    /// Whether a commit was stored so many seconds ago.
    pub(crate) fn has_waited(&self, commit: &ObjectName, seconds: i64) -> bool {
        let age = number_of(commit).zip(self.now).and_then(|(number, now)| self.age(number, now));
        age.is_some_and(|age| age >= seconds)
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
