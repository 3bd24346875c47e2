//! The program `measure-scale`: which backups are measured, and what is said of each.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use hushkeep::repo::storage::{Folder, Storage};
use hushkeep::repo::{BackupReport, PruneOptions, PruneReport, Quiet, SnapshotId, Tree};
use serde_json::{Value, json};

use crate::database::{Database, DatabaseTree};
use crate::dated::DatedStorage;
use crate::device::Device;
use crate::discarding::DiscardingStorage;
use crate::media::MediaTree;
use crate::requests::RequestCounter;
use crate::retention;
use crate::usage::Usage;

type Failure = Box<dyn Error>;

const USAGE: &str =
    "usage: measure-scale (media | years (--keep-all | --retention)) --work DIR [--small] [--pages N] [--step STEP]";

/// The label of the media, and of the folder with the database.
const MEDIA: &str = "Media";
const DATABASES: &str = "Databases";

/// The backups of part `media`, a day apart, and the images that were added before each.
const MEDIA_STEPS: [(&str, u64); 3] = [("first", 0), ("unchanged", 0), ("15 new", 15)];

/// A step that prunes is called so, and by its day.
const PRUNE: &str = "prune ";

/// What nothing needs may be so much of what is stored.
const MAX_UNUSED: f64 = 0.05;

struct Options {
    part: String,
    /// Runs only this step, in this process.
    step: Option<String>,
    work: PathBuf,
    size: Size,
    keep: Option<Keep>,
}

/// How much is made.
struct Size {
    is_small: bool,
    files: u64,
    days: u64,
    pages: u64,
    /// Every so many days there is a `VACUUM`.
    vacuum_days: u64,
    /// Every so many days are measured, and pruned where not every snapshot is kept.
    measured_days: u64,
}

const FULL: Size =
    Size { is_small: false, files: 500_000, days: 3650, pages: 25_600, vacuum_days: 182, measured_days: 30 };
const SMALL: Size = Size { is_small: true, files: 1000, days: 40, pages: 400, vacuum_days: 25, measured_days: 10 };

/// Which snapshots stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    Retention,
}

impl Keep {
    /// What it is called, as an argument and as a folder.
    fn name(self) -> &'static str {
        match self {
            Self::All => "keep-all",
            Self::Retention => "retention",
        }
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let part = arguments.next().ok_or(USAGE)?;
        let (mut step, mut work, mut size, mut pages, mut keep) = (None, None, FULL, None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--work" => work = arguments.next(),
                "--step" => step = arguments.next(),
                "--small" => size = SMALL,
                "--pages" => pages = Some(arguments.next().ok_or(USAGE)?.parse()?),
                "--keep-all" => keep = Some(Keep::All),
                "--retention" => keep = Some(Keep::Retention),
                _ => return Err(USAGE.into()),
            }
        }
        size.pages = pages.unwrap_or(size.pages);
        let folder = keep.map_or_else(|| part.clone(), |keep| keep.name().to_owned());
        let work = Path::new(&work.ok_or(USAGE)?).join(folder);
        Ok(Self { part, step, work, size, keep })
    }

    fn device(&self) -> Device {
        Device::new(&self.work.join("home"))
    }

    fn repository(&self) -> PathBuf {
        self.work.join("repository")
    }

    fn database(&self) -> Database {
        Database::at(self.work.join("msgstore.db"), self.size.pages, self.size.vacuum_days)
    }

    /// Runs one step in a process of its own, which prints its line where this one prints.
    fn measure(&self, step: &str) -> Result<(), Failure> {
        let parent = self.work.parent().ok_or(USAGE)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([&self.part, "--step", step, "--work"]).arg(parent);
        command.args(["--pages", &self.size.pages.to_string()]);
        command.args(self.keep.map(|keep| format!("--{}", keep.name())));
        command.args(self.size.is_small.then_some("--small"));
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(format!("step {step}: {status}").into()) }
    }
}

/// Runs `measure-scale` with these arguments.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    match (options.part.as_str(), options.step.as_deref()) {
        ("media", None) => media(&options),
        ("media", Some(step)) => media_step(&options, step),
        ("years", None) => years(&options, options.keep.ok_or(USAGE)?),
        ("years", Some(step)) => years_step(&options, step),
        _ => Err(USAGE.into()),
    }
}

fn media(options: &Options) -> Result<(), Failure> {
    fs::create_dir_all(&options.work)?;
    options.device().create(&discarding(options)?)?;
    MEDIA_STEPS.iter().try_for_each(|(step, _)| options.measure(step))
}

fn media_step(options: &Options, step: &str) -> Result<(), Failure> {
    let known = MEDIA_STEPS.iter().zip(0..).find(|((name, _), _)| *name == step);
    let ((_, new_images), day) = known.ok_or(USAGE)?;
    let tree = MediaTree::new(options.size.files, *new_images);
    measure_backup(options, step, discarding(options)?, MEDIA, &tree, day)
}

fn discarding(options: &Options) -> Result<Arc<dyn Storage>, Failure> {
    Ok(Arc::new(DiscardingStorage::create(&options.repository(), Device::keys())?))
}

fn years(options: &Options, keep: Keep) -> Result<(), Failure> {
    fs::create_dir_all(&options.work)?;
    let (device, database) = (options.device(), options.database());
    device.create(&dated(options, 0)?)?;
    database.create()?;
    for day in 0..=options.size.days {
        if day > 0 {
            database.live_through(day)?;
        }
        let storage = dated(options, day)?;
        let is_measured = day.is_multiple_of(options.size.measured_days) || day == options.size.days;
        if is_measured {
            options.measure(&day.to_string())?;
        } else {
            device.backup(&mut device.open(&storage, day)?, DATABASES, &tree(&database, day), day)?;
        }
        if keep == Keep::Retention {
            forget(&device, &storage, day)?;
            if is_measured {
                options.measure(&format!("{PRUNE}{day}"))?;
            }
        }
    }
    Ok(())
}

/// The storage as it is on a day.
fn dated(options: &Options, day: u64) -> Result<Arc<dyn Storage>, Failure> {
    Ok(Arc::new(DatedStorage::create(&options.repository(), Device::noon(day))?))
}

fn forget(device: &Device, storage: &Arc<dyn Storage>, day: u64) -> Result<(), Failure> {
    let mut repository = device.open(storage, day)?;
    let snapshots = repository.snapshots().iter().map(|snapshot| (Device::day(snapshot.time), snapshot.id));
    let snapshots: BTreeMap<u64, SnapshotId> = snapshots.collect();
    let kept = retention::kept(&snapshots.keys().copied().collect());
    let old: Vec<SnapshotId> = snapshots.iter().filter(|(day, _)| !kept.contains(day)).map(|(_, id)| *id).collect();
    if !old.is_empty() {
        repository.forget(&old, Device::noon(day))?;
    }
    Ok(())
}

fn years_step(options: &Options, step: &str) -> Result<(), Failure> {
    if let Some(day) = step.strip_prefix(PRUNE) {
        return measure_prune(options, step, day.parse()?);
    }
    let day = step.parse()?;
    measure_backup(options, step, dated(options, day)?, DATABASES, &tree(&options.database(), day), day)
}

/// The database, last written an hour before the backup.
fn tree(database: &Database, day: u64) -> DatabaseTree {
    let mut modified = Device::noon(day);
    modified.seconds -= 3600;
    DatabaseTree::new(database, modified)
}

/// Opens the repository, backs up, and prints what each took.
fn measure_backup(
    options: &Options,
    step: &str,
    storage: Arc<dyn Storage>,
    label: &str,
    tree: &dyn Tree,
    day: u64,
) -> Result<(), Failure> {
    let device = options.device();
    let counter = Arc::new(RequestCounter::new(Arc::clone(&storage)));
    let counted: Arc<dyn Storage> = counter.clone();
    let began = Instant::now();
    let mut repository = device.open(&counted, day)?;
    let snapshots = repository.snapshots().len();
    let open = measured(began, &counter)?;
    let report = device.backup(&mut repository, label, tree, day)?;
    let whole = measured(began, &counter)?;
    let line = json!({
        "part": options.part, "step": step, "day": day, "snapshots_before": snapshots, "open": open, "run": whole,
        "report": report_json(&report), "storage": folders(storage.as_ref())?,
    });
    println!("{line}");
    Ok(())
}

/// Opens the repository, prunes, and prints what each took.
fn measure_prune(options: &Options, step: &str, day: u64) -> Result<(), Failure> {
    let storage = dated(options, day)?;
    let counter = Arc::new(RequestCounter::new(Arc::clone(&storage)));
    let counted: Arc<dyn Storage> = counter.clone();
    let began = Instant::now();
    let mut repository = options.device().open(&counted, day)?;
    let snapshots = repository.snapshots().len();
    let open = measured(began, &counter)?;
    let (now, max_unused) = (Device::noon(day), MAX_UNUSED);
    let prune = PruneOptions { now, max_unused, max_repack_bytes: u64::MAX, dry_run: false };
    let report = repository.prune(&prune, &Quiet)?;
    if !(report.damage.is_empty() && report.undeleted.is_empty()) {
        return Err(format!("a prune has problems: {report:?}").into());
    }
    let whole = measured(began, &counter)?;
    let line = json!({
        "part": options.part, "step": step, "day": day, "snapshots": snapshots, "open": open, "run": whole,
        "pruned": prune_json(&report), "storage": folders(storage.as_ref())?,
    });
    println!("{line}");
    Ok(())
}

/// What this process took until now.
fn measured(began: Instant, counter: &RequestCounter) -> Result<Value, Failure> {
    let (wall_s, usage) = (began.elapsed().as_secs_f64(), Usage::now()?);
    Ok(json!({
        "wall_s": wall_s, "user_s": usage.user_s, "system_s": usage.system_s, "peak_bytes": usage.peak_bytes,
        "requests": counter.counts().to_json(),
    }))
}

fn report_json(report: &BackupReport) -> Value {
    let source = report.snapshot.iter().flat_map(|snapshot| &snapshot.sources).next();
    json!({
        "files": source.map(|source| source.files), "bytes": source.map(|source| source.bytes),
        "files_new": report.files_new, "files_changed": report.files_changed,
        "files_unchanged": report.files_unchanged, "bytes_read": report.bytes_read, "bytes_new": report.bytes_new,
        "objects_stored": report.objects_stored, "bytes_stored": report.bytes_stored,
    })
}

fn prune_json(report: &PruneReport) -> Value {
    let amounts = [
        ("marked", report.marked),
        ("waiting", report.waiting),
        ("revived", report.revived),
        ("dropped", report.dropped),
        ("repacked", report.repacked),
        ("written", report.written),
    ];
    let amounts = amounts.map(|(name, amount)| (name, json!({ "packs": amount.packs, "bytes": amount.bytes })));
    let amounts: BTreeMap<_, _> = amounts.into_iter().collect();
    json!({
        "packs": amounts, "unused_bytes": report.unused_bytes, "total_bytes": report.total_bytes,
        "deleted": report.deleted,
    })
}

/// How many objects each folder holds, and their bytes.
fn folders(storage: &dyn Storage) -> Result<Value, Failure> {
    let mut folders = serde_json::Map::new();
    for folder in Folder::ALL {
        let listing = storage.list(folder)?;
        let bytes: u64 = listing.iter().map(|info| info.len).sum();
        folders.insert(folder.name().to_owned(), json!({ "objects": listing.len(), "bytes": bytes }));
    }
    Ok(folders.into())
}
