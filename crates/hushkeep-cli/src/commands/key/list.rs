//! `hushkeep key list`: the ways to get the key back.

use hushkeep::repo::{Protector, ProtectorKind};
use hushkeep::vault;
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
            "vault": vault_of(protector),
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
    let label = match vault_of(protector) {
        Some(vault) if label.is_empty() => format!("at {vault}"),
        Some(vault) => format!("{label}, at {vault}"),
        None => label,
    };
    [protector.id.to_string(), kind(protector).to_owned(), format::time(protector.created), label]
}

/// The whole address of a password's vault, as it was given when the password was added.
fn vault_of(protector: &Protector) -> Option<String> {
    let pair = vault::pair_of(protector)?;
    Some(format::printable(format!("{}/#{}", pair.address, pair.vault).as_bytes()))
}

fn kind(protector: &Protector) -> &'static str {
    match protector.kind {
        ProtectorKind::RecoveryKey => "recovery-key",
        ProtectorKind::Passphrase(_) => "passphrase",
        ProtectorKind::Vault(_) => "password",
        _ => "unknown",
    }
}
