//! What Hushkeep reads and writes on disk.
mod database;
mod exclude;
mod folder;
mod platform;
mod stat;
mod target;
mod view;
mod walk;

pub use exclude::{Excludes, InvalidPattern};
pub use folder::{FolderOptions, FolderTree};
pub use target::FolderTarget;
