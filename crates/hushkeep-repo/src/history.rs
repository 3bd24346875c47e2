//! The history of a repository: commits, each one change of state, joined into a chain (spec §11).

mod commit;
mod tables;

use std::collections::HashSet;

use hushkeep_core::keys::ObjectKind;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::error::{Damage, DamageCause, ReadError};
use crate::growth::Growth;
use crate::objects::{Objects, number_of, numbered_name};
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
    /// The number of the config that holds from now on.
    pub(crate) config: u64,
    /// What becomes part of the tables, given the commit's number.
    pub(crate) additions: &'a dyn Fn(u64) -> Tables,
}

impl History {
    /// Reads the commits of a storage: the tips, and of their ancestors as many as it takes to know the state.
    ///
    /// A damaged commit is passed over; one that a newer version wrote is an error, for whoever went on beside it
    /// could undo what it says.
    pub(crate) fn load(objects: &Objects) -> Result<Self, ReadError> {
        let mut history = Self { listed: list(objects)?, ..Self::default() };
        let mut names: Vec<&ObjectName> = history.listed.iter().collect();
        names.sort_unstable_by_key(|name| std::cmp::Reverse((number_of(name), name.file().to_owned())));
        let mut covered: HashSet<String> = HashSet::new();
        for name in names {
            if covered.contains(name.file()) {
                continue;
            }
            match read_tip(objects, name) {
                Ok(tip) => {
                    covered.extend(tip.tables.commit_names());
                    history.tables.merge(&tip.tables);
                    history.tips.push(tip);
                }
                Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => history.damaged.push(damage),
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

    /// Commits that could not be read, though the history stands without them.
    pub(crate) fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// The highest config number that a tip names.
    pub(crate) fn config(&self) -> u64 {
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

    /// Whether a commit that this device remembers is missing from the history. A commit that is there but
    /// damaged is damage, not a roll-back.
    pub(crate) fn lacks(&self, seen: &SeenTips) -> Result<bool, Damage> {
        for tip in &seen.0 {
            let known = self.tips.iter().any(|own| own.id == tip.id) || self.tables.has_commit(&tip.id);
            if known {
                continue;
            }
            let object = tip.name.to_string();
            return match self.damaged.iter().find(|damage| damage.object == object) {
                Some(damage) => Err(damage.clone()),
                None => Ok(true),
            };
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
            if list(objects)? != self.listed {
                *self = Self::load(objects)?;
            }
            let number = self.listed.iter().filter_map(number_of).max().unwrap_or_default() + 1;
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

    fn next_tip(&self, objects: &Objects, number: u64, change: &Change<'_>, rng: &mut dyn CryptoRng) -> Tip {
        let exclusive = objects.storage.features().create_if_absent;
        let name = numbered_name(Folder::Commits, number, if exclusive { None } else { Some(rng) });
        let growth = self.tips.first().and_then(|base| base.commit.growth.next(base.len)).unwrap_or_default();
        let mut tables = self.tables.clone();
        for tip in &self.tips {
            tables.insert_commit(&tip.id, &tip.name);
        }
        tables.merge(&(change.additions)(number));
        let commit = Commit {
            number,
            parents: self.seen().0,
            time: change.time,
            action: change.action,
            config: change.config,
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
}

fn list(objects: &Objects) -> Result<HashSet<ObjectName>, ReadError> {
    let listing = objects.storage.list(Folder::Commits).map_err(ReadError::Storage)?;
    Ok(listing.into_iter().map(|info| info.name).filter(|name| number_of(name).is_some()).collect())
}

/// Reads a commit and, through its bases, the tables as it left them.
fn read_tip(objects: &Objects, name: &ObjectName) -> Result<Tip, ReadError> {
    let body = objects.read_body(ObjectKind::Commit, name)?;
    let (commit, delta) = Commit::decode(&body).map_err(|error| Damage::new(name, error))?;
    if number_of(name) != Some(commit.number) {
        return Err(Damage::new(name, DamageCause::Content).into());
    }
    let mut deltas = vec![delta];
    let (mut growth, mut base) = (commit.growth, commit.parents.first().cloned());
    while growth.depth > 0 {
        let parent = base.ok_or_else(|| Damage::new(name, DamageCause::Missing))?;
        let (next, delta) = read_base(objects, &parent, growth)?;
        deltas.push(delta);
        (growth, base) = (next.growth, next.parents.first().cloned());
    }
    let mut tables = Tables::default();
    deltas.iter().rev().for_each(|delta| tables.merge(delta));
    Ok(Tip { id: CommitId::of(&body), name: name.clone(), commit, len: body.len() as u64, tables })
}

fn read_base(objects: &Objects, parent: &Parent, above: Growth) -> Result<(Commit, Tables), ReadError> {
    let body = objects.read_body(ObjectKind::Commit, &parent.name)?;
    let (commit, delta) = Commit::decode(&body).map_err(|error| Damage::new(&parent.name, error))?;
    if CommitId::of(&body) != parent.id || commit.growth.depth + 1 != above.depth {
        return Err(Damage::new(&parent.name, DamageCause::Content).into());
    }
    Ok((commit, delta))
}
