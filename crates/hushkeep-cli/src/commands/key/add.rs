//! `hushkeep key add`: a new way to get the key back.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hushkeep::protectors;
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::ask;
use crate::failure::{Exit, Failure};
use crate::invocation::Invocation;
use crate::output::Output;
use crate::session;

#[derive(Subcommand)]
pub(crate) enum AddCommand {
    /// Add a passphrase. Whoever holds the repository can guess it, as often as they like
    Passphrase(AddPassphraseArgs),
}

#[derive(Args)]
pub(crate) struct AddPassphraseArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Read the new passphrase from this file; "-" for standard input
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// What to call it in "key list"
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &AddPassphraseArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    let typed = match &args.new_passphrase_file {
        Some(path) => ask::read_line(path),
        None if ask::is_at_terminal() => ask::prompt_new_passphrase(),
        None => {
            return Err(Failure::usage(
                "nobody is there to type a passphrase",
                "name a file with --new-passphrase-file",
            ));
        }
    };
    let typed = typed.map_err(|error| {
        let what = format!("the passphrase cannot be read: {error}");
        Failure::new(Exit::Failed, what, "no passphrase was added", "name a readable file with --new-passphrase-file")
    })?;
    let passphrase = protectors::new_passphrase(&typed)?;
    let id = protectors::add_passphrase(&mut opened, &passphrase, &args.label)?;
    output.result("summary", json!({ "id": id.to_string() }), format_args!("added passphrase {id}"))?;
    output.text("whoever holds the repository can guess it, as often as they like: it protects as much as it is hard to guess\n")?;
    output.text(format_args!("to try it: {}\n", invocation.command("key verify")))?;
    Ok(())
}
