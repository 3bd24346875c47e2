//! File lists read back: a full list and the deltas above it, merged as they stream by.

use hushkeep_core::wire::WireError;

use crate::RelPath;
use crate::codec::MAX_SEGMENT_LEN;
use crate::contents::Contents;
use crate::error::{DamageCause, ReadError};
use crate::node::{BlockReader, Chain, Entry, EntryKind, FileListNode, Op};
use crate::refs::{ContentRef, NodeName};

/// The most bytes that the nodes of a list have together, with the longest block of each (spec §10.2): what a reader holds
/// at once.
const MAX_LIST_LEN: u64 = 256 << 20;

/// The same of a list that a delta is written upon. Whatever node and block the delta has, it is not refused.
const MAX_BASE_LEN: u64 = MAX_LIST_LEN - 2 * MAX_SEGMENT_LEN as u64;

/// Yields the entries of a file list in the order of their paths.
///
/// It refuses a list in which something lies below what is not a folder: whatever a hostile writer put into a
/// snapshot, a restored path never leads through a link (spec §7.2).
pub(crate) struct FileListReader<'a> {
    contents: &'a Contents,
    /// The newest first.
    layers: Vec<Layer>,
    room: Room,
    /// The folder that came last. The next entry lies in it, or in one that it lies in.
    folder: Option<RelPath>,
    failed: bool,
}

/// How many bytes of nodes and blocks may be held beside those that are.
struct Room(u64);

/// One node of the chain, and how far its lines are read.
struct Layer {
    node: FileListNode,
    at: ContentRef,
    /// The length of the node, in bytes.
    len: u64,
    next_block: usize,
    /// The length of the longest block so far, in bytes.
    longest_block: u64,
    /// The block at hand, and where it is.
    block: Option<(ContentRef, BlockReader)>,
    /// The line that is read but not yet yielded.
    line: Option<Op>,
}

/// What a delta upon a file list must know of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileListBase {
    pub(crate) name: NodeName,
    pub(crate) chain: Chain,
    /// The length of the node and its blocks, in bytes.
    pub(crate) len: u64,
}

impl<'a> FileListReader<'a> {
    /// Opens the list whose newest node is `name`.
    pub(crate) fn open(contents: &'a Contents, name: NodeName) -> Result<(Self, FileListBase), ReadError> {
        let mut room = Room(MAX_LIST_LEN);
        let top = Layer::open(contents, name, &mut room)?;
        let base = FileListBase { name, chain: top.node.chain, len: top.len.saturating_add(top.node.blocks_len) };
        let mut below = top.node.chain.base;
        let mut layers = vec![top];
        while let Some((name, growth)) = below {
            let layer = Layer::open(contents, name, &mut room)?;
            if layer.node.chain.base.map_or(0, |(_, growth)| growth.depth) + 1 != growth.depth {
                return Err(contents.damaged_content(layer.at, DamageCause::Content).into());
            }
            below = layer.node.chain.base;
            layers.push(layer);
        }
        Ok((Self { contents, layers, room, folder: None, failed: false }, base))
    }

    /// Whether a delta may be written upon this list: a reader has room for both (spec §10.2). How long the blocks are is
    /// asked of the name lists, for what the nodes say is a claim.
    pub(crate) fn takes_delta(&self) -> Result<bool, ReadError> {
        let mut held_len = 0;
        for layer in &self.layers {
            held_len += layer.len;
            held_len += layer.find_longest_block(self.contents)?;
        }
        Ok(held_len <= MAX_BASE_LEN)
    }

    /// Every node and block that makes the list.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = ContentRef> {
        self.layers.iter().flat_map(|layer| std::iter::once(layer.at).chain(layer.node.blocks.iter().copied()))
    }

    fn read_next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            for layer in &mut self.layers {
                layer.fill(self.contents, &mut self.room)?;
            }
            let heads =
                self.layers.iter().enumerate().filter_map(|(age, layer)| Some((layer.line.as_ref()?.path(), age)));
            let Some((_, newest)) = heads.min() else { return Ok(None) };
            let Some((op, at)) = self.take(newest) else { return Ok(None) };
            if let Op::Put(entry) = op {
                self.check_place(&entry, at)?;
                return Ok(Some(entry));
            }
        }
    }

    /// Takes the next line of one layer, and drops what older layers say of the same path.
    fn take(&mut self, newest: usize) -> Option<(Op, ContentRef)> {
        let layer = self.layers.get_mut(newest)?;
        let (op, at) = (layer.line.take()?, layer.at);
        for older in self.layers.iter_mut().skip(newest + 1) {
            older.line.take_if(|other| other.path() == op.path());
        }
        Some((op, at))
    }

    /// An entry lies directly in a folder that came before it; the first is the root. Paths ascend: a folder that was left
    /// does not come again.
    fn check_place(&mut self, entry: &Entry, at: ContentRef) -> Result<(), ReadError> {
        let is_in_place = match (&self.folder, entry.path.parent()) {
            (Some(folder), Some(parent)) => folder.starts_with(&parent),
            (folder, parent) => folder.is_none() && parent.is_none(),
        };
        if !is_in_place {
            return Err(self.contents.damaged_content(at, DamageCause::OutsideFolder).into());
        }
        if entry.kind == EntryKind::Directory {
            self.folder = Some(entry.path.clone());
        }
        Ok(())
    }
}

impl Iterator for FileListReader<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read_next().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

impl Room {
    fn take(&mut self, len: u64) -> Result<(), WireError> {
        self.0 = self.0.checked_sub(len).ok_or(WireError::Range)?;
        Ok(())
    }
}

impl Layer {
    fn open(contents: &Contents, name: NodeName, room: &mut Room) -> Result<Self, ReadError> {
        let at = contents.node(name)?;
        let (node, len) = contents.file_list_node(at)?;
        room.take(len).map_err(|error| contents.damaged_content(at, error))?;
        Ok(Self { node, at, len, next_block: 0, longest_block: 0, block: None, line: None })
    }

    /// Makes sure that the next line is at hand, if there is one.
    fn fill(&mut self, contents: &Contents, room: &mut Room) -> Result<(), ReadError> {
        while self.line.is_none() {
            if let Some((at, block)) = &mut self.block {
                let line = block.next_line(&self.node.anchors);
                self.line = line.map_err(|error| contents.damaged_content(*at, error))?;
            }
            if self.line.is_none() && !self.open_next_block(contents, room)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads the next block, in the place of the one before; false if there is none.
    fn open_next_block(&mut self, contents: &Contents, room: &mut Room) -> Result<bool, ReadError> {
        let last = self.block.take().and_then(|(_, block)| block.into_last_path());
        let Some(at) = self.node.blocks.get(self.next_block).copied() else { return Ok(false) };
        self.next_block += 1;
        let block = contents.content(at)?;
        let len = block.len() as u64;
        let reader = room.take(len.saturating_sub(self.longest_block)).and_then(|()| BlockReader::new(block, last));
        self.block = Some((at, reader.map_err(|error| contents.damaged_content(at, error))?));
        self.longest_block = self.longest_block.max(len);
        Ok(true)
    }

    /// The length of the longest block, in bytes, without reading any.
    fn find_longest_block(&self, contents: &Contents) -> Result<u64, ReadError> {
        let mut longest = 0;
        for block in &self.node.blocks {
            let names = contents.names(block.list)?;
            let len = names.list.lens(block.position, 1).and_then(<[u32]>::first);
            longest = longest.max(*len.ok_or_else(|| contents.damaged_content(*block, DamageCause::Length))?);
        }
        Ok(u64::from(longest))
    }
}
