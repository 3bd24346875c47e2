//! Packs that a check or a backup on this device found bad: a backup does not build on them, and what other packs hold,
//! too, is read from those.

use std::collections::BTreeSet;

use hushkeep_core::name::ObjectId;

use crate::state::{State, StateError, StateKey};

/// The packs that were found bad and not found good since.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BadPacks(BTreeSet<ObjectId>);

impl BadPacks {
    pub(crate) fn load(state: &dyn State) -> Result<Self, StateError> {
        Ok(Self::decode(&state.load(StateKey::BadPacks)?.unwrap_or_default()))
    }

    fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|id| *id.as_bytes()).collect()
    }

    /// Takes as many ids as there are: what is lost only costs building on a bad pack until the next check.
    fn decode(bytes: &[u8]) -> Self {
        let (ids, _) = bytes.as_chunks::<{ ObjectId::LEN }>();
        Self(ids.iter().map(|id| ObjectId::from_bytes(*id)).collect())
    }

    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.0.contains(id)
    }

    /// Takes in one more, for now.
    pub(crate) fn add(&mut self, id: ObjectId) {
        self.0.insert(id);
    }

    /// Remembers these beside those that are.
    pub(crate) fn remember(&self, state: &dyn State) -> Result<(), StateError> {
        let ids: Vec<ObjectId> = self.0.iter().copied().collect();
        Self::load(state)?.note(&[], &ids, state)
    }

    /// Notes how the packs that were read turned out, and remembers it if anything is new.
    pub(crate) fn note(&mut self, good: &[ObjectId], bad: &[ObjectId], state: &dyn State) -> Result<(), StateError> {
        let before = self.0.clone();
        self.0.retain(|id| !good.contains(id));
        self.0.extend(bad);
        if self.0 == before {
            return Ok(());
        }
        state.store(StateKey::BadPacks, &self.encode())
    }
}

/// What is read of the bad packs is read again from what it is written as.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(bytes: &[u8]) {
    let packs = BadPacks::decode(bytes);
    assert!(packs.0.len() <= bytes.len() / ObjectId::LEN);
    assert_eq!(BadPacks::decode(&packs.encode()).0, packs.0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Remembers, and counts how often it was written to.
    #[derive(Default)]
    struct Memory(std::sync::Mutex<(Vec<u8>, u32)>);

    impl State for Memory {
        fn load(&self, _: StateKey) -> Result<Option<Vec<u8>>, StateError> {
            Ok(Some(self.0.lock().unwrap().0.clone()))
        }

        fn store(&self, _: StateKey, value: &[u8]) -> Result<(), StateError> {
            let mut memory = self.0.lock().unwrap();
            *memory = (value.to_vec(), memory.1 + 1);
            Ok(())
        }
    }

    #[test]
    fn what_is_taken_in_is_remembered_beside_what_was() {
        let memory = Memory::default();
        let ids = [1, 2].map(|byte| ObjectId::from_bytes([byte; 16]));
        for id in ids {
            let mut packs = BadPacks::default();
            packs.add(id);
            packs.remember(&memory).unwrap();
        }
        let packs = BadPacks::load(&memory).unwrap();
        assert!(ids.iter().all(|id| packs.contains(id)));
    }

    #[test]
    fn a_pack_is_bad_until_it_is_found_good() {
        let memory = Memory::default();
        let [one, other] = [1, 2].map(|byte| ObjectId::from_bytes([byte; 16]));
        for (good, bad, (one_is_bad, other_is_bad), writes) in [
            (vec![], vec![one], (true, false), 1),
            (vec![other], vec![one], (true, false), 1),
            (vec![], vec![other], (true, true), 2),
            (vec![one], vec![], (false, true), 3),
        ] {
            BadPacks::load(&memory).unwrap().note(&good, &bad, &memory).unwrap();
            let packs = BadPacks::load(&memory).unwrap();
            assert_eq!((packs.contains(&one), packs.contains(&other)), (one_is_bad, other_is_bad));
            assert_eq!(memory.0.lock().unwrap().1, writes);
        }
    }

    proptest! {
        #[test]
        fn bad_packs_round_trip(ids: Vec<[u8; 16]>) {
            let ids: BTreeSet<ObjectId> = ids.into_iter().map(ObjectId::from_bytes).collect();
            prop_assert_eq!(BadPacks::decode(&BadPacks(ids.clone()).encode()).0, ids);
        }

        #[test]
        fn damaged_memory_gives_what_is_left(bytes: Vec<u8>) {
            assert_round_trip(&bytes);
        }
    }
}
