//! `hushkeep key`: the ways to get the key of the backup back.

mod add;
mod list;
mod passwd;
mod remove;
mod rotate;
mod show;
mod verify;

use clap::Subcommand;
use hushkeep::Place;

use crate::args::OpenArgs;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// List the ways to get the key back
    List(OpenArgs),
    /// Show the recovery key
    Show(show::ShowArgs),
    /// Find out whether a recovery key, passphrase or password opens the repository
    Verify(OpenArgs),
    /// Add a way to get the key back
    #[command(subcommand)]
    Add(add::AddCommand),
    /// Change a password
    Passwd(passwd::PasswdArgs),
    /// Remove a passphrase or a password
    Remove(remove::RemoveArgs),
    /// Replace the key: what is backed up from then on cannot be read with the old one
    Rotate(rotate::RotateArgs),
}

impl KeyCommand {
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::List(args) => &args.repo.repo,
            Self::Show(args) => &args.repo.repo,
            Self::Verify(args) => &args.repo.repo,
            Self::Add(command) => &command.repo().repo,
            Self::Passwd(args) => &args.repo.repo,
            Self::Remove(args) => &args.repo.repo,
            Self::Rotate(args) => &args.repo.repo,
        }
    }

    pub(crate) fn json(&self) -> bool {
        match self {
            Self::List(args) => args.json.json,
            Self::Show(_) => false,
            Self::Verify(args) => args.json.json,
            Self::Add(command) => command.json(),
            Self::Passwd(args) => args.json.json,
            Self::Remove(args) => args.json.json,
            Self::Rotate(args) => args.json.json,
        }
    }
}

pub(crate) fn run(command: KeyCommand, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    match command {
        KeyCommand::List(args) => list::run(&args, output),
        KeyCommand::Show(args) => show::run(&args, output),
        KeyCommand::Verify(args) => verify::run(&args, output),
        KeyCommand::Add(command) => add::run(&command, invocation, output),
        KeyCommand::Passwd(args) => passwd::run(&args, output),
        KeyCommand::Remove(args) => remove::run(&args, output),
        KeyCommand::Rotate(args) => rotate::run(&args, invocation, output),
    }
}
