//! What Hushkeep reads and writes on disk.
//!
//! * [`FolderTree`] is a folder, or a single file, as something to back up: a [`Tree`](hushkeep_repo::Tree). It
//!   reads SQLite databases in one committed state while their applications write to them, and never changes
//!   anything.
//! * [`FolderTarget`] is a folder as the place a restore goes to: a [`Target`](hushkeep_repo::Target). It never
//!   leaves that folder, whatever lies in it and whatever a snapshot says.
//! * [`Patterns`] are the patterns that leave files out.
//!
//! ```
//! use hushkeep_repo::Tree;
//! use hushkeep_sources::{Patterns, FolderOptions, FolderTree};
//!
//! # let chats = tempfile::tempdir()?;
//! # std::fs::write(chats.path().join("hello.tmp"), "")?;
//! let options = FolderOptions { excludes: Patterns::new(["*.tmp"])?, ..FolderOptions::default() };
//! let tree = FolderTree::new(chats.path(), options)?;
//! for item in tree.walk() {
//!     println!("{}", item?.path);
//! }
//! # assert_eq!(tree.walk().count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Inside: `walk` visits, `database` decides how a database is read, `view` reads bytes, `platform` is what
//! differs between systems. SQLite is used only in `database::live`.

mod database;
mod folder;
mod patterns;
mod platform;
mod stat;
mod target;
mod view;
mod walk;

pub use folder::{FolderOptions, FolderTree};
pub use patterns::{InvalidPattern, Patterns};
pub use target::FolderTarget;
