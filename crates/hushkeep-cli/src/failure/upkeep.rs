//! What goes wrong in keeping a repository in order: forgetting, pruning, replacing the key.

use hushkeep::repo::{self, ForgetError, PruneError};
use hushkeep::retention::EmptyPolicy;
use hushkeep::{RebuildError, RotateError};

use super::{Exit, Failure, LOOK_AGAIN, damaged, facts, unfaithful};

impl From<EmptyPolicy> for Failure {
    fn from(_: EmptyPolicy) -> Self {
        Self::usage(
            "nothing says which snapshots to forget, or which to keep",
            "name snapshots, or say what to keep, such as --keep-daily 7 --keep-monthly 12; to forget every one, \
             add --allow-remove-all",
        )
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Read(error) => error.into(),
            ForgetError::Storage(error) => {
                Self { meaning: "the snapshots are as they were, or forgotten".to_owned(), ..error.into() }
            }
            ForgetError::RolledBack => repo::UnlockError::RolledBack.into(),
            error => Self::new(Exit::Failed, facts(&error), "the snapshots are as they were", LOOK_AGAIN),
        }
    }
}

impl From<PruneError> for Failure {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Incomplete(damage) if damage.cause.is_newer_version() => repo::ReadError::from(damage).into(),
            PruneError::Incomplete(damage) => {
                let meaning = "nothing was given back: what cannot be read may tell of what is still needed".to_owned();
                let failure = damaged(facts(&damage));
                let next = match damage.object.starts_with("commits/") {
                    true => format!(
                        "{}; a commit that stays damaged can be moved away then: see the list of exit codes, 14",
                        failure.next
                    ),
                    false => failure.next,
                };
                Self { meaning, next, ..failure }
            }
            PruneError::Read(error) => error.into(),
            PruneError::Storage(error) => {
                Self { meaning: "every snapshot is as whole as before".to_owned(), ..error.into() }
            }
            PruneError::RolledBack => repo::UnlockError::RolledBack.into(),
            error => Self::new(Exit::Failed, facts(&error), "every snapshot is as whole as before", LOOK_AGAIN),
        }
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        let what = facts(&error);
        match error {
            RebuildError::NoRecoveryKey => Self::new(
                Exit::WrongKey,
                what,
                "nothing was changed; the passphrase was kept in the config",
                "give the recovery key, or bring back the folder \"config\" from a copy of the repository",
            ),
            RebuildError::Find(error) => error.into(),
            RebuildError::Unlock(error) => error.into(),
            RebuildError::Repository(error) => error.into(),
            RebuildError::Home(error) => error.into(),
            _ => Self::new(Exit::Failed, what, "nothing was changed", LOOK_AGAIN),
        }
    }
}

impl From<repo::RebuildError> for Failure {
    fn from(error: repo::RebuildError) -> Self {
        let what = facts(&error);
        match error {
            repo::RebuildError::NoRepository => Self::new(
                Exit::NoRepository,
                what,
                "nothing was read or written",
                "mount the disk, or check the place given with --repo",
            ),
            repo::RebuildError::WrongKey => Self::new(
                Exit::WrongKey,
                what,
                "nothing was changed; the key is of another repository, or what was written under it is damaged",
                "compare the recovery key group by group; if it is right, bring back a copy of the repository",
            ),
            repo::RebuildError::Rotated { .. } => Self::new(
                Exit::WrongKey,
                what,
                "nothing was changed; this key opens only what was written before the key was rotated",
                "run `recover --without-config` with the new recovery key; if you never replaced the key, or that did not come \
                 to its end, move that object out of the repository, and try again",
            ),
            repo::RebuildError::Unfaithful => unfaithful(what),
            repo::RebuildError::Read(error) => error.into(),
            _ => Self::new(Exit::Failed, what, "nothing was changed", LOOK_AGAIN),
        }
    }
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        let what = facts(&error);
        match error {
            RotateError::KeptNowhere => Self::usage(
                what,
                "name a new file with --new-recovery-key-file, or run `recover` first to keep the key on this device",
            ),
            RotateError::KeyFile { .. } => Self::new(
                Exit::Failed,
                what,
                "the key is as it was",
                "name another file with --new-recovery-key-file: one that does not exist yet, in a folder that does",
            ),
            RotateError::Home(error) => error.into(),
            RotateError::Unchanged(repo::ConfigError::Storage(_) | repo::ConfigError::Unfaithful) => Self::new(
                Exit::Storage,
                what,
                "the old key still holds",
                "run the command again when the storage can be relied on",
            ),
            RotateError::Unchanged(error) => Self { meaning: "the old key still holds".to_owned(), ..error.into() },
            RotateError::Unknown(_) => Self::new(
                Exit::Storage,
                what,
                "the key was replaced, or is as it was: this device keeps both and finds out by itself",
                "keep the old recovery key and the new one; when the storage can be reached, `key show` shows the \
                 one that holds",
            ),
            _ => Self::new(Exit::Failed, what, "the key was replaced, or is as it was", LOOK_AGAIN),
        }
    }
}
