use proptest::prelude::*;

use super::*;
use crate::properties::damaged;

/// An index that knows two lists.
fn index() -> Index {
    let mut index = Index::default();
    for id in [1, 2] {
        index.announce(ObjectId::from_bytes([id; 16]));
    }
    index
}

fn map(pages: &[(u32, u32)]) -> PageMap {
    let len = pages.len() as u64 * 512;
    let pages = pages.iter().map(|(list, position)| ContentRef { list: ListNo(*list), position: *position });
    PageMap::new(512, len, pages)
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
    fn damaged_maps_are_refused_or_round_trip(
        (full, delta) in (arbitrary_map(), arbitrary_map()).prop_flat_map(|(base, map)| {
            let full = base.encode(&Chain::default(), None, &index()).unwrap();
            (damaged(full), damaged(map.encode(&Chain::default(), Some(&base), &index()).unwrap()))
        }),
    ) {
        assert_round_trips(&full, &delta);
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
fn pages_that_follow_one_another_are_one_run() {
    let pages: Vec<(u32, u32)> = (0..60).map(|page| (page / 30, page)).collect();
    let map = map(&pages);
    assert_eq!((map.runs().count(), map.count()), (2, 60));
    assert_eq!(map.pages().map(|page| (page.list.0, page.position)).collect::<Vec<_>>(), pages);
}

#[test]
fn impossible_maps_are_refused() {
    let whole = map(&[(0, 0), (1, 5)]);
    let gap = PageMap { len: 5 * 512, ..whole.clone() }.encode(&Chain::default(), None, &index()).unwrap();
    assert_eq!(decode(&gap, None), Err(WireError::Range));
    let beyond = map(&[(0, u32::MAX)]).encode(&Chain::default(), None, &index()).unwrap();
    assert_eq!(decode(&beyond, None), Err(WireError::Range));
    let bytes = whole.encode(&Chain::default(), None, &index()).unwrap();
    assert!(PageMapNode::decode(&bytes, &Index::default()).is_err(), "its lists are unknown");
    let other_size = PageMap { page_size: 1024, ..whole };
    assert_eq!(decode(&bytes, Some(other_size)), Err(WireError::Range));
}
