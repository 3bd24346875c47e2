//! Name lists: the names and lengths of the contents that one pack introduced, in order, written once (spec §8.4).

use hushkeep_core::keys::Epoch;
use hushkeep_core::name::ContentName;
use hushkeep_core::wire::{MAX_VARINT_LEN, Reader, WireError, put_varint};

use super::digest;
use crate::codec::MAX_SEGMENT_LEN;

/// The names and lengths of a pack's contents. A content is referred to by its position here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NameList {
    names: Vec<ContentName>,
    lens: Vec<u32>,
}

impl NameList {
    /// Adds a content; returns its position.
    pub(crate) fn push(&mut self, name: ContentName, len: u32) {
        self.names.push(name);
        self.lens.push(len);
    }

    /// Exchanges a content.
    #[cfg(fuzzing)]
    pub(crate) fn replace(&mut self, position: u32, name: ContentName, len: u32) {
        self.names[position as usize] = name;
        self.lens[position as usize] = len;
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, position: u32) -> Option<&ContentName> {
        self.names.get(position as usize)
    }

    /// The names of `count` contents from `first` on.
    pub(crate) fn names(&self, first: u32, count: u32) -> Option<&[ContentName]> {
        self.names.get(first as usize..(first as usize).checked_add(count as usize)?)
    }

    /// The lengths of `count` contents from `first` on.
    pub(crate) fn lens(&self, first: u32, count: u32) -> Option<&[u32]> {
        self.lens.get(first as usize..(first as usize).checked_add(count as usize)?)
    }

    /// What a pack's table says of an encoded name list, and of the epoch whose names key gave the names (spec §8.3).
    pub(crate) fn digest(epoch: Epoch, encoded: &[u8]) -> [u8; 16] {
        let mut input = Vec::with_capacity(MAX_VARINT_LEN + encoded.len());
        put_varint(&mut input, u64::from(epoch.0));
        input.extend_from_slice(encoded);
        digest("hushkeep/1 name list", &input)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.names.len() * ContentName::LEN + 64);
        put_varint(&mut out, self.names.len() as u64);
        for run in self.lens.chunk_by(|a, b| a == b) {
            put_varint(&mut out, u64::from(run.first().copied().unwrap_or_default()));
            put_varint(&mut out, run.len() as u64);
        }
        for name in &self.names {
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(ContentName::LEN)?;
        let mut lens: Vec<u32> = Vec::with_capacity(count);
        while lens.len() < count {
            let len = reader.varint_u32()?;
            let repeat = usize::try_from(reader.varint()?).map_err(|_| WireError::Range)?;
            if len == 0 || len as usize > MAX_SEGMENT_LEN || repeat == 0 || repeat > count - lens.len() {
                return Err(WireError::Range);
            }
            if lens.last() == Some(&len) {
                return Err(WireError::NotCanonical);
            }
            lens.resize(lens.len() + repeat, len);
        }
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            names.push(ContentName::from_bytes(reader.array()?));
        }
        reader.finish()?;
        Ok(Self { names, lens })
    }
}

/// A list that is read has one form, and a length for every name.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(bytes: &[u8]) {
    let Ok(list) = NameList::decode(bytes) else { return };
    assert_eq!(list.encode(), bytes);
    assert_eq!(list.names.len(), list.lens.len());
    assert!(list.lens.iter().all(|len| (1..=MAX_SEGMENT_LEN).contains(&(*len as usize))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::damaged;
    use proptest::prelude::*;

    #[test]
    fn names_follow_one_another() {
        let [one, two, three] = [1, 2, 3].map(|byte| ContentName::from_bytes([byte; 16]));
        let mut list = NameList::default();
        [one, two, three].into_iter().for_each(|name| list.push(name, 5));
        assert_eq!(list.names(1, 2), Some([two, three].as_slice()));
        assert_eq!((list.names(0, 0), list.names(2, 2), list.names(4, 0)), (Some([].as_slice()), None, None));
    }

    proptest! {
        #[test]
        fn lists_round_trip(contents in prop::collection::vec((any::<[u8; 16]>(), 1u32..5), 0..50)) {
            let mut list = NameList::default();
            for (name, len) in &contents {
                list.push(ContentName::from_bytes(*name), *len);
            }
            prop_assert_eq!(list.len(), contents.len());
            prop_assert_eq!(NameList::decode(&list.encode()), Ok(list));
        }

        #[test]
        fn a_damaged_list_is_refused_or_has_one_form(
            bytes in prop::collection::vec((any::<[u8; 16]>(), 1u32..5), 0..9).prop_flat_map(|contents| {
                let (names, lens) = contents.into_iter().map(|(name, len)| (ContentName::from_bytes(name), len)).unzip();
                damaged(NameList { names, lens }.encode())
            }),
        ) {
            assert_round_trip(&bytes);
        }
    }

    #[test]
    fn a_list_has_one_form() {
        let mut bytes = vec![2, 7, 1, 7, 1];
        bytes.extend_from_slice(&[0; 32]);
        assert_eq!(NameList::decode(&bytes), Err(WireError::NotCanonical));
    }

    #[test]
    fn a_content_is_no_longer_than_a_segment() {
        let with = |len| NameList { names: vec![ContentName::from_bytes([1; 16])], lens: vec![len] };
        let longest = with(u32::try_from(MAX_SEGMENT_LEN).unwrap());
        assert_eq!(NameList::decode(&longest.encode()), Ok(longest.clone()));
        assert_eq!(NameList::decode(&with(longest.lens[0] + 1).encode()), Err(WireError::Range));
        assert_eq!(NameList::decode(&with(0).encode()), Err(WireError::Range));
    }

    #[test]
    fn lengths_beyond_the_count_are_refused() {
        let mut bytes = vec![1, 7, 2];
        bytes.extend_from_slice(&[0; 16]);
        assert_eq!(NameList::decode(&bytes), Err(WireError::Range));
        bytes[2] = 0;
        assert_eq!(NameList::decode(&bytes), Err(WireError::Range));
        // The second run begins within the count, and ends beyond it.
        let two = [vec![2, 7, 1, 8, 2], vec![0; 32]].concat();
        assert_eq!(NameList::decode(&two), Err(WireError::Range));
    }
}
