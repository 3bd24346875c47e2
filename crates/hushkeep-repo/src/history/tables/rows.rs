//! The rows of tables. A row begins with its status, which only ever grows (spec §11.2).

use std::ops::RangeInclusive;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, WireError, put_bytes, put_varint};

use crate::snapshot::SnapshotId;

/// The status of every row at first: it counts.
pub(super) const LIVE: u8 = 0;
/// A snapshot that its owner forgot.
const FORGOTTEN: u8 = 1;
/// Statuses of snapshots that only a newer version knows, which may need contents. Those above are needless to all.
pub(super) const NEWER_NEEDED: RangeInclusive<u8> = 2..=127;
/// An index object whose rows another one holds.
const SUPERSEDED: u8 = 1;
/// A commit whose object may be gone: nothing needs it any more.
const COMMIT_DROPPED: u8 = 1;
/// A pack whose bytes may be gone.
const PACK_DROPPED: u8 = u8::MAX;
/// Stands for the number of a commit that a row should tell and does not: none has it, so nothing is ever old by it.
const NO_COMMIT: u64 = u64::MAX;

/// How long the part behind a row's status is that may never change; `None` if the row does not decode.
pub(super) type FixedLen = fn(&[u8]) -> Option<usize>;

/// A pack that a commit names.
///
/// It is *live*, or *marked* for removal, or *dropped* for ever. Even statuses but the last are live, odd ones
/// marked: so a pack that is needed after all can become live again, and still the status only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackRow {
    pub(crate) id: ObjectId,
    /// The object's length in bytes.
    pub(crate) len: u64,
    /// What [`PackInfo::digest`](crate::pack::PackInfo::digest) says: with it a commit covers every name and content.
    pub(crate) digest: [u8; 16],
    /// The digest of the name list that it introduced, which outlives the pack; zeros if it introduced none.
    pub(crate) list_digest: [u8; 16],
    status: u8,
    /// The number of the commit that marked or dropped it.
    since: u64,
}

impl PackRow {
    pub(crate) fn new(id: ObjectId, len: u64, digest: [u8; 16], list_digest: [u8; 16]) -> Self {
        Self { id, len, digest, list_digest, status: LIVE, since: 0 }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.status.is_multiple_of(2)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.status == PACK_DROPPED
    }

    /// The number of the commit that marked the pack for removal, if it is marked.
    pub(crate) fn marked_since(&self) -> Option<u64> {
        (!self.is_live() && !self.is_dropped()).then_some(self.since)
    }

    /// The number of the commit that dropped the pack, if it is dropped.
    pub(crate) fn dropped_since(&self) -> Option<u64> {
        self.is_dropped().then_some(self.since)
    }

    /// The row of the same pack, marked by the commit `number`. `None` if it is not live, or was marked and became
    /// live again so often that its status cannot grow any more.
    pub(crate) fn marked(self, number: u64) -> Option<Self> {
        let status = self.status.checked_add(1).filter(|status| self.is_live() && *status != PACK_DROPPED)?;
        Some(Self { status, since: number, ..self })
    }

    /// The row of the same pack, live again.
    pub(crate) fn revived(self) -> Self {
        if self.marked_since().is_none() {
            return self;
        }
        Self { status: self.status + 1, since: 0, ..self }
    }

    /// The row of the same pack, dropped by the commit `number`.
    pub(crate) fn dropped(self, number: u64) -> Self {
        Self { status: PACK_DROPPED, since: number, ..self }
    }

    /// Writes a row (spec §11.2).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![self.status];
        put_varint(&mut row, self.len);
        row.extend_from_slice(&self.digest);
        row.extend_from_slice(&self.list_digest);
        if !self.is_live() {
            put_varint(&mut row, self.since);
        }
        row
    }

    /// Reads a row (spec §11.2); what follows it is for later versions.
    pub(super) fn decode(id: ObjectId, row: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(row);
        let status = reader.byte()?;
        let (len, digest, list_digest) = (reader.varint()?, reader.array()?, reader.array()?);
        let row = Self { id, len, digest, list_digest, status, since: 0 };
        Ok(if row.is_live() { row } else { Self { since: read_since(&mut reader), ..row } })
    }

    /// How long the part of a row is that may never change: all but its status and what that brings.
    pub(super) fn fixed_len(row: &[u8]) -> Option<usize> {
        let mut reader = Reader::new(row.get(1..)?);
        reader.varint().ok()?;
        reader.take(32).ok()?;
        Some(row.len() - 1 - reader.remaining())
    }

    /// Whether it says what the row says, as far as this version reads that.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_read_of(&self, row: &[u8]) -> bool {
        says_the_same(&self.encode(), row, Self::fixed_len(row), self.since)
    }
}

/// An index object that a commit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub(crate) id: ObjectId,
    /// How often its rows were merged: index objects of one level are merged into one of the next.
    pub(crate) level: u64,
    /// The object's length in bytes.
    pub(crate) len: u64,
    /// What [`index::digest_of`](crate::index::digest_of) says of its body.
    pub(crate) digest: [u8; 16],
    /// The number of the commit since which another one holds its rows.
    pub(crate) superseded: Option<u64>,
}

impl IndexRow {
    /// The row of the same index object, superseded by the commit `number`.
    pub(crate) fn superseded(self, number: u64) -> Self {
        Self { superseded: Some(self.superseded.unwrap_or(number)), ..self }
    }

    /// Writes a row (spec §11.2).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![if self.superseded.is_some() { SUPERSEDED } else { LIVE }];
        put_varint(&mut row, self.level);
        put_varint(&mut row, self.len);
        row.extend_from_slice(&self.digest);
        if let Some(since) = self.superseded {
            put_varint(&mut row, since);
        }
        row
    }

    /// Reads a row (spec §11.2); what follows it is for later versions.
    pub(super) fn decode(id: ObjectId, row: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(row);
        let status = reader.byte()?;
        let (level, len, digest) = (reader.varint()?, reader.varint()?, reader.array()?);
        let superseded = (status != LIVE).then(|| read_since(&mut reader));
        Ok(Self { id, level, len, digest, superseded })
    }

    /// How long the part of a row is that may never change.
    pub(super) fn fixed_len(row: &[u8]) -> Option<usize> {
        let mut reader = Reader::new(row.get(1..)?);
        reader.varint().ok()?;
        reader.varint().ok()?;
        reader.take(16).ok()?;
        Some(row.len() - 1 - reader.remaining())
    }

    /// Whether it says what the row says, as far as this version reads that.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_read_of(&self, row: &[u8]) -> bool {
        let status = if row.first() == Some(&LIVE) { LIVE } else { SUPERSEDED };
        let row = [&[status], row.get(1..).unwrap_or_default()].concat();
        says_the_same(&self.encode(), &row, Self::fixed_len(&row), self.superseded.unwrap_or_default())
    }
}

/// The number of the commit that brought a status. A row without it holds all the same: what its digests vouch for would not be
/// bound any more (spec §11.2).
fn read_since(reader: &mut Reader<'_>) -> u64 {
    reader.varint().unwrap_or(NO_COMMIT)
}

/// Whether a row begins with what is written of it; without a number, as far as that.
#[cfg(any(test, fuzzing))]
fn says_the_same(written: &[u8], row: &[u8], fixed_len: Option<usize>, since: u64) -> bool {
    let fixed = |row: &[u8]| Some(row.get(..=fixed_len?)?.to_vec());
    row.starts_with(written) || (since == NO_COMMIT && fixed(row).is_some() && fixed(row) == fixed(written))
}

/// A snapshot that its owner forgot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgottenSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its number.
    pub number: u64,
    /// The device that forgot it.
    pub device: ObjectId,
}

impl ForgottenSnapshot {
    /// Writes a row (spec §11.2).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORGOTTEN];
        put_varint(&mut row, self.number);
        row.extend_from_slice(self.device.as_bytes());
        row
    }

    /// Reads a row (spec §11.2); `None` for another status, or what a later version wrote.
    pub(super) fn decode(id: [u8; 16], row: &[u8]) -> Option<Self> {
        let (&FORGOTTEN, rest) = row.split_first()? else { return None };
        let mut reader = Reader::new(rest);
        let number = reader.varint().ok()?;
        Some(Self { id: SnapshotId::from_bytes(id), number, device: ObjectId::from_bytes(reader.array().ok()?) })
    }
}

/// Writes the row of a commit before (spec §11.2).
pub(super) fn encode_commit(file: &str, is_dropped: bool) -> Vec<u8> {
    let mut row = vec![if is_dropped { COMMIT_DROPPED } else { LIVE }];
    put_bytes(&mut row, file.as_bytes());
    row
}

/// How long the part of a commit's row is that may never change: its file name.
pub(super) fn fixed_len_of_commit(row: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(row.get(1..)?);
    reader.bytes().ok()?;
    Some(row.len() - 1 - reader.remaining())
}

/// Whether a commit's object may be gone, and its file name.
pub(super) fn decode_commit(row: &[u8]) -> Option<(bool, String)> {
    let (status, rest) = row.split_first()?;
    let file = String::from_utf8(Reader::new(rest).bytes().ok()?.to_vec()).ok()?;
    Some((*status != LIVE, file))
}

/// Whether a row is `earlier`, or a later state of it that has the same `fixed_len` bytes behind its status.
pub(super) fn row_continues(row: &[u8], earlier: &[u8], fixed_len: Option<usize>) -> bool {
    let fixed = |row: &[u8]| Some(row.get(1..fixed_len?.checked_add(1)?)?.to_vec());
    // Two devices may give a row the same status at once: then the greater of both wins.
    let moved = earlier < row && (earlier.first() < row.first() || earlier.first() > Some(&LIVE));
    // What a later version says behind the rest, another that does not know it may have left out, or have added to.
    row.starts_with(earlier) || (moved && fixed(row).is_some() && fixed(row) == fixed(earlier))
}

#[cfg(test)]
mod tests {
    use super::super::decode_rows;
    use super::*;

    fn pack() -> PackRow {
        PackRow::new(ObjectId::from_bytes([1; 16]), 4096, [2; 16], [3; 16])
    }

    #[test]
    fn rows_are_in_order_and_none_is_empty() {
        let rows = |rows: &[(u8, &[u8])]| {
            let mut bytes = Vec::new();
            for (key, row) in rows {
                bytes.extend_from_slice(&[*key; 16]);
                put_bytes(&mut bytes, row);
            }
            decode_rows(&bytes).map(|table| table.len())
        };
        assert_eq!(rows(&[(1, b"a"), (2, b"b")]), Ok(2));
        for refused in [[(1, b"a".as_slice()), (2, b"")], [(2, b"a"), (1, b"b")], [(1, b"a"), (1, b"a")]] {
            assert_eq!(rows(&refused), Err(WireError::NotCanonical));
        }
    }

    #[test]
    fn rows_round_trip_and_ignore_what_follows() {
        for row in [pack(), pack().marked(300).unwrap(), pack().dropped(7), pack().marked(3).unwrap().revived()] {
            let bytes = [row.encode(), vec![9]].concat();
            assert_eq!(PackRow::decode(row.id, &bytes), Ok(row));
            assert_eq!(PackRow::fixed_len(&bytes), Some(2 + 32));
        }
        let index = IndexRow { id: pack().id, level: 1, len: 300, digest: [4; 16], superseded: None };
        for row in [index, index.superseded(900)] {
            assert_eq!(IndexRow::decode(row.id, &row.encode()), Ok(row));
            assert_eq!(IndexRow::fixed_len(&row.encode()), Some(1 + 2 + 16));
        }
        for is_dropped in [false, true] {
            assert_eq!(fixed_len_of_commit(&encode_commit("42-abcd", is_dropped)), Some(1 + 7));
        }
    }

    #[test]
    fn a_row_without_the_commit_that_brought_its_status_holds_and_is_never_old() {
        let marked = pack().marked(300).unwrap();
        let superseded =
            IndexRow { id: pack().id, level: 1, len: 300, digest: [4; 16], superseded: None }.superseded(300);
        for behind in [[].as_slice(), &[0x80]] {
            let row = [&marked.encode()[..3 + 32], behind].concat();
            assert_eq!(PackRow::decode(marked.id, &row), Ok(PackRow { since: u64::MAX, ..marked }));
            let row = [&superseded.encode()[..1 + 1 + 2 + 16], behind].concat();
            let read = IndexRow { superseded: Some(u64::MAX), ..superseded };
            assert_eq!(IndexRow::decode(superseded.id, &row), Ok(read));
        }
    }

    #[test]
    fn a_pack_comes_back_from_its_mark_but_not_from_being_dropped() {
        let marked = pack().marked(5).unwrap();
        assert_eq!((pack().is_live(), marked.is_live(), marked.marked_since()), (true, false, Some(5)));
        assert_eq!((marked.marked(6), marked.revived().is_live()), (None, true));
        let dropped = marked.dropped(9);
        assert!(dropped.is_dropped() && !dropped.is_live() && dropped.marked_since().is_none());
        assert_eq!((marked.dropped_since(), dropped.dropped_since()), (None, Some(9)));
        assert!(dropped.encode().ends_with(&[9]), "the number of the commit that dropped it");
        assert_eq!((dropped.marked(10), dropped.revived()), (None, dropped));
    }

    #[test]
    fn a_status_only_grows_and_ends_live() {
        let mut row = pack();
        let mut times = 0;
        while let Some(marked) = row.marked(1) {
            assert!(marked.encode() > row.encode() && marked.revived().encode() > marked.encode());
            row = marked.revived();
            times += 1;
        }
        assert_eq!((times, row.is_live()), (127, true));
        assert!(row.dropped(1).encode() > row.encode());
    }
}
