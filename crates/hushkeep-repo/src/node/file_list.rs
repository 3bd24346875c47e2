//! File lists: everything below one source, sorted by path, as blocks of entries and one node (spec §10.2).

use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_bytes, put_varint};

use super::Chain;
use super::anchor::{Anchored, Anchors};
use super::entry::{Entry, write_removed};
use crate::RelPath;
use crate::index::Index;
use crate::refs::{NodeName, Run};

/// A block is closed when it is this long, in bytes.
const BLOCK_LEN: usize = 1 << 20;

/// One line of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op<R = Run> {
    /// The entry is there, or replaces the base's.
    Put(Entry<R>),
    /// The base's entry at this path is gone.
    Remove(RelPath),
}

impl<R> Op<R> {
    pub(crate) fn path(&self) -> &RelPath {
        match self {
            Self::Put(entry) => &entry.path,
            Self::Remove(path) => path,
        }
    }
}

/// The node of a file list, as it is read.
#[derive(Debug)]
pub(crate) struct FileListNode {
    pub(crate) chain: Chain,
    pub(crate) anchors: Anchors,
    /// The blocks, in order.
    pub(crate) blocks: Vec<Run>,
    /// How many bytes the blocks have: with the node's own, what the list costs.
    pub(crate) blocks_len: u64,
}

impl FileListNode {
    /// Writes a node (spec §10.2). `anchors` are those that the blocks' entries and `blocks` refer to.
    pub(crate) fn encode(chain: &Chain, anchors: &[NodeName], blocks: &[Anchored], blocks_len: u64) -> Vec<u8> {
        let (ids, table) = Anchors::encode(anchors);
        let mut places = Vec::new();
        blocks.iter().for_each(|block| block.write(&mut places));
        let mut record = RecordWriter::new();
        chain.write(&mut record);
        record.critical(5, ids).critical(6, table).critical(7, places).critical_int(8, blocks_len);
        record.finish()
    }

    /// Reads a node (spec §10.2).
    pub(crate) fn decode(bytes: &[u8], index: &Index) -> Result<Self, WireError> {
        let record = Record::parse(bytes, 8)?;
        let chain = Chain::read(&record)?;
        let anchors = Anchors::decode(record.required(5)?, record.required(6)?, index)?;
        let mut reader = Reader::new(record.required(7)?);
        let mut blocks = Vec::new();
        while !reader.is_empty() {
            blocks.push(anchors.resolve(Anchored::read(&mut reader)?)?);
        }
        Ok(Self { chain, anchors, blocks, blocks_len: record.int(8)? })
    }
}

/// Writes lines into blocks. Paths share what they can with the line before; each block begins anew.
#[derive(Debug, Default)]
pub(crate) struct BlockWriter {
    block: Vec<u8>,
    previous: Vec<u8>,
}

impl BlockWriter {
    /// Adds a line; returns a finished block when one is full.
    pub(crate) fn push(&mut self, op: &Op<Anchored>) -> Option<Vec<u8>> {
        let path = op.path().as_bytes();
        let shared = path.iter().zip(&self.previous).take_while(|(a, b)| a == b).count();
        put_varint(&mut self.block, shared as u64);
        put_bytes(&mut self.block, path.get(shared..).unwrap_or_default());
        match op {
            Op::Put(entry) => entry.write(&mut self.block),
            Op::Remove(_) => write_removed(&mut self.block),
        }
        self.previous = path.to_vec();
        if self.block.len() >= BLOCK_LEN { self.finish() } else { None }
    }

    /// The last block, if it holds anything.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        self.previous.clear();
        let block = std::mem::take(&mut self.block);
        (!block.is_empty()).then_some(block)
    }
}

/// Reads the lines of a block (spec §10.2): one at least. Within it paths must ascend.
pub(crate) fn read_block(block: &[u8], anchors: &Anchors) -> Result<Vec<Op>, WireError> {
    let mut reader = Reader::new(block);
    let mut ops: Vec<Op> = Vec::new();
    let mut previous = Vec::new();
    while !reader.is_empty() {
        let shared = usize::try_from(reader.varint()?).map_err(|_| WireError::Range)?;
        let suffix = reader.bytes()?;
        if shared > previous.len() {
            return Err(WireError::Range);
        }
        previous.truncate(shared);
        previous.extend_from_slice(suffix);
        let path = RelPath::new(previous.clone()).map_err(|_| WireError::Range)?;
        if ops.last().is_some_and(|last| *last.path() >= path) {
            return Err(WireError::NotCanonical);
        }
        ops.push(match Entry::read(path.clone(), &mut reader)? {
            Some(entry) => Op::Put(entry.try_map(|anchored| anchors.resolve(anchored))?),
            None => Op::Remove(path),
        });
    }
    if ops.is_empty() {
        return Err(WireError::Truncated);
    }
    Ok(ops)
}
