//! File lists: everything below one source, sorted by path, as blocks of entries and one node (spec §10.2).

use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_bytes, put_varint};

use super::Chain;
use super::anchor::{Anchored, Anchors};
use super::entry::{Entry, write_removed};
use crate::RelPath;
use crate::index::Index;
use crate::refs::{ContentRef, NodeName, Run};

/// A block is closed when it is this long, in bytes.
const BLOCK_LEN: usize = 1 << 20;

/// A block is closed when its paths have so many bytes together, which sharing may make a few of the block's.
const BLOCK_PATHS_LEN: usize = 16 << 20;

/// The most bytes that the paths of a block have together (spec §10.2).
const MAX_BLOCK_PATHS_LEN: usize = 64 << 20;

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
    pub(crate) blocks: Vec<ContentRef>,
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
            let block = anchors.resolve(Anchored::read(&mut reader)?)?;
            if block.count != 1 {
                return Err(WireError::Range);
            }
            blocks.push(block.start);
        }
        Ok(Self { chain, anchors, blocks, blocks_len: record.int(8)? })
    }
}

/// Writes lines into blocks. Paths share what they can with the line before; each block begins anew.
#[derive(Debug, Default)]
pub(crate) struct BlockWriter {
    block: Vec<u8>,
    previous: Vec<u8>,
    /// How many bytes the paths of the block have together.
    paths_len: usize,
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
        self.paths_len += path.len();
        let is_full = self.block.len() >= BLOCK_LEN || self.paths_len >= BLOCK_PATHS_LEN;
        if is_full { self.finish() } else { None }
    }

    /// The last block, if it holds anything.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        self.previous.clear();
        self.paths_len = 0;
        let block = std::mem::take(&mut self.block);
        (!block.is_empty()).then_some(block)
    }
}

/// Reads the lines of a block (spec §10.2) one at a time: decoded, a line may take many times the room of its bytes.
#[derive(Debug)]
pub(crate) struct BlockReader {
    block: Vec<u8>,
    /// Where in the block the next line begins.
    offset: usize,
    /// The path of the line before; at first that of the last line of the block before.
    last: Option<RelPath>,
    /// How many bytes the paths of the lines so far have together.
    paths_len: usize,
}

impl BlockReader {
    /// Begins a block, which has one line at least. Its paths come after `last`.
    pub(crate) fn new(block: Vec<u8>, last: Option<RelPath>) -> Result<Self, WireError> {
        if block.is_empty() {
            return Err(WireError::Truncated);
        }
        Ok(Self { block, offset: 0, last, paths_len: 0 })
    }

    /// The next line; `None` at the end. Nothing is to be read after an error. Paths must ascend.
    pub(crate) fn next_line(&mut self, anchors: &Anchors) -> Result<Option<Op>, WireError> {
        let mut reader = Reader::new(self.block.get(self.offset..).unwrap_or_default());
        if reader.is_empty() {
            return Ok(None);
        }
        let last = self.last.as_ref().map_or(&[][..], RelPath::as_bytes);
        let path = read_path(&mut reader, if self.offset == 0 { &[] } else { last })?;
        self.paths_len += path.as_bytes().len();
        if self.paths_len > MAX_BLOCK_PATHS_LEN {
            return Err(WireError::Range);
        }
        if self.last.as_ref().is_some_and(|last| *last >= path) {
            return Err(WireError::NotCanonical);
        }
        let op = match Entry::read(path.clone(), &mut reader)? {
            Some(entry) => Op::Put(entry.try_map(|anchored| anchors.resolve(anchored))?),
            None => Op::Remove(path.clone()),
        };
        self.offset = self.block.len() - reader.remaining();
        self.last = Some(path);
        Ok(Some(op))
    }

    /// The path of the last line that was read.
    pub(crate) fn into_last_path(self) -> Option<RelPath> {
        self.last
    }
}

/// A path that shares as much with the one before as it says.
fn read_path(reader: &mut Reader<'_>, previous: &[u8]) -> Result<RelPath, WireError> {
    let shared = usize::try_from(reader.varint()?).map_err(|_| WireError::Range)?;
    let shared = previous.get(..shared).ok_or(WireError::Range)?;
    RelPath::new([shared, reader.bytes()?].concat()).map_err(|_| WireError::Range)
}

/// All lines of a block.
#[cfg(any(test, fuzzing))]
fn read_block(block: &[u8], anchors: &Anchors) -> Result<Vec<Op>, WireError> {
    let mut reader = BlockReader::new(block.to_vec(), None)?;
    std::iter::from_fn(|| reader.next_line(anchors).transpose()).collect()
}

/// What is read of a node and a block of a file list is read again from what they are written as; and the lines of a block
/// rise, whoever wrote it.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(node: &[u8], block: &[u8]) {
    let index = super::announced([(node, 5)]);
    let Ok(list) = FileListNode::decode(node, &index) else { return };
    let ops = read_block(block, &list.anchors).unwrap_or_default();
    assert!(ops.is_sorted_by(|a, b| a.path() < b.path()));

    let mut anchors = Vec::new();
    let mut anchor = |run: Run| {
        anchors.extend(index.node_name(run.start));
        u32::try_from(anchors.len() - 1).map(|anchor| Anchored { anchor, offset: 0, count: run.count })
    };
    let mut blocks = Vec::new();
    let mut writer = BlockWriter::default();
    for op in ops.iter().cloned() {
        let op = match op {
            Op::Put(entry) => entry.try_map(&mut anchor).map(Op::Put),
            Op::Remove(path) => Ok(Op::Remove(path)),
        };
        blocks.extend(op.ok().and_then(|op| writer.push(&op)));
    }
    blocks.extend(writer.finish());
    let places: Vec<Anchored> =
        list.blocks.iter().filter_map(|block| anchor(Run { start: *block, count: 1 }).ok()).collect();

    let written = FileListNode::encode(&list.chain, &anchors, &places, list.blocks_len);
    let again = FileListNode::decode(&written, &index);
    let fields = |list: &FileListNode| (list.chain, list.blocks.clone(), list.blocks_len);
    assert_eq!(again.as_ref().map(fields), Ok(fields(&list)));
    let Ok(again) = again else { return };
    let lines: Result<Vec<_>, _> = blocks.iter().map(|block| read_block(block, &again.anchors)).collect();
    assert_eq!(lines.map(|lines| lines.concat()), Ok(ops));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::{Content, EntryKind, FileEntry, NewerEntry};
    use crate::properties::{damaged, time, unknown_fields};
    use crate::tree::Metadata;

    fn anchored() -> impl Strategy<Value = Anchored> {
        (0u32..3, 0u32..999, 1u32..9).prop_map(|(anchor, offset, count)| Anchored { anchor, offset, count })
    }

    fn file() -> impl Strategy<Value = FileEntry<Anchored>> {
        let pages = (9u32..=16, anchored())
            .prop_map(|(bits, map)| Content::Pages { page_size: 1 << bits, map: Anchored { count: 1, ..map } });
        let content = prop_oneof![prop::collection::vec(anchored(), 0..3).prop_map(Content::Chunks), pages];
        (any::<u64>(), any::<[bool; 2]>(), any::<[u8; 32]>(), content).prop_map(
            |(len, [sparse, merged], hash, content)| FileEntry { len, sparse, merged, hash: Some(hash), content },
        )
    }

    fn kind() -> impl Strategy<Value = EntryKind<Anchored>> {
        prop_oneof![
            Just(EntryKind::Directory),
            file().prop_map(EntryKind::File),
            any::<Vec<u8>>().prop_map(|target| EntryKind::Symlink { target }),
            "[a-c]/[a-c]".prop_map(|path| EntryKind::HardLink { original: RelPath::new(path).unwrap() }),
        ]
    }

    /// Fields of a later version, of which none is critical.
    fn extra() -> impl Strategy<Value = Vec<u8>> {
        unknown_fields(1).prop_map(|fields| RecordWriter::new().unknown(&fields).finish())
    }

    /// Fields of a later version, of which one is critical.
    fn critical_extra() -> impl Strategy<Value = Vec<u8>> {
        (unknown_fields(1), 1u32..9)
            .prop_map(|(fields, field)| RecordWriter::new().unknown(&fields).critical(field, *b"later").finish())
    }

    fn kind_and_extra() -> impl Strategy<Value = (EntryKind<Anchored>, Vec<u8>)> {
        let newer_kind = (5u8..8, 0u8..16, any::<Vec<u8>>())
            .prop_map(|(kind, flags, data)| EntryKind::Newer(NewerEntry::of_kind(kind | flags << 3, data)));
        let newer_field = kind().prop_map(|kind| EntryKind::Newer(NewerEntry::of_field(kind)));
        prop_oneof![
            (kind(), extra()),
            (newer_kind, prop_oneof![extra(), critical_extra()]),
            (newer_field, critical_extra()),
        ]
    }

    fn op() -> impl Strategy<Value = Op<Anchored>> {
        let path = || "[a-c]{1,3}(/[a-c]{1,3}){0,2}".prop_map(|path| RelPath::new(path).unwrap());
        let metadata =
            (0u32..=0o7777, time(), time()).prop_map(|(mode, modified, changed)| Metadata { mode, modified, changed });
        prop_oneof![
            path().prop_map(Op::Remove),
            (path(), metadata, kind_and_extra()).prop_map(|(path, metadata, (kind, extra))| Op::Put(Entry {
                path,
                metadata,
                kind,
                extra
            })),
        ]
    }

    /// A node, and the block of some lines.
    fn encoded() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<Op<Anchored>>)> {
        let anchor = (1u8..9, 0u32..999).prop_map(|(list, position)| NodeName {
            list: hushkeep_core::name::ObjectId::from_bytes([list; 16]),
            position,
        });
        let blocks = prop::collection::vec(anchored().prop_map(|block| Anchored { count: 1, ..block }), 0..3);
        (prop::collection::vec(anchor, 3), blocks, any::<u64>(), prop::collection::vec(op(), 1..6)).prop_map(
            |(anchors, blocks, len, mut ops)| {
                ops.sort_by(|a, b| a.path().cmp(b.path()));
                ops.dedup_by(|a, b| a.path() == b.path());
                let mut writer = BlockWriter::default();
                ops.iter().for_each(|op| drop(writer.push(op)));
                let node = FileListNode::encode(&Chain::default(), &anchors, &blocks, len);
                (node, writer.finish().unwrap(), ops)
            },
        )
    }

    proptest! {
        #[test]
        fn lists_round_trip((node, block, ops) in encoded()) {
            let anchors = FileListNode::decode(&node, &super::super::announced([(&node, 5)])).unwrap().anchors;
            let resolved = ops.into_iter().map(|op| match op {
                Op::Put(entry) => entry.try_map(|anchored| anchors.resolve(anchored)).map(Op::Put),
                Op::Remove(path) => Ok(Op::Remove(path)),
            });
            prop_assert_eq!(read_block(&block, &anchors), resolved.collect());
            assert_round_trip(&node, &block);
        }

        #[test]
        fn damaged_lists_are_refused_or_round_trip(
            (node, block) in encoded().prop_flat_map(|(node, block, _)| (damaged(node), damaged(block))),
        ) {
            assert_round_trip(&node, &block);
        }
    }

    #[test]
    fn a_block_is_a_single_content() {
        let list = NodeName { list: hushkeep_core::name::ObjectId::from_bytes([1; 16]), position: 0 };
        let decode = |count| {
            let block = Anchored { anchor: 0, offset: 0, count };
            let node = FileListNode::encode(&Chain::default(), &[list], &[block], 9);
            FileListNode::decode(&node, &super::super::announced([(&node, 5)])).map(|node| node.blocks.len())
        };
        assert_eq!((decode(1), decode(2)), (Ok(1), Err(WireError::Range)));
    }

    #[test]
    fn a_block_goes_on_behind_the_last_path_of_the_one_before_and_shares_nothing_with_it() {
        let last = || RelPath::new("b").unwrap();
        let read = |block: &[u8]| {
            let mut reader = BlockReader::new(block.to_vec(), Some(last())).unwrap();
            reader.next_line(&Anchors::default()).map(|op| op.unwrap().path().clone())
        };
        let line = |shared: u8, path: u8| [shared, 1, path, 0];
        assert_eq!(read(&line(0, b'c')), Ok(RelPath::new("c").unwrap()));
        assert_eq!(read(&line(0, b'b')), Err(WireError::NotCanonical));
        assert_eq!(read(&line(1, b'c')), Err(WireError::Range));
    }

    /// So many paths of 65,000 bytes that are equal but for the end.
    fn long_paths(count: u32) -> impl Iterator<Item = RelPath> {
        (0..count).map(|number| RelPath::new(format!("{}{number:05}", "x".repeat(64_995))).unwrap())
    }

    /// A block that removes these paths, however long they are together.
    fn removals<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Vec<u8> {
        let mut writer = BlockWriter::default();
        for path in paths {
            writer.paths_len = 0;
            assert_eq!(writer.push(&Op::Remove(path.clone())), None);
        }
        writer.finish().unwrap()
    }

    #[test]
    fn few_bytes_never_stand_for_many_of_paths() {
        let read = |last_len| {
            let fitting = u32::try_from(MAX_BLOCK_PATHS_LEN / 65_000).unwrap();
            let last = RelPath::new("y".repeat(last_len)).unwrap();
            let paths: Vec<_> = long_paths(fitting).chain([last]).collect();
            read_block(&removals(&paths), &Anchors::default()).map(|ops| ops.len())
        };
        let rest = MAX_BLOCK_PATHS_LEN % 65_000;
        assert_eq!(read(rest), Ok(MAX_BLOCK_PATHS_LEN / 65_000 + 1));
        assert_eq!(read(rest + 1), Err(WireError::Range));
    }

    #[test]
    fn the_last_path_is_that_of_the_last_line_read() {
        let path = |path| RelPath::new(path).unwrap();
        let mut reader = BlockReader::new(removals(&[path("b"), path("c")]), Some(path("a"))).unwrap();
        let mut next = || reader.next_line(&Anchors::default()).unwrap().is_some();
        assert_eq!([next(), next(), next()], [true, true, false]);
        assert_eq!(reader.into_last_path(), Some(path("c")));
    }

    #[test]
    fn a_block_is_closed_before_its_paths_are_too_long_to_be_read() {
        let mut writer = BlockWriter::default();
        let ops = long_paths(600).map(Op::Remove);
        let mut blocks: Vec<Vec<u8>> = ops.filter_map(|op| writer.push(&op)).collect();
        blocks.extend(writer.finish());
        let lens = blocks.iter().map(|block| read_block(block, &Anchors::default()).unwrap().len());
        assert_eq!(lens.collect::<Vec<_>>(), [259, 259, 82]);
    }
}
