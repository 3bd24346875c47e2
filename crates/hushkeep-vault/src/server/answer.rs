//! Requests as they come from a network: by their path, and what is refused by a code (spec/vault.md §5.3).

use std::error::Error as _;
use std::fmt::Display;

use hushkeep_core::wire::WireError;
use rand_core::CryptoRng;

use super::{AttemptStore, ChangeRefused, GuessRefused, ProofRefused, StoreError, Vault};
use crate::message::{
    BeginRequest, CommitRequest, DeleteRequest, GuessRequest, HistoryRequest, LookRequest, ProofRequest, StageRequest,
};
use crate::request::{Code, Request as _};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What is sent.
    pub message: Vec<u8>,
    /// What could not be done beside, for whoever runs the vault. It is not sent.
    pub trouble: Option<String>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What programs go by.
    pub code: Code,
    /// What people read.
    pub detail: String,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
    /// Why, for whoever runs the vault: what the store said. It is not sent.
    pub trouble: Option<String>,
}

impl Refused {
    /// A refusal without a time.
    pub fn new(code: Code, detail: impl Display) -> Self {
        Self { code, detail: detail.to_string(), retry_after: None, trouble: None }
    }
}

impl Vault {
    /// Answers a request that is posted at one of [`PATHS`](crate::request::PATHS).
    pub fn answer(
        &self,
        store: &dyn AttemptStore,
        (path, message): (&str, &[u8]),
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Answered, Refused> {
        let message = match path {
            BeginRequest::PATH => self.begin(store, &BeginRequest::decode(message)?, now, rng)?.encode(),
            StageRequest::PATH => self.stage(store, &StageRequest::decode(message)?, now, rng)?.encode(),
            CommitRequest::PATH => self.commit(store, &CommitRequest::decode(message)?, now, rng)?.encode(),
            DeleteRequest::PATH => self.delete(store, &DeleteRequest::decode(message)?).map(|()| Vec::new())?,
            LookRequest::PATH => self.look(store, &LookRequest::decode(message)?, now, rng)?.encode(),
            GuessRequest::PATH => self.guess(store, &GuessRequest::decode(message)?, now, rng)?.encode(),
            ProofRequest::PATH => {
                let proven = self.prove(store, &ProofRequest::decode(message)?, now, rng)?;
                let trouble = proven.not_reset.as_ref().and_then(said_by);
                return Ok(Answered { message: proven.reply.encode(), trouble });
            }
            HistoryRequest::PATH => self.history(store, &HistoryRequest::decode(message)?, now, rng)?.encode(),
            _ => return Err(Refused::new(Code::NoSuchPath, "there is nothing here")),
        };
        Ok(Answered { message, trouble: None })
    }
}

impl From<WireError> for Refused {
    fn from(_: WireError) -> Self {
        Self::new(Code::Malformed, "the message is malformed")
    }
}

impl From<GuessRefused> for Refused {
    fn from(refused: GuessRefused) -> Self {
        let code = match &refused {
            GuessRefused::AnotherVault => Code::AnotherVault,
            GuessRefused::Unknown => Code::NoRecord,
            GuessRefused::AnotherVersion => Code::NoSuchPassword,
            GuessRefused::Changed => Code::ChangedParameters,
            GuessRefused::Malformed => Code::Malformed,
            GuessRefused::Locked { .. } => Code::Locked,
            GuessRefused::Destroyed => Code::Destroyed,
            GuessRefused::Damaged => Code::DamagedRecord,
            GuessRefused::Busy | GuessRefused::Store(_) => Code::Unavailable,
        };
        let retry_after = if let GuessRefused::Locked { seconds } = refused { Some(seconds) } else { None };
        let trouble = if let GuessRefused::Store(error) = &refused { said_by(error) } else { None };
        Self { retry_after, trouble, ..Self::new(code, refused) }
    }
}

impl From<ProofRefused> for Refused {
    fn from(refused: ProofRefused) -> Self {
        let code = match refused {
            ProofRefused::Ticket => Code::Ticket,
            ProofRefused::WrongPassword => Code::WrongPassword,
            ProofRefused::Malformed => Code::Malformed,
        };
        Self::new(code, refused)
    }
}

impl From<ChangeRefused> for Refused {
    fn from(refused: ChangeRefused) -> Self {
        let code = match &refused {
            ChangeRefused::Malformed => Code::Malformed,
            ChangeRefused::Ticket => Code::Ticket,
            ChangeRefused::Unknown => Code::NoRecord,
            ChangeRefused::Destroyed => Code::Destroyed,
            ChangeRefused::Unauthorized => Code::NotTheOwner,
            ChangeRefused::AnotherVersion => Code::NoSuchPassword,
            ChangeRefused::Meanwhile => Code::Meanwhile,
            ChangeRefused::TooMany => Code::TooManyRegistrations,
            ChangeRefused::Damaged => Code::DamagedRecord,
            ChangeRefused::Busy | ChangeRefused::Store(_) => Code::Unavailable,
        };
        let trouble = if let ChangeRefused::Store(error) = &refused { said_by(error) } else { None };
        Self { trouble, ..Self::new(code, refused) }
    }
}

fn said_by(error: &StoreError) -> Option<String> {
    error.source().map(ToString::to_string)
}
