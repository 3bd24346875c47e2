//! Getting the key back with a password (spec/vault.md §7).

use std::collections::VecDeque;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::wrap::Passphrase;
use hushkeep_vault::Pair;
use hushkeep_vault::client::{AwaitingKey, PayloadError, Recovery, RecoveryError, Seen};
use hushkeep_vault::message::ProofRequest;

use super::address::AddressError;
use super::link::{Link, Refusal, TransportError, VaultError};

/// What the owner should know before a guess is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuessAhead {
    /// Where it goes, and the password with it, hidden: an address that the owner does not know is a reason to stop.
    pub host: String,
    /// How many guesses are left, with this one.
    pub left: u8,
    /// How many vaults the owner was asked about before, for the same password. What the storage says of vaults is not proven
    /// before one of them gives the key: who can write there could have the password tried at vaults of his own, each of which
    /// learns whether one guess is right.
    pub tried: u8,
}

/// A guess that gave no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuessError {
    /// The password is wrong, or who answered is not the vault where it was registered.
    #[error("the password is wrong")]
    WrongPassword {
        /// How many guesses are left.
        left: u8,
        /// How long the next one has to wait, in seconds.
        wait: u32,
    },
    /// The owner did not want the guess to be made.
    #[error("no guess was made")]
    Declined,
    /// The vault gave no answer. No guess was counted.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The guess was right, and the vault gave no key for it.
    #[error(transparent)]
    Unproven(VaultError),
    /// The guess was sent, and no answer came back that says what became of it: it may have been counted.
    #[error(transparent)]
    Unanswered(VaultError),
    /// The vault's answer is none of its protocol's. The guess was counted.
    #[error("the answer of the vault at {host} is malformed")]
    Answer {
        /// Where.
        host: String,
    },
    /// There is no memory to try the password. The guess was counted.
    #[error("there is not enough memory to try the password")]
    OutOfMemory,
    /// What the repository says of the vault is damaged.
    #[error("what the repository says of the vault is damaged")]
    Damaged,
    /// The owner could not be asked.
    #[error("cannot ask whether to guess")]
    Asking(#[source] std::io::Error),
}

/// A guess that was right, perhaps for two keys: while a key is replaced, the same password leads to both.
pub(crate) struct RightGuess<'a> {
    link: Link<'a>,
    proofs: VecDeque<(AwaitingKey, ProofRequest)>,
}

/// A key that a password led to.
pub(crate) struct OpenedPair {
    pub(crate) key: BackupKey,
    pub(crate) by: ProvenGuess,
}

/// A guess that the vault has taken for right.
pub(crate) struct ProvenGuess {
    pub(crate) pair: Pair,
    /// Where the record is then, and how many of its changes were this guess's.
    pub(crate) seen: (Seen, u64),
    /// Whether all guesses are there again: not if the password waits to become the one that holds.
    pub(crate) is_reset: bool,
}

/// Makes one guess, at one password or at both of a record that is being changed, if the owner agrees, who is told where it
/// goes and how many are left.
pub(crate) fn guess<'a>(
    link: Link<'a>,
    pairs: &[Pair],
    password: &Passphrase,
    may_guess: &mut dyn FnMut(&str, u8) -> std::io::Result<bool>,
) -> Result<RightGuess<'a>, GuessError> {
    let (rng, host) = (&mut crate::random(), link.address.host().to_owned());
    let (recovery, request) = Recovery::begin(pairs, password, rng).map_err(|_| GuessError::Damaged)?;
    let look = link.ask(&pairs.first().ok_or(GuessError::Damaged)?.look())?;
    if look.left() == 0 {
        return Err(link.refused(Refusal::Destroyed).into());
    }
    if let seconds @ 1.. = look.wait_seconds() {
        return Err(link.refused(Refusal::Locked { seconds }).into());
    }
    if !may_guess(&host, look.left()).map_err(GuessError::Asking)? {
        return Err(GuessError::Declined);
    }
    let reply = link.ask(&request).map_err(|error| match error {
        VaultError::Transport { source: TransportError::NotTheVault(_), .. } => error.into(),
        // A record may have been found to be damaged before it was counted, or after.
        VaultError::Refused {
            refusal: Refusal::Unavailable | Refusal::DamagedRecord | Refusal::Unknown { .. },
            ..
        }
        | VaultError::Refused { may_be_second: true, .. }
        | VaultError::Transport { .. }
        | VaultError::Malformed { .. } => GuessError::Unanswered(error),
        error => error.into(),
    })?;
    let proofs = recovery.prove(&reply, rng).map_err(|error| match error {
        RecoveryError::WrongPassword { left } => GuessError::WrongPassword { left, wait: reply.wait_seconds() },
        RecoveryError::OutOfMemory => GuessError::OutOfMemory,
        _ => GuessError::Answer { host },
    })?;
    Ok(RightGuess { link, proofs: proofs.into() })
}

impl<'a> RightGuess<'a> {
    /// The vault that answered.
    pub(crate) fn link(&self) -> &Link<'a> {
        &self.link
    }

    /// A key that the password leads to; `None` if there is none more.
    pub(crate) fn next_key(&mut self) -> Result<Option<OpenedPair>, GuessError> {
        let Some((awaiting, request)) = self.proofs.pop_front() else { return Ok(None) };
        let reply = self.link.ask(&request).map_err(GuessError::Unproven)?;
        let (seen, changes) = (reply.seen(), 1 + u64::from(reply.is_reset()));
        let (pair, host) = (awaiting.pair().clone(), self.link.address.host().to_owned());
        let key = awaiting.open(&reply).map_err(|PayloadError| GuessError::Answer { host })?;
        let by = ProvenGuess { pair, seen: (seen, changes), is_reset: reply.is_reset() };
        Ok(Some(OpenedPair { key, by }))
    }
}

impl From<AddressError> for GuessError {
    fn from(_: AddressError) -> Self {
        Self::Damaged
    }
}
