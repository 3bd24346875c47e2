//! `hushkeep key show`: the recovery key.

use clap::Args;
use hushkeep::core::recovery::RecoveryKey;

use crate::args::{KeyArgs, RepoArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

#[derive(Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Show a QR code as well, for a terminal with a dark background
    #[arg(long)]
    qr: bool,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open(&args.repo, &args.key)?;
    let recovery_key = RecoveryKey::from_backup_key(&opened.key);
    output.text(format_args!("{}\n", *recovery_key.to_lines()))?;
    if args.qr {
        output.text(format_args!("\n{}", *recovery_key.to_qr()))?;
    }
    Ok(())
}
