//! `hushkeep key passwd`: another password.

use std::path::PathBuf;

use clap::Args;
use hushkeep::vault::{self, Https, VaultAddress};
use serde_json::json;

use super::add::new_password;
use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::session;

#[derive(Args)]
pub(crate) struct PasswdArgs {
    /// The password's id, as "key list" shows it; not needed if there is only one
    id: Option<String>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Read the new password from this file; "-" for standard input
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Where the vault is now, if it was moved: the same vault at another name or port
    #[arg(long, value_name = "ADDRESS")]
    vault: Option<VaultAddress>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &PasswdArgs, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    vault::finish_changes(&mut opened, &Https::new());
    let all = vault::pairs(&opened.repository);
    // A change that was broken off has left two of one record: either stands for both.
    let only = all.first().filter(|(_, first)| all.iter().all(|(_, other)| other.record() == first.record()));
    let only = only.map(|(id, _)| id.to_string());
    let id = args.id.clone().or(only).ok_or_else(|| {
        Failure::usage("it is not clear which password is meant", "name one by its id: `key list` shows them")
    })?;
    let password = new_password(args.new_password_file.as_deref())?;
    let new = vault::change_password(&mut opened, &Https::new(), (&id, args.vault.as_ref()), &password)?;
    let object = json!({ "id": new.id.to_string(), "replaced": id, "confirmed": new.is_confirmed });
    output.result("summary", object, format_args!("password {} replaces {id}", new.id))?;
    if new.went_back {
        note("warning: the vault told another history than before; this device takes the one that it tells now");
    }
    if !new.is_confirmed {
        note(
            "warning: the vault did not confirm it: until it does, with the next backup or \"attempts\", the old one leads to \
             the key as well",
        );
    }
    Ok(())
}
