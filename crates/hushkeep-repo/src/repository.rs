//! A repository: found, unlocked, created; its protectors and its history.

mod find;
mod forget;
mod protectors;
mod rebuild;
mod rotate;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushkeep_core::keys::{BackupKey, Epoch, EpochSecret};
use hushkeep_core::name::{ProtectorId, RepositoryId};
use hushkeep_core::wire::WireError;
use rand_core::CryptoRng;

use crate::bad_packs::BadPacks;
use crate::cache::CacheKey;
use crate::config::{Config, ConfigName, Protector, ProtectorKind};
use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::{Action, Change, ForgottenSnapshot, History, PublishError, SeenTips, Tables};
use crate::keyring::Keyring;
use crate::objects::{Objects, number_of, pack_name};
use crate::pack::PackInfo;
use crate::snapshot::{Snapshot, SnapshotId};
use crate::state::{StateError, StateKey};
use crate::storage::{Folder, ObjectName, StorageError};
use crate::{Clock, State, Storage, Timestamp};
pub use find::{FindError, FoundProtector, LockedRepository};
pub use forget::ForgetError;
pub(crate) use protectors::COPIES;
pub use protectors::ConfigError;
use protectors::{StoreError, StoredConfigs, config_names, name_of, store_config};
pub use rebuild::{RebuildError, rebuild_config};
pub use rotate::RotateError;

/// How often a commit is tried again when another writer was faster.
const MAX_ATTEMPTS: u32 = 64;

/// For so many seconds, by its own clock, a device may go by a list of the commits when it publishes.
const LISTING_HOLDS: i64 = 12 * 3600;

/// A backup begins from what was read so many seconds before; else it reads anew what others published.
const SECONDS_FRESH: u64 = 3600;

/// A source of randomness that threads share.
pub(crate) type SharedRng = Arc<Mutex<Box<dyn CryptoRng + Send>>>;

/// An unlocked repository, as its storage showed it when it was opened.
pub struct Repository {
    pub(crate) state: Arc<dyn State>,
    pub(crate) rng: SharedRng,
    pub(crate) config: Config,
    /// How commits name it.
    pub(crate) config_name: ConfigName,
    pub(crate) stored_configs: StoredConfigs,
    /// When it was opened, until the first backup.
    opened: Option<Timestamp>,
    unremembered: Option<StateError>,
    clock: Arc<dyn Clock>,
    /// When the commits were listed.
    listed: Timestamp,
    pub(crate) history: History,
    /// Whether contents and snapshots are not yet what the history says: they failed to be read.
    is_behind: bool,
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
    /// The key belongs to a rotation that was never completed: an earlier key still holds. Or the storage hides
    /// everything that was written under this one.
    #[error("nothing in the repository was written under this key")]
    NotInForce,
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

impl Repository {
    /// Creates a repository under a new key, with the recovery key as its first protector.
    ///
    /// The caller keeps `key` safe before it calls this. The storage must exist and hold no repository.
    pub fn create(
        storage: Arc<dyn Storage>,
        state: Arc<dyn State>,
        key: &BackupKey,
        id: RepositoryId,
        clock: impl Clock + 'static,
        mut rng: Box<dyn CryptoRng + Send>,
    ) -> Result<Self, CreateError> {
        let now = clock.now();
        if !config_names(storage.as_ref())?.is_empty() {
            return Err(CreateError::Exists);
        }
        let objects = Objects { storage, keyring: Keyring::new(key, id, Epoch::FIRST) };
        let recovery_key =
            Protector::new(ProtectorId::generate(&mut rng), ProtectorKind::RecoveryKey, String::new(), now);
        let config = Config::first(1, recovery_key);
        let names = store_config(&objects, &config, COPIES, &mut rng)?;
        if config_names(objects.storage.as_ref())?.len() != names.len() {
            names.iter().try_for_each(|name| objects.storage.delete(name))?;
            return Err(CreateError::Exists);
        }
        Ok(Self {
            state,
            rng: Arc::new(Mutex::new(rng)),
            config_name: name_of(&config, &objects),
            config,
            stored_configs: StoredConfigs::new(),
            opened: Some(now),
            unremembered: None,
            clock: Arc::new(clock),
            listed: now,
            history: History::default(),
            is_behind: false,
            contents: Contents::new(objects),
            snapshots: Vec::new(),
        })
    }

    fn open(
        mut objects: Objects,
        (key, config_object): (&BackupKey, &ObjectName),
        (config, config_name, stored_configs): (Config, ConfigName, StoredConfigs),
        state: Arc<dyn State>,
        rng: SharedRng,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UnlockError> {
        let now = clock.now();
        let mut history = History::load(&objects)?;
        if !history.is_in_force() {
            return Err(UnlockError::NotInForce);
        }
        for older in history.older_epochs() {
            let damaged = |cause: WireError| Damage { object: Folder::Commits.name().to_owned(), cause: cause.into() };
            objects.keyring.add_older(older).map_err(|error| ReadError::Damaged(damaged(error)))?;
        }
        // Before this device remembers anything of it.
        if !objects.keyring.is_of_one_epoch(key) {
            return Err(ReadError::from(Damage::new(config_object, DamageCause::Content)).into());
        }
        let unremembered = check_history(&mut history, &objects, &config_name, state.as_ref(), now)?;
        let mut contents = Contents::load(objects, history.tables(), bad_packs(state.as_ref()))?;
        contents.salvage(&history)?;
        let snapshots = read_snapshots(&history)?;
        let (opened, is_behind) = (Some(now), false);
        Ok(Self {
            state,
            rng,
            config,
            config_name,
            stored_configs,
            opened,
            unremembered,
            clock,
            listed: now,
            history,
            contents,
            snapshots,
            is_behind,
        })
    }

    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        *self.contents.objects.keyring.repository()
    }

    /// Whether a commit under the key can be read: else it holds only because that was lost.
    pub fn is_key_proven(&self) -> bool {
        self.history.has_newest_tip()
    }

    /// Which key holds: how often it was replaced.
    pub fn epoch(&self) -> Epoch {
        self.contents.objects.keyring.newest()
    }

    /// The secrets of every epoch, the newest first: from them come keys for what belongs to the repository and lies elsewhere.
    pub fn epoch_secrets(&self) -> impl Iterator<Item = &EpochSecret> {
        self.contents.objects.keyring.secrets()
    }

    /// The ways to get the key back.
    pub fn protectors(&self) -> &[Protector] {
        &self.config.protectors
    }

    /// Every snapshot, oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// Why this device cannot remember what it sees of the history, if it cannot: it would not miss that later.
    pub fn unremembered(&self) -> Option<&StateError> {
        self.unremembered.as_ref()
    }

    /// Commits that could not be read. Snapshots that only they told of are missing; contents are looked for in
    /// every pack that the storage has.
    pub fn damaged_commits(&self) -> &[Damage] {
        self.history.damaged()
    }

    /// Commits that are not whole on the storage, and that this device knows because it keeps them. The next change that it
    /// publishes says again all that they said.
    pub fn mended_commits(&self) -> &[Damage] {
        self.history.mended()
    }

    /// What was found damaged since the repository was opened, and read from other packs, which held it, too.
    pub fn made_good(&self) -> Vec<Damage> {
        self.contents.made_good()
    }

    /// Commits that were written under an older key after it was replaced, by a device that did not know, or by who
    /// stole that key. They are not part of the history.
    pub fn outdated_commits(&self) -> impl Iterator<Item = String> {
        self.history.outdated().iter().map(ToString::to_string)
    }

    /// Snapshots of which a newer version says something that this one does not understand: they are there, and that is all.
    pub fn unknown_snapshots(&self) -> impl Iterator<Item = SnapshotId> {
        self.history.tables().unknown_snapshots()
    }

    /// The snapshots that were forgotten, in no particular order.
    pub fn forgotten_snapshots(&self) -> impl Iterator<Item = ForgottenSnapshot> {
        self.history.tables().forgotten_snapshots()
    }

    /// Whether this program may write here: not where a newer one says that older ones must not, nor where one wrote an
    /// index that this one cannot read, and would replace, or a pack of which it does not know all (spec §14).
    pub(crate) fn check_writable(&self) -> Result<(), ReadError> {
        let (own, named) = (self.config_name, self.history.config());
        if !self.config.may_write() || (named > own && !self.may_write_under(&named).map_err(ReadError::Storage)?) {
            let object = format!("{}/{:010}", Folder::Config.name(), own.number.max(named.number));
            return Err(Damage { object, cause: DamageCause::NewerVersion }.into());
        }
        if let Some(pack) = &self.contents.newer {
            return Err(Damage::new(&pack_name(pack), DamageCause::NewerVersion).into());
        }
        let newer = self.contents.damage.iter().find(|damage| damage.cause.is_newer_version());
        newer.map_or(Ok(()), |damage| Err(damage.clone().into()))
    }

    /// Publishes a change on top of what all writers published until then, and remembers the new tip; returns the
    /// commit's number and length.
    ///
    /// `additions` says what becomes part of the tables, given the newest state and the commit's number; it is asked
    /// again whenever another writer was faster.
    pub(crate) fn publish<E: From<PublishError>>(
        &mut self,
        change: &Change,
        additions: impl FnMut(&Self, u64) -> Result<Tables, E>,
    ) -> Result<(u64, u64), E> {
        self.publish_under(&mut None, change, additions)
    }

    /// The same, sealed under the keys of `next`, if that is given: the repository goes on with them, and takes them.
    pub(crate) fn publish_under<E: From<PublishError>>(
        &mut self,
        next: &mut Option<Objects>,
        change: &Change,
        mut additions: impl FnMut(&Self, u64) -> Result<Tables, E>,
    ) -> Result<(u64, u64), E> {
        // Where only one writer can take a number, a backup need not ask who else was there: it is told when it takes one
        // that is taken. Others must know, for what they change is decided by what is there.
        let is_told = change.action == Action::Backup && self.is_exclusive();
        for attempt in 0..MAX_ATTEMPTS {
            if attempt > 0 || !is_told || self.is_behind || self.is_listing_old() {
                self.refresh()?;
            }
            self.check_writable().map_err(PublishError::Read)?;
            let config = match change.config {
                Some(config) if self.history.config().number >= config.number => {
                    return Err(PublishError::Conflict.into());
                }
                Some(config) => config,
                None => self.config_to_name(),
            };
            let number = self.history.next_number().ok_or(PublishError::Conflict)?;
            let mut tables = self.rows_of_salvaged().map_err(PublishError::from)?;
            tables.merge(&additions(self, number)?);
            if self.is_listing_old() {
                continue;
            }
            let objects = next.as_ref().unwrap_or(&self.contents.objects);
            let stored = {
                let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
                self.history.store(objects, number, (change, config), &tables, &mut **rng)
            };
            if let Some(len) = stored.map_err(PublishError::from)? {
                next.take().into_iter().for_each(|objects| self.contents.objects = objects);
                self.published(change.time)?;
                return Ok((number, len));
            }
        }
        Err(PublishError::Busy.into())
    }

    /// The config that the next commit names, if it brings none. One that no commit names yet is not named in passing: who
    /// stored it may take it back.
    fn config_to_name(&self) -> ConfigName {
        let named = self.history.config();
        if named == ConfigName::default() { self.config_name } else { named }
    }

    /// Reads what other writers published, unless this was just opened: a program may keep it open for days.
    pub(crate) fn refresh_if_old(&mut self, now: Timestamp) -> Result<(), PublishError> {
        let opened = self.opened.take();
        let is_fresh = opened.is_some_and(|opened| now.seconds.abs_diff(opened.seconds) < SECONDS_FRESH);
        if is_fresh && !self.is_behind { Ok(()) } else { self.refresh() }
    }

    /// Whether the commits were listed so long ago that what is decided by the list may not hold any more: a number that was
    /// taken meanwhile is free again once its commit was dropped (spec §11.1).
    pub(crate) fn is_listing_old(&self) -> bool {
        self.is_long_ago(self.listed)
    }

    /// Whether a device may have slept since then.
    pub(crate) fn is_long_ago(&self, time: Timestamp) -> bool {
        let age = self.time().seconds.saturating_sub(time.seconds);
        !(0..LISTING_HOLDS).contains(&age)
    }

    /// The time by this device's clock.
    pub(crate) fn time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether only one writer can take a number: whoever reaches the storage, as far as the commits tell, creates only if
    /// absent.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.contents.objects.storage.features().create_if_absent && self.history.is_exclusive()
    }

    /// Reads what other writers published.
    pub(crate) fn refresh(&mut self) -> Result<(), PublishError> {
        let now = self.time();
        self.is_behind |= self.history.refresh(&self.contents.objects, self.listed, now)?;
        self.listed = now;
        if self.is_behind { Ok(self.catch_up()?) } else { Ok(()) }
    }

    /// Takes in what the history says. If it fails, the next refresh tries again.
    fn catch_up(&mut self) -> Result<(), ReadError> {
        self.is_behind = true;
        self.contents.update(self.history.tables(), bad_packs(self.state.as_ref()))?;
        self.contents.salvage(&self.history)?;
        self.snapshots = read_snapshots(&self.history)?;
        self.is_behind = false;
        Ok(())
    }

    /// What only a damaged commit named is named from now on, or the next full commit would do without.
    fn rows_of_salvaged(&self) -> Result<Tables, ReadError> {
        let mut rows = Tables::default();
        let unnamed = self.contents.salvaged.iter().filter(|pack| self.history.tables().pack(&pack.id).is_none());
        let unnamed: Vec<&PackInfo> = unnamed.collect();
        if !unnamed.is_empty() {
            let listed = self.contents.objects.list_packs()?;
            // Another device may have been about to name it, and have deleted it since.
            let are_there = unnamed.into_iter().filter(|pack| listed.get(&pack_name(&pack.id)) == Some(&pack.len));
            are_there.for_each(|pack| rows.insert_pack(pack.row()));
        }
        Ok(rows)
    }

    /// Remembers what was just published. What cannot be read just now, the next refresh makes up for: the change is made.
    pub(crate) fn published(&mut self, now: Timestamp) -> Result<(), PublishError> {
        self.is_behind = true;
        self.contents.name_salvaged();
        let seen = self.history.seen_since(&remembered_tips(self.state.as_ref())?, now);
        self.state.store(StateKey::Tips, &seen.encode())?;
        let _ = self.catch_up();
        if let Some(cache) = self.contents.objects.storage.cache() {
            cache.retain(&|key| self.may_be_read_again(key));
        }
        Ok(())
    }

    /// Whether something that this device keeps of the storage is worth its place.
    fn may_be_read_again(&self, key: &CacheKey) -> bool {
        let (name, tables) = (&key.object, self.history.tables());
        let id = || name.file().parse().ok();
        match name.folder() {
            Folder::Config => number_of(name) >= Some(self.config.number),
            Folder::Commits => number_of(name).is_some_and(|number| self.history.may_be_base(number)),
            Folder::Index => tables.indexes().any(|row| Some(row.id) == id()),
            // A pack without a row may be one of this device that is still to be named.
            Folder::Packs => id().is_some_and(|id| tables.pack(&id).is_none_or(|row| !row.is_dropped())),
        }
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, Box<dyn CryptoRng + Send>> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unfaithful => Self::Unfaithful,
            StoreError::Storage(error) => Self::Storage(error),
        }
    }
}

/// Compares the history with what this device remembers, and the config with what the history names; then
/// remembers the tips. Returns why it cannot: who only wants to read is not to be kept out by a disk that is full.
fn check_history(
    history: &mut History,
    objects: &Objects,
    own: &ConfigName,
    state: &dyn State,
    now: Timestamp,
) -> Result<Option<StateError>, UnlockError> {
    let seen = remembered_tips(state)?;
    if history.lacks(objects, &seen, now)? {
        return Err(UnlockError::RolledBack);
    }
    let named = history.config();
    if named.number > own.number || (named.number == own.number && named != *own) {
        let object = format!("{}/{:010}", Folder::Config.name(), named.number);
        return Err(ReadError::Damaged(Damage { object, cause: DamageCause::Missing }).into());
    }
    // While commits are damaged, the memory of better days stays.
    if !history.damaged().is_empty() {
        return Ok(None);
    }
    Ok(state.store(StateKey::Tips, &history.seen(now).encode()).err())
}

/// The tips that this device remembers. Memory that does not decode is an error: it must not pass for none.
fn remembered_tips(state: &dyn State) -> Result<SeenTips, StateError> {
    let Some(seen) = state.load(StateKey::Tips)? else { return Ok(SeenTips::default()) };
    SeenTips::decode(&seen).map_err(|error| StateError {
        entry: StateKey::Tips.name(),
        action: "read",
        source: error.into(),
    })
}

/// The packs that this device found bad. If it cannot say, none: then damage is met where it is.
pub(crate) fn bad_packs(state: &dyn State) -> BadPacks {
    BadPacks::load(state).unwrap_or_default()
}

fn read_snapshots(history: &History) -> Result<Vec<Snapshot>, ReadError> {
    let snapshots: Result<Vec<_>, _> = history.tables().snapshots().collect();
    let mut snapshots = snapshots.map_err(|error| {
        ReadError::Damaged(Damage { object: Folder::Commits.name().to_owned(), cause: error.into() })
    })?;
    snapshots.sort_by_key(|snapshot| (snapshot.number, snapshot.id));
    Ok(snapshots)
}
