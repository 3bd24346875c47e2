//! `hushkeep restore`: write a snapshot into a folder.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hushkeep::repo::{ItemError, Overwrite, RestoreOptions, RestoreReport, Snapshot};
use hushkeep::sources::FolderTarget;
use hushkeep::{Place, Selection};
use serde_json::json;

use super::backup::short;
use crate::args::{JsonArgs, KeyArgs, RepoArgs, VerbosityArgs};
use crate::failure::{Exit, Failure, facts};
use crate::format;
use crate::output::{Output, note};
use crate::progress::Meter;
use crate::session;
use crate::snapshot_spec::SnapshotSpec;

#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The snapshot: latest, latest~2, a number, the beginning of an id, or a date
    #[arg(default_value = "latest")]
    snapshot: SnapshotSpec,
    /// The folder to restore into; each source gets a folder of its own there
    #[arg(short, long, value_name = "FOLDER")]
    target: PathBuf,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Restore only what matches: a name at any depth (*.opus), or with a slash a path (WhatsApp/Databases)
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out what matches
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Which files to replace that are there already; if-changed: those with another size or time
    #[arg(long, value_enum, default_value_t = OverwriteArg::Always, value_name = "WHEN")]
    overwrite: OverwriteArg,
    /// Go on past damaged data, and name what is missing
    #[arg(long)]
    best_effort: bool,
    /// Read and compare, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum OverwriteArg {
    Always,
    IfChanged,
    Never,
}

impl From<OverwriteArg> for Overwrite {
    fn from(arg: OverwriteArg) -> Self {
        match arg {
            OverwriteArg::Always => Self::Always,
            OverwriteArg::IfChanged => Self::IfChanged,
            OverwriteArg::Never => Self::Never,
        }
    }
}

pub(crate) fn run(args: &RestoreArgs, output: &mut Output) -> Result<(), Failure> {
    let selection = Selection::new(&args.include, &args.exclude)?;
    refuse_own_folder(&args.target, &args.repo.repo)?;
    // The folder is made only when the key is proven and the snapshot is found.
    let opened = session::open(&args.repo, &args.key)?;
    let snapshot = args.snapshot.find(opened.repository.snapshots())?;
    // A dry run must not make the folder: one that is not there looks like this empty one.
    let stand_in = tempfile::tempdir()?;
    let path = if args.dry_run && !args.target.exists() { stand_in.path() } else { &args.target };
    let target = FolderTarget::new(path).map_err(|error| target_failure(path, &error))?;
    let options = RestoreOptions {
        select: &|path| selection.contains(path),
        overwrite: args.overwrite.into(),
        best_effort: args.best_effort,
        dry_run: args.dry_run,
    };
    let meter = Meter::new(output.is_json(), &args.verbosity);
    let report = opened.repository.restore(snapshot, &target, &options, &meter);
    meter.finish();
    session::tell_made_good(&opened);
    let report = report?;
    refuse_no_match(args, &report)?;
    tell_report(&report, snapshot, args, output)?;
    tell_problems(&report)
}

/// A restore into the repository would mix its objects with files.
fn refuse_own_folder(target: &Path, place: &Place) -> Result<(), Failure> {
    let own = place.folder().and_then(|folder| folder.canonicalize().ok());
    let above = target.ancestors().find_map(|folder| folder.canonicalize().ok());
    match (own, above) {
        (Some(own), Some(above)) if above.starts_with(&own) => Err(Failure::usage(
            format!("{} lies in the repository", target.display()),
            "choose another folder with --target",
        )),
        _ => Ok(()),
    }
}

/// Somebody who named what to restore wants to hear that there is no such thing.
fn refuse_no_match(args: &RestoreArgs, report: &RestoreReport) -> Result<(), Failure> {
    let RestoreReport { files, directories, links, files_kept, problems, .. } = report;
    if args.include.is_empty() || files + directories + links + files_kept > 0 || !problems.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "nothing in the snapshot matches what was to be included",
        "nothing was restored; the backup is whole",
        "run `ls` to see the paths: they begin with the name of their source",
    ))
}

fn target_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{} cannot be written: {error}", path.display()),
        "the backup is whole; nothing, or not everything, was restored",
        "choose another folder with --target",
    )
}

fn tell_report(report: &RestoreReport, snapshot: &Snapshot, args: &RestoreArgs, output: &mut Output) -> io::Result<()> {
    for problem in &report.problems {
        let kept_as = problem.kept_as.as_ref().map(ToString::to_string);
        let object = json!({ "path": problem.path.to_string(), "message": facts(&problem.error), "kept_as": kept_as });
        output.object("problem", object)?;
        note(format_args!("not restored: {}: {}", problem.path, facts(&problem.error)));
        if let Some(kept) = kept_as {
            note(format_args!("  what there is of it is in {kept}, with zeros where something is missing"));
        }
    }
    for (from, to) in &report.set_aside {
        output.object("set_aside", json!({ "path": from.to_string(), "new_path": to.to_string() }))?;
        note(format_args!("{from} was there before the restored database, and was kept as {to}"));
    }
    let summary = json!({
        "dry_run": args.dry_run,
        "snapshot": snapshot.id.to_string(),
        "files": report.files,
        "directories": report.directories,
        "links": report.links,
        "bytes": report.bytes,
        "files_kept": report.files_kept,
        "problems": report.problems.len(),
    });
    output.object("summary", summary)?;
    if args.verbosity.quiet {
        return Ok(());
    }
    let done = if args.dry_run { "dry run: would restore" } else { "restored" };
    let (id, time, target) = (short(&snapshot.id), format::time(snapshot.time), args.target.display());
    output.text(format_args!("{done} snapshot {id} of {time} to {target}\n"))?;
    let files = format::count(report.files, "file");
    let (folders, links) = (format::count(report.directories, "folder"), format::count(report.links, "link"));
    output.text(format_args!("  {files}, {folders}, {links}; {}\n", format::size(report.bytes)))?;
    if report.files_kept > 0 {
        let kept = format::count(report.files_kept, "file");
        output.text(format_args!("  {kept} left as they were\n"))?;
    }
    Ok(())
}

fn tell_problems(report: &RestoreReport) -> Result<(), Failure> {
    if report.problems.is_empty() {
        return Ok(());
    }
    let items = format::count(report.problems.len() as u64, "item");
    let what = format!("{items} could not be restored (named above)");
    let damage = report.problems.iter().filter_map(|problem| match &problem.error {
        ItemError::Damaged(damage) => Some(damage),
        _ => None,
    });
    let (newer, damaged): (Vec<_>, Vec<_>) = damage.partition(|damage| damage.cause.is_newer_version());
    Err(if !damaged.is_empty() {
        let next = "look for them in an older snapshot: run `snapshots`";
        Failure::new(Exit::Damaged, what, "a part of the backup is damaged; everything else was restored", next)
    } else if !newer.is_empty() {
        let meaning =
            "the backup is whole; everything else was restored, and only a newer version of hushkeep can read the rest";
        let next = "install the newest version, and run the command again";
        Failure::new(Exit::Failed, what, meaning, next)
    } else {
        let next = "see why they cannot be written, or choose another folder with --target";
        Failure::new(Exit::Incomplete, what, "the backup is whole; everything else was restored", next)
    })
}
