//! A repository: found, unlocked, created; its protectors and its history.

mod find;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushkeep_core::keys::{BackupKey, Epoch};
use hushkeep_core::name::{ProtectorId, RepositoryId};
use hushkeep_core::wire::WireError;
use rand_core::CryptoRng;

use crate::config::{Config, Protector, ProtectorKind};
use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::{Action, Change, History, PublishError, SeenTips, Tables};
use crate::keyring::Keyring;
use crate::objects::{Objects, number_of, numbered_name};
use crate::snapshot::Snapshot;
use crate::state::{StateError, StateKey};
use crate::storage::{Folder, ObjectName, StorageError};
use crate::{State, Storage, Timestamp};
pub use find::{FindError, LockedRepository};

/// How many configs are kept: a torn upload of the newest must not lose the ways to the key.
const CONFIGS_KEPT: usize = 3;

/// How often the first config is stored: until others follow, every way to the key but one hangs on it.
const FIRST_CONFIGS: usize = 2;

/// A source of randomness that threads share.
pub(crate) type SharedRng = Mutex<Box<dyn CryptoRng + Send>>;

/// An unlocked repository, as its storage showed it when it was opened.
pub struct Repository {
    pub(crate) state: Arc<dyn State>,
    pub(crate) rng: SharedRng,
    pub(crate) config: Config,
    pub(crate) history: History,
    pub(crate) contents: Contents,
    /// Oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A repository that could not be unlocked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// The key is not this repository's.
    #[error("the key does not belong to this repository")]
    WrongKey,
    /// A commit that this device has seen is no longer part of the history.
    #[error("the storage shows a history that lacks what this device has already seen")]
    RolledBack,
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This device's own state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A repository that could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is one here already.
    #[error("there is a repository here already")]
    Exists,
    /// The storage does not return what was stored.
    #[error("the storage does not return what was just stored")]
    Unfaithful,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Protectors that could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The storage does not return what was stored: the protectors are as they were.
    #[error("the storage does not return what was just stored")]
    Unfaithful,
    /// Another device changed the protectors at the same time: they are as they were.
    #[error("another device changed the ways to get the key back at the same time")]
    Conflict,
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
    /// Creates a repository under a new key, with the recovery key as its first protector.
    ///
    /// The caller keeps `key` safe before it calls this. The storage must exist and hold no repository.
    pub fn create(
        storage: Arc<dyn Storage>,
        state: Arc<dyn State>,
        key: &BackupKey,
        id: RepositoryId,
        now: Timestamp,
        mut rng: Box<dyn CryptoRng + Send>,
    ) -> Result<Self, CreateError> {
        if !config_names(storage.as_ref())?.is_empty() {
            return Err(CreateError::Exists);
        }
        let objects = Objects { storage, keyring: Keyring::new(key, id, Epoch::FIRST) };
        let recovery_key =
            Protector::new(ProtectorId::generate(&mut rng), ProtectorKind::RecoveryKey, String::new(), now);
        let config = Config::first(recovery_key);
        let mut names = Vec::new();
        for _ in 0..FIRST_CONFIGS {
            let name = numbered_name(Folder::Config, config.number, Some(&mut rng));
            let object = config.seal(objects.keys(), &objects.keyring.encode_older(), &mut rng);
            objects.storage.put(&name, &object)?;
            if objects.storage.get(&name)? != object {
                return Err(CreateError::Unfaithful);
            }
            names.push(name);
        }
        if config_names(objects.storage.as_ref())?.len() != names.len() {
            names.iter().try_for_each(|name| objects.storage.delete(name))?;
            return Err(CreateError::Exists);
        }
        Ok(Self {
            state,
            rng: Mutex::new(rng),
            config,
            history: History::default(),
            contents: Contents::new(objects),
            snapshots: Vec::new(),
        })
    }

    fn open(
        mut objects: Objects,
        config: Config,
        state: Arc<dyn State>,
        rng: Box<dyn CryptoRng + Send>,
    ) -> Result<Self, UnlockError> {
        let history = History::load(&objects)?;
        check_history(&history, &config, state.as_ref())?;
        for older in history.older_epochs() {
            let damaged = |cause: WireError| Damage { object: Folder::Commits.name().to_owned(), cause: cause.into() };
            objects.keyring.add_older(older).map_err(|error| ReadError::Damaged(damaged(error)))?;
        }
        let contents = Contents::load(objects, history.tables())?;
        let snapshots = read_snapshots(&history)?;
        Ok(Self { state, rng: Mutex::new(rng), config, history, contents, snapshots })
    }

    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        *self.contents.objects.keyring.repository()
    }

    /// The ways to get the key back.
    pub fn protectors(&self) -> &[Protector] {
        &self.config.protectors
    }

    /// Every snapshot, oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// Commits that could not be read, though the history stands without them.
    pub fn damaged_commits(&self) -> &[Damage] {
        self.history.damaged()
    }

    /// Replaces the list of protectors: a new config is stored, read back, and named by a commit.
    pub fn set_protectors(&mut self, protectors: Vec<Protector>, now: Timestamp) -> Result<(), ConfigError> {
        let storage = Arc::clone(&self.contents.objects.storage);
        let mut listed = config_names(storage.as_ref())?;
        let newest = listed.iter().filter_map(number_of).max().unwrap_or_default();
        let config = self.config.next(newest.max(self.config.number) + 1, protectors);
        let name = numbered_name(Folder::Config, config.number, Some(&mut *self.rng()));
        let objects = &self.contents.objects;
        let object = config.seal(objects.keys(), &objects.keyring.encode_older(), &mut *self.rng());
        storage.put(&name, &object)?;
        if storage.get(&name)? != object {
            storage.delete(&name)?;
            return Err(ConfigError::Unfaithful);
        }
        let same_number = |other: &ObjectName| *other != name && number_of(other) == Some(config.number);
        if config_names(storage.as_ref())?.iter().any(same_number) {
            storage.delete(&name)?;
            return Err(ConfigError::Conflict);
        }
        let additions = |_| Tables::default();
        self.publish(&Change { action: Action::Config, time: now, config: config.number, additions: &additions })?;
        self.config = config;

        listed.sort_unstable_by_key(|name| std::cmp::Reverse(number_of(name)));
        for old in listed.iter().skip(CONFIGS_KEPT - 1) {
            storage.delete(old)?;
        }
        Ok(())
    }

    /// Publishes a change, and remembers the new tip; returns the commit's number and length.
    pub(crate) fn publish(&mut self, change: &Change<'_>) -> Result<(u64, u64), PublishOrStateError> {
        let rng = &mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.history.publish(&self.contents.objects, change, rng)?;
        self.snapshots = read_snapshots(&self.history)?;
        self.state.store(StateKey::Tips, &self.history.seen().encode())?;
        Ok(published)
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, Box<dyn CryptoRng + Send>> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that could not be published, or that this device cannot remember.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishOrStateError {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<PublishOrStateError> for ConfigError {
    fn from(error: PublishOrStateError) -> Self {
        match error {
            PublishOrStateError::Publish(PublishError::Storage(error)) => Self::Storage(error),
            PublishOrStateError::Publish(PublishError::Read(error)) | PublishOrStateError::Read(error) => {
                Self::Read(error)
            }
            PublishOrStateError::State(error) => Self::State(error),
        }
    }
}

/// Compares the history with what this device remembers, and the config with what the history names; then
/// remembers the tips.
fn check_history(history: &History, config: &Config, state: &dyn State) -> Result<(), UnlockError> {
    if let Some(seen) = state.load(StateKey::Tips)? {
        // Memory that does not decode proves nothing, and is replaced.
        let seen = SeenTips::decode(&seen).unwrap_or_default();
        if history.lacks(&seen).map_err(ReadError::Damaged)? {
            return Err(UnlockError::RolledBack);
        }
    }
    if history.config() > config.number {
        let object = format!("{}/{:010}", Folder::Config.name(), history.config());
        return Err(ReadError::Damaged(Damage { object, cause: DamageCause::Missing }).into());
    }
    state.store(StateKey::Tips, &history.seen().encode())?;
    Ok(())
}

/// The configs of a storage. Files of other programs are not among them.
fn config_names(storage: &dyn Storage) -> Result<Vec<ObjectName>, StorageError> {
    let names = storage.list(Folder::Config)?.into_iter().map(|info| info.name);
    Ok(names.filter(|name| number_of(name).is_some()).collect())
}

fn read_snapshots(history: &History) -> Result<Vec<Snapshot>, ReadError> {
    let snapshots: Result<Vec<_>, _> = history.tables().snapshots().collect();
    let mut snapshots = snapshots.map_err(|error| {
        ReadError::Damaged(Damage { object: Folder::Commits.name().to_owned(), cause: error.into() })
    })?;
    snapshots.sort_by_key(|snapshot| (snapshot.number, snapshot.id));
    Ok(snapshots)
}
