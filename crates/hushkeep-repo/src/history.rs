//! The history of a repository: commits, each one change of state, joined into a chain (spec §11).

mod commit;
#[cfg(fuzzing)]
pub(crate) mod hostile;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use hushkeep_core::keys::{Epoch, ObjectKind};
use hushkeep_core::seal::Header;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::config::ConfigName;
use crate::error::{Damage, DamageCause, ReadError};
use crate::growth::{Growth, WRITTEN_DEPTH};
use crate::keyring::OlderEpochs;
use crate::objects::{MAX_NUMBER, Objects, ReadCommit, is_number_alone, number_of, numbered_name};
use crate::state::StateError;
use crate::storage::{Folder, ObjectName, StorageError, StorageErrorKind};
pub(crate) use commit::{Action, CommitId, SeenTips};
use commit::{Commit, Parent};
#[cfg(fuzzing)]
pub(crate) use commit::{assert_commit_round_trips, assert_commits_join, assert_seen_tips_round_trip};
pub use tables::ForgottenSnapshot;
pub(crate) use tables::{IndexRow, PackRow, Tables};

/// The state of a repository, as the commits on its storage tell it.
#[derive(Debug, Default)]
pub(crate) struct History {
    tips: Vec<Tip>,
    /// What all tips together say.
    tables: Tables,
    /// Every commit that was listed, read or not, and when it was stored, by the storage's clock.
    listed: BTreeMap<ObjectName, Option<Timestamp>>,
    /// Commits that could not be read.
    damaged: Vec<Damage>,
    /// Commits that are not whole on the storage, and that this device keeps.
    mended: Vec<Damage>,
    /// Commits that were written under an older key, and that no commit under the newest one continues.
    outdated: Vec<ObjectName>,
    /// Remembered commits of which damage keeps from seeing whether all that they said is still said.
    unproven: Vec<Parent>,
}

/// An end of the chain: a commit that no other names as its parent.
#[derive(Debug)]
struct Tip {
    id: CommitId,
    name: ObjectName,
    epoch: Epoch,
    commit: Commit,
    /// The length of the commit's body, in bytes.
    len: u64,
    tables: Tables,
}

/// One change of state, to be published as a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) time: Timestamp,
    /// The config that holds from now on, unless a tip names a newer one.
    pub(crate) config: ConfigName,
}

impl History {
    /// Reads the commits of a storage: the tips, and of their ancestors as many as it takes to know the state.
    ///
    /// A damaged commit is passed over, and the commits around it tell what they can; one that a newer version wrote
    /// is an error, for whoever went on beside it could undo what it says.
    pub(crate) fn load(objects: &Objects) -> Result<Self, ReadError> {
        let mut history = Self { listed: list(objects)?, ..Self::default() };
        let mut names: Vec<ObjectName> = history.listed.keys().cloned().collect();
        names.sort_unstable_by_key(|name| std::cmp::Reverse((number_of(name), name.file().to_owned())));
        let mut covered: HashSet<String> = HashSet::new();
        let mut older = Vec::new();
        for name in &names {
            if covered.contains(name.file()) {
                continue;
            }
            match history.read_uncovered(objects, name) {
                // A thief of an older key must not pass newer commits off as continued by his own: he hides nothing.
                Ok((tip, _)) if tip.epoch < objects.keyring.newest() => older.push(tip),
                Ok((tip, damage)) => {
                    history.damaged.extend(damage);
                    covered.extend(tip.tables.commit_names().map(|(_, file)| file));
                    history.add_tip(tip);
                }
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => {
                    history.note_damage(damage, objects)?;
                }
                Err(error) => return Err(error),
            }
        }
        older.retain(|tip| !covered.contains(tip.name.file()));
        history.take_older(older);
        match history.damaged.first() {
            Some(damage) if history.tips.is_empty() => Err(damage.clone().into()),
            _ => Ok(history),
        }
    }

    /// Reads a commit that none of those read before continues.
    fn read_uncovered(&mut self, objects: &Objects, name: &ObjectName) -> Result<(Tip, Option<Damage>), ReadError> {
        let (tip, damage, mended) = read_tip_from(objects, name, objects.read_newest_commit(name)?)?;
        self.mended.extend(mended);
        Ok((tip, damage))
    }

    /// Takes in a commit that nothing found before continues.
    fn add_tip(&mut self, tip: Tip) {
        // It may be there under another name as well.
        if !self.knows(&tip.id) {
            self.tables.merge(&tip.tables);
            self.tips.push(tip);
        }
    }

    /// Decides on commits under older keys that none under the newest continues. Where writers can miss each other,
    /// those that were stored before their own key was replaced, by the storage's clock, were only seen too late, and are
    /// tips. Others were written by a device that did not know of the next key, or by who stole the old one, and are not
    /// taken. Only where damage leaves nothing else do they tell the state, so that one bad object does not lock the owner
    /// out.
    fn take_older(&mut self, older: Vec<Tip>) {
        let is_all_there_is = self.tips.is_empty() && !self.damaged.is_empty();
        let replaced: Vec<Option<Timestamp>> = older.iter().map(|tip| self.replaced_at(tip.epoch)).collect();
        let mut covered: HashSet<String> = HashSet::new();
        for (tip, replaced) in older.into_iter().zip(replaced) {
            let stored = self.listed.get(&tip.name).copied().flatten();
            let came_before = stored.zip(replaced).is_some_and(|(stored, replaced)| stored <= replaced);
            if covered.contains(tip.name.file()) {
                continue;
            }
            if came_before || is_all_there_is {
                covered.extend(tip.tables.commit_names().map(|(_, file)| file));
                self.add_tip(tip);
            } else {
                self.outdated.push(tip.name);
            }
        }
        self.outdated.retain(|name| !covered.contains(name.file()));
    }

    /// When the commit was stored that ended an epoch by beginning the next, if it could miss an earlier one. One that
    /// took its number alone could not: its writer had seen all that was there before (spec §11.4).
    fn replaced_at(&self, epoch: Epoch) -> Option<Timestamp> {
        let tip = self.tips.first()?;
        let start = tip.start_of(epoch.next()?)?;
        let file = if start == tip.id { tip.name.file().to_owned() } else { self.tables.commit_file(&start)? };
        let name = ObjectName::new(Folder::Commits, file).ok()?;
        *self.listed.get(&name).filter(|_| !is_number_alone(&name))?
    }

    /// Notes a damaged commit; an error if it is not damaged, but written under a newer key.
    fn note_damage(&mut self, damage: Damage, objects: &Objects) -> Result<(), ReadError> {
        if damage.cause == DamageCause::UnknownEpoch && is_key_replaced(objects)? {
            return Err(ReadError::Rotated);
        }
        self.damaged.push(damage);
        Ok(())
    }

    /// Whether a commit of the key's own epoch is there, as it is once a rotation is complete.
    pub(crate) fn is_in_force(&self, epoch: Epoch) -> bool {
        epoch == Epoch::FIRST || !self.tips.is_empty()
    }

    /// Commits that were written under an older key after it was replaced. They are not taken.
    pub(crate) fn outdated(&self) -> &[ObjectName] {
        &self.outdated
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Commits that could not be read. What only they told is missing.
    pub(crate) fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// Commits that are not whole on the storage, and known because this device keeps them. The next commit says all that
    /// they said.
    pub(crate) fn mended(&self) -> &[Damage] {
        &self.mended
    }

    /// The newest config that a tip names.
    pub(crate) fn config(&self) -> ConfigName {
        self.tips.iter().map(|tip| tip.commit.config).max().unwrap_or_default()
    }

    /// The secrets of older epochs that a tip carries.
    pub(crate) fn older_epochs(&self) -> impl Iterator<Item = &OlderEpochs> {
        self.tips.iter().map(|tip| &tip.commit.older_epochs)
    }

    /// The tips, for a device to remember that it saw them at this time.
    pub(crate) fn seen(&self, time: Timestamp) -> SeenTips {
        let tips = self.tips.iter().map(|tip| Parent { id: tip.id, name: tip.name.clone() });
        SeenTips { tips: tips.collect(), time }
    }

    /// The same, with remembered ones that could not be proven: that they were there is not to be forgotten, nor since when.
    pub(crate) fn seen_since(&self, earlier: &SeenTips, time: Timestamp) -> SeenTips {
        let mut seen = self.seen(time);
        if !self.unproven.is_empty() {
            seen.time = earlier.time;
            seen.tips.extend(self.unproven.iter().cloned());
        }
        seen
    }

    fn knows(&self, id: &CommitId) -> bool {
        self.tables.has_commit(id) || self.tips.iter().any(|tip| tip.id == *id)
    }

    /// Whether something that this device remembers is missing from the history. A commit that is there but
    /// damaged is damage, which [`damaged`](Self::damaged) tells, not a roll-back.
    ///
    /// That a remembered commit is an ancestor is not taken on anybody's word: it is read, and all that it said
    /// must still be said. So not even who has the key can take back what a device has seen. Only a commit that was
    /// seen long ago `may_be_dropped`: nothing but the word of its successors is left of it then.
    pub(crate) fn lacks(
        &mut self,
        objects: &Objects,
        seen: &SeenTips,
        may_be_dropped: bool,
    ) -> Result<bool, ReadError> {
        let mut unread = seen.tips.clone();
        let mut known: HashSet<CommitId> = self.tips.iter().map(|tip| tip.id).collect();
        while let Some(remembered) = unread.pop() {
            if (may_be_dropped && self.tables.is_dropped(&remembered.id)) || !known.insert(remembered.id) {
                continue;
            }
            if !self.listed.contains_key(&remembered.name) {
                return Ok(true);
            }
            let damage = match read_tip(objects, &remembered.name) {
                Ok((tip, _)) if tip.id != remembered.id => return Ok(true),
                // This device's own commit came too late for a rotation. What went before it must be there.
                Ok((tip, _)) if self.outdated.contains(&tip.name) => {
                    unread.extend(tip.commit.parents);
                    continue;
                }
                Ok((tip, None)) if !self.continues(&tip) => return Ok(true),
                Ok((_, damage)) => damage,
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => Some(damage),
                Err(error) => return Err(error),
            };
            if let Some(damage) = damage {
                self.damaged.push(damage);
                self.unproven.push(remembered);
            }
        }
        Ok(false)
    }

    /// Whether all that a remembered commit said is still said. A commit before it that is listed need not be named: it was
    /// left out while it was damaged, and is read by itself.
    fn continues(&self, remembered: &Tip) -> bool {
        let files: HashSet<&str> = self.listed.keys().map(ObjectName::file).collect();
        let mut tables = remembered.tables.clone();
        tables.remove_commits(|id, file| !self.tables.has_commit(id) && files.contains(file));
        self.tables.continues(&tables)
    }

    /// Reads what other writers added, if anything; tells whether there was something. A storage that now shows less
    /// than before is rolled back.
    pub(crate) fn refresh(&mut self, objects: &Objects) -> Result<bool, PublishError> {
        if list(objects)?.keys().eq(self.listed.keys()) {
            return Ok(false);
        }
        let mut fresh = Self::load(objects)?;
        if fresh.lacks(objects, &self.seen(Timestamp::EPOCH), false)? {
            return Err(PublishError::RolledBack);
        }
        // If a commit was damaged meanwhile, what it told is still known here.
        fresh.tables.merge(&self.tables);
        let known: HashSet<CommitId> = fresh.unproven.iter().map(|commit| commit.id).collect();
        fresh
            .unproven
            .extend(std::mem::take(&mut self.unproven).into_iter().filter(|commit| !known.contains(&commit.id)));
        *self = fresh;
        Ok(true)
    }

    /// Stores a change as the commit `number` on top of all tips; returns the object's length, or `None` if another
    /// writer took the number.
    pub(crate) fn store(
        &mut self,
        objects: &Objects,
        number: u64,
        change: &Change,
        additions: &Tables,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<u64>, StorageError> {
        let tip = self.next_tip(objects, number, change, additions, rng);
        let body = tip.commit.encode(&tip.tables_to_write(self));
        match objects.write_body(ObjectKind::Commit, &tip.name, &body, rng) {
            Ok(len) => {
                self.advance(tip, &body);
                Ok(Some(len))
            }
            Err(error) if error.kind == StorageErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a commit, every bit of it, and compares it with its name and with what its successors say of it.
    pub(crate) fn verify(&self, objects: &Objects, name: &ObjectName) -> Result<(), ReadError> {
        let (epoch, body) = objects.read_body_of_epoch(ObjectKind::Commit, name)?;
        decode_commit(name, epoch, &body)?;
        match self.tables.commit_id(name.file()) {
            Some(id) if id != CommitId::of(&body) => Err(Damage::new(name, DamageCause::Content).into()),
            _ => Ok(()),
        }
    }

    /// Commits that have been ancestors of an old one, so that no device has taken them for the newest since long, and
    /// that neither it nor younger ones are based on; none if they are fewer than `least`.
    pub(crate) fn droppable(
        &self,
        objects: &Objects,
        is_old: impl Fn(&ObjectName) -> bool,
        least: usize,
    ) -> Result<HashSet<ObjectName>, ReadError> {
        // What came under an old key makes no other an ancestor.
        let counts = |name: &&ObjectName| is_old(name) && !self.outdated.contains(name);
        let newest_old = self.listed.keys().filter(counts).max_by_key(|name| number_of(name));
        let Some(newest_old) = newest_old else { return Ok(HashSet::new()) };
        let ancestors = read_tip(objects, newest_old)?.0.tables;
        let ancestors: HashSet<String> = ancestors.commit_names().map(|(_, file)| file).collect();
        let mut old: HashSet<ObjectName> =
            self.listed.keys().filter(|name| ancestors.contains(name.file())).cloned().collect();
        let mut unread: Vec<ObjectName> = self.listed.keys().filter(|name| !old.contains(name)).cloned().collect();
        while let Some(name) = unread.pop().filter(|_| old.len() >= least) {
            let body = objects.read_body(ObjectKind::Commit, &name)?;
            let (commit, _) = Commit::decode(&body).map_err(|error| Damage::new(&name, error))?;
            let base = commit.parents.first().filter(|_| commit.growth.depth > 0);
            if let Some(base) = base.and_then(|base| old.take(&base.name)) {
                unread.push(base);
            }
        }
        Ok(if old.len() >= least { old } else { HashSet::new() })
    }

    /// Whether a commit of this number may be a tip, or one that a tip is based on.
    pub(crate) fn may_be_base(&self, number: u64) -> bool {
        let lowest = self.tips.iter().map(|tip| tip.commit.number).min().unwrap_or_default();
        number >= lowest.saturating_sub(2 * u64::from(WRITTEN_DEPTH))
    }

    /// Whether all commits have numbers that only one writer could take.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.listed.keys().all(is_number_alone)
    }

    /// The first number after the tips' that no listed name has. Names alone prove nothing: a stray file with a
    /// high number must not use numbers up.
    pub(crate) fn next_number(&self) -> Option<u64> {
        let taken: HashSet<u64> = self.listed.keys().filter_map(number_of).collect();
        let after = self.tips.iter().map(|tip| tip.commit.number).max().unwrap_or_default();
        (after..MAX_NUMBER).map(|number| number + 1).find(|number| !taken.contains(number))
    }

    fn next_tip(
        &self,
        objects: &Objects,
        number: u64,
        change: &Change,
        additions: &Tables,
        rng: &mut dyn CryptoRng,
    ) -> Tip {
        let exclusive = objects.storage.features().create_if_absent;
        let name = numbered_name(Folder::Commits, number, if exclusive { None } else { Some(rng) });
        // A commit that begins an epoch, or after which earlier ones may be deleted, or before which some are damaged, stands
        // by itself.
        let is_undamaged = self.damaged.is_empty() && self.mended.is_empty();
        let is_whole = matches!(change.action, Action::Rotate | Action::Prune) || !is_undamaged;
        let base = self.tips.first().filter(|_| !is_whole);
        let growth = base.and_then(|base| base.commit.growth.next(base.len)).unwrap_or_default();
        let mut tables = self.tables.clone();
        // A damaged commit is not to be passed over as an ancestor: if it comes back whole, it is to be read.
        tables.remove_commits(|_, file| self.damaged.iter().any(|damage| damage.object.ends_with(file)));
        for tip in &self.tips {
            tables.insert_commit(&tip.id, &tip.name);
        }
        tables.merge(additions);
        let commit = Commit {
            number,
            parents: self.seen(change.time).tips,
            time: change.time,
            action: change.action,
            config: change.config.max(self.config()),
            older_epochs: objects.keyring.older(),
            growth,
            epoch_starts: self.epoch_starts(objects.keyring.newest()),
        };
        Tip { id: CommitId::NONE, name, epoch: objects.keyring.newest(), commit, len: 0, tables }
    }

    /// The commits that began the epochs up to this one, as far as they have begun. Where damage left no commit that knows,
    /// there is none.
    fn epoch_starts(&self, epoch: Epoch) -> Vec<CommitId> {
        let has_begun = self.tips.iter().any(|tip| tip.epoch == epoch);
        let last = if has_begun { epoch.0 } else { epoch.0.saturating_sub(1) };
        let start = |begun| self.tips.iter().find_map(|tip| tip.start_of(Epoch(begun))).unwrap_or(CommitId::NONE);
        (1..=last).map(start).collect()
    }

    /// Makes the commit just written the only tip.
    fn advance(&mut self, mut tip: Tip, body: &[u8]) {
        tip.id = CommitId::of(body);
        tip.len = body.len() as u64;
        // The storage's time of it is learnt when it is listed.
        self.listed.insert(tip.name.clone(), None);
        self.tables = tip.tables.clone();
        self.tips = vec![tip];
        self.mended.clear();
    }
}

impl Tip {
    /// The commit that began an epoch, as far as this one knows.
    fn start_of(&self, epoch: Epoch) -> Option<CommitId> {
        match self.commit.epoch_starts.get(epoch.0.checked_sub(1)? as usize) {
            Some(start) => Some(*start).filter(|start| *start != CommitId::NONE),
            None => (self.epoch == epoch).then_some(self.id),
        }
    }

    /// All tables for a full commit, else what the first parent's lack.
    fn tables_to_write(&self, history: &History) -> Tables {
        match history.tips.first() {
            Some(base) if self.commit.growth.depth > 0 => self.tables.since(&base.tables),
            _ => self.tables.clone(),
        }
    }
}

/// A commit that could not be published, or that this device cannot remember.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This device cannot remember it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The storage shows less than it did when the repository was opened.
    #[error("the storage shows a history that lacks what was seen before")]
    RolledBack,
    /// Another writer changed the protectors meanwhile.
    #[error("another device changed the ways to get the key back at the same time")]
    Conflict,
    /// Other writers were faster, again and again.
    #[error("other devices write all the time")]
    Busy,
}

/// The secrets of older epochs in a commit that was opened (spec §3.6).
pub(crate) fn older_epochs_in(name: &ObjectName, epoch: Epoch, body: &[u8]) -> Result<OlderEpochs, ReadError> {
    Ok(decode_commit(name, epoch, body)?.0.older_epochs)
}

/// Whether a config on the storage says that the repository has a later key (spec §11.4). Nobody vouches for it: it only
/// tells what to ask of the owner where a commit cannot be opened.
fn is_key_replaced(objects: &Objects) -> Result<bool, ReadError> {
    let configs = objects.storage.list(Folder::Config).map_err(ReadError::Storage)?;
    for info in configs.into_iter().filter(|info| number_of(&info.name).is_some()) {
        let object = objects.storage.get(&info.name);
        let object = match object.map_err(|error| ReadError::from_storage(error, &info.name)) {
            Err(ReadError::Damaged(_)) => continue,
            object => object?,
        };
        let header = Header::parse_as(ObjectKind::Config, &object);
        if header.is_ok_and(|header| objects.keyring.is_succeeded_by(&header)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn list(objects: &Objects) -> Result<BTreeMap<ObjectName, Option<Timestamp>>, ReadError> {
    let listing = objects.storage.list(Folder::Commits).map_err(ReadError::Storage)?;
    let commits = listing.into_iter().filter(|info| number_of(&info.name).is_some());
    Ok(commits.map(|info| (info.name, info.stored)).collect())
}

/// Reads a commit and, through its bases, the tables as it left them.
///
/// Where a base is damaged, the tables are those that the commits above it tell, and the damage comes beside: rows
/// only ever add up, so what can be read still counts.
fn read_tip(objects: &Objects, name: &ObjectName) -> Result<(Tip, Option<Damage>), ReadError> {
    let (tip, damage, _) = read_tip_from(objects, name, objects.read_commit(name, |_| true)?)?;
    Ok((tip, damage))
}

/// The same, from the commit as it was read. What of it this device alone still has comes last.
fn read_tip_from(
    objects: &Objects,
    name: &ObjectName,
    read: ReadCommit,
) -> Result<(Tip, Option<Damage>, Vec<Damage>), ReadError> {
    let ReadCommit { epoch, body, damage } = read;
    let mut mended: Vec<Damage> = damage.into_iter().collect();
    let (commit, delta) = decode_commit(name, epoch, &body)?;
    let mut deltas = vec![delta];
    let (mut growth, mut base) = (commit.growth, commit.parents.first().cloned());
    let mut damage = None;
    while growth.depth > 0 {
        let parent = base.ok_or_else(|| Damage::new(name, DamageCause::Content))?;
        match read_base(objects, &parent, growth) {
            Ok((next, delta, damage)) => {
                deltas.push(delta);
                mended.extend(damage);
                (growth, base) = (next.growth, next.parents.first().cloned());
            }
            Err(ReadError::Damaged(found)) if !found.cause.is_newer_version() => {
                damage = Some(found);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let mut tables = Tables::default();
    deltas.iter().rev().for_each(|delta| tables.merge(delta));
    let (id, len) = (CommitId::of(&body), body.len() as u64);
    let tip = Tip { id, name: name.clone(), epoch, commit, len, tables };
    Ok((tip, damage, mended))
}

/// Decodes one commit that was sealed in an epoch. Its number must be that in its name.
fn decode_commit(name: &ObjectName, epoch: Epoch, body: &[u8]) -> Result<(Commit, Tables), ReadError> {
    let (commit, tables) = Commit::decode(body).map_err(|error| Damage::new(name, error))?;
    commit.check_epochs(epoch).map_err(|error| Damage::new(name, error))?;
    if number_of(name) != Some(commit.number) {
        return Err(Damage::new(name, DamageCause::Content).into());
    }
    Ok((commit, tables))
}

fn read_base(objects: &Objects, parent: &Parent, above: Growth) -> Result<(Commit, Tables, Option<Damage>), ReadError> {
    let ReadCommit { epoch, body, damage } =
        objects.read_commit(&parent.name, |body| CommitId::of(body) == parent.id)?;
    let (commit, delta) = decode_commit(&parent.name, epoch, &body)?;
    if CommitId::of(&body) != parent.id || commit.growth.depth + 1 != above.depth {
        return Err(Damage::new(&parent.name, DamageCause::Content).into());
    }
    Ok((commit, delta, damage))
}
