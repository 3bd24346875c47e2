//! `hushkeep man`: the manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this folder; else the main page goes to standard output
    folder: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, output: &mut Output) -> Result<(), Failure> {
    match &args.folder {
        None => Ok(Man::new(Cli::command()).render(output.raw())?),
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the manual pages cannot be written to {}: {error}", folder.display()),
                "this has nothing to do with any backup",
                "name a folder that exists",
            )
        }),
    }
}
