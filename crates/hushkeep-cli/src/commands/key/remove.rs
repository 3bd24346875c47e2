//! `hushkeep key remove`: one way less to get the key back.

use clap::Args;
use hushkeep::protectors;
use hushkeep::vault::{self, Https, VaultAddress};
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::format;
use crate::output::{Output, note};
use crate::session;

#[derive(Args)]
pub(crate) struct RemoveArgs {
    /// The id of the passphrase or password, as "key list" shows it
    id: String,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Leave a password's record to a vault that is gone for good
    #[arg(long)]
    without_vault: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &RemoveArgs, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    let password = vault::pairs(&opened.repository).into_iter().find(|(id, _)| id.to_string() == args.id);
    let (what, kept) = if password.is_some() {
        ("password", vault::remove_password(&mut opened, &Https::new(), &args.id, args.without_vault)?)
    } else {
        ("passphrase", protectors::remove(&mut opened, &args.id)?)
    };
    let object = json!({ "id": args.id, "undeleted": kept });
    output.result("summary", object, format_args!("removed {what} {}", args.id))?;
    if let Some((_, pair)) = password {
        output.text(match args.without_vault {
            true => "its record stays at the vault, if that is still there: what it leads to is of no use once you replace the \
                 key\n",
            false => "its vault has deleted the record: nobody can guess at it any more\n",
        })?;
        if let Ok(address) = VaultAddress::of(&pair) {
            output.text(format_args!("the vault's address, to add one again: {address}\n"))?;
        }
        return Ok(());
    }
    if !kept.is_empty() {
        note(format_args!(
            "warning: the storage refuses to delete {}: the passphrase still opens what is there. replace the key with \"key \
             rotate\"",
            format::count(kept.len() as u64, "older config"),
        ));
        return Ok(());
    }
    output.text("it opens the repository no more; a copy that somebody made before still can be opened with it\n")?;
    Ok(())
}
