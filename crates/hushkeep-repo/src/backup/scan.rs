//! Walks a source, and reads what changed since the list it is based on.

use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;

use super::chunker::Chunker;
use super::file_list_writer::{FileListWriter, PendingMap};
use super::known::{Base, Known, StoredMap};
use super::segments::{Gatherer, Place};
use super::{BackupError, BackupReport, Problem, ProblemKind, Source};
use crate::contents::Contents;
use crate::error::ReadError;
use crate::file_list_reader::FileListReader;
use crate::node::{Anchored, Content, Entry, EntryKind, FileEntry, PageMap};
use crate::progress::Progress;
use crate::refs::{ContentRef, NodeName};
use crate::tree::{Consistency, FileView, ItemKind, Layout, LinkId, Metadata, TreeError, TreeErrorKind, TreeItem};
use crate::{RelPath, Timestamp};

/// Of the files that look unchanged, one in so many is read again each day.
const REREAD_DAYS: u64 = 60;

/// A source with a database is read once more only if no more than so many bytes of it were read.
const MAX_READ_AGAIN: u64 = 4 << 30;

/// A map of so many pages fits into a node (64 MiB) however scattered they are: one takes up to 11 bytes, and the id of its
/// list 16, which others share.
const MAX_PAGES: u64 = 4 << 20;

/// The longest page of a map, in bytes (spec §10.5).
const MAX_PAGE_SIZE: u32 = 65_536;

/// How many maps are tried as the base for that of a database under a new name.
const MAX_MAPS_TRIED: usize = 16;

/// Reads the sources of one backup.
pub(super) struct Scanner<'a, 'b, 'scope> {
    pub(super) contents: &'a Contents,
    pub(super) known: &'a Known,
    pub(super) gatherer: &'a mut Gatherer<'b, 'scope>,
    pub(super) chunker: &'a mut Chunker,
    pub(super) progress: &'a dyn Progress,
    pub(super) now: Timestamp,
    pub(super) report: &'a mut BackupReport,
}

/// A source that was read.
pub(super) struct Scanned {
    pub(super) list: FileListWriter,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Whether a file was read as a database.
    has_database: bool,
}

/// The reading of one source.
struct SourceScan<'a, 's> {
    source: &'a Source<'s>,
    /// Times of the base that lie before this prove a file unchanged, in seconds.
    trusted_until: Option<i64>,
    scanned: Scanned,
    /// Files that are part of a database's view already.
    absorbed: BTreeSet<RelPath>,
    /// The first name of each file with several.
    links: HashMap<LinkId, RelPath>,
}

/// What was read of a file.
struct FileRead {
    metadata: Metadata,
    len: u64,
    /// Files beside it that were part of what was read.
    absorbed: Vec<RelPath>,
    hash: Option<[u8; 32]>,
    pieces: Pieces,
}

enum Pieces {
    Chunks(Vec<Place>),
    Pages { page_size: u32, pages: Vec<Place> },
}

/// A file that could not be read, or a backup that cannot go on.
enum FileFailure {
    Tree(TreeError),
    Backup(BackupError),
}

impl Scanner<'_, '_, '_> {
    /// Reads a source, compared with the list it is based on.
    ///
    /// A database and the files beside it are one, and they are read one after the other: if any file was found changed
    /// between, or gone, all are read again. An application that started or ended in the middle has settled by then.
    pub(super) fn scan(&mut self, source: &Source<'_>, base: Option<Base>) -> Result<Scanned, BackupError> {
        let before = self.report.clone();
        let first = self.scan_once(source, base)?;
        let bytes_read = self.report.bytes_read;
        let is_torn = self.report.problems.iter().skip(before.problems.len()).any(Problem::may_settle);
        if !first.has_database || !is_torn || bytes_read - before.bytes_read > MAX_READ_AGAIN {
            return Ok(first);
        }
        *self.report = BackupReport { bytes_read, ..before };
        self.scan_once(source, base)
    }

    fn scan_once(&mut self, source: &Source<'_>, base: Option<Base>) -> Result<Scanned, BackupError> {
        let trusted_until = base.and_then(|base| base.trusted_until);
        let (reader, base) = match base {
            Some(base) => {
                let (reader, base) = FileListReader::open(self.contents, base.list)?;
                let takes_delta = reader.takes_delta()?;
                (Some(reader), takes_delta.then_some(base))
            }
            None => (None, None),
        };
        let mut before = reader.into_iter().flatten().peekable();
        let scanned = Scanned { list: FileListWriter::new(base), files: 0, bytes: 0, has_database: false };
        let mut scan = SourceScan { source, trusted_until, scanned, absorbed: BTreeSet::new(), links: HashMap::new() };
        for item in source.tree.walk() {
            match item {
                Err(error) => self.problem(source, error),
                Ok(item) if scan.absorbed.contains(&item.path) => {}
                Ok(item) => {
                    self.remove_until(Some(&item.path), &mut before, &mut scan)?;
                    let entry = before.next_if(|entry| entry.as_ref().is_ok_and(|entry| entry.path == item.path));
                    self.item(item, entry.transpose()?, &mut scan)?;
                }
            }
        }
        self.remove_until(None, &mut before, &mut scan)?;
        Ok(scan.scanned)
    }

    /// Notes that the base's entries before `path` (or all that are left) are gone.
    fn remove_until(
        &mut self,
        path: Option<&RelPath>,
        before: &mut Peekable<impl Iterator<Item = Result<Entry, ReadError>>>,
        scan: &mut SourceScan<'_, '_>,
    ) -> Result<(), BackupError> {
        let is_gone = |entry: &Result<Entry, ReadError>| match (entry, path) {
            (Ok(entry), Some(path)) => entry.path < *path,
            _ => true,
        };
        while let Some(entry) = before.next_if(is_gone) {
            let entry = entry?;
            self.report.files_removed += u64::from(matches!(entry.kind, EntryKind::File(_)));
            scan.scanned.list.remove(&entry, self.gatherer)?;
        }
        Ok(())
    }

    fn item(
        &mut self,
        item: TreeItem,
        before: Option<Entry>,
        scan: &mut SourceScan<'_, '_>,
    ) -> Result<(), BackupError> {
        let kind = match item.kind {
            ItemKind::File { len, sparse, link } => {
                self.progress.item(&item.path.below(&scan.source.label));
                match link.and_then(|link| scan.links.get(&link)) {
                    Some(original) => EntryKind::HardLink { original: original.clone() },
                    None => {
                        // Only a file that was read can have further names.
                        if self.file(&item, len, sparse, before, scan)?
                            && let Some(link) = link
                        {
                            scan.links.insert(link, item.path);
                        }
                        return Ok(());
                    }
                }
            }
            ItemKind::Directory => EntryKind::Directory,
            ItemKind::Symlink { target } => EntryKind::Symlink { target },
        };
        let extra = Vec::new();
        let entry = Entry { path: item.path, metadata: item.metadata, kind, extra };
        self.put(entry, before, scan)
    }

    /// A file: kept by its times, or read. Whether it is in the list now.
    fn file(
        &mut self,
        item: &TreeItem,
        len: u64,
        sparse: bool,
        before: Option<Entry>,
        scan: &mut SourceScan<'_, '_>,
    ) -> Result<bool, BackupError> {
        scan.scanned.files += 1;
        let before = match before {
            Some(entry) if self.looks_unchanged(&entry, item, len, scan.trusted_until) => {
                self.report.files_unchanged += 1;
                scan.scanned.bytes += len;
                self.progress.advance(1, len);
                scan.scanned.list.keep(entry, self.gatherer)?;
                return Ok(true);
            }
            before => before,
        };
        match self.read_file(&item.path, len, scan) {
            Ok(read) => {
                scan.scanned.bytes += read.len;
                self.progress.advance(1, 0);
                self.put_file(item, sparse, read, before.as_ref(), scan)?;
                Ok(true)
            }
            Err(FileFailure::Backup(error)) => Err(error),
            Err(FileFailure::Tree(error)) => {
                scan.scanned.files -= 1;
                self.problem(scan.source, error);
                if let Some(before) = before {
                    scan.scanned.list.remove(&before, self.gatherer)?;
                }
                Ok(false)
            }
        }
    }

    /// Whether a file need not be read: everything `stat` tells is as it was, its contents are where they should
    /// be, and it is not this file's day to be read all the same. Databases are always read: in WAL mode
    /// neither size nor times of the main file tell of a change.
    fn looks_unchanged(&self, before: &Entry, item: &TreeItem, len: u64, trusted_until: Option<i64>) -> bool {
        let EntryKind::File(FileEntry { len: len_before, content: Content::Chunks(runs), .. }) = &before.kind else {
            return false;
        };
        let there = || runs.iter().all(|run| self.known.holds(self.contents, *run));
        let is_old =
            trusted_until.is_some_and(|until| item.metadata.modified.max(item.metadata.changed).seconds < until);
        is_old && *len_before == len && before.metadata == item.metadata && !self.is_reread_today(&item.path) && there()
    }

    fn is_reread_today(&self, path: &RelPath) -> bool {
        let day = u64::try_from(self.now.seconds).unwrap_or_default() / 86_400;
        let hash = blake3::hash(path.as_bytes());
        let hash = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        hash % REREAD_DAYS == day % REREAD_DAYS
    }

    /// Reads a file; once more if it changed meanwhile.
    fn read_file(&mut self, path: &RelPath, len: u64, scan: &mut SourceScan<'_, '_>) -> Result<FileRead, FileFailure> {
        let (first, consistency) = self.read_once(path, len, scan)?;
        if consistency == Consistency::Consistent {
            return Ok(first);
        }
        let (second, consistency) = self.read_once(path, len, scan)?;
        if consistency == Consistency::ChangedWhileRead {
            let path = path.below(&scan.source.label);
            self.report.problems.push(Problem { path, kind: ProblemKind::ChangedWhileRead, detail: None });
        }
        Ok(second)
    }

    fn read_once(
        &mut self,
        path: &RelPath,
        len: u64,
        scan: &mut SourceScan<'_, '_>,
    ) -> Result<(FileRead, Consistency), FileFailure> {
        let mut view = scan.source.tree.open(path)?;
        let (metadata, absorbed) = (view.metadata(), view.absorbed().to_vec());
        let (len, hash, pieces) = match view.layout() {
            Layout::Bytes => self.read_chunks(view.as_mut())?,
            Layout::Pages(page_size) => {
                scan.scanned.has_database = true;
                self.read_pages(view.as_mut(), mapped_page_size(page_size, len))?
            }
        };
        self.report.bytes_read += len;
        Ok((FileRead { metadata, len, absorbed, hash, pieces }, view.finish()?))
    }

    fn read_chunks(&mut self, view: &mut dyn FileView) -> Result<(u64, Option<[u8; 32]>, Pieces), FileFailure> {
        self.chunker.begin();
        let mut hasher = blake3::Hasher::new();
        let (mut len, mut compressible) = (0, None);
        let mut places = Vec::new();
        while let Some(chunk) = self.chunker.next(|buffer| view.read(buffer))? {
            let compressible = *compressible.get_or_insert_with(|| Chunker::looks_compressible(chunk));
            places.push(self.gatherer.add(chunk, compressible)?);
            hasher.update(chunk);
            len += chunk.len() as u64;
            self.progress.advance(0, chunk.len() as u64);
        }
        let hash = (places.len() > 1).then(|| *hasher.finalize().as_bytes());
        Ok((len, hash, Pieces::Chunks(places)))
    }

    fn read_pages(
        &mut self,
        view: &mut dyn FileView,
        page_size: u32,
    ) -> Result<(u64, Option<[u8; 32]>, Pieces), FileFailure> {
        let mut buffer = vec![0; (1 << 20).max(page_size as usize)];
        let mut hasher = blake3::Hasher::new();
        let mut len = 0;
        let mut pages = Vec::new();
        loop {
            let filled = fill(&mut buffer, |rest| view.read(rest))?;
            let read = buffer.get(..filled).unwrap_or_default();
            hasher.update(read);
            for page in read.chunks(page_size as usize) {
                pages.push(self.gatherer.add(page, true)?);
            }
            len += filled as u64;
            self.progress.advance(0, filled as u64);
            if filled < buffer.len() {
                return Ok((len, Some(*hasher.finalize().as_bytes()), Pieces::Pages { page_size, pages }));
            }
        }
    }

    fn put_file(
        &mut self,
        item: &TreeItem,
        sparse: bool,
        read: FileRead,
        before: Option<&Entry>,
        scan: &mut SourceScan<'_, '_>,
    ) -> Result<(), BackupError> {
        let FileRead { metadata, len, absorbed, hash, pieces } = read;
        let merged = !absorbed.is_empty();
        scan.absorbed.extend(absorbed);
        let stored = before.and_then(file_content);
        let same = self.same_contents(&pieces, stored)?;
        match (before, same) {
            (Some(entry), true) if matches!(entry.kind, EntryKind::File(_)) => self.report.files_unchanged += 1,
            (Some(_), _) => self.report.files_changed += 1,
            (None, _) => self.report.files_new += 1,
        }
        if same && let (Some(before), Some(content)) = (before, stored) {
            let kind = EntryKind::File(FileEntry { len, sparse, merged, hash, content: content.clone() });
            let extra = extra_of(before, &metadata, &kind);
            let entry = Entry { path: item.path.clone(), metadata, kind, extra };
            if entry == *before {
                return scan.scanned.list.keep(entry, self.gatherer);
            }
            let entry = scan.scanned.list.anchor_entry(entry);
            return scan.scanned.list.put(entry, self.gatherer);
        }
        let content = match pieces {
            Pieces::Chunks(places) => scan.scanned.list.chunks(&places),
            Pieces::Pages { page_size, pages } => {
                let base = self.map_base(&pages, page_size, stored)?;
                scan.scanned.list.pages(PendingMap { page_size, len, pages, base })
            }
        };
        let kind = EntryKind::File(FileEntry { len, sparse, merged, hash, content });
        let entry = Entry { path: item.path.clone(), metadata, kind, extra: Vec::new() };
        scan.scanned.list.put(entry, self.gatherer)
    }

    /// Whether what was read is, piece by piece, what is stored.
    fn same_contents(&self, pieces: &Pieces, stored: Option<&Content>) -> Result<bool, BackupError> {
        Ok(match (pieces, stored) {
            (Pieces::Chunks(places), Some(Content::Chunks(runs))) => {
                let stored = runs.iter().flat_map(|run| run.contents()).map(Place::Stored);
                places.iter().copied().eq(stored)
            }
            (Pieces::Pages { page_size, pages }, Some(Content::Pages { page_size: before, map })) => {
                page_size == before
                    && self.known.holds_map(map.start)
                    && equal_pages(pages, &self.contents.page_map(map.start)?.0) == pages.len()
            }
            _ => false,
        })
    }

    /// The stored map that a database's map should be a delta of: that of the same path, else the one of which
    /// most pages are in the same places, if they are more than half.
    fn map_base(
        &self,
        pages: &[Place],
        page_size: u32,
        stored: Option<&Content>,
    ) -> Result<Option<NodeName>, BackupError> {
        if let Some(Content::Pages { page_size: before, map }) = stored
            && *before == page_size
            && self.known.holds_map(map.start)
        {
            return Ok(self.contents.index.node_name(map.start));
        }
        let mut best: Option<(usize, ContentRef)> = None;
        let candidates = self.known.maps.iter().rev().filter(|map| map.page_size == page_size);
        for StoredMap { node, .. } in candidates.take(MAX_MAPS_TRIED) {
            let equal = equal_pages(pages, &self.contents.page_map(*node)?.0);
            if equal > pages.len() / 2 && best.is_none_or(|(most, _)| equal > most) {
                best = Some((equal, *node));
            }
        }
        Ok(best.and_then(|(_, node)| self.contents.index.node_name(node)))
    }

    /// Adds an entry without contents, if it differs from the base's.
    fn put(
        &mut self,
        entry: Entry<Anchored>,
        before: Option<Entry>,
        scan: &mut SourceScan<'_, '_>,
    ) -> Result<(), BackupError> {
        match before {
            Some(before) if is_same(&before, &entry) => scan.scanned.list.keep(before, self.gatherer),
            _ => scan.scanned.list.put(entry, self.gatherer),
        }
    }

    fn problem(&mut self, source: &Source<'_>, error: TreeError) {
        let path = error.path.below(&source.label);
        let kind = match error.kind {
            TreeErrorKind::Gone => return,
            TreeErrorKind::Special => return self.report.specials.push(path),
            kind => ProblemKind::Unread(kind),
        };
        let detail = error.source.map(|source| source.to_string());
        self.report.problems.push(Problem { path, kind, detail });
    }
}

/// The contents of an entry, if it is a file.
fn file_content(entry: &Entry) -> Option<&Content> {
    match &entry.kind {
        EntryKind::File(file) => Some(&file.content),
        _ => None,
    }
}

/// Whether an entry without contents is as it was.
fn is_same(before: &Entry, now: &Entry<Anchored>) -> bool {
    let kind = match (&before.kind, &now.kind) {
        (EntryKind::Directory, EntryKind::Directory) => true,
        (EntryKind::Symlink { target: before }, EntryKind::Symlink { target }) => before == target,
        (EntryKind::HardLink { original: before }, EntryKind::HardLink { original }) => before == original,
        _ => false,
    };
    kind && before.metadata == now.metadata
}

/// What a newer version said of an entry, if that is as it was: it said that of the file as it was then (spec §10.4).
fn extra_of(before: &Entry, metadata: &Metadata, kind: &EntryKind) -> Vec<u8> {
    if (&before.metadata, &before.kind) == (metadata, kind) { before.extra.clone() } else { Vec::new() }
}

/// The size of the pages in the map of a database that is about `len` bytes long: its own, or several of them together.
fn mapped_page_size(page_size: u32, len: u64) -> u32 {
    let sizes =
        std::iter::successors(Some(page_size), |size| size.checked_mul(2).filter(|size| *size <= MAX_PAGE_SIZE));
    let mut sizes = sizes.skip_while(|size| len.div_ceil(u64::from(*size)) > MAX_PAGES);
    sizes.next().unwrap_or(MAX_PAGE_SIZE)
}

/// How many pages are in the same place of a stored map. All of them, only if both have as many.
fn equal_pages(pages: &[Place], map: &PageMap) -> usize {
    let equal = pages.iter().zip(map.pages()).filter(|(place, stored)| **place == Place::Stored(*stored)).count();
    if pages.len() == map.count() as usize { equal } else { equal.min(pages.len().saturating_sub(1)) }
}

/// Fills the buffer as far as the file goes.
pub(super) fn fill(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> Result<usize, TreeError>,
) -> Result<usize, TreeError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read(rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

impl From<TreeError> for FileFailure {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

impl From<BackupError> for FileFailure {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents that are the same may be told of in another way, too.
    #[test]
    fn what_newer_versions_said_of_a_file_goes_when_anything_of_it_changes() {
        let file = FileEntry { len: 0, sparse: false, merged: false, hash: None, content: Content::Chunks(Vec::new()) };
        let metadata = Metadata { mode: 0o600, modified: Timestamp::EPOCH, changed: Timestamp::EPOCH };
        let (path, kind) = (RelPath::root(), EntryKind::File(file.clone()));
        let before = Entry { path, metadata, kind, extra: vec![2, 1, 7] };
        assert_eq!(extra_of(&before, &metadata, &before.kind), before.extra);
        let touched = Metadata { mode: 0o644, ..metadata };
        assert!(extra_of(&before, &touched, &before.kind).is_empty());
        for changed in [
            FileEntry { sparse: true, ..file.clone() },
            FileEntry { merged: true, ..file.clone() },
            FileEntry { hash: Some([0; 32]), ..file.clone() },
            FileEntry { len: 1, ..file },
        ] {
            let kind = EntryKind::File(changed);
            assert!(extra_of(&before, &metadata, &kind).is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn a_large_database_is_mapped_by_several_pages_together() {
        const GIB: u64 = 1 << 30;
        for (page_size, len, mapped) in [
            (4096, 0, 4096),
            (4096, 16 * GIB, 4096),
            (4096, 16 * GIB + 1, 8192),
            (1024, 100 * GIB, 32_768),
            (4096, 256 * GIB, 65_536),
            (65_536, 1 << 50, 65_536),
        ] {
            assert_eq!(mapped_page_size(page_size, len), mapped, "{page_size} {len}");
        }
    }
}
