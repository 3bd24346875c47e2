//! `hushkeep key remove`: one way less to get the key back.

use clap::Args;
use hushkeep::protectors;
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::format;
use crate::output::{Output, note};
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
    let kept = protectors::remove(&mut opened, &args.id)?;
    let object = json!({ "id": args.id, "undeleted": kept });
    output.result("summary", object, format_args!("removed passphrase {}", args.id))?;
    if !kept.is_empty() {
        note(format_args!(
            "warning: the storage refuses to delete {}: the passphrase still opens what is there. replace the key with \"key rotate\"",
            format::count(kept.len() as u64, "older config"),
        ));
        return Ok(());
    }
    output.text("it opens the repository no more; a copy that somebody made before still can be opened with it\n")?;
    Ok(())
}
