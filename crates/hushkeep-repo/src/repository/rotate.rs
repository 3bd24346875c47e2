//! Rotating the key: from then on everything is written under a new one (spec §12.5).

use std::sync::{Arc, PoisonError};

use hushkeep_core::keys::BackupKey;

use super::protectors::{COPIES, StoredConfigs, Unpublished, config_names, name_of, next_number, store_config};
use super::{ConfigError, Repository};
use crate::Timestamp;
use crate::config::Protector;
use crate::error::{DamageCause, ReadError};
use crate::history::{Action, Change, Tables};
use crate::objects::Objects;

/// A key that could not be replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The old key still holds.
    #[error(transparent)]
    Unchanged(ConfigError),
    /// The new key holds; something went wrong after that.
    #[error(transparent)]
    Changed(ConfigError),
    /// The storage failed at the very moment, or shows a newer key that may be this one: the old key holds or the new one, and
    /// only reading can tell.
    #[error(transparent)]
    Unknown(ConfigError),
}

impl Repository {
    /// Gives the repository a new key, with `protectors` that lead to it. The caller keeps both keys safe before it
    /// calls this, and gives the old one up only when it has seen that the new one opens the repository.
    ///
    /// What was stored before stays readable for whoever has the old key and the storage; everything from now on is not.
    /// Returns the configs that the storage refused to delete: who has the old key learns the old protectors there.
    pub fn rotate(
        &mut self,
        key: &BackupKey,
        protectors: Vec<Protector>,
        now: Timestamp,
    ) -> Result<Vec<String>, RotateError> {
        let unchanged = |error: ConfigError| RotateError::Unchanged(error);
        self.refresh().map_err(|error| unchanged(error.into()))?;
        self.check_writable().map_err(|error| unchanged(error.into()))?;
        if self.history.config() > self.config_name {
            return Err(unchanged(ConfigError::Conflict));
        }
        // What can be read again later would be under an old key then, and not count.
        if let Some(damage) = self.history.damaged().iter().find(|damage| damage.cause == DamageCause::Unreadable) {
            return Err(unchanged(ReadError::from(damage.clone()).into()));
        }
        let keyring = self.contents.objects.keyring.next(key).ok_or(unchanged(ConfigError::Conflict))?;
        let objects = Objects { storage: Arc::clone(&self.contents.objects.storage), keyring };
        let earlier = config_names(objects.storage.as_ref()).map_err(|error| unchanged(error.into()))?;
        let number = next_number(self.config.number, &earlier).ok_or(unchanged(ConfigError::Conflict))?;
        let config = self.config.next(number, protectors).ok_or(unchanged(ConfigError::TooMany))?;
        let stored = store_config(&objects, &config, COPIES, &mut *self.rng());
        let names = stored.map_err(|error| unchanged(error.into()))?;
        let name = name_of(&config, &objects);
        let published = self.publish_config(Some(objects), &config, &names, now);
        if self.history.config() != name {
            return Err(match published {
                Err(Unpublished { error, is_certain: false }) => RotateError::Unknown(error),
                Err(Unpublished { error, .. }) => unchanged(error),
                Ok(()) => unchanged(ConfigError::Conflict),
            });
        }
        (self.config, self.config_name) = (config, name);
        self.stored_configs = StoredConfigs::new();
        let late = self.take_late(now);
        let undeleted = self.delete_configs(0).map_err(|error| RotateError::Changed(error.into()))?;
        late.and(published.map_err(|unpublished| unpublished.error)).map(|()| undeleted).map_err(RotateError::Changed)
    }

    /// Where two devices can publish at once, another may have stored a backup under the old key meanwhile: it is taken in now
    /// (spec §12.5).
    fn take_late(&mut self, now: Timestamp) -> Result<(), ConfigError> {
        // Later than a moment, nobody would know it from what a thief of that key stores, and others may have dropped its
        // packs.
        if self.is_exclusive() || self.is_listing_old() {
            return Ok(());
        }
        let late = self.history.find_late(&self.contents.objects)?;
        if late.is_empty() || self.is_listing_old() {
            return Ok(());
        }
        self.history.take_late(late);
        let change = Change { action: Action::Rotate, time: now, config: Some(self.config_name) };
        let number = self.history.next_number().ok_or(ConfigError::Conflict)?;
        let stored = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            self.history.store(
                &self.contents.objects,
                number,
                (&change, self.config_name),
                &Tables::default(),
                &mut **rng,
            )
        };
        if stored?.is_none() {
            return Err(ConfigError::Conflict);
        }
        Ok(self.published(now)?)
    }
}
