//! The index: where the contents of name lists are (spec §9).

use std::collections::HashMap;

use hushkeep_core::keys::Epoch;
use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, WireError};

use crate::pack::{Class, ListEntry, PackInfo, Segment, digest};
use crate::refs::{ContentRef, ListNo, NodeName};

/// Everything index objects say, joined in memory.
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
    epoch: Epoch,
    /// Where its names are, and their digest.
    names: Option<(SegmentAt, [u8; 16])>,
    /// Sorted by `first`.
    pieces: Vec<Piece>,
}

/// Contents `first .. first + count` of a list lie in one segment.
#[derive(Debug, Clone, Copy)]
struct Piece {
    first: u32,
    count: u32,
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

impl Index {
    /// Takes a pack in. One that is known already is left as it is.
    pub(crate) fn add(&mut self, info: PackInfo) {
        if self.pack_numbers.contains_key(&info.id) {
            return;
        }
        let pack = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        let mut offset = hushkeep_core::seal::HEADER_LEN as u64;
        let mut offsets = Vec::with_capacity(info.table.segments.len());
        for (number, segment) in (0..).zip(&info.table.segments) {
            offsets.push(offset);
            offset += u64::from(segment.sealed_len);
            if let Some(list) = info.table.lists.get(segment.list as usize) {
                let number = SegmentAt { pack, segment: number };
                self.add_segment(list, segment, number);
            }
        }
        self.pack_numbers.insert(info.id, pack);
        self.packs.push(IndexedPack { info, offsets });
    }

    /// Numbers a list whose contents are still to come.
    pub(crate) fn announce(&mut self, id: ObjectId, epoch: Epoch) -> ListNo {
        let next = ListNo(u32::try_from(self.lists.len()).unwrap_or(u32::MAX));
        let number = *self.list_numbers.entry(id).or_insert(next);
        if number == next {
            self.lists.push(IndexedList { id, epoch, names: None, pieces: Vec::new() });
        }
        number
    }

    fn add_segment(&mut self, entry: &ListEntry, segment: &Segment, at: SegmentAt) {
        let number = self.announce(entry.id, entry.epoch);
        let Some(list) = self.lists.get_mut(number.0 as usize) else { return };
        if segment.class == Class::Names {
            list.names.get_or_insert((at, entry.names_digest));
            return;
        }
        let piece = Piece { first: segment.first, count: segment.count, at };
        let place = list.pieces.partition_point(|other| other.first < piece.first);
        list.pieces.insert(place, piece);
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

    /// The list whose contents or names a segment holds.
    pub(crate) fn list_of(&self, at: SegmentAt) -> Option<ListNo> {
        let pack = self.pack(at.pack)?;
        let (segment, _) = pack.segment(at.segment)?;
        self.list(&pack.info.table.lists.get(segment.list as usize)?.id)
    }

    /// The name of a list on disk, and the epoch its names belong to.
    pub(crate) fn list_name(&self, list: ListNo) -> Option<(ObjectId, Epoch)> {
        self.lists.get(list.0 as usize).map(|list| (list.id, list.epoch))
    }

    /// The reference of a node named on disk.
    pub(crate) fn node(&self, name: NodeName) -> Option<ContentRef> {
        Some(ContentRef { list: self.list(&name.list)?, position: name.position })
    }

    /// The name on disk of a node.
    pub(crate) fn node_name(&self, node: ContentRef) -> Option<NodeName> {
        Some(NodeName { list: self.list_name(node.list)?.0, position: node.position })
    }

    /// Where a list's names are.
    pub(crate) fn names_of(&self, list: ListNo) -> Option<SegmentAt> {
        self.lists.get(list.0 as usize)?.names.map(|(at, _)| at)
    }

    /// The digest that a list's names must have.
    pub(crate) fn names_digest(&self, list: ListNo) -> Option<[u8; 16]> {
        self.lists.get(list.0 as usize)?.names.map(|(_, digest)| digest)
    }

    /// The segment that holds a content.
    pub(crate) fn locate(&self, chunk: ContentRef) -> Option<SegmentAt> {
        let pieces = &self.lists.get(chunk.list.0 as usize)?.pieces;
        let place = pieces.partition_point(|piece| piece.first <= chunk.position).checked_sub(1)?;
        let piece = pieces.get(place)?;
        (chunk.position - piece.first < piece.count).then_some(piece.at)
    }
}

/// What a commit says of an index object's body (spec §9.1).
pub(crate) fn digest_of(body: &[u8]) -> [u8; 16] {
    digest("hushkeep/1 index", body)
}

/// Encodes an index object's body (spec §9.1).
pub(crate) fn encode<'a>(packs: impl IntoIterator<Item = &'a PackInfo>) -> Vec<u8> {
    let mut out = Vec::new();
    for pack in packs {
        pack.encode(&mut out);
    }
    out
}

/// Decodes an index object's body (spec §9.1).
pub(crate) fn decode(body: &[u8]) -> Result<Vec<PackInfo>, WireError> {
    let mut reader = Reader::new(body);
    let mut packs = Vec::new();
    while !reader.is_empty() {
        packs.push(PackInfo::decode(&mut reader)?);
    }
    Ok(packs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{Coding, PackTable};

    fn segment(class: Class, first: u32, count: u32) -> Segment {
        Segment { class, coding: Coding::Plain, sealed_len: 26, raw_len: 10, list: 0, first, count }
    }

    fn pack(id: u8, list: u8, segments: Vec<Segment>) -> PackInfo {
        let lists = vec![ListEntry { id: ObjectId::from_bytes([list; 16]), epoch: Epoch(0), names_digest: [0; 16] }];
        let table = PackTable { lists, segments };
        PackInfo { id: ObjectId::from_bytes([id; 16]), epoch: Epoch(0), salt: [0; 32], len: 1000, table }
    }

    #[test]
    fn contents_are_found_where_a_list_was_split() {
        let mut index = Index::default();
        index.add(pack(1, 1, vec![segment(Class::Data, 0, 3), segment(Class::Names, 0, 8)]));
        index.add(pack(2, 1, vec![segment(Class::Data, 5, 3)]));
        let list = index.list(&ObjectId::from_bytes([1; 16])).unwrap();
        let place = |position| index.locate(ContentRef { list, position });
        assert_eq!(place(2), Some(SegmentAt { pack: 0, segment: 0 }));
        assert_eq!(place(3), None);
        assert_eq!(place(7), Some(SegmentAt { pack: 1, segment: 0 }));
        assert_eq!(place(8), None);
        assert_eq!(index.names_of(list), Some(SegmentAt { pack: 0, segment: 1 }));
        assert_eq!(index.pack(0).unwrap().segment(1).unwrap().1, 68 + 26);
    }

    #[test]
    fn bodies_round_trip() {
        let packs = vec![pack(1, 1, vec![segment(Class::Data, 0, 3)]), pack(2, 1, vec![])];
        assert_eq!(decode(&encode(&packs)).unwrap(), packs);
        let cut = encode(&packs).len() - 1;
        assert!(decode(&encode(&packs)[..cut]).is_err());
    }
}
