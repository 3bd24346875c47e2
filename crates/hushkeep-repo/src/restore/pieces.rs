//! Where each piece of a file belongs, also where some of them are nowhere.

use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::index::SegmentAt;
use crate::node::{Content, FileEntry};
use crate::refs::Run;

/// Contents of one segment that follow one another in a file: where they lie, and where they belong. So a file takes no
/// more memory than its list or map, however many pages that claims.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) at: SegmentAt,
    pub(super) run: Run,
    /// Where in the file the first content begins; each of the others begins where the one before it ends.
    pub(super) offset: u64,
}

/// The pieces of a file whose places are known.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) pieces: Vec<Piece>,
    /// Why there are not all of them.
    pub(super) damage: Option<Damage>,
    /// How many bytes they have.
    len: u64,
    /// Whether a content is not there that does not fit its place.
    left_out: bool,
}

/// Contents that lie in one segment, with their lengths.
struct Part {
    at: SegmentAt,
    run: Run,
    lens: Vec<u32>,
}

impl Part {
    fn len(&self) -> u64 {
        self.lens.iter().map(|len| u64::from(*len)).sum()
    }

    /// Whether each content has room in the file, if the first begins at `offset`.
    fn fits(&self, entry: &FileEntry, mut offset: u64) -> bool {
        self.lens.iter().all(|len| {
            let len = u64::from(*len);
            let fits = entry.fits(offset, len);
            offset = offset.saturating_add(len);
            fits
        })
    }
}

impl Pieces {
    /// The pieces of a file that consists of `runs`. If they do not have its length together, `wrong` is damaged. A failing
    /// storage is an error.
    ///
    /// Pages have places of their own. Chunks follow one another: behind a gap of unknown length they are placed from
    /// the end of the file, as far back as the next gap.
    pub(super) fn of(contents: &Contents, entry: &FileEntry, runs: &[Run], wrong: &Damage) -> Result<Self, ReadError> {
        let mut pieces = Self::default();
        let (mut offset, mut behind) = (0, Vec::new());
        for run in runs {
            match parts_of(contents, *run) {
                Ok(parts) => behind.extend(parts),
                Err(ReadError::Damaged(damage)) => {
                    pieces.place(&mut behind, entry, offset);
                    pieces.damage.get_or_insert(damage);
                }
                Err(error) => return Err(error),
            }
            if let Content::Pages { page_size, .. } = &entry.content {
                pieces.place(&mut behind, entry, offset);
                offset = (offset + u64::from(run.count) * u64::from(*page_size)).min(entry.len);
            } else if pieces.damage.is_none() {
                offset = pieces.place(&mut behind, entry, offset);
            }
            if offset > entry.len {
                break; // No content is empty, so that a list of too many ends here.
            }
        }
        if pieces.damage.is_some() {
            let rest: u64 = behind.iter().map(Part::len).sum();
            pieces.place(&mut behind, entry, entry.len.saturating_sub(rest));
        }
        if pieces.left_out || (offset != entry.len && pieces.damage.is_none()) {
            // No gap explains it: the list lies about the length, and so about every place.
            let damage = Some(Damage { cause: DamageCause::Length, ..wrong.clone() });
            return Ok(Self { damage, ..Self::default() });
        }
        Ok(pieces)
    }

    /// Whether there is enough of a file to believe its length, which is but a claim: a thousandth.
    pub(super) fn prove(&self, file_len: u64) -> bool {
        self.len >= file_len / 1000 && self.len > 0
    }

    /// Places parts one after the other from `offset` on; returns where they end. A part with a content that does not
    /// fit is left out: nothing is written over another page, or beyond the end of the file.
    fn place(&mut self, parts: &mut Vec<Part>, entry: &FileEntry, mut offset: u64) -> u64 {
        for part in parts.drain(..) {
            let end = offset.saturating_add(part.len());
            if part.fits(entry, offset) {
                self.pieces.push(Piece { at: part.at, run: part.run, offset });
                self.len += part.len();
            } else {
                self.left_out = true;
            }
            offset = end;
        }
        offset
    }
}

fn parts_of(contents: &Contents, run: Run) -> Result<Vec<Part>, ReadError> {
    let nowhere = || contents.damaged_content(run.start, DamageCause::UnknownContent);
    let mut parts = Vec::new();
    for (at, run) in contents.index.locate_run(run).ok_or_else(nowhere)? {
        let names = contents.names(run.start.list)?;
        let lens = names.list.lens(run.start.position, run.count);
        let lens = lens.ok_or_else(|| contents.damaged(at, DamageCause::Length))?.to_vec();
        parts.push(Part { at, run, lens });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use crate::refs::ContentRef;
    use hushkeep_core::name::ObjectId;

    /// Whether contents of these lengths, from the beginning of a file on, have a place there.
    fn fits(len: u64, content: Content, lens: &[u32]) -> bool {
        let list = Index::default().announce(ObjectId::from_bytes([1; 16]));
        let run = Run { start: ContentRef { list, position: 0 }, count: u32::try_from(lens.len()).unwrap() };
        let at = SegmentAt { pack: 0, segment: 0 };
        let entry = FileEntry { len, sparse: false, merged: false, hash: None, content };
        let mut pieces = Pieces::default();
        let end = pieces.place(&mut vec![Part { at, run, lens: lens.to_vec() }], &entry, 0);
        assert_eq!(end, lens.iter().map(|len| u64::from(*len)).sum::<u64>());
        assert_eq!(pieces.pieces.is_empty(), pieces.left_out);
        !pieces.left_out
    }

    #[test]
    fn a_page_of_another_length_is_written_nowhere() {
        let list = Index::default().announce(ObjectId::from_bytes([1; 16]));
        let map = Run { start: ContentRef { list, position: 9 }, count: 1 };
        let pages = || Content::Pages { page_size: 512, map };
        assert!(fits(1100, pages(), &[512, 512, 76]));
        assert!(!fits(1100, pages(), &[512, 513, 76]), "it would lie over the next");
        assert!(!fits(1100, pages(), &[511, 512, 76]));
        assert!(!fits(1100, pages(), &[512, 512, 77]), "it would make the file longer");
    }

    #[test]
    fn no_chunk_is_written_beyond_the_end() {
        let chunks = || Content::Chunks(Vec::new());
        assert!(fits(10, chunks(), &[3, 7]));
        assert!(!fits(9, chunks(), &[3, 7]));
        assert!(!fits(9, chunks(), &[3, 7, 1]));
    }
}
