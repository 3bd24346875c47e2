//! The end of a backup: an index object for the new packs, and the commit that makes them a snapshot.

use std::collections::{BTreeSet, HashSet};

use hushkeep_core::name::ObjectId;

use super::published::Published;
use super::{BackupError, BackupReport};
use crate::Timestamp;
use crate::contents::{Retired, lists_are_known};
use crate::error::ReadError;
use crate::history::{Action, Change, PackRow, Tables};
use crate::index_writer::{IndexError, NewIndexes};
use crate::liveness::Needs;
use crate::objects::pack_name;
use crate::pack::PackInfo;
use crate::repository::Repository;
use crate::retention;
use crate::snapshot::{Snapshot, SnapshotSource};
use crate::storage_clock::StorageClock;

/// What a backup has read and stored, ready to be published.
pub(super) struct Stored<'a> {
    pub(super) sources: Vec<SnapshotSource>,
    pub(super) packs: Vec<PackInfo>,
    pub(super) device: (ObjectId, String),
    pub(super) now: Timestamp,
    /// The packs that were on their way out when the backup began.
    pub(super) retired: &'a Retired,
}

impl Repository {
    pub(super) fn publish_snapshot(
        &mut self,
        stored: Stored<'_>,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        let begun = self.time();
        let indexes = if stored.packs.is_empty() { None } else { Some(self.store_index(&stored.packs)?) };
        for row in indexes.iter().flat_map(NewIndexes::stored) {
            report.objects_stored += 1;
            report.bytes_stored += row.len;
        }
        let ids = indexes.iter().flat_map(NewIndexes::stored).map(|row| row.id);
        self.contents.add_own(stored.packs.clone(), ids);

        let problems = report.problems.len() as u64;
        let snapshot =
            |number| Snapshot::new(number, stored.now, stored.device.clone(), stored.sources.clone(), problems);
        let change = Change { action: Action::Backup, time: stored.now, config: None };
        let (number, len) = self.publish(&change, |repository, number| {
            // Since the index object was stored, which sets the clock, this device slept; others may have swept that away.
            if indexes.is_some() && repository.is_long_ago(begun) {
                return Err(BackupError::Overtaken);
            }
            if !misnamed(&stored.packs, repository.history.tables()).is_empty() {
                return Err(BackupError::Overtaken);
            }
            let snapshot = snapshot(number);
            Published::remember(repository.state.as_ref(), snapshot.id)?;
            let mut tables = indexes.as_ref().map(|indexes| indexes.rows(number)).unwrap_or_default();
            tables.insert_snapshot(&snapshot);
            stored.packs.iter().for_each(|pack| tables.insert_pack(pack.row()));
            repository.keep_what_it_needs(&stored, indexes.as_ref(), &mut tables)?;
            Ok::<_, BackupError>(tables)
        })?;
        report.objects_stored += 1;
        report.bytes_stored += len;
        report.snapshot = Some(snapshot(number));
        Ok(())
    }

    /// Those of the packs that were left by others, or by damaged commits, in which something of the sources' lists lies. What
    /// only damaged commits may have named stays whatever is needed.
    pub(super) fn needed_of(
        &self,
        left: Vec<PackInfo>,
        sources: &[SnapshotSource],
    ) -> Result<Vec<PackInfo>, BackupError> {
        if left.is_empty() {
            return Ok(left);
        }
        let needs = self.needs_of(sources)?;
        let needed: HashSet<ObjectId> = self.packs_with(&needs).map(|pack| pack.id).collect();
        // Who stored one may have given it up, and deleted it since.
        let listed = self.contents.objects.list_packs()?;
        let is_there = |pack: &PackInfo| listed.get(&pack_name(&pack.id)) == Some(&pack.len);
        let (needed, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|pack| needed.contains(&pack.id));
        if !needed.iter().all(is_there) {
            return Err(BackupError::Overtaken);
        }
        let salvaged: HashSet<ObjectId> = self.contents.salvaged.iter().map(|pack| pack.id).collect();
        let salvaged = others.into_iter().filter(|pack| salvaged.contains(&pack.id) && is_there(pack));
        Ok(needed.into_iter().chain(salvaged).collect())
    }

    /// What a snapshot of these sources needs.
    fn needs_of(&self, sources: &[SnapshotSource]) -> Result<Needs, BackupError> {
        let mut needs = Needs::default();
        for source in sources {
            needs.add_list(source.root, &self.contents).map_err(|error| match error {
                ReadError::Damaged(_) => BackupError::Overtaken,
                error => error.into(),
            })?;
        }
        Ok(needs)
    }

    /// Makes sure that all the snapshot needs is there to stay. Another device may have marked packs for removal since
    /// this backup began: they become live again in the same commit. What was dropped is lost to this backup.
    fn keep_what_it_needs(
        &self,
        stored: &Stored<'_>,
        indexes: Option<&NewIndexes>,
        tables: &mut Tables,
    ) -> Result<(), BackupError> {
        if self.contents.retired() == stored.retired {
            return Ok(());
        }
        let needs = self.needs_of(&stored.sources)?;
        let rows = self.packs_with(&needs).filter_map(|pack| self.history.tables().pack(&pack.id));
        for row in rows.filter(|row| row.marked_since().is_some()) {
            if !self.may_revive(&row, indexes)? {
                return Err(BackupError::Overtaken);
            }
            tables.insert_pack(row.revived());
        }
        Ok(())
    }

    /// The packs in which what is needed lies.
    fn packs_with(&self, needs: &Needs) -> impl Iterator<Item = &PackInfo> {
        let contents = needs.contents.lists().flat_map(|list| needs.contents.of_list(list));
        let numbers: BTreeSet<u32> =
            contents.filter_map(|chunk| Some(self.contents.index.locate(chunk)?.pack)).collect();
        numbers.into_iter().filter_map(|number| Some(&self.contents.index.pack(number)?.info))
    }

    /// Whether a marked pack is safe to use again. Where creating a commit is exclusive, nobody can drop it at the same
    /// time. Elsewhere it is safe while nobody may drop it yet for a long time.
    fn may_revive(&self, row: &PackRow, indexes: Option<&NewIndexes>) -> Result<bool, BackupError> {
        if self.is_exclusive() {
            return Ok(true);
        }
        // The clock stands at the index object that this backup has just stored.
        let (Some(since), Some(indexes)) = (row.marked_since(), indexes) else { return Ok(false) };
        let clock = StorageClock::read(&self.contents.objects, Some(&indexes.last_name()))?;
        let age = clock.now.and_then(|now| clock.age(since, now));
        Ok(age.is_some_and(|age| age < retention::SECONDS_TO_REVIVE))
    }
}

/// Those of some packs that readers would not take for what they are if a commit named them now. Whoever has the key sees new
/// packs in the listing before they are named, and can have named them as something else.
pub(super) fn misnamed(packs: &[PackInfo], tables: &Tables) -> HashSet<ObjectId> {
    if packs.is_empty() {
        return HashSet::new();
    }
    let mut named = Tables::default();
    packs.iter().for_each(|pack| named.insert_pack(pack.row()));
    named.merge(tables);
    let is_right = |pack: &PackInfo| {
        let own = pack.row();
        let is_own = |row: PackRow| (row.len, row.digest, row.list_digest) == (own.len, own.digest, own.list_digest);
        named.pack(&pack.id).is_some_and(is_own) && lists_are_known(pack, &named)
    };
    packs.iter().filter(|pack| !is_right(pack)).map(|pack| pack.id).collect()
}

impl From<IndexError> for BackupError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Read(error) => Self::Read(error),
            IndexError::Storage(error) => Self::Storage(error),
        }
    }
}
