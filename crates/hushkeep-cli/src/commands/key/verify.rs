//! `hushkeep key verify`: whether what the owner has opens the repository.

use hushkeep::core::keys::BackupKey;
use hushkeep::core::recovery::RecoveryKey;
use hushkeep::{Found, Home, OpenedBy};
use serde_json::json;

use crate::args::OpenArgs;
use crate::ask::Owner;
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::session;

pub(crate) fn run(args: &OpenArgs, output: &mut Output) -> Result<(), Failure> {
    // What this device keeps of configs opens nothing elsewhere.
    let home = Home::from_environment()?.without_cache();
    let found = Found::find(&home, &args.repo.repo)?;
    let opened = found.unlock_by_asking(&mut Owner::with(&args.key))?;
    session::warn_of_repository(&opened);
    let (name, repaired_group) = match opened.by {
        OpenedBy::RecoveryKey { repaired_group } => ("recovery key", repaired_group),
        OpenedBy::Password => ("password", None),
        _ => ("passphrase", None),
    };
    let object = json!({ "opens": true, "repaired_group": repaired_group });
    output.result("summary", object, format_args!("this {name} opens the repository"))?;
    if let Some(number) = repaired_group {
        tell_group(&opened.key, number);
    }
    Ok(())
}

/// Shows the group that was wrong as it should be, to whoever has given all others.
fn tell_group(key: &BackupKey, number: usize) {
    let text = RecoveryKey::from_backup_key(key).to_text();
    let group = text.split(' ').nth(number.saturating_sub(1)).unwrap_or_default();
    note(format_args!(
        "one group was wrong and could be repaired: group {number} should read {group}. correct what you have"
    ));
}
