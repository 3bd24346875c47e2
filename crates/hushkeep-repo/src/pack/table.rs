//! The table of a pack, sealed in its trailer and copied into index objects (spec §8.3).

use std::collections::BTreeSet;

use hushkeep_core::keys::Epoch;
use hushkeep_core::name::{ContentName, ObjectId};
use hushkeep_core::seal::{MAX_TABLE_LEN, TAG_LEN};
use hushkeep_core::wire::{Reader, WireError, put_bytes, put_varint};

use super::NameList;
use crate::codec::MAX_SEGMENT_LEN;
use crate::history::PackRow;
use crate::storage::Folder;

/// No sealed segment is longer, in bytes: a reader makes room for it before it is proven.
pub(crate) const MAX_SEALED_LEN: u32 = 65 << 20;

/// What a row of the table takes at least, in bytes, and each of its stretches.
const MIN_ROW_LEN: usize = 4 + MIN_STRETCH_LEN;
const MIN_STRETCH_LEN: usize = 3;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Pages and chunks of files.
    Data,
    /// Nodes: file lists and page maps.
    Metadata,
    /// A name list.
    Names,
    /// What only later versions know, by its number from 3 to 15: contents that are read like data.
    Other(u8),
}

impl Class {
    /// Whether it holds contents of files, as far as this version knows.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Data | Self::Other(_))
    }
}

/// How a segment's contents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Plain,
    /// As one zstd frame.
    Zstd,
    /// In a way that only later versions know, by its number from 2 to 15: what is written so cannot be read.
    Other(u8),
}

/// One segment of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) class: Class,
    pub(crate) coding: Coding,
    /// Its length in the pack, in bytes.
    pub(crate) sealed_len: u32,
    /// The length of its contents, in bytes.
    pub(crate) raw_len: u32,
    /// Which contents it holds, in order; for a name list, whose names.
    pub(crate) stretches: Vec<Stretch>,
}

/// Contents that follow one another in a name list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Which of the pack's lists names them.
    pub(crate) list: u32,
    /// The position of the first in that list.
    pub(crate) first: u32,
    /// How many they are.
    pub(crate) count: u32,
}

impl Stretch {
    /// The position after the last. It never passes the highest: the decoder saw to that.
    pub(crate) fn end(self) -> u32 {
        self.first.saturating_add(self.count)
    }
}

impl Segment {
    /// How many contents it holds.
    pub(crate) fn count(&self) -> u64 {
        self.stretches.iter().map(|stretch| u64::from(stretch.count)).sum()
    }
}

/// A name list that a pack holds contents of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListEntry {
    /// The list's id: that of the pack that introduced it.
    pub(crate) id: ObjectId,
    /// The epoch whose names key named its contents.
    pub(crate) epoch: Epoch,
    /// [`NameList::digest`] of the epoch and the encoded name list.
    pub(crate) names_digest: [u8; 16],
}

impl ListEntry {
    /// Whether these are the list's encoded names, given by the epoch's key.
    pub(crate) fn has_names(&self, encoded: &[u8]) -> bool {
        self.names_digest == NameList::digest(self.epoch, encoded)
    }
}

/// Where everything in a pack is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PackTable {
    pub(crate) lists: Vec<ListEntry>,
    pub(crate) segments: Vec<Segment>,
}

impl PackTable {
    /// Whether a later version wrote it: it has a class or coding that this one does not know (spec §14).
    pub(crate) fn is_newer(&self) -> bool {
        let is_newer = |row: &Segment| matches!(row.class, Class::Other(_)) || matches!(row.coding, Coding::Other(_));
        self.segments.iter().any(is_newer)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.lists.len() as u64);
        for list in &self.lists {
            out.extend_from_slice(list.id.as_bytes());
            put_varint(&mut out, u64::from(list.epoch.0));
            out.extend_from_slice(&list.names_digest);
        }
        put_varint(&mut out, self.segments.len() as u64);
        for segment in &self.segments {
            encode_segment(segment, &mut out);
        }
        out
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut table = Self::default();
        for _ in 0..reader.count(33)? {
            let id = ObjectId::from_bytes(reader.array()?);
            let epoch = Epoch(reader.varint_u32()?);
            table.lists.push(ListEntry { id, epoch, names_digest: reader.array()? });
        }
        for _ in 0..reader.count(MIN_ROW_LEN)? {
            table.segments.push(decode_segment(reader, table.lists.len())?);
        }
        Ok(table)
    }

    /// Whether the table speaks of each list as a pack may (spec §8.3): no content twice; all contents of the list
    /// `own`; and the names of every list, behind all contents and in the order of the lists.
    fn lists_are_sound(&self, own: ObjectId) -> bool {
        let ids: BTreeSet<ObjectId> = self.lists.iter().map(|list| list.id).collect();
        let Some(at) = self.segments.len().checked_sub(self.lists.len()) else { return false };
        let (contents, names) = self.segments.split_at(at);
        let Some(held) = held(contents, self.lists.len()) else { return false };
        let is_named = |((number, list), (segment, held)): ((u32, &ListEntry), (&Segment, Held))| {
            let [names] = segment.stretches.as_slice() else { return false };
            let fits = held.end <= names.count && held.count > 0 && (list.id != own || held.count == names.count);
            segment.class == Class::Names && (names.list, names.first) == (number, 0) && fits
        };
        ids.len() == self.lists.len() && (0..).zip(&self.lists).zip(names.iter().zip(held)).all(is_named)
    }
}

/// What a pack holds of a list.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// The position after the last content.
    end: u32,
    /// How many contents.
    count: u32,
}

/// What segments hold of each list; `None` if they hold a content twice, or one is a name list.
fn held(segments: &[Segment], lists: usize) -> Option<Vec<Held>> {
    let mut held = vec![Held::default(); lists];
    let mut stretches: Vec<Stretch> = segments.iter().flat_map(|segment| segment.stretches.iter().copied()).collect();
    stretches.sort_unstable_by_key(|stretch| (stretch.list, stretch.first));
    for stretch in stretches {
        let held = held.get_mut(stretch.list as usize)?;
        if stretch.first < held.end {
            return None;
        }
        *held = Held { end: stretch.end(), count: held.count + stretch.count };
    }
    segments.iter().all(|segment| segment.class != Class::Names).then_some(held)
}

/// What an index keeps of a pack: enough to read any part of it by range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackInfo {
    pub(crate) id: ObjectId,
    /// The epoch the pack is sealed under.
    pub(crate) epoch: Epoch,
    /// The salt in its header.
    pub(crate) salt: [u8; 32],
    /// Its whole length, in bytes.
    pub(crate) len: u64,
    pub(crate) table: PackTable,
}

impl PackInfo {
    /// The BLAKE3 hash of everything the index keeps of the pack, first 16 bytes (spec §8.3).
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut encoded = Vec::new();
        self.encode(&mut encoded);
        pack_digest(&encoded)
    }

    /// Whether the pack holds what a pack may: whole lists of its own, contents of others, all their names, within
    /// its length (spec §8.3). That its lists are those which the commits know is for the caller to see.
    pub(crate) fn is_sound(&self) -> bool {
        let own_epoch = self.table.lists.iter().all(|list| list.id != self.id || list.epoch == self.epoch);
        let has_room = |segment: &Segment| match segment.class {
            Class::Names => segment.count() <= u64::from(segment.raw_len) / ContentName::LEN as u64,
            _ => segment.count() <= u64::from(segment.raw_len),
        };
        let have_room = self.table.segments.iter().all(has_room);
        let sealed: u64 = self.table.segments.iter().map(|segment| u64::from(segment.sealed_len)).sum();
        let is_used = !self.table.lists.is_empty() && sealed < self.len && self.len <= Folder::Packs.max_len();
        own_epoch && have_room && is_used && self.table.lists_are_sound(self.id)
    }

    /// The row that a commit has of the pack when it names it first.
    pub(crate) fn row(&self) -> PackRow {
        let own = self.table.lists.iter().find(|list| list.id == self.id);
        PackRow::new(self.id, self.len, self.digest(), own.map(|list| list.names_digest).unwrap_or_default())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        put_varint(out, u64::from(self.epoch.0));
        out.extend_from_slice(&self.salt);
        put_varint(out, self.len);
        put_bytes(out, &self.table.encode());
    }
}

/// What an index object has of a pack, its table not decoded yet: decoded it takes some ten times the memory.
pub(crate) struct EncodedPack<'a> {
    pub(crate) id: ObjectId,
    /// All of it, as it stands in the index object.
    pub(crate) bytes: &'a [u8],
    epoch: Epoch,
    salt: [u8; 32],
    len: u64,
    table: &'a [u8],
}

impl<'a> EncodedPack<'a> {
    /// Reads what [`PackInfo::encode`] wrote.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let mut whole = reader.clone();
        let id = ObjectId::from_bytes(reader.array()?);
        let epoch = Epoch(reader.varint_u32()?);
        let (salt, len, table) = (reader.array()?, reader.varint()?, reader.bytes()?);
        let bytes = whole.take(whole.remaining() - reader.remaining())?;
        Ok(Self { id, bytes, epoch, salt, len, table })
    }

    /// [`PackInfo::digest`] of what it decodes to.
    pub(crate) fn digest(&self) -> [u8; 16] {
        pack_digest(self.bytes)
    }

    /// Decodes the table. One that is too long is damage of this pack alone: what stands behind it is read (spec §9.1).
    pub(crate) fn decode(&self) -> Result<PackInfo, WireError> {
        if self.table.len() > MAX_TABLE_LEN {
            return Err(WireError::Range);
        }
        let mut reader = Reader::new(self.table);
        let table = PackTable::decode(&mut reader)?;
        reader.finish()?;
        Ok(PackInfo { id: self.id, epoch: self.epoch, salt: self.salt, len: self.len, table })
    }
}

fn pack_digest(encoded: &[u8]) -> [u8; 16] {
    digest("hushkeep/1 pack", encoded)
}

/// The first 16 bytes of a BLAKE3 hash, apart from all others by its context.
pub(crate) fn digest(context: &str, bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    blake3::Hasher::new_derive_key(context).update(bytes).finalize_xof().fill(&mut digest);
    digest
}

/// One byte: the class, and 16 times the coding.
fn segment_tag(class: Class, coding: Coding) -> u8 {
    let class = match class {
        Class::Data => 0,
        Class::Metadata => 1,
        Class::Names => 2,
        Class::Other(class) => class,
    };
    let coding = match coding {
        Coding::Plain => 0,
        Coding::Zstd => 1,
        Coding::Other(coding) => coding,
    };
    class | coding << 4
}

fn encode_segment(segment: &Segment, out: &mut Vec<u8>) {
    out.push(segment_tag(segment.class, segment.coding));
    put_varint(out, u64::from(segment.sealed_len));
    put_varint(out, u64::from(segment.raw_len));
    put_varint(out, segment.stretches.len() as u64);
    for stretch in &segment.stretches {
        for value in [stretch.list, stretch.first, stretch.count] {
            put_varint(out, u64::from(value));
        }
    }
}

fn decode_segment(reader: &mut Reader<'_>, lists: usize) -> Result<Segment, WireError> {
    let tag = reader.byte()?;
    let class = match tag & 0x0f {
        0 => Class::Data,
        1 => Class::Metadata,
        2 => Class::Names,
        class => Class::Other(class),
    };
    let coding = match tag >> 4 {
        0 => Coding::Plain,
        1 => Coding::Zstd,
        coding => Coding::Other(coding),
    };
    let (sealed_len, raw_len) = (reader.varint_u32()?, reader.varint_u32()?);
    let mut stretches = Vec::new();
    for _ in 0..reader.count(MIN_STRETCH_LEN)? {
        stretches.push(decode_stretch(reader, lists)?);
    }
    let body_len = (sealed_len as usize).checked_sub(TAG_LEN).ok_or(WireError::Range)?;
    let fits = sealed_len <= MAX_SEALED_LEN && (coding != Coding::Plain || body_len == raw_len as usize);
    if fits && !stretches.is_empty() && raw_len as usize <= MAX_SEGMENT_LEN {
        Ok(Segment { class, coding, sealed_len, raw_len, stretches })
    } else {
        Err(WireError::Range)
    }
}

fn decode_stretch(reader: &mut Reader<'_>, lists: usize) -> Result<Stretch, WireError> {
    let stretch = Stretch { list: reader.varint_u32()?, first: reader.varint_u32()?, count: reader.varint_u32()? };
    let fits = stretch.first.checked_add(stretch.count).is_some() && stretch.count > 0;
    if fits && (stretch.list as usize) < lists { Ok(stretch) } else { Err(WireError::Range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(list: u32, first: u32, count: u32) -> Stretch {
        Stretch { list, first, count }
    }

    fn data(stretches: Vec<Stretch>) -> Segment {
        Segment { class: Class::Data, coding: Coding::Zstd, sealed_len: 100, raw_len: 4096, stretches }
    }

    fn names(list: u32, count: u32) -> Segment {
        let (class, coding) = (Class::Names, Coding::Plain);
        Segment { class, coding, sealed_len: 216, raw_len: 200, stretches: vec![stretch(list, 0, count)] }
    }

    fn list(id: u8, epoch: u32) -> ListEntry {
        ListEntry { id: ObjectId::from_bytes([id; 16]), epoch: Epoch(epoch), names_digest: [9; 16] }
    }

    fn info(lists: Vec<ListEntry>, segments: Vec<Segment>) -> PackInfo {
        let table = PackTable { lists, segments };
        PackInfo { id: ObjectId::from_bytes([3; 16]), epoch: Epoch(2), salt: [5; 32], len: 1 << 20, table }
    }

    /// As a backup writes it.
    fn own() -> PackInfo {
        info(vec![list(3, 2)], vec![data(vec![stretch(0, 0, 2)]), data(vec![stretch(0, 2, 1)]), names(0, 3)])
    }

    /// As repacking writes it: some contents of two lists.
    fn repacked() -> PackInfo {
        let contents = data(vec![stretch(0, 7, 1), stretch(1, 0, 1), stretch(0, 1, 2)]);
        info(vec![list(1, 0), list(2, 2)], vec![contents, names(0, 9), names(1, 4)])
    }

    #[test]
    fn pack_infos_round_trip() {
        for info in [own(), repacked()] {
            let mut out = Vec::new();
            info.encode(&mut out);
            for rest in [&[][..], &[7]] {
                let bytes = [&out, rest].concat();
                let mut reader = Reader::new(&bytes);
                let encoded = EncodedPack::read(&mut reader).unwrap();
                assert_eq!((encoded.bytes, encoded.digest()), (out.as_slice(), info.digest()));
                assert_eq!((encoded.decode(), reader.remaining()), (Ok(info.clone()), rest.len()));
            }
            for len in 0..out.len() {
                assert!(EncodedPack::read(&mut Reader::new(&out[..len])).is_err(), "{len} bytes");
            }
        }
    }

    #[test]
    fn a_row_tells_of_the_list_that_the_pack_introduced() {
        assert_eq!(own().row(), PackRow::new(own().id, 1 << 20, own().digest(), [9; 16]));
        assert_eq!(repacked().row(), PackRow::new(own().id, 1 << 20, repacked().digest(), [0; 16]));
    }

    /// Such a pack could not be read by itself.
    #[test]
    fn a_table_that_no_trailer_has_room_for_is_refused() {
        let decode = |table_len: usize| {
            let mut info = [own().id.as_bytes(), &[2][..], &[5; 32], &[9]].concat();
            put_bytes(&mut info, &vec![0; table_len]);
            EncodedPack::read(&mut Reader::new(&info)).and_then(|pack| pack.decode()).unwrap_err()
        };
        // No list, no segment, and then too much: it is read that far.
        assert_eq!((decode(67_108_844), decode(67_108_845)), (WireError::Trailing, WireError::Range));
    }

    type Defect = fn(&mut PackInfo);

    #[test]
    fn names_are_those_of_one_epoch() {
        let entry = ListEntry { names_digest: NameList::digest(Epoch(300), b"names"), ..list(1, 300) };
        assert!(entry.has_names(b"names"));
        assert!(!entry.has_names(b"Names"));
        assert!(!ListEntry { epoch: Epoch(301), ..entry }.has_names(b"names"));
    }

    fn assert_unsound(whole: fn() -> PackInfo, defects: &[Defect]) {
        assert!(whole().is_sound());
        for (number, defect) in defects.iter().enumerate() {
            let mut info = whole();
            defect(&mut info);
            assert!(!info.is_sound(), "defect {number}");
        }
    }

    #[test]
    fn a_list_is_whole_in_the_pack_that_introduces_it() {
        let defects: [Defect; 12] = [
            |info| info.len = 1 << 38,
            |info| info.table.segments[2].raw_len = 3 * 16 - 1,
            |info| info.table.lists[0].epoch = Epoch(1),
            |info| info.table.lists.push(info.table.lists[0].clone()),
            |info| info.table.segments[0].stretches[0].first = 1,
            |info| info.table.segments[1].stretches[0].count = 2,
            |info| info.table.segments[0].stretches[0].count = 1,
            |info| info.table.segments.swap(1, 2),
            |info| drop(info.table.segments.pop()),
            |info| info.table = PackTable::default(),
            |info| info.len = 10,
            |info| info.len = info.table.segments.iter().map(|segment| u64::from(segment.sealed_len)).sum(),
        ];
        assert_unsound(own, &defects);
    }

    #[test]
    fn of_other_lists_a_pack_holds_any_part_once() {
        let defects: [Defect; 9] = [
            |info| info.table.lists[1] = info.table.lists[0].clone(),
            |info| info.table.segments[0].stretches[2].first = 6,
            |info| info.table.segments[0].stretches[2] = info.table.segments[0].stretches[0],
            |info| info.table.segments[0].stretches[2].first = 9,
            |info| info.table.segments[0].stretches.truncate(1),
            |info| info.table.segments[0].raw_len = 3,
            |info| info.table.segments.swap(1, 2),
            |info| info.table.segments[1].stretches[0].first = 1,
            |info| info.table.segments[2].class = Class::Other(3),
        ];
        assert_unsound(repacked, &defects);
    }

    #[test]
    fn what_only_later_versions_know_is_kept_and_holds_contents() {
        for (class, coding) in [(Class::Other(3), Coding::Zstd), (Class::Other(15), Coding::Other(15))] {
            let mut info = own();
            (info.table.segments[0].class, info.table.segments[0].coding) = (class, coding);
            let encoded = info.table.encode();
            assert_eq!(PackTable::decode(&mut Reader::new(&encoded)), Ok(info.table.clone()));
            assert!(info.is_sound() && info.table.is_newer() && !own().table.is_newer());
        }
    }

    #[test]
    fn every_class_and_coding_has_one_form() {
        for tag in 0..=u8::MAX {
            let encoded = [tag, 116, 100, 1, 0, 0, 1];
            let segment = decode_segment(&mut Reader::new(&encoded), 1).unwrap();
            let mut again = Vec::new();
            encode_segment(&segment, &mut again);
            assert_eq!(again, encoded);
        }
    }

    #[test]
    fn impossible_segments_are_refused() {
        let defects: [fn(&mut Segment); 7] = [
            |segment| segment.stretches[0].list = 1,
            |segment| segment.stretches[0].count = 0,
            |segment| segment.stretches[0].first = u32::MAX,
            |segment| segment.stretches.clear(),
            |segment| segment.sealed_len = 15,
            |segment| segment.raw_len = 65 << 20,
            |segment| segment.coding = Coding::Plain,
        ];
        for defect in defects {
            let mut table = own().table;
            defect(&mut table.segments[0]);
            assert!(PackTable::decode(&mut Reader::new(&table.encode())).is_err());
        }
    }
}
