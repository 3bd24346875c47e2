//! Finding a repository, and unlocking it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hushkeep_core::keys::{BackupKey, ObjectKind};
use hushkeep_core::name::{ProtectorId, RepositoryId};
use hushkeep_core::seal::{self, HEADER_LEN, Header};
use hushkeep_core::wire::WireError;
use hushkeep_core::wrap::WrapPlace;
use rand_core::CryptoRng;

use super::protectors::StoredConfigs;
use super::{Repository, SharedRng, UnlockError, remembered_tips};
use crate::cache::CacheKey;
use crate::config::{ClearConfig, Config, ConfigName, ProtectorKind, parse_header};
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::has_config;
use crate::keyring::Keyring;
use crate::objects::{Objects, number_of};
use crate::retention::SECONDS_UNTIL_DROPPED;
use crate::storage::{Folder, ObjectName, StorageErrorKind};
use crate::{Clock, State, Storage, Timestamp};

/// A repository that was found: what anyone can read of it.
pub struct LockedRepository {
    storage: Arc<dyn Storage>,
    id: RepositoryId,
    /// Those of `id` first, then the newest first; at least one.
    configs: Vec<SealedConfig>,
    /// A config that a newer version wrote, as it says of itself: that is not proven.
    newer: Option<Damage>,
    /// Configs of which nothing can be read.
    damaged: Vec<Damage>,
}

/// A way to a key, as a config tells of it before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundProtector<'a> {
    /// Its name, and the repository and epoch that the config says it is of.
    pub place: WrapPlace,
    /// What it is.
    pub kind: &'a ProtectorKind,
}

/// A config that is not opened yet.
pub(super) struct SealedConfig {
    name: ObjectName,
    object: Vec<u8>,
    header: Header,
    clear: ClearConfig,
    /// What is wrong with it on the storage, if it comes from this device.
    damage: Option<Damage>,
}

/// A repository that could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The place is not there, or holds no repository.
    #[error("there is no repository here")]
    NoRepository,
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl LockedRepository {
    /// Reads the configs of a storage. If they disagree of which repository they are, those of the one that is `known`
    /// count first, else those of the one that most belong to.
    pub fn find(storage: Arc<dyn Storage>, known: Option<RepositoryId>) -> Result<Self, FindError> {
        let listing = storage.list(Folder::Config).map_err(|error| match error.kind {
            StorageErrorKind::NotFound => FindError::NoRepository,
            _ => ReadError::Storage(error).into(),
        })?;
        let names = listing.into_iter().map(|info| info.name);
        let mut names: Vec<_> = names.filter(|name| number_of(name).is_some()).collect();
        names.sort_unstable_by_key(|name| Reverse((number_of(name), name.file().to_owned())));
        let (mut configs, mut damaged, mut newer) = (Vec::new(), Vec::new(), None);
        for name in &names {
            match read_config(storage.as_ref(), name) {
                Ok(found) => configs.extend(found),
                Err(ReadError::Damaged(damage)) if damage.cause == DamageCause::NewerVersion => newer = Some(damage),
                Err(ReadError::Damaged(damage)) => damaged.push(damage),
                Err(error) => return Err(error.into()),
            }
        }
        let known = known.filter(|known| configs.iter().any(|config| config.header.repository == *known));
        let Some(id) = known.map_or_else(|| choose_id(storage.as_ref(), &configs), |known| Ok(Some(known)))? else {
            let nothing = || FindError::NoRepository;
            return Err(newer.or(damaged.pop()).map_or_else(nothing, |damage| ReadError::Damaged(damage).into()));
        };
        configs.sort_by_key(|config| config.header.repository != id);
        Ok(Self { storage, id, configs, newer, damaged })
    }

    /// The repository's id. Not authenticated before it is unlocked.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// The protectors of all configs, the newest first, each once: a config above the one that holds may be left of a
    /// rotation that was never completed. Not authenticated before the repository is unlocked: whoever uses one
    /// limits what its parameters may ask for, and how many are tried.
    pub fn protectors(&self) -> impl Iterator<Item = FoundProtector<'_>> {
        let all = self.configs.iter().flat_map(|config| {
            let (repository, epoch) = (config.header.repository, config.header.epoch);
            config.clear.protectors.iter().map(move |(id, kind)| {
                let place = WrapPlace { repository, protector: *id, epoch };
                FoundProtector { place, kind }
            })
        });
        let mut told: Vec<FoundProtector<'_>> = Vec::new();
        all.filter(move |protector| {
            let is_new = !told.contains(protector);
            told.extend(is_new.then_some(*protector));
            is_new
        })
    }

    /// The id of the repository that a key opens, if it does; not always [`id`](Self::id), for whoever can write to the
    /// storage can put headers of other repositories beside. Reads nothing more.
    pub fn id_for(&self, key: &BackupKey) -> Option<RepositoryId> {
        self.configs.iter().find(|config| config.accepts(key)).map(|config| config.header.repository)
    }

    /// Whether a key opens a repository here. Reads nothing more.
    pub fn accepts(&self, key: &BackupKey) -> bool {
        self.id_for(key).is_some()
    }

    /// Whether the storage lacks a commit that a device saw not long ago. It needs no key: so a device whose key opens
    /// nothing can tell an old copy from a repository that was given a new key.
    pub fn lacks_what_was_seen(&self, state: &dyn State, now: Timestamp) -> Result<bool, UnlockError> {
        let seen = remembered_tips(state)?;
        let listed = self.storage.list(Folder::Commits).map_err(ReadError::Storage)?;
        Ok(!seen.names_since(now, SECONDS_UNTIL_DROPPED).all(|name| listed.iter().any(|info| info.name == *name)))
    }

    /// Opens the newest config that this key opens, and the history; compares it with what this device remembers: `state`
    /// is that of the repository which the key opens, `clock` the device's.
    pub fn unlock(
        &self,
        key: &BackupKey,
        state: Arc<dyn State>,
        rng: Box<dyn CryptoRng + Send>,
        clock: impl Clock + 'static,
    ) -> Result<Repository, UnlockError> {
        let (rng, clock): (SharedRng, Arc<dyn Clock>) = (Arc::new(Mutex::new(rng)), Arc::new(clock));
        let mut failure = UnlockError::WrongKey;
        for sealed in self.configs.iter().filter(|config| config.accepts(key)) {
            let (keyring, config, name) = match sealed.open(key) {
                Ok(opened) => opened,
                Err(cause) => {
                    failure = ReadError::from(Damage::new(&sealed.name, cause)).into();
                    // Who went on to an older config could undo what a newer program said.
                    if cause.is_newer_version() {
                        break;
                    }
                    continue;
                }
            };
            let objects = Objects { storage: Arc::clone(&self.storage), keyring };
            if self.is_replaced(&objects)? {
                failure = ReadError::Rotated.into();
                continue;
            }
            let stored = self.stored_configs(&config, &name, &sealed.header, key);
            match Repository::open(
                objects,
                (key, &sealed.name),
                (config, name, stored),
                Arc::clone(&state),
                Arc::clone(&rng),
                Arc::clone(&clock),
            ) {
                Err(error) if is_about_config(&error) => failure = error,
                opened => return opened,
            }
        }
        // One that cannot be read may be the one that holds. It is not proven, and does not matter where another does.
        match &self.newer {
            Some(newer) if matches!(failure, UnlockError::WrongKey) || is_about_config(&failure) => {
                Err(ReadError::from(newer.clone()).into())
            }
            _ => Err(failure),
        }
    }
}

impl LockedRepository {
    /// Whether a config and a commit say that the key was replaced, whoever claims to continue that commit: who has the key
    /// that was replaced could store one that does (spec §11.4).
    fn is_replaced(&self, objects: &Objects) -> Result<bool, ReadError> {
        let is_later = |header: &Header| objects.keyring.is_succeeded_by(header);
        let mut is_told = self.configs.iter().any(|config| is_later(&config.header));
        if !is_told && (self.newer.is_some() || !self.damaged.is_empty()) {
            // The header tells, also where the clear part is refused.
            is_told = has_config(objects, |header| header.is_some_and(is_later))?;
        }
        if !is_told {
            return Ok(false);
        }
        for info in self.storage.list(Folder::Commits).map_err(ReadError::Storage)? {
            if number_of(&info.name).is_none() {
                continue;
            }
            let read = self.storage.get_range(&info.name, 0..HEADER_LEN as u64);
            let header = match read.map_err(|error| ReadError::from_storage(error, &info.name)) {
                Err(ReadError::Damaged(_)) => continue,
                header => header?,
            };
            let header = Header::parse_as(ObjectKind::Commit, &header);
            if header.is_ok_and(|header| objects.keyring.is_succeeded_by(&header)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How often a config is whole on the storage, what is wrong with others of its number, and which others should not
    /// be there.
    fn stored_configs(&self, config: &Config, name: &ConfigName, header: &Header, key: &BackupKey) -> StoredConfigs {
        let mut stored = StoredConfigs { outdated: self.outdated_by(config, header), ..StoredConfigs::default() };
        let of_this_number = |sealed: &&SealedConfig| number_of(&sealed.name) == Some(config.number);
        let mut opened = Vec::new();
        for sealed in
            self.configs.iter().filter(of_this_number).filter(|sealed| sealed.header.repository == header.repository)
        {
            match (&sealed.damage, sealed.open(key)) {
                (None, Ok((.., copy))) => {
                    stored.whole += usize::from(copy == *name);
                    opened.push(&sealed.name);
                }
                // One that a newer version wrote is not this one's to judge.
                (None, Err(cause)) if cause.is_newer_version() => {}
                (None, Err(cause)) => stored.damaged.push((sealed.name.clone(), Damage::new(&sealed.name, cause))),
                (Some(damage), _) => stored.damaged.push((sealed.name.clone(), damage.clone())),
            }
        }
        stored.damaged.retain(|(name, _)| !opened.contains(&name));
        let unread = self.damaged.iter().filter_map(|damage| Some((damage.object.parse().ok()?, damage.clone())));
        stored.damaged.extend(unread.filter(|(name, _)| number_of(name) == Some(config.number)));
        // One that is listed and gone was deleted by another device, which this one does not know of yet.
        stored.damaged.retain(|(_, damage)| damage.cause != DamageCause::Missing);
        stored.damaged.sort_by(|(one, _), (other, _)| one.cmp(other));
        stored.damaged.dedup_by(|(later, _), (first, _)| later == first);
        stored
    }

    /// Configs under an older key, and earlier ones with a protector that this one has not. One under a newer key is of a
    /// rotation of which the commit may still be on its way.
    fn outdated_by(&self, config: &Config, header: &Header) -> Vec<ObjectName> {
        let is_kept = |old: &(ProtectorId, ProtectorKind)| {
            config.protectors.iter().any(|protector| (protector.id, &protector.kind) == (old.0, &old.1))
        };
        let is_outdated = |sealed: &&SealedConfig| {
            let is_earlier = number_of(&sealed.name).is_some_and(|number| number < config.number);
            let is_of_older_key = sealed.header.epoch < header.epoch;
            let gives_more = sealed.header.epoch == header.epoch && !sealed.clear.protectors.iter().all(is_kept);
            sealed.header.repository == header.repository && (is_of_older_key || (is_earlier && gives_more))
        };
        self.configs.iter().filter(is_outdated).map(|sealed| sealed.name.clone()).collect()
    }
}

/// Whether another config may still hold: the commits name a newer one, or another of its number, or none of them is of its
/// epoch, or its key was replaced.
fn is_about_config(error: &UnlockError) -> bool {
    match error {
        UnlockError::NotInForce | UnlockError::Read(ReadError::Rotated) => true,
        UnlockError::Read(ReadError::Damaged(damage)) => damage.object.starts_with(Folder::Config.name()),
        _ => false,
    }
}

impl SealedConfig {
    pub(super) fn parse(name: &ObjectName, object: Vec<u8>) -> Result<Self, DamageCause> {
        let header = parse_header(&object)?;
        let clear = ClearConfig::decode(&header.clear).map_err(|error| match error {
            WireError::UnknownCritical(_) => DamageCause::NewerVersion,
            error => error.into(),
        })?;
        Ok(Self { name: name.clone(), object, header, clear, damage: None })
    }

    /// Whether the key commits to the same value as the config. A public check: it says nothing of the key.
    fn accepts(&self, key: &BackupKey) -> bool {
        let keys = key.epoch_secret(&self.header.repository, self.header.epoch);
        keys.working_keys(self.header.repository).check().matches(&self.clear.key_check)
    }

    /// Opens the config. Its number must be the one in its name: else an old config could be shown as the newest.
    pub(super) fn open(&self, key: &BackupKey) -> Result<(Keyring, Config, ConfigName), DamageCause> {
        let mut keyring = Keyring::new(key, self.header.repository, self.header.epoch);
        let keys = keyring.current().ok_or(DamageCause::UnknownEpoch)?;
        let body = seal::open_single(keys, ObjectKind::Config, &self.object)?;
        let (config, older) = Config::decode(self.clear.clone(), &body)?;
        if number_of(&self.name) != Some(config.number) {
            return Err(DamageCause::Content);
        }
        keyring.add_older(&older)?;
        let name = ConfigName::of(config.number, &self.header.clear, &body);
        Ok((keyring, config, name))
    }
}

/// The repository that most configs belong to: a damaged header must not hide the others. If they disagree
/// evenly, the newest commit decides, and if there is none, the newest config. `None` if there is no config.
fn choose_id(storage: &dyn Storage, configs: &[SealedConfig]) -> Result<Option<RepositoryId>, ReadError> {
    let mut counts: BTreeMap<RepositoryId, usize> = BTreeMap::new();
    for config in configs {
        *counts.entry(config.header.repository).or_default() += 1;
    }
    let most = counts.values().max().copied().unwrap_or_default();
    let leading: Vec<RepositoryId> = counts.into_iter().filter(|(_, count)| *count == most).map(|(id, _)| id).collect();
    if leading.len() < 2 {
        return Ok(leading.first().copied());
    }
    let commits = storage.list(Folder::Commits).map_err(ReadError::Storage)?;
    let commits = commits.into_iter().map(|info| info.name);
    let mut commits: Vec<ObjectName> = commits.filter(|name| number_of(name).is_some()).collect();
    commits.sort_unstable_by_key(|name| Reverse((number_of(name), name.file().to_owned())));
    for commit in commits {
        let read = storage.get_range(&commit, 0..HEADER_LEN as u64);
        let header = match read.map_err(|error| ReadError::from_storage(error, &commit)) {
            Err(ReadError::Damaged(_)) => continue,
            header => header?,
        };
        let id = Header::parse_as(ObjectKind::Commit, &header).ok().map(|header| header.repository);
        if id.is_some_and(|id| leading.contains(&id)) {
            return Ok(id);
        }
    }
    Ok(configs.iter().map(|config| config.header.repository).find(|id| leading.contains(id)))
}

/// Reads what anyone can read of a config. It is used before it can be opened, so that what this device keeps of it
/// has a hash beside it: what a crash left of a file is not to be asked for a key. If what is on the storage is something else
/// than what is kept, only opening tells which is right: the one that is kept comes second.
fn read_config(storage: &dyn Storage, name: &ObjectName) -> Result<Vec<SealedConfig>, ReadError> {
    let key = CacheKey::whole(name);
    let kept = storage.cache().and_then(|cache| cache.load(&key)).and_then(check_hash);
    let kept = kept.and_then(|object| SealedConfig::parse(name, object).ok());
    if let (Some(cache), Some(_)) = (storage.cache(), &kept)
        && !cache.is_due(&key)
    {
        return Ok(kept.into_iter().collect());
    }
    match (fetch_config(storage, name), kept) {
        (Ok(found), Some(kept)) if found.object != kept.object => {
            Ok(vec![found, SealedConfig { damage: Some(Damage::new(name, DamageCause::Content)), ..kept }])
        }
        (Ok(found), _) => {
            if let Some(cache) = storage.cache() {
                cache.store(&key, &[found.object.as_slice(), blake3::hash(&found.object).as_bytes()].concat());
            }
            Ok(vec![found])
        }
        (Err(ReadError::Damaged(damage)), Some(kept)) => Ok(vec![SealedConfig { damage: Some(damage), ..kept }]),
        (Err(error), _) => Err(error),
    }
}

fn check_hash(mut kept: Vec<u8>) -> Option<Vec<u8>> {
    let hash = kept.split_off(kept.len().checked_sub(blake3::OUT_LEN)?);
    (blake3::hash(&kept).as_bytes() == hash.as_slice()).then_some(kept)
}

fn fetch_config(storage: &dyn Storage, name: &ObjectName) -> Result<SealedConfig, ReadError> {
    let object = storage.get(name).map_err(|error| ReadError::from_storage(error, name))?;
    SealedConfig::parse(name, object).map_err(|cause| Damage::new(name, cause).into())
}
