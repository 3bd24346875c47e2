//! Deletes what the commits say is not needed any more.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{PruneError, PruneReport};
use hushkeep_core::name::ObjectId;

use crate::error::ReadError;
use crate::history::{IndexRow, Tables};
use crate::objects::{index_name, pack_name};
use crate::repository::Repository;
use crate::retention;
use crate::storage::{Folder, ObjectInfo, ObjectName};
use crate::storage_clock::StorageClock;

/// So many commits are gathered before any is dropped: to find them, those that stay must be read.
const COMMITS_AT_ONCE: usize = 32;

impl Repository {
    /// Commits that have been there for long, and that none which stays is based on.
    pub(super) fn old_commits(
        &self,
        clock: &StorageClock,
        report: &mut PruneReport,
    ) -> Result<HashSet<String>, PruneError> {
        let is_old = |name: &ObjectName| clock.has_waited(name, retention::SECONDS_OF_COMMITS);
        let old = match self.history.droppable(&self.contents.objects, is_old, COMMITS_AT_ONCE) {
            // What cannot be read may be based on any of them.
            Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => {
                report.damage.push(damage);
                return Ok(HashSet::new());
            }
            old => old?,
        };
        Ok(old.into_iter().map(|name| name.file().to_owned()).collect())
    }

    /// Deletes packs and commits that are surely dropped, superseded index objects, and index objects that no commit names;
    /// the latter two after the wait that packs are marked for.
    pub(super) fn sweep(
        &mut self,
        just_stored: Option<&ObjectName>,
        report: &mut PruneReport,
    ) -> Result<(), PruneError> {
        self.refresh()?;
        let clock = StorageClock::read(&self.contents.objects, just_stored)?;
        let storage = &self.contents.objects.storage;
        let mut needless = self.needless_indexes(&clock)?;
        let tables = self.settled(&clock, report)?;
        let dropped: HashSet<ObjectName> =
            tables.all_packs().filter(|row| row.is_dropped()).map(|row| pack_name(&row.id)).collect();
        let packs = storage.list(Folder::Packs)?.into_iter().map(|info| info.name);
        needless.extend(packs.filter(|name| dropped.contains(name)));
        let dropped: HashSet<String> =
            tables.commit_names().filter(|(is_dropped, _)| *is_dropped).map(|(_, file)| file).collect();
        let commits = storage.list(Folder::Commits)?.into_iter().map(|info| info.name);
        needless.extend(commits.filter(|name| dropped.contains(name.file())));
        report.undeleted = self.contents.objects.delete_all(&needless)?;
        report.deleted = (needless.len() - report.undeleted.len()) as u64;
        Ok(())
    }

    /// What a commit said that has been there long enough for what it dropped to be deleted (spec §11.5).
    fn settled(&self, clock: &StorageClock, report: &mut PruneReport) -> Result<Cow<'_, Tables>, PruneError> {
        let wait = retention::seconds_until_deleted(self.is_exclusive());
        if wait == 0 {
            return Ok(Cow::Borrowed(self.history.tables()));
        }
        match self.history.newest_of(&self.contents.objects, |name| clock.has_waited(name, wait)) {
            Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => {
                report.damage.push(damage);
                Ok(Cow::default())
            }
            newest => Ok(newest?.map_or_else(Cow::default, |(_, tables)| Cow::Owned(tables))),
        }
    }

    /// Only what has the name of an index object: what else lies there is nobody's, or a later version's.
    fn needless_indexes(&self, clock: &StorageClock) -> Result<Vec<ObjectName>, PruneError> {
        let Some(now) = clock.now else { return Ok(Vec::new()) };
        let wait = retention::seconds_until_dropped(self.is_exclusive());
        let rows: HashMap<ObjectName, IndexRow> =
            self.history.tables().all_indexes().map(|row| (index_name(&row.id), row)).collect();
        let is_needless = |info: &ObjectInfo| {
            if info.name.file().parse::<ObjectId>().is_err() {
                return false;
            }
            let age = match rows.get(&info.name) {
                Some(row) => row.superseded.and_then(|since| clock.age(since, now)),
                None => info.stored.map(|stored| now.seconds.saturating_sub(stored.seconds)),
            };
            age.is_some_and(|age| age >= wait)
        };
        let listing = self.contents.objects.storage.list(Folder::Index)?;
        Ok(listing.into_iter().filter(is_needless).map(|info| info.name).collect())
    }
}
