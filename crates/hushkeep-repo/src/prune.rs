//! Pruning: giving back what no snapshot needs any more.
//!
//! In two steps, because others may be at work: a pack that nothing needs is *marked*, and stays. When it has been
//! marked long enough it is *dropped*, and only then its bytes are deleted: where two devices can publish at once, when
//! nobody can be left who does not see that it was dropped. What is left of packs that are needed in
//! part is copied into new ones, up to a limit of cost, and the old ones are marked.

mod plan;
mod repack;
mod sweep;

use crate::Timestamp;
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::{Action, Change, PackRow, PublishError, Tables};
use crate::index_writer::{IndexError, NewIndexes};
use crate::pack::PackInfo;
use crate::progress::Progress;
use crate::repository::{Repository, bad_packs};
use crate::retention::{seconds_until_deleted, seconds_until_dropped};
use crate::snapshot::SnapshotId;
use crate::state::StateError;
use crate::storage::{Folder, ObjectName, StorageError};
use crate::storage_clock::StorageClock;
use plan::{Plan, amount};

/// How often a prune begins at most, if other devices publish meanwhile.
const MAX_STARTS: usize = 5;

/// How to prune.
#[derive(Debug, Clone, Copy)]
pub struct PruneOptions {
    /// The time by this device's clock. What is deleted is decided by the storage's clock alone.
    pub now: Timestamp,
    /// The share of the stored bytes that may stay without use, from 0.0 to 1.0, before packs are put together anew.
    pub max_unused: f64,
    /// How many bytes may be copied to put packs together.
    pub max_repack_bytes: u64,
    /// Tell what would be done, but change nothing.
    pub dry_run: bool,
}

/// What a prune did, or would do.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PruneReport {
    /// Packs that are marked now: nothing needs them any more.
    pub marked: Amount,
    /// Packs that were marked before and still wait.
    pub waiting: Amount,
    /// Packs that were marked, and are needed after all.
    pub revived: Amount,
    /// Packs that are dropped now: their bytes are given back.
    pub dropped: Amount,
    /// Packs of which what is needed was put together anew. They are among those marked.
    pub repacked: Amount,
    /// The new packs.
    pub written: Amount,
    /// What nothing needs but stays, in packs that are needed in part.
    pub unused_bytes: u64,
    /// Everything in packs, before.
    pub total_bytes: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Objects that the storage refuses to delete. They do no harm.
    pub undeleted: Vec<String>,
    /// The storage tells no times, so that nothing can be dropped safely.
    pub no_clock: bool,
    /// How long a pack is marked here before it is dropped.
    pub wait_seconds: u64,
    /// How long a pack that was dropped is kept here before its bytes are deleted: 0 if that is done at once.
    pub kept_seconds: u64,
    /// How long it takes until the first of those that wait can be dropped.
    pub next_drop_seconds: Option<u64>,
    /// Damage that was met: what it concerns was left as it is.
    pub damage: Vec<Damage>,
}

/// So many packs of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// How many.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.packs += 1;
        self.bytes += bytes;
    }
}

/// A prune that did not come to its end. Every snapshot is as whole as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A part of the history or of the index is damaged. What it told might be needed.
    #[error("{0}")]
    Incomplete(Damage),
    /// The storage shows less than it did when the repository was opened.
    #[error("the storage shows a history that lacks what this device has already seen")]
    RolledBack,
    /// Other devices were faster, again and again.
    #[error("other devices write to the repository all the time")]
    Busy,
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This device's own state cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Repository {
    /// Gives back what no snapshot needs any more, as far as it has been known for long enough.
    pub fn prune(&mut self, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneReport, PruneError> {
        if options.dry_run {
            return self.preview_prune(&[], options);
        }
        for _ in 0..MAX_STARTS {
            match self.prune_once(options, progress) {
                Err(PruneError::Busy) => {}
                ended => return ended,
            }
        }
        Err(PruneError::Busy)
    }

    /// Tells what a prune would do if these snapshots were forgotten. Changes nothing.
    pub fn preview_prune(
        &mut self,
        forgotten: &[SnapshotId],
        options: &PruneOptions,
    ) -> Result<PruneReport, PruneError> {
        Ok(self.begin_prune(forgotten, options)?.1)
    }

    fn prune_once(&mut self, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneReport, PruneError> {
        let (mut plan, mut report) = self.begin_prune(&[], options)?;
        self.check_writable()?;
        let before = self.history.tables().clone();
        let new = self.repack(&mut plan, &mut report, progress)?;
        let mut just_stored = None;
        if plan.changes_anything() {
            let published = self.publish_prune(&mut plan, &new, &before, options.now, &mut report);
            if published.is_err() && !plan.may_be_published.get() {
                self.delete_copies(&new);
            }
            just_stored = Some(published?);
        }
        self.sweep(just_stored.as_ref(), &mut report)?;
        Ok(report)
    }

    /// What is to be done if these snapshots are forgotten, too, and what there is to tell of it beforehand.
    fn begin_prune(
        &mut self,
        forgotten: &[SnapshotId],
        options: &PruneOptions,
    ) -> Result<(Plan, PruneReport), PruneError> {
        self.refresh()?;
        self.contents.update(self.history.tables(), bad_packs(self.state.as_ref()))?;
        self.refuse_damage()?;
        let clock = StorageClock::read(&self.contents.objects, None)?;
        let plan = self.plan_prune(forgotten, options, &clock)?;
        let mut report = plan.report();
        self.tell_times(&plan, &clock, options.now, &mut report);
        Ok((plan, report))
    }

    /// Tells what can be dropped now, and when the rest can be: by the storage's clock, or this device's if that is later.
    fn tell_times(&self, plan: &Plan, clock: &StorageClock, now: Timestamp, report: &mut PruneReport) {
        let is_exclusive = self.is_exclusive();
        let latest = clock.now.map(|stored| stored.max(now));
        let ripe = plan.ripe(clock, latest, is_exclusive);
        report.dropped = amount(&[ripe.as_slice(), &plan.to_drop].concat());
        report.waiting = plan.waiting(&ripe);
        report.no_clock = clock.now.is_none();
        report.wait_seconds = seconds_until_dropped(is_exclusive).unsigned_abs();
        report.kept_seconds = seconds_until_deleted(is_exclusive).unsigned_abs();
        report.next_drop_seconds = plan.next_drop_seconds(clock, latest, is_exclusive);
    }

    /// What cannot be read may tell of what is needed, and so may a snapshot of a status that only a newer version knows.
    fn refuse_damage(&self) -> Result<(), PruneError> {
        if self.history.tables().has_newer_snapshots() {
            let object = Folder::Commits.name().to_owned();
            return Err(ReadError::from(Damage { object, cause: DamageCause::NewerVersion }).into());
        }
        let unread = |damage: &&Damage| !damage.object.starts_with(Folder::Index.name());
        let damaged = self.history.damaged().first().or_else(|| self.contents.damage.iter().find(unread));
        damaged.map_or(Ok(()), |damage| Err(PruneError::Incomplete(damage.clone())))
    }

    /// Publishes what the plan says. The index is stored first; the storage's clock stands at its last object, which is
    /// returned.
    fn publish_prune(
        &mut self,
        plan: &mut Plan,
        new: &[PackInfo],
        before: &Tables,
        now: Timestamp,
        report: &mut PruneReport,
    ) -> Result<ObjectName, PruneError> {
        let begun = self.time();
        let indexes = self.store_whole_index(&[new, &plan.strays].concat())?;
        self.contents.add_own(new.to_vec(), indexes.stored().map(|row| row.id));
        let just_stored = indexes.last_name();
        let clock = StorageClock::read(&self.contents.objects, Some(&just_stored))?;
        // Copying may have taken so long that it is too late for some.
        let in_time =
            |row: &PackRow| row.marked_since().is_some_and(|since| self.may_come_back(since, &clock, clock.now));
        plan.to_revive.retain(in_time);
        report.revived = amount(&plan.to_revive);
        // What was found damaged just now may be whole in what is to be dropped.
        let ripe = match report.damage.is_empty() {
            true => plan.ripe(&clock, clock.now, self.is_exclusive()),
            false => Vec::new(),
        };
        report.dropped = amount(&[ripe.as_slice(), &plan.to_drop].concat());
        report.waiting = plan.waiting(&ripe);
        let old_commits = self.old_commits(&clock, report)?;

        let change = Change { action: Action::Prune, time: now, config: None };
        self.publish(&change, |repository, number| {
            if repository.history.tables() != before || repository.is_long_ago(begun) {
                return Err(PruneError::Busy);
            }
            let mut tables = plan_rows(plan, new, &indexes, number);
            ripe.iter().chain(&plan.to_drop).for_each(|row| tables.insert_pack(row.dropped(number)));
            let mut commits = before.clone();
            commits.drop_commits(|file| old_commits.contains(file));
            tables.merge(&commits);
            plan.may_be_published.set(true);
            Ok(tables)
        })?;
        Ok(just_stored)
    }
}

/// What the commit `number` says of packs and index objects.
fn plan_rows(plan: &Plan, new: &[PackInfo], indexes: &NewIndexes, number: u64) -> Tables {
    let mut tables = indexes.rows(number);
    new.iter().for_each(|pack| tables.insert_pack(pack.row()));
    plan.to_mark.iter().filter_map(|row| row.marked(number)).for_each(|row| tables.insert_pack(row));
    plan.to_revive.iter().for_each(|row| tables.insert_pack(row.revived()));
    tables
}

impl From<PublishError> for PruneError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Storage(error) => Self::Storage(error),
            PublishError::RolledBack => Self::RolledBack,
            PublishError::Conflict | PublishError::Busy => Self::Busy,
            PublishError::Read(error) => Self::Read(error),
            PublishError::State(error) => Self::State(error),
        }
    }
}

impl From<IndexError> for PruneError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Read(error) => Self::Read(error),
            IndexError::Storage(error) => Self::Storage(error),
        }
    }
}
