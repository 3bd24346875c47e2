//! What the properties of parsers begin with: values of the kinds that many records hold, and damage.

use hushkeep_core::wire::UnknownFields;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::Timestamp;

/// An encoding with a few bytes exchanged, or cut short, or as it is.
pub(crate) fn damaged(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let exchanged = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (exchanged, prop::option::weighted(0.2, any::<Index>())).prop_map(move |(exchanged, cut)| {
        let mut bytes = bytes.clone();
        for (at, byte) in exchanged.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len() + 1)));
        bytes
    })
}

pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

/// Fields from `first` on, as a later version may write them.
pub(crate) fn unknown_fields(first: u32) -> impl Strategy<Value = UnknownFields> {
    prop::collection::btree_map(first.., any::<Vec<u8>>(), 0..3)
}
