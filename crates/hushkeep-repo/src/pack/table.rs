//! The table of a pack, sealed in its trailer and copied into index objects (spec §8.3).

use hushkeep_core::keys::Epoch;
use hushkeep_core::name::ObjectId;
use hushkeep_core::seal::TAG_LEN;
use hushkeep_core::wire::{Reader, WireError, put_bytes, put_varint};

use crate::codec::MAX_SEGMENT_LEN;

/// No object is this long, in bytes.
const MAX_OBJECT_LEN: u64 = 1 << 40;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Pages and chunks of files.
    Data,
    /// Nodes: file lists and page maps.
    Metadata,
    /// A name list.
    Names,
}

/// How a segment's contents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Plain,
    /// As one zstd frame.
    Zstd,
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
    /// Which of the pack's lists names its contents.
    pub(crate) list: u32,
    /// The position of its first content in that list.
    pub(crate) first: u32,
    /// How many contents it holds.
    pub(crate) count: u32,
}

/// A name list that a pack holds contents of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListEntry {
    /// The list's id: that of the pack that introduced it.
    pub(crate) id: ObjectId,
    /// The epoch whose names key named its contents.
    pub(crate) epoch: Epoch,
    /// The BLAKE3 hash of the encoded name list, first 16 bytes.
    pub(crate) names_digest: [u8; 16],
}

/// Where everything in a pack is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PackTable {
    pub(crate) lists: Vec<ListEntry>,
    pub(crate) segments: Vec<Segment>,
}

impl PackTable {
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
            out.push(segment_tag(segment.class, segment.coding));
            for value in [segment.sealed_len, segment.raw_len, segment.list, segment.first, segment.count] {
                put_varint(&mut out, u64::from(value));
            }
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
        for _ in 0..reader.count(6)? {
            let segment = decode_segment(reader)?;
            if segment.list as usize >= table.lists.len() {
                return Err(WireError::Range);
            }
            table.segments.push(segment);
        }
        Ok(table)
    }
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
        digest("hushkeep/1 pack", &encoded)
    }

    /// Whether the pack holds what one pack may: the one list it introduces, without gaps or repetitions, and that
    /// list's names, all within its length (spec §8.3).
    ///
    /// If a pack could say something of another's list, who has the key could change what old snapshots refer to.
    pub(crate) fn is_sound(&self) -> bool {
        let own_list = match self.table.lists.as_slice() {
            [list] => list.id == self.id && list.epoch == self.epoch,
            _ => false,
        };
        let Some((names, contents)) = self.table.segments.split_last() else { return false };
        let mut next = 0;
        let in_order = contents.iter().all(|segment| {
            let fits = segment.class != Class::Names && segment.first == next && segment.count <= segment.raw_len;
            next = segment.first.saturating_add(segment.count);
            fits
        });
        let named = names.class == Class::Names && names.first == 0 && names.count == next;
        let sealed: u64 = self.table.segments.iter().map(|segment| u64::from(segment.sealed_len)).sum();
        own_list && in_order && named && (sealed..MAX_OBJECT_LEN).contains(&self.len)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        put_varint(out, u64::from(self.epoch.0));
        out.extend_from_slice(&self.salt);
        put_varint(out, self.len);
        put_bytes(out, &self.table.encode());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let id = ObjectId::from_bytes(reader.array()?);
        let epoch = Epoch(reader.varint_u32()?);
        let salt = reader.array()?;
        let len = reader.varint()?;
        let mut table_reader = Reader::new(reader.bytes()?);
        let table = PackTable::decode(&mut table_reader)?;
        table_reader.finish()?;
        Ok(Self { id, epoch, salt, len, table })
    }
}

/// The first 16 bytes of a BLAKE3 hash, apart from all others by its context.
pub(crate) fn digest(context: &str, bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    blake3::Hasher::new_derive_key(context).update(bytes).finalize_xof().fill(&mut digest);
    digest
}

/// One byte: the class, and 16 for zstd.
fn segment_tag(class: Class, coding: Coding) -> u8 {
    let class = match class {
        Class::Data => 0,
        Class::Metadata => 1,
        Class::Names => 2,
    };
    match coding {
        Coding::Plain => class,
        Coding::Zstd => class | 0x10,
    }
}

fn decode_segment(reader: &mut Reader<'_>) -> Result<Segment, WireError> {
    let tag = reader.byte()?;
    let class = match tag & 0x0f {
        0 => Class::Data,
        1 => Class::Metadata,
        2 => Class::Names,
        _ => return Err(WireError::Range),
    };
    let coding = match tag >> 4 {
        0 => Coding::Plain,
        1 => Coding::Zstd,
        _ => return Err(WireError::Range),
    };
    let segment = Segment {
        class,
        coding,
        sealed_len: reader.varint_u32()?,
        raw_len: reader.varint_u32()?,
        list: reader.varint_u32()?,
        first: reader.varint_u32()?,
        count: reader.varint_u32()?,
    };
    let body_len = (segment.sealed_len as usize).checked_sub(TAG_LEN).ok_or(WireError::Range)?;
    let plain_fits = coding != Coding::Plain || body_len == segment.raw_len as usize;
    let positions_fit = segment.first.checked_add(segment.count).is_some();
    if plain_fits && positions_fit && segment.raw_len as usize <= MAX_SEGMENT_LEN {
        Ok(segment)
    } else {
        Err(WireError::Range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> PackInfo {
        let id = ObjectId::from_bytes([3; 16]);
        let segment = Segment {
            class: Class::Data,
            coding: Coding::Zstd,
            sealed_len: 100,
            raw_len: 4096,
            list: 0,
            first: 0,
            count: 1,
        };
        let names =
            Segment { class: Class::Names, coding: Coding::Plain, sealed_len: 116, raw_len: 100, ..segment.clone() };
        let lists = vec![ListEntry { id, epoch: Epoch(2), names_digest: [9; 16] }];
        let table = PackTable { lists, segments: vec![segment, names] };
        PackInfo { id, epoch: Epoch(2), salt: [5; 32], len: 1 << 20, table }
    }

    #[test]
    fn pack_infos_round_trip() {
        let mut out = Vec::new();
        info().encode(&mut out);
        let mut reader = Reader::new(&out);
        assert_eq!(PackInfo::decode(&mut reader).unwrap(), info());
        reader.finish().unwrap();
        for len in 0..out.len() {
            assert!(PackInfo::decode(&mut Reader::new(&out[..len])).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_pack_speaks_only_of_the_list_it_introduces() {
        assert!(info().is_sound());
        let defects: [fn(&mut PackInfo); 8] = [
            |info| info.table.lists[0].id = ObjectId::from_bytes([4; 16]),
            |info| info.table.lists[0].epoch = Epoch(1),
            |info| info.table.lists.push(info.table.lists[0].clone()),
            |info| info.table.segments[0].first = 1,
            |info| info.table.segments[0].count = 2,
            |info| info.table.segments.swap(0, 1),
            |info| info.table.segments.clear(),
            |info| info.len = 10,
        ];
        for (number, defect) in defects.into_iter().enumerate() {
            let mut info = info();
            defect(&mut info);
            assert!(!info.is_sound(), "defect {number}");
        }
    }

    #[test]
    fn impossible_segments_are_refused() {
        let defects: [fn(&mut Segment); 5] = [
            |segment| segment.list = 1,
            |segment| segment.sealed_len = 15,
            |segment| segment.raw_len = 65 << 20,
            |segment| segment.first = u32::MAX,
            |segment| segment.coding = Coding::Plain,
        ];
        for defect in defects {
            let mut table = info().table;
            defect(&mut table.segments[0]);
            assert!(PackTable::decode(&mut Reader::new(&table.encode())).is_err());
        }
    }
}
