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
