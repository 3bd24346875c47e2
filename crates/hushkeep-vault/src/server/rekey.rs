//! Sealing records under a newer key, so that the older one can be destroyed (spec/vault.md §9.1).

use rand_core::CryptoRng;

use super::record::Record;
use super::{AttemptStore, LoadError, Row, StoreError, Vault};
use crate::name::RecordId;

/// A record that is not sealed under the newest key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResealError {
    /// It does not open: the older keys must stay until that is looked into.
    #[error("the record {0} is damaged: put a copy of the records back, or give it up")]
    Damaged(RecordId),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a vault sees in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// It is as it was written.
    Opens,
    /// It names a key that the vault does not have: it may be from before a rekey.
    AnotherKey,
    /// It is not as it was written.
    Damaged,
}

impl Vault {
    /// Whether a row is as this vault wrote it, under a key that it has.
    pub fn state_of(&self, id: &RecordId, row: &Row) -> RowState {
        let is_known = |kek| self.secrets.keks().iter().any(|known| known.epoch == kek);
        match Record::kek_of(row) {
            Some(kek) if !is_known(kek) => RowState::AnotherKey,
            _ if Record::open(&self.secrets, id, row).is_some() => RowState::Opens,
            _ => RowState::Damaged,
        }
    }

    /// Destroys a record if that is due, and seals it under the newest key, if it is not; `true` if that was to be done.
    pub fn reseal(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<bool, ResealError> {
        let loaded = self.load(store, id, now, rng).map_err(|error| match error {
            LoadError::Damaged => ResealError::Damaged(*id),
            LoadError::Store(error) => error.into(),
        });
        let Some((row, record)) = loaded? else { return Ok(false) };
        if Record::kek_of(&row) == Some(self.secrets.newest()) {
            return Ok(false);
        }
        let new = self.seal(id, &record, rng).ok_or(ResealError::Damaged(*id))?;
        // Whoever changed it meanwhile has sealed it under the newest key.
        store.reseal(id, &row, &new)?;
        Ok(true)
    }
}
