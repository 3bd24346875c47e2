//! Backing up: what changed in the sources becomes packs, and one commit names them.

mod chunker;
mod file_list_writer;
mod journal;
mod known;
mod new_pack;
mod pipeline;
mod publish;
mod published;
mod scan;
mod segments;
mod spot_check;

use std::collections::HashSet;
use std::sync::Arc;

use hushkeep_core::name::ObjectId;

use crate::bad_packs::BadPacks;
use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::PublishError;
use crate::objects::pack_name;
use crate::pack::PackInfo;
use crate::progress::Progress;
use crate::repository::{COPIES, Repository};
use crate::snapshot::{Snapshot, SnapshotSource};
use crate::state::{StateError, StateKey};
use crate::storage::StorageError;
use crate::tree::TreeErrorKind;
use crate::{RelPath, Timestamp, Tree};
use chunker::Chunker;
use file_list_writer::place_name;
use journal::Journal;
#[cfg(fuzzing)]
pub(crate) use journal::assert_round_trip as assert_journal_round_trips;
use known::{Base, Known};
use pipeline::{Pipeline, Stages};
use publish::{Stored, misnamed};
use published::Published;
use scan::{Scanned, Scanner};
use segments::Gatherer;

/// How often a backup begins at most, if other devices take away what it builds on.
const MAX_STARTS: usize = 3;

/// One thing to back up.
pub struct Source<'a> {
    /// Its name inside the snapshot: one component, different from the other sources'.
    pub label: RelPath,
    /// Where it is on this device: an absolute path, as raw bytes.
    pub path: Vec<u8>,
    /// The files.
    pub tree: &'a dyn Tree,
}

/// How to back up.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The time that the snapshot gets.
    pub now: Timestamp,
    /// What this device is called.
    pub device_name: String,
    /// Read and compare everything, but store nothing.
    pub dry_run: bool,
    /// How many segments of packs are read again, chosen by chance, if something new was stored: so a storage that lost or
    /// changed them is found out by and by. One is 1 MiB, a larger content's up to 4.
    pub spot_checks: u32,
}

impl BackupOptions {
    /// A backup that stores what it finds, and looks at two segments. Of a storage that lost one byte in a hundred, two a
    /// day find half of the times within five weeks.
    pub fn new(now: Timestamp, device_name: String) -> Self {
        Self { now, device_name, dry_run: false, spot_checks: 2 }
    }
}

/// What a backup did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BackupReport {
    /// The snapshot; `None` after a dry run.
    pub snapshot: Option<Snapshot>,
    /// Files that were not in the list before.
    pub files_new: u64,
    /// Files whose contents changed.
    pub files_changed: u64,
    /// Files whose contents are as they were.
    pub files_unchanged: u64,
    /// Files that were in the list before and are gone.
    pub files_removed: u64,
    /// Bytes read from the sources.
    pub bytes_read: u64,
    /// Bytes of contents that were not stored before, uncompressed.
    pub bytes_new: u64,
    /// Objects written to the storage.
    pub objects_stored: u64,
    /// Their bytes.
    pub bytes_stored: u64,
    /// Items that are not in the snapshot, or perhaps not in one state.
    pub problems: Vec<Problem>,
    /// Sockets, pipes and devices: these have no contents to keep, and are left out.
    pub specials: Vec<RelPath>,
    /// Damage of earlier objects that was noticed on the way. What it held was stored again, as far as it is
    /// still in the sources.
    pub damage: Vec<Damage>,
}

impl BackupReport {
    /// What counts of a backup that begins again.
    fn of_what_was_stored(self) -> Self {
        let Self { bytes_new, objects_stored, bytes_stored, .. } = self;
        Self { bytes_new, objects_stored, bytes_stored, ..Self::default() }
    }
}

/// An item that is not in the snapshot, or perhaps not in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path inside the snapshot.
    pub path: RelPath,
    /// What is wrong.
    pub kind: ProblemKind,
    /// The system's own word for it.
    pub detail: Option<String>,
}

impl Problem {
    /// Whether it is that a file changed or went while it was read, and so may not come again.
    fn may_settle(&self) -> bool {
        matches!(self.kind, ProblemKind::ChangedWhileRead | ProblemKind::Unread(TreeErrorKind::GoneFromDatabase))
    }
}

/// What is wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// It is not in the snapshot.
    #[error(transparent)]
    Unread(TreeErrorKind),
    /// It is in the snapshot, perhaps half old and half new.
    #[error("changed while it was read: the stored copy may be half old and half new")]
    ChangedWhileRead,
}

/// A backup that did not come to its end. Earlier snapshots are untouched; the next backup uses what was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage does not take an object.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This device's own state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The storage shows less than it did when the repository was opened.
    #[error("the storage shows a history that lacks what this device has already seen")]
    RolledBack,
    /// The labels of the sources are not single names, each another: nobody could read such a snapshot.
    #[error("each source needs a name of its own, without a slash")]
    Labels,
    /// A database is so large (more than 256 GiB) and scattered that its map passes the format's limit of 64 MiB.
    #[error("a database has too many pages for its map")]
    TooLarge,
    /// What this backup builds on was dropped by another device, again and again.
    #[error("other devices remove what this backup builds on, again and again")]
    Overtaken,
    /// A promise inside the engine was broken.
    #[error("the engine contradicts itself: this is a defect of hushkeep")]
    Internal,
}

impl From<PublishError> for BackupError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Storage(error) => Self::Storage(error),
            PublishError::RolledBack => Self::RolledBack,
            PublishError::Busy => Self::Overtaken,
            PublishError::Conflict => Self::Internal,
            PublishError::Read(error) => Self::Read(error),
            PublishError::State(error) => Self::State(error),
        }
    }
}

impl Repository {
    /// Backs up the sources as they are now, and publishes that as a snapshot.
    ///
    /// Killed at any point, the earlier snapshots stay whole and the next backup uses what was stored.
    pub fn backup(
        &mut self,
        sources: &[Source<'_>],
        options: &BackupOptions,
        progress: &dyn Progress,
    ) -> Result<BackupReport, BackupError> {
        check_labels(sources)?;
        self.refresh_if_old(options.now)?;
        let mut bad_packs = BadPacks::load(self.state.as_ref())?;
        let mut report = BackupReport::default();
        let mut starts = 0;
        loop {
            let spot_checks = if starts == 0 { options.spot_checks } else { 0 };
            starts += 1;
            match self.back_up_once(sources, options, progress, spot_checks, &mut bad_packs, &mut report) {
                // It begins again from what is there now; what it stored already is in the journal.
                Err(BackupError::Overtaken) if starts < MAX_STARTS => self.refresh()?,
                ended => return ended.map(|()| report),
            }
            report = report.of_what_was_stored();
        }
    }

    fn back_up_once(
        &mut self,
        sources: &[Source<'_>],
        options: &BackupOptions,
        progress: &dyn Progress,
        spot_checks: u32,
        bad_packs: &mut BadPacks,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        if !options.dry_run {
            self.check_writable()?;
        }
        let state = Arc::clone(&self.state);
        let device = self.device_id()?;
        let journal = Journal::load(state.as_ref(), sources, self.history.tables())?;
        let published = Published::load(state.as_ref())?;
        let mut mended = self.history.mended().to_vec();
        // Beside two whole ones it does no harm.
        let damaged = self.stored_configs.damaged.iter().filter(|_| self.stored_configs.whole < COPIES);
        mended.extend(damaged.map(|(_, damage)| damage.clone()));
        let retired = self.contents.retired().clone();

        let resumed = self.unnamed_packs(&journal, bad_packs, report)?;
        resumed.iter().for_each(|pack| self.contents.index.add(pack.clone()));
        let known = Known::load(&self.contents, self.history.tables(), &self.snapshots, &resumed, bad_packs)?;
        report.damage.extend(known.damage.iter().cloned());
        let missing = known.missing.clone();

        let bases = sources.iter().map(|source| {
            let is_same = |snapshot: &Snapshot, other: &SnapshotSource| {
                snapshot.device == device && published.contains(&snapshot.id) && other.path == source.path
            };
            known.base_for(&self.snapshots, is_same, &source.label)
        });
        let bases: Vec<Option<Base>> = bases.collect();
        let run = Run { sources, bases: &bases, options, progress, journal: &journal };
        let (snapshot_sources, packs) = run.store(self, known, report)?;
        report.objects_stored += packs.len() as u64;
        report.bytes_stored += packs.iter().map(|pack| pack.len).sum::<u64>();
        if options.dry_run {
            report.damage.extend(self.history.damaged().iter().cloned());
            report.damage.extend(mended);
            return Ok(());
        }
        journal.flush()?;
        // Only where something is new: an unchanged backup takes no more than five requests. If a pack is damaged, the backup
        // begins again, builds on it no more, and stores anew what it held.
        if !packs.is_empty() && !self.spot_check(spot_checks, &missing, bad_packs)? {
            return Err(BackupError::Overtaken);
        }
        packs.iter().for_each(|pack| self.contents.index.add(pack.clone()));
        let resumed = self.needed_of(resumed, &snapshot_sources)?;
        let (packs, device) = ([resumed, packs].concat(), (device, options.device_name.clone()));
        let stored = Stored { sources: snapshot_sources, packs, device, now: options.now, retired: &retired };
        self.publish_snapshot(stored, report)?;
        report.damage.extend(self.history.damaged().iter().cloned());
        report.damage.extend(mended);
        self.mend_configs(options.now);
        journal.settle(self.history.tables())?;
        // Not before: of a storage that went away nothing is there.
        bad_packs.remember(state.as_ref())?;
        Ok(())
    }

    /// Packs that are stored and that no commit names: what killed backups left, unless it was found bad, and what
    /// damaged commits may have named.
    fn unnamed_packs(
        &self,
        journal: &Journal<'_>,
        bad: &BadPacks,
        report: &mut BackupReport,
    ) -> Result<Vec<PackInfo>, ReadError> {
        let journaled = journal.usable(&self.contents.objects, self.history.tables())?;
        let ids: HashSet<ObjectId> = journaled.iter().map(|pack| pack.id).collect();
        let (bad, mut packs): (Vec<_>, Vec<_>) = journaled.into_iter().partition(|pack| bad.contains(&pack.id));
        report.damage.extend(bad.iter().map(|pack| Damage::new(&pack_name(&pack.id), DamageCause::Content)));
        packs.extend(self.contents.salvaged.iter().filter(|pack| !ids.contains(&pack.id)).cloned());
        let misnamed = misnamed(&packs, self.history.tables());
        packs.retain(|pack| !misnamed.contains(&pack.id));
        Ok(packs)
    }

    /// This device's id, drawn when it first backs up.
    pub(crate) fn device_id(&mut self) -> Result<ObjectId, StateError> {
        let stored = self.state.load(StateKey::Device)?;
        if let Some(Ok(id)) = stored.map(<[u8; 16]>::try_from) {
            return Ok(ObjectId::from_bytes(id));
        }
        let id = ObjectId::generate(&mut *self.rng());
        self.state.store(StateKey::Device, id.as_bytes())?;
        Ok(id)
    }
}

/// What a reader of snapshots asks of labels.
fn check_labels(sources: &[Source<'_>]) -> Result<(), BackupError> {
    let labels: HashSet<&RelPath> = sources.iter().map(|source| &source.label).collect();
    let single = labels.iter().all(|label| label.components().count() == 1);
    if single && labels.len() == sources.len() { Ok(()) } else { Err(BackupError::Labels) }
}

/// The storing part of one backup.
struct Run<'a, 's> {
    sources: &'a [Source<'s>],
    bases: &'a [Option<Base>],
    options: &'a BackupOptions,
    progress: &'a dyn Progress,
    journal: &'a Journal<'a>,
}

impl Run<'_, '_> {
    /// Reads the sources and stores what is new; returns what a snapshot says of them, and the new packs.
    fn store(
        &self,
        repository: &mut Repository,
        mut known: Known,
        report: &mut BackupReport,
    ) -> Result<(Vec<SnapshotSource>, Vec<PackInfo>), BackupError> {
        let keys = Arc::clone(repository.contents.objects.keys());
        let storage = Arc::clone(&repository.contents.objects.storage);
        let stages = Stages {
            storage: storage.as_ref(),
            keys: &keys,
            rng: &repository.rng,
            progress: self.progress,
            journal: self.journal,
            upload: !self.options.dry_run,
        };
        let contents = &mut repository.contents;
        std::thread::scope(|scope| {
            let pipeline = Pipeline::start(scope, &stages);
            let names = std::mem::take(&mut known.contents);
            let mut gatherer = Gatherer::new(&keys, &pipeline, names);
            let stored = self.scan_and_list(contents, &known, &mut gatherer, report);
            report.bytes_new += gatherer.new_bytes;
            drop(gatherer);
            let packs = pipeline.finish();
            Ok((stored?, packs?))
        })
    }

    /// Reads every source, then writes the lists: contents first, so that maps and lists can say where they are.
    fn scan_and_list(
        &self,
        contents: &mut Contents,
        known: &Known,
        gatherer: &mut Gatherer<'_, '_>,
        report: &mut BackupReport,
    ) -> Result<Vec<SnapshotSource>, BackupError> {
        let mut scanned = Vec::with_capacity(self.sources.len());
        // Always the first epoch's seed: cut otherwise, large files would be stored anew after a rotation.
        let seed = contents.objects.keyring.epochs().next().ok_or(BackupError::Internal)?.chunker_seed();
        let chunker = &mut Chunker::new(seed);
        for (source, base) in self.sources.iter().zip(self.bases) {
            let (progress, now) = (self.progress, self.options.now);
            let mut scanner = Scanner { contents, known, gatherer, chunker, progress, now, report };
            scanned.push(scanner.scan(source, *base)?);
        }
        gatherer.settle()?;
        for source in &mut scanned {
            source.list.write_maps(contents, gatherer)?;
        }
        gatherer.settle()?;
        let mut nodes = Vec::with_capacity(scanned.len());
        for source in &scanned {
            nodes.push(source.list.write_node(contents, gatherer)?);
        }
        gatherer.settle()?;
        let lists = self.sources.iter().zip(scanned).zip(nodes);
        lists
            .map(|((source, scanned), node)| {
                let Scanned { list, files, bytes, .. } = scanned;
                let root = match node {
                    Some(place) => place_name(place, contents, gatherer),
                    None => list.base(),
                };
                let root = root.ok_or(BackupError::Internal)?;
                Ok(SnapshotSource { label: source.label.clone(), path: source.path.clone(), files, bytes, root })
            })
            .collect()
    }
}
