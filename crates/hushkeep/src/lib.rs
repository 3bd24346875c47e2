//! End-to-end encrypted backups for applications.
//!
//! This is what people embed. It prints nothing and asks nothing: whoever calls it owns the screen, and answers
//! the one question it has, for the backup key, through [`Ask`].
//!
//! ```no_run
//! use hushkeep::repo::{BackupOptions, Quiet};
//! use hushkeep::{Home, KeepKey, NewRepository, Place, SourceOptions, Sources};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = Home::from_environment()?;
//! let place: Place = "/mnt/disk/backup".parse()?;
//! let new = NewRepository::generate();
//! println!("keep this somewhere safe:\n{}", *new.recovery_key().to_lines());
//! let keep = KeepKey { on_device: true, in_file: None };
//! let mut opened = new.create(&home, &place, &keep)?;
//!
//! let sources = Sources::gather(&["/home/me/chats".into()], &SourceOptions::default(), &home, &place)?;
//! let options = BackupOptions::new(hushkeep::now(), hushkeep::device_name());
//! opened.repository.backup(&sources.for_engine(), &options, &Quiet)?;
//! # Ok(())
//! # }
//! ```
//!
//! * [`Home`]: what this device remembers, outside of any repository.
//! * [`Place`] and [`Found`]: where a repository is, and finding it there.
//! * [`NewRepository`]: making one.
//! * [`Ask`] and [`Secret`]: getting the backup key.
//! * [`protectors`]: the ways to get the key back, and changing them.
//! * [`Rotation`]: replacing the key.
//! * [`vault`]: passwords that a key vault counts the guesses at.
//! * [`off`]: forgetting a repository, and deleting it.
//! * [`retention`]: which snapshots to keep.
//! * [`Sources`]: what to back up. [`Selection`]: what to restore.
//!
//! Everything else is done with the opened [`repo::Repository`].

mod find;
mod folder_cache;
mod gather;
mod home;
pub mod off;
mod place;
mod private_file;
pub mod protectors;
mod rebuild;
pub mod retention;
mod rotation;
mod selection;
mod unlock;
pub mod vault;

use std::time::{SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use rand_core::UnwrapErr;

pub use hushkeep_core as core;
pub use hushkeep_repo as repo;
pub use hushkeep_sources as sources;
pub use hushkeep_storage as storage;

pub use find::{CreateError, FindError, Found, KeepKey, NewRepository};
pub use folder_cache::FolderCache;
pub use gather::{GatherError, Gathered, SourceOptions, Sources, Unavailable};
pub use home::{DeviceState, Home, HomeError};
pub use place::Place;
pub use rebuild::RebuildError;
pub use rotation::{PasswordError, RotateError, Rotated, Rotation};
pub use selection::Selection;
pub use unlock::{Ask, Opened, OpenedBy, Secret, SecretError, UnlockError, Ways};

use hushkeep_repo::Timestamp;

/// The time by this device's clock. A clock before 1970 counts as 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}

/// This device's clock.
pub(crate) struct DeviceClock;

impl hushkeep_repo::Clock for DeviceClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// What this device is called by its system; `unknown` where the system does not tell.
pub fn device_name() -> String {
    let name = system_name();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

#[cfg(unix)]
fn system_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn system_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// The system's random generator. It fails only where the system is broken beyond making any key: by a panic.
fn random() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
