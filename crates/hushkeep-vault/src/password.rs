//! Passwords, and which are too weak for a vault (spec/vault.md §2.5).

use hushkeep_core::wrap::Passphrase;
use zxcvbn::zxcvbn;

/// Refuses a password that is guessed too soon. What it is, and how it is written, is that of a passphrase.
///
/// # Limits
///
/// The estimate leaves copies of the password in memory until that is overwritten.
pub fn check(password: &Passphrase, floor: Floor) -> Result<(), TooWeak> {
    let estimate = zxcvbn(password.expose(), &[]);
    if estimate.guesses() >= floor.guesses() {
        return Ok(());
    }
    let reason = estimate.feedback().and_then(|feedback| feedback.warning()).map(|warning| warning.to_string());
    Err(TooWeak { reason })
}

/// A password that is guessed too soon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password is too easy to guess")]
pub struct TooWeak {
    /// Why, in a sentence for its owner.
    pub reason: Option<String>,
}

/// How many guesses a password must withstand: it is measured as if the vault did not count, which an operator can have it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// 10¹⁰: one vault, which keeps its keys in a file or in a module that does not count. Its operator can test passwords.
    OneOperator,
    /// 10⁶: nobody can test passwords but by the vault's own count.
    Counted,
}

impl Floor {
    /// As a number of guesses.
    fn guesses(self) -> u64 {
        match self {
            Self::OneOperator => 10_000_000_000,
            Self::Counted => 1_000_000,
        }
    }
}
