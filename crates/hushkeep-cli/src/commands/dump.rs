//! `hushkeep dump`: write one file to standard output.

use std::ffi::OsString;

use clap::Args;

use super::ls::{no_such_path, parse_path};
use crate::args::{KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::session;
use crate::snapshot_spec::SnapshotSpec;

#[derive(Args)]
pub(crate) struct DumpArgs {
    /// The snapshot: latest, latest~2, a number, the beginning of an id, or a date
    snapshot: SnapshotSpec,
    /// The file's path, as "ls" shows it
    path: OsString,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &DumpArgs, output: &mut Output) -> Result<(), Failure> {
    let path = parse_path(&args.path)?;
    let opened = session::open(&args.repo, &args.key)?;
    let snapshot = args.snapshot.find(opened.repository.snapshots())?;
    for entry in opened.repository.entries(snapshot) {
        let entry = entry?;
        if entry.path == path {
            let logs = opened.repository.logs_beside(snapshot, &entry);
            if !logs.is_empty() {
                let logs = logs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                note(format_args!(
                    "this database is not whole without {logs}: \"restore --include\" gives them together"
                ));
            }
            let read = opened.repository.read_file(&entry, output.raw());
            session::tell_made_good(&opened);
            return Ok(read?);
        }
    }
    Err(no_such_path(&path))
}
