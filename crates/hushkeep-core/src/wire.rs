//! The encodings everything in a repository is built from (spec §1).
//!
//! Two layers: plain values (LEB128 integers, byte strings), and *records* of numbered fields. A field is
//! marked critical (a reader that does not know it must refuse) or ignorable (it is kept and written again).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// Bytes that do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end inside a value.
    #[error("the encoding ends too early")]
    Truncated,
    /// A value is not written in its only allowed form.
    #[error("a value is not in its canonical form")]
    NotCanonical,
    /// Bytes follow the last value.
    #[error("bytes follow the end of the encoding")]
    Trailing,
    /// A field that must be there is missing.
    #[error("field {0} is missing")]
    Missing(u32),
    /// A critical field that this version does not know: the repository wants a newer program.
    #[error("field {0} is unknown and may not be ignored: a newer version wrote this")]
    UnknownCritical(u32),
    /// A value that this version has no meaning for, where a later one may have: the repository wants a newer program.
    #[error("a value is unknown and may not be ignored: a newer version wrote this")]
    UnknownValue,
    /// A value is outside its allowed range.
    #[error("a value is out of range")]
    Range,
}

/// The most bytes that an integer takes (spec §1.1).
pub const MAX_VARINT_LEN: usize = 10;

/// Appends `value` as an unsigned LEB128 integer of the fewest bytes (spec §1.1).
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a signed integer, zigzag-mapped to an unsigned one (spec §1.1).
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a byte string: its length, then its bytes (spec §1.2).
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads values from the front of a byte slice. Never panics, never allocates more than it was given.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Ends reading; an error if bytes are left.
    pub fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }

    /// An unsigned LEB128 integer (spec §1.1).
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Range);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(WireError::NotCanonical) } else { Ok(value) };
            }
        }
        Err(WireError::Range)
    }

    /// A varint that must fit 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, WireError> {
        u32::try_from(self.varint()?).map_err(|_| WireError::Range)
    }

    /// A zigzag-mapped signed integer (spec §1.1).
    pub fn signed(&mut self) -> Result<i64, WireError> {
        let mapped = self.varint()?;
        Ok((mapped >> 1).cast_signed() ^ -(mapped & 1).cast_signed())
    }

    /// A count of items that each take at least `item_len` bytes of what is left: so a hostile count cannot
    /// make the caller allocate more than it was given.
    pub fn count(&mut self, item_len: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.varint()?).map_err(|_| WireError::Range)?;
        match count.checked_mul(item_len) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(WireError::Truncated),
        }
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A byte string: its length, then its bytes (spec §1.2).
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError::Range)?;
        self.take(len)
    }
}

/// Fields of a record that this version does not know and may keep unread.
pub type UnknownFields = BTreeMap<u32, Vec<u8>>;

/// Writes a record (spec §1.3): fields in the order of their numbers, which begin at 1; each is
/// `number << 1 | critical`, then a byte string.
///
/// A value may be a secret: the writer erases its own copies.
#[derive(Default)]
pub struct RecordWriter {
    fields: BTreeMap<u32, (bool, Zeroizing<Vec<u8>>)>,
}

impl RecordWriter {
    /// A record without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field that every reader must understand.
    pub fn critical(&mut self, field: u32, value: impl Into<Vec<u8>>) -> &mut Self {
        self.fields.insert(field, (true, Zeroizing::new(value.into())));
        self
    }

    /// Adds a field that a reader may ignore.
    pub fn ignorable(&mut self, field: u32, value: impl Into<Vec<u8>>) -> &mut Self {
        self.fields.insert(field, (false, Zeroizing::new(value.into())));
        self
    }

    /// Adds a critical integer field.
    pub fn critical_int(&mut self, field: u32, value: u64) -> &mut Self {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        self.critical(field, bytes)
    }

    /// Writes fields of an earlier version again that were kept unread.
    pub fn unknown(&mut self, fields: &UnknownFields) -> &mut Self {
        for (field, value) in fields {
            self.ignorable(*field, value.clone());
        }
        self
    }

    /// The encoded record, of which nothing else stays behind.
    pub fn finish(&self) -> Vec<u8> {
        let len = |value: &Vec<u8>| value.len() + 2 * MAX_VARINT_LEN;
        // Room for all of it: a buffer that grows leaves its earlier ones behind.
        let mut out = Vec::with_capacity(self.fields.values().map(|(_, value)| len(value)).sum());
        for (field, (critical, value)) in &self.fields {
            put_varint(&mut out, u64::from(*field) << 1 | u64::from(*critical));
            put_bytes(&mut out, value);
        }
        out
    }
}

/// A record that was read: known fields by number, unknown ignorable ones kept (spec §1.3).
#[derive(Debug)]
pub struct Record<'a> {
    known: BTreeMap<u32, &'a [u8]>,
    unknown: UnknownFields,
}

impl<'a> Record<'a> {
    /// Reads a record whose fields up to `last_known` this version understands. That a later one wrote it is told of a record
    /// that is whole: else two readers could take one object for newer and for damaged (spec §14).
    pub fn parse(bytes: &'a [u8], last_known: u32) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let (mut known, mut unknown) = (BTreeMap::new(), UnknownFields::new());
        let (mut previous, mut newer) = (0, None);
        while !reader.is_empty() {
            let key = reader.varint()?;
            let field = u32::try_from(key >> 1).map_err(|_| WireError::Range)?;
            if field <= previous {
                return Err(WireError::NotCanonical);
            }
            previous = field;
            let value = reader.bytes()?;
            if field <= last_known {
                known.insert(field, value);
            } else if key & 1 == 1 {
                newer.get_or_insert(field);
            } else {
                unknown.insert(field, value.to_vec());
            }
        }
        newer.map_or(Ok(Self { known, unknown }), |field| Err(WireError::UnknownCritical(field)))
    }

    /// A field that must be there.
    pub fn required(&self, field: u32) -> Result<&'a [u8], WireError> {
        self.optional(field).ok_or(WireError::Missing(field))
    }

    /// A field that may be absent.
    pub fn optional(&self, field: u32) -> Option<&'a [u8]> {
        self.known.get(&field).copied()
    }

    /// An integer field that must be there.
    pub fn int(&self, field: u32) -> Result<u64, WireError> {
        let mut reader = Reader::new(self.required(field)?);
        let value = reader.varint()?;
        reader.finish()?;
        Ok(value)
    }

    /// A field of exactly `N` bytes that must be there.
    pub fn array<const N: usize>(&self, field: u32) -> Result<[u8; N], WireError> {
        self.required(field)?.try_into().map_err(|_| WireError::Range)
    }

    /// A field of UTF-8 text that must be there.
    pub fn text(&self, field: u32) -> Result<String, WireError> {
        std::str::from_utf8(self.required(field)?).map(str::to_owned).map_err(|_| WireError::NotCanonical)
    }

    /// The fields this version does not know.
    pub fn into_unknown(self) -> UnknownFields {
        self.unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_round_trip(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, unsigned);
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(unsigned));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn records_round_trip(fields in prop::collection::btree_map(1..=u32::MAX, (any::<bool>(), any::<Vec<u8>>()), 0..9)) {
            let mut writer = RecordWriter::new();
            for (field, (critical, value)) in &fields {
                let value = value.clone();
                if *critical { writer.critical(*field, value) } else { writer.ignorable(*field, value) };
            }
            let bytes = writer.finish();
            let record = Record::parse(&bytes, u32::MAX).unwrap();
            for (field, (_, value)) in &fields {
                prop_assert_eq!(record.required(*field), Ok(value.as_slice()));
            }
            let kept = Record::parse(&bytes, 0).map(Record::into_unknown);
            match fields.iter().find(|(_, (critical, _))| *critical) {
                Some((first, _)) => prop_assert_eq!(kept.unwrap_err(), WireError::UnknownCritical(*first)),
                None => prop_assert_eq!(RecordWriter::new().unknown(&kept.unwrap()).finish(), bytes),
            }
        }

        #[test]
        fn a_value_that_is_read_has_one_form(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            let mut again = Vec::new();
            if let Ok(value) = reader.varint() {
                put_varint(&mut again, value);
                prop_assert_eq!(&again, &bytes[..bytes.len() - reader.remaining()]);
            }
            let (mut reader, mut again) = (Reader::new(&bytes), Vec::new());
            if let Ok(value) = reader.signed() {
                put_signed(&mut again, value);
                prop_assert_eq!(again, &bytes[..bytes.len() - reader.remaining()]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Record::parse(&bytes, 3);
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_ok() || reader.bytes().is_ok() {}
        }
    }

    /// One reader may look at all of it before it says so, another not.
    #[test]
    fn only_a_whole_record_is_newer() {
        let newer = RecordWriter::new().critical(7, "of a later version").critical_int(9, 1).finish();
        assert_eq!(Record::parse(&newer, 3).unwrap_err(), WireError::UnknownCritical(7));
        assert_eq!(Record::parse(&newer[..newer.len() - 1], 3).unwrap_err(), WireError::Truncated);
        let disordered = [newer, RecordWriter::new().ignorable(8, "").finish()].concat();
        assert_eq!(Record::parse(&disordered, 3).unwrap_err(), WireError::NotCanonical);
    }

    #[test]
    fn longer_forms_of_an_integer_are_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).varint(), Err(WireError::NotCanonical));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(WireError::Truncated));
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Reader::new(&too_large).varint(), Err(WireError::Range));
        let eleven_bytes = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert!(Reader::new(&eleven_bytes).varint().is_err());
    }

    #[test]
    fn a_hostile_count_is_refused_before_allocation() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert_eq!(Reader::new(&out).count(16), Err(WireError::Truncated));
    }

    #[test]
    fn counts_and_arrays_are_what_was_written() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 2);
        bytes.extend([1, 2, 3, 4]);
        assert_eq!(Reader::new(&bytes).count(2), Ok(2), "just enough");
        assert_eq!(Reader::new(&bytes).count(3), Err(WireError::Truncated));
        assert_eq!(Reader::new(&bytes[..4]).count(2), Err(WireError::Truncated));
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.byte(), reader.array(), reader.remaining()), (Ok(2), Ok([1, 2, 3]), 1));
        assert_eq!(reader.array::<2>(), Err(WireError::Truncated));
    }

    #[test]
    fn integers_of_32_bits_end_there() {
        for value in [0, 1, 300, u64::from(u32::MAX), u64::from(u32::MAX) + 1] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).varint_u32(), u32::try_from(value).map_err(|_| WireError::Range));
        }
    }

    #[test]
    fn unknown_fields_are_kept_or_refused_by_their_mark() {
        let mut writer = RecordWriter::new();
        writer.critical_int(1, 7).critical(2, *b"text").ignorable(9, *b"later");
        let bytes = writer.finish();
        let record = Record::parse(&bytes, 3).unwrap();
        assert_eq!((record.int(1), record.text(2).as_deref()), (Ok(7), Ok("text")));
        let unknown = record.into_unknown();
        assert_eq!(unknown.get(&9).map(Vec::as_slice), Some(b"later".as_slice()));
        let mut again = RecordWriter::new();
        again.critical_int(1, 7).critical(2, *b"text").unknown(&unknown);
        assert_eq!(again.finish(), bytes);

        let refused = RecordWriter::new().critical(9, *b"later").finish();
        assert_eq!(Record::parse(&refused, 3).unwrap_err(), WireError::UnknownCritical(9));
    }

    #[test]
    fn fields_out_of_order_or_twice_or_without_number_are_refused() {
        for bytes in [[4u8, 0, 2, 0], [2, 0, 2, 0], [0, 0, 2, 0]] {
            assert_eq!(Record::parse(&bytes, 9).unwrap_err(), WireError::NotCanonical);
        }
    }
}
