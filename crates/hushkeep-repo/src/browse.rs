//! Looking into snapshots: what they hold, how they differ, the contents of a file.

use std::cmp::Ordering;
use std::io::Write;
use std::iter::Peekable;

use hushkeep_core::name::ContentName;

use crate::RelPath;
use crate::error::{Damage, DamageCause, ReadError};
use crate::file_list_reader::FileListReader;
use crate::node::{Content, Entry, EntryKind, FileEntry};
use crate::objects::pack_name;
use crate::refs::{NodeName, Run};
use crate::repository::Repository;
use crate::restore::{database_of, is_database};
use crate::snapshot::{Snapshot, SnapshotEntry, SnapshotSource};
use crate::tree::Metadata;

/// Everything in a snapshot, in the order of the paths.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<SnapshotEntry, ReadError>> + 'a>;

/// How one path differs between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path inside the snapshots.
    pub path: RelPath,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the later snapshot has it.
    Added,
    /// Only the earlier snapshot has it.
    Removed,
    /// Its contents differ, or where a link points.
    Contents,
    /// Only its mode or time differ.
    Metadata,
    /// It was one kind of thing and is another.
    Kind,
}

/// Contents that could not be read out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFileError {
    /// Only files have contents.
    #[error("not a file")]
    NotAFile,
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The output takes no more.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
}

/// What a hard link leads to.
pub(crate) enum Original {
    /// A file, with its mode and times.
    File(FileEntry, Metadata),
    /// What only newer versions understand: so is the link, then.
    Newer,
    /// Nothing that a link may lead to.
    Nothing,
}

impl Repository {
    /// Everything in a snapshot, in the order of the paths. After an error nothing more comes of that source.
    pub fn entries<'a>(&'a self, snapshot: &'a Snapshot) -> Entries<'a> {
        let mut sources: Vec<&SnapshotSource> = snapshot.sources.iter().collect();
        sources.sort_by(|a, b| a.label.cmp(&b.label));
        Box::new(sources.into_iter().flat_map(|source| self.source_entries(source)))
    }

    /// Writes a file's contents, each piece proven before it is written. A hard link has the contents of its
    /// file.
    pub fn read_file(&self, entry: &SnapshotEntry, out: &mut dyn Write) -> Result<(), ReadFileError> {
        match &entry.entry.kind {
            EntryKind::File(file) => self.write_contents(entry, file, out),
            EntryKind::HardLink { .. } => match self.find_original(entry)? {
                Original::File(file, _) => self.write_contents(entry, &file, out),
                Original::Newer => Err(ReadError::from(self.newer_entry(entry)).into()),
                Original::Nothing => Err(ReadFileError::NotAFile),
            },
            EntryKind::Directory | EntryKind::Symlink { .. } => Err(ReadFileError::NotAFile),
            EntryKind::Newer(_) => Err(ReadError::from(self.newer_entry(entry)).into()),
        }
    }

    /// The log and the journal that a snapshot has beside a database: without them it may not be what its application
    /// committed. None beside any other file, nor what cannot be read.
    pub fn logs_beside(&self, snapshot: &Snapshot, file: &SnapshotEntry) -> Vec<RelPath> {
        if !is_database(&file.entry) {
            return Vec::new();
        }
        let paths = self.entries(snapshot).flatten().map(|entry| entry.path);
        let is_log =
            |path: &RelPath| !path.as_bytes().ends_with(b"-shm") && database_of(path).as_ref() == Some(&file.path);
        paths.filter(is_log).collect()
    }

    /// How `after` differs from `before`, in the order of the paths.
    pub fn diff<'a>(
        &'a self,
        before: &'a Snapshot,
        after: &'a Snapshot,
    ) -> impl Iterator<Item = Result<Change, ReadError>> + 'a {
        Diff { repository: self, before: self.entries(before).peekable(), after: self.entries(after).peekable() }
    }

    /// Everything in one source of a snapshot.
    pub(crate) fn source_entries<'a>(&'a self, source: &'a SnapshotSource) -> Entries<'a> {
        let join = |entry: Entry| {
            let path = entry.path.below(&source.label);
            SnapshotEntry { path, entry, list: source.root, label: source.label.clone() }
        };
        match FileListReader::open(&self.contents, source.root) {
            Ok((reader, _)) => Box::new(reader.map(move |entry| entry.map(join))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    /// What a hard link is another name of: it comes before the link (spec §10.4).
    pub(crate) fn find_original(&self, link: &SnapshotEntry) -> Result<Original, ReadError> {
        let EntryKind::HardLink { original } = &link.entry.kind else { return Ok(Original::Nothing) };
        if *original >= link.entry.path {
            return Ok(Original::Nothing);
        }
        let (mut reader, _) = FileListReader::open(&self.contents, link.list)?;
        let found = reader.find(|entry| entry.as_ref().map_or(true, |entry| entry.path >= *original)).transpose()?;
        Ok(match found.filter(|entry| entry.path == *original) {
            Some(Entry { kind: EntryKind::File(file), metadata, .. }) => Original::File(file, metadata),
            Some(Entry { kind: EntryKind::Newer(_), .. }) => Original::Newer,
            _ => Original::Nothing,
        })
    }

    fn write_contents(
        &self,
        entry: &SnapshotEntry,
        file: &FileEntry,
        out: &mut dyn Write,
    ) -> Result<(), ReadFileError> {
        let runs = self.contents_of(file)?;
        let damaged = || ReadError::from(self.damaged_file(&runs, entry.list, DamageCause::Content));
        let mut hasher = blake3::Hasher::new();
        let mut len = 0;
        for chunk in runs.iter().flat_map(|run| run.contents()) {
            let content = self.contents.content(chunk)?;
            if !file.fits(len, content.len() as u64) {
                return Err(damaged().into());
            }
            hasher.update(&content);
            len += content.len() as u64;
            out.write_all(&content).map_err(ReadFileError::Output)?;
        }
        if len == file.len && file.hash.is_none_or(|hash| hasher.finalize() == hash) {
            return out.flush().map_err(ReadFileError::Output);
        }
        Err(damaged().into())
    }

    /// Blames the pack that a file begins in, or, if it has no contents, that of the list that tells of it.
    pub(crate) fn damaged_file(&self, runs: &[Run], list: NodeName, cause: DamageCause) -> Damage {
        match (runs.first(), self.contents.node(list)) {
            (Some(run), _) => self.contents.damaged_content(run.start, cause),
            (None, Ok(node)) => self.contents.damaged_content(node, cause),
            (None, Err(_)) => Damage::new(&pack_name(&list.list), cause),
        }
    }

    /// Blames the pack of the list that tells of what only newer versions understand, or of a hard link to that.
    pub(crate) fn newer_entry(&self, entry: &SnapshotEntry) -> Damage {
        self.damaged_file(&[], entry.list, DamageCause::NewerVersion)
    }

    /// The pieces of a file, in order. That they are anywhere is for the caller to see: a hostile run may claim
    /// billions of them.
    pub(crate) fn contents_of(&self, file: &FileEntry) -> Result<Vec<Run>, ReadError> {
        match &file.content {
            Content::Chunks(runs) => Ok(runs.clone()),
            Content::Pages { page_size, map } => {
                let (pages, _, _) = self.contents.page_map(map.start)?;
                if pages.len != file.len || pages.page_size != *page_size {
                    return Err(self.contents.damaged_content(map.start, DamageCause::Length).into());
                }
                Ok(pages.runs().collect())
            }
        }
    }

    fn same_contents(&self, before: &FileEntry, after: &FileEntry) -> Result<bool, ReadError> {
        if before.len != after.len || before.hash.is_some() != after.hash.is_some() {
            return Ok(false);
        }
        match (before.hash, after.hash) {
            (Some(before), Some(after)) => Ok(before == after),
            _ => Ok(self.names_of(before)? == self.names_of(after)?),
        }
    }

    /// The names of a file's few pieces: equal for equal contents, wherever they are stored.
    fn names_of(&self, file: &FileEntry) -> Result<Vec<Option<ContentName>>, ReadError> {
        let Content::Chunks(runs) = &file.content else { return Ok(Vec::new()) };
        let chunks = runs.iter().flat_map(|run: &Run| run.contents());
        chunks.map(|chunk| Ok(self.contents.names(chunk.list)?.list.name(chunk.position).copied())).collect()
    }
}

struct Diff<'a> {
    repository: &'a Repository,
    before: Peekable<Entries<'a>>,
    after: Peekable<Entries<'a>>,
}

impl Diff<'_> {
    fn step(&mut self) -> Result<Option<Option<Change>>, ReadError> {
        let order = match (self.before.peek(), self.after.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok(before)), Some(Ok(after))) => before.path.cmp(&after.path),
            (Some(_), None) | (Some(Err(_)), Some(_)) => Ordering::Less,
            (None, Some(_)) | (Some(_), Some(Err(_))) => Ordering::Greater,
        };
        let mut next_before = || self.before.next().transpose();
        let mut next_after = || self.after.next().transpose();
        let change = |path, kind| Some(Some(Change { path, kind }));
        Ok(match order {
            Ordering::Less => next_before()?.and_then(|entry| change(entry.path, ChangeKind::Removed)),
            Ordering::Greater => next_after()?.and_then(|entry| change(entry.path, ChangeKind::Added)),
            Ordering::Equal => match (next_before()?, next_after()?) {
                (Some(before), Some(after)) => {
                    let kind = self.repository.compare(&before.entry, &after.entry)?;
                    Some(kind.map(|kind| Change { path: after.path, kind }))
                }
                _ => None,
            },
        })
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Change, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(None) => return None,
                Ok(Some(None)) => {}
                Ok(Some(Some(change))) => return Some(Ok(change)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Repository {
    fn compare(&self, before: &Entry, after: &Entry) -> Result<Option<ChangeKind>, ReadError> {
        let same = match (&before.kind, &after.kind) {
            (EntryKind::Directory, EntryKind::Directory) => true,
            (EntryKind::File(before), EntryKind::File(after)) => self.same_contents(before, after)?,
            (EntryKind::Symlink { target: before }, EntryKind::Symlink { target: after }) => before == after,
            (EntryKind::HardLink { original: before }, EntryKind::HardLink { original: after }) => before == after,
            (EntryKind::Newer(_), EntryKind::Newer(_)) => (&before.kind, &before.extra) == (&after.kind, &after.extra),
            _ => return Ok(Some(ChangeKind::Kind)),
        };
        let (before, after) = (&before.metadata, &after.metadata);
        let metadata = before.mode == after.mode && before.modified == after.modified;
        Ok(match (same, metadata) {
            (false, _) => Some(ChangeKind::Contents),
            (true, false) => Some(ChangeKind::Metadata),
            (true, true) => None,
        })
    }
}
