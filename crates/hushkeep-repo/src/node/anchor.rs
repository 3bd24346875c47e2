//! Anchors: the fixed points of a file list from which its entries' contents are counted (spec §10.3).
//!
//! Entries are written while the segments they refer to still wait to be packed. Each refers to an anchor and
//! a distance; the table of anchors is written last, when every segment has its place.

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, WireError, put_varint};

use super::{decode_ids, encode_ids};
use crate::index::Index;
use crate::refs::{ContentRef, NodeName, Run};

/// `count` contents, the first of them `offset` places after an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchored {
    pub(crate) anchor: u32,
    pub(crate) offset: u32,
    pub(crate) count: u32,
}

impl Anchored {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        for value in [self.anchor, self.offset, self.count] {
            put_varint(out, u64::from(value));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { anchor: reader.varint_u32()?, offset: reader.varint_u32()?, count: reader.varint_u32()? })
    }
}

/// A file list's anchors, resolved to places in name lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchors(Vec<ContentRef>);

impl Anchors {
    /// The contents that `anchored` means. That they are anywhere is for whoever needs them to see: in an old layer
    /// of a list most may be gone.
    pub(crate) fn resolve(&self, anchored: Anchored) -> Result<Run, WireError> {
        let anchor = self.0.get(anchored.anchor as usize).ok_or(WireError::Range)?;
        let start = anchor.plus(anchored.offset).ok_or(WireError::Range)?;
        let fits = anchored.count > 0 && start.plus(anchored.count).is_some();
        if fits { Ok(Run { start, count: anchored.count }) } else { Err(WireError::Range) }
    }

    /// Writes the ids of the lists, and for each anchor its list and position (spec §10.3).
    pub(super) fn encode(anchors: &[NodeName]) -> (Vec<u8>, Vec<u8>) {
        let mut ids: Vec<ObjectId> = anchors.iter().map(|anchor| anchor.list).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut table = Vec::new();
        for anchor in anchors {
            let list = ids.binary_search(&anchor.list).unwrap_or_default();
            put_varint(&mut table, list as u64);
            put_varint(&mut table, u64::from(anchor.position));
        }
        (encode_ids(&ids), table)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(super) fn decode(ids: &[u8], table: &[u8], index: &Index) -> Result<Self, WireError> {
        let ids = decode_ids(ids)?;
        if ids.iter().any(|id| index.list(id).is_none()) {
            return Err(WireError::Range);
        }
        let mut reader = Reader::new(table);
        let mut anchors = Vec::new();
        while !reader.is_empty() {
            let list = reader.varint_u32()? as usize;
            let id = ids.get(list).ok_or(WireError::Range)?;
            let name = NodeName { list: *id, position: reader.varint_u32()? };
            anchors.push(index.node(name).ok_or(WireError::Range)?);
        }
        // They are held as long as the node, beside those of all its bases.
        anchors.shrink_to_fit();
        Ok(Self(anchors))
    }
}
