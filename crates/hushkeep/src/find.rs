//! Finding a repository, and making one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_core::recovery::RecoveryKey;
use hushkeep_repo::storage::{Folder, Storage, StorageError, StorageErrorKind};
use hushkeep_repo::{self as repo, LockedRepository, Repository};
use hushkeep_storage::OpenError;

use crate::home::{DeviceState, Home, HomeError, key_file_contents};
use crate::place::Place;
use crate::private_file;
use crate::unlock::{Opened, OpenedBy};

/// A repository that was found at a place and is still locked.
pub struct Found {
    pub(crate) locked: LockedRepository,
    pub(crate) device: DeviceState,
    pub(crate) home: Home,
    pub(crate) place: Place,
}

/// There is no repository to work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The place is missing or empty.
    #[error("there is no repository here")]
    NoRepository {
        /// The repository that this device has seen there: most likely a disk is not mounted.
        known: Option<RepositoryId>,
    },
    /// Another repository is where this device knows one.
    #[error("this is not the repository that this device knows here")]
    Another {
        /// The one this device knows.
        known: RepositoryId,
        /// The one that is there now.
        found: RepositoryId,
    },
    /// Objects of a repository are there, but nothing that says whose.
    #[error("objects of a repository are here, but its config is missing")]
    ConfigMissing,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(repo::FindError),
    /// This device's own memory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Found {
    /// Finds the repository at a place. What this device knows of the place must hold.
    pub fn find(home: &Home, place: &Place) -> Result<Self, FindError> {
        let found = Self::find_any(home, place)?;
        match home.known(place)? {
            Some(known) if known != found.id() => Err(FindError::Another { known, found: found.id() }),
            _ => Ok(found),
        }
    }

    /// Finds whichever repository is at a place now, for an owner who says that this is the one.
    pub fn find_any(home: &Home, place: &Place) -> Result<Self, FindError> {
        let known = home.known(place)?;
        let missing = |known| FindError::NoRepository { known };
        let storage = match place.open(known.and_then(|known| home.cache(&known))) {
            Err(OpenError::Storage(error)) if error.kind == StorageErrorKind::NotFound => return Err(missing(known)),
            opened => opened?,
        };
        let locked = match LockedRepository::find(Arc::clone(&storage), known) {
            Err(repo::FindError::NoRepository) if holds_objects(&*storage).map_err(OpenError::from)? => {
                return Err(FindError::ConfigMissing);
            }
            Err(repo::FindError::NoRepository) => return Err(missing(known)),
            found => found.map_err(FindError::Repository)?,
        };
        let device = home.device(&locked.id());
        Ok(Self { locked, device, home: home.clone(), place: place.clone() })
    }

    /// The repository's id, as it says itself.
    pub fn id(&self) -> RepositoryId {
        self.locked.id()
    }
}

fn holds_objects(storage: &dyn Storage) -> Result<bool, StorageError> {
    for folder in Folder::ALL {
        if !storage.list(folder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The key and the name of a repository that is not made yet.
pub struct NewRepository {
    id: RepositoryId,
    key: BackupKey,
}

/// Where the key of a new repository is kept, beside its owner's memory and paper.
#[derive(Debug, Clone, Default)]
pub struct KeepKey {
    /// On this device, so that its next backups ask nothing.
    pub on_device: bool,
    /// In this new file, as a recovery key.
    pub in_file: Option<PathBuf>,
}

/// A repository that could not be made. Its key is then kept nowhere, unless a part of it may have been stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// This device has seen a repository there, and now the place is missing or empty.
    #[error("this device knows a repository here, but nothing is there now")]
    KnownButMissing,
    /// There is one already.
    #[error("there is a repository here already")]
    Exists,
    /// Something else is in the folder.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The recovery key could not be written to its file.
    #[error("the recovery key cannot be written to {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The place cannot be used.
    #[error(transparent)]
    Find(FindError),
    /// The repository could not be written.
    #[error(transparent)]
    Repository(#[from] repo::CreateError),
    /// The key could not be kept on this device.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl NewRepository {
    /// Draws a key and a name.
    pub fn generate() -> Self {
        let rng = &mut crate::random();
        Self { id: RepositoryId::generate(rng), key: BackupKey::generate(rng) }
    }

    /// The key, for its owner to write down.
    pub fn recovery_key(&self) -> RecoveryKey {
        RecoveryKey::from_backup_key(&self.key)
    }

    /// Makes the repository. Its key is kept before anything is stored.
    pub fn create(self, home: &Home, place: &Place, keep: &KeepKey) -> Result<Opened, CreateError> {
        check_free(home, place)?;
        let device = home.device(&self.id);
        self.keep_key(&device, keep)?;
        match self.store(home, &device, place) {
            Ok(repository) => {
                home.remember(place, &self.id)?;
                Ok(Opened { repository, key: self.key, by: OpenedBy::New, device, unremembered: None })
            }
            Err(error) => {
                self.forget_key(home, place, keep);
                Err(error)
            }
        }
    }

    fn store(&self, home: &Home, device: &DeviceState, place: &Place) -> Result<Repository, CreateError> {
        let storage = place.create(home.cache(&self.id)).map_err(|error| CreateError::Find(error.into()))?;
        let (state, rng) = (Arc::new(device.clone()), Box::new(crate::random()));
        Ok(Repository::create(storage, state, &self.key, self.id, crate::DeviceClock, rng)?)
    }

    /// Keeps the key wherever it shall be kept, or nowhere.
    fn keep_key(&self, device: &DeviceState, keep: &KeepKey) -> Result<(), CreateError> {
        if keep.on_device {
            device.keep_key(&self.key)?;
        }
        let Some(path) = &keep.in_file else { return Ok(()) };
        private_file::create(path, &key_file_contents(&self.key)).map_err(|source| {
            // What cannot be removed is a key to nothing.
            let _ = device.forget();
            CreateError::KeyFile { path: path.clone(), source }
        })
    }

    /// Removes the key of a repository that was surely not made.
    fn forget_key(&self, home: &Home, place: &Place, keep: &KeepKey) {
        if !matches!(Found::find_any(home, place), Err(FindError::NoRepository { .. })) {
            return;
        }
        // What cannot be removed is a key to nothing.
        let _ = home.device(&self.id).forget();
        if let Some(path) = &keep.in_file {
            let _ = fs::remove_file(path);
        }
    }
}

/// A new repository must not hide that a disk is not mounted, nor mix with what is there.
fn check_free(home: &Home, place: &Place) -> Result<(), CreateError> {
    match Found::find_any(home, place) {
        Ok(_) => return Err(CreateError::Exists),
        Err(FindError::NoRepository { known: Some(_) }) => return Err(CreateError::KnownButMissing),
        Err(FindError::NoRepository { known: None }) => {}
        Err(FindError::Home(error)) => return Err(error.into()),
        Err(error) => return Err(CreateError::Find(error)),
    }
    match place.folder() {
        Some(folder) if !holds_only_own_folders(&folder) => Err(CreateError::NotEmpty),
        _ => Ok(()),
    }
}

/// Whether a folder is missing, empty, or left by a creation that was broken off.
fn holds_only_own_folders(folder: &Path) -> bool {
    let is_own = |name: &str| name == "tmp" || Folder::ALL.iter().any(|own| own.name() == name);
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.all(|entry| entry.file_name().to_str().is_some_and(|name| is_own(name) || name == "lost+found"))
}
