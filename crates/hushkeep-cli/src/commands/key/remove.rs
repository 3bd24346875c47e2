//! `hushkeep key remove`: one way less to get the key back.

use clap::Args;
use hushkeep::protectors;
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

#[derive(Args)]
pub(crate) struct RemoveArgs {
    /// The passphrase's id, as "key list" shows it
    id: String,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &RemoveArgs, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    protectors::remove(&mut opened, &args.id)?;
    output.result("summary", json!({ "id": args.id }), format_args!("removed passphrase {}", args.id))?;
    output.text("it opens the repository no more; a copy that somebody made before still can be opened with it\n")?;
    Ok(())
}
