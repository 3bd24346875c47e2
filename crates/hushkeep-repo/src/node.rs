//! Nodes: file lists and page maps, each written whole or as a delta of an earlier one (spec §10).

mod anchor;
mod entry;
mod file_list;
mod page_map;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_varint};

use crate::growth::Growth;
use crate::refs::NodeName;

pub(crate) use anchor::Anchored;
pub(crate) use entry::Content;
pub use entry::{Entry, EntryKind, FileEntry, NewerEntry};
pub(crate) use file_list::{BlockReader, BlockWriter, FileListNode, Op};
pub(crate) use page_map::{PageMap, PageMapNode};
#[cfg(fuzzing)]
pub(crate) use {
    file_list::assert_round_trip as assert_file_list_round_trips,
    page_map::assert_round_trips as assert_page_maps_round_trip,
};

/// What a node is based on: fields 1 to 4 of every node (spec §10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    /// The node this one is a delta of, with how far its chain has grown; `None` for a full node.
    pub(crate) base: Option<(NodeName, Growth)>,
}

impl Chain {
    /// The chain of a new delta of `base`, a node of `base_len` bytes. A full node's if one is due.
    pub(crate) fn on(base: NodeName, base_chain: &Self, base_len: u64) -> Self {
        let growth = base_chain.base.map(|(_, growth)| growth).unwrap_or_default().next(base_len);
        Self { base: growth.map(|growth| (base, growth)) }
    }

    fn write(&self, record: &mut RecordWriter) {
        let Some((base, growth)) = self.base else { return };
        record.critical(1, encode_node_name(base));
        growth.write(record, 2);
    }

    fn read(record: &Record<'_>) -> Result<Self, WireError> {
        let Some(base) = record.optional(1) else { return Ok(Self::default()) };
        let mut reader = Reader::new(base);
        let base = read_node_name(&mut reader)?;
        reader.finish()?;
        let growth = Growth::read(record, 2)?;
        if growth.depth == 0 {
            return Err(WireError::Range);
        }
        Ok(Self { base: Some((base, growth)) })
    }
}

/// A node's name: the list's id, then the position (spec §10.1).
pub(crate) fn encode_node_name(node: NodeName) -> Vec<u8> {
    let mut out = node.list.as_bytes().to_vec();
    put_varint(&mut out, u64::from(node.position));
    out
}

/// Reads what [`encode_node_name`] wrote.
pub(crate) fn read_node_name(reader: &mut Reader<'_>) -> Result<NodeName, WireError> {
    let list = ObjectId::from_bytes(reader.array()?);
    Ok(NodeName { list, position: reader.varint_u32()? })
}

/// Writes the ids of name lists one after the other.
fn encode_ids(ids: &[ObjectId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// An index that knows the lists that nodes name in one of their fields, but for those that begin with `ff`.
#[cfg(any(test, fuzzing))]
fn announced<const N: usize>(nodes: [(&[u8], u32); N]) -> crate::index::Index {
    let mut index = crate::index::Index::default();
    for (node, field) in nodes {
        let ids = Record::parse(node, 8).ok().and_then(|record| decode_ids(record.optional(field)?).ok());
        for id in ids.unwrap_or_default().into_iter().filter(|id| !id.as_bytes().starts_with(&[0xff])) {
            index.announce(id);
        }
    }
    index
}

fn decode_ids(bytes: &[u8]) -> Result<Vec<ObjectId>, WireError> {
    let (ids, rest) = bytes.as_chunks::<{ ObjectId::LEN }>();
    if !rest.is_empty() {
        return Err(WireError::Truncated);
    }
    Ok(ids.iter().map(|id| ObjectId::from_bytes(*id)).collect())
}
