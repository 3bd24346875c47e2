//! The key vault's server: a thin shell over `hushkeep-vault`.
//!
//! * [`folder`]: a vault's folder, and who has it.
//! * [`serve`]: the server as a whole; [`http`] its requests, [`tls`] its certificate, [`limits`] a brake.
//! * [`store`]: the records, in SQLite; [`keys`] the vault's own keys, in a file.
//! * [`fence`]: by which old records are noticed.
//! * [`rekey`], [`copy`], [`doctor`]: what the operator does beside. With the feature `bench`, `bench` measures it.

#[cfg(feature = "bench")]
pub mod bench;
mod clock;
pub mod copy;
pub mod doctor;
pub mod fence;
pub mod folder;
pub mod http;
pub mod keys;
pub mod limits;
mod problem;
pub mod rekey;
pub mod serve;
pub mod store;
pub mod tls;

/// So many of something.
pub fn count_of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
