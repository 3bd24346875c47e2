//! A config made anew from the key, where none is left that holds (spec §3.6).

use std::cmp::Reverse;
use std::sync::Arc;

use hushkeep_core::keys::{BackupKey, Epoch, ObjectKind};
use hushkeep_core::name::{ProtectorId, RepositoryId};
use hushkeep_core::seal::{self, Header, OpenError};
use rand_core::CryptoRng;

use super::protectors::{COPIES, StoreError, config_names, name_of, next_number, store_config};
use crate::config::{ClearConfig, Config, ConfigName, Protector, ProtectorKind};
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::keys_in_commit;
use crate::keyring::Keyring;
use crate::objects::{Objects, number_of};
use crate::storage::{Folder, ObjectName, StorageErrorKind};
use crate::{Storage, Timestamp};

/// No config could be made. The storage is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// There are no commits: nothing was ever backed up here.
    #[error("there is no repository here")]
    NoRepository,
    /// The key opens none of the commits.
    #[error("the key does not belong to this repository")]
    WrongKey,
    /// There are commits under a newer key.
    #[error("the repository has a new key, which this device does not know")]
    Rotated,
    /// The storage does not return what was stored.
    #[error("the storage does not return what was just stored")]
    Unfaithful,
    /// The repository cannot be read or written.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Stores a config with the recovery key as its only protector, if none is left that holds: all other ways to the key
/// are lost then. Returns whether it did.
///
/// What a config tells is taken from the newest commit that opens under the key. Whether the storage hides newer ones is
/// for who has seen them to say, when the repository is opened. A version that a newer program demanded of writers is
/// lost with the config.
pub fn rebuild_config(
    storage: &Arc<dyn Storage>,
    key: &BackupKey,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<bool, RebuildError> {
    let (objects, named) = find_commit(storage, key)?;
    let names = config_names(storage.as_ref()).map_err(ReadError::Storage)?;
    for name in &names {
        if holds(&objects, name, &named)? {
            return Ok(false);
        }
    }
    let recovery_key = Protector::new(ProtectorId::generate(rng), ProtectorKind::RecoveryKey, String::new(), now);
    let number = next_number(named.number, &names).ok_or(RebuildError::WrongKey)?;
    let config = Config::first(number, recovery_key);
    match store_config(&objects, &config, COPIES, rng) {
        Ok(_) => Ok(true),
        Err(StoreError::Unfaithful) => Err(RebuildError::Unfaithful),
        Err(StoreError::Storage(error)) => Err(ReadError::Storage(error).into()),
    }
}

/// The newest commit that opens under the key: the keys of its epoch and of those before, and the config that it names.
fn find_commit(storage: &Arc<dyn Storage>, key: &BackupKey) -> Result<(Objects, ConfigName), RebuildError> {
    let listing = storage.list(Folder::Commits).map_err(|error| match error.kind {
        StorageErrorKind::NotFound => RebuildError::NoRepository,
        _ => ReadError::Storage(error).into(),
    })?;
    let mut names: Vec<ObjectName> = listing.into_iter().map(|info| info.name).collect();
    names.retain(|name| number_of(name).is_some());
    names.sort_unstable_by_key(|name| Reverse(number_of(name)));
    if names.is_empty() {
        return Err(RebuildError::NoRepository);
    }
    let mut others: Vec<(RepositoryId, Epoch)> = Vec::new();
    for name in &names {
        let object = match storage.get(name) {
            Err(error) if error.kind == StorageErrorKind::NotFound => continue,
            object => object.map_err(ReadError::Storage)?,
        };
        let Ok((header, _)) = Header::parse(&object) else { continue };
        let keyring = Keyring::new(key, header.repository, header.epoch);
        let mut objects = Objects { storage: Arc::clone(storage), keyring };
        let Ok((_, body)) = objects.open_body(ObjectKind::Commit, &object) else {
            others.push((header.repository, header.epoch));
            continue;
        };
        if others.iter().any(|(id, epoch)| *id == header.repository && *epoch > header.epoch) {
            return Err(RebuildError::Rotated);
        }
        let damaged = |error| ReadError::from(Damage::new(name, error));
        let (config, older_epochs) = keys_in_commit(&body).map_err(damaged)?;
        objects.keyring.add_older(&older_epochs).map_err(damaged)?;
        return Ok((objects, config));
    }
    Err(RebuildError::WrongKey)
}

/// Whether a config opens and is not older than the one that is named. One that a newer version wrote is an error, and so is
/// one that says so without proof: nobody is to go on beside it.
fn holds(objects: &Objects, name: &ObjectName, named: &ConfigName) -> Result<bool, ReadError> {
    let object = match objects.storage.get(name) {
        Err(error) if error.kind == StorageErrorKind::NotFound => return Ok(false),
        object => object.map_err(ReadError::Storage)?,
    };
    let header = match Header::parse(&object) {
        Err(OpenError::UnknownVersion(_)) => return Err(Damage::new(name, DamageCause::NewerVersion).into()),
        Err(_) => return Ok(false),
        Ok((header, _)) => header,
    };
    let Ok(body) = seal::open_single(objects.keys(), ObjectKind::Config, &object) else { return Ok(false) };
    match ClearConfig::decode(&header.clear).and_then(|clear| Config::decode(clear, &body)) {
        Ok((config, _)) => Ok(number_of(name) == Some(config.number) && name_of(&config, objects) >= *named),
        Err(error) if DamageCause::from(error).is_newer_version() => Err(Damage::new(name, error).into()),
        Err(_) => Ok(false),
    }
}
