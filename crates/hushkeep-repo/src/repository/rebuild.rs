//! A config made anew from the key, where none is left that holds (spec §3.6).

use std::cmp::Reverse;
use std::sync::Arc;

use hushkeep_core::keys::{BackupKey, ObjectKind};
use hushkeep_core::name::ProtectorId;
use hushkeep_core::seal::{HEADER_LEN, Header};
use rand_core::CryptoRng;

use super::find::SealedConfig;
use super::protectors::{COPIES, StoreError, config_names, next_number, store_config};
use crate::config::{Config, ConfigName, Protector, ProtectorKind};
use crate::error::{Damage, ReadError};
use crate::history::{History, older_epochs_in};
use crate::keyring::Keyring;
use crate::objects::{Objects, number_of};
use crate::storage::{Folder, ObjectName, StorageErrorKind};
use crate::{Storage, Timestamp};

/// No config could be made. If the storage failed, a copy of it may have been stored, and holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// There are no commits: nothing was ever backed up here.
    #[error("there is no repository here")]
    NoRepository,
    /// The key opens none of the commits: it is of another repository, or they are all damaged.
    #[error("the key opens nothing in this repository")]
    WrongKey,
    /// A commit or a config says that it was written under a newer key.
    #[error("{object} was written under a newer key")]
    Rotated {
        /// The commit or config.
        object: String,
    },
    /// Another device made a config at the same time.
    #[error("another device made a config at the same time")]
    Conflict,
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
/// What a config tells is taken from the commits. Whether the storage hides newer ones is for whoever has seen them to say,
/// when the repository is opened. A version that a newer program demanded of writers is lost with the config.
pub fn rebuild_config(
    storage: &Arc<dyn Storage>,
    key: &BackupKey,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<bool, RebuildError> {
    let objects = find_keys(storage, key)?;
    let history = History::load(&objects)?;
    let named = history.config();
    let names = config_names(storage.as_ref()).map_err(ReadError::Storage)?;
    for name in &names {
        if holds(&objects, key, name, &named)? {
            return Ok(false);
        }
    }
    let recovery_key = Protector::new(ProtectorId::generate(rng), ProtectorKind::RecoveryKey, String::new(), now);
    let number = next_number(history.highest_config(), &names).ok_or(RebuildError::Conflict)?;
    let stored = store_config(&objects, &Config::first(number, recovery_key), COPIES, rng);
    let own = stored.map_err(|error| match error {
        StoreError::Unfaithful => RebuildError::Unfaithful,
        StoreError::Storage(error) => ReadError::Storage(error).into(),
    })?;
    let is_rival = |name: &ObjectName| number_of(name) == Some(number) && !own.contains(name);
    if config_names(storage.as_ref()).map_err(ReadError::Storage)?.iter().any(is_rival) {
        objects.delete_all(&own).map_err(ReadError::Storage)?;
        return Err(RebuildError::Conflict);
    }
    Ok(true)
}

/// The keys of the newest commit that opens under `key`, and of the epochs before. No other commit of that repository may
/// be of a later epoch: the key was replaced then.
fn find_keys(storage: &Arc<dyn Storage>, key: &BackupKey) -> Result<Objects, RebuildError> {
    let mut found: Option<Objects> = None;
    let mut headers = Vec::new();
    for name in commit_names(storage.as_ref())? {
        let read = if found.is_none() { storage.get(&name) } else { storage.get_range(&name, 0..HEADER_LEN as u64) };
        let object = match read {
            Err(error) if matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::TooLong) => continue,
            object => object.map_err(ReadError::Storage)?,
        };
        let Ok(header) = Header::parse_as(ObjectKind::Commit, &object) else { continue };
        if found.is_none() {
            let keyring = Keyring::new(key, header.repository, header.epoch);
            found = open_under(Objects { storage: Arc::clone(storage), keyring }, &name, &object)?;
        }
        headers.push((name, header));
    }
    let objects = match found {
        None if headers.is_empty() => return Err(RebuildError::NoRepository),
        found => found.ok_or(RebuildError::WrongKey)?,
    };
    match headers.iter().find(|(_, header)| objects.keyring.is_succeeded_by(header)) {
        Some((name, _)) => Err(RebuildError::Rotated { object: name.to_string() }),
        None => Ok(objects),
    }
}

/// The commits that are listed, the highest number first.
fn commit_names(storage: &dyn Storage) -> Result<Vec<ObjectName>, RebuildError> {
    let listing = storage.list(Folder::Commits).map_err(|error| match error.kind {
        StorageErrorKind::NotFound => RebuildError::NoRepository,
        _ => ReadError::Storage(error).into(),
    })?;
    let mut names: Vec<ObjectName> = listing.into_iter().map(|info| info.name).collect();
    names.retain(|name| number_of(name).is_some());
    names.sort_unstable_by_key(|name| Reverse((number_of(name), name.file().to_owned())));
    Ok(names)
}

/// Completes the keys by the secrets that a commit carries; `None` if it does not open or is refused. One that a newer
/// version wrote is an error.
fn open_under(mut objects: Objects, name: &ObjectName, object: &[u8]) -> Result<Option<Objects>, ReadError> {
    let opened = objects.open_body(ObjectKind::Commit, object).map_err(|cause| Damage::new(name, cause).into());
    let older = opened.and_then(|(epoch, body)| older_epochs_in(name, epoch, &body)).and_then(|older| {
        let added = objects.keyring.add_older(&older);
        added.map_err(|error| Damage::new(name, error).into())
    });
    match older {
        Ok(()) => Ok(Some(objects)),
        Err(ReadError::Damaged(damage)) if !damage.cause.is_newer_version() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a config would hold, as the commits tell. One that a newer version wrote is an error, and so is one of a newer
/// key, or that says so without proof: nobody is to go on beside it.
fn holds(objects: &Objects, key: &BackupKey, name: &ObjectName, named: &ConfigName) -> Result<bool, RebuildError> {
    let object = match objects.storage.get(name) {
        Err(error) if matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::TooLong) => return Ok(false),
        object => object.map_err(ReadError::Storage)?,
    };
    let header = Header::parse_as(ObjectKind::Config, &object);
    if header.is_ok_and(|header| objects.keyring.is_succeeded_by(&header)) {
        return Err(RebuildError::Rotated { object: name.to_string() });
    }
    let (repository, epoch) = (objects.keyring.repository(), objects.keyring.newest());
    match SealedConfig::parse(name, object).and_then(|sealed| sealed.open(key)) {
        Ok((keyring, config, name)) => {
            let is_newest = config.number > named.number || name == *named;
            Ok(keyring.repository() == repository && keyring.newest() == epoch && is_newest)
        }
        Err(cause) if cause.is_newer_version() => Err(ReadError::from(Damage::new(name, cause)).into()),
        Err(_) => Ok(false),
    }
}
