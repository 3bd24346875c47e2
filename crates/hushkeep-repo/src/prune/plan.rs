//! Decides what becomes of each pack.

use std::cell::Cell;

use hushkeep_core::name::ObjectId;

use super::{Amount, PruneError, PruneOptions, PruneReport};
use crate::Timestamp;
use crate::contents::lists_are_known;
use crate::error::ReadError;
use crate::history::PackRow;
use crate::index::SegmentAt;
use crate::liveness::Needs;
use crate::objects::pack_name;
use crate::pack::{Class, PackInfo, Segment};
use crate::refs::{ContentRef, Run};
use crate::repository::Repository;
use crate::retention;
use crate::snapshot::SnapshotId;
use crate::storage::{Folder, ObjectInfo};
use crate::storage_clock::StorageClock;

/// A pack below this length is small, in bytes …
const SMALL_LEN: u64 = 4 << 20;

/// … and so many small ones are put together.
const MANY_SMALL: usize = 16;

/// What a prune will do.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) needs: Needs,
    /// Packs that nothing needs any more, or will not when they are repacked.
    pub(super) to_mark: Vec<PackRow>,
    /// Marked packs that are needed after all.
    pub(super) to_revive: Vec<PackRow>,
    /// Packs of which what is needed is put into new ones.
    pub(super) to_repack: Vec<PackRow>,
    /// Packs among those to mark that no commit names yet.
    pub(super) strays: Vec<PackInfo>,
    /// Whether its commit was sent: from then on it may be there, whatever was answered.
    pub(super) may_be_published: Cell<bool>,
    /// Packs that no commit names and that nobody may use: under an older key.
    pub(super) to_drop: Vec<PackRow>,
    /// Marked packs that nothing needs, neither now nor when they are dropped.
    marked: Vec<PackRow>,
    /// Some may be ripe, or may be deleted: reading the storage's clock will tell.
    maybe_ripe: bool,
    repacked: Amount,
    unused_bytes: u64,
    total_bytes: u64,
}

/// How many bytes of a pack's contents are needed from it, about, and how many are not.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    needed: u64,
    unneeded: u64,
}

impl Plan {
    pub(super) fn report(&self) -> PruneReport {
        PruneReport {
            marked: amount(&self.to_mark),
            revived: amount(&self.to_revive),
            repacked: self.repacked,
            unused_bytes: self.unused_bytes,
            total_bytes: self.total_bytes,
            ..PruneReport::default()
        }
    }

    /// Whether there is anything to publish.
    pub(super) fn changes_anything(&self) -> bool {
        let rows = [&self.to_mark, &self.to_revive, &self.to_repack, &self.to_drop];
        rows.iter().any(|rows| !rows.is_empty()) || self.maybe_ripe
    }

    /// Which marked packs have been marked long enough at the time `now`.
    pub(super) fn ripe(&self, clock: &StorageClock, now: Option<Timestamp>, is_exclusive: bool) -> Vec<PackRow> {
        let wait = retention::seconds_until_dropped(is_exclusive);
        let is_ripe = |row: &&PackRow| {
            let age = row.marked_since().zip(now).and_then(|(since, now)| clock.age(since, now));
            age.is_some_and(|age| age >= wait)
        };
        self.marked.iter().filter(is_ripe).copied().collect()
    }

    /// How many seconds after `now` the first pack will have been marked long enough that is not yet.
    pub(super) fn next_drop_seconds(
        &self,
        clock: &StorageClock,
        now: Option<Timestamp>,
        is_exclusive: bool,
    ) -> Option<u64> {
        let wait = retention::seconds_until_dropped(is_exclusive);
        let ages = self.marked.iter().filter_map(|row| clock.age(row.marked_since()?, now?));
        ages.filter_map(|age| u64::try_from(wait.saturating_sub(age)).ok()).filter(|left| *left > 0).min()
    }

    /// Leaves a pack as it is.
    pub(super) fn spare(&mut self, id: &ObjectId) {
        self.to_mark.retain(|row| row.id != *id);
        self.marked.retain(|row| row.id != *id);
    }

    /// What still waits when these are dropped.
    pub(super) fn waiting(&self, ripe: &[PackRow]) -> Amount {
        let (all, ripe) = (amount(&self.marked), amount(ripe));
        Amount { packs: all.packs - ripe.packs, bytes: all.bytes - ripe.bytes }
    }
}

pub(super) fn amount(rows: &[PackRow]) -> Amount {
    let mut amount = Amount::default();
    rows.iter().for_each(|row| amount.add(row.len));
    amount
}

impl Repository {
    /// Looks at everything that is stored, and at what the snapshots need of it that are not `forgotten`.
    pub(super) fn plan_prune(
        &self,
        forgotten: &[SnapshotId],
        options: &PruneOptions,
        clock: &StorageClock,
    ) -> Result<Plan, PruneError> {
        let mut plan = Plan::default();
        let kept = self.snapshots().iter().filter(|snapshot| !forgotten.contains(&snapshot.id));
        for source in kept.flat_map(|snapshot| &snapshot.sources) {
            plan.needs.add_list(source.root, &self.contents).map_err(|error| match error {
                ReadError::Damaged(damage) => PruneError::Incomplete(damage),
                error => error.into(),
            })?;
        }
        // What was whole in another pack alone may be in one that is to be dropped.
        if let Some(damage) = self.contents.made_good().pop() {
            return Err(PruneError::Incomplete(damage));
        }
        // A time that no other device's is far beyond: what may be old for it is not used again.
        let latest = clock.now.map(|now| now.max(options.now));
        let mut in_part = Vec::new();
        for row in self.history.tables().packs() {
            plan.total_bytes += row.len;
            let Some(pack) = self.contents.index.pack_number(&row.id) else { continue };
            let used = self.use_of(pack, &plan.needs);
            match (row.marked_since(), used.needed) {
                // It was marked and came back as often as can be, or a later version keeps it so.
                (None, 0) if row.marked(0).is_none() => {}
                (None, 0) => plan.to_mark.push(row),
                (None, _) => in_part.push((row, used)),
                (Some(_), 0) => plan.marked.push(row),
                (Some(since), _) if self.may_come_back(since, clock, latest) => {
                    plan.to_revive.push(row);
                }
                // It is marked anew, so that it waits again: whoever does not see this prune yet finds its contents there
                // alone.
                (Some(_), needed) => {
                    plan.repacked.add(needed);
                    plan.to_repack.push(row);
                    plan.to_mark.push(row.revived());
                }
            }
        }
        self.choose_repacks(&mut plan, in_part, options);
        self.mark_strays(&mut plan, clock, latest)?;
        plan.maybe_ripe |= !plan.ripe(clock, latest, self.is_exclusive()).is_empty();
        Ok(plan)
    }

    /// Whether a marked pack can become live again. Where two devices can publish at once, another may be about to drop
    /// it; then its contents are copied.
    pub(super) fn may_come_back(&self, since: u64, clock: &StorageClock, latest: Option<Timestamp>) -> bool {
        let age = latest.and_then(|now| clock.age(since, now));
        self.is_exclusive() || age.is_some_and(|age| age < retention::SECONDS_TO_REVIVE)
    }

    /// How much of a pack is needed from it: contents that lie nowhere better.
    fn use_of(&self, pack: u32, needs: &Needs) -> Use {
        let mut used = Use::default();
        let Some(indexed) = self.contents.index.pack(pack) else { return used };
        for (segment, row) in (0..).zip(&indexed.info.table.segments).filter(|(_, row)| row.class != Class::Names) {
            let at = SegmentAt { pack, segment };
            let count = self.needed_contents(at, &indexed.info, row, needs).count() as u64;
            let needed = (u64::from(row.sealed_len) * count).div_ceil(row.count().max(1));
            used.needed += needed;
            used.unneeded += u64::from(row.sealed_len).saturating_sub(needed);
        }
        used
    }

    /// The contents of a segment that are needed from there.
    pub(super) fn needed_contents<'a>(
        &'a self,
        at: SegmentAt,
        pack: &'a PackInfo,
        row: &'a Segment,
        needs: &'a Needs,
    ) -> impl Iterator<Item = ContentRef> + 'a {
        let runs = row.stretches.iter().filter_map(move |stretch| self.contents.index.run(pack, *stretch));
        let needed = runs.filter(|run| needs.contents.count(run.start.list, positions(*run)) > 0);
        let chunks = needed.flat_map(Run::contents);
        chunks.filter(move |chunk| needs.contents.contains(*chunk) && self.contents.index.locate(*chunk) == Some(at))
    }

    /// Chooses packs to put together anew: first those that give back most for what they cost, until little enough is
    /// unused, then small ones if they are many. Both within the limit of cost.
    fn choose_repacks(&self, plan: &mut Plan, mut in_part: Vec<(PackRow, Use)>, options: &PruneOptions) {
        let gain = |used: &Use| used.unneeded as f64 / used.needed as f64;
        in_part.sort_by(|(_, a), (_, b)| gain(b).total_cmp(&gain(a)));
        plan.unused_bytes = in_part.iter().map(|(_, used)| used.unneeded).sum();
        let are_many = in_part.iter().filter(|(row, _)| row.len < SMALL_LEN).count() >= MANY_SMALL;
        let mut budget = options.max_repack_bytes.saturating_sub(plan.repacked.bytes);
        for (row, used) in in_part {
            let too_much = plan.unused_bytes as f64 > options.max_unused * plan.total_bytes as f64;
            let is_worth_it = (too_much && used.unneeded > 0) || (are_many && row.len < SMALL_LEN);
            if is_worth_it && used.needed <= budget && row.marked(0).is_some() {
                budget -= used.needed;
                plan.unused_bytes -= used.unneeded;
                plan.repacked.add(used.needed);
                plan.to_mark.push(row);
                plan.to_repack.push(row);
            }
        }
    }

    /// Marks packs that no commit names and that have been there for a month: left by backups that never ended. A backup
    /// that is still under way makes them live again; but uses none under an older key.
    fn mark_strays(&self, plan: &mut Plan, clock: &StorageClock, latest: Option<Timestamp>) -> Result<(), PruneError> {
        let wait = retention::seconds_until_dropped(self.is_exclusive());
        let is_old = |info: &ObjectInfo, seconds: i64| {
            let age = info.stored.zip(clock.now).map(|(stored, now)| now.seconds.saturating_sub(stored.seconds));
            age.is_some_and(|age| age >= seconds)
        };
        let mut outdated = Vec::new();
        for info in self.contents.objects.storage.list(Folder::Packs)?.into_iter().filter(|info| is_old(info, wait)) {
            let Ok(id) = info.name.file().parse::<ObjectId>() else { continue };
            if pack_name(&id) != info.name {
                continue;
            }
            if let Some(row) = self.history.tables().pack(&id) {
                plan.maybe_ripe |= self.is_kept_too_long(&row, clock, latest);
                continue;
            }
            if !is_old(&info, retention::SECONDS_UNTIL_STRAY) {
                continue;
            }
            match self.contents.objects.read_pack_info(&id, info.len) {
                // What a newer version left is not named: nothing could be written beside it then.
                Ok(pack) if pack.table.is_newer() => {}
                Ok(pack) if pack.is_sound() && lists_are_known(&pack, self.history.tables()) => {
                    if pack.epoch == self.contents.objects.keyring.newest() {
                        plan.to_mark.push(pack.row());
                        plan.strays.push(pack);
                    } else {
                        outdated.push(pack.row());
                    }
                }
                // What does not open is not known to be ours.
                Ok(_) | Err(ReadError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !outdated.is_empty() && self.is_epoch_settled(clock, wait)? {
            plan.to_drop.append(&mut outdated);
        }
        Ok(())
    }

    /// Whether the key has held for the wait. Before, who replaced it may have taken in what came meanwhile under the one
    /// before (spec §12.5), and not be seen yet.
    fn is_epoch_settled(&self, clock: &StorageClock, wait: i64) -> Result<bool, ReadError> {
        let objects = &self.contents.objects;
        match self.history.newest_of(objects, |name| clock.has_waited(name, wait)) {
            Err(ReadError::Damaged(_)) => Ok(false),
            newest => Ok(newest?.is_some_and(|(epoch, _)| epoch == objects.keyring.newest())),
        }
    }

    /// Whether a dropped pack waits to be deleted only because nothing has set the storage's clock meanwhile.
    fn is_kept_too_long(&self, row: &PackRow, clock: &StorageClock, latest: Option<Timestamp>) -> bool {
        let wait = retention::seconds_until_deleted(self.is_exclusive());
        let has_waited = |now: Option<Timestamp>| {
            let age = row.dropped_since().zip(now).and_then(|(since, now)| clock.age(since, now));
            age.is_some_and(|age| age >= wait)
        };
        has_waited(latest) && !has_waited(clock.now)
    }
}

fn positions(run: Run) -> std::ops::Range<u32> {
    run.start.position..run.start.position.saturating_add(run.count)
}
