//! Where each piece of a file belongs, also where some of them are nowhere.

use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::index::SegmentAt;
use crate::node::{Content, FileEntry};
use crate::refs::{ContentRef, Run};

/// One piece of a file: where it lies, and where it belongs.
pub(super) struct Piece {
    pub(super) at: SegmentAt,
    pub(super) chunk: ContentRef,
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
    /// Where the last of them ends.
    end: u64,
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
                    pieces.place(&mut behind, offset);
                    pieces.damage.get_or_insert(damage);
                }
                Err(error) => return Err(error),
            }
            if let Content::Pages { page_size, .. } = &entry.content {
                pieces.place(&mut behind, offset);
                offset = (offset + u64::from(run.count) * u64::from(*page_size)).min(entry.len);
            } else if pieces.damage.is_none() {
                offset = pieces.place(&mut behind, offset);
            }
            if offset > entry.len {
                break; // No content is empty, so that a list of too many ends here.
            }
        }
        if pieces.damage.is_some() {
            let rest: u64 = behind.iter().map(Part::len).sum();
            pieces.place(&mut behind, entry.len.saturating_sub(rest));
        }
        if pieces.end > entry.len || (offset < entry.len && pieces.damage.is_none()) {
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

    /// Places parts one after the other from `offset` on; returns where they end.
    fn place(&mut self, parts: &mut Vec<Part>, mut offset: u64) -> u64 {
        for Part { at, run, lens } in parts.drain(..) {
            for (chunk, len) in run.contents().zip(lens) {
                self.pieces.push(Piece { at, chunk, offset });
                offset += u64::from(len);
                self.len += u64::from(len);
            }
            self.end = self.end.max(offset);
        }
        offset
    }
}

fn parts_of(contents: &Contents, run: Run) -> Result<Vec<Part>, ReadError> {
    let nowhere = || contents.damaged_content(run.start, DamageCause::UnknownContent);
    let mut parts = Vec::new();
    for (at, run) in contents.index.locate_run(run).ok_or_else(nowhere)? {
        let names = contents.names(run.start.list)?;
        let lens = names.lens(run.start.position, run.count);
        let lens = lens.ok_or_else(|| contents.damaged(at, DamageCause::Length))?.to_vec();
        parts.push(Part { at, run, lens });
    }
    Ok(parts)
}
