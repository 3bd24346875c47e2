//! The journal: packs that unfinished backups have uploaded, so that the next one need not send them again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, WireError, put_varint};

use super::Source;
use crate::contents::lists_are_known;
use crate::error::ReadError;
use crate::history::Tables;
use crate::objects::{Objects, pack_name};
use crate::pack::{PackInfo, digest};
use crate::state::{State, StateError, StateKey};

/// The journal is written when so small a part of its packs is new: each time would cost the square of their number.
const NEW_PART: usize = 32;

/// This device's journal, kept up to date while packs are uploaded.
pub(super) struct Journal<'a> {
    state: &'a dyn State,
    /// What is backed up now.
    sources: Vec<SourceId>,
    packs: Mutex<Packs>,
    /// What earlier backups left. A pack stays here until a commit names it, or all its sources were backed up without it: what
    /// is named before it is needed goes with the next prune.
    left: Vec<Unfinished>,
}

#[derive(Default)]
struct Packs {
    all: Vec<StoredPack>,
    /// How many of them are written down.
    written: usize,
}

/// A pack's id, and its length in bytes.
type StoredPack = (ObjectId, u64);

/// Stands for the path of a source, or for its label.
type SourceId = [u8; 16];

/// What an unfinished backup of some sources has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unfinished {
    sources: Vec<SourceId>,
    packs: Vec<StoredPack>,
}

impl<'a> Journal<'a> {
    pub(super) fn load(state: &'a dyn State, sources: &[Source<'_>], tables: &Tables) -> Result<Self, StateError> {
        let paths = sources.iter().map(|source| digest("hushkeep journal path", &source.path));
        let labels = sources.iter().map(|source| digest("hushkeep journal label", source.label.as_bytes()));
        let bytes = state.load(StateKey::Journal)?.unwrap_or_default();
        // A journal that does not decode only costs sending its packs again.
        Ok(Self::of(state, paths.chain(labels).collect(), decode(&bytes).unwrap_or_default(), tables))
    }

    fn of(state: &'a dyn State, sources: Vec<SourceId>, mut left: Vec<Unfinished>, tables: &Tables) -> Self {
        left.iter_mut().for_each(|left| left.packs.retain(|(id, _)| tables.pack(id).is_none()));
        left.retain(|left| !left.packs.is_empty());
        Self { state, sources, packs: Mutex::default(), left }
    }

    /// The packs of unfinished backups of any of these sources that can be used: a fresh listing shows them at their full length,
    /// and they open under the newest key. (Under an older one, who stole that can have put another in the place of one.)
    pub(super) fn usable(&self, objects: &Objects, tables: &Tables) -> Result<Vec<PackInfo>, ReadError> {
        let is_of_these = |left: &&Unfinished| left.sources.iter().any(|source| self.sources.contains(source));
        let left: Vec<StoredPack> =
            self.left.iter().filter(is_of_these).flat_map(|left| left.packs.iter().copied()).collect();
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let listed = objects.list_packs()?;
        let mut packs = Vec::new();
        for (id, len) in left {
            if listed.get(&pack_name(&id)) != Some(&len) {
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

    /// Forgets what was stored now: a commit names it. Of what was left, the packs that one names go as well; the others are
    /// left for the other sources, since these have been backed up without them.
    pub(super) fn settle(&self, tables: &Tables) -> Result<(), StateError> {
        let stored = std::mem::take(&mut *self.lock()).all;
        let mut left = self.left.clone();
        for Unfinished { sources, packs } in &mut left {
            sources.retain(|source| !self.sources.contains(source));
            packs.retain(|(id, _)| tables.pack(id).is_none());
        }
        left.retain(|left| !left.sources.is_empty() && !left.packs.is_empty());
        if stored.is_empty() && left == self.left {
            Ok(())
        } else {
            self.state.store(StateKey::Journal, &encode(&left))
        }
    }

    fn write(&self, packs: &mut Packs) -> Result<(), StateError> {
        packs.written = packs.all.len();
        let own = Unfinished { sources: self.sources.clone(), packs: packs.all.clone() };
        self.state.store(StateKey::Journal, &encode(&[self.left.as_slice(), &[own]].concat()))
    }

    fn lock(&self) -> MutexGuard<'_, Packs> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal that is read has one form.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(bytes: &[u8]) {
    if let Ok(unfinished) = decode(bytes) {
        assert_eq!(encode(&unfinished), bytes);
    }
}

fn encode(unfinished: &[Unfinished]) -> Vec<u8> {
    let mut out = Vec::new();
    for Unfinished { sources, packs } in unfinished {
        put_varint(&mut out, sources.len() as u64);
        sources.iter().for_each(|source| out.extend_from_slice(source));
        put_varint(&mut out, packs.len() as u64);
        for (id, len) in packs {
            out.extend_from_slice(id.as_bytes());
            put_varint(&mut out, *len);
        }
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<Unfinished>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut unfinished = Vec::new();
    while !reader.is_empty() {
        let sources = (0..reader.count(16)?).map(|_| reader.array()).collect::<Result<_, _>>()?;
        let pack = |reader: &mut Reader<'_>| Ok((ObjectId::from_bytes(reader.array()?), reader.varint()?));
        let packs = (0..reader.count(17)?).map(|_| pack(&mut reader)).collect::<Result<_, _>>()?;
        unfinished.push(Unfinished { sources, packs });
    }
    Ok(unfinished)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::PackRow;
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
        let journal = Journal::of(&state, vec![[1; 16]], Vec::new(), &Tables::default());
        for count in 1..=1000 {
            journal.add(ObjectId::from_bytes([7; 16]), 5).unwrap();
            let (times, written) = &*state.0.lock().unwrap();
            let written = decode(written).unwrap()[0].packs.len();
            assert!(count - written <= written / NEW_PART, "{written} of {count} are written");
            assert!(*times <= 5 * NEW_PART, "{times} times for {count}");
        }
    }

    fn ids(sources: &[u8]) -> Vec<SourceId> {
        sources.iter().map(|byte| [*byte; 16]).collect()
    }

    fn left(sources: &[u8], packs: &[u8]) -> Unfinished {
        let packs = packs.iter().map(|byte| (ObjectId::from_bytes([*byte; 16]), 5)).collect();
        Unfinished { sources: ids(sources), packs }
    }

    #[test]
    fn what_was_left_stays_until_it_is_named_or_of_no_more_use() {
        let state = Writes::default();
        let written = || decode(&state.0.lock().unwrap().1).unwrap();
        let begin = |sources: &[u8]| Journal::of(&state, ids(sources), written(), &Tables::default());
        let add = |journal: &Journal<'_>, pack: u8| journal.add(ObjectId::from_bytes([pack; 16]), 5).unwrap();
        add(&begin(&[1]), 1);
        add(&begin(&[1, 2]), 2);
        let third = begin(&[2, 3]);
        add(&third, 3);
        assert_eq!(written(), [left(&[1], &[1]), left(&[1, 2], &[2]), left(&[2, 3], &[3])]);
        third.settle(&Tables::default()).unwrap();
        assert_eq!(written(), [left(&[1], &[1]), left(&[1], &[2])], "2 has been backed up without them");
        let fourth = begin(&[2]);
        add(&fourth, 4);
        fourth.settle(&named(&[2, 4])).unwrap();
        assert_eq!(written(), [left(&[1], &[1])]);
        begin(&[1, 2]).settle(&Tables::default()).unwrap();
        assert_eq!(written(), []);
    }

    #[test]
    fn what_a_commit_names_is_left_no_more() {
        let state = Writes::default();
        let journal = Journal::of(&state, ids(&[2]), vec![left(&[1], &[1, 4]), left(&[3], &[1])], &named(&[1]));
        assert_eq!(journal.left, [left(&[1], &[4])]);
    }

    fn named(packs: &[u8]) -> Tables {
        let mut tables = Tables::default();
        for byte in packs {
            tables.insert_pack(PackRow::new(ObjectId::from_bytes([*byte; 16]), 5, [0; 16], [0; 16]));
        }
        tables
    }

    fn unfinished() -> impl Strategy<Value = Vec<Unfinished>> {
        let packs = prop::collection::vec((any::<[u8; 16]>().prop_map(ObjectId::from_bytes), any::<u64>()), 0..5);
        let sources = prop::collection::vec(any::<SourceId>(), 0..3);
        let one = (sources, packs).prop_map(|(sources, packs)| Unfinished { sources, packs });
        prop::collection::vec(one, 0..3)
    }

    proptest! {
        #[test]
        fn journals_round_trip(unfinished in unfinished()) {
            prop_assert_eq!(decode(&encode(&unfinished)), Ok(unfinished));
        }

        #[test]
        fn a_damaged_journal_is_refused_or_has_one_form(
            bytes in unfinished().prop_flat_map(|unfinished| damaged(encode(&unfinished))),
        ) {
            assert_round_trip(&bytes);
        }
    }
}
