//! Fills one pack.

use hushkeep_core::keys::{EpochKeys, ObjectKind};
use hushkeep_core::name::{ContentName, ObjectId};
use hushkeep_core::seal::{Sealer, TAG_LEN};
use rand_core::CryptoRng;

use crate::pack::{Class, Coding, ListEntry, MAX_PACK_LEN, MIN_PACK_LEN, NameList, PackInfo, PackTable, Segment};
use crate::refs::NodeName;

/// Room for what surrounds the segments: headers, tags, and the table's own fields.
const FRAME_LEN: usize = 1024;

/// What a row of the table takes at most, in bytes.
const ROW_LEN: usize = 26;

/// What a content takes in the name list at most, in bytes: its name, its length, a count.
const NAME_LEN: usize = ContentName::LEN + 10;

/// A segment whose contents are ready to be sealed.
pub(super) struct ReadySegment {
    /// Its number in this backup.
    pub(super) number: u32,
    pub(super) class: Class,
    pub(super) coding: Coding,
    /// The length of its contents, in bytes.
    pub(super) raw_len: u32,
    pub(super) body: Vec<u8>,
    pub(super) contents: Vec<(ContentName, u32)>,
}

/// One pack being filled.
pub(super) struct PackWriter {
    id: ObjectId,
    sealer: Sealer,
    names: NameList,
    segments: Vec<Segment>,
}

impl PackWriter {
    /// Begins a pack in a buffer that an earlier one may have used.
    pub(super) fn new(keys: &EpochKeys, rng: &mut dyn CryptoRng, mut buffer: Vec<u8>) -> Self {
        let id = ObjectId::generate(rng);
        buffer.clear();
        buffer.reserve_exact(MAX_PACK_LEN);
        let sealer = Sealer::in_buffer(keys, ObjectKind::Pack, Vec::new(), rng, buffer);
        Self { id, sealer, names: NameList::default(), segments: Vec::new() }
    }

    /// Whether the pack stays within its limit with `segment` added. An empty pack takes any segment.
    pub(super) fn fits(&self, segment: &ReadySegment) -> bool {
        let names = (self.names.len() + segment.contents.len()) * NAME_LEN;
        let rows = (self.segments.len() + 2) * ROW_LEN;
        let len = self.sealer.len() + segment.body.len() + TAG_LEN + names + rows + FRAME_LEN;
        self.segments.is_empty() || len <= MAX_PACK_LEN
    }

    /// Seals a segment; returns the place of its first content.
    pub(super) fn add(&mut self, segment: &ReadySegment) -> NodeName {
        let first = to_u32(self.names.len());
        for (name, len) in &segment.contents {
            self.names.push(*name, *len);
        }
        let sealed_len = to_u32(self.sealer.seal_segment(&segment.body));
        let (class, coding, raw_len) = (segment.class, segment.coding, segment.raw_len);
        let count = to_u32(segment.contents.len());
        self.segments.push(Segment { class, coding, sealed_len, raw_len, list: 0, first, count });
        NodeName { list: self.id, position: first }
    }

    /// Seals the name list and the table; returns what the index keeps, and the object.
    pub(super) fn finish(mut self, keys: &EpochKeys) -> (PackInfo, Vec<u8>) {
        let names = self.names.encode();
        let sealed_len = to_u32(self.sealer.seal_segment(&names));
        let (raw_len, count) = (to_u32(names.len()), to_u32(self.names.len()));
        let (class, coding) = (Class::Names, Coding::Plain);
        self.segments.push(Segment { class, coding, sealed_len, raw_len, list: 0, first: 0, count });

        let names_digest = NameList::digest(&names);
        let lists = vec![ListEntry { id: self.id, epoch: keys.epoch(), names_digest }];
        let table = PackTable { lists, segments: self.segments };
        let header = self.sealer.header();
        let (epoch, salt) = (header.epoch, header.salt);
        let object = self.sealer.finish(&table.encode(), MIN_PACK_LEN);
        (PackInfo { id: self.id, epoch, salt, len: object.len() as u64, table }, object)
    }
}

/// Everything in a pack is far below 4 GiB: segments are limited, and so is the pack.
fn to_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
