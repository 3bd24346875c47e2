//! Getting the backup key, and opening a repository with it.

use std::io;
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::recovery::{Parsed, RecoveryKey, RecoveryKeyError};
use hushkeep_core::wrap::{Passphrase, PassphraseWrap, UnwrapError};
use hushkeep_repo::{self as repo, ProtectorKind, Repository};
use zeroize::Zeroizing;

use crate::find::Found;
use crate::home::{DeviceState, HomeError};

/// Asks the owner for a way to get the backup key back.
pub trait Ask {
    /// Returns what the owner gives; `None` if there is nothing to give, or nothing more.
    ///
    /// Called again, with the reason, as long as what was given does not open the repository.
    fn secret(&mut self, has_passphrase: bool, refused: Option<&SecretError>) -> io::Result<Option<Secret>>;
}

/// What an owner can give.
pub enum Secret {
    /// A recovery key, as it was typed or read.
    RecoveryKey(Zeroizing<String>),
    /// A passphrase, as it was typed or read.
    Passphrase(Zeroizing<String>),
}

/// What was given does not open this repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It is no recovery key.
    #[error(transparent)]
    NotARecoveryKey(#[from] RecoveryKeyError),
    /// It is a whole recovery key, of another repository.
    #[error("this recovery key belongs to another repository")]
    AnotherRecoveryKey,
    /// Nothing was given.
    #[error("nothing was given")]
    EmptyPassphrase,
    /// The passphrase opens nothing here.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// This repository has no passphrase.
    #[error("this repository has no passphrase")]
    NoPassphrase,
    /// The passphrase cannot be tried, or is right and gives no key.
    #[error("the passphrase's own record is damaged or needs a newer program")]
    PassphraseDamaged,
    /// Trying the passphrase takes more memory than there is.
    #[error("there are no {} MiB of memory to try the passphrase", memory_kib >> 10)]
    OutOfMemory {
        /// What it takes.
        memory_kib: u32,
    },
}

/// How a repository was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenedBy {
    /// It was just made.
    New,
    /// By the key that is kept on this device.
    DeviceKey,
    /// By its recovery key.
    RecoveryKey {
        /// The group that was wrong and could be repaired, counted from 1.
        repaired_group: Option<usize>,
    },
    /// By a passphrase.
    Passphrase(ProtectorId),
}

/// An open repository with its key.
pub struct Opened {
    /// The repository.
    pub repository: Repository,
    /// Its backup key.
    pub key: BackupKey,
    /// How it was opened.
    pub by: OpenedBy,
    /// What this device remembers of it.
    pub device: DeviceState,
}

/// A repository that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// This device keeps no key that fits, and the owner gave nothing.
    #[error("this device has no key for this repository")]
    NoKey,
    /// What the owner gave last does not open it.
    #[error(transparent)]
    Refused(SecretError),
    /// The owner could not be asked.
    #[error("cannot ask for the key")]
    Asking(#[source] io::Error),
    /// The key is right, but the repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] repo::UnlockError),
    /// This device's own memory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// How many protectors are tried: what a config says is not proven before one of them opens it, and each try can
/// cost a gigabyte and many seconds.
const MAX_TRIED: usize = 32;

impl Found {
    /// Opens the repository by the key that is kept on this device, else by what the owner gives.
    pub fn unlock(self, ask: &mut dyn Ask) -> Result<Opened, UnlockError> {
        match self.device.key()? {
            Some(key) if self.locked.accepts(&key) => self.open(key, OpenedBy::DeviceKey),
            _ => self.unlock_by_asking(ask),
        }
    }

    /// Opens the repository by what the owner gives, whatever is kept on this device.
    pub fn unlock_by_asking(self, ask: &mut dyn Ask) -> Result<Opened, UnlockError> {
        let (key, by) = self.ask_for_key(ask)?;
        self.open(key, by)
    }

    /// Asks the owner until something gives the key of this repository. The repository stays locked.
    pub fn ask_for_key(&self, ask: &mut dyn Ask) -> Result<(BackupKey, OpenedBy), UnlockError> {
        let mut refused = None;
        loop {
            let secret = ask.secret(self.has_passphrase(), refused.as_ref()).map_err(UnlockError::Asking)?;
            let Some(secret) = secret else { return Err(refused.map_or(UnlockError::NoKey, UnlockError::Refused)) };
            match self.try_secret(&secret) {
                Ok(proven) => return Ok(proven),
                Err(error) => refused = Some(error),
            }
        }
    }

    /// Tells whether a secret gives the key of this repository. Reads nothing more than what was found.
    pub fn try_secret(&self, secret: &Secret) -> Result<(BackupKey, OpenedBy), SecretError> {
        match secret {
            Secret::RecoveryKey(text) => self.try_recovery_key(text),
            Secret::Passphrase(text) => {
                let passphrase = Passphrase::new(text).map_err(|_| SecretError::EmptyPassphrase)?;
                self.try_passphrase(&passphrase)
            }
        }
    }

    /// Whether a passphrase may open this repository.
    pub fn has_passphrase(&self) -> bool {
        self.protectors().iter().any(|(_, kind)| matches!(kind, ProtectorKind::Passphrase(_)))
    }

    fn try_recovery_key(&self, text: &str) -> Result<(BackupKey, OpenedBy), SecretError> {
        let (key, repaired_group) = match RecoveryKey::parse(text)? {
            Parsed::Exact(key) => (key, None),
            Parsed::Repaired(repair) => {
                let group = repair.group();
                (repair.into_unproven_key(), Some(group))
            }
        };
        match (self.locked.accepts(&key), repaired_group) {
            (true, repaired_group) => Ok((key, OpenedBy::RecoveryKey { repaired_group })),
            (false, None) => Err(SecretError::AnotherRecoveryKey),
            (false, Some(_)) => Err(RecoveryKeyError::ManyWrongGroups.into()),
        }
    }

    fn try_passphrase(&self, passphrase: &Passphrase) -> Result<(BackupKey, OpenedBy), SecretError> {
        let mut refused = SecretError::NoPassphrase;
        for (id, kind) in self.protectors().iter().take(MAX_TRIED) {
            let ProtectorKind::Passphrase(wrap) = kind else { continue };
            let opened = match PassphraseWrap::decode(wrap) {
                Ok(wrap) => wrap.open(passphrase, &self.id(), *id),
                Err(_) => Err(UnwrapError::Damaged),
            };
            refused = match opened {
                Ok(key) if self.locked.accepts(&key) => return Ok((key, OpenedBy::Passphrase(*id))),
                Err(UnwrapError::WrongPassphrase) => SecretError::WrongPassphrase,
                Err(UnwrapError::OutOfMemory(error)) => SecretError::OutOfMemory { memory_kib: error.memory_kib },
                Ok(_) | Err(_) => SecretError::PassphraseDamaged,
            };
        }
        Err(refused)
    }

    fn open(self, key: BackupKey, by: OpenedBy) -> Result<Opened, UnlockError> {
        let Self { locked, device, home, place } = self;
        let id = locked.id();
        let (state, rng) = (Arc::new(device.clone()), Box::new(crate::random()));
        let repository = locked.unlock(&key, state, rng, crate::now())?;
        // Only now is it proven that the repository is its owner's.
        home.remember(&place, &id)?;
        Ok(Opened { repository, key, by, device })
    }
}
