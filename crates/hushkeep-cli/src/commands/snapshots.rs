//! `hushkeep snapshots`: list the snapshots.

use hushkeep::repo::{Snapshot, SnapshotSource};
use serde_json::{Value, json};

use super::backup::short;
use crate::args::OpenArgs;
use crate::failure::Failure;
use crate::format;
use crate::output::Output;
use crate::session;

pub(crate) fn run(args: &OpenArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open(&args.repo, &args.key)?;
    let snapshots = opened.repository.snapshots();
    for snapshot in snapshots {
        output.object("snapshot", object(snapshot))?;
    }
    output.text(format::table(
        ["ID", "NUMBER", "TIME", "DEVICE", "FILES", "SIZE", "SOURCES"],
        snapshots.iter().map(row),
    ))?;
    output.text(format_args!("{}\n", format::count(snapshots.len() as u64, "snapshot")))?;
    if snapshots.iter().any(|snapshot| snapshot.problems > 0) {
        output.text("in those with problems, some items are missing, or changed while they were read\n")?;
    }
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
