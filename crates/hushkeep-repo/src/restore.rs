//! Restoring: a snapshot's files written out again, byte for byte, every piece proven on the way.

mod databases;
mod pieces;
mod window;

use std::collections::HashSet;

use crate::RelPath;
use crate::browse::Original;
use crate::error::{Damage, DamageCause, ReadError};
use crate::node::{Content, EntryKind, FileEntry};
use crate::objects::pack_name;
use crate::progress::Progress;
use crate::refs::{NodeName, Run};
use crate::repository::Repository;
use crate::snapshot::{Snapshot, SnapshotEntry};
use crate::target::{Existing, Target, TargetError, TargetErrorKind};
use crate::tree::Metadata;
use databases::{Databases, Fate, SIDECARS};
pub(crate) use databases::{database_of, is_database};
use pieces::Pieces;
use window::{Failed, NewFile, Window};

/// What to do where something already lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Replace files.
    Always,
    /// Replace files whose length or time differ.
    IfChanged,
    /// Leave everything that is there.
    Never,
}

/// How to restore.
pub struct RestoreOptions<'a> {
    /// Which paths, inside the snapshot, to restore. What lies beside a database that is selected comes with it: without its
    /// log, a database is not what its application committed.
    pub select: &'a (dyn Fn(&RelPath) -> bool + Sync),
    /// What to do where something already lies.
    pub overwrite: Overwrite,
    /// Go on past damage: every file that is whole is restored; of the others what there is, under another name.
    pub best_effort: bool,
    /// Count, but write nothing.
    pub dry_run: bool,
}

impl RestoreOptions<'_> {
    /// Whether the restore goes on past this. What only newer versions understand is not damaged, and costs what it holds alone
    /// (spec §14).
    fn passes_over(&self, damage: &Damage) -> bool {
        self.best_effort || damage.cause.is_newer_version()
    }
}

/// What a restore did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Files written.
    pub files: u64,
    /// Folders made or found.
    pub directories: u64,
    /// Symbolic and hard links made.
    pub links: u64,
    /// Bytes of files written.
    pub bytes: u64,
    /// Files left as they were, as the options say.
    pub files_kept: u64,
    /// Files that lay beside a restored database and were renamed: from, to.
    pub set_aside: Vec<(RelPath, RelPath)>,
    /// Items that are not restored.
    pub problems: Vec<RestoreProblem>,
}

/// An item that is not restored.
#[derive(Debug)]
pub struct RestoreProblem {
    /// Its path inside the snapshot.
    pub path: RelPath,
    /// Why.
    pub error: ItemError,
    /// With best effort: where lies what there is of a damaged file, with zeros where something is missing.
    pub kept_as: Option<RelPath>,
}

/// Why an item is not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// Its place cannot be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its contents are damaged, or it is something that only newer versions understand.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It belongs to a database that could not be restored, and would spoil the one that lies in its place.
    #[error("belongs to a database that could not be restored")]
    WithoutDatabase,
}

/// A restore that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file's contents are damaged.
    #[error("{path}: {damage}")]
    Damaged {
        /// The file's path inside the snapshot.
        path: RelPath,
        /// What is damaged.
        damage: Damage,
    },
    /// The target takes no more.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Repository {
    /// Restores what `options` select of a snapshot. Every file appears whole under its name, or not at all. What only newer
    /// versions understand is among the problems.
    pub fn restore(
        &self,
        snapshot: &Snapshot,
        target: &dyn Target,
        options: &RestoreOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<RestoreReport, RestoreError> {
        let ahead = self.look_ahead(snapshot, options)?;
        progress.total(ahead.files, ahead.bytes);
        let mut restore = Restore {
            repository: self,
            target,
            options,
            progress,
            report: RestoreReport::default(),
            window: Window::default(),
            folders: Vec::new(),
            links: Vec::new(),
            originals: ahead.originals,
            planned: Vec::new(),
            databases: Databases::default(),
            linkable: HashSet::new(),
        };
        for entry in self.entries(snapshot) {
            match entry {
                Ok(entry) => {
                    let selected = (options.select)(&entry.path);
                    if restore.databases.selects(&entry.path, &entry.entry, selected) {
                        restore.entry(entry)?;
                    }
                }
                Err(ReadError::Damaged(damage)) if options.passes_over(&damage) => {
                    restore.problem(RelPath::root(), damage.into())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        restore.finish()
    }

    /// Holds what is said of a file against the lengths of its contents.
    pub(crate) fn measure(&self, file: &FileEntry, runs: &[Run], list: NodeName) -> Result<(), ReadError> {
        let wrong = self.damaged_file(runs, list, DamageCause::Content);
        Pieces::of(&self.contents, file, runs, &wrong)?.damage.map_or(Ok(()), |damage| Err(damage.into()))
    }

    /// Blames the list that tells of a hard link.
    pub(crate) fn damaged_link(link: &SnapshotEntry) -> Damage {
        Damage { object: pack_name(&link.list.list).to_string(), cause: DamageCause::OutsideFolder }
    }

    /// Counts what is selected, and finds the files that have several names.
    fn look_ahead(&self, snapshot: &Snapshot, options: &RestoreOptions<'_>) -> Result<Ahead, ReadError> {
        let (mut ahead, mut databases) = (Ahead::default(), Databases::default());
        for entry in self.entries(snapshot) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(ReadError::Damaged(damage)) if options.passes_over(&damage) => continue,
                Err(error) => return Err(error),
            };
            let selected = databases.selects(&entry.path, &entry.entry, (options.select)(&entry.path));
            match &entry.entry.kind {
                EntryKind::File(file) if selected => {
                    ahead.files += 1;
                    ahead.bytes = ahead.bytes.saturating_add(file.len);
                }
                EntryKind::HardLink { original } => drop(ahead.originals.insert(original.below(&entry.label))),
                _ => {}
            }
        }
        Ok(ahead)
    }
}

/// A restore under way.
struct Restore<'a, 't> {
    repository: &'a Repository,
    target: &'t dyn Target,
    options: &'a RestoreOptions<'a>,
    progress: &'a dyn Progress,
    report: RestoreReport,
    window: Window<'t>,
    /// Folders that get their final metadata at the end.
    folders: Vec<(RelPath, Metadata)>,
    /// Hard links, made when their files are there.
    links: Vec<SnapshotEntry>,
    /// Files that hard links are other names of.
    originals: HashSet<RelPath>,
    /// Those of them that the window holds.
    planned: Vec<RelPath>,
    databases: Databases,
    /// Those of them that lie in the target now, whole; of a dry run, that would.
    linkable: HashSet<RelPath>,
}

/// What a first look at a snapshot tells.
#[derive(Default)]
struct Ahead {
    files: u64,
    bytes: u64,
    originals: HashSet<RelPath>,
}

impl Restore<'_, '_> {
    fn entry(&mut self, entry: SnapshotEntry) -> Result<(), RestoreError> {
        let metadata = entry.entry.metadata;
        match &entry.entry.kind {
            EntryKind::Directory => {
                self.report.directories += 1;
                if self.options.dry_run {
                    return Ok(());
                }
                match self.target.create_directory(&entry.path) {
                    Ok(()) => self.folders.push((entry.path, metadata)),
                    Err(error) => self.problem(entry.path, error.into())?,
                }
                Ok(())
            }
            EntryKind::File(file) => self.file(entry.path, file, &metadata, entry.list),
            EntryKind::Symlink { target } => {
                self.link(&entry.path, |place| place.create_symlink(&entry.path, target, &metadata))
            }
            EntryKind::HardLink { .. } => {
                self.links.push(entry);
                Ok(())
            }
            EntryKind::Newer(_) => {
                let damage = self.repository.newer_entry(&entry);
                self.problem(entry.path, damage.into())
            }
        }
    }

    /// Restores a file of which this list tells.
    fn file(
        &mut self,
        path: RelPath,
        file: &FileEntry,
        metadata: &Metadata,
        list: NodeName,
    ) -> Result<(), RestoreError> {
        if self.stays_away(&path, file)? {
            return Ok(());
        }
        // Neither length nor time of a database tell whether its log has changed it.
        let proof = matches!(file.content, Content::Chunks(_)).then_some((file.len, metadata));
        match self.keeps(&path, proof) {
            Ok(true) => {
                self.report.files_kept += 1;
                self.progress.advance(1, file.len);
                self.databases.set(&path, Fate::Kept);
                if self.options.overwrite == Overwrite::IfChanged && self.originals.contains(&path) {
                    self.linkable.insert(path);
                }
                return Ok(());
            }
            Ok(false) => {}
            Err(error) => return self.problem(path, error.into()),
        }
        if self.options.dry_run {
            self.linkable.extend(self.originals.get(&path).cloned());
        } else {
            self.progress.item(&path);
            match self.plan(&path, file, metadata, list) {
                Ok(()) => {}
                Err(PlanError::Item(error)) => {
                    self.databases.set(&path, Fate::Failed);
                    return self.problem(path, error);
                }
                Err(PlanError::Storage(error)) => return Err(error.into()),
            }
        }
        self.report.files += 1;
        self.report.bytes = self.report.bytes.saturating_add(file.len);
        if self.window.is_full() { self.flush() } else { Ok(()) }
    }

    /// Whether a file is not restored because what lies in the place of its database is not that of the snapshot.
    fn stays_away(&mut self, path: &RelPath, file: &FileEntry) -> Result<bool, RestoreError> {
        let Some(database) = database_of(path).filter(|_| self.databases.fate_beside(path).is_some()) else {
            return Ok(false);
        };
        // Only then it is known how the database itself came out.
        self.flush()?;
        match self.databases.fate_beside(path) {
            Some(Fate::Kept) => {
                self.report.files_kept += 1;
                self.progress.advance(1, file.len);
                Ok(true)
            }
            Some(Fate::Failed) if self.target.existing(&database)?.is_some() => {
                self.problem(path.clone(), ItemError::WithoutDatabase)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Begins a file, and notes what is to be written into it. Its length is a claim until its pieces were found.
    fn plan(&mut self, path: &RelPath, file: &FileEntry, metadata: &Metadata, list: NodeName) -> Result<(), PlanError> {
        let runs = self.repository.contents_of(file)?;
        let wrong = self.repository.damaged_file(&runs, list, DamageCause::Content);
        let pieces = Pieces::of(&self.repository.contents, file, &runs, &wrong)?;
        let is_worth_keeping = self.options.best_effort && pieces.prove(file.len);
        if let Some(damage) = pieces.damage.clone().filter(|_| !is_worth_keeping) {
            return Err(PlanError::Item(damage.into()));
        }
        if let Content::Pages { .. } = file.content {
            self.set_sidecars_aside(path)?;
        }
        let place = self.target.create_file(path, file.len)?;
        self.window.add(NewFile { path: path.clone(), place, entry: file, metadata: *metadata, pieces, wrong });
        if self.originals.contains(path) {
            self.planned.push(path.clone());
        }
        Ok(())
    }

    /// A write-ahead log or journal from elsewhere must not lie beside a restored database (spec §7.3).
    fn set_sidecars_aside(&mut self, path: &RelPath) -> Result<(), TargetError> {
        for suffix in SIDECARS {
            let Ok(sidecar) = path.with_suffix(suffix) else { continue };
            if matches!(self.target.existing(&sidecar)?, Some(Existing::File { .. } | Existing::Other)) {
                let moved = self.target.set_aside(&sidecar)?;
                self.report.set_aside.push((sidecar, moved));
            }
        }
        Ok(())
    }

    /// Whether what lies at a path stays as it is.
    fn keeps(&self, path: &RelPath, file: Option<(u64, &Metadata)>) -> Result<bool, TargetError> {
        Ok(match (self.options.overwrite, self.target.existing(path)?) {
            (Overwrite::Always, _) | (_, None) => false,
            (Overwrite::Never, Some(_)) => true,
            (Overwrite::IfChanged, Some(Existing::File { len, modified })) => {
                file.is_some_and(|(file_len, metadata)| file_len == len && metadata.modified == modified)
            }
            (Overwrite::IfChanged, Some(_)) => false,
        })
    }

    fn link(
        &mut self,
        path: &RelPath,
        make: impl FnOnce(&dyn Target) -> Result<(), TargetError>,
    ) -> Result<(), RestoreError> {
        match self.keeps(path, None) {
            Ok(true) => self.report.files_kept += 1,
            Ok(false) if self.options.dry_run => self.report.links += 1,
            Ok(false) => match make(self.target) {
                Ok(()) => self.report.links += 1,
                Err(error) => self.problem(path.clone(), error.into())?,
            },
            Err(error) => self.problem(path.clone(), error.into())?,
        }
        Ok(())
    }

    /// Makes another name of a restored file; if that file was not restored, its contents come under this name. What
    /// else may lie in its place is never linked to.
    fn hard_link(&mut self, entry: SnapshotEntry) -> Result<(), RestoreError> {
        let EntryKind::HardLink { original } = &entry.entry.kind else { return Ok(()) };
        let original_path = original.below(&entry.label);
        let comes_before = *original < entry.entry.path;
        if comes_before && self.linkable.contains(&original_path) {
            return self.link(&entry.path, |place| place.create_hard_link(&entry.path, &original_path));
        }
        let damage = match self.repository.find_original(&entry)? {
            Original::File(file, metadata) => return self.file(entry.path, &file, &metadata, entry.list),
            Original::Newer => self.repository.newer_entry(&entry),
            Original::Nothing => Repository::damaged_link(&entry),
        };
        self.problem(entry.path, damage.into())
    }

    fn finish(mut self) -> Result<RestoreReport, RestoreError> {
        self.flush()?;
        for link in std::mem::take(&mut self.links) {
            self.hard_link(link)?;
        }
        self.flush()?;
        for (path, metadata) in std::mem::take(&mut self.folders).into_iter().rev() {
            if let Err(error) = self.target.finish_directory(&path, &metadata) {
                self.problem(path, error.into())?;
            }
        }
        if !self.options.dry_run {
            self.target.sync()?;
        }
        Ok(self.report)
    }

    /// Writes everything that is planned.
    fn flush(&mut self) -> Result<(), RestoreError> {
        let window = std::mem::take(&mut self.window);
        let failed = window.write(&self.repository.contents, self.progress, self.options.best_effort)?;
        self.linkable.extend(self.planned.drain(..));
        for Failed { path, len, error, kept_as } in failed {
            self.linkable.remove(&path);
            self.databases.set(&path, Fate::Failed);
            self.report.files -= 1;
            self.report.bytes = self.report.bytes.saturating_sub(len);
            self.problem(path, error)?;
            if let Some(problem) = self.report.problems.last_mut() {
                problem.kept_as = kept_as;
            }
        }
        Ok(())
    }

    /// Notes that an item is not restored, or ends the restore: without best effort at the first damage, and
    /// whenever the target is full.
    fn problem(&mut self, path: RelPath, error: ItemError) -> Result<(), RestoreError> {
        match error {
            ItemError::Damaged(damage) if !self.options.passes_over(&damage) => {
                Err(RestoreError::Damaged { path, damage })
            }
            ItemError::Target(error) if error.kind == TargetErrorKind::Full => Err(error.into()),
            error => {
                self.report.problems.push(RestoreProblem { path, error, kept_as: None });
                Ok(())
            }
        }
    }
}

/// A file that could not be begun.
enum PlanError {
    Item(ItemError),
    Storage(ReadError),
}

impl From<ReadError> for PlanError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Item(damage.into()),
            error => Self::Storage(error),
        }
    }
}

impl From<TargetError> for PlanError {
    fn from(error: TargetError) -> Self {
        Self::Item(error.into())
    }
}
