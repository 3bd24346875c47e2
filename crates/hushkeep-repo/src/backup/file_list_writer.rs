//! Writes the file list of one source, whole or as a delta, while its files are still on their way into packs.

use std::collections::HashMap;

use super::BackupError;
use super::segments::{Gatherer, Place};
use crate::contents::Contents;
use crate::file_list_reader::FileListBase;
use crate::node::{Anchored, BlockWriter, Chain, Content, Entry, FileListNode, Op, PageMap};
use crate::refs::{ContentRef, ListNo, NodeName, Run};

/// A file list being written.
pub(super) struct FileListWriter {
    base: Option<FileListBase>,
    chain: Chain,
    lines: BlockWriter,
    anchors: Vec<Anchor>,
    anchor_numbers: HashMap<Anchor, u32>,
    blocks: Vec<Anchored>,
    blocks_len: u64,
    maps: Vec<PendingMap>,
    map_places: Vec<Place>,
}

/// A fixed point that entries count from, until it is resolved to a place in a name list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Anchor {
    /// The first content of a segment of this backup.
    Segment(u32),
    /// The first content of a list that is stored.
    List(ListNo),
    /// A page map of this backup.
    Map(u32),
}

/// A page map whose pages are on their way into packs.
pub(super) struct PendingMap {
    pub(super) page_size: u32,
    pub(super) len: u64,
    pub(super) pages: Vec<Place>,
    /// The map it probably differs from in little.
    pub(super) base: Option<NodeName>,
}

impl FileListWriter {
    /// Writes a delta of `base`, or a full list if there is none or one is due.
    pub(super) fn new(base: Option<FileListBase>) -> Self {
        let chain = base.map(|base| Chain::on(base.name, &base.chain, base.len)).unwrap_or_default();
        Self {
            base,
            chain,
            lines: BlockWriter::default(),
            anchors: Vec::new(),
            anchor_numbers: HashMap::new(),
            blocks: Vec::new(),
            blocks_len: 0,
            maps: Vec::new(),
            map_places: Vec::new(),
        }
    }

    /// Adds an entry that differs from the base's, or is new.
    pub(super) fn put(&mut self, entry: Entry<Anchored>, gatherer: &mut Gatherer<'_, '_>) -> Result<(), BackupError> {
        let block = self.lines.push(&Op::Put(entry));
        self.store_block(block, gatherer)
    }

    /// Keeps an entry of the base as it is.
    pub(super) fn keep(&mut self, entry: Entry, gatherer: &mut Gatherer<'_, '_>) -> Result<(), BackupError> {
        if self.chain.base.is_some() {
            return Ok(());
        }
        let entry = self.anchor_entry(entry);
        self.put(entry, gatherer)
    }

    /// Notes that an entry of the base is gone.
    pub(super) fn remove(&mut self, entry: &Entry, gatherer: &mut Gatherer<'_, '_>) -> Result<(), BackupError> {
        if self.chain.base.is_none() {
            return Ok(());
        }
        let block = self.lines.push(&Op::Remove(entry.path.clone()));
        self.store_block(block, gatherer)
    }

    /// The contents of a file, as an entry refers to them.
    pub(super) fn chunks(&mut self, places: &[Place]) -> Content<Anchored> {
        let mut runs: Vec<Anchored> = Vec::new();
        let mut first = None;
        for place in places {
            match (first, runs.last_mut()) {
                (Some(start), Some(run)) if Place::precedes(start, run.count, *place) => run.count += 1,
                _ => {
                    first = Some(*place);
                    runs.push(self.anchor(*place));
                }
            }
        }
        Content::Chunks(runs)
    }

    /// The pages of a database, as an entry refers to them.
    pub(super) fn pages(&mut self, map: PendingMap) -> Content<Anchored> {
        let number = u32::try_from(self.maps.len()).unwrap_or(u32::MAX);
        let page_size = map.page_size;
        self.maps.push(map);
        let anchor = self.anchor_number(Anchor::Map(number));
        Content::Pages { page_size, map: Anchored { anchor, offset: 0, count: 1 } }
    }

    /// An entry of the base, as this list refers to its contents.
    pub(super) fn anchor_entry(&mut self, entry: Entry) -> Entry<Anchored> {
        let anchored = entry.try_map(|run: Run| {
            let anchor = self.anchor_number(Anchor::List(run.start.list));
            Ok::<_, std::convert::Infallible>(Anchored { anchor, offset: run.start.position, count: run.count })
        });
        match anchored {
            Ok(entry) => entry,
            Err(never) => match never {},
        }
    }

    /// Writes the page maps and the last block, once every content of the files has its place.
    pub(super) fn write_maps(
        &mut self,
        contents: &mut Contents,
        gatherer: &mut Gatherer<'_, '_>,
    ) -> Result<(), BackupError> {
        for map in std::mem::take(&mut self.maps) {
            let node = encode_map(&map, contents, gatherer)?;
            self.map_places.push(gatherer.add_node(&node)?);
        }
        let block = self.lines.finish();
        self.store_block(block, gatherer)
    }

    /// Writes the list's node, once page maps and blocks have their places; returns where it will be. `None` if
    /// nothing differs from the base: then the base is the list.
    pub(super) fn write_node(
        &self,
        contents: &Contents,
        gatherer: &mut Gatherer<'_, '_>,
    ) -> Result<Option<Place>, BackupError> {
        if self.blocks.is_empty() && self.chain.base.is_some() {
            return Ok(None);
        }
        let mut anchors = Vec::with_capacity(self.anchors.len());
        for anchor in &self.anchors {
            anchors.push(self.resolve(*anchor, contents, gatherer)?);
        }
        let node = FileListNode::encode(&self.chain, &anchors, &self.blocks, self.blocks_len);
        gatherer.add_node(&node).map(Some)
    }

    /// The list this one is a delta of.
    pub(super) fn base(&self) -> Option<NodeName> {
        self.base.map(|base| base.name)
    }

    fn store_block(&mut self, block: Option<Vec<u8>>, gatherer: &mut Gatherer<'_, '_>) -> Result<(), BackupError> {
        if let Some(block) = block {
            self.blocks_len += block.len() as u64;
            let place = gatherer.add_node(&block)?;
            let anchored = self.anchor(place);
            self.blocks.push(anchored);
        }
        Ok(())
    }

    fn anchor(&mut self, place: Place) -> Anchored {
        let (anchor, offset) = match place {
            Place::Stored(chunk) => (Anchor::List(chunk.list), chunk.position),
            Place::New { segment, index } => (Anchor::Segment(segment), index),
        };
        Anchored { anchor: self.anchor_number(anchor), offset, count: 1 }
    }

    fn anchor_number(&mut self, anchor: Anchor) -> u32 {
        let next = u32::try_from(self.anchors.len()).unwrap_or(u32::MAX);
        let number = *self.anchor_numbers.entry(anchor).or_insert(next);
        if number == next {
            self.anchors.push(anchor);
        }
        number
    }

    fn resolve(
        &self,
        anchor: Anchor,
        contents: &Contents,
        gatherer: &Gatherer<'_, '_>,
    ) -> Result<NodeName, BackupError> {
        let name = match anchor {
            Anchor::Segment(segment) => gatherer.pipeline.place(segment),
            Anchor::List(list) => contents.index.list_id(list).map(|list| NodeName { list, position: 0 }),
            Anchor::Map(map) => {
                self.map_places.get(map as usize).and_then(|place| place_name(*place, contents, gatherer))
            }
        };
        name.ok_or(BackupError::Internal)
    }
}

/// Where a content is, as it is named on disk.
pub(super) fn place_name(place: Place, contents: &Contents, gatherer: &Gatherer<'_, '_>) -> Option<NodeName> {
    match place {
        Place::Stored(chunk) => contents.index.node_name(chunk),
        Place::New { segment, index } => {
            let first = gatherer.pipeline.place(segment)?;
            Some(NodeName { position: first.position.checked_add(index)?, ..first })
        }
    }
}

/// Writes a page map: as a delta of its base if that is shorter and allowed, else whole.
fn encode_map(map: &PendingMap, contents: &mut Contents, gatherer: &Gatherer<'_, '_>) -> Result<Vec<u8>, BackupError> {
    let mut pages = Vec::with_capacity(map.pages.len());
    let mut segment_starts = HashMap::new();
    for place in &map.pages {
        let page = resolve_page(*place, &mut segment_starts, contents, gatherer);
        pages.push(page.ok_or(BackupError::Internal)?);
    }
    let whole = PageMap::new(map.page_size, map.len, pages);
    let full = whole.encode(&Chain::default(), None, &contents.index).ok_or(BackupError::Internal)?;
    let Some(base_name) = map.base else { return Ok(full) };
    let (base, base_chain, base_len) = contents.page_map(contents.node(base_name)?)?;
    let chain = Chain::on(base_name, &base_chain, base_len);
    if chain.base.is_none() {
        return Ok(full);
    }
    let delta = whole.encode(&chain, Some(&base), &contents.index).ok_or(BackupError::Internal)?;
    Ok(if delta.len() < full.len() { delta } else { full })
}

fn resolve_page(
    place: Place,
    segment_starts: &mut HashMap<u32, ContentRef>,
    contents: &mut Contents,
    gatherer: &Gatherer<'_, '_>,
) -> Option<ContentRef> {
    let (segment, index) = match place {
        Place::Stored(chunk) => return Some(chunk),
        Place::New { segment, index } => (segment, index),
    };
    let start = match segment_starts.get(&segment) {
        Some(start) => *start,
        None => {
            let first = gatherer.pipeline.place(segment)?;
            let list = contents.index.announce(first.list);
            *segment_starts.entry(segment).or_insert(ContentRef { list, position: first.position })
        }
    };
    start.plus(index)
}
