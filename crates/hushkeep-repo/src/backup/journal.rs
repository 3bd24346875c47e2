//! The journal: packs that an unfinished backup has uploaded, so that the next one need not send them again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, WireError, put_varint};

use crate::contents::lists_are_known;
use crate::error::ReadError;
use crate::history::Tables;
use crate::objects::{Objects, pack_name};
use crate::pack::PackInfo;
use crate::state::{State, StateError, StateKey};
use crate::storage::Folder;

/// The journal is written when so small a part of its packs is new: each time would cost the square of their number.
const NEW_PART: usize = 32;

/// This device's journal, kept up to date while packs are uploaded.
pub(super) struct Journal<'a> {
    state: &'a dyn State,
    packs: Mutex<Packs>,
}

#[derive(Default)]
struct Packs {
    all: Vec<(ObjectId, u64)>,
    /// How many of them are written down.
    written: usize,
}

impl<'a> Journal<'a> {
    pub(super) fn load(state: &'a dyn State) -> Result<Self, StateError> {
        let bytes = state.load(StateKey::Journal)?.unwrap_or_default();
        // A journal that does not decode only costs sending its packs again.
        let packs = decode(&bytes).unwrap_or_default();
        let written = packs.len();
        Ok(Self { state, packs: Mutex::new(Packs { all: packs, written }) })
    }

    /// The packs of an unfinished backup that can be used: the journal names them, a fresh listing shows them at
    /// their full length, no commit names them yet, and they open under the newest key. (Under an older one, who stole that can
    /// have put another in the place of one.)
    pub(super) fn usable(&self, objects: &Objects, tables: &Tables) -> Result<Vec<PackInfo>, ReadError> {
        let named = self.lock().all.clone();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let listing = objects.storage.list(Folder::Packs).map_err(ReadError::Storage)?;
        let listed: HashMap<_, _> = listing.into_iter().map(|info| (info.name, info.len)).collect();
        let mut packs = Vec::new();
        for (id, len) in named {
            if tables.pack(&id).is_some() || listed.get(&pack_name(&id)) != Some(&len) {
                continue;
            }
            match objects.read_pack_info(&id, len) {
                Ok(info)
                    if info.epoch == objects.keyring.newest()
                        && !info.table.is_newer()
                        && info.is_sound()
                        && lists_are_known(&info, tables) =>
                {
                    packs.push(info);
                }
                Ok(_) => {}
                Err(ReadError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(packs)
    }

    /// Notes a pack that is on the storage now. A crash can make the journal forget the last few of many.
    pub(super) fn add(&self, id: ObjectId, len: u64) -> Result<(), StateError> {
        let mut packs = self.lock();
        packs.all.push((id, len));
        if packs.all.len() - packs.written <= packs.written / NEW_PART {
            return Ok(());
        }
        self.write(&mut packs)
    }

    /// Writes down the packs that are not yet.
    pub(super) fn flush(&self) -> Result<(), StateError> {
        let mut packs = self.lock();
        if packs.written == packs.all.len() { Ok(()) } else { self.write(&mut packs) }
    }

    /// Forgets all packs: a commit names them now.
    pub(super) fn clear(&self) -> Result<(), StateError> {
        let packs = std::mem::take(&mut *self.lock());
        if packs.all.is_empty() { Ok(()) } else { self.state.store(StateKey::Journal, &[]) }
    }

    fn write(&self, packs: &mut Packs) -> Result<(), StateError> {
        packs.written = packs.all.len();
        self.state.store(StateKey::Journal, &encode(&packs.all))
    }

    fn lock(&self) -> MutexGuard<'_, Packs> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal that is read has one form.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(bytes: &[u8]) {
    if let Ok(packs) = decode(bytes) {
        assert_eq!(encode(&packs), bytes);
    }
}

fn encode(packs: &[(ObjectId, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, len) in packs {
        out.extend_from_slice(id.as_bytes());
        put_varint(&mut out, *len);
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<(ObjectId, u64)>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut packs = Vec::new();
    while !reader.is_empty() {
        packs.push((ObjectId::from_bytes(reader.array()?), reader.varint()?));
    }
    Ok(packs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::damaged;

    /// How often it was written to, and what was written last.
    #[derive(Default)]
    struct Writes(Mutex<(usize, Vec<u8>)>);

    impl State for Writes {
        fn load(&self, _: StateKey) -> Result<Option<Vec<u8>>, StateError> {
            Ok(None)
        }

        fn store(&self, _: StateKey, value: &[u8]) -> Result<(), StateError> {
            let mut writes = self.0.lock().unwrap();
            *writes = (writes.0 + 1, value.to_vec());
            Ok(())
        }
    }

    #[test]
    fn of_many_packs_few_are_unwritten_and_few_are_written_each_time() {
        let state = Writes::default();
        let journal = Journal::load(&state).unwrap();
        for count in 1..=1000 {
            journal.add(ObjectId::from_bytes([7; 16]), 5).unwrap();
            let (times, written) = &*state.0.lock().unwrap();
            let written = decode(written).unwrap().len();
            assert!(count - written <= written / NEW_PART, "{written} of {count} are written");
            assert!(*times <= 5 * NEW_PART, "{times} times for {count}");
        }
    }

    fn packs() -> impl Strategy<Value = Vec<(ObjectId, u64)>> {
        prop::collection::vec((any::<[u8; 16]>().prop_map(ObjectId::from_bytes), any::<u64>()), 0..5)
    }

    proptest! {
        #[test]
        fn journals_round_trip(packs in packs()) {
            prop_assert_eq!(decode(&encode(&packs)), Ok(packs));
        }

        #[test]
        fn a_damaged_journal_is_refused_or_has_one_form(
            bytes in packs().prop_flat_map(|packs| damaged(encode(&packs))),
        ) {
            assert_round_trip(&bytes);
        }
    }
}
