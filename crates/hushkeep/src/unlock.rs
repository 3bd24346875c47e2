//! Getting the backup key, and opening a repository with it.

use std::io;
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::recovery::{Parsed, RecoveryKey, RecoveryKeyError};
use hushkeep_core::wrap::{Passphrase, PassphraseWrap, UnwrapError, WrapPlace};
use hushkeep_repo::state::StateKey;
use hushkeep_repo::{self as repo, FoundProtector, ProtectorKind, ReadError, Repository, State};
use hushkeep_vault::Pair;
use zeroize::Zeroizing;

use crate::find::Found;
use crate::home::{DeviceState, HomeError};
use crate::vault::{self, GuessAhead, GuessError, Link, OpenedPair, Transport, VaultAddress};

/// Asks the owner for a way to get the backup key back.
pub trait Ask {
    /// Returns what the owner gives; `None` if there is nothing to give, or nothing more.
    ///
    /// Called again, with the reason, as long as what was given does not open the repository. Called with a reason at
    /// once if the key on this device does not open it any more.
    fn secret(&mut self, ways: Ways, refused: Option<&SecretError>) -> io::Result<Option<Secret>>;

    /// Whether the owner has named a secret beforehand: then that counts before what this device keeps.
    fn has_named(&self) -> bool {
        false
    }

    /// How messages get to a key vault. Without that, no password is tried.
    fn transport(&self) -> Option<Arc<dyn Transport>> {
        None
    }

    /// Where a vault is now, if it is no more where the repository says.
    fn moved_vault(&self) -> Option<&VaultAddress> {
        None
    }

    /// Whether a guess may be sent to a vault: it counts.
    fn may_guess(&mut self, _ahead: &GuessAhead) -> io::Result<bool> {
        Ok(true)
    }
}

/// What leads to the key of a repository, beside its recovery key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// A passphrase.
    pub passphrase: bool,
    /// The hosts of the key vaults that a password is for; none if there is no password. Whoever can write to the storage may
    /// have put others there: the owner is to see them before the password is typed.
    pub vaults: Vec<String>,
}

impl Ways {
    /// The recovery key alone.
    pub const NONE: Self = Self { passphrase: false, vaults: Vec::new() };
}

/// What an owner can give.
pub enum Secret {
    /// A recovery key, as it was typed or read.
    RecoveryKey(Zeroizing<String>),
    /// A passphrase, as it was typed or read.
    Passphrase(Zeroizing<String>),
    /// A password, as it was typed or read: a vault counts the guess.
    Password(Zeroizing<String>),
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
    /// The password is wrong, and the vault has counted the guess.
    #[error("the password is wrong")]
    WrongPassword {
        /// How many guesses are left.
        left: u8,
        /// How long the next one has to wait, in seconds.
        wait: u32,
    },
    /// No vault said whether the password is right; other ways may be open.
    #[error("{0}")]
    Unguessed(String),
    /// This repository has no password behind a vault.
    #[error("this repository has no password")]
    NoPassword,
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
    /// By a password behind a vault.
    Password,
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
    /// No vault said whether the password is right.
    #[error(transparent)]
    Guess(#[from] GuessError),
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

/// How many records are guessed at: what a config says is not proven before, and each may be a trap.
const MAX_RECORDS: usize = 4;

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
        self.ask(ask, None, &mut |key| {
            let repository = match self.open(key) {
                Err(UnlockError::Repository(repo::UnlockError::RolledBack))
                    if accepts_rollback().map_err(UnlockError::Asking)? =>
                {
                    self.open_as_shown(key)?
                }
                opened => opened?,
            };
            // At once: a guess that was right must not be lost while its vault is spoken to further.
            self.home.device(&repository.id()).keep_key(key)?;
            Ok(repository)
        })
    }

    /// Whether a passphrase may open this repository.
    pub fn has_passphrase(&self) -> bool {
        self.locked.protectors().any(|protector| wrap_of(protector).is_some())
    }

    /// What leads to the key beside the recovery key, as far as the storage shows.
    fn ways(&self, ask: &dyn Ask) -> Ways {
        let hosts =
            self.records().into_iter().filter_map(|pairs| Some(address_of(&pairs, ask).ok()?.host().to_owned()));
        Ways { passphrase: self.has_passphrase(), vaults: hosts.collect() }
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

    /// Whether the key that this device keeps, beside that of a rotation of which it did not see the end, may open the
    /// repository.
    fn accepts_kept_key(&self) -> Result<bool, UnlockError> {
        Ok(self.device.key()?.is_some_and(|key| self.locked.accepts(&key)))
    }

    /// Asks the owner until something opens the repository. `refused` is why a first way did not.
    fn ask(&self, ask: &mut dyn Ask, mut refused: Option<SecretError>, open: Open<'_>) -> Result<Opened, UnlockError> {
        let mut unguessed = None;
        loop {
            let secret = ask.secret(self.ways(ask), refused.as_ref()).map_err(UnlockError::Asking)?;
            let Some(secret) = secret else {
                let refused = refused.map_or(UnlockError::NoKey, UnlockError::Refused);
                return Err(unguessed.map_or(refused, UnlockError::Guess));
            };
            unguessed = None;
            let opened = match &secret {
                Secret::RecoveryKey(text) => self.open_by_recovery_key(text, open),
                Secret::Passphrase(text) => self.open_by_passphrase(text, open),
                Secret::Password(text) => self.open_by_password(text, ask, open),
            };
            match opened {
                Err(UnlockError::Refused(error)) => refused = Some(error),
                // Whatever the vault does, the recovery key and a passphrase are still good.
                Err(UnlockError::Guess(error)) => {
                    refused = Some(SecretError::Unguessed(error.to_string()));
                    unguessed = Some(error);
                }
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

    /// Makes a guess at each record in turn: a repository may have a password at several vaults.
    fn open_by_password(&self, text: &str, ask: &mut dyn Ask, open: Open<'_>) -> Result<Opened, UnlockError> {
        let password = Passphrase::new(text).map_err(|_| SecretError::EmptyPassphrase)?;
        let transport = ask.transport().ok_or(SecretError::NoPassword)?;
        let (mut refused, mut tried) = (UnlockError::from(SecretError::NoPassword), 0);
        for pairs in self.records() {
            let error = match self.open_by_record(&pairs, &password, (&*transport, ask, &mut tried), open) {
                Err(UnlockError::Guess(GuessError::WrongPassword { left, wait })) => {
                    SecretError::WrongPassword { left, wait }.into()
                }
                // Of several vaults, another may answer.
                Err(error @ UnlockError::Guess(_)) => error,
                opened => return opened,
            };
            // A wrong password is what its owner must know first.
            refused = if is_wrong_password(&refused) { refused } else { error };
        }
        Err(refused)
    }

    /// Makes a guess at a record. It may be right for a key that does not hold as well, of a rotation that was broken off.
    fn open_by_record(
        &self,
        pairs: &[Pair],
        password: &Passphrase,
        (transport, ask, tried): (&dyn Transport, &mut dyn Ask, &mut u8),
        open: Open<'_>,
    ) -> Result<Opened, UnlockError> {
        let address = address_of(pairs, ask)?;
        let link = Link { transport, address: &address };
        let mut may_guess = |host: &str, left| {
            let may = ask.may_guess(&GuessAhead { host: host.to_owned(), left, tried: *tried });
            *tried += 1;
            may
        };
        let mut guess = vault::guess(link, pairs, password, &mut may_guess)?;
        let mut left_over = None;
        while let Some(OpenedPair { key, by }) = guess.next_key()? {
            match open(&key) {
                Err(error) if may_be_left_over(&error) => left_over = Some(error),
                repository => {
                    let opened = self.opened(repository?, key, OpenedBy::Password)?;
                    vault::remember_guess(&opened, guess.link(), &by);
                    return Ok(opened);
                }
            }
        }
        Err(left_over.unwrap_or(GuessError::Damaged.into()))
    }

    /// The passwords behind vaults, those of one record together: while one is changed, a config has two of it.
    fn records(&self) -> Vec<Vec<Pair>> {
        let mut records: Vec<Vec<Pair>> = Vec::new();
        for pair in self.locked.protectors().filter_map(pair_of) {
            let record = records.iter_mut().find(|pairs| pairs.iter().any(|other| is_of_one_record(other, &pair)));
            let Some(record) = record else {
                records.push(vec![pair]);
                continue;
            };
            if record.len() < 2 && !record.contains(&pair) {
                record.push(pair);
            }
        }
        records.truncate(MAX_RECORDS);
        records
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

/// The record of a protector that is a password behind a vault.
fn pair_of(protector: FoundProtector<'_>) -> Option<Pair> {
    match protector.kind {
        ProtectorKind::Vault(pair) => Pair::decode(pair).ok(),
        _ => None,
    }
}

fn is_of_one_record(one: &Pair, other: &Pair) -> bool {
    (one.vault, one.locator) == (other.vault, other.locator)
}

/// Where the vault of a record is. The newest password of the record comes last: where the vault was moved, it has the new
/// address.
fn address_of(pairs: &[Pair], ask: &dyn Ask) -> Result<VaultAddress, GuessError> {
    let pair = pairs.last().ok_or(GuessError::Damaged)?;
    match ask.moved_vault().filter(|moved| moved.vault() == pair.vault) {
        Some(moved) => Ok(moved.clone()),
        None => Ok(VaultAddress::of(pair)?),
    }
}

fn is_wrong_password(error: &UnlockError) -> bool {
    matches!(error, UnlockError::Refused(SecretError::WrongPassword { .. }))
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
