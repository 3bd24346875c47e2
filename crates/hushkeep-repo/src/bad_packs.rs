//! Packs that a check on this device found bad: a backup does not build on them.

use std::collections::BTreeSet;

use hushkeep_core::name::ObjectId;

use crate::state::{State, StateError, StateKey};

/// The packs that the last checks found bad.
#[derive(Debug, Default)]
pub(crate) struct BadPacks(BTreeSet<ObjectId>);

impl BadPacks {
    pub(crate) fn load(state: &dyn State) -> Result<Self, StateError> {
        let bytes = state.load(StateKey::BadPacks)?.unwrap_or_default();
        let (ids, _) = bytes.as_chunks::<{ ObjectId::LEN }>();
        Ok(Self(ids.iter().map(|id| ObjectId::from_bytes(*id)).collect()))
    }

    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.0.contains(id)
    }

    /// Notes how the packs that were read turned out, and remembers it if anything is new.
    pub(crate) fn note(&mut self, good: &[ObjectId], bad: &[ObjectId], state: &dyn State) -> Result<(), StateError> {
        let before = self.0.clone();
        self.0.retain(|id| !good.contains(id));
        self.0.extend(bad);
        if self.0 == before {
            return Ok(());
        }
        let bytes: Vec<u8> = self.0.iter().flat_map(|id| *id.as_bytes()).collect();
        state.store(StateKey::BadPacks, &bytes)
    }
}
