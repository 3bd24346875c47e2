//! The primitives that a protocol above is built from: SHA-256, HMAC, HKDF and sealed boxes.
//!
//! Objects of a repository are not sealed by these: see [`seal`](crate::seal).

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Secret;
use crate::seal::TAG_LEN;
use crate::seal::aead;

/// How much longer a sealed box is than what is in it: a nonce and a tag.
pub const BOX_OVERHEAD: usize = aead::NONCE_LEN + TAG_LEN;

/// SHA-256 (FIPS 180-4) of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// HMAC-SHA256 (RFC 2104) of the parts, one after the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // Extracting is HMAC with the salt for its key (RFC 5869 §2.2).
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(key));
    parts.iter().for_each(|part| extract.input_ikm(part));
    extract.finalize().0.into()
}

/// HKDF-SHA256 (RFC 5869) of a secret, for one purpose: `info` says which.
pub fn derive<const N: usize>(secret: &[u8], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "RFC 5869 expands to at most 255 blocks") };
    Secret::build(|out| {
        let expanded = Hkdf::<Sha256>::new(None, secret).expand_multi_info(info, out);
        debug_assert!(expanded.is_ok(), "the length was checked at compile time");
    })
}

/// Compares in time that does not depend on the contents.
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Seals with ChaCha20-Poly1305 (RFC 8439) under a random nonce, which stands before the rest. One key seals at most some
/// millions of boxes: the nonce has 96 bits.
pub fn seal_box(key: &Secret<32>, associated: &[u8], plaintext: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
    let mut nonce = [0; aead::NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(plaintext);
    let (_, buffer) = sealed.split_at_mut(aead::NONCE_LEN);
    let tag = aead::seal_in_place(key, nonce, associated, buffer);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal_box`] has sealed; `None` if it was changed, or sealed otherwise.
pub fn open_box(key: &Secret<32>, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk()?;
    if rest.len() < TAG_LEN {
        return None;
    }
    aead::open_in_place(key, *nonce, associated, rest.to_vec()).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_that_of_the_rfc() {
        let mac = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    /// FIPS 180-4, the example of one block.
    #[test]
    fn the_hash_is_that_of_the_standard() {
        let hash = sha256(&[b"a", b"bc"]);
        assert_eq!(hex(&hash), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_box_opens_only_as_it_was_sealed() {
        let (key, other) = (Secret::build(|bytes| *bytes = [1; 32]), Secret::build(|bytes| *bytes = [2; 32]));
        let sealed = seal_box(&key, b"place", b"contents", &mut ChaCha20Rng::seed_from_u64(1));
        assert_eq!(sealed.len(), b"contents".len() + BOX_OVERHEAD);
        assert_eq!(open_box(&key, b"place", &sealed).unwrap().as_slice(), b"contents");
        assert!(open_box(&other, b"place", &sealed).is_none());
        assert!(open_box(&key, b"another", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_box(&key, b"place", &changed).is_none(), "{at}");
            assert!(open_box(&key, b"place", &sealed[..at]).is_none(), "{at}");
        }
    }
}
