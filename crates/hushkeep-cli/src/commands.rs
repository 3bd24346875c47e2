//! The commands, one file for each.

mod attempts;
mod backup;
mod check;
mod completions;
mod diff;
mod dump;
mod forget;
mod key;
mod ls;
mod man;
mod off;
mod prune;
mod recover;
mod restore;
mod snapshots;
mod stats;

use clap::Subcommand;
use hushkeep::Place;

use crate::args::OpenArgs;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Back up folders and files
    Backup(backup::BackupArgs),
    /// Restore a snapshot into a folder, every byte verified
    Restore(restore::RestoreArgs),
    /// List the snapshots
    Snapshots(snapshots::SnapshotsArgs),
    /// List what is in a snapshot
    Ls(ls::LsArgs),
    /// Write one file of a snapshot to standard output
    Dump(dump::DumpArgs),
    /// Show what differs between two snapshots
    Diff(diff::DiffArgs),
    /// Verify that the repository is whole
    Check(check::CheckArgs),
    /// Show how much is stored
    Stats(OpenArgs),
    /// Forget snapshots, by name or by a policy of what to keep
    Forget(forget::ForgetArgs),
    /// Give back what no snapshot needs any more
    Prune(prune::PruneArgs),
    /// Show and change the ways to get the key of the backup back
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Get the key back on a new device, and keep it there
    Recover(recover::RecoverArgs),
    /// Show who tried the password at its vault, when, and how many guesses are left
    Attempts(OpenArgs),
    /// Turn the backup off: delete the passwords at their vaults, and this device's key
    Off(off::OffArgs),
    /// Write completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    Man(man::ManArgs),
}

impl Command {
    /// The repository that the command works on.
    pub(crate) fn place(&self) -> Option<&Place> {
        match self {
            Self::Backup(args) => Some(&args.repo.repo),
            Self::Restore(args) => Some(&args.repo.repo),
            Self::Snapshots(args) => Some(&args.repo.repo),
            Self::Ls(args) => Some(&args.repo.repo),
            Self::Dump(args) => Some(&args.repo.repo),
            Self::Diff(args) => Some(&args.repo.repo),
            Self::Check(args) => Some(&args.repo.repo),
            Self::Stats(args) => Some(&args.repo.repo),
            Self::Forget(args) => Some(&args.repo.repo),
            Self::Prune(args) => Some(&args.repo.repo),
            Self::Key(command) => Some(command.place()),
            Self::Recover(args) => Some(&args.repo.repo),
            Self::Attempts(args) => Some(&args.repo.repo),
            Self::Off(args) => Some(&args.repo.repo),
            Self::Completions(_) | Self::Man(_) => None,
        }
    }

    /// Whether a program reads the output.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Backup(args) => args.json.json,
            Self::Restore(args) => args.json.json,
            Self::Snapshots(args) => args.json.json,
            Self::Ls(args) => args.json.json,
            Self::Diff(args) => args.json.json,
            Self::Check(args) => args.json.json,
            Self::Stats(args) => args.json.json,
            Self::Forget(args) => args.json.json,
            Self::Prune(args) => args.json.json,
            Self::Key(command) => command.json(),
            Self::Recover(args) => args.json.json,
            Self::Attempts(args) => args.json.json,
            Self::Off(args) => args.json.json,
            Self::Dump(_) | Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

/// Runs a command.
pub(crate) fn run(command: Command, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Backup(args) => backup::run(&args, invocation, output),
        Command::Restore(args) => restore::run(&args, output),
        Command::Snapshots(args) => snapshots::run(&args, output),
        Command::Ls(args) => ls::run(&args, output),
        Command::Dump(args) => dump::run(&args, output),
        Command::Diff(args) => diff::run(&args, output),
        Command::Check(args) => check::run(&args, output),
        Command::Stats(args) => stats::run(&args, output),
        Command::Forget(args) => forget::run(&args, invocation, output),
        Command::Prune(args) => prune::run(&args, invocation, output),
        Command::Key(command) => key::run(command, invocation, output),
        Command::Recover(args) => recover::run(&args, output),
        Command::Attempts(args) => attempts::run(&args, output),
        Command::Off(args) => off::run(&args, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
    }
}
