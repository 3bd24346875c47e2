//! Forgetting snapshots: they leave the history, and what only they needed can be pruned.

use std::collections::HashSet;

use super::Repository;
use crate::Timestamp;
use crate::error::ReadError;
use crate::history::{Action, Change, ForgottenSnapshot, PublishError, Tables};
use crate::snapshot::SnapshotId;
use crate::state::StateError;
use crate::storage::StorageError;

/// Snapshots that could not be forgotten. They are as they were, unless the storage failed at the very end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// The storage shows less than it did when the repository was opened.
    #[error("the storage shows a history that lacks what this device has already seen")]
    RolledBack,
    /// Other devices were faster, again and again.
    #[error("other devices write to the repository all the time")]
    Busy,
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This device's own state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Repository {
    /// Takes snapshots out of the history, for good. What they held stays on the storage until it is pruned.
    pub fn forget(&mut self, snapshots: &[SnapshotId], now: Timestamp) -> Result<(), ForgetError> {
        let device = self.device_id()?;
        let ids: HashSet<SnapshotId> = snapshots.iter().copied().collect();
        let change = Change { action: Action::Forget, time: now, config: None };
        self.publish(&change, |repository, _| {
            let mut tables = Tables::default();
            for snapshot in repository.snapshots.iter().filter(|snapshot| ids.contains(&snapshot.id)) {
                tables.forget_snapshot(&ForgottenSnapshot { id: snapshot.id, number: snapshot.number, device });
            }
            Ok::<_, ForgetError>(tables)
        })?;
        Ok(())
    }
}

impl From<PublishError> for ForgetError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Storage(error) => Self::Storage(error),
            PublishError::RolledBack => Self::RolledBack,
            // Only a change of the config can conflict, or one beyond the last number.
            PublishError::Conflict | PublishError::Busy => Self::Busy,
            PublishError::Read(error) => Self::Read(error),
            PublishError::State(error) => Self::State(error),
        }
    }
}
