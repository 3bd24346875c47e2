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
pub use time::Timestamp;
pub use tree::Tree;
