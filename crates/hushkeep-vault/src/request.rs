//! How messages travel (spec/vault.md §5.3): where a request is posted, what answers it, and by which codes it is refused.

use hushkeep_core::wire::WireError;

use crate::message::{
    BeginReply, BeginRequest, ChangeReply, CommitRequest, DeleteRequest, GuessReply, GuessRequest, HistoryReply,
    HistoryRequest, LookReply, LookRequest, ProofReply, ProofRequest, StageRequest,
};

/// A message that is posted to a vault.
pub trait Request {
    /// Where.
    const PATH: &'static str;

    /// What answers it.
    type Reply;

    /// As it is posted.
    fn message(&self) -> Vec<u8>;

    /// Reads what was answered.
    fn reply(bytes: &[u8]) -> Result<Self::Reply, WireError>;
}

macro_rules! requests {
    ($($request:ident: $path:literal => $reply:ty, $decode:expr;)*) => {
        $(impl Request for $request {
            const PATH: &'static str = $path;

            type Reply = $reply;

            fn message(&self) -> Vec<u8> {
                self.encode()
            }

            fn reply(bytes: &[u8]) -> Result<$reply, WireError> {
                $decode(bytes)
            }
        })*

        /// Where requests are posted.
        pub const PATHS: [&str; [$($path),*].len()] = [$($path),*];
    };
}
requests! {
    BeginRequest: "/v1/begin" => BeginReply, BeginReply::decode;
    StageRequest: "/v1/stage" => ChangeReply, ChangeReply::decode;
    CommitRequest: "/v1/commit" => ChangeReply, ChangeReply::decode;
    DeleteRequest: "/v1/delete" => (), |_| Ok(());
    LookRequest: "/v1/look" => LookReply, LookReply::decode;
    GuessRequest: "/v1/guess" => GuessReply, GuessReply::decode;
    ProofRequest: "/v1/proof" => ProofReply, ProofReply::decode;
    HistoryRequest: "/v1/history" => HistoryReply, HistoryReply::decode;
}

macro_rules! codes {
    ($($(#[$means:meta])* $name:ident = $status:literal $code:literal,)*) => {
        /// Why a request is refused: what programs go by. Texts beside it may change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$means])* $name,)*
        }

        impl Code {
            /// As it is sent.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The status of HTTP that it is sent with.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// Reads it; `None` if it is one that this version does not know.
            pub fn parse(code: &str) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}
codes! {
    /// The message, or an element of OPAQUE in it, is none; or a proof is of a password that was not guessed at.
    Malformed = 400 "malformed",
    /// What HTTP itself refuses, for another reason than those that have a code. It is sent with that status.
    Refused = 400 "refused",
    /// A change, or a question for the history, is not signed by whoever may.
    NotTheOwner = 403 "not-the-owner",
    /// The proof of a guess is wrong.
    WrongPassword = 403 "wrong-password",
    /// There is no such record.
    NoRecord = 404 "no-record",
    /// Nothing is posted there.
    NoSuchPath = 404 "no-such-path",
    /// It was not posted.
    NoSuchMethod = 405 "no-such-method",
    /// The record has none of the passwords; or both are the same.
    NoSuchPassword = 409 "no-such-password",
    /// The pair is another than was registered.
    ChangedParameters = 409 "changed-parameters",
    /// The ticket is none of this vault, record and step, or too old.
    Ticket = 409 "ticket",
    /// The record has changed since the change of a password began; it may begin again.
    Meanwhile = 409 "meanwhile",
    /// All guesses are spent.
    Destroyed = 410 "destroyed",
    /// No request is so long.
    TooLarge = 413 "too-large",
    /// The guess is for another vault.
    AnotherVault = 421 "another-vault",
    /// No guess is answered yet.
    Locked = 429 "locked",
    /// Too many requests came from this network.
    SlowDown = 429 "slow-down",
    /// Too many passwords were staged today.
    TooManyRegistrations = 429 "too-many-registrations",
    /// The vault cannot read what it keeps of this record: whether a guess was counted is not known.
    DamagedRecord = 500 "damaged-record",
    /// The vault failed: the same holds.
    Internal = 500 "internal",
    /// It cannot read or keep anything now: whether a guess was counted is not known.
    Unavailable = 503 "unavailable",
}
