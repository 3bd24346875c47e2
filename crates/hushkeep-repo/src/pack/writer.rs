//! Writes a pack: segments sealed one after the other, then the names of all lists, then the table (spec §8.2).

use hushkeep_core::keys::{Epoch, EpochKeys, ObjectKind};
use hushkeep_core::name::ObjectId;
use hushkeep_core::seal::{Sealer, TAG_LEN};
use rand_core::CryptoRng;

use super::{Class, Coding, ListEntry, MAX_PACK_LEN, MIN_PACK_LEN, NameList, PackInfo, PackTable, Segment, Stretch};

/// Room for what surrounds the segments: headers, tags, and the table's own fields.
const FRAME_LEN: usize = 1024;

/// What a row of the table takes at most, in bytes, without its stretches, and what each of these takes.
const ROW_LEN: usize = 14;
const STRETCH_LEN: usize = 15;

/// A body that is ready to be sealed.
pub(crate) struct Body {
    pub(crate) class: Class,
    pub(crate) coding: Coding,
    /// The length of its contents, in bytes.
    pub(crate) raw_len: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A list of which a pack holds contents.
pub(crate) struct WrittenList {
    pub(crate) id: ObjectId,
    pub(crate) epoch: Epoch,
    /// Its name list, encoded.
    pub(crate) names: Vec<u8>,
    /// How many names that are.
    pub(crate) count: u32,
}

/// A pack being filled.
pub(crate) struct PackWriter {
    id: ObjectId,
    sealer: Sealer,
    segments: Vec<Segment>,
    stretches: usize,
}

impl PackWriter {
    /// Begins a pack in a buffer that an earlier one may have used.
    pub(crate) fn new(keys: &EpochKeys, rng: &mut dyn CryptoRng, mut buffer: Vec<u8>) -> Self {
        let id = ObjectId::generate(rng);
        buffer.clear();
        buffer.reserve_exact(MAX_PACK_LEN);
        let sealer = Sealer::in_buffer(keys, ObjectKind::Pack, Vec::new(), rng, buffer);
        Self { id, sealer, segments: Vec::new(), stretches: 0 }
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether the pack stays within its limit with a body of `body_len` bytes in `stretches` pieces added, if the
    /// names of all `lists` take `names_len` bytes then. An empty pack takes anything.
    pub(crate) fn fits(&self, body_len: usize, stretches: usize, lists: usize, names_len: usize) -> bool {
        let rows =
            (self.segments.len() + 1 + lists) * (ROW_LEN + STRETCH_LEN) + (self.stretches + stretches) * STRETCH_LEN;
        let sealed = self.sealer.sealed_len() + body_len + names_len + (1 + lists) * TAG_LEN;
        self.is_empty() || sealed + rows + FRAME_LEN <= MAX_PACK_LEN
    }

    /// Seals a segment.
    pub(crate) fn add(&mut self, body: &Body, stretches: Vec<Stretch>) {
        let sealed_len = to_u32(self.sealer.seal_segment(&body.bytes));
        self.stretches += stretches.len();
        let (class, coding, raw_len) = (body.class, body.coding, body.raw_len);
        self.segments.push(Segment { class, coding, sealed_len, raw_len, stretches });
    }

    /// Seals the name lists and the table; returns what the index keeps, and the object.
    pub(crate) fn finish(mut self, lists: Vec<WrittenList>) -> (PackInfo, Vec<u8>) {
        let mut entries = Vec::with_capacity(lists.len());
        for (number, list) in (0..).zip(lists) {
            let names_digest = NameList::digest(list.epoch, &list.names);
            entries.push(ListEntry { id: list.id, epoch: list.epoch, names_digest });
            let (class, coding, raw_len) = (Class::Names, Coding::Plain, to_u32(list.names.len()));
            let body = Body { class, coding, raw_len, bytes: list.names };
            self.add(&body, vec![Stretch { list: number, first: 0, count: list.count }]);
        }
        // A backup holds the tables of all its packs to its end.
        self.segments.shrink_to_fit();
        let table = PackTable { lists: entries, segments: self.segments };
        let header = self.sealer.header();
        let (epoch, salt) = (header.epoch, header.salt);
        let object = self.sealer.finish(&table.encode(), MIN_PACK_LEN);
        (PackInfo { id: self.id, epoch, salt, len: object.len() as u64, table }, object)
    }
}

/// Everything in a pack is far below 4 GiB: segments are limited, and so is the pack.
pub(crate) fn to_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
