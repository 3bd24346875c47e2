//! `hushkeep diff`: what differs between two snapshots.

use clap::Args;
use hushkeep::repo::ChangeKind;
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::session;
use crate::snapshot_spec::SnapshotSpec;

/// What stands before each path, as in restic.
const SIGNS: &str = "\
Before each path stands what happened to it:
  +  added
  -  removed
  M  other contents
  U  only other permissions or time
  T  something of another kind";

#[derive(Args)]
#[command(after_help = SIGNS)]
pub(crate) struct DiffArgs {
    /// The older snapshot: latest, latest~2, a number, the beginning of an id, or a date
    before: SnapshotSpec,
    /// The newer snapshot
    after: SnapshotSpec,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &DiffArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open(&args.repo, &args.key)?;
    let snapshots = opened.repository.snapshots();
    let (before, after) = (args.before.find(snapshots)?, args.after.find(snapshots)?);
    let (mut added, mut removed, mut changed) = (0_u64, 0_u64, 0_u64);
    for change in opened.repository.diff(before, after) {
        let change = change?;
        let (sign, name, counter) = match change.kind {
            ChangeKind::Added => ('+', "added", &mut added),
            ChangeKind::Removed => ('-', "removed", &mut removed),
            ChangeKind::Contents => ('M', "contents", &mut changed),
            ChangeKind::Metadata => ('U', "metadata", &mut changed),
            ChangeKind::Kind => ('T', "kind", &mut changed),
        };
        *counter += 1;
        let object = json!({ "path": change.path.to_string(), "change": name });
        output.result("change", object, format_args!("{sign} {}", change.path))?;
    }
    session::tell_made_good(&opened);
    let summary = json!({ "added": added, "removed": removed, "changed": changed });
    output.result("summary", summary, format_args!("{added} added, {removed} removed, {changed} changed"))?;
    Ok(())
}
