//! What goes wrong in keeping a repository in order: forgetting and pruning.

use hushkeep::repo::{self, ForgetError, PruneError};
use hushkeep::retention::EmptyPolicy;

use super::{Exit, Failure, LOOK_AGAIN, damaged, facts};

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
            PruneError::Incomplete(damage) => Self {
                meaning: "nothing was given back: what cannot be read may tell of what is still needed".to_owned(),
                ..damaged(facts(&damage))
            },
            PruneError::Read(error) => error.into(),
            PruneError::Storage(error) => {
                Self { meaning: "every snapshot is as whole as before".to_owned(), ..error.into() }
            }
            PruneError::RolledBack => repo::UnlockError::RolledBack.into(),
            error => Self::new(Exit::Failed, facts(&error), "every snapshot is as whole as before", LOOK_AGAIN),
        }
    }
}
