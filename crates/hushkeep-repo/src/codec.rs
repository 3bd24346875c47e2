//! Compression of segments and bodies, with every length known and limited beforehand.

use hushkeep_core::wire::{Reader, WireError, put_varint};
use zeroize::{Zeroize, Zeroizing};

/// The longest content of one segment, in bytes (spec §8.2).
pub(crate) const MAX_SEGMENT_LEN: usize = 64 << 20;

/// The longest body of a commit or index, in bytes (spec §8.1).
pub(crate) const MAX_BODY_LEN: u64 = 512 << 20;

/// The level at which bytes saved per CPU second are best on chat databases (see `docs/decisions`).
const LEVEL: i32 = 3;

/// What a frame begins with (RFC 8878, 3.1.1).
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A compressor with its working memory, one for each thread.
pub(crate) struct Compressor(Option<zstd::bulk::Compressor<'static>>);

impl Compressor {
    pub(crate) fn new() -> Self {
        Self(zstd::bulk::Compressor::new(LEVEL).ok())
    }

    /// The compressed bytes, if they are fewer.
    pub(crate) fn compress(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut packed = self.0.as_mut()?.compress(bytes).ok()?;
        if packed.len() < bytes.len() {
            return Some(packed);
        }
        // What does not compress stands in it as it is, and may be a key.
        packed.zeroize();
        None
    }
}

/// Decompresses one frame to exactly `len` bytes; `None` if the bytes are anything else.
pub(crate) fn decompress(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    // The library takes a frame that is to be skipped for one of no bytes.
    if !bytes.starts_with(&FRAME_MAGIC) || zstd::zstd_safe::find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return None;
    }
    let out = zstd::bulk::decompress(bytes, len).ok()?;
    (out.len() == len).then_some(out)
}

/// Whether `sample` from the front of a content suggests that compressing the whole is worth the time.
pub(crate) fn looks_compressible(compressor: &mut Compressor, sample: &[u8]) -> bool {
    let gain = sample.len() / 32;
    compressor.compress(sample).is_some_and(|packed| packed.len() + gain < sample.len())
}

/// Encodes the body of a commit or index: as it is (0), or compressed (1) behind its length (spec §8.1). It may hold keys,
/// and is erased when dropped. `None` if it is so long that readers would refuse it.
pub(crate) fn encode_body(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if body.len() as u64 > MAX_BODY_LEN {
        return None;
    }
    let packed = Compressor::new().compress(body).map(Zeroizing::new);
    Some(Zeroizing::new(match packed {
        Some(packed) => {
            let mut start = vec![1];
            put_varint(&mut start, body.len() as u64);
            [start.as_slice(), &packed].concat()
        }
        None => [&[0], body].concat(),
    }))
}

/// Decodes what [`encode_body`] wrote.
pub(crate) fn decode_body(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, WireError> {
    let mut reader = Reader::new(bytes);
    match reader.byte()? {
        0 if reader.remaining() as u64 > MAX_BODY_LEN => Err(WireError::Range),
        0 => Ok(Zeroizing::new(reader.take(reader.remaining())?.to_vec())),
        1 => {
            let len = reader.varint()?;
            if len > MAX_BODY_LEN {
                return Err(WireError::Range);
            }
            let packed = reader.take(reader.remaining())?;
            let len = usize::try_from(len).map_err(|_| WireError::Range)?;
            decompress(packed, len).map(Zeroizing::new).ok_or(WireError::NotCanonical)
        }
        _ => Err(WireError::UnknownValue),
    }
}

/// A body that is read is as long as it says, and is read again from what it is written as.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(bytes: &[u8]) {
    let Ok(body) = decode_body(bytes) else { return };
    assert!(body.len() as u64 <= MAX_BODY_LEN);
    assert_eq!(encode_body(&body).map(|again| decode_body(&again)), Some(Ok(body)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::properties::damaged;

    /// Bytes of which some can be compressed.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let part = (any::<Vec<u8>>(), 1usize..200).prop_map(|(bytes, times)| bytes.repeat(times));
        prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_body_round_trips(body in body()) {
            prop_assert_eq!(decode_body(&encode_body(&body).unwrap()), Ok(Zeroizing::new(body)));
        }

        #[test]
        fn a_damaged_body_is_refused_or_round_trips(
            bytes in body().prop_flat_map(|body| damaged(encode_body(&body).unwrap().to_vec())),
        ) {
            assert_round_trip(&bytes);
        }
    }

    #[test]
    fn bodies_round_trip_packed_or_not() {
        for body in [vec![], vec![1, 2, 3], vec![7; 10_000]] {
            let encoded = encode_body(&body).unwrap();
            assert!(encoded.len() <= body.len() + 1);
            assert_eq!(*decode_body(&encoded).unwrap(), body);
        }
    }

    #[test]
    fn a_second_frame_is_refused() {
        let packed = Compressor::new().compress(&[7; 10_000]).unwrap();
        assert_eq!(decompress(&packed, 10_000), Some(vec![7; 10_000]));
        assert_eq!(decompress(&[packed.clone(), packed.clone()].concat(), 20_000), None);
        assert_eq!(decompress(&[packed, vec![0]].concat(), 10_000), None);
    }

    #[test]
    fn what_gains_too_little_does_not_look_compressible() {
        let mut compressor = Compressor::new();
        let sample = |noise: usize| {
            let mut bytes = vec![0; 4096];
            ChaCha20Rng::seed_from_u64(1).fill_bytes(&mut bytes[..noise]);
            bytes
        };
        assert!(looks_compressible(&mut compressor, &sample(0)) && looks_compressible(&mut compressor, &sample(3500)));
        // It gains a little, but less than one part in 32.
        let little = sample(4000);
        assert!(compressor.compress(&little).is_some());
        assert!(!looks_compressible(&mut compressor, &little) && !looks_compressible(&mut compressor, &sample(4096)));
    }

    #[test]
    fn a_body_above_the_limit_is_refused_packed_or_not() {
        // Memory that is never written to takes no room.
        let longest = usize::try_from(MAX_BODY_LEN).unwrap();
        assert_eq!(decode_body(&vec![0; 1 + longest + 1]), Err(WireError::Range));
        assert!(encode_body(&vec![0; longest + 1]).is_none());
    }

    #[test]
    fn a_body_that_claims_another_length_is_refused() {
        let claiming = |len: u64| {
            let mut bytes = vec![1];
            put_varint(&mut bytes, len);
            bytes
        };
        assert_eq!(decode_body(&claiming(MAX_BODY_LEN + 1)), Err(WireError::Range));
        assert_eq!(decode_body(&claiming(MAX_BODY_LEN)), Err(WireError::NotCanonical), "an empty frame");

        let mut encoded = encode_body(&vec![7; 10_000]).unwrap();
        encoded[1] ^= 1;
        assert!(decode_body(&encoded).is_err());
        assert!(decode_body(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
        assert!(decode_body(&[]).is_err());
    }
}
