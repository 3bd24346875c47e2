//! When a delta is worth its place in a chain, and when everything is written whole again.

use hushkeep_core::wire::{Record, RecordWriter, WireError};

/// How many deltas may lie above a full encoding. A reader refuses more.
const MAX_DEPTH: u32 = 128;

/// How many deltas this program puts above a full encoding. Each costs a reader a step.
pub(crate) const WRITTEN_DEPTH: u32 = 32;

/// Deltas may add up to this many bytes however small the full encoding is.
const FREE_DELTAS_LEN: u64 = 64 << 10;

/// How far a chain of deltas has grown (spec §10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Growth {
    /// How many deltas lie between this encoding and the full one, this one included; 0 for the full one itself.
    pub(crate) depth: u32,
    /// The length of the full encoding, in bytes; 0 in the full one itself.
    full_len: u64,
    /// The length of all deltas between this encoding and the full one, this one excluded.
    deltas_len: u64,
}

impl Growth {
    /// The growth of a delta upon this encoding, which has `own_len` bytes. `None` if a full one is due: the
    /// deltas have passed a quarter of it (and what is always free), or the chain is as deep as it may be.
    pub(crate) fn next(self, own_len: u64) -> Option<Self> {
        let (full_len, deltas_len) = match self.depth {
            0 => (own_len, 0),
            _ => (self.full_len, self.deltas_len.saturating_add(own_len)),
        };
        let too_long = deltas_len > FREE_DELTAS_LEN && deltas_len > full_len / 4;
        let depth = self.depth + 1;
        (depth <= WRITTEN_DEPTH && !too_long).then_some(Self { depth, full_len, deltas_len })
    }

    /// Writes three fields from `first` on.
    pub(crate) fn write(&self, record: &mut RecordWriter, first: u32) {
        record.critical_int(first, u64::from(self.depth));
        record.critical_int(first + 1, self.full_len).critical_int(first + 2, self.deltas_len);
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(crate) fn read(record: &Record<'_>, first: u32) -> Result<Self, WireError> {
        let depth = u32::try_from(record.int(first)?).map_err(|_| WireError::Range)?;
        if depth > MAX_DEPTH {
            return Err(WireError::Range);
        }
        Ok(Self { depth, full_len: record.int(first + 1)?, deltas_len: record.int(first + 2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_encoding_is_due_when_deltas_are_many_or_large() {
        let mut growth = Growth::default().next(1000).unwrap();
        for depth in 1..WRITTEN_DEPTH {
            assert_eq!((growth.depth, growth.full_len), (depth, 1000));
            growth = growth.next(10).unwrap();
        }
        assert_eq!(growth.next(10), None);

        let large = Growth::default().next(1_000_000).unwrap();
        assert!(large.next(250_000).is_some());
        assert_eq!(large.next(250_001), None);
        let small = Growth::default().next(10).unwrap();
        assert!(small.next(FREE_DELTAS_LEN).is_some());
        assert_eq!(small.next(FREE_DELTAS_LEN + 1), None);
    }

    #[test]
    fn a_chain_deeper_than_allowed_is_refused() {
        let growth = Growth { depth: MAX_DEPTH + 1, full_len: 1, deltas_len: 1 };
        let mut record = RecordWriter::new();
        growth.write(&mut record, 1);
        assert_eq!(Growth::read(&Record::parse(&record.finish(), 3).unwrap(), 1), Err(WireError::Range));
    }
}
