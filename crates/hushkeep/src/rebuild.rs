//! Getting in by the recovery key alone, where no config is left.

use std::io;

use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_repo as repo;
use zeroize::Zeroizing;

use crate::find::{FindError, Found};
use crate::home::Home;
use crate::place::Place;
use crate::unlock::{Ask, Opened, Secret, SecretError, UnlockError};

/// No config could be made anew, or the repository not be opened with it.
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
}

impl Found {
    /// Makes a config from the recovery key, if none is left that holds, and then recovers as
    /// [`recover`](Self::recover) does. Passphrases are lost with the config.
    ///
    /// Returns with the repository whether a config was made.
    pub fn recover_without_config(
        home: &Home,
        place: &Place,
        ask: &mut dyn Ask,
        accepts_rollback: &mut dyn FnMut() -> io::Result<bool>,
    ) -> Result<(Opened, bool), RebuildError> {
        let secret = ask.secret(false, None).map_err(UnlockError::Asking)?.ok_or(UnlockError::NoKey)?;
        let Secret::RecoveryKey(text) = secret else { return Err(RebuildError::NoRecoveryKey) };
        // A repair is proven by the commit that it opens.
        let key = match RecoveryKey::parse(&text).map_err(|error| UnlockError::Refused(SecretError::from(error)))? {
            Parsed::Exact(key) => key,
            Parsed::Repaired(repair) => repair.into_unproven_key(),
        };
        let storage = place.open(None).map_err(FindError::Storage)?;
        let is_new = repo::rebuild_config(&storage, &key, crate::now(), &mut crate::random())?;
        let opened = Self::find_any(home, place)?.recover(&mut Given(Some(text)), accepts_rollback)?;
        Ok((opened, is_new))
    }
}

/// An owner who was asked before.
struct Given(Option<Zeroizing<String>>);

impl Ask for Given {
    fn secret(&mut self, _: bool, _: Option<&SecretError>) -> io::Result<Option<Secret>> {
        Ok(self.0.take().map(Secret::RecoveryKey))
    }
}
