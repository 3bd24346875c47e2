//! What a config says of a password behind a vault (spec/vault.md §4): all that is needed besides the password.

use hushkeep_core::symmetric::sha256;
use hushkeep_core::wire::{Record, RecordWriter, UnknownFields, WireError};
use hushkeep_core::wrap::KdfParams;

use crate::name::{Locator, RecordId, VaultId, Version};

/// One password in one vault. Public: it stands in the clear part of a config.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Where the vault is: `https://…`.
    pub address: String,
    /// The vault's key.
    pub vault: VaultId,
    /// The vault's key in OPAQUE.
    pub(crate) opaque_key: [u8; 32],
    /// Where the record is.
    pub locator: Locator,
    /// Which password of the record.
    pub version: Version,
    /// How much work one guess costs.
    pub params: KdfParams,
    pub(crate) unknown: UnknownFields,
}

impl Pair {
    /// The record in the vault.
    pub fn record(&self) -> RecordId {
        RecordId::of(&self.locator, &self.vault)
    }

    /// A short hash of all of it. A vault counts no guess of a pair that was changed: its password could not be right.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let hash = sha256(&[b"hushkeep vault/1 pair", &self.encode()]);
        let mut digest = [0; 16];
        digest.copy_from_slice(hash.split_at(16).0);
        digest
    }

    /// As it is kept (spec/vault.md §4).
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new()
            .critical(field::ADDRESS, self.address.as_bytes())
            .critical(field::VAULT, *self.vault.as_bytes())
            .critical(field::OPAQUE_KEY, self.opaque_key)
            .critical(field::LOCATOR, *self.locator.as_bytes())
            .critical(field::VERSION, *self.version.as_bytes())
            .critical_int(field::MEMORY_KIB, self.params.memory_kib().into())
            .critical_int(field::ITERATIONS, self.params.iterations().into())
            .critical_int(field::LANES, self.params.lanes().into())
            .unknown(&self.unknown)
            .finish()
    }

    /// Reads it. Parameters out of range are refused before they can cost anything.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let record = Record::parse(bytes, field::LANES)?;
        let int = |field| u32::try_from(record.int(field)?).map_err(|_| WireError::Range);
        let (memory_kib, iterations, lanes) = (int(field::MEMORY_KIB)?, int(field::ITERATIONS)?, int(field::LANES)?);
        Ok(Self {
            address: record.text(field::ADDRESS)?,
            vault: VaultId::from_bytes(record.array(field::VAULT)?),
            opaque_key: record.array(field::OPAQUE_KEY)?,
            locator: Locator::from_bytes(record.array(field::LOCATOR)?),
            version: Version::from_bytes(record.array(field::VERSION)?),
            params: KdfParams::new(memory_kib, iterations, lanes).map_err(|_| WireError::Range)?,
            unknown: record.into_unknown(),
        })
    }
}

/// The fields of the record (spec/vault.md §4).
mod field {
    pub(super) const ADDRESS: u32 = 1;
    pub(super) const VAULT: u32 = 2;
    pub(super) const OPAQUE_KEY: u32 = 3;
    pub(super) const LOCATOR: u32 = 4;
    pub(super) const VERSION: u32 = 5;
    pub(super) const MEMORY_KIB: u32 = 6;
    pub(super) const ITERATIONS: u32 = 7;
    pub(super) const LANES: u32 = 8;
}
