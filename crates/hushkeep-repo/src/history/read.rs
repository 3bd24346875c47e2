//! Reading commits: one that nothing vouches for, one that another names, and the chain of its bases (spec §11).

use std::collections::BTreeSet;

use hushkeep_core::keys::{Epoch, ObjectKind};
use hushkeep_core::seal::{HEADER_LEN, Header, MAX_CLEAR_LEN};

use super::commit::{Commit, Parent};
use super::{CommitId, Tables, Tip};
use crate::error::{Damage, DamageCause, ReadError};
use crate::growth::Growth;
use crate::objects::{Objects, ReadCommit, number_of};
use crate::storage::{Folder, ObjectName};

/// Whether a config on the storage has a header of which this holds, or is listed and missing, `None`, if it holds of that.
/// Nobody vouches for it.
pub(crate) fn has_config(objects: &Objects, holds: impl Fn(Option<&Header>) -> bool) -> Result<bool, ReadError> {
    let configs = objects.storage.list(Folder::Config).map_err(ReadError::Storage)?;
    for info in configs.into_iter().filter(|info| number_of(&info.name).is_some()) {
        let object = objects.storage.get_range(&info.name, 0..(HEADER_LEN + MAX_CLEAR_LEN) as u64);
        let object = object.map_err(|error| ReadError::from_storage(error, &info.name));
        let is_one = match object {
            Err(ReadError::Damaged(damage)) => damage.cause == DamageCause::Missing && holds(None),
            object => Header::parse_as(ObjectKind::Config, &object?).is_ok_and(|header| holds(Some(&header))),
        };
        if is_one {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Every commit that is listed.
pub(super) fn list(objects: &Objects) -> Result<BTreeSet<ObjectName>, ReadError> {
    let listing = objects.storage.list(Folder::Commits).map_err(ReadError::Storage)?;
    Ok(listing.into_iter().map(|info| info.name).filter(|name| number_of(name).is_some()).collect())
}

/// The order in which commits are read: the highest number first.
pub(super) fn newest_first(names: impl IntoIterator<Item = ObjectName>) -> Vec<ObjectName> {
    let mut names: Vec<ObjectName> = names.into_iter().collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse((number_of(name), name.file().to_owned())));
    names
}

/// Reads a commit that another vouches for and, through its bases, the tables as it left them.
pub(super) fn read_tip(objects: &Objects, name: &ObjectName) -> Result<Tip, ReadError> {
    let found = objects.read_commit(name, |_| true).and_then(|read| Found::decode(name, read));
    found.and_then(|found| found.into_tip(objects)).map_err(|error| as_damage(objects, name, error))
}

/// The same, of one that this device has seen; `None` if another lies in its place, whatever that is.
pub(super) fn read_seen(objects: &Objects, seen: &Parent) -> Result<Option<Tip>, ReadError> {
    let tip = objects.read_commit(&seen.name, |_| true).and_then(|read| {
        if CommitId::of(&read.body) != seen.id {
            return Ok(None);
        }
        Found::decode(&seen.name, read)?.into_tip(objects).map(Some)
    });
    tip.map_err(|error| as_damage(objects, &seen.name, error))
}

/// Reads a commit for which no other vouches: another may lie under its name by now. `None` if it is sealed under an older key,
/// and understood by newer versions only.
pub(super) fn find_commit(objects: &Objects, name: &ObjectName) -> Result<Option<Found>, ReadError> {
    let read = match objects.read_newest_commit(name) {
        Err(error) if is_newer(&error) && is_of_older_epoch(objects, name) => return Ok(None),
        read => read?,
    };
    // What opened tells its epoch itself: it may come from this device, and what lies on the storage be damaged by now.
    let is_older = read.epoch < objects.keyring.newest();
    match Found::decode(name, read) {
        Err(error) if is_newer(&error) && is_older => Ok(None),
        found => found.map(Some),
    }
}

/// A commit that was opened, its bases not yet.
pub(super) struct Found {
    pub(super) id: CommitId,
    pub(super) epoch: Epoch,
    pub(super) commit: Commit,
    /// Its own rows.
    tables: Tables,
    /// The length of its body, in bytes.
    len: u64,
    /// What is wrong with it on the storage.
    damage: Option<Damage>,
}

impl Found {
    fn decode(name: &ObjectName, read: ReadCommit) -> Result<Self, ReadError> {
        let ReadCommit { epoch, body, damage } = read;
        let (commit, tables) = decode_commit(name, epoch, &body)?;
        Ok(Self { id: CommitId::of(&body), epoch, commit, tables, len: body.len() as u64, damage })
    }

    /// Whether it lies under another name than its own.
    pub(super) fn is_copy(&self, name: &ObjectName) -> bool {
        self.commit.name != *name
    }

    /// Reads its bases, and so its tables as it left them.
    pub(super) fn into_tip(self, objects: &Objects) -> Result<Tip, ReadError> {
        let Self { id, epoch, commit, tables, len, damage } = self;
        let mut mended: Vec<Damage> = damage.into_iter().collect();
        let mut deltas = vec![tables];
        let (mut number, mut growth, mut base) = (commit.number, commit.growth, commit.parents.first().cloned());
        let mut full = Ok(epoch);
        while let Some(parent) = base.filter(|_| growth.depth > 0) {
            match read_base(objects, &parent, (number, growth)) {
                Ok((epoch, next, delta, damage)) => {
                    deltas.push(delta);
                    mended.extend(damage);
                    full = Ok(epoch);
                    (number, growth, base) = (next.number, next.growth, next.parents.into_iter().next());
                }
                Err(ReadError::Damaged(found)) if !found.cause.is_newer_version() => {
                    full = Err(found);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let mut tables = Tables::default();
        deltas.iter().rev().for_each(|delta| tables.merge(delta));
        Ok(Tip { id, epoch, commit, len, tables, full, mended })
    }
}

/// Whether a commit is not damaged, but understood by newer versions only.
pub(super) fn is_newer(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged(damage) if damage.cause.is_newer_version())
}

/// What is sealed under an older key and understood by newer versions only is damage where another commit should be: a thief
/// of that key put it there.
pub(super) fn as_damage(objects: &Objects, name: &ObjectName, error: ReadError) -> ReadError {
    let is_foreign = is_newer(&error) && is_of_older_epoch(objects, name);
    if is_foreign { Damage::new(name, DamageCause::Content).into() } else { error }
}

/// Whether what lies on the storage says that it is sealed under an older key than the newest.
fn is_of_older_epoch(objects: &Objects, name: &ObjectName) -> bool {
    matches!(told_epoch(objects, name), Ok(Told::Epoch(epoch)) if epoch < objects.keyring.newest())
}

/// What lies on the storage under a commit's name says of its epoch.
pub(super) enum Told {
    Epoch(Epoch),
    Nothing,
    Missing,
}

/// Reads of a commit no more than what it says of itself.
pub(super) fn told_epoch(objects: &Objects, name: &ObjectName) -> Result<Told, ReadError> {
    let read = objects.storage.get_range(name, 0..HEADER_LEN as u64);
    match read.map_err(|error| ReadError::from_storage(error, name)) {
        Ok(object) => {
            Ok(Header::parse_as(ObjectKind::Commit, &object).map_or(Told::Nothing, |header| Told::Epoch(header.epoch)))
        }
        Err(ReadError::Damaged(damage)) if damage.cause == DamageCause::Missing => Ok(Told::Missing),
        Err(ReadError::Damaged(_)) => Ok(Told::Nothing),
        Err(error) => Err(error),
    }
}

/// Decodes one commit that was sealed in an epoch. Its number must be that in its name; what follows that may differ in a
/// copy.
pub(super) fn decode_commit(name: &ObjectName, epoch: Epoch, body: &[u8]) -> Result<(Commit, Tables), ReadError> {
    let (commit, tables) = Commit::decode(body).map_err(|error| Damage::new(name, error))?;
    commit.older_epochs.read(epoch).map_err(|error| Damage::new(name, error))?;
    if number_of(name) != Some(commit.number) {
        return Err(Damage::new(name, DamageCause::Content).into());
    }
    Ok((commit, tables))
}

/// A commit as another names it: its epoch, itself, its own rows, and what is wrong with it on the storage.
pub(super) type NamedCommit = (Epoch, Commit, Tables, Option<Damage>);

/// Reads the commit with this id, under its own name.
pub(super) fn read_commit(objects: &Objects, name: &ObjectName, id: &CommitId) -> Result<NamedCommit, ReadError> {
    let foreign = |error| as_damage(objects, name, error);
    let read = objects.read_commit(name, |body| CommitId::of(body) == *id);
    let ReadCommit { epoch, body, damage } = read.map_err(foreign)?;
    let another = || ReadError::from(Damage::new(name, DamageCause::Content));
    // Before it is decoded: another may be one of a newer version.
    if CommitId::of(&body) != *id {
        return Err(another());
    }
    let (commit, delta) = decode_commit(name, epoch, &body).map_err(foreign)?;
    if commit.name == *name { Ok((epoch, commit, delta, damage)) } else { Err(another()) }
}

/// Reads the base of a commit of this number and growth.
fn read_base(objects: &Objects, parent: &Parent, (number, growth): (u64, Growth)) -> Result<NamedCommit, ReadError> {
    let base = read_commit(objects, &parent.name, &parent.id)?;
    // One of a higher number could bring in rows of commits that are yet to come.
    if base.1.growth.depth + 1 != growth.depth || base.1.number >= number {
        return Err(Damage::new(&parent.name, DamageCause::Content).into());
    }
    Ok(base)
}
