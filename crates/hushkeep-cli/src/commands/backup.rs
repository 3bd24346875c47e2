//! `hushkeep backup`: back up, and make the repository the first time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use hushkeep::repo::tree::ItemKind;
use hushkeep::repo::{BackupOptions, BackupReport, Problem, Progress, Tree};
use hushkeep::{FindError, Found, Home, KeepKey, NewRepository, Opened, OpenedBy, SourceOptions, Sources};
use serde_json::{Value, json};

use super::attempts;
use crate::args::{JsonArgs, PassphraseArgs, PasswordArgs, RepoArgs, VerbosityArgs};
use crate::ask::{self, Owner};
use crate::failure::{Exit, Failure};
use crate::format;
use crate::invocation::Invocation;
use crate::output::{Output, note};
use crate::progress::Meter;
use crate::recovery_key;
use crate::session;
use crate::snapshot_spec::SHORT_ID_LEN;

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The folders and files to back up
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Make the repository if there is none
    #[arg(long)]
    init: bool,
    /// Leave out what matches: a name at any depth (*.tmp), or with a slash a path (Media/Statuses)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Read and compare, but store nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// When a repository is made, do not keep its key on this device
    #[arg(long)]
    no_device_key: bool,
    /// Open the repository with the recovery key in this file ("-" for standard input); when a repository is made,
    /// write its recovery key there
    #[arg(long, value_name = "FILE", env = "HUSHKEEP_RECOVERY_KEY_FILE", hide_env_values = true)]
    recovery_key_file: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &BackupArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let home = Home::from_environment()?;
    let found = match Found::find(&home, &args.repo.repo) {
        Ok(found) => Some(found),
        Err(FindError::NoRepository { known: None }) if may_create(args)? => None,
        Err(error) => return Err(error.into()),
    };
    let sources = gather(args, &home)?;
    let mut opened = match found {
        Some(found) => open(args, found)?,
        None => create(args, &home, output)?,
    };
    let options =
        BackupOptions { dry_run: args.dry_run, ..BackupOptions::new(hushkeep::now(), hushkeep::device_name()) };
    let meter = Arc::new(Meter::new(output.is_json(), &args.verbosity));
    output.flush()?;
    let report = backed_up(&mut opened, &sources, &options, &meter);
    meter.finish();
    let report = report?;
    tell_report(&report, args, output)?;
    if opened.by == OpenedBy::New {
        tell_first_time(args, &opened, invocation, output)?;
    }
    let looked = if args.dry_run { Ok(()) } else { attempts::look_now_and_then(&mut opened) };
    tell_flaws(&report, &sources)?;
    looked
}

/// Whether a repository shall be made where there is none.
fn may_create(args: &BackupArgs) -> Result<bool, Failure> {
    if args.dry_run {
        return Ok(false);
    }
    let question = format!("there is no repository at {}. make a new one there?", args.repo.repo);
    Ok(args.init || (ask::is_at_terminal() && ask::confirm(&question)?))
}

fn gather(args: &BackupArgs, home: &Home) -> Result<Sources, Failure> {
    let options = SourceOptions { exclude: args.exclude.clone() };
    let sources = Sources::gather(&args.paths, &options, home, &args.repo.repo)?;
    for source in &sources.unavailable {
        note(format_args!("cannot be read: {}: {}", format::printable_path(&source.path), source.error));
    }
    for folder in &sources.left_out {
        note(format_args!("left out, because it belongs to hushkeep itself: {}", format::printable_path(folder)));
    }
    if sources.gathered.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "nothing that was named can be read",
            "no snapshot was made; earlier ones are whole",
            "check the paths",
        ));
    }
    Ok(sources)
}

/// Opens a repository that exists. A recovery key file that does not is for one that is made: it is passed over.
fn open(args: &BackupArgs, found: Found) -> Result<Opened, Failure> {
    let recovery_key = args.recovery_key_file.as_deref();
    let missing = recovery_key.filter(|path| session::is_missing(path));
    if let Some(path) = missing {
        note(format_args!("{} does not exist; the key on this device is used", path.display()));
    }
    let recovery_key = recovery_key.filter(|_| missing.is_none());
    session::unlock(
        found,
        Owner::new(recovery_key, args.passphrase.passphrase_file.as_deref(), args.password.password_file.as_deref()),
    )
}

fn create(args: &BackupArgs, home: &Home, output: &mut Output) -> Result<Opened, Failure> {
    let in_file = args.recovery_key_file.clone();
    if in_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage(
            "the new recovery key cannot be written to standard input",
            "name a file that does not exist yet with --recovery-key-file",
        ));
    }
    if args.no_device_key && in_file.is_none() && !recovery_key::is_shown(output) {
        return Err(Failure::usage(
            "the key of the new repository would be kept nowhere",
            "name a new file with --recovery-key-file, or leave out --no-device-key",
        ));
    }
    let new = NewRepository::generate();
    let new_key = new.recovery_key();
    let keep = KeepKey { on_device: !args.no_device_key, in_file };
    let opened = new.create(home, &args.repo.repo, &keep)?;
    output.object(
        "created",
        json!({
            "repository": opened.repository.id().to_string(),
            "place": args.repo.repo.to_string(),
            "recovery_key_file": keep.in_file.as_ref().map(|path| path.display().to_string()),
            "device_key": keep.on_device,
        }),
    )?;
    note(format_args!("made a new repository at {}", args.repo.repo));
    recovery_key::show(&new_key, output);
    Ok(opened)
}

fn backed_up(
    opened: &mut Opened,
    sources: &Sources,
    options: &BackupOptions,
    meter: &Arc<Meter>,
) -> Result<BackupReport, Failure> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        if meter.is_watched() {
            scope.spawn(|| count_ahead(sources, meter, &done));
        }
        let report = opened.repository.backup(&sources.for_engine(), options, &**meter);
        done.store(true, Ordering::Relaxed);
        Ok(report?)
    })
}

/// Walks through the sources ahead of the backup, so that whoever watches sees how much there is to do.
fn count_ahead(sources: &Sources, meter: &Meter, done: &AtomicBool) {
    let (mut files, mut bytes) = (0, 0);
    for item in sources.gathered.iter().flat_map(|source| source.tree.walk()).flatten() {
        if let ItemKind::File { len, .. } = item.kind {
            files += 1;
            bytes += len;
        }
        if done.load(Ordering::Relaxed) {
            return;
        }
    }
    meter.total(files, bytes);
}

fn tell_report(report: &BackupReport, args: &BackupArgs, output: &mut Output) -> io::Result<()> {
    for problem in &report.problems {
        output.object("problem", problem_object(problem))?;
        note(problem_text(problem));
    }
    for path in &report.specials {
        output.object("special", json!({ "path": path.to_string() }))?;
        if !args.verbosity.quiet {
            note(format_args!("left out: {path}: a socket, pipe or device has no contents to keep"));
        }
    }
    for damage in &report.damage {
        output.object("damage", json!({ "object": damage.object, "message": damage.cause.to_string() }))?;
        // Commits were told of when the repository was opened.
        if !damage.object.starts_with("commits/") {
            note(format_args!("damaged: {damage}"));
        }
    }
    let BackupReport { files_new, files_changed, files_unchanged, files_removed, .. } = report;
    if files_new + files_changed + files_unchanged == 0 && *files_removed > 0 {
        note(
            "warning: no file is left in what was backed up: if a disk or phone is not connected, connect it and \
             run this again",
        );
    }
    output.object("summary", summary(report, args.dry_run))?;
    if args.verbosity.quiet {
        return Ok(());
    }
    let (read, new) = (format::size(report.bytes_read), format::size(report.bytes_new));
    match &report.snapshot {
        Some(snapshot) => {
            let (id, number, time) = (short(&snapshot.id), snapshot.number, format::time(snapshot.time));
            output.text(format_args!("snapshot {id}, number {number}, of {time}\n"))?;
        }
        None => output.text("dry run: nothing was stored\n")?,
    }
    output.text(format_args!(
        "  files: {files_new} new, {files_changed} changed, {files_unchanged} unchanged, {files_removed} removed\n"
    ))?;
    let (size, objects) = (format::size(report.bytes_stored), format::count(report.objects_stored, "object"));
    let stored = if args.dry_run { "would store" } else { "stored" };
    output.text(format_args!("  read {read}, of it {new} new; {stored} {size} in {objects}\n"))
}

fn summary(report: &BackupReport, dry_run: bool) -> Value {
    json!({
        "dry_run": dry_run,
        "snapshot": report.snapshot.as_ref().map(|snapshot| snapshot.id.to_string()),
        "number": report.snapshot.as_ref().map(|snapshot| snapshot.number),
        "files_new": report.files_new,
        "files_changed": report.files_changed,
        "files_unchanged": report.files_unchanged,
        "files_removed": report.files_removed,
        "bytes_read": report.bytes_read,
        "bytes_new": report.bytes_new,
        "bytes_stored": report.bytes_stored,
        "objects_stored": report.objects_stored,
        "problems": report.problems.len(),
        "specials": report.specials.len(),
        "damage": report.damage.len(),
    })
}

fn problem_object(problem: &Problem) -> Value {
    json!({ "path": problem.path.to_string(), "message": problem.kind.to_string(), "detail": problem.detail })
}

fn problem_text(problem: &Problem) -> String {
    let detail = problem.detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
    format!("{}: {}{detail}", problem.path, problem.kind)
}

/// Says where the key is, what strangers see, and what to try next.
fn tell_first_time(
    args: &BackupArgs,
    opened: &Opened,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return Ok(());
    }
    let file = args.recovery_key_file.as_deref();
    let place = recovery_key::whereabouts(file, !args.no_device_key, invocation, output);
    output.text(format_args!("\nrecovery key: {place}\n"))?;
    let stats = opened.repository.stats()?;
    let (objects, size) = (format::count(stats.objects(), "object"), format::size(stats.bytes()));
    output.text(format_args!("what the storage sees: {objects}, {size}, no names\n"))?;
    output.text("\nnext:\n")?;
    for command in ["snapshots", "restore --target restored", "check --read-data"] {
        output.text(format_args!("  {}\n", invocation.command(command)))?;
    }
    Ok(())
}

fn tell_flaws(report: &BackupReport, sources: &Sources) -> Result<(), Failure> {
    let unread = report.problems.len() + sources.unavailable.len();
    let items = format::count(unread as u64, "item");
    if !report.damage.is_empty() {
        let objects = format::count(report.damage.len() as u64, "damaged object");
        let also = if unread == 0 { String::new() } else { format!(", and {items} could not be read") };
        let done = match report.snapshot {
            Some(_) => "the new snapshot builds on none of that, and what it held was stored again",
            None => "nothing was stored; a backup builds on none of that, and stores again what it held",
        };
        let missing = match session::may_lack_snapshots() {
            true => "; snapshots that only damaged commits told of are missing",
            false => "",
        };
        return Err(Failure::new(
            Exit::Damaged,
            format!("{objects} of earlier backups{also} (named above)"),
            &format!("{done}, as far as the files still are here{missing}"),
            "run `check --read-data` to see which earlier snapshots are hurt; this ends when it finds that all is whole after \
             all, \
             or when they are forgotten and pruned; for a commit that stays damaged, see the list of exit codes, 14",
        ));
    }
    if unread == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Incomplete,
        format!("{items} could not be read, or not in one state (named above)"),
        "the snapshot holds everything else as it was",
        "see why, and run the command again; the snapshot before may hold them in one piece",
    ))
}

/// The beginning of an id that people type.
pub(super) fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(SHORT_ID_LEN).collect()
}
