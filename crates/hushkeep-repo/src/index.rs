//! The index: where the contents of name lists are (spec §9).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, WireError};

use crate::pack::{Class, EncodedPack, ListEntry, PackInfo, Segment, Stretch, digest};
use crate::refs::{ContentRef, ListNo, NodeName, Run};

/// Everything index objects say, joined in memory.
///
/// A content may lie in several packs, after one was repacked. Then it is looked up in the one that was taken in first.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<IndexedPack>,
    pack_numbers: HashMap<ObjectId, u32>,
    lists: Vec<IndexedList>,
    list_numbers: HashMap<ObjectId, ListNo>,
}

#[derive(Debug)]
pub(crate) struct IndexedPack {
    pub(crate) info: PackInfo,
    /// Where each segment begins in the pack, in bytes.
    offsets: Vec<u64>,
}

#[derive(Debug)]
struct IndexedList {
    id: ObjectId,
    /// Where its names are, and what is said of them there.
    names: Vec<(SegmentAt, ListEntry)>,
    /// By the position of the first content. They do not overlap.
    pieces: BTreeMap<u32, Piece>,
    /// What lies in further packs, wholly or in part, in the order in which those are asked.
    copies: Vec<(Range<u32>, SegmentAt)>,
}

/// Contents of a list, up to the position `end`, lie in one segment.
#[derive(Debug, Clone, Copy)]
struct Piece {
    end: u32,
    at: SegmentAt,
}

/// A segment of a pack, by their numbers in this session's index and in the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentAt {
    pub(crate) pack: u32,
    pub(crate) segment: u32,
}

impl IndexedPack {
    /// A segment and the offset at which it begins.
    pub(crate) fn segment(&self, number: u32) -> Option<(&Segment, u64)> {
        Some((self.info.table.segments.get(number as usize)?, *self.offsets.get(number as usize)?))
    }
}

impl IndexedList {
    fn add(&mut self, range: Range<u32>, at: SegmentAt) {
        if !fill_gaps(&mut self.pieces, range.clone(), at) {
            self.copies.push((range, at));
        }
    }
}

impl Index {
    /// Takes a pack in. One that is known already is left as it is.
    pub(crate) fn add(&mut self, info: PackInfo) {
        if self.pack_numbers.contains_key(&info.id) {
            return;
        }
        let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        let mut offset = hushkeep_core::seal::HEADER_LEN as u64;
        let mut offsets = Vec::with_capacity(info.table.segments.len());
        for segment in &info.table.segments {
            offsets.push(offset);
            offset += u64::from(segment.sealed_len);
        }
        self.place(number, &info);
        self.pack_numbers.insert(info.id, number);
        self.packs.push(IndexedPack { info, offsets });
    }

    /// Looks contents up in the packs of the lowest rank first, and never in those that have none.
    pub(crate) fn rank_packs(&mut self, rank: impl Fn(&ObjectId) -> Option<u8>) {
        for list in &mut self.lists {
            list.names.clear();
            list.pieces.clear();
            list.copies.clear();
        }
        let packs = std::mem::take(&mut self.packs);
        let ranks = (0..).zip(&packs).filter_map(|(number, pack)| Some((rank(&pack.info.id)?, number, pack)));
        let mut ranked: Vec<(u8, u32, &IndexedPack)> = ranks.collect();
        ranked.sort_by_key(|(rank, number, _)| (*rank, *number));
        for (_, number, pack) in ranked {
            self.place(number, &pack.info);
        }
        self.packs = packs;
    }

    /// Numbers a list, whether or not anything of it lies in a pack.
    pub(crate) fn announce(&mut self, id: ObjectId) -> ListNo {
        let next = ListNo(u32::try_from(self.lists.len()).unwrap_or(u32::MAX));
        let number = *self.list_numbers.entry(id).or_insert(next);
        if number == next {
            self.lists.push(IndexedList { id, names: Vec::new(), pieces: BTreeMap::new(), copies: Vec::new() });
        }
        number
    }

    /// Notes what a pack holds: it is looked up there as far as no other has it.
    fn place(&mut self, pack: u32, info: &PackInfo) {
        for (segment, row) in (0..).zip(&info.table.segments) {
            for stretch in &row.stretches {
                let Some(entry) = info.table.lists.get(stretch.list as usize) else { continue };
                let at = SegmentAt { pack, segment };
                let list = self.list_mut(entry.id);
                match row.class {
                    Class::Names => list.names.push((at, entry.clone())),
                    _ => list.add(stretch.first..stretch.end(), at),
                }
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a list was numbered when it was pushed, and none is ever removed")]
    fn list_mut(&mut self, id: ObjectId) -> &mut IndexedList {
        let number = self.announce(id);
        &mut self.lists[number.0 as usize]
    }

    pub(crate) fn pack(&self, number: u32) -> Option<&IndexedPack> {
        self.packs.get(number as usize)
    }

    pub(crate) fn pack_number(&self, id: &ObjectId) -> Option<u32> {
        self.pack_numbers.get(id).copied()
    }

    pub(crate) fn packs(&self) -> impl Iterator<Item = &PackInfo> {
        self.packs.iter().map(|pack| &pack.info)
    }

    /// The number of a list named on disk.
    pub(crate) fn list(&self, id: &ObjectId) -> Option<ListNo> {
        self.list_numbers.get(id).copied()
    }

    /// The name of a list on disk.
    pub(crate) fn list_id(&self, list: ListNo) -> Option<ObjectId> {
        self.lists.get(list.0 as usize).map(|list| list.id)
    }

    /// The reference of a node named on disk.
    pub(crate) fn node(&self, name: NodeName) -> Option<ContentRef> {
        Some(ContentRef { list: self.list(&name.list)?, position: name.position })
    }

    /// The name on disk of a node.
    pub(crate) fn node_name(&self, node: ContentRef) -> Option<NodeName> {
        Some(NodeName { list: self.list_id(node.list)?, position: node.position })
    }

    /// Where a list's names are, and what is said of them there; nowhere if nothing of it lies in any pack.
    pub(crate) fn names_of(&self, list: ListNo) -> &[(SegmentAt, ListEntry)] {
        self.lists.get(list.0 as usize).map_or(&[], |list| &list.names)
    }

    /// The segment that holds a content.
    pub(crate) fn locate(&self, chunk: ContentRef) -> Option<SegmentAt> {
        let pieces = &self.lists.get(chunk.list.0 as usize)?.pieces;
        let (_, piece) = pieces.range(..=chunk.position).next_back()?;
        (chunk.position < piece.end).then_some(piece.at)
    }

    /// The segments of further packs that hold a content, too.
    pub(crate) fn copies(&self, chunk: ContentRef) -> impl Iterator<Item = SegmentAt> {
        let first = self.locate(chunk);
        let copies = self.lists.get(chunk.list.0 as usize).into_iter().flat_map(|list| &list.copies);
        let holding = copies.filter(move |(range, _)| range.contains(&chunk.position)).map(|(_, at)| *at);
        holding.filter(move |at| Some(*at) != first)
    }

    /// Cuts a run into what lies in one segment each; `None` if a content of it is nowhere.
    ///
    /// However many contents a hostile run may claim, this goes only as far as there are packs.
    pub(crate) fn locate_run(&self, run: Run) -> Option<Vec<(SegmentAt, Run)>> {
        let pieces = &self.lists.get(run.start.list.0 as usize)?.pieces;
        let end = run.start.position.checked_add(run.count)?;
        let mut parts = Vec::new();
        let mut next = run.start;
        while next.position < end {
            let (_, piece) = pieces.range(..=next.position).next_back()?;
            let count = piece.end.min(end).checked_sub(next.position).filter(|count| *count > 0)?;
            parts.push((piece.at, Run { start: next, count }));
            next = next.plus(count)?;
        }
        Some(parts)
    }

    /// Every content of files that a pack holds.
    pub(crate) fn data_of(&self, pack: &PackInfo) -> impl Iterator<Item = Run> {
        let data = pack.table.segments.iter().filter(|segment| segment.class.is_data());
        data.flat_map(|segment| &segment.stretches).filter_map(|stretch| self.run(pack, *stretch))
    }

    /// The contents that a row of a pack's table means.
    pub(crate) fn run(&self, pack: &PackInfo, stretch: Stretch) -> Option<Run> {
        let list = self.list(&pack.table.lists.get(stretch.list as usize)?.id)?;
        Some(Run { start: ContentRef { list, position: stretch.first }, count: stretch.count })
    }

    /// The position after the last content of a list that lies in any pack.
    pub(crate) fn list_end(&self, list: ListNo) -> u32 {
        let pieces = self.lists.get(list.0 as usize).map(|list| &list.pieces);
        pieces.and_then(|pieces| pieces.values().next_back()).map_or(0, |piece| piece.end)
    }
}

/// Adds the parts of `range` that no piece covers yet. Whether that is all of it.
fn fill_gaps(pieces: &mut BTreeMap<u32, Piece>, range: Range<u32>, at: SegmentAt) -> bool {
    let before = pieces.range(..range.start).next_back().map_or(0, |(_, piece)| piece.end);
    let mut next = range.start.max(before);
    let inside: Vec<(u32, u32)> = pieces.range(range.clone()).map(|(first, piece)| (*first, piece.end)).collect();
    let is_free = next == range.start && inside.is_empty();
    for (first, end) in inside.into_iter().chain([(range.end, range.end)]) {
        if next < first {
            pieces.insert(next, Piece { end: first, at });
        }
        next = next.max(end);
    }
    is_free
}

/// What a commit says of an index object's body (spec §9.1).
pub(crate) fn digest_of(body: &[u8]) -> [u8; 16] {
    digest("hushkeep/1 index", body)
}

/// Encodes an index object's body (spec §9.1).
#[cfg(any(test, fuzzing))]
pub(crate) fn encode<'a>(packs: impl IntoIterator<Item = &'a PackInfo>) -> Vec<u8> {
    let mut out = Vec::new();
    for pack in packs {
        pack.encode(&mut out);
    }
    out
}

/// What an index object's body has of each pack, in order; it ends behind an error (spec §9.1).
pub(crate) fn packs_in(body: &[u8]) -> impl Iterator<Item = Result<EncodedPack<'_>, WireError>> {
    let mut reader = Some(Reader::new(body));
    std::iter::from_fn(move || {
        let mut at = reader.take().filter(|reader| !reader.is_empty())?;
        let pack = EncodedPack::read(&mut at);
        reader = pack.is_ok().then_some(at);
        Some(pack)
    })
}

/// Decodes an index object's body with all tables.
#[cfg(any(test, fuzzing))]
pub(crate) fn decode(body: &[u8]) -> Result<Vec<PackInfo>, WireError> {
    packs_in(body).map(|pack| pack?.decode()).collect()
}

/// A body that is read has one form. Of sound packs everything is found where they say.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(body: &[u8]) {
    let Ok(packs) = decode(body) else { return };
    assert_eq!(encode(&packs), body);
    let mut all = Index::default();
    for pack in packs.into_iter().filter(PackInfo::is_sound) {
        assert_finds(&pack);
        all.add(pack);
    }
    let lens =
        |index: &Index| index.lists.iter().map(|list| (list.pieces.len(), list.names.clone())).collect::<Vec<_>>();
    let before = lens(&all);
    all.rank_packs(|_| Some(0));
    assert_eq!(before, lens(&all));
}

/// A sound pack holds each content once, and its own list whole.
#[cfg(any(test, fuzzing))]
fn assert_finds(pack: &PackInfo) {
    let mut index = Index::default();
    index.add(pack.clone());
    for (segment, row) in (0..).zip(&pack.table.segments).filter(|(_, row)| row.class != Class::Names) {
        for stretch in &row.stretches {
            let run = index.run(pack, *stretch).and_then(|run| index.locate_run(run));
            let at = SegmentAt { pack: 0, segment };
            assert!(run.is_some_and(|parts| parts.iter().all(|(part, _)| *part == at)));
        }
    }
    let own = index.list(&pack.id);
    if let Some((list, (names, _))) = own.and_then(|list| Some((list, index.names_of(list).first()?))) {
        let row = index.pack(0).and_then(|pack| pack.segment(names.segment));
        assert_eq!(row.map(|(row, _)| row.count()), Some(u64::from(index.list_end(list))));
    }
    assert_eq!(pack.row().digest, pack.digest());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{Coding, PackTable, Stretch};
    use crate::properties::damaged;
    use hushkeep_core::keys::Epoch;
    use proptest::prelude::*;

    fn segment(class: Class, first: u32, count: u32) -> Segment {
        let stretches = vec![Stretch { list: 0, first, count }];
        Segment { class, coding: Coding::Plain, sealed_len: 516, raw_len: 500, stretches }
    }

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 16])
    }

    fn pack(number: u8, list: u8, segments: Vec<Segment>) -> PackInfo {
        let lists = vec![ListEntry { id: id(list), epoch: Epoch(0), names_digest: [0; 16] }];
        let table = PackTable { lists, segments };
        PackInfo { id: id(number), epoch: Epoch(0), salt: [0; 32], len: 10_000, table }
    }

    #[test]
    fn contents_are_found_where_a_list_was_split() {
        let mut index = Index::default();
        index.add(pack(1, 1, vec![segment(Class::Data, 0, 3), segment(Class::Names, 0, 8)]));
        index.add(pack(2, 1, vec![segment(Class::Data, 5, 3)]));
        let list = index.list(&id(1)).unwrap();
        let place = |position| index.locate(ContentRef { list, position });
        assert_eq!(place(2), Some(SegmentAt { pack: 0, segment: 0 }));
        assert_eq!(place(3), None);
        assert_eq!(place(7), Some(SegmentAt { pack: 1, segment: 0 }));
        assert_eq!(place(8), None);
        assert_eq!(index.list_end(list), 8);
        let names = index.names_of(list).iter().map(|(at, _)| *at);
        assert_eq!(names.collect::<Vec<_>>(), [SegmentAt { pack: 0, segment: 1 }]);
        assert_eq!(index.pack(0).unwrap().segment(1).unwrap().1, 68 + 516);
    }

    #[test]
    fn the_data_of_a_pack_are_neither_its_nodes_nor_its_names() {
        let mut index = Index::default();
        let kinds = [(Class::Data, 0, 3), (Class::Metadata, 3, 2), (Class::Other(7), 5, 1), (Class::Names, 0, 6)];
        let pack = pack(1, 1, kinds.map(|(class, first, count)| segment(class, first, count)).to_vec());
        index.add(pack.clone());
        let list = index.list(&id(1)).unwrap();
        let run = |position, count| Run { start: ContentRef { list, position }, count };
        assert_eq!(index.data_of(&pack).collect::<Vec<_>>(), [run(0, 3), run(5, 1)]);
    }

    #[test]
    fn a_run_is_cut_at_segments_and_never_reaches_into_nothing() {
        let mut index = Index::default();
        index.add(pack(1, 1, vec![segment(Class::Data, 0, 3), segment(Class::Data, 3, 2)]));
        let list = index.list(&id(1)).unwrap();
        let run = |position, count| Run { start: ContentRef { list, position }, count };
        let parts = index.locate_run(run(1, 4)).unwrap();
        let at = |segment| SegmentAt { pack: 0, segment };
        assert_eq!(parts, [(at(0), run(1, 2)), (at(1), run(3, 2))]);
        assert_eq!(index.locate_run(run(1, 5)), None);
        assert_eq!(index.locate_run(run(1, u32::MAX - 1)), None);
    }

    #[test]
    fn ranks_decide_where_a_content_is_looked_up() {
        let mut index = Index::default();
        index.add(pack(1, 1, vec![segment(Class::Data, 0, 9), segment(Class::Names, 0, 9)]));
        index.add(pack(2, 1, vec![segment(Class::Data, 2, 2), segment(Class::Data, 6, 1)]));
        let list = index.list(&id(1)).unwrap();
        let packs = |index: &Index| -> Vec<Option<u32>> {
            (0..9).map(|position| Some(index.locate(ContentRef { list, position })?.pack)).collect()
        };
        assert_eq!(packs(&index), [Some(0); 9]);
        index.rank_packs(|pack| Some(u8::from(*pack == id(1))));
        let [old, new] = [Some(0), Some(1)];
        assert_eq!(packs(&index), [old, old, new, new, old, old, new, old, old]);
        index.rank_packs(|pack| (*pack == id(2)).then_some(0));
        assert_eq!(packs(&index), [None, None, new, new, None, None, new, None, None]);
        assert_eq!((index.names_of(list), index.list(&id(1))), ([].as_slice(), Some(list)));
    }

    #[test]
    fn what_lies_in_further_packs_is_found_there_too() {
        let mut index = Index::default();
        index.add(pack(1, 1, vec![segment(Class::Data, 0, 4), segment(Class::Data, 4, 4)]));
        index.add(pack(2, 1, vec![segment(Class::Data, 2, 4)]));
        index.add(pack(3, 1, vec![segment(Class::Data, 5, 5)]));
        let list = index.list(&id(1)).unwrap();
        let packs = |index: &Index| -> Vec<Vec<u32>> {
            let places = |position| index.copies(ContentRef { list, position }).map(|at| at.pack).collect();
            (0..11).map(places).collect()
        };
        let [none, one, two] = [vec![], vec![1], vec![2]];
        let expected = [&none, &none, &one, &one, &one, &vec![1, 2], &two, &two, &none, &none, &none];
        assert_eq!(packs(&index).iter().collect::<Vec<_>>(), expected);
        index.rank_packs(|pack| (*pack != id(3)).then_some(u8::from(*pack == id(1))));
        let zero = vec![0];
        let expected = [&none, &none, &zero, &zero, &zero, &zero, &none, &none, &none, &none, &none];
        assert_eq!(packs(&index).iter().collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn what_came_first_counts(pieces in prop::collection::vec((0u32..30, 1u32..12), 0..12)) {
            let (mut map, mut owners) = (BTreeMap::new(), [None; 50]);
            for (number, (first, count)) in (0..).zip(pieces) {
                let is_free = fill_gaps(&mut map, first..first + count, SegmentAt { pack: number, segment: 0 });
                let own = &mut owners[first as usize..(first + count) as usize];
                prop_assert_eq!(is_free, own.iter().all(Option::is_none));
                own.iter_mut().for_each(|owner| *owner = owner.or(Some(number)));
            }
            let mut index = Index::default();
            let list = index.announce(id(1));
            index.lists[0].pieces = map;
            let found = (0..50).map(|position| Some(index.locate(ContentRef { list, position })?.pack));
            prop_assert_eq!(found.collect::<Vec<_>>(), owners.to_vec());
        }
    }

    fn arbitrary_segment(lists: u32) -> impl Strategy<Value = Segment> {
        let class = prop::sample::select(vec![Class::Data, Class::Metadata, Class::Names, Class::Other(9)]);
        let stretch = (0..lists, 0u32..99, 1u32..9).prop_map(|(list, first, count)| Stretch { list, first, count });
        (class, any::<bool>(), 0u32..9999, prop::collection::vec(stretch, 1..4)).prop_map(
            |(class, is_plain, raw_len, stretches)| {
                let (coding, sealed_len) = if is_plain { (Coding::Plain, raw_len + 16) } else { (Coding::Zstd, 99) };
                Segment { class, coding, sealed_len, raw_len, stretches }
            },
        )
    }

    fn arbitrary_pack() -> impl Strategy<Value = PackInfo> {
        let list = (any::<[u8; 16]>(), any::<u32>(), any::<[u8; 16]>()).prop_map(|(id, epoch, names_digest)| {
            ListEntry { id: ObjectId::from_bytes(id), epoch: Epoch(epoch), names_digest }
        });
        let segments = prop::collection::vec(arbitrary_segment(2), 0..5);
        let table = (prop::collection::vec(list, 2..4), segments);
        (any::<[u8; 16]>(), any::<u32>(), any::<[u8; 32]>(), any::<u64>(), table).prop_map(
            |(id, epoch, salt, len, (lists, segments))| {
                let (id, epoch) = (ObjectId::from_bytes(id), Epoch(epoch));
                PackInfo { id, epoch, salt, len, table: PackTable { lists, segments } }
            },
        )
    }

    /// A pack as a writer makes it: its own list, in segments one after the other.
    fn sound_pack() -> impl Strategy<Value = PackInfo> {
        prop::collection::vec(1u32..5, 1..6).prop_map(|counts| {
            let mut first = 0;
            let mut segments = Vec::new();
            for count in counts {
                segments.push(segment(Class::Data, first, count));
                first += count;
            }
            segments.push(segment(Class::Names, 0, first));
            pack(1, 1, segments)
        })
    }

    proptest! {
        #[test]
        fn any_packs_round_trip(packs in prop::collection::vec(arbitrary_pack(), 0..4)) {
            prop_assert_eq!(decode(&encode(&packs)), Ok(packs));
        }

        #[test]
        fn a_damaged_body_is_refused_or_has_one_form(
            body in prop::collection::vec(prop_oneof![arbitrary_pack(), sound_pack()], 1..4)
                .prop_flat_map(|packs| damaged(encode(&packs))),
        ) {
            assert_round_trip(&body);
        }

        #[test]
        fn all_of_a_sound_pack_is_found(pack in sound_pack()) {
            prop_assert!(pack.is_sound());
            assert_finds(&pack);
        }
    }

    #[test]
    fn bodies_round_trip() {
        let packs = vec![pack(1, 1, vec![segment(Class::Data, 0, 3)]), pack(2, 1, vec![])];
        assert_eq!(decode(&encode(&packs)).unwrap(), packs);
        let cut = encode(&packs).len() - 1;
        assert!(decode(&encode(&packs)[..cut]).is_err());
    }
}
