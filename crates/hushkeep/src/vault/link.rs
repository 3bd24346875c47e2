//! Talking with one vault: a message out, a message or a reason back.

use std::error::Error;

use hushkeep_vault::request::{Code, Request};

use super::address::VaultAddress;

/// Carries messages to a vault.
pub trait Transport {
    /// Posts a message and returns what is answered, whatever its status is. A transport may send it again for some minutes if
    /// no answer comes: the same guess counts once, unless somebody else guesses at the record in between.
    ///
    /// It must make sure that the vault answers, by the key in the address.
    fn post(&self, vault: &VaultAddress, path: &str, message: &[u8]) -> Result<Reply, TransportError>;
}

/// What a vault answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
    /// A message, or why there is none.
    pub body: Vec<u8>,
    /// Whether the same message was sent before, and may have arrived: a refusal says nothing of what became of that one.
    pub may_be_second: bool,
}

/// A vault that was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No answer came.
    #[error("no answer came")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Somebody answered who cannot prove to be the vault.
    #[error("who answered is not proven to be the vault")]
    NotTheVault(#[source] Box<dyn Error + Send + Sync>),
}

/// A vault that gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// It was not reached.
    #[error("the vault at {host} was not reached")]
    Transport {
        /// Where.
        host: String,
        /// Why.
        source: TransportError,
    },
    /// It answered with something that is no answer.
    #[error("the answer of the vault at {host} is malformed")]
    Malformed {
        /// Where.
        host: String,
    },
    /// It refused.
    #[error("the vault at {host} refused: {refusal}")]
    Refused {
        /// Where.
        host: String,
        /// Why.
        refusal: Refusal,
        /// Whether the same was sent before, and may have been done.
        may_be_second: bool,
    },
}

impl VaultError {
    /// Whether it is certain that the vault has not done what it was asked for, and will not do it.
    pub(crate) fn is_final(&self) -> bool {
        let is_known = !matches!(self, Self::Refused { refusal: Refusal::Unknown { .. }, .. });
        matches!(self, Self::Refused { may_be_second: false, .. }) && is_known && !self.is_passing()
    }

    /// Whether the same may be answered another time.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transport { source, .. } => matches!(source, TransportError::Unreachable(_)),
            Self::Malformed { .. } => false,
            Self::Refused { refusal, .. } => {
                use Refusal::{Locked, Meanwhile, SlowDown, Unavailable};
                matches!(refusal, Unavailable | SlowDown | Locked { .. } | Meanwhile)
            }
        }
    }
}

/// Why a vault refuses. By `code` programs know it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The keys are not those of the vault that is asked for.
    #[error("it is not the vault that is asked for")]
    AnotherVault,
    /// There is no such record: it was deleted, or another vault has it.
    #[error("it has no record of this password")]
    NoRecord,
    /// The record has another password now.
    #[error("this password was replaced by another")]
    NoSuchPassword,
    /// The record in the repository was changed, or is damaged.
    #[error("what the repository says of the password is not what was registered")]
    ChangedParameters,
    /// No guess is answered for a while.
    #[error("no guess is answered for {seconds} s")]
    Locked {
        /// How long.
        seconds: u32,
    },
    /// All guesses are spent.
    #[error("all guesses are spent, and the record is destroyed")]
    Destroyed,
    /// It was not the owner who signed.
    #[error("it does not take this device for the owner's")]
    NotTheOwner,
    /// Something happened to the record between two steps of a change.
    #[error("the record was changed at the same time")]
    Meanwhile,
    /// Too many passwords were registered today.
    #[error("too many passwords were registered today")]
    TooManyRegistrations,
    /// The answer to the guess holds no more.
    #[error("that took too long")]
    Ticket,
    /// The password is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// The record does not open for the vault itself.
    #[error("its record of this password is damaged")]
    DamagedRecord,
    /// It cannot answer now.
    #[error("it cannot answer now")]
    Unavailable,
    /// Too many requests came from this network.
    #[error("it answers no more requests from here for a minute")]
    SlowDown,
    /// For a reason that this version does not know.
    #[error("for a reason that it calls {code:?}")]
    Unknown {
        /// What it calls the reason.
        code: String,
    },
}

/// One vault, and how it is reached.
pub(crate) struct Link<'a> {
    pub(crate) transport: &'a dyn Transport,
    pub(crate) address: &'a VaultAddress,
}

impl Link<'_> {
    /// Posts a request.
    pub(crate) fn ask<R: Request>(&self, request: &R) -> Result<R::Reply, VaultError> {
        let reply = self.transport.post(self.address, R::PATH, &request.message());
        let reply = reply.map_err(|source| VaultError::Transport { host: self.address.host().to_owned(), source })?;
        match reply.status {
            200 => R::reply(&reply.body).map_err(|_| self.malformed()),
            _ => Err(match refusal(&reply) {
                Some(refusal) => {
                    let (host, may_be_second) = (self.address.host().to_owned(), reply.may_be_second);
                    VaultError::Refused { host, refusal, may_be_second }
                }
                None => self.malformed(),
            }),
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> VaultError {
        VaultError::Refused { host: self.address.host().to_owned(), refusal, may_be_second: false }
    }

    pub(crate) fn malformed(&self) -> VaultError {
        VaultError::Malformed { host: self.address.host().to_owned() }
    }
}

/// Why a vault refused (RFC 9457); `None` if it is not a vault that speaks.
fn refusal(reply: &Reply) -> Option<Refusal> {
    let problem: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    let code = problem.get("code")?.as_str()?;
    Some(match Code::parse(code) {
        Some(Code::AnotherVault) => Refusal::AnotherVault,
        Some(Code::NoRecord) => Refusal::NoRecord,
        Some(Code::NoSuchPassword) => Refusal::NoSuchPassword,
        Some(Code::ChangedParameters) => Refusal::ChangedParameters,
        Some(Code::Locked) => Refusal::Locked { seconds: reply.retry_after? },
        Some(Code::Destroyed) => Refusal::Destroyed,
        Some(Code::NotTheOwner) => Refusal::NotTheOwner,
        Some(Code::Meanwhile) => Refusal::Meanwhile,
        Some(Code::TooManyRegistrations) => Refusal::TooManyRegistrations,
        Some(Code::Ticket) => Refusal::Ticket,
        Some(Code::WrongPassword) => Refusal::WrongPassword,
        Some(Code::DamagedRecord) => Refusal::DamagedRecord,
        Some(Code::Unavailable) => Refusal::Unavailable,
        Some(Code::SlowDown) => Refusal::SlowDown,
        // A fault of this client or of the vault, or a code of a later version. It comes from the network, and may be shown.
        None
        | Some(
            Code::Malformed | Code::Refused | Code::NoSuchPath | Code::NoSuchMethod | Code::TooLarge | Code::Internal,
        ) => Refusal::Unknown { code: code.chars().filter(char::is_ascii_graphic).take(64).collect() },
    })
}
