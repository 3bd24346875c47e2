//! The cryptographic heart of Hushkeep: keys, sealing, names and wire encodings.
//!
//! Nothing here does I/O, reads a clock or owns a random generator: bytes and randomness come in, bytes go
//! out. Everything that can be written to a repository is described in `spec/repository.md`; the functions
//! here cite its sections.
//!
//! A tour, from the root down:
//!
//! * [`keys`]: the backup key `K`, one secret per epoch, and the working keys derived from it.
//! * [`seal`]: the one construction that seals every object of a repository.
//! * [`name`]: repository ids, object ids, and the keyed names of contents.
//! * [`recovery`]: `K` written for people, with check groups that find and repair a wrong one.
//! * [`wrap`]: `K` behind a passphrase.
//! * [`wire`]: the few encodings everything else is built from.
//! * [`symmetric`]: hashes, key derivation and sealed boxes for what is no object of a repository.

pub mod keys;
pub mod name;
#[cfg(test)]
mod published;
pub mod recovery;
pub mod seal;
mod secret;
pub mod symmetric;
pub mod wire;
pub mod wrap;

pub use secret::Secret;
