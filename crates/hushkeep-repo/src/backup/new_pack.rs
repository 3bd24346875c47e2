//! Fills one pack with contents that were not stored before.

use hushkeep_core::keys::EpochKeys;
use hushkeep_core::name::ContentName;
use rand_core::CryptoRng;

use crate::pack::{Body, NameList, PackInfo, PackWriter, Stretch, WrittenList, to_u32};
use crate::refs::NodeName;

/// What a content takes in the name list at most, in bytes: its name, its length, a count.
const NAME_LEN: usize = ContentName::LEN + 10;

/// A segment whose contents are ready to be sealed.
pub(super) struct ReadySegment {
    /// Its number in this backup.
    pub(super) number: u32,
    pub(super) body: Body,
    pub(super) contents: Vec<(ContentName, u32)>,
}

/// One pack being filled.
pub(super) struct NewPack {
    writer: PackWriter,
    names: NameList,
}

impl NewPack {
    /// Begins a pack in a buffer that an earlier one may have used.
    pub(super) fn new(keys: &EpochKeys, rng: &mut dyn CryptoRng, buffer: Vec<u8>) -> Self {
        Self { writer: PackWriter::new(keys, rng, buffer), names: NameList::default() }
    }

    /// Whether the pack stays within its limit with `segment` added. An empty pack takes any segment.
    pub(super) fn fits(&self, segment: &ReadySegment) -> bool {
        let names_len = (self.names.len() + segment.contents.len()) * NAME_LEN;
        self.writer.fits(segment.body.bytes.len(), 1, 1, names_len)
    }

    /// Seals a segment; returns the place of its first content.
    pub(super) fn add(&mut self, segment: &ReadySegment) -> NodeName {
        let first = to_u32(self.names.len());
        for (name, len) in &segment.contents {
            self.names.push(*name, *len);
        }
        self.writer.add(&segment.body, vec![Stretch { list: 0, first, count: to_u32(segment.contents.len()) }]);
        NodeName { list: self.writer.id(), position: first }
    }

    /// Seals the name list and the table; returns what the index keeps, and the object.
    pub(super) fn finish(self, keys: &EpochKeys) -> (PackInfo, Vec<u8>) {
        let (id, count) = (self.writer.id(), to_u32(self.names.len()));
        let list = WrittenList { id, epoch: keys.epoch(), names: self.names.encode(), count };
        self.writer.finish(vec![list])
    }
}
