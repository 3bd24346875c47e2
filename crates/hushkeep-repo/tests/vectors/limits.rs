//! What is too large to lie among the vectors.

use hushkeep_repo::{CheckOptions, Quiet};

use crate::forge::{PackInfo, Repo, Segment};
use crate::open_forged;
use crate::parts::*;
use crate::sample::*;

/// A map may have as many nodes as it likes, but not more bytes than a reader has room for.
#[test]
fn a_page_map_of_too_many_bytes_together_is_refused() {
    const PADDING: usize = 52 << 20;
    for (maps, is_refused) in [(4, false), (5, true)] {
        let mut repo = Repo::new("long maps");
        let page = vec![4; 512];
        let mut nodes = Vec::new();
        for depth in 0..maps {
            let map = page_map(KEPT, 512, 512, run(0, 0, 0, 1));
            let map = if depth == 0 { map } else { on_base(&map, (KEPT, depth), [depth, 1, 1]) };
            // An ignorable field 9, too long to be collected byte by byte.
            nodes.push([record(&map), vec![18], varint(PADDING as u64), vec![0; PADDING]].concat());
        }
        let lines = lines(&[(b"", folder()), (b"db", paged(0, &page, 512, [0, maps, 1]))]);
        let block = block(&lines);
        let node = record(&file_list(KEPT, &[[0, maps + 1, 1]], block.len()));
        let pack = put_packed(&mut repo, page, &nodes, [block, node]);
        publish_packs(&mut repo, &[pack], snapshot(1, &[source("s", 1, (KEPT, maps + 2))]));
        let (repository, _) = open_forged(&repo);
        let found = repository.check(&CheckOptions { read_data: 0.0 }, &Quiet).unwrap().findings;
        assert_eq!(!found.is_empty(), is_refused, "{found:?}");
    }
}

/// A pack of a page, of maps that are compressed each by itself, and of a block and a node.
fn put_packed(repo: &mut Repo, page: Vec<u8>, maps: &[Vec<u8>], list: [Vec<u8>; 2]) -> PackInfo {
    let names = repo.names(0, &[std::slice::from_ref(&page), maps, &list].concat()).encode();
    let count = maps.len() as u64;
    let mut segments = vec![plain(0, page, vec![[0, 0, 1]])];
    segments.extend((1..).zip(maps).map(|(position, map)| Segment {
        tag: 0x11,
        plaintext: zstd::bulk::compress(map, 1).unwrap(),
        len: map.len(),
        stretches: vec![[0, position, 1]],
    }));
    segments.push(plain(1, list.concat(), vec![[0, 1 + count, 2]]));
    segments.push(plain(2, names.clone(), vec![[0, 0, 3 + count]]));
    repo.put_pack(KEPT, 0, &[ListRow::new(KEPT, 0, &names)], &segments, |table| table.encode())
}
