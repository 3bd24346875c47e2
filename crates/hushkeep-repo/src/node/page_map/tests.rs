use hushkeep_core::keys::Epoch;
use proptest::prelude::*;

use super::*;
use crate::pack::{Class, Coding, ListEntry, PackInfo, PackTable, Segment};

/// An index of two lists with 100 contents each.
fn index() -> Index {
    let mut index = Index::default();
    for id in [1, 2] {
        let id = ObjectId::from_bytes([id; 16]);
        let segment = Segment {
            class: Class::Data,
            coding: Coding::Zstd,
            sealed_len: 99,
            raw_len: 9,
            list: 0,
            first: 0,
            count: 100,
        };
        let table = PackTable {
            lists: vec![ListEntry { id, epoch: Epoch(0), names_digest: [0; 16] }],
            segments: vec![segment],
        };
        index.add(PackInfo { id, epoch: Epoch(0), salt: [0; 32], len: 999, table });
    }
    index
}

fn map(pages: &[(u32, u32)]) -> PageMap {
    let pages: Vec<ContentRef> =
        pages.iter().map(|(list, position)| ContentRef { list: ListNo(*list), position: *position }).collect();
    PageMap { page_size: 512, len: pages.len() as u64 * 512, pages }
}

fn arbitrary_map() -> impl Strategy<Value = PageMap> {
    prop::collection::vec((0u32..2, 0u32..100), 0..60).prop_map(|pages| map(&pages))
}

fn decode(bytes: &[u8], base: Option<PageMap>) -> Result<PageMap, WireError> {
    PageMapNode::decode(bytes, &index()).and_then(|node| node.apply(base))
}

proptest! {
    #[test]
    fn full_maps_round_trip(map in arbitrary_map()) {
        let bytes = map.encode(&Chain::default(), None, &index()).unwrap();
        prop_assert_eq!(decode(&bytes, None), Ok(map));
    }

    #[test]
    fn deltas_round_trip(base in arbitrary_map(), map in arbitrary_map()) {
        let bytes = map.encode(&Chain::default(), Some(&base), &index()).unwrap();
        prop_assert_eq!(decode(&bytes, Some(base)), Ok(map));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes, None);
    }
}

#[test]
fn a_short_last_page_counts_as_one() {
    let short = PageMap { len: 513, ..map(&[(0, 0), (1, 5)]) };
    let bytes = short.encode(&Chain::default(), None, &index()).unwrap();
    assert_eq!(decode(&bytes, None), Ok(short));
}

#[test]
fn unchanged_pages_cost_nothing() {
    let pages: Vec<(u32, u32)> = (0..60).map(|page| (page % 2, page)).collect();
    let base = map(&pages);
    let same = base.encode(&Chain::default(), Some(&base), &index()).unwrap();
    assert!(same.len() < 16, "{} bytes", same.len());
}

#[test]
fn references_beyond_a_list_are_refused() {
    let outside = map(&[(0, 100)]).encode(&Chain::default(), None, &index()).unwrap();
    assert_eq!(decode(&outside, None), Err(WireError::Range));
    let gap = PageMap { len: 5 * 512, ..map(&[(0, 0)]) }.encode(&Chain::default(), None, &index()).unwrap();
    assert_eq!(decode(&gap, None), Err(WireError::Range));
}
