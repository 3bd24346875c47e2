//! What several commands take.

use std::path::PathBuf;

use clap::Args;
use hushkeep::Place;

/// A repository, what opens it, and how to answer: all that many commands take.
#[derive(Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// Which repository.
#[derive(Args)]
pub(crate) struct RepoArgs {
    /// Where the repository is: a folder on this computer or on a mounted disk
    #[arg(short, long = "repo", value_name = "PLACE", env = "HUSHKEEP_REPO", hide_env_values = true)]
    pub(crate) repo: Place,
}

/// What opens a repository, read from files.
#[derive(Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    pub(crate) recovery_key: RecoveryKeyArgs,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

/// A recovery key, read from a file.
#[derive(Args)]
pub(crate) struct RecoveryKeyArgs {
    /// Open the repository with the recovery key in this file; "-" for standard input
    #[arg(long, value_name = "FILE", env = "HUSHKEEP_RECOVERY_KEY_FILE", hide_env_values = true)]
    pub(crate) recovery_key_file: Option<PathBuf>,
}

/// A passphrase, read from a file.
#[derive(Args)]
pub(crate) struct PassphraseArgs {
    /// Open the repository with the passphrase in this file; "-" for standard input
    #[arg(long, value_name = "FILE", env = "HUSHKEEP_PASSPHRASE_FILE", hide_env_values = true)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// A password, read from a file.
#[derive(Args)]
pub(crate) struct PasswordArgs {
    /// Open the repository with the password in this file, at its vault, where this device does not have the key; "-" for
    /// standard input
    #[arg(long, value_name = "FILE", env = "HUSHKEEP_PASSWORD_FILE", hide_env_values = true)]
    pub(crate) password_file: Option<PathBuf>,
}

/// For programs that read the output.
#[derive(Args)]
pub(crate) struct JsonArgs {
    /// Write one JSON object a line to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much to tell on the way.
#[derive(Args)]
pub(crate) struct VerbosityArgs {
    /// Tell only what went wrong
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell every file on the way
    #[arg(short, long)]
    pub(crate) verbose: bool,
}
