//! Cuts ordinary files into chunks (spec §10.6).

use fastcdc::v2020::{FastCDC, Normalization};
use hushkeep_core::keys::ChunkerSeed;

use super::scan::fill;
use crate::codec::{self, Compressor};
use crate::tree::TreeError;

/// Files up to this length are one chunk, in bytes.
const WHOLE_FILE_LEN: usize = 1 << 20;
const MIN_LEN: usize = 256 << 10;
const AVERAGE_LEN: usize = 1 << 20;
const MAX_LEN: usize = 4 << 20;

/// How much of a large file is held at once, in bytes.
const BUFFER_LEN: usize = 2 * MAX_LEN;

/// How much from the front of a file tells whether it compresses, in bytes.
const PROBE_LEN: usize = 16 << 10;

/// Yields the chunks of one file after another: the whole file if it is short, else pieces cut where the contents
/// say so, under a secret seed.
pub(super) struct Chunker {
    seed: u64,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Whether a chunk of the file was cut already.
    is_cut: bool,
}

impl Chunker {
    pub(super) fn new(seed: &ChunkerSeed) -> Self {
        Self { seed: seed.expose(), buffer: vec![0; WHOLE_FILE_LEN + 1], start: 0, end: 0, ended: false, is_cut: false }
    }

    /// Begins another file.
    pub(super) fn begin(&mut self) {
        (self.start, self.end, self.ended, self.is_cut) = (0, 0, false, false);
    }

    /// The next chunk; `None` after the last.
    pub(super) fn next(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, TreeError>,
    ) -> Result<Option<&[u8]>, TreeError> {
        if !self.ended && self.end - self.start < MAX_LEN {
            self.refill(&mut read)?;
        }
        let held = self.buffer.get(self.start..self.end).unwrap_or_default();
        if held.is_empty() {
            return Ok(None);
        }
        let whole = self.ended && !self.is_cut && held.len() <= WHOLE_FILE_LEN;
        let len = if whole { held.len() } else { self.cut(held) };
        let chunk = self.start..self.start + len;
        self.start += len;
        self.is_cut = true;
        Ok(self.buffer.get(chunk))
    }

    /// Whether a file that begins with this chunk is worth compressing.
    pub(super) fn looks_compressible(chunk: &[u8]) -> bool {
        let probe = chunk.get(..PROBE_LEN).unwrap_or(chunk);
        codec::looks_compressible(&mut Compressor::new(), probe)
    }

    fn refill(&mut self, read: &mut impl FnMut(&mut [u8]) -> Result<usize, TreeError>) -> Result<(), TreeError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        loop {
            let rest = self.buffer.get_mut(self.end..).unwrap_or_default();
            let wanted = rest.len();
            let filled = fill(rest, &mut *read)?;
            self.end += filled;
            self.ended = filled < wanted;
            if self.ended || self.buffer.len() == BUFFER_LEN {
                return Ok(());
            }
            self.buffer.resize(BUFFER_LEN, 0);
        }
    }

    fn cut(&self, held: &[u8]) -> usize {
        let level = Normalization::Level1;
        let cutter = FastCDC::with_level_and_seed(held, MIN_LEN, AVERAGE_LEN, MAX_LEN, level, self.seed);
        cutter.cut(0, held.len()).1.clamp(1, held.len())
    }
}

#[cfg(test)]
mod tests {
    use hushkeep_core::Secret;
    use hushkeep_core::keys::{BackupKey, Epoch};
    use hushkeep_core::name::RepositoryId;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    fn cut(bytes: &[u8], key: u64) -> Vec<Vec<u8>> {
        let key = BackupKey::generate(&mut ChaCha20Rng::seed_from_u64(key));
        cut_under(&key, RepositoryId::from_bytes([1; 16]), bytes)
    }

    fn cut_under(key: &BackupKey, repository: RepositoryId, bytes: &[u8]) -> Vec<Vec<u8>> {
        let keys = key.epoch_secret(&repository, Epoch::FIRST).working_keys(repository);
        let mut chunker = Chunker::new(keys.chunker_seed());
        chunker.begin();
        let (mut rest, mut chunks) = (bytes, Vec::new());
        let mut read = |buffer: &mut [u8]| {
            let count = buffer.len().min(rest.len()).min(100_000);
            buffer[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            Ok(count)
        };
        while let Some(chunk) = chunker.next(&mut read).unwrap() {
            chunks.push(chunk.to_vec());
        }
        chunks
    }

    fn random(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        ChaCha20Rng::seed_from_u64(7).fill_bytes(&mut bytes);
        bytes
    }

    /// A change of the cutter would store every large file anew (spec §3.5, §10.6).
    #[test]
    fn the_example_is_cut_as_the_specification_says() {
        let key = "08c0805922501f99c041b654e6ca7e71bbe0af81f114b99f1bbb7870c6b5dd73";
        let key = BackupKey::from_secret(Secret::build(|bytes| {
            bytes
                .iter_mut()
                .zip(0..)
                .for_each(|(byte, at)| *byte = u8::from_str_radix(&key[2 * at..][..2], 16).unwrap());
        }));
        let mut bytes = vec![0; 8 << 20];
        blake3::Hasher::new_derive_key("hushkeep example of a large file").finalize_xof().fill(&mut bytes);
        let chunks = cut_under(&key, "e2885f2bbe3d7a8b08e328b9abf1e082".parse().unwrap(), &bytes);
        assert!(chunks.concat() == bytes);
        let lens: Vec<usize> = chunks.iter().map(Vec::len).collect();
        assert_eq!(lens, [463_393, 1_477_163, 2_152_672, 494_056, 1_201_693, 642_488, 753_886, 1_203_257]);
    }

    #[test]
    fn short_files_are_one_chunk_and_empty_ones_none() {
        assert!(cut(&[], 1).is_empty());
        for len in [1, WHOLE_FILE_LEN - 1, WHOLE_FILE_LEN] {
            assert_eq!(cut(&random(len), 1).len(), 1, "{len} bytes");
        }
        assert!(cut(&random(WHOLE_FILE_LEN + 1), 1).concat() == random(WHOLE_FILE_LEN + 1));
    }

    /// Wherever the buffer of a large file begins anew, and however little is left of the file then.
    #[test]
    fn the_end_of_a_large_file_is_cut_like_the_rest() {
        let key = BackupKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let id = RepositoryId::from_bytes([1; 16]);
        let keys = key.epoch_secret(&id, Epoch::FIRST).working_keys(id);
        let chunker = Chunker::new(keys.chunker_seed());
        // Of zeros each chunk has the most length.
        for zeros in [MAX_LEN, 2 * MAX_LEN, 3 * MAX_LEN] {
            let bytes = [vec![0; zeros], random(WHOLE_FILE_LEN)].concat();
            let (mut rest, mut lens) = (bytes.as_slice(), Vec::new());
            while !rest.is_empty() {
                lens.push(chunker.cut(rest));
                rest = &rest[lens[lens.len() - 1]..];
            }
            assert!(lens[lens.len() - 2] < WHOLE_FILE_LEN, "the end is cut");
            assert_eq!(cut_under(&key, id, &bytes).iter().map(Vec::len).collect::<Vec<_>>(), lens);
        }
    }

    #[test]
    fn large_files_are_cut_by_content_and_key() {
        let bytes = random(20 << 20);
        let chunks = cut(&bytes, 1);
        assert!(chunks.concat() == bytes);
        let (last, others) = chunks.split_last().unwrap();
        assert!(others.iter().all(|chunk| (MIN_LEN..=MAX_LEN).contains(&chunk.len())) && last.len() <= MAX_LEN);

        let inserted = [&bytes[..5 << 20], b"abc", &bytes[5 << 20..]].concat();
        let again = cut(&inserted, 1).into_iter().filter(|chunk| !chunks.contains(chunk)).count();
        assert!(again <= 3, "{again} new chunks after an insertion");
        assert_ne!(cut(&bytes, 2), chunks, "another key cuts elsewhere");
    }
}
