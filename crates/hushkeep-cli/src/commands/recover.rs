//! `hushkeep recover`: get the key back on a new device.

use std::io;

use clap::Args;
use hushkeep::repo::Snapshot;
use hushkeep::vault::VaultAddress;
use hushkeep::{Found, Home, OpenedBy};
use serde_json::json;

use super::backup::short;
use super::snapshots;
use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::ask::{self, Owner};
use crate::failure::Failure;
use crate::format;
use crate::output::{Output, note};
use crate::session;

/// From this many days on, a newest snapshot is old enough to be doubted.
const OLD_DAYS: i64 = 8;

#[derive(Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Take the history as the storage shows it, even if this device has seen more: for whoever put an old copy there
    #[arg(long)]
    accept_rollback: bool,
    /// If no config is left that can be read, make one from the recovery key. Passphrases and passwords are lost with the old
    /// one
    #[arg(long)]
    without_config: bool,
    /// Where the vault of your password is now, if it was moved: the same vault at another name or port
    #[arg(long, value_name = "ADDRESS")]
    vault: Option<VaultAddress>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &RecoverArgs, output: &mut Output) -> Result<(), Failure> {
    let home = Home::from_environment()?;
    let (mut accepted, mut is_rebuilt) = (false, false);
    let mut accepts_rollback = || {
        accepted = accepts_rollback(args)?;
        Ok(accepted)
    };
    let mut was_rebuilt = || {
        is_rebuilt = true;
        note(
            "a config was made that only the recovery key opens: add passphrases and passwords again with \"key add\"",
        );
    };
    let (mut owner, place) = (Owner::with(&args.key).with_moved_vault(args.vault.clone()), &args.repo.repo);
    let opened = if args.without_config {
        Found::recover_without_config(&home, place, &mut owner, &mut accepts_rollback, &mut was_rebuilt)?
    } else {
        Found::find_any(&home, place)?.recover(&mut owner, &mut accepts_rollback)?
    };
    session::warn(&opened);
    if accepted {
        note("from now on this device takes the history as the storage shows it; another one that has seen more");
        note("refuses it, until you run \"recover --accept-rollback\" there as well");
    }
    let snapshots = opened.repository.snapshots();
    let newest = snapshots.last();
    let object = json!({
        "repository": opened.repository.id().to_string(),
        "accepted_rollback": accepted,
        "rebuilt_config": is_rebuilt,
        "snapshots": snapshots.len(),
        "newest": newest.map(snapshots::object),
    });
    output.result("summary", object, "the key is kept on this device now; further commands ask nothing")?;
    match newest {
        Some(newest) => tell_newest(newest, output)?,
        None => output.text("there are no snapshots yet\n")?,
    }
    if opened.by == OpenedBy::Password {
        output.text(
            "if the old device was stolen, replace the key: \"key rotate\". to see the recovery key: \"key show\"\n",
        )?;
        if args.vault.is_some() {
            note(
                "the repository still names the vault's old address; \"key passwd --vault ADDRESS\" writes the new one",
            );
        }
    }
    Ok(())
}

/// Whether the owner says that it is their own doing that the storage shows less than this device has seen.
fn accepts_rollback(args: &RecoverArgs) -> io::Result<bool> {
    if args.accept_rollback || !ask::is_at_terminal() {
        return Ok(args.accept_rollback);
    }
    note("warning: the storage shows an older state than this device has seen: newer snapshots are missing");
    ask::confirm("did you put an older copy there yourself, and shall this device go on from it?")
}

/// A new device cannot know whether the storage shows everything: its owner may.
fn tell_newest(newest: &Snapshot, output: &mut Output) -> io::Result<()> {
    let now = hushkeep::now();
    let (number, id, time) = (newest.number, short(&newest.id), format::time(newest.time));
    let (age, device) = (format::age(newest.time, now), format::printable(newest.device_name.as_bytes()));
    output.text(format_args!("newest snapshot: {id}, number {number}, of {time} ({age} ago), made by {device}\n"))?;
    if now.seconds.saturating_sub(newest.time.seconds) > OLD_DAYS * 24 * 60 * 60 {
        note(format_args!("warning: it is {age} old. if you made backups since, the storage does not show them"));
    }
    Ok(())
}
