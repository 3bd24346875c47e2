//! Every error's exit code and advice: what happened, what it means for the backup, what to do next.
//!
//! Only this file knows of exit codes; `docs/exit-codes.md` lists them. In the advice, what stands between
//! backquotes is a command of this program.

mod upkeep;
mod vault;

use std::error::Error;
use std::io;

use hushkeep::protectors::{AddError, RemoveError, UnfitPassphrase};
use hushkeep::repo::storage::{StorageError, StorageErrorKind};
use hushkeep::repo::target::{TargetError, TargetErrorKind};
use hushkeep::repo::{self, BackupError, CheckError, ConfigError, ReadError, ReadFileError, RestoreError};
use hushkeep::sources::InvalidPattern;
use hushkeep::storage::OpenError;
use hushkeep::{CreateError, FindError, GatherError, HomeError, SecretError, UnlockError};

pub(crate) use vault::what_is_left;

use crate::snapshot_spec::SpecError;

/// How the program ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    Incomplete,
    NoRepository,
    Locked,
    WrongKey,
    RolledBack,
    Damaged,
    Storage,
    Vault,
    Interrupted,
    /// Nobody reads the output any more: nothing is told.
    BrokenPipe,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed | Self::BrokenPipe => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::NoRepository => 10,
            Self::Locked => 11,
            Self::WrongKey => 12,
            Self::RolledBack => 13,
            Self::Damaged => 14,
            Self::Storage => 15,
            Self::Vault => 16,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command did not do all it should.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// What it means for the backup.
    pub(crate) meaning: String,
    /// What to do next.
    pub(crate) next: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, meaning: &str, next: &str) -> Self {
        Self { exit, what: what.into(), meaning: meaning.to_owned(), next: next.to_owned() }
    }

    pub(crate) fn usage(what: impl Into<String>, next: &str) -> Self {
        Self::new(Exit::Usage, what, "nothing was done", next)
    }
}

/// An error with its causes, each said once.
pub(crate) fn facts(error: &dyn Error) -> String {
    let mut facts = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let fact = error.to_string();
        if !facts.ends_with(&fact) {
            facts = format!("{facts}: {fact}");
        }
        cause = error.source();
    }
    facts
}

const UNTOUCHED: &str = "the backup was not touched";

const LOOK_AGAIN: &str = "look at the reason above and run the command again";

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let what = facts(&error);
        match error {
            HomeError::NoHome => {
                Self::new(Exit::Failed, what, UNTOUCHED, "set HUSHKEEP_HOME to a folder for what this device remembers")
            }
            HomeError::KeyDamaged { .. } => Self::new(
                Exit::Failed,
                what,
                "the backup itself is not hurt, only this device's copy of its key",
                "run `recover` with the recovery key, a passphrase or a password to put the key back",
            ),
            HomeError::VaultDamaged { .. } => Self::new(
                Exit::Failed,
                what,
                "the backup is not hurt; whether the vault went back since this device last looked cannot be told any more",
                "look at `attempts` on another device that has the key, if there is one; then remove this file, and run \
                 `attempts` here",
            ),
            _ => Self::new(
                Exit::Failed,
                what,
                UNTOUCHED,
                "make this file readable and writable for you, or set HUSHKEEP_HOME",
            ),
        }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        let what = facts(&error);
        match error {
            FindError::NoRepository { known: Some(_) } => known_but_missing(),
            FindError::NoRepository { known: None } => Self::new(
                Exit::NoRepository,
                what,
                "nothing was read or written",
                "check the place given with --repo; \"backup\" with --init makes a new repository",
            ),
            FindError::Another { known, found } => Self::new(
                Exit::NoRepository,
                format!("{what} (known: {known}, found: {found})"),
                "nothing was written; the repository this device knows was moved, deleted or replaced",
                "mount the right disk; if the new repository is yours, run `recover` with its recovery key",
            ),
            FindError::ConfigMissing => config_lost(what),
            FindError::Storage(error) => error.into(),
            FindError::Repository(error) => error.into(),
            FindError::Home(error) => error.into(),
            _ => Self::new(Exit::Failed, what, UNTOUCHED, LOOK_AGAIN),
        }
    }
}

fn known_but_missing() -> Failure {
    Failure::new(
        Exit::NoRepository,
        "this device knows a repository here, but nothing is there now",
        "nothing was written, and no new repository was made in its place",
        "mount the disk and run the command again; for a new repository choose another place",
    )
}

impl From<repo::FindError> for Failure {
    fn from(error: repo::FindError) -> Self {
        let what = facts(&error);
        match error {
            repo::FindError::Read(error) => error.into(),
            _ => Self::new(Exit::Failed, what, UNTOUCHED, LOOK_AGAIN),
        }
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        let what = facts(&error);
        match error {
            CreateError::KnownButMissing => known_but_missing(),
            CreateError::NotEmpty => Self::new(
                Exit::Failed,
                what,
                "no repository was made, and nothing was changed there",
                "give a new or an empty folder with --repo",
            ),
            CreateError::KeyFile { .. } => Self::new(
                Exit::Failed,
                what,
                "no repository was made",
                "name another file with --recovery-key-file: one that does not exist yet, in a folder that does",
            ),
            CreateError::Exists => Self::new(Exit::Failed, what, UNTOUCHED, "run the command again to use it"),
            CreateError::Find(error) => error.into(),
            CreateError::Repository(repo::CreateError::Storage(error)) => error.into(),
            CreateError::Repository(repo::CreateError::Unfaithful) => unfaithful(what),
            CreateError::Home(error) => error.into(),
            _ => Self::new(Exit::Failed, what, "the repository may not be whole", "run the command again"),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Storage(error) => error.into(),
            error => Self::usage(facts(&error), "give a folder with --repo"),
        }
    }
}

impl From<UnlockError> for Failure {
    fn from(error: UnlockError) -> Self {
        let what = facts(&error);
        match error {
            UnlockError::NoKey => Self::new(
                Exit::WrongKey,
                what,
                "nothing was read or written; the backup is whole",
                "run `recover`, or name a file with --recovery-key-file, --passphrase-file or --password-file",
            ),
            UnlockError::Refused(error) => error.into(),
            UnlockError::Asking(_) => Self::new(
                Exit::Failed,
                what,
                "nothing was read or written",
                "name a readable file with --recovery-key-file, --passphrase-file or --password-file",
            ),
            UnlockError::Guess(error) => error.into(),
            UnlockError::Repository(error) => error.into(),
            UnlockError::Home(error) => error.into(),
            _ => Self::new(Exit::Failed, what, UNTOUCHED, LOOK_AGAIN),
        }
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let next = match error {
            SecretError::AnotherRecoveryKey => {
                "check the place given with --repo, or use this repository's newest recovery key; \
                 if this is a copy from before the key was replaced, that of then"
            }
            SecretError::WrongPassword { left, wait } => return vault::wrong_password(left, wait),
            SecretError::OutdatedDeviceKey => return outdated_device_key(facts(&error)),
            SecretError::NotAllTried => {
                "use the recovery key; whoever can write to this storage may have put configs there to keep you out"
            }
            SecretError::WrongPassphrase => "try again, or use the recovery key",
            SecretError::NotARecoveryKey(_) => "compare what you gave with your recovery key, group by group",
            _ => "use the recovery key",
        };
        Self::new(Exit::WrongKey, facts(&error), "nothing was read or written; the backup is whole", next)
    }
}

fn outdated_device_key(what: String) -> Failure {
    Failure::new(
        Exit::WrongKey,
        what,
        "nothing was read or written; most likely the key was replaced on another device",
        "run `recover` with the new recovery key; if you replaced no key, do not trust this storage",
    )
}

impl From<repo::UnlockError> for Failure {
    fn from(error: repo::UnlockError) -> Self {
        let what = facts(&error);
        match error {
            repo::UnlockError::WrongKey => Self::new(
                Exit::WrongKey,
                what,
                "nothing was read or written; the backup is whole",
                "check the place given with --repo, or use this repository's recovery key",
            ),
            repo::UnlockError::RolledBack => Self::new(
                Exit::RolledBack,
                what,
                "the storage shows an older state than this device has seen: newer snapshots are missing",
                "if you put an old copy there yourself, bring back the newer one, or go on from the old one with \
                 `recover --accept-rollback`; if the folder is synchronised, look for conflicted copies in its folder \
                 commits, and wait until it is complete; else do not trust this storage",
            ),
            repo::UnlockError::NotInForce => Self::new(
                Exit::WrongKey,
                what,
                "nothing was read or written; an earlier key still holds, or the storage hides what is newer",
                "use the recovery key or passphrase from before the key was rotated",
            ),
            repo::UnlockError::Read(error) => error.into(),
            _ => Self::new(Exit::Failed, what, UNTOUCHED, LOOK_AGAIN),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => error.into(),
            ReadError::Damaged(damage) if damage.cause.is_newer_version() => Self::new(
                Exit::Failed,
                facts(&damage),
                "nothing was changed: a newer version of hushkeep works with this backup",
                "install the newest version; if that says the same, the object named above is damaged",
            ),
            ReadError::Rotated => Self::new(
                Exit::WrongKey,
                facts(&error),
                "the backup is whole; this device's key opens only what was written before the key was rotated",
                "run `recover` with the new recovery key",
            ),
            ReadError::Damaged(damage) if damage.cause == repo::DamageCause::Unreadable => {
                unreadable(Exit::Damaged, facts(&damage))
            }
            ReadError::Damaged(damage) if damage.object.starts_with("config/") => config_lost(facts(&damage)),
            error => damaged(facts(&error)),
        }
    }
}

fn config_lost(what: String) -> Failure {
    Failure::new(
        Exit::Damaged,
        what,
        "without its config a repository cannot be opened, but what it holds may still be whole",
        "if the folder is synchronised, wait until it is complete; else bring back its folder \"config\", from the storage's \
         trash or from a copy; if there is none, and you have the recovery key, run `recover --without-config`",
    )
}

fn unreadable(exit: Exit, what: String) -> Failure {
    Failure::new(
        exit,
        what,
        "the disk, or what is between, fails to read that object; it may be whole, and so may everything else",
        "see that the disk is well connected, and run the command again; if it stays so, copy what can be read to another disk",
    )
}

fn damaged(what: String) -> Failure {
    Failure::new(
        Exit::Damaged,
        what,
        "a part of the backup is not what was stored; everything else still can be restored",
        "run `check --read-data` to see which files are hurt, and make a new backup while you have them",
    )
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let (meaning, next) = match error.kind {
            StorageErrorKind::Full => (
                "the snapshots made so far are whole",
                "make room on the storage and run the command again: it resumes",
            ),
            StorageErrorKind::Denied => {
                ("the snapshots made so far are whole", "let this user read and write the storage")
            }
            StorageErrorKind::Unreadable => return unreadable(Exit::Storage, facts(&error)),
            StorageErrorKind::TooLong => (
                "the snapshots made so far are whole",
                "the history is longer than one change can tell: `forget` and `prune` make it shorter",
            ),
            StorageErrorKind::NotFound => {
                ("nothing more was written", "see whether the disk is still mounted, and run the command again")
            }
            _ => (
                "the snapshots made so far are whole",
                "run the command again when the storage can be reached: it resumes",
            ),
        };
        Self::new(Exit::Storage, facts(&error), meaning, next)
    }
}

impl From<GatherError> for Failure {
    fn from(error: GatherError) -> Self {
        match error {
            GatherError::Pattern(error) => error.into(),
            error => Self::usage(facts(&error), "name the folders with your chats"),
        }
    }
}

impl From<InvalidPattern> for Failure {
    fn from(error: InvalidPattern) -> Self {
        Self::usage(facts(&error), "write the pattern like a file name, with * and ? for what may differ")
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Read(error) => error.into(),
            BackupError::Storage(error) => error.into(),
            BackupError::RolledBack => repo::UnlockError::RolledBack.into(),
            error @ (BackupError::TooLarge | BackupError::Internal) => Self::new(
                Exit::Failed,
                facts(&error),
                "the snapshots made so far are whole; this one was not made",
                "please report this; until then, leave the largest database out with --exclude",
            ),
            error => Self::new(Exit::Failed, facts(&error), "the snapshots made so far are whole", LOOK_AGAIN),
        }
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Read(error) => error.into(),
            error => Self::new(Exit::Failed, facts(&error), "the check is not complete", LOOK_AGAIN),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Read(error) => error.into(),
            RestoreError::Target(error) => error.into(),
            error => Self {
                next: "run the command again with --best-effort to restore everything else".to_owned(),
                ..damaged(facts(&error))
            },
        }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let next = match error.kind {
            TargetErrorKind::Full => {
                "make room on that disk, and run the command again with --overwrite if-changed: it goes on where it stopped"
            }
            _ => "choose another folder with --target",
        };
        Self::new(Exit::Failed, facts(&error), "the backup is whole; the restored files are not complete", next)
    }
}

impl From<ReadFileError> for Failure {
    fn from(error: ReadFileError) -> Self {
        match error {
            ReadFileError::Read(error) => error.into(),
            ReadFileError::Output(error) => error.into(),
            error => Self::usage(facts(&error), "name a file; `ls` shows which there are"),
        }
    }
}

/// Standard output cannot be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let broken = error.kind() == io::ErrorKind::BrokenPipe;
        let exit = if broken { Exit::BrokenPipe } else { Exit::Failed };
        let what = format!("the output cannot be written: {error}");
        Self::new(exit, what, "the backup is whole; what was written is not complete", "write it somewhere else")
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::NoSnapshots => Self::new(
                Exit::Failed,
                "there are no snapshots here",
                "nothing was backed up to this repository so far, or all was forgotten",
                "make a backup with \"backup\"",
            ),
            SpecError::NotFound(name) => Self::new(
                Exit::Failed,
                format!("there is no snapshot {name:?}"),
                UNTOUCHED,
                "run `snapshots` to see which there are",
            ),
            SpecError::Ambiguous(name) => Self::new(
                Exit::Failed,
                format!("more than one snapshot is called {name:?}"),
                UNTOUCHED,
                "write more of the id; `snapshots` shows them all",
            ),
        }
    }
}

impl From<UnfitPassphrase> for Failure {
    fn from(error: UnfitPassphrase) -> Self {
        let next = match error {
            UnfitPassphrase::UnknownCharacter => {
                "choose one without it: a later version might read it otherwise, and open nothing"
            }
            _ => "choose several random words: whoever holds the repository can guess as often as they like",
        };
        Self::new(Exit::Failed, facts(&error), "no passphrase was added", next)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Read(error) => error.into(),
            ConfigError::Storage(error) => Self::new(
                Exit::Storage,
                facts(&error),
                "the backup is whole; the change may have been made or not",
                "run `key list` when the storage can be written to again, to see what was changed; the next backup finishes it",
            ),
            ConfigError::Unfaithful => Self::new(
                Exit::Storage,
                facts(&error),
                "this storage is not to be relied on; the change may have been made or not",
                "run `key list` to see what was changed, and choose another place with --repo",
            ),
            ConfigError::RolledBack => repo::UnlockError::RolledBack.into(),
            ConfigError::Conflict => {
                Self::new(Exit::Failed, facts(&error), "nothing was changed; the backup is whole", LOOK_AGAIN)
            }
            ConfigError::TooMany => Self::new(
                Exit::Failed,
                facts(&error),
                "nothing was changed; the backup is whole",
                "take one of them away first: `key list` shows them, `key remove` takes one away",
            ),
            error => {
                Self::new(Exit::Failed, facts(&error), "the backup is whole", "run `key list` to see what was changed")
            }
        }
    }
}

fn unfaithful(what: String) -> Failure {
    Failure::new(
        Exit::Storage,
        what,
        "nothing was changed; this storage is not to be relied on",
        "choose another place with --repo",
    )
}

impl From<AddError> for Failure {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Publish(error) => error.into(),
            error => {
                Self::new(Exit::Failed, facts(&error), "no passphrase was added", "close other programs and try again")
            }
        }
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        let what = facts(&error);
        match error {
            RemoveError::Publish(error) => error.into(),
            RemoveError::NotFound(_) => Self::usage(what, "run `key list` to see the ids"),
            RemoveError::MayBeLeft(_) => Self::new(
                Exit::Storage,
                what,
                "nothing was removed now; a passphrase of this id that was removed before still opens what is there",
                "run `key list` to see the ids; if it was removed before, replace the key with `key rotate`",
            ),
            _ => Self::new(
                Exit::Failed,
                what,
                "nothing was removed",
                "to be rid of a recovery key that others have seen, run `key rotate`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let cause = io::Error::other("disk on fire");
        let error = StorageError::new(StorageErrorKind::Failed, "packs/a").because(cause);
        assert_eq!(facts(&BackupError::Storage(error)), "the storage failed: packs/a: disk on fire");
    }

    #[test]
    fn errors_end_in_the_exit_codes_of_the_contract() {
        let storage = |kind| StorageError::new(kind, "x");
        let code = |failure: Failure| failure.exit.code();
        assert_eq!(code(FindError::NoRepository { known: None }.into()), 10);
        assert_eq!(code(CreateError::KnownButMissing.into()), 10);
        assert_eq!(code(UnlockError::NoKey.into()), 12);
        assert_eq!(code(UnlockError::Refused(SecretError::WrongPassphrase).into()), 12);
        assert_eq!(code(repo::UnlockError::WrongKey.into()), 12);
        assert_eq!(code(repo::UnlockError::RolledBack.into()), 13);
        let damage = repo::Damage { object: "packs/a".into(), cause: repo::DamageCause::Missing };
        assert_eq!(code(ReadError::Damaged(damage).into()), 14);
        assert_eq!(code(ReadError::Storage(storage(StorageErrorKind::Unreachable)).into()), 15);
        assert_eq!(code(BackupError::Storage(storage(StorageErrorKind::Full)).into()), 15);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit, Exit::BrokenPipe);
    }
}
