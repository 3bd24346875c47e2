//! `hushkeep off`: no more backups from this device.

use clap::Args;
use hushkeep::core::name::RepositoryId;
use hushkeep::off::{self, DeletedBackups, Deleting};
use hushkeep::vault::{self, Https, RegisterError};
use hushkeep::{FindError, Found, Home, Opened};
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::ask::{self, Owner};
use crate::failure::{Exit, Failure};
use crate::format;
use crate::output::{Output, note};
use crate::session;

#[derive(Args)]
pub(crate) struct OffArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Delete the backups as well: nobody gets anything back
    #[arg(long)]
    delete_backups: bool,
    /// Leave the records of passwords to vaults that are gone for good
    #[arg(long)]
    without_vault: bool,
    /// Do it without asking first
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &OffArgs, output: &mut Output) -> Result<(), Failure> {
    if !args.yes && !ask::is_at_terminal() {
        return Err(Failure::usage("nobody is there to say yes", "run the command again with --yes"));
    }
    let home = Home::from_environment()?;
    let found = match Found::find(&home, &args.repo.repo) {
        // A run that was broken off has deleted all backups: what is left is to forget them.
        Err(FindError::NoRepository { known: Some(known) })
            if off::deleting(&home, &known) == Deleting::AllButConfigs =>
        {
            off::forget(&home, &known)?;
            return tell(args, &Done::default(), output);
        }
        found => found?,
    };
    // It is the one that this device knows there: else it would not have been found.
    if off::deleting(&home, &found.id()) != Deleting::No && args.delete_backups {
        note("deleting the backups was begun, and broken off");
        if !args.yes && !ask::confirm("delete what is left at this place?")? {
            return Err(not_turned_off());
        }
        return delete_and_forget(args, &home, &found.id(), 0, output);
    }
    let mut opened = session::unlock(found, Owner::with(&args.key))?;
    if !args.yes && !confirmed(args, &opened)? {
        return Err(not_turned_off());
    }
    let passwords = remove_passwords(&mut opened, args.without_vault)?;
    delete_and_forget(args, &home, &opened.repository.id(), passwords, output)
}

fn not_turned_off() -> Failure {
    Failure::new(
        Exit::Failed,
        "nothing was turned off",
        "nothing was changed, as you wished",
        "run the command again when you are ready",
    )
}

/// The key goes last: as long as it is here, all of this can be done again.
fn delete_and_forget(
    args: &OffArgs,
    home: &Home,
    id: &RepositoryId,
    passwords: u64,
    output: &mut Output,
) -> Result<(), Failure> {
    let place = &args.repo.repo;
    let deleted = if args.delete_backups { off::delete_backups(home, id, place)? } else { DeletedBackups::default() };
    off::forget(home, id)?;
    tell(args, &Done { passwords, deleted }, output)
}

/// What was turned off.
#[derive(Default)]
struct Done {
    passwords: u64,
    deleted: DeletedBackups,
}

/// Deletes the records of passwords, and takes the passwords out of the repository.
fn remove_passwords(opened: &mut Opened, without_vault: bool) -> Result<u64, Failure> {
    let mut removed = 0;
    while let Some((id, _)) = vault::pairs(&opened.repository).into_iter().next() {
        let kept = match vault::remove_password(opened, &Https::new(), &id.to_string(), false) {
            Err(RegisterError::Vault(_) | RegisterError::Damaged) if without_vault => {
                vault::remove_password(opened, &Https::new(), &id.to_string(), true)?
            }
            kept => kept?,
        };
        if !kept.is_empty() {
            note("warning: the storage refuses to delete an older config with a password");
        }
        removed += 1;
    }
    Ok(removed)
}

fn confirmed(args: &OffArgs, opened: &Opened) -> Result<bool, Failure> {
    let passwords = vault::pairs(&opened.repository).len() as u64;
    if passwords > 0 {
        let passwords = format::count(passwords, "password");
        note(format_args!("{passwords} at a vault will be deleted, for your other devices as well"));
    }
    if args.delete_backups {
        let snapshots = format::count(opened.repository.snapshots().len() as u64, "snapshot");
        note(format_args!("{snapshots} will be deleted: nobody will get anything back, with no key"));
    } else {
        note("the backups stay, and open with the recovery key, or a passphrase, alone: without them they are lost");
        note("if you do not have the recovery key on paper, answer no, and run \"key show\"");
    }
    Ok(ask::confirm("turn the backup off?")?)
}

fn tell(args: &OffArgs, Done { passwords, deleted }: &Done, output: &mut Output) -> Result<(), Failure> {
    let object = json!({
        "passwords": passwords,
        "deleted": args.delete_backups.then_some(deleted.deleted),
        "kept": args.delete_backups.then_some(&deleted.kept),
    });
    let what = "this device has no key of the repository any more, and remembers nothing of it";
    output.result("summary", object, what)?;
    if *passwords > 0 {
        output.text(format_args!("removed {}\n", format::count(*passwords, "password")))?;
    }
    if !args.delete_backups {
        output.text("the backups stay where they are; they open with the recovery key or a passphrase\n")?;
        return Ok(());
    }
    output.text(format_args!("deleted {}\n", format::count(deleted.deleted, "object")))?;
    if deleted.kept.is_empty() {
        return Ok(());
    }
    let kept = format::count(deleted.kept.len() as u64, "object");
    Err(Failure::new(
        Exit::Storage,
        format!("the storage refuses to delete {kept}"),
        "what is there can be read with the recovery key alone, and with a passphrase if it had one",
        "delete them where the storage is kept",
    ))
}
