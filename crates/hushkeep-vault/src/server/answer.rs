//! Requests as they come from a network: by their path, and what is refused with a code that stays (spec/vault.md §5.3).

use std::error::Error as _;
use std::fmt::Display;

use hushkeep_core::wire::WireError;
use rand_core::CryptoRng;

use super::{AttemptStore, ChangeRefused, FinishRefused, RecoverRefused, StoreError, Vault};
use crate::message::{
    BeginRequest, CommitRequest, DeleteRequest, FinishRequest, HistoryRequest, LookRequest, RecoverRequest,
    StageRequest,
};

/// Where requests go.
pub const PATHS: [&str; 8] =
    ["/v1/begin", "/v1/stage", "/v1/commit", "/v1/delete", "/v1/look", "/v1/guess", "/v1/proof", "/v1/ask"];

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status of HTTP.
    pub status: u16,
    /// What programs go by.
    pub code: &'static str,
    /// What people read.
    pub detail: String,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
    /// Why, for who runs the vault: what the store said. It is not sent.
    pub cause: Option<String>,
}

impl Refused {
    /// A refusal without a time.
    pub fn new(status: u16, code: &'static str, detail: impl Display) -> Self {
        Self { status, code, detail: detail.to_string(), retry_after: None, cause: None }
    }
}

impl Vault {
    /// Answers a request at one of [`PATHS`].
    pub fn answer(
        &self,
        store: &dyn AttemptStore,
        (path, message): (&str, &[u8]),
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, Refused> {
        match path {
            "/v1/begin" => Ok(self.begin(store, &BeginRequest::decode(message)?, now, rng)?.encode()),
            "/v1/stage" => Ok(self.stage(store, &StageRequest::decode(message)?, now, rng)?.encode()),
            "/v1/commit" => Ok(self.commit(store, &CommitRequest::decode(message)?, now, rng)?.encode()),
            "/v1/delete" => Ok(self.delete(store, &DeleteRequest::decode(message)?).map(|()| Vec::new())?),
            "/v1/look" => Ok(self.look(store, &LookRequest::decode(message)?, now, rng)?.encode()),
            "/v1/guess" => Ok(self.recover(store, &RecoverRequest::decode(message)?, now, rng)?.encode()),
            "/v1/proof" => Ok(self.finish(store, &FinishRequest::decode(message)?, now, rng)?.encode()),
            "/v1/ask" => Ok(self.history(store, &HistoryRequest::decode(message)?, now, rng)?.encode()),
            _ => Err(Refused::new(404, "no-such-path", "there is nothing here")),
        }
    }
}

impl From<WireError> for Refused {
    fn from(_: WireError) -> Self {
        Self::new(400, "malformed", "the message is malformed")
    }
}

impl From<RecoverRefused> for Refused {
    fn from(refused: RecoverRefused) -> Self {
        let (status, code) = match &refused {
            RecoverRefused::AnotherVault => (421, "another-vault"),
            RecoverRefused::Unknown => (404, "no-record"),
            RecoverRefused::AnotherVersion => (409, "no-such-password"),
            RecoverRefused::Changed => (409, "changed-parameters"),
            RecoverRefused::Malformed => (400, "malformed"),
            RecoverRefused::Locked { .. } => (429, "locked"),
            RecoverRefused::Destroyed => (410, "destroyed"),
            RecoverRefused::Damaged => (500, "damaged-record"),
            RecoverRefused::Busy | RecoverRefused::Store(_) => (503, "unavailable"),
        };
        let retry_after = if let RecoverRefused::Locked { seconds } = refused { Some(seconds) } else { None };
        let cause = if let RecoverRefused::Store(error) = &refused { cause_of(error) } else { None };
        Self { retry_after, cause, ..Self::new(status, code, refused) }
    }
}

impl From<FinishRefused> for Refused {
    fn from(refused: FinishRefused) -> Self {
        let (status, code) = match refused {
            FinishRefused::Ticket => (409, "ticket"),
            FinishRefused::WrongPassword => (403, "wrong-password"),
            FinishRefused::Malformed => (400, "malformed"),
        };
        Self::new(status, code, refused)
    }
}

impl From<ChangeRefused> for Refused {
    fn from(refused: ChangeRefused) -> Self {
        let (status, code) = match &refused {
            ChangeRefused::Malformed => (400, "malformed"),
            ChangeRefused::Ticket => (409, "ticket"),
            ChangeRefused::Unknown => (404, "no-record"),
            ChangeRefused::Destroyed => (410, "destroyed"),
            ChangeRefused::Unauthorized => (403, "not-the-owner"),
            ChangeRefused::AnotherVersion => (409, "no-such-password"),
            ChangeRefused::Meanwhile => (409, "meanwhile"),
            ChangeRefused::TooMany => (429, "too-many-registrations"),
            ChangeRefused::Damaged => (500, "damaged-record"),
            ChangeRefused::Busy | ChangeRefused::Store(_) => (503, "unavailable"),
        };
        let cause = if let ChangeRefused::Store(error) = &refused { cause_of(error) } else { None };
        Self { cause, ..Self::new(status, code, refused) }
    }
}

fn cause_of(error: &StoreError) -> Option<String> {
    error.source().map(ToString::to_string)
}
