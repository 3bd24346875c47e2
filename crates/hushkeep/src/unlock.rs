//! Getting the backup key, and opening a repository with it.

use std::io;
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::recovery::{Parsed, RecoveryKey, RecoveryKeyError};
use hushkeep_core::wrap::{Passphrase, PassphraseWrap, UnwrapError, WrapPlace};
use hushkeep_repo::state::StateKey;
use hushkeep_repo::{self as repo, FoundProtector, ProtectorKind, ReadError, Repository, State};
use zeroize::Zeroizing;

use crate::find::Found;
use crate::home::{DeviceState, HomeError};

/// Asks the owner for a way to get the backup key back.
pub trait Ask {
    /// Returns what the owner gives; `None` if there is nothing to give, or nothing more.
    ///
    /// Called again, with the reason, as long as what was given does not open the repository. Called with a reason at
    /// once if the key on this device does not open it any more.
    fn secret(&mut self, has_passphrase: bool, refused: Option<&SecretError>) -> io::Result<Option<Secret>>;

    /// Whether the owner has named a secret beforehand: then that counts before what this device keeps.
    fn has_named(&self) -> bool {
        false
    }
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
    /// It is a whole recovery key: of another repository, or one that was replaced.
    #[error("this recovery key belongs to another repository, or was replaced by a newer one")]
    AnotherRecoveryKey,
    /// This device keeps a key that does not fit: it was replaced on another device, or an old state is shown.
    #[error("the key on this device does not open this repository any more")]
    OutdatedDeviceKey,
    /// Nothing was given.
    #[error("nothing was given")]
    EmptyPassphrase,
    /// The passphrase opens nothing here.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// There are more passphrases than are tried, as if somebody had put configs there to hide the right one.
    #[error("of the passphrases that the repository seems to have, only the first {MAX_TRIED} were tried")]
    NotAllTried,
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
    /// Why this device will not know the place again, if it could not note it: nothing that reads needs that.
    pub unremembered: Option<HomeError>,
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
    Refused(#[from] SecretError),
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

/// How many passphrases are tried: what a config says is not proven before one of them opens it, and each try can
/// cost a gigabyte and many seconds. Two configs can have 32 each.
const MAX_TRIED: usize = 64;

/// Opens the repository with a key of which the config says that it fits.
type Open<'a> = &'a mut dyn FnMut(&BackupKey) -> Result<Repository, UnlockError>;

impl Found {
    /// Opens the repository by the key that is kept on this device, else by what the owner gives.
    pub fn unlock(self, ask: &mut dyn Ask) -> Result<Opened, UnlockError> {
        let failure = match self.open_by_next_key() {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let kept = self.device.key()?;
        let outdated = kept.is_some().then_some(SecretError::OutdatedDeviceKey);
        let fitting = kept.filter(|key| self.locked.accepts(key));
        if outdated.is_some() && fitting.is_none() && self.locked.lacks_what_was_seen(&self.device, crate::now())? {
            return Err(repo::UnlockError::RolledBack.into());
        }
        let opened = fitting.map(|key| self.open(&key).map(|repository| (repository, key)));
        match (opened, failure) {
            (Some(Ok((repository, key))), _) => self.opened(repository, key, OpenedBy::DeviceKey),
            (_, Some(failure)) | (Some(Err(failure)), None) => Err(failure),
            (None, None) => self.ask(ask, outdated, &mut |key| self.open(key)),
        }
    }

    /// Opens the repository by what the owner gives, whatever is kept on this device.
    pub fn unlock_by_asking(self, ask: &mut dyn Ask) -> Result<Opened, UnlockError> {
        self.ask(ask, None, &mut |key| self.open(key))
    }

    /// Opens the repository by what the owner gives, and keeps its key on this device.
    ///
    /// Where the storage shows less than this device has seen, `accepts_rollback` is asked. If it agrees, because the
    /// owner put an old copy there, this device takes the history as it is shown, and forgets what it has seen.
    pub fn recover(
        self,
        ask: &mut dyn Ask,
        accepts_rollback: &mut dyn FnMut() -> io::Result<bool>,
    ) -> Result<Opened, UnlockError> {
        let opened = self.ask(ask, None, &mut |key| match self.open(key) {
            Err(UnlockError::Repository(repo::UnlockError::RolledBack))
                if accepts_rollback().map_err(UnlockError::Asking)? =>
            {
                self.open_as_shown(key)
            }
            opened => opened,
        })?;
        opened.device.keep_key(&opened.key)?;
        Ok(opened)
    }

    /// Whether a passphrase may open this repository.
    pub fn has_passphrase(&self) -> bool {
        self.locked.protectors().any(|protector| wrap_of(protector).is_some())
    }

    /// Opens the repository by the key of a rotation of which this device did not see the end, if it went through.
    fn open_by_next_key(&self) -> Result<Option<Opened>, UnlockError> {
        let mut failure = None;
        for key in self.device.next_keys()?.into_iter().filter(|key| self.locked.accepts(key)) {
            match self.open(&key) {
                // Another device's rotation may have come first: then what is damaged for this key is that.
                Ok(repository) if !repository.is_key_proven() && self.accepts_kept_key()? => {}
                Ok(repository) => {
                    // While commits are damaged, older keys may be taken again when they are whole. What cannot be
                    // written now is tried again at the next opening.
                    if repository.damaged_commits().is_empty() {
                        let _ = self.device.adopt_next_key(&key);
                    }
                    return self.opened(repository, key, OpenedBy::DeviceKey).map(Some);
                }
                Err(UnlockError::Repository(repo::UnlockError::NotInForce | repo::UnlockError::WrongKey)) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Whether the key that this device keeps, beside that of a rotation of which it did not see the end, may open the repository.
    fn accepts_kept_key(&self) -> Result<bool, UnlockError> {
        Ok(self.device.key()?.is_some_and(|key| self.locked.accepts(&key)))
    }

    /// Asks the owner until something opens the repository. `refused` is why a first way did not.
    fn ask(&self, ask: &mut dyn Ask, mut refused: Option<SecretError>, open: Open<'_>) -> Result<Opened, UnlockError> {
        loop {
            let secret = ask.secret(self.has_passphrase(), refused.as_ref()).map_err(UnlockError::Asking)?;
            let Some(secret) = secret else { return Err(refused.map_or(UnlockError::NoKey, UnlockError::Refused)) };
            let opened = match &secret {
                Secret::RecoveryKey(text) => self.open_by_recovery_key(text, open),
                Secret::Passphrase(text) => self.open_by_passphrase(text, open),
            };
            match opened {
                Err(UnlockError::Refused(error)) => refused = Some(error),
                opened => return opened,
            }
        }
    }

    fn open_by_recovery_key(&self, text: &str, open: Open<'_>) -> Result<Opened, UnlockError> {
        let (key, repaired_group) = match RecoveryKey::parse(text).map_err(SecretError::from)? {
            Parsed::Exact(key) => (key, None),
            Parsed::Repaired(repair) => {
                let group = repair.group();
                (repair.into_unproven_key(), Some(group))
            }
        };
        match (self.locked.accepts(&key), repaired_group) {
            (true, repaired_group) => self.opened(open(&key)?, key, OpenedBy::RecoveryKey { repaired_group }),
            (false, None) => Err(SecretError::AnotherRecoveryKey.into()),
            (false, Some(_)) => Err(SecretError::from(RecoveryKeyError::ManyWrongGroups).into()),
        }
    }

    fn open_by_passphrase(&self, text: &str, open: Open<'_>) -> Result<Opened, UnlockError> {
        let passphrase = Passphrase::new(text).map_err(|_| SecretError::EmptyPassphrase)?;
        let (mut refused, mut failure) = (SecretError::NoPassphrase, None);
        let mut passphrases = self.locked.protectors().filter_map(wrap_of);
        for (place, wrap) in passphrases.by_ref().take(MAX_TRIED) {
            let key = match open_wrap(wrap, &passphrase, &place) {
                Ok(key) if self.locked.accepts(&key) => Ok(key),
                Ok(_) => Err(SecretError::PassphraseDamaged),
                Err(error) => Err(error),
            };
            match key.map(|key| (open(&key), key)) {
                Ok((Ok(repository), key)) => {
                    return self.opened(repository, key, OpenedBy::Passphrase(place.protector));
                }
                // The same passphrase may give another key by another config.
                Ok((Err(error), _)) if may_be_left_over(&error) => {
                    failure = failure.filter(|_| !is_newer(&error)).or(Some(error));
                }
                Ok((Err(error), _)) => return Err(error),
                Err(error) => refused = error,
            }
        }
        // What a newer version wrote is proven to be the owner's. All else, who has an old key may have put before that.
        let newer = failure.take_if(|error| is_newer(error));
        let untried = passphrases.next().map(|_| SecretError::NotAllTried.into());
        Err(newer.or(untried).or(failure).unwrap_or(refused.into()))
    }

    fn open(&self, key: &BackupKey) -> Result<Repository, UnlockError> {
        let (state, rng) = (Arc::new(self.device_for(key)), Box::new(crate::random()));
        Ok(self.locked.unlock(key, state, rng, crate::DeviceClock)?)
    }

    /// What this device remembers of the repository that a key opens: not always the one that the storage shows first.
    fn device_for(&self, key: &BackupKey) -> DeviceState {
        self.locked.id_for(key).map_or_else(|| self.device.clone(), |id| self.home.device(&id))
    }

    /// Opens the repository without what this device has seen of its history.
    fn open_as_shown(&self, key: &BackupKey) -> Result<Repository, UnlockError> {
        let device = self.device_for(key);
        let seen = device.load(StateKey::Tips).map_err(repo::UnlockError::from)?;
        device.forget_tips()?;
        let opened = self.open(key);
        if let (Err(_), Some(seen)) = (&opened, seen) {
            device.store(StateKey::Tips, &seen).map_err(repo::UnlockError::from)?;
        }
        opened
    }

    /// The repository that a key has opened. Only now is it proven to be its owner's, and its place noted.
    fn opened(&self, repository: Repository, key: BackupKey, by: OpenedBy) -> Result<Opened, UnlockError> {
        let device = self.home.device(&repository.id());
        let unremembered = match self.home.remember(&self.place, &repository.id()) {
            Ok(()) => None,
            Err(error @ HomeError::Write { .. }) => Some(error),
            Err(error) => return Err(error.into()),
        };
        Ok(Opened { repository, key, by, device, unremembered })
    }
}

/// Whether a key that fits a config may be one that never came into force, or that was replaced: who has an old key can store a
/// config with the passphrase of before and a high number.
fn may_be_left_over(error: &UnlockError) -> bool {
    let UnlockError::Repository(error) = error else { return false };
    matches!(error, repo::UnlockError::NotInForce | repo::UnlockError::Read(ReadError::Damaged(_) | ReadError::Rotated))
}

fn is_newer(error: &UnlockError) -> bool {
    let UnlockError::Repository(repo::UnlockError::Read(ReadError::Damaged(damage))) = error else { return false };
    damage.cause.is_newer_version()
}

/// The record of a protector that is a passphrase, and where it belongs.
fn wrap_of(protector: FoundProtector<'_>) -> Option<(WrapPlace, &[u8])> {
    match protector.kind {
        ProtectorKind::Passphrase(wrap) => Some((protector.place, wrap)),
        _ => None,
    }
}

/// The key behind a passphrase, from the record of a protector.
pub(crate) fn open_wrap(wrap: &[u8], passphrase: &Passphrase, place: &WrapPlace) -> Result<BackupKey, SecretError> {
    let wrap = PassphraseWrap::decode(wrap).map_err(|_| SecretError::PassphraseDamaged)?;
    wrap.open(passphrase, place).map_err(|error| match error {
        UnwrapError::WrongPassphrase => SecretError::WrongPassphrase,
        UnwrapError::OutOfMemory(error) => SecretError::OutOfMemory { memory_kib: error.memory_kib },
        _ => SecretError::PassphraseDamaged,
    })
}

#[cfg(test)]
mod tests;
