//! Files that are restored together: each segment they need is fetched and unpacked once, by several threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::ItemError;
use super::pieces::{Piece, Pieces};
use crate::RelPath;
use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::index::SegmentAt;
use crate::node::FileEntry;
use crate::progress::Progress;
use crate::refs::{ContentRef, Run};
use crate::target::{TargetError, TargetFile};
use crate::tree::Metadata;

/// A window is written when it holds so many files …
const MAX_FILES: usize = 256;

/// … or so many bytes of them.
const MAX_LEN: u64 = 64 << 20;

/// How many threads write, at most.
const MAX_WRITERS: usize = 4;

/// How much is read back at once to check a file's hash, in bytes.
const READ_BACK_LEN: usize = 1 << 20;

/// Files that are planned, and what is to be written into them.
#[derive(Default)]
pub(super) struct Window<'t> {
    files: Vec<PlannedFile<'t>>,
    len: u64,
    segments: BTreeMap<SegmentAt, Vec<Write>>,
}

/// A file to be added.
pub(super) struct NewFile<'t, 'a> {
    pub(super) path: RelPath,
    pub(super) place: Box<dyn TargetFile + 't>,
    pub(super) entry: &'a FileEntry,
    pub(super) metadata: Metadata,
    pub(super) pieces: Pieces,
    /// What is damaged if the file has not its hash.
    pub(super) wrong: Damage,
}

/// One file begun in the target.
struct PlannedFile<'t> {
    path: RelPath,
    place: Box<dyn TargetFile + 't>,
    len: u64,
    /// Zeros need not be written: the file had holes.
    sparse: bool,
    hash: Option<[u8; 32]>,
    metadata: Metadata,
    /// What is damaged if the file has not its hash.
    wrong: Damage,
    failure: Mutex<Option<ItemError>>,
}

/// A file that is not whole.
pub(super) struct Failed {
    pub(super) path: RelPath,
    pub(super) len: u64,
    pub(super) error: ItemError,
    /// Where lies what there is of it.
    pub(super) kept_as: Option<RelPath>,
}

/// Contents of one segment that follow one another in one file, from `offset` on.
struct Write {
    file: usize,
    run: Run,
    offset: u64,
}

impl<'t> Window<'t> {
    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= MAX_FILES || self.len >= MAX_LEN
    }

    /// Adds a file that consists of these pieces; `wrong` is the damage if it has not its hash then. One of which pieces
    /// are nowhere will not be whole.
    pub(super) fn add(&mut self, new: NewFile<'t, '_>) {
        let NewFile { path, place, entry, metadata, pieces: Pieces { pieces, damage, .. }, wrong } = new;
        let file = self.files.len();
        for Piece { at, run, offset } in pieces {
            self.segments.entry(at).or_default().push(Write { file, run, offset });
        }
        self.len = self.len.saturating_add(entry.len);
        let (len, sparse, hash) = (entry.len, entry.sparse, entry.hash);
        let failure = Mutex::new(damage.map(ItemError::Damaged));
        self.files.push(PlannedFile { path, place, len, sparse, hash, metadata, wrong, failure });
    }

    /// Writes and finishes all files; returns those that are not whole. A failing storage ends the restore.
    pub(super) fn write(
        self,
        contents: &Contents,
        progress: &dyn Progress,
        best_effort: bool,
    ) -> Result<Vec<Failed>, ReadError> {
        let Self { files, segments, .. } = self;
        let segments: Vec<(SegmentAt, Vec<Write>)> = segments.into_iter().collect();
        let work = Work { contents, progress, files: &files, segments: &segments, next: AtomicUsize::new(0) };
        let stop = AtomicBool::new(false);
        let writers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WRITERS));
        let storage_failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..writers.min(segments.len()) {
                scope.spawn(|| {
                    if let Err(error) = work.write_segments(&stop, best_effort) {
                        stop.store(true, Ordering::Relaxed);
                        storage_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                });
            }
        });
        if let Some(error) = storage_failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut failed = Vec::new();
        let stopped = stop.into_inner();
        for file in files {
            // What was stopped may lack pieces: none gets its name. The damaged file that stopped it is told of, and ends
            // the restore.
            if stopped && !file.has_failed() {
                continue;
            }
            match file.finish(best_effort) {
                Ok(()) => progress.advance(1, 0),
                Err(file) => failed.push(file),
            }
        }
        Ok(failed)
    }
}

/// What the writing threads share.
struct Work<'a, 't> {
    contents: &'a Contents,
    progress: &'a dyn Progress,
    files: &'a [PlannedFile<'t>],
    segments: &'a [(SegmentAt, Vec<Write>)],
    next: AtomicUsize,
}

impl Work<'_, '_> {
    /// Takes segment after segment until none is left.
    fn write_segments(&self, stop: &AtomicBool, best_effort: bool) -> Result<(), ReadError> {
        while let Some((at, writes)) = self.segments.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match self.write_segment(*at, writes) {
                Err(ReadError::Damaged(damage)) => {
                    self.write_lost_segment(writes, &damage)?;
                    if !best_effort && self.are_damaged(writes) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                written => written?,
            }
        }
        Ok(())
    }

    fn write_segment(&self, at: SegmentAt, writes: &[Write]) -> Result<(), ReadError> {
        let segment = self.contents.read_segment(at)?;
        self.progress.transferred(segment.len() as u64);
        let slices = self.contents.slices(at, &segment)?;
        for write in writes {
            let placed = self.placed(write)?.into_iter();
            let (whole, damaged): (Vec<_>, _) = placed.partition(|(_, content)| slices.prove(*content).is_some());
            let ranges = whole.into_iter().filter_map(|(offset, content)| Some((offset, slices.range(content)?)));
            for (offset, range) in joined(ranges) {
                self.write_at(write.file, offset, segment.get(range).unwrap_or_default());
            }
            self.write_copies(write.file, damaged, &self.contents.damaged(at, DamageCause::Content))?;
        }
        Ok(())
    }

    /// Writes the contents of a segment that does not open, as far as other packs hold them.
    fn write_lost_segment(&self, writes: &[Write], damage: &Damage) -> Result<(), ReadError> {
        for write in writes {
            match self.placed(write) {
                Ok(contents) => self.write_copies(write.file, contents, damage)?,
                Err(ReadError::Damaged(_)) => self.fail(write.file, damage.clone().into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Where in the file each content of a write belongs.
    fn placed(&self, write: &Write) -> Result<Vec<(u64, ContentRef)>, ReadError> {
        let Write { run, mut offset, .. } = *write;
        let names = self.contents.names(run.start.list)?;
        let lens = names.list.lens(run.start.position, run.count);
        let lens = lens.ok_or_else(|| self.contents.damaged_content(run.start, DamageCause::Length))?;
        let placed = run.contents().zip(lens).map(|(content, len)| {
            let begin = offset;
            offset += u64::from(*len);
            (begin, content)
        });
        Ok(placed.collect())
    }

    /// Writes contents that are damaged where they are looked up first.
    fn write_copies(&self, file: usize, contents: Vec<(u64, ContentRef)>, damage: &Damage) -> Result<(), ReadError> {
        for (offset, content) in contents {
            match self.contents.copy(content, damage) {
                Ok(bytes) => self.write_at(file, offset, &bytes),
                Err(ReadError::Damaged(damage)) => self.fail(file, damage.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_at(&self, file: usize, offset: u64, bytes: &[u8]) {
        if let Some(planned) = self.files.get(file)
            && !(planned.sparse && bytes.iter().all(|byte| *byte == 0))
            && let Err(error) = planned.place.write_at(offset, bytes)
        {
            self.fail(file, error.into());
        }
        self.progress.advance(0, bytes.len() as u64);
    }

    /// Whether one of the files is damaged. One that the target does not take, or that only newer versions understand, ends no
    /// restore, and so must not keep others from being written.
    fn are_damaged(&self, writes: &[Write]) -> bool {
        writes.iter().any(|write| self.files.get(write.file).is_some_and(PlannedFile::is_damaged))
    }

    fn fail(&self, file: usize, error: ItemError) {
        if let Some(file) = self.files.get(file) {
            file.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

impl PlannedFile<'_> {
    fn is_damaged(&self) -> bool {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*failure, Some(ItemError::Damaged(damage)) if !damage.cause.is_newer_version())
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Checks the whole file against its hash, then gives it its name. With best effort, what there is of a damaged
    /// file gets a name that says so.
    fn finish(self, best_effort: bool) -> Result<(), Failed> {
        let (path, len) = (self.path.clone(), self.len);
        let failed = |error, kept_as| Failed { path, len, error, kept_as };
        match self.check() {
            Ok(()) => self.place.finish(&self.metadata).map_err(|error| failed(error.into(), None)),
            Err(ItemError::Damaged(damage)) if best_effort => match self.place.finish_damaged(&self.metadata) {
                Ok(kept_as) => Err(failed(damage.into(), Some(kept_as))),
                Err(error) => Err(failed(error.into(), None)),
            },
            Err(error) => Err(failed(error, None)),
        }
    }

    fn check(&self) -> Result<(), ItemError> {
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failure);
        }
        if let Some(hash) = self.hash
            && read_back(self.place.as_ref(), self.len)? != hash
        {
            return Err(self.wrong.clone().into());
        }
        Ok(())
    }
}

/// Where in a file and in a segment the bytes are that can be written at once. Contents that follow one another in a file
/// need not do so in the segment: others may lie between them, or they may stand in another order (spec §8.3).
fn joined(places: impl Iterator<Item = (u64, Range<usize>)>) -> Vec<(u64, Range<usize>)> {
    let mut ranges: Vec<(u64, Range<usize>)> = Vec::new();
    for (offset, range) in places {
        match ranges.last_mut() {
            Some((begin, last)) if last.end == range.start && *begin + last.len() as u64 == offset => {
                last.end = range.end;
            }
            _ => ranges.push((offset, range)),
        }
    }
    ranges
}

fn read_back(place: &dyn TargetFile, len: u64) -> Result<blake3::Hash, TargetError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BACK_LEN];
    let mut offset = 0;
    while offset < len {
        let wanted = usize::try_from(len - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        place.read_at(offset, part)?;
        hasher.update(part);
        offset += wanted as u64;
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_side_by_side_in_both_is_written_at_once() {
        let ranges = |places: &[(u64, Range<usize>)]| joined(places.iter().cloned());
        assert_eq!(ranges(&[(100, 0..5), (105, 5..8), (108, 8..9)]), [(100, 0..9)]);
        let between = [(100, 0..5), (105, 7..8)];
        assert_eq!(ranges(&between), between, "others lie between them in the segment");
        let left_out = [(100, 0..5), (108, 5..8)];
        assert_eq!(ranges(&left_out), left_out, "others lie between them in the file");
        let turned = [(100, 5..8), (103, 0..5)];
        assert_eq!(ranges(&turned), turned, "they stand in another order");
        let twice = [(100, 0..5), (105, 0..5)];
        assert_eq!(ranges(&twice), twice);
    }
}
