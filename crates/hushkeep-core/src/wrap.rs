//! `K` behind a passphrase (spec §5).
//!
//! Whoever holds the repository can try passphrases offline, as fast as Argon2id lets them. A passphrase
//! protects as much as it is hard to guess; a vault, which counts guesses, protects a weak password better.
//!
//! A passphrase gives a root by Argon2id, and the root gives a cipher key and a *commitment*. The commitment
//! is compared before anything is deciphered: ChaCha20-Poly1305 does not commit to its key, and a wrap that
//! opens under many keys would tell whoever forged it which passphrases are among them.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_public_assigned;
use zeroize::Zeroizing;

use crate::Secret;
use crate::keys::{BackupKey, Epoch, derive};
use crate::name::{ProtectorId, RepositoryId};
use crate::seal::TAG_LEN;
use crate::seal::aead::{Aead, Nonce};
use crate::wire::{Record, RecordWriter, UnknownFields, WireError};

/// The length of a salt, in bytes.
pub const SALT_LEN: usize = 16;
const COMMITMENT_LEN: usize = 32;
const SEALED_LEN: usize = 32 + TAG_LEN;

/// A passphrase, normalised to NFKC (spec §5.1) and erased when dropped.
///
/// White space counts as it is typed, also at the ends. A line break that a terminal or a file adds is for
/// the caller to take off.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Normalises what was typed. A byte order mark before it, as some editors put into files, is no part of it.
    pub fn new(typed: &str) -> Result<Self, EmptyPassphrase> {
        let typed = typed.strip_prefix('\u{feff}').unwrap_or(typed);
        if typed.is_empty() {
            return Err(EmptyPassphrase);
        }
        // Measured first: a string that grows leaves copies of the passphrase behind.
        let len = typed.nfkc().map(char::len_utf8).sum();
        let mut normal = Zeroizing::new(String::with_capacity(len));
        normal.extend(typed.nfkc());
        Ok(Self(normal))
    }

    /// The passphrase itself. Whoever calls this answers for what happens to it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it stays the same under all later versions of Unicode: not if it has a character that none has assigned yet.
    pub fn is_lasting(&self) -> bool {
        self.0.chars().all(|char| is_public_assigned(char) || is_private_use(char))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What is for private use never gets a normal form of its own.
fn is_private_use(char: char) -> bool {
    matches!(char, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}')
}

/// A passphrase of no characters protects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is empty")]
pub struct EmptyPassphrase;

/// How much work one guess costs (Argon2id, RFC 9106). Values of this type are always in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl KdfParams {
    /// 64 MiB, three passes, one lane: about 0.15 s of one core.
    pub const DEFAULT: Self = Self { memory_kib: 64 << 10, iterations: 3, lanes: 1 };

    /// The least: 19 MiB, two passes, one lane. For devices that have no more to spare.
    pub const FLOOR: Self = Self { memory_kib: 19 << 10, iterations: 2, lanes: 1 };

    /// The most: 1 GiB, 16 passes, four lanes. A forged repository can cost no more than this.
    pub const CEILING: Self = Self { memory_kib: 1 << 20, iterations: 16, lanes: 4 };

    /// Takes parameters that lie between [`Self::FLOOR`] and [`Self::CEILING`], each for itself.
    pub fn new(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, ParametersOutOfRange> {
        let (floor, ceiling) = (Self::FLOOR, Self::CEILING);
        let in_range = (floor.memory_kib..=ceiling.memory_kib).contains(&memory_kib)
            && (floor.iterations..=ceiling.iterations).contains(&iterations)
            && (floor.lanes..=ceiling.lanes).contains(&lanes);
        if in_range { Ok(Self { memory_kib, iterations, lanes }) } else { Err(ParametersOutOfRange) }
    }

    /// Memory, in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Lanes, which an attacker can compute in parallel.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }
}

/// Parameters that are too weak to protect, or so large that they exhaust the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("argon2id parameters must lie between 19 MiB, 2 passes, 1 lane and 1 GiB, 16 passes, 4 lanes")]
pub struct ParametersOutOfRange;

/// The memory that the parameters ask for could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are no {memory_kib} KiB of memory for the passphrase")]
pub struct OutOfMemory {
    /// What was asked for.
    pub memory_kib: u32,
}

/// A wrap that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// Another passphrase was used, or the wrap's parameters, salt or commitment were changed.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// The passphrase is right, but the sealed key was changed or belongs to another protector or epoch.
    #[error("the wrapped key was changed or is damaged")]
    Damaged,
    /// The parameters ask for more memory than there is.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

/// Where a wrap belongs. Elsewhere it opens nothing: who has a key that was replaced could put the wrap of before into configs
/// that look newer than any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapPlace {
    /// The repository.
    pub repository: RepositoryId,
    /// The protector.
    pub protector: ProtectorId,
    /// The epoch that the key begins, and that the config is sealed in.
    pub epoch: Epoch,
}

/// A backup key sealed under a passphrase. Public: it is kept in the clear part of a config.
#[derive(Debug, Clone)]
pub struct PassphraseWrap {
    params: KdfParams,
    salt: [u8; SALT_LEN],
    commitment: [u8; COMMITMENT_LEN],
    sealed_key: [u8; SEALED_LEN],
    unknown: UnknownFields,
}

impl PassphraseWrap {
    /// Seals `key` for one protector, in the configs of one epoch of one repository (spec §5.3).
    pub fn seal(
        key: &BackupKey,
        passphrase: &Passphrase,
        params: KdfParams,
        place: &WrapPlace,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, OutOfMemory> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let keys = WrapKeys::derive(passphrase, params, &salt, place)?;
        let aead = Aead::new(&keys.cipher, associated_data(params, &salt, place));
        let mut sealed = Vec::with_capacity(SEALED_LEN);
        aead.seal(Nonce::segment(0), key.expose(), &mut sealed);
        let mut sealed_key = [0; SEALED_LEN];
        sealed_key.copy_from_slice(&sealed);
        Ok(Self { params, salt, commitment: keys.commitment, sealed_key, unknown: UnknownFields::new() })
    }

    /// Seals another key as this wrap does its own: as costly to open, and with what a later version says in it.
    pub fn reseal(
        &self,
        key: &BackupKey,
        passphrase: &Passphrase,
        place: &WrapPlace,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, OutOfMemory> {
        let sealed = Self::seal(key, passphrase, self.params, place, rng)?;
        Ok(Self { unknown: self.unknown.clone(), ..sealed })
    }

    /// Opens the wrap that was found there. Takes the time and memory that [`Self::params`] say.
    pub fn open(&self, passphrase: &Passphrase, place: &WrapPlace) -> Result<BackupKey, UnwrapError> {
        let keys = WrapKeys::derive(passphrase, self.params, &self.salt, place)?;
        if !bool::from(keys.commitment.ct_eq(&self.commitment)) {
            return Err(UnwrapError::WrongPassphrase);
        }
        let aead = Aead::new(&keys.cipher, associated_data(self.params, &self.salt, place));
        let opened = aead.open(Nonce::segment(0), &self.sealed_key).map_err(|_| UnwrapError::Damaged)?;
        let key = Secret::from_slice(&Zeroizing::new(opened)).ok_or(UnwrapError::Damaged)?;
        Ok(BackupKey::from_secret(key))
    }

    /// How much work opening takes.
    pub fn params(&self) -> KdfParams {
        self.params
    }

    /// The wrap as a record (spec §5.4).
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new()
            .critical_int(field::MEMORY_KIB, self.params.memory_kib.into())
            .critical_int(field::ITERATIONS, self.params.iterations.into())
            .critical_int(field::LANES, self.params.lanes.into())
            .critical(field::SALT, self.salt)
            .critical(field::COMMITMENT, self.commitment)
            .critical(field::SEALED_KEY, self.sealed_key)
            .unknown(&self.unknown)
            .finish()
    }

    /// Reads the record. Parameters out of range are refused here, before they can cost anything (spec §5.4).
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let record = Record::parse(bytes, field::SEALED_KEY)?;
        let int = |field| u32::try_from(record.int(field)?).map_err(|_| WireError::Range);
        let (memory_kib, iterations, lanes) = (int(field::MEMORY_KIB)?, int(field::ITERATIONS)?, int(field::LANES)?);
        Ok(Self {
            params: KdfParams::new(memory_kib, iterations, lanes).map_err(|_| WireError::Range)?,
            salt: record.array(field::SALT)?,
            commitment: record.array(field::COMMITMENT)?,
            sealed_key: record.array(field::SEALED_KEY)?,
            unknown: record.into_unknown(),
        })
    }
}

/// The fields of the record (spec §5.4).
mod field {
    pub(super) const MEMORY_KIB: u32 = 1;
    pub(super) const ITERATIONS: u32 = 2;
    pub(super) const LANES: u32 = 3;
    pub(super) const SALT: u32 = 4;
    pub(super) const COMMITMENT: u32 = 5;
    pub(super) const SEALED_KEY: u32 = 6;
}

/// What a passphrase gives (spec §5.2).
struct WrapKeys {
    cipher: Secret<32>,
    commitment: [u8; COMMITMENT_LEN],
}

impl WrapKeys {
    fn derive(
        passphrase: &Passphrase,
        params: KdfParams,
        salt: &[u8; SALT_LEN],
        place: &WrapPlace,
    ) -> Result<Self, OutOfMemory> {
        let root = Secret::<32>::build_with(|root| stretch(passphrase.0.as_bytes(), params, salt, root))?;
        let WrapPlace { repository, protector, epoch } = place;
        // A machine that wakes up twice may draw a salt twice. The nonce is fixed: the key must be another in the next epoch.
        let info = [b"hushkeep/1 passphrase wrap key".as_slice(), protector.as_bytes(), &epoch.0.to_le_bytes()];
        let cipher = derive(root.expose(), repository.as_bytes(), &info);
        let commitment: Secret<COMMITMENT_LEN> =
            derive(root.expose(), repository.as_bytes(), &[b"hushkeep/1 passphrase commitment"]);
        Ok(Self { cipher, commitment: *commitment.expose() })
    }
}

/// Argon2id (RFC 9106) in memory that is erased afterwards: what it leaves behind would spare an attacker most of the work.
///
/// # Panics
///
/// If `out` takes fewer than 4 bytes, which is the least that Argon2 gives.
#[expect(clippy::expect_used, reason = "parameters in range are Argon2's, and no input has 4 GiB")]
pub fn stretch(input: &[u8], params: KdfParams, salt: &[u8; SALT_LEN], out: &mut [u8]) -> Result<(), OutOfMemory> {
    let KdfParams { memory_kib, iterations, lanes } = params;
    let params = Params::new(memory_kib, iterations, lanes, Some(out.len())).expect("the parameters are in range");
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|_| OutOfMemory { memory_kib })?;
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password_into_with_memory(input, salt, out, memory.as_mut_slice())
        .expect("lengths and memory are right");
    Ok(())
}

/// What the sealed key is bound to (spec §5.3).
fn associated_data(params: KdfParams, salt: &[u8; SALT_LEN], place: &WrapPlace) -> Vec<u8> {
    let KdfParams { memory_kib, iterations, lanes } = params;
    let mut bytes = b"hushkeep/1 passphrase wrap".to_vec();
    bytes.extend_from_slice(place.repository.as_bytes());
    bytes.extend_from_slice(place.protector.as_bytes());
    for number in [place.epoch.0, memory_kib, iterations, lanes] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(salt);
    bytes
}

#[cfg(test)]
mod tests;
