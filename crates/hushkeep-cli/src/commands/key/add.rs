//! `hushkeep key add`: a new way to get the key back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hushkeep::core::wrap::Passphrase;
use hushkeep::protectors;
use hushkeep::vault::{self, Floor, Https, VaultAddress};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::ask;
use crate::failure::{Exit, Failure};
use crate::invocation::Invocation;
use crate::output::{Output, note};
use crate::session;

#[derive(Subcommand)]
pub(crate) enum AddCommand {
    /// Add a passphrase. Whoever holds the repository can guess it, as often as they like
    Passphrase(AddPassphraseArgs),
    /// Add a password behind a key vault, which counts every guess: after ten wrong ones it leads nowhere
    Password(AddPasswordArgs),
}

impl AddCommand {
    pub(super) fn repo(&self) -> &RepoArgs {
        match self {
            Self::Passphrase(args) => &args.repo,
            Self::Password(args) => &args.repo,
        }
    }

    pub(super) fn json(&self) -> bool {
        match self {
            Self::Passphrase(args) => args.json.json,
            Self::Password(args) => args.json.json,
        }
    }
}

#[derive(Args)]
pub(crate) struct AddPassphraseArgs {
    #[command(flatten)]
    repo: RepoArgs,
    /// Read the new passphrase from this file; "-" for standard input
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// What to call it in "key list"
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Args)]
pub(crate) struct AddPasswordArgs {
    #[command(flatten)]
    repo: RepoArgs,
    /// The vault's address, with its key, as "hushkeep-vaultd serve" prints it
    #[arg(long, value_name = "URL")]
    vault: VaultAddress,
    /// Read the new password from this file; "-" for standard input
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// What to call it in "key list"
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) fn run(command: &AddCommand, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    match command {
        AddCommand::Passphrase(args) => add_passphrase(args, invocation, output),
        AddCommand::Password(args) => add_password(args, invocation, output),
    }
}

fn add_passphrase(args: &AddPassphraseArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    let typed = new_secret(args.new_passphrase_file.as_deref(), "passphrase", "--new-passphrase-file")?;
    let passphrase = protectors::new_passphrase(&typed)?;
    let id = protectors::add_passphrase(&mut opened, &passphrase, &args.label)?;
    output.result("summary", json!({ "id": id.to_string() }), format_args!("added passphrase {id}"))?;
    output.text(
        "whoever holds the repository can guess it, as often as they like: it protects as much as it is hard to \
         guess\n",
    )?;
    output.text(format_args!("to try it: {}\n", invocation.command("key verify")))?;
    Ok(())
}

fn add_password(args: &AddPasswordArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    let password = new_password(args.new_password_file.as_deref())?;
    let added = vault::add_password(&mut opened, &Https::new(), &args.vault, &password, &args.label)?;
    let object = json!({ "id": added.id.to_string(), "vault": args.vault.host(), "confirmed": added.is_confirmed });
    output.result(
        "summary",
        object,
        format_args!("added password {}, at the vault {}", added.id, args.vault.host()),
    )?;
    output.text(
        "with it and this storage, a new device gets the key back. others have ten guesses, and you see each of \
         them;\n",
    )?;
    output.text(
        "whoever runs the vault, or steals all of it, can guess on: it protects as much as it is hard to guess\n",
    )?;
    output.text(format_args!("to try it: {}\n", invocation.command("key verify")))?;
    output.text(format_args!("to see who tried: {}\n", invocation.command("attempts")))?;
    if args.vault.is_on_this_machine() {
        note(
            "note: this address reaches the vault from this machine alone. for other devices, it needs one that they reach",
        );
    }
    if !added.is_confirmed {
        note(
            "warning: the vault did not confirm it; it leads to the key all the same, and the next backup has it confirmed",
        );
    }
    Ok(())
}

/// A new password that is not too weak. At a terminal it is asked for until it is not.
pub(super) fn new_password(file: Option<&Path>) -> Result<Passphrase, Failure> {
    loop {
        let typed = new_secret(file, "password", "--new-password-file")?;
        match vault::new_password(&typed, Floor::OneOperator) {
            Err(error) if file.is_none() => {
                note(format_args!("{}; choose four or more random words", Failure::from(error).what));
            }
            password => return Ok(password?),
        }
    }
}

/// What the owner types or has in a file.
pub(super) fn new_secret(file: Option<&Path>, what: &str, flag: &str) -> Result<Zeroizing<String>, Failure> {
    let typed = match file {
        Some(path) => ask::read_line(path),
        None if ask::is_at_terminal() => ask::prompt_new(what),
        None => {
            return Err(Failure::usage(
                format!("nobody is there to type a {what}"),
                &format!("name a file with {flag}"),
            ));
        }
    };
    typed.map_err(|error| {
        let text = format!("the {what} cannot be read: {error}");
        Failure::new(Exit::Failed, text, &format!("no {what} was added"), &format!("name a readable file with {flag}"))
    })
}
