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
    /// Recovers as [`recover`](Self::recover) does. If that fails because no config is left that can be read and holds, it makes
    /// one from the backup key, which this device has or the owner gives as a recovery key. Passphrases are lost then.
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
                Err(UnlockError::Repository(repo::UnlockError::Read(error))) if is_about_config(&error) => {}
                recovered => return Ok(recovered?),
            },
            Err(FindError::ConfigMissing) => {}
            Err(FindError::Repository(repo::FindError::Read(error))) if is_about_config(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let text = match (asked.recovery_key.take(), key_of_device(home, place)?) {
            (Some(text), _) => text,
            (None, Some(key)) => RecoveryKey::from_backup_key(&key).to_text(),
            (None, None) => asked.for_recovery_key()?,
        };
        // A repair is proven by the commit that it opens.
        let key = match RecoveryKey::parse(&text).map_err(|error| UnlockError::Refused(SecretError::from(error)))? {
            Parsed::Exact(key) => key,
            Parsed::Repaired(repair) => repair.into_unproven_key(),
        };
        let storage = place.open(None).map_err(FindError::Storage)?;
        if repo::rebuild_config(&storage, &key, crate::now(), &mut crate::random())? {
            was_rebuilt();
        }
        Ok(Self::find_any(home, place)?.recover(&mut Given(Some(text)), accepts_rollback)?)
    }
}

/// Whether it is a config that cannot be read, and no newer version wrote it.
fn is_about_config(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged(Damage { object, cause })
        if object.starts_with("config/") && !cause.is_newer_version())
}

/// The key that this device keeps for the repository that it knows at the place.
fn key_of_device(home: &Home, place: &Place) -> Result<Option<BackupKey>, HomeError> {
    home.known(place)?.map_or(Ok(None), |id| home.device(&id).key())
}

/// An owner of whom is kept which recovery key was given last.
struct Asked<'a> {
    ask: &'a mut dyn Ask,
    recovery_key: Option<Zeroizing<String>>,
}

impl Asked<'_> {
    fn for_recovery_key(&mut self) -> Result<Zeroizing<String>, RebuildError> {
        match self.ask.secret(false, None).map_err(UnlockError::Asking)?.ok_or(UnlockError::NoKey)? {
            Secret::RecoveryKey(text) => Ok(text),
            Secret::Passphrase(_) => Err(RebuildError::NoRecoveryKey),
        }
    }
}

impl Ask for Asked<'_> {
    fn secret(&mut self, has_passphrase: bool, refused: Option<&SecretError>) -> io::Result<Option<Secret>> {
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
