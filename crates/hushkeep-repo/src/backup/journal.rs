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

    /// The packs of unfinished backups of any of these sources that can be used: a fresh listing shows them at their full
    /// length, and they open under the newest key. (Under an older one, who stole that can have put another in the place of
    /// one.)
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
    use std::sync::Arc;

    use hushkeep_core::Secret;
    use hushkeep_core::keys::{BackupKey, Epoch};
    use hushkeep_core::name::{ContentName, RepositoryId};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::history::PackRow;
    use crate::keyring::Keyring;
    use crate::memory::MemoryStorage;
    use crate::pack::{Body, Class, Coding, NameList, PackWriter, Stretch, WrittenList};
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
        let before = state.0.lock().unwrap().0;
        (0..2).for_each(|_| journal.flush().unwrap());
        let (times, written) = &*state.0.lock().unwrap();
        assert_eq!((*times, decode(written).unwrap()[0].packs.len()), (before + 1, 1000));
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

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([8; 16]);

    /// The list of another pack, and what a commit says of it.
    const OTHER: ObjectId = ObjectId::from_bytes([9; 16]);

    fn key(byte: u8) -> BackupKey {
        BackupKey::from_secret(Secret::build(|bytes| *bytes = [byte; 32]))
    }

    /// The objects of a repository whose key was replaced once.
    fn objects() -> Objects {
        let keyring = Keyring::new(&key(1), REPOSITORY, Epoch(0)).next(&key(2)).unwrap();
        Objects { storage: Arc::new(MemoryStorage::default()), keyring }
    }

    fn names(count: u8) -> Vec<u8> {
        let mut names = NameList::default();
        (0..count).for_each(|byte| names.push(ContentName::from_bytes([byte; 16]), 1));
        names.encode()
    }

    /// Stores a pack with a segment of one byte that says to hold so many contents, and with one of another pack's list.
    fn put(objects: &Objects, (epoch, class, count): (u32, Class, u8)) -> StoredPack {
        let keys = objects.keyring.epoch(Epoch(epoch)).unwrap();
        let mut writer = PackWriter::new(keys, &mut ChaCha20Rng::seed_from_u64(u64::from(count)), Vec::new());
        for (list, count) in [(0, count), (1, 1)] {
            let body = Body { class, coding: Coding::Plain, raw_len: 1, bytes: vec![7] };
            writer.add(&body, vec![Stretch { list, first: 0, count: count.into() }]);
        }
        let list = |id, count: u8| WrittenList { id, epoch: keys.epoch(), names: names(count), count: count.into() };
        let lists = vec![list(writer.id(), count), list(OTHER, 1)];
        let (info, object) = writer.finish(lists);
        objects.storage.put(&pack_name(&info.id), &object).unwrap();
        (info.id, info.len)
    }

    /// How many of the packs that a backup of source 1 left can be used by one of `sources`.
    fn usable(objects: &Objects, left: &[StoredPack], tables: &Tables, sources: &[u8]) -> usize {
        let left = vec![Unfinished { sources: ids(&[1]), packs: left.to_vec() }];
        Journal::of(&Writes::default(), ids(sources), left, tables).usable(objects, tables).unwrap().len()
    }

    #[test]
    fn only_what_this_version_writes_under_the_newest_key_is_used() {
        let tables = Tables::default();
        let found = |pack| {
            let objects = objects();
            usable(&objects, &[put(&objects, pack)], &tables, &[1])
        };
        assert_eq!(found((1, Class::Data, 1)), 1);
        assert_eq!(found((0, Class::Data, 1)), 0, "who stole the old key may have put it there");
        assert_eq!(found((1, Class::Other(9), 1)), 0, "a newer version's");
        assert_eq!(found((1, Class::Data, 2)), 0, "two contents in one byte");
    }

    #[test]
    fn what_was_left_is_used_by_its_sources_if_it_is_whole_and_its_lists_are_known() {
        let (objects, tables) = (objects(), Tables::default());
        let (id, len) = put(&objects, (1, Class::Data, 1));
        assert_eq!(usable(&objects, &[(id, len)], &tables, &[2]), 0, "of other sources");
        assert_eq!(usable(&objects, &[(id, len + 1)], &tables, &[1, 2]), 0, "longer than what is there");
        for (digest, is_known) in [(NameList::digest(Epoch(1), &names(1)), true), ([0; 16], false)] {
            let mut tables = Tables::default();
            tables.insert_pack(PackRow::new(OTHER, 5, [0; 16], digest));
            assert_eq!(usable(&objects, &[(id, len)], &tables, &[1]), usize::from(is_known));
        }
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
