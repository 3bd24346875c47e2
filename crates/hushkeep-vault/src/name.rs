//! What things are called: vaults, records, slots.

use std::fmt;

use hushkeep_core::symmetric::{hmac_sha256, sha256};
use rand_core::CryptoRng;

/// A vault's public key, by which its clients know it again (spec/vault.md §2.1). Ed25519, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VaultId([u8; 32]);

/// Where a record is: 32 random bytes in the owner's config (spec/vault.md §2.2). No vault ever sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locator([u8; 32]);

/// A record in one vault. Two vaults cannot tell that two records have one owner (spec/vault.md §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 32]);

/// One password in one record: drawn by the vault for each registration (spec/vault.md §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; 16]);

macro_rules! bytes {
    ($($name:ident: $len:literal),*) => {$(
        impl $name {
            /// Its length in bytes.
            pub const LEN: usize = $len;

            /// Takes it from its bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes, as they are sent and kept.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }
    )*};
}

bytes!(VaultId: 32, Locator: 32, RecordId: 32, Version: 16);

impl VaultId {
    /// Reads 64 hexadecimal digits, as they stand behind the `#` of a vault's address.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let digits: Option<Vec<u8>> = digits.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
        let digits = <[u8; 64]>::try_from(digits?).ok()?;
        let (pairs, _) = digits.as_chunks::<2>();
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(pairs).for_each(|(byte, [high, low])| *byte = high << 4 | low);
        Some(Self(bytes))
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Locator {
    /// Draws one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl RecordId {
    /// The record that a locator leads to in one vault.
    pub fn of(locator: &Locator, vault: &VaultId) -> Self {
        Self(hmac_sha256(&sha256(&[&locator.0]), &[b"hushkeep vault/1 record", &vault.0]))
    }
}

impl Version {
    /// Draws one.
    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}
