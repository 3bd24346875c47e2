//! Where Hushkeep keeps its objects.
//!
//! Implementations of [`Storage`](hushkeep_repo::Storage):
//!
//! * [`FolderStorage`]: a local or mounted folder.
//! * [`MemoryStorage`]: memory, for tests and for trying things out.
//!
//! Wrappers, which are storages themselves:
//!
//! * [`RetryStorage`]: tries again when the storage does not answer.
//! * [`CountingStorage`]: counts calls and bytes.
//! * [`CachedStorage`]: comes with what this device keeps of it.
//! * [`FaultStorage`]: for tests; fails, lies and dies as planned.
//!
//! People name a storage by its [`Location`]; [`open`] and [`create`] go from there to a storage.

mod cached;
mod counting;
pub mod fault;
mod folder;
mod location;
mod memory;
mod operation;
mod retry;

pub use cached::CachedStorage;
pub use counting::{Count, CountingStorage, Counts};
pub use fault::FaultStorage;
pub use folder::FolderStorage;
pub use location::{InvalidLocation, Location, OpenError, create, open};
pub use memory::MemoryStorage;
pub use operation::Operation;
pub use retry::{Clock, RetryPolicy, RetryStorage, SystemClock};
