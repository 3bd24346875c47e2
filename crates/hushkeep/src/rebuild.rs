//! Getting in by the backup key alone, where no config is left.

use std::io;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_repo::{self as repo, Damage, ReadError};
use zeroize::Zeroizing;

use crate::find::{FindError, Found};
use crate::home::{Home, HomeError};
use crate::place::Place;
use crate::unlock::{Ask, Opened, Secret, SecretError, UnlockError};

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
        for text in asked.recovery_keys(home, place)? {
            match rebuild(place, &text, was_rebuilt) {
                Ok(()) => return Ok(Self::find_any(home, place)?.recover(&mut Given(Some(text)), accepts_rollback)?),
                // This device may have another that fits.
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

/// Whether it is a config that cannot be read, and no newer version wrote it.
fn is_about_config(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged(Damage { object, cause })
        if object.starts_with("config/") && !cause.is_newer_version())
}

/// The keys that this device keeps for the repository that it knows at the place: those of rotations of which it does not
/// know the end, then its own. What cannot be read opens nothing.
fn keys_of_device(home: &Home, place: &Place) -> Result<Vec<BackupKey>, HomeError> {
    let Some(id) = home.known(place)? else { return Ok(Vec::new()) };
    let device = home.device(&id);
    let next = device.next_keys().unwrap_or_default();
    Ok(next.into_iter().chain(device.key().unwrap_or_default()).collect())
}

/// An owner of whom is kept which recovery key was given last.
struct Asked<'a> {
    ask: &'a mut dyn Ask,
    recovery_key: Option<Zeroizing<String>>,
}

impl Asked<'_> {
    /// The recovery key that the owner gives; if they have none, those of the keys that this device keeps.
    fn recovery_keys(mut self, home: &Home, place: &Place) -> Result<Vec<Zeroizing<String>>, RebuildError> {
        let given = match self.recovery_key.take() {
            Some(text) => Some(Secret::RecoveryKey(text)),
            None => self.ask.secret(false, None).map_err(UnlockError::Asking)?,
        };
        match given {
            Some(Secret::RecoveryKey(text)) if !text.trim().is_empty() => Ok(vec![text]),
            Some(Secret::Passphrase(_)) => Err(RebuildError::NoRecoveryKey),
            _ => {
                let keys = keys_of_device(home, place)?;
                Ok(keys.iter().map(|key| RecoveryKey::from_backup_key(key).to_text()).collect())
            }
        }
    }
}

impl Ask for Asked<'_> {
    fn secret(&mut self, has_passphrase: bool, refused: Option<&SecretError>) -> io::Result<Option<Secret>> {
        // It may be right, and only no config know it.
        if refused == Some(&SecretError::AnotherRecoveryKey) {
            return Ok(None);
        }
        let secret = self.ask.secret(has_passphrase, refused)?;
        if let Some(Secret::RecoveryKey(text)) = &secret {
            self.recovery_key = Some(text.clone());
        }
        Ok(secret)
    }
}

/// An owner who was asked before.
struct Given(Option<Zeroizing<String>>);

impl Ask for Given {
    fn secret(&mut self, _: bool, _: Option<&SecretError>) -> io::Result<Option<Secret>> {
        Ok(self.0.take().map(Secret::RecoveryKey))
    }
}
