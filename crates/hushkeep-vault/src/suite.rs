//! The one cipher suite (spec/vault.md §1): OPAQUE (RFC 9807) with ristretto255, SHA-512 and 3DH, and Argon2id.

use hushkeep_core::wrap::{KdfParams, SALT_LEN, stretch};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use opaque_ke::{CipherSuite, Ristretto255, TripleDh, rand};
use rand_core::CryptoRng;

/// What OPAQUE is made of here.
pub(crate) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, <voprf::Ristretto255 as voprf::CipherSuite>::Hash>;
    type Ksf = Stretch;
}

/// Lengths in bytes of what OPAQUE sends and keeps, all fixed by the suite.
pub(crate) mod len {
    /// A blinded element, an evaluated one, and a public key.
    pub(crate) const ELEMENT: usize = 32;
    /// The end of a registration: what a vault keeps of a password.
    pub(crate) const PASSWORD_FILE: usize = 192;
    pub(crate) const KE1: usize = 96;
    pub(crate) const KE2: usize = 320;
    pub(crate) const KE3: usize = 64;
    /// What the vault must know to check a KE3.
    pub(crate) const LOGIN_STATE: usize = 128;
    /// The vault's own keys for OPAQUE.
    pub(crate) const SETUP: usize = 128;
}

/// What OPAQUE makes, as an array. Its lengths are fixed by the suite: every message is made in the tests.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// Argon2id, as the owner's pair says. (RFC 9807 §7: the salt is zeros, for what is stretched is random to everybody else.)
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    params: KdfParams,
    is_stretched: bool,
}

impl Stretch {
    pub(crate) fn new(params: KdfParams) -> Self {
        Self { params, is_stretched: true }
    }

    /// None at all: for measuring vaults, whose work does not depend on it.
    #[cfg(feature = "bench")]
    pub(crate) fn none() -> Self {
        Self { params: KdfParams::FLOOR, is_stretched: false }
    }
}

impl Default for Stretch {
    fn default() -> Self {
        Self::new(KdfParams::DEFAULT)
    }
}

impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(&self, input: GenericArray<u8, L>) -> Result<GenericArray<u8, L>, InternalError> {
        if !self.is_stretched {
            return Ok(input);
        }
        let mut out = GenericArray::default();
        stretch(&input, self.params, &[0; SALT_LEN], &mut out).map_err(|_| InternalError::KsfError)?;
        Ok(out)
    }
}

/// Our random numbers, as OPAQUE's older interface takes them.
pub(crate) struct Numbers<'a>(pub(crate) &'a mut dyn CryptoRng);

impl rand::RngCore for Numbers<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand::CryptoRng for Numbers<'_> {}
