//! Sets of contents.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::index::Index;
use crate::refs::{ContentRef, ListNo, Run};

const WORD_BITS: u32 = u64::BITS;

/// A set of contents: for each list one bit for every position up to the last one in any pack.
#[derive(Debug, Default)]
pub(crate) struct ContentSet(BTreeMap<ListNo, Vec<u64>>);

impl ContentSet {
    /// Adds a run, unless a content of it lies in no pack; tells whether it was added.
    pub(crate) fn insert(&mut self, run: Run, index: &Index) -> bool {
        let Some(end) = run.start.position.checked_add(run.count) else { return false };
        if index.locate_run(run).is_none() {
            return false;
        }
        let words = self.0.entry(run.start.list).or_default();
        let needed = index.list_end(run.start.list).max(end).div_ceil(WORD_BITS) as usize;
        if words.len() < needed {
            words.resize(needed, 0);
        }
        for (number, mask) in masks(run.start.position..end) {
            if let Some(word) = words.get_mut(number) {
                *word |= mask;
            }
        }
        true
    }

    /// How many of these positions of a list are in the set.
    pub(crate) fn count(&self, list: ListNo, positions: Range<u32>) -> u32 {
        let Some(words) = self.0.get(&list) else { return 0 };
        masks(positions).map_while(|(number, mask)| Some((words.get(number)? & mask).count_ones())).sum()
    }

    pub(crate) fn contains(&self, chunk: ContentRef) -> bool {
        self.count(chunk.list, chunk.position..chunk.position.saturating_add(1)) == 1
    }

    /// The lists of which the set has contents.
    pub(crate) fn lists(&self) -> impl Iterator<Item = ListNo> {
        self.0.keys().copied()
    }

    /// The contents of a list that are in the set.
    pub(crate) fn of_list(&self, list: ListNo) -> impl Iterator<Item = ContentRef> {
        let words = self.0.get(&list).map_or([].as_slice(), Vec::as_slice);
        (0..).zip(words).flat_map(move |(number, word)| {
            let bits = (0..WORD_BITS).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| ContentRef { list, position: number * WORD_BITS + bit })
        })
    }
}

/// The words that positions lie in, with their bits.
fn masks(positions: Range<u32>) -> impl Iterator<Item = (usize, u64)> {
    let words = positions.start / WORD_BITS..positions.end.div_ceil(WORD_BITS);
    words.map(move |number| {
        let from = positions.start.saturating_sub(number * WORD_BITS);
        let to = positions.end.saturating_sub(number * WORD_BITS).min(WORD_BITS);
        let below = |bits: u32| u64::MAX.checked_shr(WORD_BITS - bits).unwrap_or(0);
        (number as usize, below(to) & !below(from))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hushkeep_core::keys::Epoch;
    use hushkeep_core::name::ObjectId;
    use proptest::prelude::*;

    use super::*;
    use crate::pack::{Class, Coding, ListEntry, PackInfo, PackTable, Segment, Stretch};

    /// An index in which the list number 0 has the positions 0 to 299.
    fn index() -> Index {
        let id = ObjectId::from_bytes([1; 16]);
        let stretches = vec![Stretch { list: 0, first: 0, count: 300 }];
        let segment = Segment { class: Class::Data, coding: Coding::Plain, sealed_len: 99, raw_len: 9, stretches };
        let lists = vec![ListEntry { id, epoch: Epoch(0), names_digest: [0; 16] }];
        let table = PackTable { lists, segments: vec![segment] };
        let mut index = Index::default();
        index.add(PackInfo { id, epoch: Epoch(0), salt: [0; 32], len: 999, table });
        index
    }

    fn run(position: u32, count: u32) -> Run {
        Run { start: ContentRef { list: ListNo(0), position }, count }
    }

    proptest! {
        #[test]
        fn is_a_set(runs in prop::collection::vec((0u32..250, 1u32..50), 0..10), range in (0u32..300, 0u32..300)) {
            let (index, mut set, mut expected) = (index(), ContentSet::default(), BTreeSet::new());
            for (first, count) in runs {
                prop_assert!(set.insert(run(first, count), &index));
                expected.extend(first..first + count);
            }
            let found: BTreeSet<u32> = set.of_list(ListNo(0)).map(|chunk| chunk.position).collect();
            prop_assert_eq!(&found, &expected);
            let range = range.0.min(range.1)..range.0.max(range.1);
            let inside = expected.range(range.clone()).count();
            prop_assert_eq!(set.count(ListNo(0), range) as usize, inside);
            prop_assert!((0..300).all(|position| set.contains(run(position, 1).start) == expected.contains(&position)));
        }
    }

    #[test]
    fn what_lies_nowhere_is_not_added() {
        let mut set = ContentSet::default();
        assert!(!set.insert(run(299, 2), &index()) && !set.insert(run(0, u32::MAX), &index()));
        assert_eq!(set.lists().count(), 0);
    }
}
