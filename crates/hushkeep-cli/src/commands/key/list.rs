//! `hushkeep key list`: the ways to get the key back.

use clap::Args;
use hushkeep::repo::{Protector, ProtectorKind};
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::format;
use crate::output::Output;
use crate::session;

#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open(&args.repo, &args.key)?;
    let protectors = opened.repository.protectors();
    for protector in protectors {
        let object = json!({
            "id": protector.id.to_string(),
            "kind": kind(protector),
            "label": format::printable(protector.label.as_bytes()),
            "added": format::time_utc(protector.created),
        });
        output.object("protector", object)?;
    }
    let heading = ["ID", "KIND", "ADDED", "LABEL"].map(String::from);
    let rows: Vec<_> = [heading].into_iter().chain(protectors.iter().map(row)).collect();
    output.text(format::table(&rows))?;
    Ok(())
}

fn row(protector: &Protector) -> [String; 4] {
    let label = format::printable(protector.label.as_bytes());
    [protector.id.to_string(), kind(protector).to_owned(), format::time(protector.created), label]
}

fn kind(protector: &Protector) -> &'static str {
    match protector.kind {
        ProtectorKind::RecoveryKey => "recovery-key",
        ProtectorKind::Passphrase(_) => "passphrase",
        _ => "unknown",
    }
}
