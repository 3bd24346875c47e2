//! Changing the ways to get the key back: a new config, read back, and named by a commit (spec §12.4).

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use hushkeep_core::keys::{EpochKeys, ObjectKind};
use hushkeep_core::seal::Header;
use rand_core::CryptoRng;

use super::Repository;
use crate::Timestamp;
use crate::config::{Config, ConfigName, MAX_PROTECTORS, Protector};
use crate::error::{Damage, ReadError};
use crate::history::{Action, Change, History, PublishError, Tables};
use crate::objects::{MAX_NUMBER, Objects, number_of, numbered_name};
use crate::state::StateError;
use crate::storage::{Folder, ObjectName, Storage, StorageError, StorageErrorKind};

/// Configs of so many numbers are kept: a torn upload of the newest must not lose the ways to the key.
const NUMBERS_KEPT: usize = 3;

/// How often a config is stored. Commits name the newest one, and no earlier one may stand in for it: one damaged
/// object must not lock the owner out.
pub(crate) const COPIES: usize = 2;

/// Protectors that could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// More protectors than a repository can have, or longer ones, which only newer versions make.
    #[error(
        "a repository has room for {MAX_PROTECTORS} ways to get its key back, or fewer if they are long: these are too many"
    )]
    TooMany,
    /// The storage does not return what was stored. It was deleted again, but what a storage of that sort still has may hold.
    #[error("the storage does not return what was just stored")]
    Unfaithful,
    /// Another device changed the protectors meanwhile: they are as that device left them.
    #[error("another device changed the ways to get the key back at the same time")]
    Conflict,
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

/// What is on the storage of the config that holds, and of those before it.
#[derive(Debug, Default)]
pub(crate) struct StoredConfigs {
    /// How many copies are whole.
    pub(crate) whole: usize,
    /// Those that are not, and what is wrong with them.
    pub(crate) damaged: Vec<(ObjectName, Damage)>,
    /// Earlier configs with ways to a key that hold no more. Who took them away was killed before they were deleted.
    pub(crate) outdated: Vec<ObjectName>,
}

impl StoredConfigs {
    /// A config that was just stored.
    pub(crate) fn new() -> Self {
        Self { whole: COPIES, ..Self::default() }
    }
}

/// What a config says of itself, and whether the key at hand opens it.
struct Told {
    header: Header,
    opens: bool,
}

/// A config that was stored, and that no commit of this device's names, as far as it knows.
pub(super) struct Unpublished {
    pub(super) error: ConfigError,
    /// Whether the commit is surely not there.
    pub(super) is_certain: bool,
}

impl Unpublished {
    fn surely(error: impl Into<ConfigError>) -> Self {
        Self { error: error.into(), is_certain: true }
    }
}

/// A config that could not be stored.
pub(super) enum StoreError {
    Unfaithful,
    Storage(StorageError),
}

impl Repository {
    /// Replaces the list of protectors: a new config is stored, read back, and named by a commit.
    ///
    /// Where a protector is dropped, every config that has it is deleted, so that it opens the repository no more.
    /// A copy that somebody made of the storage before is out of reach.
    /// Returns the configs that the storage refused to delete: through them a protector that was dropped still opens
    /// the repository. If another device's change came first, at this moment too, that is [`ConfigError::Conflict`].
    pub fn set_protectors(&mut self, protectors: Vec<Protector>, now: Timestamp) -> Result<Vec<String>, ConfigError> {
        self.refresh()?;
        self.check_writable()?;
        if self.history.config() > self.config_name {
            return Err(ConfigError::Conflict);
        }
        let earlier = config_names(self.contents.objects.storage.as_ref())?;
        let number = next_number(self.config.number, &earlier).ok_or(ConfigError::Conflict)?;
        let is_kept = |old: &Protector| protectors.iter().any(|new| (new.id, &new.kind) == (old.id, &old.kind));
        let drops = !self.config.protectors.iter().all(is_kept);
        let config = self.config.next(number, protectors).ok_or(ConfigError::TooMany)?;
        let names = store_config(&self.contents.objects, &config, COPIES, &mut *self.rng())?;
        let published = self.publish_config(None, &config, &names, now).map_err(|unpublished| unpublished.error);
        let name = name_of(&config, &self.contents.objects);
        if self.history.config() != name {
            // Another device has changed them at the same time, and its config holds.
            return Err(published.err().unwrap_or(ConfigError::Conflict));
        }
        // It holds from now on, whatever went wrong after it was published.
        (self.config, self.config_name) = (config, name);
        let outdated = std::mem::replace(&mut self.stored_configs, StoredConfigs::new()).outdated;
        let mut undeleted = self.delete_configs(if drops { 0 } else { NUMBERS_KEPT - 1 })?;
        undeleted.extend(self.contents.objects.delete_all(&outdated)?);
        undeleted.sort_unstable();
        undeleted.dedup();
        published.map(|()| undeleted)
    }

    /// Finishes a change of protectors in which somebody was killed. If no commit names the config that opened the repository,
    /// it is stored and named anew, for whoever stored it may still be there, and take it back. Else earlier configs that give
    /// more are deleted; those that the storage refused to delete are returned.
    pub fn finish_change(&mut self, now: Timestamp) -> Result<Vec<String>, ConfigError> {
        self.check_writable()?;
        match self.history.config().cmp(&self.config_name) {
            Ordering::Less => self.set_protectors(self.config.protectors.clone(), now),
            Ordering::Equal => {
                Ok(self.contents.objects.delete_all(&std::mem::take(&mut self.stored_configs.outdated))?)
            }
            Ordering::Greater => Ok(Vec::new()),
        }
    }

    /// Puts right what was found wrong with configs, once this device has published: then the config that it opened holds,
    /// or is left alone. What fails now, the next backup tries again.
    pub(crate) fn mend_configs(&mut self, now: Timestamp) {
        // What cannot be deleted is found again.
        let _ = self.finish_change(now);
        if self.history.config() == self.config_name {
            self.store_missing_copies();
        }
    }

    /// Stores the config that holds again, if it is there less often than it should be: another accident would lock the
    /// owner out.
    ///
    /// Only where one writer alone could publish: then nobody has replaced the config, and removed it, unseen.
    fn store_missing_copies(&mut self) {
        let missing = COPIES.saturating_sub(self.stored_configs.whole);
        if missing == 0 || !self.is_exclusive() {
            return;
        }
        // Another writer may write the same otherwise: then it would be another config.
        if name_of(&self.config, &self.contents.objects) != self.config_name {
            return;
        }
        let stored = store_config(&self.contents.objects, &self.config, missing, &mut *self.rng());
        if let Ok(names) = stored {
            if self.refresh().is_err() || self.history.config() != self.config_name {
                // Another device replaced it at this very moment.
                let _ = self.contents.objects.delete_all(&names);
                return;
            }
            let found = std::mem::replace(&mut self.stored_configs, StoredConfigs::new());
            let names: Vec<ObjectName> = found.damaged.into_iter().map(|(name, _)| name).collect();
            // What cannot be deleted does no harm.
            let _ = self.contents.objects.delete_all(&names);
        }
    }

    /// Publishes a config that is stored under `names`; deletes it again if it surely does not hold. The keys of `next`, if
    /// there are any, begin an epoch.
    pub(super) fn publish_config(
        &mut self,
        mut next: Option<Objects>,
        config: &Config,
        names: &[ObjectName],
        now: Timestamp,
    ) -> Result<(), Unpublished> {
        let storage = self.contents.objects.storage.as_ref();
        let is_rival = |name: &ObjectName| number_of(name) == Some(config.number) && !names.contains(name);
        let is_rivalled = config_names(storage).map_err(Unpublished::surely)?.iter().any(is_rival);
        let name = name_of(config, next.as_ref().unwrap_or(&self.contents.objects));
        if is_rivalled {
            self.take_back(&name, names).map_err(Unpublished::surely)?;
            return Err(Unpublished::surely(ConfigError::Conflict));
        }
        let action = if next.is_some() { Action::Rotate } else { Action::Config };
        let change = Change { action, time: now, config: Some(name) };
        let is_sent = Cell::new(false);
        let published = self.publish_under(&mut next, &change, |_, _| {
            is_sent.set(true);
            Ok::<_, ConfigError>(Tables::default())
        });
        let Err(error) = published else { return Ok(()) };
        // What surely was not published must not hold. Once the commit was sent it may be there, whatever was answered: only if
        // others were faster, and the history can be read without it, it is not.
        let was_overtaken = matches!(error, ConfigError::Conflict | ConfigError::RolledBack | ConfigError::Busy);
        if is_sent.get() && !was_overtaken {
            return Err(Unpublished { error, is_certain: false });
        }
        let was_seen = self.take_back(&name, names).map_err(Unpublished::surely)?;
        Err(Unpublished { error, is_certain: was_seen || !is_sent.get() })
    }

    /// Deletes a config that was not published, and tells whether that could be seen. If it cannot, or another device's commit
    /// names it by now, it stays.
    fn take_back(&mut self, config: &ConfigName, names: &[ObjectName]) -> Result<bool, StorageError> {
        if self.refresh().is_err() || self.history.config() == *config {
            return Ok(false);
        }
        let storage = self.contents.objects.storage.as_ref();
        names.iter().try_for_each(|name| storage.delete(name))?;
        Ok(true)
    }

    /// Deletes all configs of earlier epochs, and all earlier ones of this below the `keep` highest numbers from which the key
    /// can still be got. Others with a number that was never reached are not ours, nor are configs that say that they are of
    /// another repository; and those that say that they are of a later epoch may be of a rotation whose commit is still on its
    /// way.
    pub(super) fn delete_configs(&self, keep: usize) -> Result<Vec<String>, StorageError> {
        // Also those that another device has stored again meanwhile.
        let names = config_names(self.contents.objects.storage.as_ref())?;
        let (mut deleted, mut earlier, mut opening) = (Vec::new(), Vec::new(), BTreeSet::new());
        for name in names {
            let number = number_of(&name).filter(|number| *number < self.config.number);
            let told = self.told_by(&name)?;
            match (&told, number) {
                (Some(told), _) if told.header.repository != *self.contents.objects.keyring.repository() => {}
                (Some(told), _) if self.contents.objects.keyring.is_preceded_by(&told.header) => deleted.push(name),
                (Some(told), _) if self.contents.objects.keyring.is_succeeded_by(&told.header) => {}
                (_, Some(number)) => {
                    opening.extend(told.filter(|told| told.opens).map(|_| number));
                    earlier.push((number, name));
                }
                (_, None) => {}
            }
        }
        let lowest_kept = match keep.checked_sub(1) {
            Some(before) => opening.into_iter().nth_back(before).unwrap_or_default(),
            None => u64::MAX,
        };
        deleted.extend(earlier.into_iter().filter(|(number, _)| *number < lowest_kept).map(|(_, name)| name));
        self.contents.objects.delete_all(&deleted)
    }

    /// What a config says of itself, if that can be read.
    fn told_by(&self, name: &ObjectName) -> Result<Option<Told>, StorageError> {
        let objects = &self.contents.objects;
        let object = match objects.storage.get(name) {
            Err(error) if is_no_config(error.kind) => return Ok(None),
            object => object?,
        };
        let opened = Config::open_newer(objects.keys(), &object);
        let opens = opened.is_ok_and(|(_, own)| number_of(name) == Some(own.number));
        Ok(Header::parse_as(ObjectKind::Config, &object).ok().map(|header| Told { header, opens }))
    }

    /// Whether a config that another device published since this one opened the repository lets this program write. If it
    /// cannot be read, one of its number that is newer, or looks so, keeps it from that; one that is damaged does not: the next
    /// opening tells.
    pub(super) fn may_write_under(&self, named: &ConfigName) -> Result<bool, StorageError> {
        let objects = &self.contents.objects;
        let mut is_newer = false;
        for name in config_names(objects.storage.as_ref())? {
            if number_of(&name) != Some(named.number) {
                continue;
            }
            let Ok(object) = objects.storage.get(&name) else { continue };
            match Config::open_newer(objects.keys(), &object) {
                Ok((config, own)) if own == *named => return Ok(config.may_write()),
                Ok(_) => {}
                Err(cause) => is_newer |= cause.is_newer_version(),
            }
        }
        Ok(!is_newer)
    }
}

/// Stores a config so many times, and reads each back. If the storage fails at one, all are taken back, unless another
/// device may have taken one for the config that holds.
pub(super) fn store_config(
    objects: &Objects,
    config: &Config,
    copies: usize,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<ObjectName>, StoreError> {
    let keys: &EpochKeys = objects.keys();
    let mut names = Vec::with_capacity(copies);
    for _ in 0..copies {
        let name = numbered_name(Folder::Config, config.number, Some(&mut *rng));
        let object = config.seal(keys, &objects.keyring.older(), rng);
        match store_faithfully(objects.storage.as_ref(), &name, &object) {
            Ok(()) => names.push(name),
            Err(StoreError::Storage(error)) if is_unknown(error.kind) => return Err(error.into()),
            Err(error) => {
                // Nobody opens what is not as it was stored, and nothing is there if it was refused.
                let _ = objects.storage.delete(&name);
                if History::load(objects).is_ok_and(|history| history.config().number < config.number) {
                    // What stays is as good as one that was stored alone.
                    let _ = objects.delete_all(&names);
                }
                return Err(error);
            }
        }
    }
    Ok(names)
}

/// Whether what is listed there cannot be a config, whatever it is.
fn is_no_config(kind: StorageErrorKind) -> bool {
    matches!(kind, StorageErrorKind::NotFound | StorageErrorKind::Unreadable | StorageErrorKind::TooLong)
}

/// Whether what was stored may be there, and is not to be deleted blindly: the name is another's, or the storage is out of
/// reach.
fn is_unknown(kind: StorageErrorKind) -> bool {
    matches!(kind, StorageErrorKind::AlreadyExists | StorageErrorKind::Unreachable)
}

fn store_faithfully(storage: &dyn Storage, name: &ObjectName, object: &[u8]) -> Result<(), StoreError> {
    storage.put(name, object)?;
    if storage.get(name)? == object { Ok(()) } else { Err(StoreError::Unfaithful) }
}

/// How commits name a config.
pub(super) fn name_of(config: &Config, objects: &Objects) -> ConfigName {
    config.name(objects.keys(), &objects.keyring.older())
}

/// The configs of a storage. Files of other programs are not among them.
pub(super) fn config_names(storage: &dyn Storage) -> Result<Vec<ObjectName>, StorageError> {
    let names = storage.list(Folder::Config)?.into_iter().map(|info| info.name);
    Ok(names.filter(|name| number_of(name).is_some()).collect())
}

/// The first number after `current` that no name has.
pub(super) fn next_number(current: u64, names: &[ObjectName]) -> Option<u64> {
    (current..MAX_NUMBER).map(|number| number + 1).find(|next| names.iter().all(|name| number_of(name) != Some(*next)))
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<StoreError> for ConfigError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unfaithful => Self::Unfaithful,
            StoreError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<PublishError> for ConfigError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Storage(error) => Self::Storage(error),
            PublishError::RolledBack => Self::RolledBack,
            PublishError::Conflict => Self::Conflict,
            PublishError::Busy => Self::Busy,
            PublishError::Read(error) => Self::Read(error),
            PublishError::State(error) => Self::State(error),
        }
    }
}
