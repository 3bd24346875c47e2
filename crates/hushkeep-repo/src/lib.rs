//! The backup engine: it turns files into sealed, write-once objects and back, byte for byte.
//!
//! The engine knows nothing of chats, of clouds or of operating systems. It works over four traits that it
//! defines and others implement:
//!
//! * [`Storage`]: where objects are kept; sees only sealed bytes.
//! * [`Tree`]: what is backed up.
//! * [`Target`]: where a restore goes.
//! * [`State`]: what one device must remember between runs.
//!
//! The bytes it writes are described in `spec/repository.md`.

mod backup;
mod bad_packs;
mod browse;
mod check;
mod codec;
mod config;
mod content_set;
mod contents;
mod error;
mod file_list_reader;
mod growth;
mod history;
mod index;
mod index_writer;
mod keyring;
mod liveness;
mod node;
mod objects;
mod pack;
mod prune;
mod refs;
mod repository;
mod restore;
mod retention;
mod stats;
mod storage_clock;

#[cfg(test)]
mod memory;
mod progress;
#[cfg(test)]
mod properties;
mod snapshot;

pub mod cache;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod path;
pub mod state;
pub mod storage;
pub mod target;
pub mod time;
pub mod tree;

pub use path::RelPath;
pub use state::State;
pub use storage::Storage;
pub use target::Target;
pub use time::{Clock, Timestamp};
pub use tree::Tree;

pub use backup::{BackupError, BackupOptions, BackupReport, Problem, ProblemKind, Source};
pub use browse::{Change, ChangeKind, Entries, ReadFileError};
pub use check::{Affected, CheckError, CheckOptions, CheckReport, Finding};
pub use config::{Protector, ProtectorKind};
pub use error::{Damage, DamageCause, ReadError};
pub use history::ForgottenSnapshot;
pub use node::{Entry, EntryKind, FileEntry, NewerEntry};
pub use progress::{Progress, Quiet};
pub use prune::{Amount, PruneError, PruneOptions, PruneReport};
pub use repository::{
    ConfigError, CreateError, FindError, ForgetError, FoundProtector, LockedRepository, RebuildError, Repository,
    RotateError, UnlockError, rebuild_config,
};
pub use restore::{ItemError, Overwrite, RestoreError, RestoreOptions, RestoreProblem, RestoreReport};
pub use snapshot::{Snapshot, SnapshotEntry, SnapshotId, SnapshotSource};
pub use stats::{FolderStats, Stats};
