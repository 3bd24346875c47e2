//! The history of a repository: commits, each one change of state, joined into a chain (spec §11).

mod commit;
mod tables;

use std::collections::HashSet;

use hushkeep_core::keys::ObjectKind;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::config::ConfigName;
use crate::error::{Damage, DamageCause, ReadError};
use crate::growth::Growth;
use crate::objects::{MAX_NUMBER, Objects, number_of, numbered_name};
use crate::storage::{Folder, ObjectName, StorageError, StorageErrorKind};
pub(crate) use commit::{Action, CommitId, SeenTips};
use commit::{Commit, Parent};
pub(crate) use tables::{IndexRow, PackRow, Tables};

/// How often a commit is tried again when another writer took its number.
const MAX_ATTEMPTS: u32 = 64;

/// The state of a repository, as the commits on its storage tell it.
#[derive(Debug, Default)]
pub(crate) struct History {
    tips: Vec<Tip>,
    /// What all tips together say.
    tables: Tables,
    /// Every commit that was listed, read or not.
    listed: HashSet<ObjectName>,
    /// Commits that could not be read.
    damaged: Vec<Damage>,
}

/// An end of the chain: a commit that no other names as its parent.
#[derive(Debug)]
struct Tip {
    id: CommitId,
    name: ObjectName,
    commit: Commit,
    /// The length of the commit's body, in bytes.
    len: u64,
    tables: Tables,
}

/// One change of state, to be published as a commit.
pub(crate) struct Change<'a> {
    pub(crate) action: Action,
    pub(crate) time: Timestamp,
    /// The config that holds from now on, unless a tip names a newer one.
    pub(crate) config: ConfigName,
    /// What becomes part of the tables, given the commit's number.
    pub(crate) additions: &'a dyn Fn(u64) -> Tables,
}

impl History {
    /// Reads the commits of a storage: the tips, and of their ancestors as many as it takes to know the state.
    ///
    /// A damaged commit is passed over, and the commits around it tell what they can; one that a newer version wrote is an error, for whoever went on beside it
    /// could undo what it says.
    pub(crate) fn load(objects: &Objects) -> Result<Self, ReadError> {
        let mut history = Self { listed: list(objects)?, ..Self::default() };
        let mut names: Vec<ObjectName> = history.listed.iter().cloned().collect();
        names.sort_unstable_by_key(|name| std::cmp::Reverse((number_of(name), name.file().to_owned())));
        let mut covered: HashSet<String> = HashSet::new();
        for name in &names {
            if covered.contains(name.file()) {
                continue;
            }
            match read_tip(objects, name) {
                // The same commit under another name.
                Ok((tip, _)) if history.knows(&tip.id) => {}
                Ok((tip, damage)) => {
                    history.damaged.extend(damage);
                    covered.extend(tip.tables.commit_names());
                    history.tables.merge(&tip.tables);
                    history.tips.push(tip);
                }
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => {
                    history.damaged.push(damage);
                }
                Err(error) => return Err(error),
            }
        }
        match history.damaged.first() {
            Some(damage) if history.tips.is_empty() => Err(damage.clone().into()),
            _ => Ok(history),
        }
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Commits that could not be read. What only they told is missing.
    pub(crate) fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// The newest config that a tip names.
    pub(crate) fn config(&self) -> ConfigName {
        self.tips.iter().map(|tip| tip.commit.config).max().unwrap_or_default()
    }

    /// The secrets of older epochs that a tip carries.
    pub(crate) fn older_epochs(&self) -> impl Iterator<Item = &[u8]> {
        self.tips.iter().map(|tip| tip.commit.older_epochs.as_slice())
    }

    /// The tips, for a device to remember.
    pub(crate) fn seen(&self) -> SeenTips {
        SeenTips(self.tips.iter().map(|tip| Parent { id: tip.id, name: tip.name.clone() }).collect())
    }

    /// The same, with those of `earlier` that are damaged: that they were there is not to be forgotten.
    pub(crate) fn seen_since(&self, earlier: SeenTips) -> SeenTips {
        let mut seen = self.seen();
        let is_damaged = |parent: &Parent| {
            let object = parent.name.to_string();
            self.damaged.iter().any(|damage| damage.object == object)
        };
        seen.0.extend(earlier.0.into_iter().filter(is_damaged));
        seen
    }

    fn knows(&self, id: &CommitId) -> bool {
        self.tables.has_commit(id) || self.tips.iter().any(|tip| tip.id == *id)
    }

    /// Whether something that this device remembers is missing from the history. A commit that is there but
    /// damaged is damage, which [`damaged`](Self::damaged) tells, not a roll-back.
    ///
    /// That a remembered commit is an ancestor is not taken on anybody's word: it is read, and all that it said
    /// must still be said. So not even who has the key can take back what a device has seen.
    pub(crate) fn lacks(&mut self, objects: &Objects, seen: &SeenTips) -> Result<bool, ReadError> {
        for remembered in &seen.0 {
            if self.tips.iter().any(|tip| tip.id == remembered.id) {
                continue;
            }
            if !self.listed.contains(&remembered.name) {
                return Ok(true);
            }
            match read_tip(objects, &remembered.name) {
                Ok((tip, None)) if tip.id != remembered.id || !self.tables.continues(&tip.tables) => return Ok(true),
                Ok((_, damage)) => self.damaged.extend(damage),
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => self.damaged.push(damage),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Publishes a change on top of all tips, reading those that other writers added meanwhile; returns the
    /// commit's number and the object's length.
    pub(crate) fn publish(
        &mut self,
        objects: &Objects,
        change: &Change<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(u64, u64), PublishError> {
        for _ in 0..MAX_ATTEMPTS {
            self.refresh(objects)?;
            if change.action == Action::Config && self.config().number >= change.config.number {
                return Err(PublishError::Conflict);
            }
            let number = self.next_number().ok_or(PublishError::Conflict)?;
            let tip = self.next_tip(objects, number, change, rng);
            let body = tip.commit.encode(&tip.tables_to_write(self));
            match objects.write_body(ObjectKind::Commit, &tip.name, &body, rng) {
                Ok(len) => {
                    self.advance(tip, &body);
                    return Ok((number, len));
                }
                Err(error) if error.kind == StorageErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PublishError::Storage(StorageError::new(StorageErrorKind::AlreadyExists, "commits")))
    }

    /// Reads what other writers added, if anything. A storage that now shows less than before is rolled back.
    pub(crate) fn refresh(&mut self, objects: &Objects) -> Result<(), PublishError> {
        if list(objects)? == self.listed {
            return Ok(());
        }
        let mut fresh = Self::load(objects)?;
        if fresh.lacks(objects, &self.seen())? {
            return Err(PublishError::RolledBack);
        }
        // If a commit was damaged meanwhile, what it told is still known here.
        fresh.tables.merge(&self.tables);
        *self = fresh;
        Ok(())
    }

    /// The first number after the tips' that no listed name has. Names alone prove nothing: a stray file with a
    /// high number must not use numbers up.
    fn next_number(&self) -> Option<u64> {
        let taken: HashSet<u64> = self.listed.iter().filter_map(number_of).collect();
        let after = self.tips.iter().map(|tip| tip.commit.number).max().unwrap_or_default();
        (after..MAX_NUMBER).map(|number| number + 1).find(|number| !taken.contains(number))
    }

    fn next_tip(&self, objects: &Objects, number: u64, change: &Change<'_>, rng: &mut dyn CryptoRng) -> Tip {
        let exclusive = objects.storage.features().create_if_absent;
        let name = numbered_name(Folder::Commits, number, if exclusive { None } else { Some(rng) });
        let growth = self.tips.first().and_then(|base| base.commit.growth.next(base.len)).unwrap_or_default();
        let mut tables = self.tables.clone();
        // A damaged commit is not to be passed over as an ancestor: if it comes back whole, it is to be read.
        tables.drop_commits(|file| self.damaged.iter().any(|damage| damage.object.ends_with(file)));
        for tip in &self.tips {
            tables.insert_commit(&tip.id, &tip.name);
        }
        tables.merge(&(change.additions)(number));
        let commit = Commit {
            number,
            parents: self.seen().0,
            time: change.time,
            action: change.action,
            config: change.config.max(self.config()),
            older_epochs: objects.keyring.encode_older(),
            growth,
        };
        Tip { id: CommitId::NONE, name, commit, len: 0, tables }
    }

    /// Makes the commit just written the only tip.
    fn advance(&mut self, mut tip: Tip, body: &[u8]) {
        tip.id = CommitId::of(body);
        tip.len = body.len() as u64;
        self.listed.insert(tip.name.clone());
        self.tables = tip.tables.clone();
        self.tips = vec![tip];
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

/// A commit that could not be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The storage shows less than it did when the repository was opened.
    #[error("the storage shows a history that lacks what was seen before")]
    RolledBack,
    /// Another writer changed the protectors meanwhile.
    #[error("another device changed the ways to get the key back at the same time")]
    Conflict,
}

fn list(objects: &Objects) -> Result<HashSet<ObjectName>, ReadError> {
    let listing = objects.storage.list(Folder::Commits).map_err(ReadError::Storage)?;
    Ok(listing.into_iter().map(|info| info.name).filter(|name| number_of(name).is_some()).collect())
}

/// Reads a commit and, through its bases, the tables as it left them.
///
/// Where a base is damaged, the tables are those that the commits above it tell, and the damage comes beside: rows
/// only ever add up, so what can be read still counts.
fn read_tip(objects: &Objects, name: &ObjectName) -> Result<(Tip, Option<Damage>), ReadError> {
    let body = objects.read_body(ObjectKind::Commit, name)?;
    let (commit, delta) = Commit::decode(&body).map_err(|error| Damage::new(name, error))?;
    if number_of(name) != Some(commit.number) {
        return Err(Damage::new(name, DamageCause::Content).into());
    }
    let mut deltas = vec![delta];
    let (mut growth, mut base) = (commit.growth, commit.parents.first().cloned());
    let mut damage = None;
    while growth.depth > 0 {
        let parent = base.ok_or_else(|| Damage::new(name, DamageCause::Content))?;
        match read_base(objects, &parent, growth) {
            Ok((next, delta)) => {
                deltas.push(delta);
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
    let tip = Tip { id: CommitId::of(&body), name: name.clone(), commit, len: body.len() as u64, tables };
    Ok((tip, damage))
}

fn read_base(objects: &Objects, parent: &Parent, above: Growth) -> Result<(Commit, Tables), ReadError> {
    let body = objects.read_body(ObjectKind::Commit, &parent.name)?;
    let (commit, delta) = Commit::decode(&body).map_err(|error| Damage::new(&parent.name, error))?;
    if CommitId::of(&body) != parent.id || commit.growth.depth + 1 != above.depth {
        return Err(Damage::new(&parent.name, DamageCause::Content).into());
    }
    Ok((commit, delta))
}
