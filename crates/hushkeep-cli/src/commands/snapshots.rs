//! `hushkeep snapshots`: list the snapshots.

use std::collections::BTreeMap;

use clap::Args;
use hushkeep::repo::{Repository, Snapshot, SnapshotSource};
use serde_json::{Value, json};

use super::backup::short;
use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::format;
use crate::output::Output;
use crate::session;

#[derive(Args)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// List those that were forgotten, and which device forgot them
    #[arg(long)]
    forgotten: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &SnapshotsArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open(&args.repo, &args.key)?;
    if args.forgotten {
        return list_forgotten(&opened.repository, output);
    }
    let snapshots = opened.repository.snapshots();
    for snapshot in snapshots {
        output.object("snapshot", object(snapshot))?;
    }
    output.text(format::table(
        ["ID", "NUMBER", "TIME", "DEVICE", "FILES", "SIZE", "SOURCES"],
        snapshots.iter().map(row),
    ))?;
    output.text(format_args!("{}\n", format::count(snapshots.len() as u64, "snapshot")))?;
    let unknown: Vec<_> = opened.repository.unknown_snapshots().collect();
    for id in &unknown {
        output.object("unknown", json!({ "id": id.to_string() }))?;
    }
    if !unknown.is_empty() {
        let count = format::count(unknown.len() as u64, "more snapshot");
        output.text(format_args!("{count}, of which only a newer version of hushkeep can say what became of it\n"))?;
    }
    if snapshots.iter().any(|snapshot| snapshot.problems > 0) {
        output.text("in those with problems, some items are missing, or changed while they were read\n")?;
    }
    Ok(())
}

/// Lists what is left of forgotten snapshots. A device is known by name as long as a snapshot of it is there.
fn list_forgotten(repository: &Repository, output: &mut Output) -> Result<(), Failure> {
    let name = |snapshot: &Snapshot| (snapshot.device, format::printable(snapshot.device_name.as_bytes()));
    let names: BTreeMap<_, _> = repository.snapshots().iter().map(name).collect();
    let mut forgotten: Vec<_> = repository.forgotten_snapshots().collect();
    forgotten.sort_by_key(|snapshot| (snapshot.number, snapshot.id));
    for snapshot in &forgotten {
        let object = json!({
            "id": snapshot.id.to_string(),
            "number": snapshot.number,
            "forgotten_by": names.get(&snapshot.device),
            "forgotten_by_id": snapshot.device.to_string(),
        });
        output.object("forgotten", object)?;
    }
    let rows = forgotten.iter().map(|snapshot| {
        let device = names.get(&snapshot.device).cloned().unwrap_or_else(|| short(&snapshot.device));
        [short(&snapshot.id), snapshot.number.to_string(), device]
    });
    output.text(format::table(["ID", "NUMBER", "FORGOTTEN BY"], rows))?;
    output.text(format_args!("{} forgotten\n", format::count(forgotten.len() as u64, "snapshot")))?;
    Ok(())
}

fn row(snapshot: &Snapshot) -> [String; 7] {
    let sources: Vec<_> = snapshot.sources.iter().map(|source| source.label.to_string()).collect();
    let problems = match snapshot.problems {
        0 => String::new(),
        problems => format!(" ({})", format::count(problems, "problem")),
    };
    [
        short(&snapshot.id),
        snapshot.number.to_string(),
        format::time(snapshot.time),
        format::printable(snapshot.device_name.as_bytes()),
        snapshot.files().to_string(),
        format::size(snapshot.bytes()),
        sources.join(", ") + &problems,
    ]
}

/// A snapshot for programs.
pub(super) fn object(snapshot: &Snapshot) -> Value {
    let source = |source: &SnapshotSource| {
        json!({
            "label": source.label.to_string(),
            "path": format::printable(&source.path),
            "files": source.files,
            "bytes": source.bytes,
        })
    };
    let sources: Vec<_> = snapshot.sources.iter().map(source).collect();
    json!({
        "id": snapshot.id.to_string(),
        "number": snapshot.number,
        "time": format::time_utc(snapshot.time),
        "device": format::printable(snapshot.device_name.as_bytes()),
        "files": snapshot.files(),
        "bytes": snapshot.bytes(),
        "problems": snapshot.problems,
        "sources": sources,
    })
}
