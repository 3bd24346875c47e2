//! The device whose backups are measured.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use getrandom::SysRng;
use hushkeep::core::Secret;
use hushkeep::core::keys::{BackupKey, Epoch, EpochKeys};
use hushkeep::core::name::RepositoryId;
use hushkeep::repo::{
    BackupOptions, BackupReport, LockedRepository, Quiet, RelPath, Repository, Source, Storage, Timestamp, Tree,
};
use hushkeep::storage::CachedStorage;
use hushkeep::{DeviceState, Home};
use rand_core::UnwrapErr;

/// A device in a world of its own: its repository has a fixed id and key, and time goes by in days.
///
/// What it remembers, and what it keeps of the storage, is where the command `hushkeep` has it, so that this opens the
/// repository with `HUSHKEEP_HOME` set to the device's folder.
pub(crate) struct Device {
    home: Home,
    state: DeviceState,
}

/// Noon of day 0: 1 January 2016, in seconds. Every file of [`MediaTree`](crate::media::MediaTree) is older, and ten
/// years later it still is before today: nothing is ever stored in the future.
const DAY_0: u64 = 1_451_649_600;

const SECONDS_OF_DAY: u64 = 86_400;

const ID: RepositoryId = RepositoryId::from_bytes(*b"measured at size");

impl Device {
    /// The device that remembers in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let home = Home::at(home);
        Self { state: home.device(&ID), home }
    }

    /// Noon of a day.
    pub(crate) fn noon(day: u64) -> Timestamp {
        Timestamp { seconds: i64::try_from(DAY_0 + day * SECONDS_OF_DAY).unwrap_or(i64::MAX), nanos: 0 }
    }

    /// The day that a time is in.
    pub(crate) fn day(time: Timestamp) -> u64 {
        u64::try_from(time.seconds).unwrap_or_default().saturating_sub(DAY_0) / SECONDS_OF_DAY
    }

    /// The keys that everything in its repository is sealed with.
    pub(crate) fn keys() -> EpochKeys {
        key().epoch_secret(&ID, Epoch::FIRST).working_keys(ID)
    }

    /// Makes the repository, and keeps its key.
    pub(crate) fn create(&self, storage: &Arc<dyn Storage>) -> Result<(), Box<dyn Error>> {
        self.state.keep_key(&key())?;
        let (storage, state) = (self.cached(storage), Arc::new(self.state.clone()));
        Repository::create(storage, state, &key(), ID, Self::noon(0), Box::new(UnwrapErr(SysRng)))?;
        Ok(())
    }

    /// Opens the repository at noon of a day.
    pub(crate) fn open(&self, storage: &Arc<dyn Storage>, day: u64) -> Result<Repository, Box<dyn Error>> {
        let locked = LockedRepository::find(self.cached(storage), None)?;
        let (state, rng) = (Arc::new(self.state.clone()), Box::new(UnwrapErr(SysRng)));
        Ok(locked.unlock(&key(), state, rng, Self::noon(day))?)
    }

    /// A storage with what this device keeps of it.
    fn cached(&self, storage: &Arc<dyn Storage>) -> Arc<dyn Storage> {
        let storage = Arc::clone(storage);
        match self.home.cache(&ID) {
            Some(cache) => Arc::new(CachedStorage::new(storage, Arc::new(cache))),
            None => storage,
        }
    }

    /// Backs up a folder at noon of a day. All of it must come out right.
    pub(crate) fn backup(
        &self,
        repository: &mut Repository,
        label: &str,
        tree: &dyn Tree,
        day: u64,
    ) -> Result<BackupReport, Box<dyn Error>> {
        let path = format!("/data/{label}").into_bytes();
        let source = Source { label: RelPath::new(label)?, path, tree };
        // What the storage has discarded is not to be found out.
        let options = BackupOptions { spot_checks: 0, ..BackupOptions::new(Self::noon(day), "phone".to_owned()) };
        let report = repository.backup(&[source], &options, &Quiet)?;
        let is_whole = report.problems.is_empty() && report.damage.is_empty();
        if is_whole { Ok(report) } else { Err(format!("a backup has problems: {report:?}").into()) }
    }
}

fn key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| bytes.fill(7)))
}
