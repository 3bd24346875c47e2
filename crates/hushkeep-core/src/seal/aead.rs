//! ChaCha20-Poly1305 (RFC 8439) as objects use it: one key, a nonce that is a counter, the header as
//! associated data. Natively ring does the work, in a browser RustCrypto; a test holds them equal.

use std::ops::Range;

use super::{OpenError, TAG_LEN};
use crate::Secret;

/// The number of a segment, or of the trailer. Used once per object key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nonce(u64);

impl Nonce {
    pub(crate) const TRAILER: Self = Self(u64::MAX);

    pub(crate) fn segment(number: u64) -> Self {
        debug_assert!(number != u64::MAX, "the last number is the trailer's");
        Self(number)
    }

    /// Four zero bytes, then the counter, little-endian (spec §2.4).
    fn bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&self.0.to_le_bytes());
        bytes
    }
}

pub(crate) const NONCE_LEN: usize = 12;

/// Seals under a nonce that this key has never had before; returns the tag.
pub(crate) fn seal_in_place(key: &Secret<32>, nonce: [u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
    backend::Cipher::new(key).seal_in_place(nonce, aad, buffer)
}

/// Opens what was sealed, which the tag follows.
pub(crate) fn open_in_place(key: &Secret<32>, nonce: [u8; NONCE_LEN], aad: &[u8], sealed: Vec<u8>) -> Option<Vec<u8>> {
    let all = 0..sealed.len();
    backend::Cipher::new(key).open_within(nonce, aad, sealed, all)
}

/// A cipher under one object's key.
pub(crate) struct Aead {
    cipher: backend::Cipher,
    header: Vec<u8>,
}

impl Aead {
    pub(crate) fn new(key: &Secret<32>, header: Vec<u8>) -> Self {
        Self { cipher: backend::Cipher::new(key), header }
    }

    /// Appends the sealed `plaintext` to `out`; returns the length it added.
    pub(crate) fn seal(&self, nonce: Nonce, plaintext: &[u8], out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(plaintext);
        let tag = self.cipher.seal_in_place(nonce.bytes(), &self.aad(nonce), out.get_mut(start..).unwrap_or_default());
        out.extend_from_slice(&tag);
        plaintext.len() + TAG_LEN
    }

    pub(crate) fn open(&self, nonce: Nonce, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.open_within(nonce, sealed.to_vec(), 0..sealed.len())
    }

    /// Opens the sealed bytes that lie in a part of `buffer`, and returns the plaintext in the buffer's room.
    pub(crate) fn open_within(&self, nonce: Nonce, buffer: Vec<u8>, part: Range<usize>) -> Result<Vec<u8>, OpenError> {
        if part.len() < TAG_LEN || part.end > buffer.len() {
            return Err(OpenError::Truncated);
        }
        self.cipher.open_within(nonce.bytes(), &self.aad(nonce), buffer, part).ok_or(OpenError::Damaged)
    }

    fn aad(&self, nonce: Nonce) -> Vec<u8> {
        let mut aad = self.header.clone();
        aad.extend_from_slice(&nonce.0.to_le_bytes());
        aad
    }
}

#[cfg(not(target_family = "wasm"))]
mod backend {
    use std::ops::Range;

    use ring::aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

    use super::TAG_LEN;
    use crate::Secret;

    pub(super) struct Cipher(LessSafeKey);

    impl Cipher {
        #[expect(clippy::expect_used, reason = "ring refuses only a key of the wrong length, which the type rules out")]
        pub(super) fn new(key: &Secret<32>) -> Self {
            let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose()).expect("32 bytes are a key");
            Self(LessSafeKey::new(key))
        }

        #[expect(clippy::expect_used, reason = "ring refuses only more than 256 GiB, which no buffer of ours holds")]
        pub(super) fn seal_in_place(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), buffer).expect("the segment is small");
            let mut bytes = [0; TAG_LEN];
            bytes.copy_from_slice(tag.as_ref());
            bytes
        }

        pub(super) fn open_within(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            mut buffer: Vec<u8>,
            part: Range<usize>,
        ) -> Option<Vec<u8>> {
            buffer.truncate(part.end);
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            let len = self.0.open_within(nonce, Aad::from(aad), &mut buffer, part.start..).ok()?.len();
            buffer.truncate(len);
            Some(buffer)
        }
    }
}

#[cfg(target_family = "wasm")]
mod backend {
    use std::ops::Range;

    use chacha20poly1305::aead::{Aead as _, AeadInOut, KeyInit, Payload};
    use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};

    use super::TAG_LEN;
    use crate::Secret;

    pub(super) struct Cipher(ChaCha20Poly1305);

    impl Cipher {
        pub(super) fn new(key: &Secret<32>) -> Self {
            Self(ChaCha20Poly1305::new(&Key::from(*key.expose())))
        }

        #[expect(clippy::expect_used, reason = "refused only above 256 GiB, which no buffer of ours holds")]
        pub(super) fn seal_in_place(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
            let tag =
                self.0.encrypt_inout_detached(&Nonce::from(nonce), aad, buffer.into()).expect("the segment is small");
            tag.into()
        }

        pub(super) fn open_within(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            buffer: Vec<u8>,
            part: Range<usize>,
        ) -> Option<Vec<u8>> {
            self.0.decrypt(&Nonce::from(nonce), Payload { msg: buffer.get(part)?, aad }).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{Aead as _, KeyInit, Payload};
    use chacha20poly1305::{ChaCha20Poly1305, Key};

    use super::*;
    use crate::published::hex;

    #[test]
    fn chacha20_poly1305_of_rfc_8439() {
        let cipher = backend::Cipher::new(&Secret::build(|key: &mut [u8; 32]| {
            key.iter_mut().zip(0x80..).for_each(|(byte, value)| *byte = value);
        }));
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
            future, sunscreen would be it.";
        let ciphertext =
            hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b
            1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
            3ff4def08e4b7a9de576d26586cec64b6116");
        let tag = hex("1ae10b594f09e26a7e902ecbd0600691");

        let mut buffer = plaintext.to_vec();
        assert_eq!(cipher.seal_in_place(nonce, &aad, &mut buffer).as_slice(), tag);
        assert_eq!(buffer, ciphertext);
        let read = [b"before".to_vec(), ciphertext, tag, b"after".to_vec()].concat();
        let part = 6..read.len() - 5;
        assert_eq!(cipher.open_within(nonce, &aad, read, part).unwrap(), plaintext);
    }

    #[test]
    fn both_ciphers_agree() {
        let key = Secret::build(|bytes: &mut [u8; 32]| *bytes = *b"an object key of thirty-two byte");
        let own = Aead::new(&key, b"header".to_vec());
        let other = ChaCha20Poly1305::new(&Key::from(*key.expose()));
        for len in [0, 1, 63, 64, 65, 4096] {
            let (nonce, plaintext) = (Nonce::segment(len as u64), vec![7; len]);
            let mut sealed = Vec::new();
            own.seal(nonce, &plaintext, &mut sealed);
            let payload = Payload { msg: &sealed, aad: &own.aad(nonce) };
            assert_eq!(other.decrypt(&nonce.bytes().into(), payload).unwrap(), plaintext);
            assert_eq!(own.open(nonce, &sealed).unwrap(), plaintext);
        }
    }
}
