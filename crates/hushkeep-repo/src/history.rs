//! The history of a repository: commits, each one change of state, joined into a chain (spec §11).

mod commit;
#[cfg(fuzzing)]
pub(crate) mod hostile;
mod read;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use hushkeep_core::keys::{Epoch, ObjectKind};
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::config::ConfigName;
use crate::error::{Damage, DamageCause, ReadError};
use crate::growth::WRITTEN_DEPTH;
use crate::keyring::OlderEpochs;
use crate::objects::{MAX_NUMBER, Objects, is_number_alone, number_of, numbered_name};
use crate::retention::SECONDS_UNTIL_DROPPED;
use crate::state::StateError;
use crate::storage::{Folder, ObjectName, StorageError, StorageErrorKind};
pub(crate) use commit::{Action, CommitId, SeenTips};
use commit::{Commit, Parent, SeenTip};
#[cfg(fuzzing)]
pub(crate) use commit::{assert_commit_round_trips, assert_commits_join, assert_seen_tips_round_trip};
pub(crate) use read::has_config;
use read::{
    Told, as_damage, decode_commit, find_commit, is_newer, list, newest_first, read_seen, read_tip, told_epoch,
};
pub use tables::ForgottenSnapshot;
pub(crate) use tables::{IndexRow, PackRow, Tables};

/// The state of a repository, as the commits on its storage tell it.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The epoch of the key at hand.
    epoch: Epoch,
    tips: Vec<Tip>,
    /// What all tips together say.
    tables: Tables,
    /// Whether the key holds: a commit under it is there, or was lost.
    is_in_force: bool,
    /// Every commit that was listed, read or not.
    listed: BTreeSet<ObjectName>,
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
pub(crate) struct Tip {
    id: CommitId,
    epoch: Epoch,
    commit: Commit,
    /// The length of the commit's body, in bytes.
    len: u64,
    tables: Tables,
    /// The epoch of the full commit at the end of its chain, or what is wrong with the chain. Then the tables are those that
    /// the commits above the damage tell: rows only ever add up, so what can be read still counts.
    full: Result<Epoch, Damage>,
    /// What of the chain this device alone still has.
    mended: Vec<Damage>,
}

/// One change of state, to be published as a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) time: Timestamp,
    /// The config that it brings, which holds from then on.
    pub(crate) config: Option<ConfigName>,
}

impl History {
    /// Reads the commits of a storage: the tips, and of their ancestors as many as it takes to know the state.
    ///
    /// A damaged commit is passed over, and the commits around it tell what they can; one that a newer version wrote
    /// is an error, for whoever went on beside it could undo what it says.
    pub(crate) fn load(objects: &Objects) -> Result<Self, ReadError> {
        let listed = list(objects)?;
        let mut history = Self::read_tips(objects, &listed, objects.keyring.newest())?;
        history.is_in_force = true;
        if history.tips.is_empty() && history.epoch != Epoch::FIRST {
            let Some(lost) = history.find_lost_newest(objects)? else {
                return Ok(Self { is_in_force: false, ..history });
            };
            // What older keys sealed is better than nothing. It covers what is damaged below it, but not what was lost.
            history = Self::read_tips(objects, &listed, Epoch::FIRST)?;
            history.damaged.retain(|damage| lost.iter().all(|lost| lost.object != damage.object));
            history.damaged.splice(0..0, lost);
            history.is_in_force = true;
            // A storage that fails now and then: under the newest key nothing else counts.
            if let Some(lost) = history.damaged.first().filter(|_| history.has_newest_tip()) {
                return Err(lost.clone().into());
            }
        }
        match history.damaged.first() {
            Some(damage) if history.tips.is_empty() && !listed.is_empty() => Err(damage.clone().into()),
            _ => Ok(history),
        }
    }

    /// Finds the tips among the commits that are `listed`: of those sealed in the `oldest` epoch that counts or later ones.
    ///
    /// Others were written by a device that did not know of the next key, or by who stole the old one, and are not taken: a
    /// thief must not pass newer commits off as continued by his own, so they hide nothing; nor can he stop anybody by what
    /// only a newer version would understand.
    fn read_tips(objects: &Objects, listed: &BTreeSet<ObjectName>, oldest: Epoch) -> Result<Self, ReadError> {
        let mut history = Self { epoch: objects.keyring.newest(), listed: listed.clone(), ..Self::default() };
        let mut covered: HashSet<String> = HashSet::new();
        let (mut older, mut copies) = (Vec::new(), Vec::new());
        for name in newest_first(listed.iter().cloned()) {
            if covered.contains(name.file()) {
                continue;
            }
            match find_commit(objects, &name) {
                Ok(Some(found)) if found.is_copy(&name) => copies.push((found.id, name)),
                Ok(Some(found)) if found.epoch < oldest => older.push((found.id, name)),
                Ok(Some(found)) if history.knows(&found.id) => {}
                Ok(Some(found)) => {
                    let tip = found.into_tip(objects)?;
                    covered.extend(tip.tables.commit_names().map(|(_, file)| file));
                    history.add_tip(tip);
                }
                Ok(None) => history.outdated.push(name),
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => {
                    history.note_damage(damage, objects)?;
                }
                Err(error) => return Err(error),
            }
        }
        let read: HashSet<CommitId> = older.iter().map(|(id, _)| *id).collect();
        copies.retain(|(id, _)| !history.knows(id) && !read.contains(id));
        older.retain(|(id, _)| !history.knows(id));
        history.outdated.extend(older.into_iter().map(|(_, name)| name));
        history.outdated.retain(|name| !covered.contains(name.file()));
        history.damaged.extend(copies.into_iter().map(|(_, name)| Damage::new(&name, DamageCause::Content)));
        Ok(history)
    }

    /// Takes in a commit that nothing found before continues, and what is wrong with its chain.
    fn add_tip(&mut self, mut tip: Tip) {
        if self.knows(&tip.id) {
            return;
        }
        self.mended.append(&mut tip.mended);
        self.damaged.extend(tip.full.as_ref().err().cloned());
        self.tables.merge(&tip.tables);
        self.tips.push(tip);
    }

    /// What is lost if the key holds although no commit under it can be read (spec §12.4): one that may have been under it is
    /// damaged, or all are missing. `None` if it does not hold: a rotation that died before its commit leaves the config of
    /// before; one that was completed deletes that, and so its commit was lost.
    fn find_lost_newest(&self, objects: &Objects) -> Result<Option<Vec<Damage>>, ReadError> {
        let mut lost = Vec::new();
        for damage in &self.damaged {
            let Ok(name) = damage.object.parse() else { continue };
            match told_epoch(objects, &name)? {
                Told::Epoch(epoch) if epoch < self.epoch => {}
                // It was listed, and is not there: nobody has damaged it.
                Told::Missing => {}
                Told::Epoch(_) | Told::Nothing => lost.push(damage.clone()),
            }
        }
        if !lost.is_empty() {
            return Ok(Some(lost));
        }
        // One that is listed and missing may just be deleted: this listing is old, and may lack the commit as well.
        if has_config(objects, |header| header.is_none_or(|header| objects.keyring.is_preceded_by(header)))? {
            return Ok(None);
        }
        Ok(Some(vec![Damage { object: Folder::Commits.name().to_owned(), cause: DamageCause::Missing }]))
    }

    /// Commits under older keys that were stored while this device replaced the key, if they add to what is known here and
    /// change nothing of it (spec §12.5).
    pub(crate) fn find_late(&self, objects: &Objects) -> Result<Vec<Tip>, ReadError> {
        let listed = list(objects)?;
        let new = newest_first(listed.difference(&self.listed).cloned());
        let highest = self.highest_number().saturating_add(new.len() as u64);
        let mut known = self.tables.clone();
        self.tips.iter().for_each(|tip| known.insert_commit(&tip.id, &tip.commit.name));
        let (mut candidates, mut late) = (Vec::new(), Vec::new());
        // The earliest first: what is taken is known to those after it.
        for name in new.iter().rev() {
            let Ok(Some(found)) = find_commit(objects, name) else { continue };
            if found.epoch >= self.epoch || found.is_copy(name) || found.commit.number > highest {
                continue;
            }
            // Each has its own id and name, whatever the others call it.
            known.insert_commit(&found.id, name);
            candidates.extend(found.into_tip(objects));
        }
        for tip in candidates {
            if tip.tables.only_add_to(&known) {
                known.merge(&tip.tables);
                late.push(tip);
            }
        }
        Ok(late)
    }

    /// Takes in what [`find_late`](Self::find_late) found.
    pub(crate) fn take_late(&mut self, late: Vec<Tip>) {
        late.into_iter().for_each(|tip| self.add_tip(tip));
    }

    /// Notes a damaged commit; an error if it is not damaged, but written under a newer key.
    fn note_damage(&mut self, damage: Damage, objects: &Objects) -> Result<(), ReadError> {
        // It tells what to ask of the owner, no more.
        if damage.cause == DamageCause::UnknownEpoch
            && has_config(objects, |header| header.is_some_and(|header| objects.keyring.is_succeeded_by(header)))?
        {
            return Err(ReadError::Rotated);
        }
        self.damaged.push(damage);
        Ok(())
    }

    /// Whether a tip is under the key at hand.
    pub(crate) fn has_newest_tip(&self) -> bool {
        self.epoch == Epoch::FIRST || self.tips.iter().any(|tip| tip.epoch == self.epoch)
    }

    /// Whether the key holds: a commit of its own epoch is there, as it is once a rotation is complete, or was lost.
    pub(crate) fn is_in_force(&self) -> bool {
        self.is_in_force
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

    /// The newest config that a tip of the newest epoch names: what older ones name was replaced with the key.
    pub(crate) fn config(&self) -> ConfigName {
        let tips = self.tips.iter().filter(|tip| tip.epoch == self.epoch);
        tips.map(|tip| tip.commit.config).max().unwrap_or_default()
    }

    /// The highest number of a config that any tip names.
    pub(crate) fn highest_config(&self) -> u64 {
        self.tips.iter().map(|tip| tip.commit.config.number).max().unwrap_or_default()
    }

    /// Whether there is a row for every pack of the epochs before the newest: a full commit of that has them.
    pub(crate) fn knows_older_packs(&self) -> bool {
        let is_full = |tip: &Tip| tip.full.as_ref().is_ok_and(|epoch| *epoch == self.epoch);
        self.tips.iter().any(is_full) && self.tips.iter().all(|tip| tip.epoch == self.epoch)
    }

    /// The secrets of older epochs that a tip carries.
    pub(crate) fn older_epochs(&self) -> impl Iterator<Item = &OlderEpochs> {
        self.tips.iter().map(|tip| &tip.commit.older_epochs)
    }

    /// The tips, for a device to remember that it saw them at this time.
    pub(crate) fn seen(&self, time: Timestamp) -> SeenTips {
        SeenTips(self.parents().map(|commit| SeenTip { commit, time }).collect())
    }

    /// The same, with remembered ones that could not be proven: that they were there is not to be forgotten. (One that
    /// stands in for its outdated successor counts as seen now.)
    pub(crate) fn seen_since(&self, earlier: &SeenTips, time: Timestamp) -> SeenTips {
        let mut seen = self.seen(time);
        for unproven in &self.unproven {
            let remembered = earlier.0.iter().find(|tip| tip.commit == *unproven);
            let time = remembered.map_or(time, |tip| tip.time);
            seen.0.push(SeenTip { commit: unproven.clone(), time });
        }
        seen
    }

    /// The tips, as the next commit names them.
    fn parents(&self) -> impl Iterator<Item = Parent> {
        self.tips.iter().map(|tip| Parent { id: tip.id, name: tip.commit.name.clone() })
    }

    /// The tips and all their ancestors: file names and ids.
    fn named_commits(&self) -> impl Iterator<Item = (String, CommitId)> {
        let tips = self.tips.iter().map(|tip| (tip.commit.name.file().to_owned(), tip.id));
        tips.chain(self.tables.commits())
    }

    fn knows(&self, id: &CommitId) -> bool {
        self.tables.has_commit(id) || self.tips.iter().any(|tip| tip.id == *id)
    }

    /// Whether something that this device remembers is missing from the history. A commit that is there but
    /// damaged is damage, which [`damaged`](Self::damaged) tells, not a roll-back.
    ///
    /// That a remembered commit is an ancestor is not taken on anybody's word: it is read, and all that it said
    /// must still be said. So not even who has the key can take back what a device has seen. Only of a commit that was
    /// seen long ago it is enough that its successors call it dropped: nothing but their word is left of it then.
    pub(crate) fn lacks(&mut self, objects: &Objects, seen: &SeenTips, now: Timestamp) -> Result<bool, ReadError> {
        let with_age = |tip: &SeenTip| (tip.commit.clone(), tip.age(now) >= SECONDS_UNTIL_DROPPED);
        let mut unread: Vec<(Parent, bool)> = seen.0.iter().map(with_age).collect();
        let mut known: HashSet<CommitId> = HashSet::new();
        while let Some((remembered, may_be_dropped)) = unread.pop() {
            if (may_be_dropped && self.tables.is_dropped(&remembered.id)) || !known.insert(remembered.id) {
                continue;
            }
            // Whoever has the key could store another beside it, which exchanges what its rows refer to.
            if let Some(tip) = self.tips.iter().find(|tip| tip.id == remembered.id) {
                match self.continues(tip) {
                    true => continue,
                    false => return Ok(true),
                }
            }
            if !self.listed.contains(&remembered.name) {
                return Ok(true);
            }
            let damage = match read_seen(objects, &remembered) {
                Ok(None) => return Ok(true),
                // This device's own commit came too late for a rotation. What went before it must be there.
                Ok(Some(tip)) if self.outdated.contains(&tip.commit.name) => {
                    unread.extend(tip.commit.parents.into_iter().map(|parent| (parent, may_be_dropped)));
                    continue;
                }
                Ok(Some(tip)) if !self.continues(&tip) => return Ok(true),
                Ok(Some(Tip { full: Err(damage), .. })) => damage,
                Ok(Some(_)) => continue,
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => damage,
                Err(error) => return Err(error),
            };
            self.damaged.push(damage);
            self.unproven.push(remembered);
        }
        Ok(false)
    }

    /// Whether all that a remembered commit said is still said. A commit before it need not be named: it was left out while
    /// it was damaged, and what it said is in the other rows of this one.
    fn continues(&self, remembered: &Tip) -> bool {
        let mut tables = remembered.tables.clone();
        tables.keep_commits_of(&self.tables);
        self.tables.continues(&tables)
    }

    /// Reads what other writers added since the commits were `listed`, if anything; tells whether there was something. A
    /// storage that now shows less than before is rolled back.
    pub(crate) fn refresh(
        &mut self,
        objects: &Objects,
        listed: Timestamp,
        now: Timestamp,
    ) -> Result<bool, PublishError> {
        if list(objects)? == self.listed {
            return Ok(false);
        }
        let mut fresh = Self::load(objects)?;
        if fresh.lacks(objects, &self.seen(listed), now)? {
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

    /// Stores a change as the commit `number` on top of all tips, which names this config or a newer one of theirs; returns
    /// the object's length, or `None` if another writer took the number.
    pub(crate) fn store(
        &mut self,
        objects: &Objects,
        number: u64,
        (change, config): (&Change, ConfigName),
        additions: &Tables,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<u64>, StorageError> {
        let tip = self.next_tip(objects, number, (change, config), additions, rng);
        let body = tip.commit.encode(&tip.tables_to_write(self));
        match objects.write_body(ObjectKind::Commit, &tip.commit.name, &body, rng) {
            Ok(len) => {
                self.advance(tip, &body);
                Ok(Some(len))
            }
            Err(error) if error.kind == StorageErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a commit, every bit of it, and compares it with its name and with what its successors say of it. One that is not
    /// used need not be understood.
    pub(crate) fn verify(&self, objects: &Objects, name: &ObjectName) -> Result<(), ReadError> {
        let (epoch, body) = match objects.read_body_of_epoch(ObjectKind::Commit, name) {
            Err(error) if is_newer(&error) && self.outdated.contains(name) => return Ok(()),
            read => read.map_err(|error| as_damage(objects, name, error))?,
        };
        // Before it is decoded: another may be one of a newer version.
        if self.tables.is_another_named(name.file(), &CommitId::of(&body)) {
            return Err(Damage::new(name, DamageCause::Content).into());
        }
        match decode_commit(name, epoch, &body) {
            Err(error) if is_newer(&error) && self.outdated.contains(name) => Ok(()),
            decoded => decoded.map(drop).map_err(|error| as_damage(objects, name, error)),
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
        let Some((_, ancestors)) = self.newest_of(objects, is_old)? else { return Ok(HashSet::new()) };
        let ancestors: HashSet<String> = ancestors.commit_names().map(|(_, file)| file).collect();
        let mut old: HashSet<ObjectName> =
            self.listed.iter().filter(|name| ancestors.contains(name.file())).cloned().collect();
        let mut unread: Vec<ObjectName> = self.listed.iter().filter(|name| !old.contains(name)).cloned().collect();
        while let Some(name) = unread.pop().filter(|_| old.len() >= least) {
            let body = objects.read_body(ObjectKind::Commit, &name);
            let commit = body.and_then(|body| Ok(Commit::decode(&body).map_err(|error| Damage::new(&name, error))?.0));
            let commit = match commit {
                // Nothing is built on what is not used.
                Err(ReadError::Damaged(_)) if self.outdated.contains(&name) => continue,
                commit => commit.map_err(|error| as_damage(objects, &name, error))?,
            };
            let base = commit.parents.first().filter(|_| commit.growth.depth > 0);
            if let Some(base) = base.and_then(|base| old.take(&base.name)) {
                unread.push(base);
            }
        }
        Ok(if old.len() >= least { old } else { HashSet::new() })
    }

    /// The epoch of the newest commit of these, and what it said, if there is one. A copy is none of them, nor is what came too
    /// late under an old key.
    pub(crate) fn newest_of(
        &self,
        objects: &Objects,
        is_one: impl Fn(&ObjectName) -> bool,
    ) -> Result<Option<(Epoch, Tables)>, ReadError> {
        let named: HashMap<String, CommitId> = self.named_commits().collect();
        let counts = |name: &&ObjectName| is_one(name) && named.contains_key(name.file());
        let Some(newest) = self.listed.iter().filter(counts).max_by_key(|name| number_of(name)) else {
            return Ok(None);
        };
        let tip = read_tip(objects, newest)?;
        if named.get(newest.file()) != Some(&tip.id) {
            return Err(Damage::new(newest, DamageCause::Content).into());
        }
        Ok(Some((tip.epoch, tip.tables)))
    }

    /// Whether a commit of this number may be a tip, or one that a tip is based on.
    pub(crate) fn may_be_base(&self, number: u64) -> bool {
        let lowest = self.tips.iter().map(|tip| tip.commit.number).min().unwrap_or_default();
        number >= lowest.saturating_sub(2 * u64::from(WRITTEN_DEPTH))
    }

    /// Whether all commits have numbers that only one writer could take.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.listed.iter().all(is_number_alone)
    }

    /// The first number after the tips' that no listed name has. Names alone prove nothing: a stray file with a
    /// high number must not use numbers up.
    pub(crate) fn next_number(&self) -> Option<u64> {
        let taken: HashSet<u64> = self.listed.iter().filter_map(number_of).collect();
        (self.highest_number()..MAX_NUMBER).map(|number| number + 1).find(|number| !taken.contains(number))
    }

    /// The highest number of a tip.
    fn highest_number(&self) -> u64 {
        self.tips.iter().map(|tip| tip.commit.number).max().unwrap_or_default()
    }

    fn next_tip(
        &self,
        objects: &Objects,
        number: u64,
        (change, config): (&Change, ConfigName),
        additions: &Tables,
        rng: &mut dyn CryptoRng,
    ) -> Tip {
        let exclusive = objects.storage.features().create_if_absent;
        // A commit that begins an epoch, or after which earlier ones may be deleted, or before which some are damaged, stands
        // by itself.
        let is_undamaged = self.damaged.is_empty() && self.mended.is_empty();
        let is_whole = matches!(change.action, Action::Rotate | Action::Prune) || !is_undamaged;
        let base = self.tips.first().filter(|_| !is_whole);
        let growth = base.and_then(|base| base.commit.growth.next(base.len)).unwrap_or_default();
        let mut tables = self.tables.clone();
        // A damaged commit is not to be passed over as an ancestor: if it comes back whole, it is to be read.
        let damaged: HashSet<&str> = self.damaged.iter().map(|damage| damage.object.as_str()).collect();
        tables.remove_commits(|_, file| damaged.contains(format!("{}/{file}", Folder::Commits.name()).as_str()));
        for tip in &self.tips {
            tables.insert_commit(&tip.id, &tip.commit.name);
        }
        tables.merge(additions);
        let commit = Commit {
            name: numbered_name(Folder::Commits, number, if exclusive { None } else { Some(rng) }),
            number,
            parents: self.parents().collect(),
            time: change.time,
            action: change.action,
            config: config.max(self.config()),
            older_epochs: objects.keyring.older(),
            growth,
        };
        let epoch = objects.keyring.newest();
        let full = base.filter(|_| growth.depth > 0).map_or(Ok(epoch), |base| base.full.clone());
        Tip { id: CommitId::NONE, epoch, commit, len: 0, tables, full, mended: Vec::new() }
    }

    /// Makes the commit just written the only tip.
    fn advance(&mut self, mut tip: Tip, body: &[u8]) {
        tip.id = CommitId::of(body);
        tip.len = body.len() as u64;
        self.listed.insert(tip.commit.name.clone());
        (self.epoch, self.is_in_force) = (tip.epoch, true);
        self.tables = tip.tables.clone();
        self.tips = vec![tip];
        self.mended.clear();
    }
}

impl Tip {
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
