//! References to contents.

use hushkeep_core::name::ObjectId;

/// A name list, by its number in the index of this session. On disk lists are named by [`ObjectId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListNo(pub(crate) u32);

/// One content: its position in a name list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ContentRef {
    pub(crate) list: ListNo,
    pub(crate) position: u32,
}

impl ContentRef {
    /// The content `offset` places further on.
    pub(crate) fn plus(self, offset: u32) -> Option<Self> {
        Some(Self { position: self.position.checked_add(offset)?, ..self })
    }
}

/// Several contents that follow one another in a name list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub(crate) start: ContentRef,
    pub(crate) count: u32,
}

impl Run {
    /// Every content of the run. A run never reaches beyond the last position: its decoder saw to that.
    pub(crate) fn contents(self) -> impl Iterator<Item = ContentRef> {
        (0..self.count).filter_map(move |offset| self.start.plus(offset))
    }
}

/// A node (file list or page map) as it is named on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeName {
    pub(crate) list: ObjectId,
    pub(crate) position: u32,
}
