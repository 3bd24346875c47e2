//! The one construction that seals every object of a repository (spec §2).
//!
//! ```text
//! header (clear) ‖ segment 0 ‖ segment 1 ‖ … ‖ padding segment ‖ trailer ‖ trailer length (u32)
//! ```
//!
//! Each object has a key of its own, derived from the key of its kind, its random salt and its whole header.
//! Each segment is ChaCha20-Poly1305 under that key; the nonce is the segment's number, the trailer's is
//! 2⁶⁴−1. A salt is drawn when an object is begun and never used again: an object that was not finished is
//! abandoned, so no nonce can be used for two plaintexts.

pub(crate) mod aead;
mod header;

use std::ops::Range;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::keys::{EpochKeys, ObjectKind, derive};
use aead::{Aead, Nonce};
pub use header::{FORMAT_VERSION, HEADER_LEN, Header, MAX_CLEAR_LEN};

/// What sealing adds to a segment: its authentication tag, in bytes.
pub const TAG_LEN: usize = 16;

/// The clear length of the trailer at the very end of an object, in bytes.
pub const FOOTER_LEN: usize = 4;

/// No sealed trailer is longer, in bytes: a reader makes room for it before it is proven.
const MAX_TRAILER_LEN: usize = 64 << 20;

/// The padding length at the beginning of a trailer, in bytes.
const PAD_FIELD_LEN: usize = 4;

/// The longest table that a trailer has room for, in bytes.
pub const MAX_TABLE_LEN: usize = MAX_TRAILER_LEN - PAD_FIELD_LEN - TAG_LEN;

/// An object that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The bytes do not begin like an object of Hushkeep.
    #[error("this is not an object of hushkeep")]
    NotAnObject,
    /// A format version this program does not read.
    #[error("format version {0} is newer than this program")]
    UnknownVersion(u16),
    /// The object is of another kind than its place says.
    #[error("expected a {expected}, found a {found}")]
    WrongKind {
        /// What belongs in this place.
        expected: ObjectKind,
        /// What the header says.
        found: ObjectKind,
    },
    /// The object belongs to another repository.
    #[error("the object belongs to another repository")]
    WrongRepository,
    /// The object belongs to another epoch than the keys.
    #[error("the object belongs to another epoch")]
    WrongEpoch,
    /// The object ends too early.
    #[error("the object is cut short")]
    Truncated,
    /// Authentication failed: the bytes are not those that were sealed under this key.
    #[error("the object was changed or is damaged")]
    Damaged,
}

/// Seals one object, segment by segment, into memory.
pub struct Sealer {
    aead: Aead,
    header: Header,
    object: Vec<u8>,
    next_segment: u64,
}

impl Sealer {
    /// Begins an object of `kind`. `clear` is readable by anyone and authenticated with the rest.
    ///
    /// # Panics
    ///
    /// If `clear` is longer than [`MAX_CLEAR_LEN`].
    pub fn new(keys: &EpochKeys, kind: ObjectKind, clear: Vec<u8>, rng: &mut dyn CryptoRng) -> Self {
        Self::in_buffer(keys, kind, clear, rng, Vec::new())
    }

    /// The same, in a buffer that is used again: its contents are dropped, its room is kept.
    ///
    /// # Panics
    ///
    /// If `clear` is longer than [`MAX_CLEAR_LEN`].
    pub fn in_buffer(
        keys: &EpochKeys,
        kind: ObjectKind,
        clear: Vec<u8>,
        rng: &mut dyn CryptoRng,
        mut buffer: Vec<u8>,
    ) -> Self {
        assert!(clear.len() <= MAX_CLEAR_LEN, "the clear part of an object is small by construction");
        let header = Header::draw(keys, kind, clear, rng);
        buffer.clear();
        buffer.extend_from_slice(&header.encode());
        Self { aead: object_key(keys, &header), object: buffer, header, next_segment: 0 }
    }

    /// The object's header, from which it can be opened in parts.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The length of header and segments so far, in bytes.
    pub fn sealed_len(&self) -> usize {
        self.object.len()
    }

    /// Seals the next segment; returns its sealed length.
    pub fn seal_segment(&mut self, plaintext: &[u8]) -> usize {
        let nonce = Nonce::segment(self.next_segment);
        self.next_segment += 1;
        self.aead.seal(nonce, plaintext, &mut self.object)
    }

    /// Pads the object to a length that says little (at least `min_len`), seals `table` into the trailer, and
    /// returns the whole object (spec §2.5).
    pub fn finish(mut self, table: &[u8], min_len: usize) -> Vec<u8> {
        let trailer_len = PAD_FIELD_LEN + table.len() + TAG_LEN;
        let unpadded = self.object.len() + TAG_LEN + trailer_len + FOOTER_LEN;
        let pad_len = padded_len(unpadded.max(min_len)) - unpadded;
        self.seal_segment(&vec![0; pad_len]);
        let mut trailer = le_u32(pad_len).to_vec();
        trailer.extend_from_slice(table);
        self.aead.seal(Nonce::TRAILER, &trailer, &mut self.object);
        self.object.extend_from_slice(&le_u32(trailer_len));
        self.object
    }
}

/// Opens the segments of one object. Parts may come from ranged reads, in any order.
pub struct Opener {
    aead: Aead,
}

impl Opener {
    /// Prepares to open the object with this header, which must be of `kind` and of the keys' repository and epoch.
    pub fn new(keys: &EpochKeys, kind: ObjectKind, header: &Header) -> Result<Self, OpenError> {
        header.must_be(kind)?;
        if header.repository != *keys.repository() {
            return Err(OpenError::WrongRepository);
        }
        if header.epoch != keys.epoch() {
            return Err(OpenError::WrongEpoch);
        }
        Ok(Self { aead: object_key(keys, header) })
    }

    /// Opens the sealed segment with this number.
    pub fn open_segment(&self, number: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.aead.open(Nonce::segment(number), sealed)
    }

    /// Opens a sealed segment that lies in a part of what was read; takes over the buffer, so that nothing is copied.
    pub fn open_segment_within(&self, number: u64, read: Vec<u8>, part: Range<usize>) -> Result<Vec<u8>, OpenError> {
        self.aead.open_within(Nonce::segment(number), read, part)
    }

    /// Opens the trailer; returns the padding's length and the table.
    pub fn open_trailer(&self, sealed: &[u8]) -> Result<(usize, Vec<u8>), OpenError> {
        let mut trailer = self.aead.open(Nonce::TRAILER, sealed)?;
        let pad = *trailer.first_chunk::<PAD_FIELD_LEN>().ok_or(OpenError::Truncated)?;
        let table = trailer.split_off(PAD_FIELD_LEN);
        Ok((from_le_u32(pad), table))
    }
}

/// The parts of a complete object, cut apart but not opened.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The clear header.
    pub header: Header,
    /// All segments, with the padding segment last.
    pub segments: &'a [u8],
    /// The sealed trailer.
    pub trailer: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Cuts a complete object apart (spec §2.1).
    pub fn split(object: &'a [u8]) -> Result<Self, OpenError> {
        let (header, header_len) = Header::parse(object)?;
        let rest = object.split_at_checked(header_len).ok_or(OpenError::Truncated)?.1;
        let (rest, footer) = rest.split_last_chunk::<FOOTER_LEN>().ok_or(OpenError::Truncated)?;
        let segments_len = rest.len().checked_sub(trailer_len(*footer)?).ok_or(OpenError::Truncated)?;
        let (segments, trailer) = rest.split_at_checked(segments_len).ok_or(OpenError::Truncated)?;
        Ok(Self { header, segments, trailer })
    }
}

/// The length of a sealed trailer, read from an object's last [`FOOTER_LEN`] bytes. A longer one than there may be is refused.
pub fn trailer_len(footer: [u8; FOOTER_LEN]) -> Result<usize, OpenError> {
    let len = from_le_u32(footer);
    if len <= MAX_TRAILER_LEN { Ok(len) } else { Err(OpenError::Truncated) }
}

/// Seals an object that has a single segment (spec §2.4).
pub fn seal_single(
    keys: &EpochKeys,
    kind: ObjectKind,
    clear: Vec<u8>,
    body: &[u8],
    min_len: usize,
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    let mut sealer = Sealer::new(keys, kind, clear, rng);
    sealer.seal_segment(body);
    sealer.finish(&[], min_len)
}

/// Opens an object that has a single segment, every bit of it; returns the body (spec §2.4), which is erased when
/// dropped: configs and commits carry keys.
pub fn open_single(keys: &EpochKeys, kind: ObjectKind, object: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let parts = Parts::split(object)?;
    let opener = Opener::new(keys, kind, &parts.header)?;
    let (pad_len, table) = opener.open_trailer(parts.trailer)?;
    let padding_len = pad_len.checked_add(TAG_LEN).ok_or(OpenError::Truncated)?;
    let body_len = parts.segments.len().checked_sub(padding_len).ok_or(OpenError::Truncated)?;
    let (body, padding) = parts.segments.split_at_checked(body_len).ok_or(OpenError::Truncated)?;
    let padding = opener.open_segment(1, padding)?;
    if !table.is_empty() || padding.iter().any(|byte| *byte != 0) {
        return Err(OpenError::Damaged);
    }
    opener.open_segment(0, body).map(Zeroizing::new)
}

/// Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PETS 2019): the smallest length
/// not below `len` whose size class is told by few bits. Adds at most 12 %, less the larger the object.
pub fn padded_len(len: usize) -> usize {
    let exponent = len.max(2).ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let mask = (1usize << exponent.saturating_sub(mantissa_bits)) - 1;
    (len + mask) & !mask
}

/// The object's own key: HKDF of the kind's key with the salt and the whole header (spec §2.3).
fn object_key(keys: &EpochKeys, header: &Header) -> Aead {
    let encoded = header.encode();
    let root = keys.object_root(header.kind).expose();
    let key = derive::<32>(root, &header.salt, &[b"hushkeep/1 object", &encoded]);
    Aead::new(&key, encoded)
}

fn le_u32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

fn from_le_u32(bytes: [u8; 4]) -> usize {
    u32::from_le_bytes(bytes) as usize
}

#[cfg(test)]
mod tests;
