//! An unpacked segment, and where in it each content lies.

use std::ops::Range;
use std::sync::Arc;

use hushkeep_core::keys::EpochKeys;
use hushkeep_core::name::ContentName;

use crate::refs::ContentRef;

/// An unpacked segment, cut into its contents.
pub(crate) struct Slices<'a> {
    pub(super) segment: &'a [u8],
    /// In the order of their lists and positions, which need not be that of the segment.
    pub(super) parts: Vec<Part>,
}

/// Contents of a segment that follow one another in a list.
pub(super) struct Part {
    pub(super) start: ContentRef,
    /// Where the first begins in the segment, and where each ends.
    pub(super) begin: usize,
    pub(super) ends: Vec<usize>,
    /// The names of these alone: a segment may hold contents of many long lists.
    pub(super) names: Vec<ContentName>,
    pub(super) keys: Arc<EpochKeys>,
}

impl Part {
    /// The how manieth content of this part a content is.
    fn place(&self, chunk: ContentRef) -> Option<usize> {
        let place = chunk.position.checked_sub(self.start.position)? as usize;
        (chunk.list == self.start.list && place < self.ends.len()).then_some(place)
    }

    fn range(&self, place: usize) -> Option<Range<usize>> {
        let begin = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => self.begin,
        };
        Some(begin..*self.ends.get(place)?)
    }
}

impl<'a> Slices<'a> {
    /// A content, if it has the name it was stored under.
    pub(crate) fn prove(&self, chunk: ContentRef) -> Option<&'a [u8]> {
        let (part, place) = self.find(chunk)?;
        let content = self.segment.get(part.range(place)?)?;
        (part.names.get(place)? == &part.keys.names().name(content)).then_some(content)
    }

    /// Where in the segment a content lies.
    pub(crate) fn range(&self, chunk: ContentRef) -> Option<Range<usize>> {
        let (part, place) = self.find(chunk)?;
        part.range(place)
    }

    /// Every content of the segment.
    pub(crate) fn contents(&self) -> impl Iterator<Item = ContentRef> {
        self.parts.iter().flat_map(|part| {
            let count = u32::try_from(part.ends.len()).unwrap_or(u32::MAX);
            (0..count).filter_map(|offset| part.start.plus(offset))
        })
    }

    fn find(&self, chunk: ContentRef) -> Option<(&Part, usize)> {
        let last = self.parts.partition_point(|part| part.start <= chunk).checked_sub(1)?;
        let part = self.parts.get(last)?;
        Some((part, part.place(chunk)?))
    }
}
