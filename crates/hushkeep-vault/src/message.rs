//! What clients and vaults say to each other (spec/vault.md §5): each kind has one length, whatever is in it.

use ed25519_dalek::{Signature, VerifyingKey};
use hushkeep_core::symmetric::{BOX_OVERHEAD, sha256};
use hushkeep_core::wire::{Reader, WireError};
use zeroize::Zeroize;

use crate::name::{RecordId, VaultId, Version};
use crate::suite::len;

/// A ticket's length: what a vault wants back, sealed by itself for itself.
pub(crate) const TICKET_LEN: usize = 512;

/// The backup key, sealed by its owner under what the password gives.
pub(crate) const PAYLOAD_LEN: usize = 32 + BOX_OVERHEAD;

/// The length of an Ed25519 signature.
pub(crate) const SIGNATURE_LEN: usize = 64;

/// How many of the newest events a vault tells.
pub const EVENTS_TOLD: usize = 64;

/// A part of a message that always has the same length.
pub(crate) trait Part: Sized {
    const LEN: usize;

    fn put(&self, out: &mut Vec<u8>);

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError>;

    fn erase(&mut self);
}

/// A message or row: what it consists of, in order, behind a byte that says what it is.
macro_rules! parts {
    ($(#[$about:meta])* $visibility:vis struct $name:ident = $kind:literal {
        $($(#[$what:meta])* $field:ident: $part:ty,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq)]
        $visibility struct $name {
            $($(#[$what])* pub(crate) $field: $part,)*
        }

        impl $name {
            /// Its length in bytes.
            $visibility const LEN: usize = 1 $(+ <$part as $crate::message::Part>::LEN)*;

            /// As it is sent or kept.
            $visibility fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(Self::LEN);
                out.push($kind);
                $($crate::message::Part::put(&self.$field, &mut out);)*
                out
            }

            /// Overwrites what is secret in it.
            #[allow(dead_code, reason = "few have secrets")]
            pub(crate) fn erase(&mut self) {
                $($crate::message::Part::erase(&mut self.$field);)*
            }

            /// Reads it. Any other length, and another kind, is refused.
            $visibility fn decode(bytes: &[u8]) -> Result<Self, hushkeep_core::wire::WireError> {
                let mut reader = hushkeep_core::wire::Reader::new(bytes);
                if reader.byte()? != $kind {
                    return Err(hushkeep_core::wire::WireError::UnknownValue);
                }
                let message = Self { $($field: $crate::message::Part::take(&mut reader)?,)* };
                reader.finish()?;
                Ok(message)
            }
        }
    };
}
pub(crate) use parts;

parts! {
    /// Asks for the evaluation of a new password, blinded (spec/vault.md §6.1).
    #[derive(Debug)]
    pub struct BeginRequest = 1 {
        record: RecordId,
        blinded: [u8; len::ELEMENT],
    }
}

parts! {
    /// The evaluation, under a key that no other password had or will have.
    #[derive(Debug)]
    pub struct BeginReply = 2 {
        head: Head,
        version: Version,
        evaluated: [u8; len::ELEMENT],
        opaque_key: [u8; len::ELEMENT],
        ticket: [u8; TICKET_LEN],
        /// The vault's, over the request and all of the above.
        signature: [u8; SIGNATURE_LEN],
    }
}

parts! {
    /// Puts the new password beside the one that holds (spec/vault.md §6.2).
    #[derive(Debug)]
    pub struct StageRequest = 3 {
        record: RecordId,
        ticket: [u8; TICKET_LEN],
        staged: Staged,
        /// The owner's: of the record as it is, or of the new one if there is none.
        signature: [u8; SIGNATURE_LEN],
    }
}

parts! {
    /// What a vault is to keep for one password.
    #[derive(Debug)]
    pub struct Staged = 0x10 {
        password_file: [u8; len::PASSWORD_FILE],
        payload: [u8; PAYLOAD_LEN],
        update_key: [u8; 32],
        pair: [u8; 16],
    }
}

parts! {
    /// Makes the staged password the one that holds (spec/vault.md §6.3).
    #[derive(Debug)]
    pub struct CommitRequest = 4 {
        record: RecordId,
        version: Version,
        signature: [u8; SIGNATURE_LEN],
    }
}

parts! {
    /// Deletes the record, whatever password is in it (spec/vault.md §6.4).
    #[derive(Debug)]
    pub struct DeleteRequest = 5 {
        record: RecordId,
        signature: [u8; SIGNATURE_LEN],
    }
}

parts! {
    /// Where a record stands after a change.
    #[derive(Debug)]
    pub struct ChangeReply = 6 {
        head: Head,
    }
}

parts! {
    /// A guess (spec/vault.md §7.1), at one password or at two of one record.
    #[derive(Debug)]
    pub struct GuessRequest = 7 {
        vault: VaultId,
        record: RecordId,
        guessed: [Guessed; 2],
        ke1: [u8; len::KE1],
    }
}

parts! {
    /// At which password a guess is; zeros for none.
    #[derive(Debug)]
    pub struct Guessed = 0x11 {
        version: Version,
        pair: [u8; 16],
    }
}

parts! {
    /// The answer to a guess that was counted.
    #[derive(Debug)]
    pub struct GuessReply = 8 {
        /// How many guesses are left after this one.
        left: u8,
        /// How long the next one has to wait, in seconds.
        wait: u32,
        /// An answer for each password that was guessed at.
        ke2: [[u8; len::KE2]; 2],
        ticket: [u8; TICKET_LEN],
    }
}

parts! {
    /// The proof that a guess was right (spec/vault.md §7.2).
    #[derive(Debug)]
    pub struct ProofRequest = 9 {
        record: RecordId,
        ticket: [u8; TICKET_LEN],
        /// At which of the two passwords.
        which: u8,
        ke3: [u8; len::KE3],
    }
}

parts! {
    /// What the owner has sealed.
    #[derive(Debug)]
    pub struct ProofReply = 10 {
        payload: [u8; PAYLOAD_LEN],
        /// 1 if all guesses are there again.
        is_reset: u8,
        head: Head,
    }
}

parts! {
    /// Asks what has happened to a record (spec/vault.md §8).
    #[derive(Debug)]
    pub struct HistoryRequest = 11 {
        record: RecordId,
        signature: [u8; SIGNATURE_LEN],
    }
}

parts! {
    /// The newest events, the oldest first; events of kind 0 fill up behind them.
    #[derive(Debug)]
    pub struct HistoryReply = 12 {
        head: Head,
        events: [Event; EVENTS_TOLD],
    }
}

parts! {
    /// Asks how many guesses are left, before one is made (spec/vault.md §7.4).
    #[derive(Debug)]
    pub struct LookRequest = 13 {
        record: RecordId,
    }
}

parts! {
    /// How many guesses are left.
    #[derive(Debug)]
    pub struct LookReply = 14 {
        left: u8,
        /// How long the next guess has to wait, in seconds.
        wait: u32,
    }
}

parts! {
    /// Where a record stands.
    #[derive(Debug)]
    pub struct Head = 0x12 {
        /// Counts every change of the record.
        seq: u64,
        /// The password that holds, zeros if none does.
        active: Version,
        /// The one beside it, zeros if there is none.
        pending: Version,
        /// How many guesses are left.
        left: u8,
        /// The end of the chain of events.
        chain: [u8; 32],
    }
}

parts! {
    /// One event in a record's history.
    #[derive(Debug)]
    pub struct Event = 0x13 {
        /// The number of the change that it was.
        seq: u64,
        /// By the vault's clock, in seconds since 1970-01-01 00:00:00 UTC.
        time: i64,
        kind: u8,
    }
}

impl BeginReply {
    /// The blinded password, evaluated.
    pub fn evaluated(&self) -> [u8; len::ELEMENT] {
        self.evaluated
    }

    /// What the vault signs: whoever stands between it and its client could register the password with a key of his own.
    pub(crate) fn signed(&self, request: &BeginRequest) -> Vec<u8> {
        let mut bytes = b"hushkeep vault/1 begin".to_vec();
        bytes.extend_from_slice(&request.encode());
        let reply = self.encode();
        bytes.extend_from_slice(reply.split_at(Self::LEN - SIGNATURE_LEN).0);
        bytes
    }

    /// Whether this vault answered that request so.
    pub(crate) fn is_signed(&self, request: &BeginRequest, vault: &VaultId) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        let key = VerifyingKey::from_bytes(vault.as_bytes());
        key.is_ok_and(|key| key.verify_strict(&self.signed(request), &signature).is_ok())
    }
}

impl LookReply {
    /// How many guesses are left; none if the record is destroyed.
    pub fn left(&self) -> u8 {
        self.left
    }

    /// How long the next guess has to wait, in seconds.
    pub fn wait_seconds(&self) -> u32 {
        self.wait
    }
}

impl GuessReply {
    /// How many guesses are left after this one.
    pub fn left(&self) -> u8 {
        self.left
    }

    /// How long the next guess has to wait, in seconds.
    pub fn wait_seconds(&self) -> u32 {
        self.wait
    }

    /// What OPAQUE answers, for each password that was guessed at. The same guess has the same answer.
    pub fn answers(&self) -> &[[u8; len::KE2]; 2] {
        &self.ke2
    }
}

impl ProofReply {
    /// Whether all guesses are there again.
    pub fn is_reset(&self) -> bool {
        self.is_reset == 1
    }
}

impl Event {
    /// An event of this kind (spec/vault.md §8).
    pub fn new(seq: u64, time: i64, kind: u8) -> Self {
        Self { seq, time, kind }
    }

    /// The number of the change that it was.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// By the vault's clock, in seconds since 1970-01-01 00:00:00 UTC.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// What happened (spec/vault.md §8).
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The chain of events with this one behind it (spec/vault.md §8).
    pub(crate) fn chained(&self, chain: &[u8; 32]) -> [u8; 32] {
        sha256(&[b"hushkeep vault/1 event", chain, &self.encode()])
    }
}

impl Staged {
    /// Stands where nothing is staged.
    pub(crate) fn empty() -> Self {
        Self { password_file: [0; len::PASSWORD_FILE], payload: [0; PAYLOAD_LEN], update_key: [0; 32], pair: [0; 16] }
    }
}

impl Guessed {
    /// Stands for no second password.
    pub(crate) fn none() -> Self {
        Self { version: Version::from_bytes([0; 16]), pair: [0; 16] }
    }
}

impl Head {
    /// Of a record that is not there, or of which nothing can be told.
    pub(crate) fn unknown() -> Self {
        let none = Version::from_bytes([0; 16]);
        Self { seq: 0, active: none, pending: none, left: 0, chain: [0; 32] }
    }
}

impl<const N: usize> Part for [u8; N] {
    const LEN: usize = N;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.array()
    }

    fn erase(&mut self) {
        self.zeroize();
    }
}

/// Whole numbers, little-endian.
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Part for $number {
            const LEN: usize = size_of::<Self>();

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                reader.array().map(Self::from_le_bytes)
            }

            fn erase(&mut self) {
                self.zeroize();
            }
        }
    )*};
}
numbers!(u8, u32, u64, i64);

macro_rules! names {
    ($($name:ident),*) => {$(
        impl Part for $name {
            const LEN: usize = Self::LEN;

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.as_bytes());
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                reader.array().map(Self::from_bytes)
            }

            fn erase(&mut self) {}
        }
    )*};
}
names!(VaultId, RecordId, Version);

/// Messages inside of others keep their first byte.
macro_rules! nested {
    ($($name:ident),*) => {$(
        impl $crate::message::Part for $name {
            const LEN: usize = Self::LEN;

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&zeroize::Zeroizing::new(self.encode()));
            }

            fn erase(&mut self) {
                self.erase();
            }

            fn take(reader: &mut hushkeep_core::wire::Reader<'_>) -> Result<Self, hushkeep_core::wire::WireError> {
                Self::decode(reader.take(Self::LEN)?)
            }
        }
    )*};
}
pub(crate) use nested;

/// What must not stay in memory.
macro_rules! erased {
    ($($name:ident),*) => {$(
        impl Drop for $name {
            fn drop(&mut self) {
                self.erase();
            }
        }
    )*};
}
pub(crate) use erased;
nested!(Staged, Guessed, Head, Event);

macro_rules! arrays {
    ($($part:ty: $count:expr),*) => {$(
        impl $crate::message::Part for [$part; $count] {
            const LEN: usize = <$part as $crate::message::Part>::LEN * $count;

            fn put(&self, out: &mut Vec<u8>) {
                self.iter().for_each(|part| $crate::message::Part::put(part, out));
            }

            fn take(reader: &mut hushkeep_core::wire::Reader<'_>) -> Result<Self, hushkeep_core::wire::WireError> {
                let parts = (0..$count).map(|_| <$part as $crate::message::Part>::take(reader));
                let parts: Vec<$part> = parts.collect::<Result<_, _>>()?;
                parts.try_into().map_err(|_| hushkeep_core::wire::WireError::Truncated)
            }

            fn erase(&mut self) {
                self.iter_mut().for_each($crate::message::Part::erase);
            }
        }
    )*};
}
pub(crate) use arrays;
arrays!(Guessed: 2, [u8; len::KE2]: 2, Event: EVENTS_TOLD);

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody in this crate asks for some of them.
    #[test]
    fn what_a_message_says_is_what_is_in_it() {
        let event = Event::new(3, -5, 4);
        assert_eq!((event.seq(), event.time(), event.kind()), (3, -5, 4));
        let look = LookReply { left: 7, wait: 60 };
        assert_eq!((look.left(), look.wait_seconds()), (7, 60));
        let ke2 = [[1; len::KE2], [2; len::KE2]];
        let guess = GuessReply { left: 8, wait: 600, ke2, ticket: [3; TICKET_LEN] };
        assert_eq!((guess.left(), guess.wait_seconds(), guess.answers()), (8, 600, &ke2));
        let begun = BeginReply {
            head: Head::unknown(),
            version: Version::from_bytes([4; 16]),
            evaluated: [5; len::ELEMENT],
            opaque_key: [6; len::ELEMENT],
            ticket: [7; TICKET_LEN],
            signature: [8; SIGNATURE_LEN],
        };
        assert_eq!(begun.evaluated(), [5; len::ELEMENT]);
    }

    /// A message with a secret in it leaves none behind when it goes: each of its parts erases itself.
    #[test]
    fn what_must_not_stay_is_erased() {
        let mut event = Event::new(3, -5, 4);
        event.erase();
        assert!(event == Event::new(0, 0, 0));
        let mut guessed = Guessed { version: Version::from_bytes([9; 16]), pair: [9; 16] };
        guessed.erase();
        assert_eq!(guessed.pair, [0; 16]);
        let mut answers = [[7; len::KE2]; 2];
        Part::erase(&mut answers);
        assert_eq!(answers, [[0; len::KE2]; 2]);
    }
}
