//! `hushkeep ls`: list what is in a snapshot.

use std::ffi::OsString;

use clap::Args;
use hushkeep::repo::{EntryKind, RelPath, SnapshotEntry};
use serde_json::{Value, json};

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::format;
use crate::output::Output;
use crate::session;
use crate::snapshot_spec::SnapshotSpec;

#[derive(Args)]
pub(crate) struct LsArgs {
    /// The snapshot: latest, latest~2, a number, the beginning of an id, or a date
    #[arg(default_value = "latest")]
    snapshot: SnapshotSpec,
    /// Only this path, as "ls" shows it, and what lies inside
    path: Option<OsString>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Show permissions, size and time as well
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &LsArgs, output: &mut Output) -> Result<(), Failure> {
    let below = args.path.as_ref().map_or(Ok(RelPath::root()), parse_path)?;
    let opened = session::open(&args.repo, &args.key)?;
    let snapshot = args.snapshot.find(opened.repository.snapshots())?;
    let mut found = below.is_root();
    for entry in opened.repository.entries(snapshot) {
        let entry = entry?;
        if entry.path.starts_with(&below) {
            found = true;
            let text = if args.long { long(&entry) } else { entry.path.to_string() };
            output.result("entry", object(&entry), text)?;
        }
    }
    session::tell_made_good(&opened);
    if found { Ok(()) } else { Err(no_such_path(&below)) }
}

/// A path inside a snapshot, as it was typed.
pub(super) fn parse_path(typed: &OsString) -> Result<RelPath, Failure> {
    let bytes = typed.as_encoded_bytes();
    let trimmed = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let trimmed = trimmed.strip_suffix(b"/").unwrap_or(trimmed);
    let invalid = |_| {
        let what = format!("not a path inside a snapshot: {}", format::printable(bytes));
        Failure::usage(what, "run `ls` to see which there are")
    };
    RelPath::new(trimmed).map_err(invalid)
}

pub(super) fn no_such_path(path: &RelPath) -> Failure {
    Failure::new(
        crate::failure::Exit::Failed,
        format!("the snapshot holds no {path}"),
        "the backup was not touched",
        "run `ls` to see what the snapshot holds, or choose another snapshot",
    )
}

fn long(entry: &SnapshotEntry) -> String {
    let metadata = &entry.entry.metadata;
    let mode = format::mode(&entry.entry.kind, metadata.mode);
    let (size, rest) = match &entry.entry.kind {
        EntryKind::Directory => ("-".to_owned(), String::new()),
        EntryKind::File(file) => (file.len.to_string(), String::new()),
        EntryKind::Symlink { target } => ("-".to_owned(), format!(" -> {}", format::printable(target))),
        EntryKind::HardLink { original } => ("-".to_owned(), format!(" = {original}")),
        EntryKind::Newer(_) => ("-".to_owned(), String::new()),
    };
    format!("{mode} {size:>12} {} {}{rest}", format::time(metadata.modified), entry.path)
}

fn object(entry: &SnapshotEntry) -> Value {
    let (kind, size, link) = match &entry.entry.kind {
        EntryKind::Directory => ("directory", None, None),
        EntryKind::File(file) => ("file", Some(file.len), None),
        EntryKind::Symlink { target } => ("symlink", None, Some(format::printable(target))),
        EntryKind::HardLink { original } => ("hardlink", None, Some(original.to_string())),
        EntryKind::Newer(_) => ("newer", None, None),
    };
    json!({
        "path": entry.path.to_string(),
        "kind": kind,
        "mode": format!("{:04o}", entry.entry.metadata.mode),
        "modified": format::time_utc(entry.entry.metadata.modified),
        "size": size,
        "link": link,
    })
}
