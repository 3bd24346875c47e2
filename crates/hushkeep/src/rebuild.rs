//! Getting in by the backup key alone, where no config is left.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_repo::{self as repo, Damage, DamageCause, ReadError};
use zeroize::Zeroizing;

use crate::find::{FindError, Found};
use crate::home::{Home, HomeError};
use crate::place::Place;
use crate::unlock::{Ask, Opened, Secret, SecretError, UnlockError, Ways};
use crate::vault::{GuessAhead, Transport, VaultAddress};

/// No config could be made anew, or the repository not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A passphrase does not help: what it opens was in the config.
    #[error("without a config only the recovery key opens a repository")]
    NoRecoveryKey,
    /// The place cannot be used.
    #[error(transparent)]
    Find(#[from] FindError),
    /// No config could be made.
    #[error(transparent)]
    Repository(#[from] repo::RebuildError),
    /// The repository has a config, and cannot be opened.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// This device's own memory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Found {
    /// Recovers as [`recover`](Self::recover) does. If that fails because no config is left that can be read, holds and knows
    /// the key, it makes one from the backup key, which the owner gives as a recovery key, or else this device has.
    /// Passphrases are lost then.
    ///
    /// `was_rebuilt` is called as soon as a config was made: the repository may not open for another reason.
    pub fn recover_without_config(
        home: &Home,
        place: &Place,
        ask: &mut dyn Ask,
        accepts_rollback: &mut dyn FnMut() -> io::Result<bool>,
        was_rebuilt: &mut dyn FnMut(),
    ) -> Result<Opened, RebuildError> {
        let mut asked = Asked { ask, recovery_key: None };
        match Self::find_any(home, place) {
            Ok(found) => match found.recover(&mut asked, accepts_rollback) {
                Err(error) if may_lack_config(&error) => {}
                recovered => return Ok(recovered?),
            },
            Err(FindError::ConfigMissing) => {}
            Err(FindError::Repository(repo::FindError::Read(error))) if is_about_config(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let mut failure = RebuildError::from(UnlockError::NoKey);
        let mut keys = asked.recovery_keys(home, place)?;
        while let Some(text) = keys.next()? {
            match rebuild(place, &text, was_rebuilt) {
                Ok(()) => return Ok(Self::find_any(home, place)?.recover(&mut Given(Some(text)), accepts_rollback)?),
                // Another may fit.
                Err(RebuildError::Repository(
                    error @ (repo::RebuildError::WrongKey | repo::RebuildError::Rotated { .. }),
                )) => failure = error.into(),
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }
}

/// Makes a config from a recovery key, if none holds.
fn rebuild(place: &Place, recovery_key: &str, was_rebuilt: &mut dyn FnMut()) -> Result<(), RebuildError> {
    let parsed = RecoveryKey::parse(recovery_key).map_err(|error| UnlockError::Refused(SecretError::from(error)))?;
    // A repair is proven by the commit that it opens.
    let key = match parsed {
        Parsed::Exact(key) => key,
        Parsed::Repaired(repair) => repair.into_unproven_key(),
    };
    let storage = place.open(None).map_err(FindError::Storage)?;
    if repo::rebuild_config(&storage, &key, crate::now(), &mut crate::random())? {
        was_rebuilt();
    }
    Ok(())
}

/// Whether a repository may not have opened because the config that knows the key is gone.
fn may_lack_config(error: &UnlockError) -> bool {
    match error {
        UnlockError::Repository(repo::UnlockError::Read(error)) => is_about_config(error),
        UnlockError::NoKey | UnlockError::Refused(SecretError::AnotherRecoveryKey) => true,
        _ => false,
    }
}

/// Whether it is a config that is damaged or gone. One that a newer version wrote is neither, nor is one that a disk may
/// read when it is connected better.
fn is_about_config(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged(Damage { object, cause })
        if object.starts_with("config/") && !cause.is_newer_version() && *cause != DamageCause::Unreadable)
}

/// The keys that this device keeps for the repository that it knows at the place: those of rotations of which it does not
/// know the end, then its own. What is damaged opens nothing.
fn keys_of_device(home: &Home, place: &Place) -> Result<Vec<BackupKey>, HomeError> {
    let Some(id) = home.known(place)? else { return Ok(Vec::new()) };
    let device = home.device(&id);
    let mut keys = unless_damaged(device.next_keys())?;
    keys.extend(unless_damaged(device.key())?);
    Ok(keys)
}

fn unless_damaged<T: Default>(read: Result<T, HomeError>) -> Result<T, HomeError> {
    match read {
        Err(HomeError::KeyDamaged { .. }) => Ok(T::default()),
        read => read,
    }
}

/// An owner of whom is kept which recovery key was given last.
struct Asked<'a> {
    ask: &'a mut dyn Ask,
    recovery_key: Option<Zeroizing<String>>,
}

impl<'a> Asked<'a> {
    /// The recovery keys to try: the one that was given or is named, and no other; else those of the keys that this device
    /// keeps, and then what the owner types.
    fn recovery_keys(self, home: &Home, place: &Place) -> Result<RecoveryKeys<'a>, RebuildError> {
        let Self { ask, recovery_key } = self;
        let named = match recovery_key {
            None if ask.has_named() => ask.secret(Ways::NONE, None).map_err(UnlockError::Asking)?,
            given => given.map(Secret::RecoveryKey),
        };
        let may_ask = named.is_none();
        if let Some(Secret::RecoveryKey(text)) = named {
            return Ok(RecoveryKeys { at_hand: VecDeque::from([text]), ask, may_ask });
        }
        let kept = keys_of_device(home, place)?;
        let at_hand: VecDeque<_> = kept.iter().map(|key| RecoveryKey::from_backup_key(key).to_text()).collect();
        if at_hand.is_empty() && !may_ask {
            return Err(RebuildError::NoRecoveryKey);
        }
        Ok(RecoveryKeys { at_hand, ask, may_ask })
    }
}

impl Ask for Asked<'_> {
    fn secret(&mut self, ways: Ways, refused: Option<&SecretError>) -> io::Result<Option<Secret>> {
        // It may be right, and only no config know it.
        if refused == Some(&SecretError::AnotherRecoveryKey) {
            return Ok(None);
        }
        match self.ask.secret(ways, refused)? {
            Some(Secret::RecoveryKey(text)) if text.trim().is_empty() => Ok(None),
            Some(Secret::RecoveryKey(text)) => {
                self.recovery_key = Some(text.clone());
                Ok(Some(Secret::RecoveryKey(text)))
            }
            other => Ok(other),
        }
    }

    fn transport(&self) -> Option<Arc<dyn Transport>> {
        self.ask.transport()
    }

    fn moved_vault(&self) -> Option<&VaultAddress> {
        self.ask.moved_vault()
    }

    fn may_guess(&mut self, ahead: &GuessAhead) -> io::Result<bool> {
        self.ask.may_guess(ahead)
    }
}

struct RecoveryKeys<'a> {
    at_hand: VecDeque<Zeroizing<String>>,
    ask: &'a mut dyn Ask,
    /// Whether the owner is asked when none at hand fits.
    may_ask: bool,
}

impl RecoveryKeys<'_> {
    fn next(&mut self) -> Result<Option<Zeroizing<String>>, RebuildError> {
        if let Some(text) = self.at_hand.pop_front() {
            return Ok(Some(text));
        }
        if !std::mem::take(&mut self.may_ask) {
            return Ok(None);
        }
        match self.ask.secret(Ways::NONE, None).map_err(UnlockError::Asking)? {
            Some(Secret::RecoveryKey(text)) => Ok(Some(text)),
            Some(_) => Err(RebuildError::NoRecoveryKey),
            None => Ok(None),
        }
    }
}

/// An owner who was asked before.
struct Given(Option<Zeroizing<String>>);

impl Ask for Given {
    fn secret(&mut self, _: Ways, _: Option<&SecretError>) -> io::Result<Option<Secret>> {
        Ok(self.0.take().map(Secret::RecoveryKey))
    }
}
