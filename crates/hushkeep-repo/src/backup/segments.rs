//! Contents gathered into segments, each content sent once.

use std::collections::BTreeMap;

use hushkeep_core::keys::EpochKeys;
use hushkeep_core::name::ContentName;

use super::BackupError;
use super::known::KnownContents;
use super::pipeline::{Pipeline, RawSegment};
use crate::codec::MAX_SEGMENT_LEN;
use crate::pack::Class;
use crate::refs::ContentRef;

/// A segment holds contents of this length together, in bytes, or one that is longer. Larger units compress better;
/// smaller ones cost less to read a single page from (see `docs/decisions`).
pub(super) const SEGMENT_LEN: usize = 1 << 20;

/// Where a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the repository already.
    Stored(ContentRef),
    /// In a segment of this backup.
    New { segment: u32, index: u32 },
}

impl Place {
    /// Whether `next` directly follows this content.
    pub(super) fn precedes(self, distance: u32, next: Self) -> bool {
        match (self, next) {
            (Self::Stored(first), Self::Stored(next)) => first.plus(distance) == Some(next),
            (Self::New { segment, index }, Self::New { segment: next, index: at }) => {
                segment == next && index.checked_add(distance) == Some(at)
            }
            _ => false,
        }
    }
}

/// What kind of segment a content belongs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Contents of files that compress.
    Compressible,
    /// Contents of files that do not.
    Incompressible,
    /// Nodes.
    Node,
}

/// Names contents, knows which are stored, and gathers the others.
pub(super) struct Gatherer<'a, 'scope> {
    keys: &'a EpochKeys,
    pub(super) pipeline: &'a Pipeline<'scope>,
    known: KnownContents,
    /// Contents of this backup, by name: in which segment, and where in it. (A hash table would take three times the
    /// memory whenever it grows.)
    new: BTreeMap<ContentName, (u32, u32)>,
    open: [OpenSegment; 3],
    next_number: u32,
    /// Contents that were not stored before, in bytes.
    pub(super) new_bytes: u64,
}

#[derive(Default)]
struct OpenSegment {
    number: Option<u32>,
    data: Vec<u8>,
    contents: Vec<(ContentName, u32)>,
}

impl<'a, 'scope> Gatherer<'a, 'scope> {
    pub(super) fn new(keys: &'a EpochKeys, pipeline: &'a Pipeline<'scope>, known: KnownContents) -> Self {
        let (new, open) = (BTreeMap::new(), Default::default());
        Self { keys, pipeline, known, new, open, next_number: 0, new_bytes: 0 }
    }

    /// Takes a content of a file; returns where it is or will be.
    pub(super) fn add(&mut self, content: &[u8], compressible: bool) -> Result<Place, BackupError> {
        let name = self.keys.names().name(content);
        if let Some((segment, index)) = self.new.get(&name).copied() {
            return Ok(Place::New { segment, index });
        }
        if let Some(stored) = self.known.find(self.keys.epoch(), &name, content) {
            return Ok(Place::Stored(stored));
        }
        let kind = if compressible { Kind::Compressible } else { Kind::Incompressible };
        let (segment, index) = self.append(kind, name, content)?;
        self.new.insert(name, (segment, index));
        self.new_bytes += content.len() as u64;
        Ok(Place::New { segment, index })
    }

    /// Takes a node; returns where it will be.
    pub(super) fn add_node(&mut self, node: &[u8]) -> Result<Place, BackupError> {
        if node.len() > MAX_SEGMENT_LEN {
            return Err(BackupError::TooLarge);
        }
        let (segment, index) = self.append(Kind::Node, self.keys.names().name(node), node)?;
        Ok(Place::New { segment, index })
    }

    /// Hands over what is gathered and waits until all of it has a place.
    pub(super) fn settle(&mut self) -> Result<(), BackupError> {
        for kind in [Kind::Compressible, Kind::Incompressible, Kind::Node] {
            self.close(kind)?;
        }
        self.pipeline.wait_for(self.next_number)
    }

    /// Puts a content into a segment; returns that segment's number, and the place in it.
    fn append(&mut self, kind: Kind, name: ContentName, content: &[u8]) -> Result<(u32, u32), BackupError> {
        if self.open_segment(kind).data.len() + content.len() > SEGMENT_LEN {
            self.close(kind)?;
        }
        let (next_number, pipeline) = (self.next_number, self.pipeline);
        let open = self.open_segment(kind);
        let segment = *open.number.get_or_insert_with(|| {
            open.data = pipeline.segment_buffer(content.len());
            next_number
        });
        let index = u32::try_from(open.contents.len()).unwrap_or(u32::MAX);
        open.data.extend_from_slice(content);
        open.contents.push((name, u32::try_from(content.len()).unwrap_or(u32::MAX)));
        let full = open.data.len() >= SEGMENT_LEN;
        if segment == next_number {
            self.next_number += 1;
        }
        if full {
            self.close(kind)?;
        }
        Ok((segment, index))
    }

    fn close(&mut self, kind: Kind) -> Result<(), BackupError> {
        let OpenSegment { number, data, contents } = std::mem::take(self.open_segment(kind));
        let Some(number) = number else { return Ok(()) };
        let class = if kind == Kind::Node { Class::Metadata } else { Class::Data };
        self.pipeline.push(RawSegment { number, class, compress: kind != Kind::Incompressible, data, contents })
    }

    fn open_segment(&mut self, kind: Kind) -> &mut OpenSegment {
        let [compressible, incompressible, node] = &mut self.open;
        match kind {
            Kind::Compressible => compressible,
            Kind::Incompressible => incompressible,
            Kind::Node => node,
        }
    }
}
