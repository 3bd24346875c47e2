//! The key vault's protocol (spec/vault.md): a password gives the backup key back, and every guess is counted first.
//!
//! Nothing here does I/O, reads a clock or owns a random generator: messages, time and random numbers come in, messages go out.
//!
//! * [`client`]: registers a password, and gets the key back with it.
//! * [`server`]: what a vault does with a request. Its records are in an [`AttemptStore`](server::AttemptStore).
//! * [`message`]: what they say to each other; [`request`]: how it travels.
//! * [`Pair`]: what stands in the config of a repository.

#[cfg(feature = "bench")]
pub mod bench;
pub mod client;
pub mod message;
mod name;
mod owner;
mod pair;
mod password;
pub mod request;
pub mod server;
mod suite;

pub use name::{Locator, RecordId, VaultId, Version};
pub use owner::UpdateKey;
pub use pair::Pair;
pub use password::{Floor, TooWeak, check as check_password};

/// What a login is bound to (RFC 9807 §6.2, the context): one password of one record in one vault, which is the only one.
fn context(vault: &VaultId, record: &RecordId, version: &Version) -> Vec<u8> {
    let (vaults, needed) = ([1], [1]);
    let parts = [b"hushkeep vault/1 login".as_slice(), vault.as_bytes(), record.as_bytes(), version.as_bytes()];
    [parts.concat().as_slice(), &vaults, &needed].concat()
}
