//! The `hushkeep` command: a thin shell over the library of the same name.
//!
//! * `args`: what several commands take.
//! * `commands`: one file for each command.
//! * `session`, `ask`, `recovery_key`: opening a repository, asking for what opens it, and showing that.
//! * `output`, `progress`, `format`: what people and scripts read.
//! * `failure`: every error's exit code and advice, in one table.

mod args;
mod ask;
mod commands;
mod failure;
mod format;
mod interrupt;
mod invocation;
mod output;
mod progress;
mod recovery_key;
mod session;
mod snapshot_spec;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use invocation::Invocation;
use output::Output;

/// End-to-end encrypted backups of your chats, readable by nobody but you.
#[derive(Parser)]
#[command(name = "hushkeep", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let invocation = Invocation::new(command.place());
    let mut output = Output::new(command.json());
    interrupt::install(command.json());
    let result = commands::run(command, &invocation, &mut output).and_then(|()| Ok(output.flush()?));
    let result = result.and_then(|()| session::end());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure, &invocation);
            failure.exit.code().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::path::PathBuf;

    use clap::{ArgAction, CommandFactory};

    use super::*;

    /// Everybody on a machine can read the words of a command line, and every program its environment: what is secret
    /// comes from files.
    #[test]
    fn no_argument_is_a_secret() {
        let mut commands = vec![Cli::command()];
        let mut files = 0;
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let is_about_secrets = ["key", "passphrase", "password", "secret"].iter().any(|word| id.contains(word));
                if is_about_secrets && matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
                    let is_path = argument.get_value_parser().type_id() == TypeId::of::<PathBuf>();
                    let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                    let is_named_so = id.ends_with("_file") && variable.is_none_or(|name| name.ends_with("_FILE"));
                    assert!(is_path && is_named_so, "{} {id}", command.get_name());
                    files += 1;
                }
            }
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(files > 10, "{files}");
    }
}
