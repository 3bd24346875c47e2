//! `hushkeep key list`: the ways to get the key back.

use hushkeep::repo::{Protector, ProtectorKind};
use serde_json::json;

use crate::args::OpenArgs;
use crate::failure::Failure;
use crate::format;
use crate::output::Output;
use crate::session;

pub(crate) fn run(args: &OpenArgs, output: &mut Output) -> Result<(), Failure> {
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
    output.text(format::table(["ID", "KIND", "ADDED", "LABEL"], protectors.iter().map(row)))?;
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
