//! File lists read back: a full list and the deltas above it, merged as they stream by.

use std::collections::VecDeque;

use hushkeep_core::wire::WireError;

use crate::RelPath;
use crate::contents::Contents;
use crate::error::{DamageCause, ReadError};
use crate::node::{Chain, Entry, EntryKind, FileListNode, Op, read_block};
use crate::refs::{ContentRef, NodeName};

/// Yields the entries of a file list in the order of their paths.
///
/// It refuses a list in which something lies below what is not a folder: whatever a hostile writer put into a
/// snapshot, a restored path never leads through a link (spec §7.2).
pub(crate) struct FileListReader<'a> {
    contents: &'a Contents,
    /// The newest first.
    layers: Vec<Layer>,
    /// The folders that the last entry lies in, from the root down.
    folders: Vec<RelPath>,
    failed: bool,
}

/// One node of the chain, with the lines that are read but not yet yielded.
struct Layer {
    node: FileListNode,
    at: ContentRef,
    next_block: usize,
    ops: VecDeque<Op>,
    /// The last path of the block before.
    last: Option<RelPath>,
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
        let (top, len) = Layer::open(contents, name)?;
        let base = FileListBase { name, chain: top.node.chain, len: len.saturating_add(top.node.blocks_len) };
        let mut below = top.node.chain.base;
        let mut layers = vec![top];
        while let Some((name, growth)) = below {
            let (layer, _) = Layer::open(contents, name)?;
            if layer.node.chain.base.map_or(0, |(_, growth)| growth.depth) + 1 != growth.depth {
                return Err(contents.damaged_content(layer.at, DamageCause::Content).into());
            }
            below = layer.node.chain.base;
            layers.push(layer);
        }
        Ok((Self { contents, layers, folders: Vec::new(), failed: false }, base))
    }

    /// Every node and block that makes the list.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = ContentRef> {
        self.layers.iter().flat_map(|layer| std::iter::once(layer.at).chain(layer.node.blocks.iter().copied()))
    }

    fn read_next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            for layer in &mut self.layers {
                layer.fill(self.contents)?;
            }
            let heads =
                self.layers.iter().enumerate().filter_map(|(age, layer)| Some((layer.ops.front()?.path(), age)));
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
        let (op, at) = (layer.ops.pop_front()?, layer.at);
        for older in self.layers.iter_mut().skip(newest + 1) {
            if older.ops.front().is_some_and(|other| other.path() == op.path()) {
                older.ops.pop_front();
            }
        }
        Some((op, at))
    }

    /// An entry lies directly in a folder that came before it; the first is the root.
    fn check_place(&mut self, entry: &Entry, at: ContentRef) -> Result<(), ReadError> {
        while self.folders.last().is_some_and(|folder| !entry.path.starts_with(folder)) {
            self.folders.pop();
        }
        if entry.path.parent().as_ref() != self.folders.last() {
            return Err(self.contents.damaged_content(at, DamageCause::OutsideFolder).into());
        }
        if entry.kind == EntryKind::Directory {
            self.folders.push(entry.path.clone());
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

impl Layer {
    fn open(contents: &Contents, name: NodeName) -> Result<(Self, u64), ReadError> {
        let at = contents.node(name)?;
        let (node, len) = contents.file_list_node(at)?;
        Ok((Self { node, at, next_block: 0, ops: VecDeque::new(), last: None }, len))
    }

    /// Makes sure that the next line is at hand, if there is one.
    fn fill(&mut self, contents: &Contents) -> Result<(), ReadError> {
        while self.ops.is_empty() {
            let Some(block) = self.node.blocks.get(self.next_block).copied() else { return Ok(()) };
            self.next_block += 1;
            let bytes = contents.content(block)?;
            let ops = read_block(&bytes, &self.node.anchors);
            self.ops = ops.map_err(|error| contents.damaged_content(block, error))?.into();
            let first = self.ops.front().map(Op::path);
            if self.last.as_ref().is_some_and(|last| first.is_none_or(|first| first <= last)) {
                return Err(contents.damaged_content(block, WireError::NotCanonical).into());
            }
            self.last = self.ops.back().map(|op| op.path().clone());
        }
        Ok(())
    }
}
