//! A vault's folder: its keys, its records, and a lock, so that two programs never change them at once.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hushkeep_vault::server::{Policy, Secrets, SecretsError, Vault};

use crate::keys::{self, KeysError};
use crate::store::{RecordsError, SqliteStore};

/// So long another program may have the folder before that is an error.
const PATIENCE: Duration = Duration::from_secs(1);

/// A vault that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Its folder cannot be made or locked.
    #[error("{}", path.display())]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another program has it open.
    #[error("{} is in use: the vault is being served, or worked on", .0.display())]
    InUse(PathBuf),
    /// It belongs to another user, who could not use afterwards what this one makes in it.
    #[error("{} belongs to another user: run this as the one that serves the vault", .0.display())]
    AnotherUser(PathBuf),
    /// It has keys, but no records.
    #[error("{} has keys and no records: put a copy of the records back with \"hushkeep-vaultd restore\", or, for a new vault, \
         remove the keys", .0.display())]
    NoRecords(PathBuf),
    /// Its keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its keys are none.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Its records cannot be opened.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// A vault's folder. As long as this lives, no other program has it.
pub struct VaultFolder {
    path: PathBuf,
    _lock: File,
}

impl VaultFolder {
    /// Takes the folder of a vault, or makes a vault where there is none.
    pub fn take_or_create(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Folder { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let folder = Self::take(path)?;
        let first = path.join("records.first");
        let is_there = |path: &Path| path.try_exists().map_err(failed);
        match (is_there(&keys_file(path))?, is_there(&records_file(path))?) {
            // A first start that was broken off: keys and records are there.
            (true, false) if is_there(&first)? => folder.name_records(&first)?,
            (true, false) => return Err(FolderError::NoRecords(path.to_owned())),
            (false, false) => folder.create(&first)?,
            // Keys that are gone are not replaced by others: the records would open no more, and nobody would know why.
            (_, true) => {}
        }
        Ok(folder)
    }

    /// Makes keys and records. The records get their name last: without keys they are nothing, and keys without records are not
    /// taken.
    fn create(&self, first: &Path) -> Result<(), FolderError> {
        let failed = |source| FolderError::Folder { path: first.to_owned(), source };
        match fs::remove_file(first) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let secrets = keys::generate();
        let vault = Vault::new(secrets, Policy::DEFAULT)?;
        SqliteStore::create(first, &vault.id())?;
        keys::create(&self.keys_file(), vault.secrets())?;
        self.name_records(first)?;
        tracing::info!(folder = %self.path.display(), "made a new vault, which has a key of its own");
        Ok(())
    }

    fn name_records(&self, first: &Path) -> Result<(), FolderError> {
        let failed = |source| FolderError::Folder { path: first.to_owned(), source };
        fs::rename(first, self.records_file()).map_err(failed)?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Takes the folder of a vault.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        check_user(path)?;
        let name = path.join("lock");
        let failed = |source| FolderError::Folder { path: name.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(&name).map_err(failed)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: lock }),
                // One that is ending, or a program that one starts and that is not itself yet, has it for a moment.
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => thread::sleep(PATIENCE / 100),
                Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Its keys.
    pub fn keys(&self) -> Result<Secrets, FolderError> {
        Ok(keys::load(&self.keys_file())?)
    }

    /// Replaces its keys.
    pub fn set_keys(&self, secrets: &Secrets) -> Result<(), FolderError> {
        Ok(keys::replace(&self.keys_file(), secrets)?)
    }

    /// Its records.
    pub fn records(&self, vault: &Vault) -> Result<SqliteStore, FolderError> {
        Ok(SqliteStore::open(&self.records_file(), &vault.id())?)
    }

    /// Vault and records.
    pub fn open(&self) -> Result<(Vault, SqliteStore), FolderError> {
        let vault = Vault::new(self.keys()?, Policy::DEFAULT)?;
        let records = self.records(&vault)?;
        Ok((vault, records))
    }

    /// Where its keys are.
    pub fn keys_file(&self) -> PathBuf {
        keys_file(&self.path)
    }

    /// Where its records are.
    pub fn records_file(&self) -> PathBuf {
        records_file(&self.path)
    }
}

/// Refuses a folder that belongs to another user than whoever runs this program.
pub fn check_user(path: &Path) -> Result<(), FolderError> {
    let found = fs::metadata(path).map_err(|source| FolderError::Folder { path: path.to_owned(), source })?;
    match found.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(FolderError::AnotherUser(path.to_owned())),
    }
}

/// Where a vault's keys are.
pub fn keys_file(folder: &Path) -> PathBuf {
    folder.join("vault-keys")
}

/// Where a vault's records are.
pub fn records_file(folder: &Path) -> PathBuf {
    folder.join("records.db")
}
