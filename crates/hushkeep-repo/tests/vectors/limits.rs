//! What is too large to lie among the vectors.

use hushkeep_repo::{BackupOptions, CheckOptions, Quiet, Source};

use crate::common::{Device, MemoryTarget, MemoryTree, NOW, Node, at, path, restore_into};
use crate::expected;
use crate::forge::{PackInfo, Repo, Segment};
use crate::parts::*;
use crate::sample::*;
use crate::{open_forged, unlock};

/// Of what is this long, in bytes, four fit into a reader's room (256 MiB) and five do not.
const LONG: usize = 52 << 20;

/// A map may have as many nodes as it likes, but not more bytes than a reader has room for.
#[test]
fn a_page_map_of_too_many_bytes_together_is_refused() {
    for (maps, is_refused) in [(4, false), (5, true)] {
        let mut repo = Repo::new("long maps");
        let page = vec![4; 512];
        let mut contents = vec![page.clone()];
        for depth in 0..maps {
            let map = page_map(KEPT, 512, 512, run(0, 0, 0, 1));
            let map = if depth == 0 { map } else { on_base(&map, (KEPT, depth), [depth, 1, 1]) };
            contents.push(lengthened(&map));
        }
        let block = block(&lines(&[(b"", folder()), (b"db", paged(0, &page, 512, [0, maps, 1]))]));
        let node = record(&file_list(KEPT, &[[0, maps + 1, 1]], block.len()));
        contents.extend([block, node]);
        let pack = put_packed(&mut repo, &contents);
        publish_packs(&mut repo, &[pack], snapshot(1, &[source("s", 1, (KEPT, maps + 2))]));
        assert_refused(&repo, is_refused);
    }
}

/// One layer of a file list.
#[derive(Clone, Copy)]
struct Layer {
    is_long: bool,
    /// How many of its blocks are long.
    long_blocks: u64,
}

/// A layer of a long node, and one of a long block.
const LONG_NODE: Layer = Layer { is_long: true, long_blocks: 0 };
const LONG_BLOCK: Layer = Layer { is_long: false, long_blocks: 1 };

#[test]
fn a_file_list_of_which_too_much_is_held_at_once_is_refused() {
    // Of each layer one block is held.
    let many_blocks = Layer { is_long: false, long_blocks: 5 };
    for (layers, is_refused) in [
        (vec![LONG_NODE; 4], false),
        (vec![LONG_NODE; 5], true),
        (vec![many_blocks, LONG_BLOCK], false),
        (vec![LONG_NODE, LONG_NODE, LONG_NODE, LONG_BLOCK, LONG_BLOCK], true),
    ] {
        assert_refused(&long_list(&layers), is_refused);
    }
}

/// A backup builds on no list that would be refused with the longest node and block on top.
#[test]
fn a_list_is_written_whole_where_a_delta_might_be_refused() {
    for (layers, is_whole) in [
        (vec![LONG_NODE; 2], false),
        (vec![LONG_NODE; 3], true),
        (vec![LONG_NODE, LONG_BLOCK], false),
        (vec![LONG_NODE, LONG_BLOCK, LONG_BLOCK], true),
    ] {
        let repo = long_list(&layers);
        let (mut repository, storage) = open_forged(&repo);
        let tree = MemoryTree::new(&[("new", Node::File(b"new".to_vec()))]);
        let source = Source { label: path("s"), path: b"/home/owner/s".to_vec(), tree: &tree };
        let report = repository.backup(&[source], &BackupOptions::new(at(NOW), "phone".into()), &Quiet).unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);

        storage.delete(&expected::object("packs", &KEPT).parse().unwrap()).unwrap();
        let repository = unlock(&storage, &repo.key(0), &Device::new(2)).unwrap();
        let newest = repository.snapshots().last().unwrap();
        let restored = restore_into(&repository, newest, &MemoryTarget::default(), false);
        assert_eq!(restored.is_ok(), is_whole, "{restored:?}");
    }
}

fn assert_refused(repo: &Repo, is_refused: bool) {
    let (repository, _) = open_forged(repo);
    let found = repository.check(&CheckOptions { read_data: 0.0 }, &Quiet).unwrap().findings;
    assert_eq!(!found.is_empty(), is_refused, "{found:?}");
}

/// A list of these layers, the oldest first. Their nodes say that a delta upon them is always worth it.
fn long_list(layers: &[Layer]) -> Repo {
    let mut repo = Repo::new("long lists");
    let mut contents: Vec<Vec<u8>> = Vec::new();
    for (depth, layer) in (0..).zip(layers) {
        let base = contents.len() as u64;
        contents.push(block(&lines(&[(b"", folder())])));
        contents.extend((0..layer.long_blocks).map(|number| long_block(&format!("{number}-{depth}"))));
        let blocks: Vec<[u64; 3]> = (base..contents.len() as u64).map(|position| [0, position, 1]).collect();
        let node = file_list(KEPT, &blocks, 0);
        let node = if depth == 0 { node } else { on_base(&node, (KEPT, base - 1), [depth, 1 << 40, 0]) };
        contents.push(if layer.is_long { lengthened(&node) } else { record(&node) });
    }
    let pack = put_packed(&mut repo, &contents);
    publish_packs(&mut repo, &[pack], snapshot(1, &[source("s", 1, (KEPT, contents.len() as u64 - 1))]));
    repo
}

/// A block of one line, not collected byte by byte.
fn long_block(path: &str) -> Vec<u8> {
    [varint(0), string(path.as_bytes()), entry(SYMLINK, &string(&vec![b'x'; LONG]))].concat()
}

/// A node with an ignorable field 9 more, which is too long to be collected byte by byte.
fn lengthened(node: &[Field]) -> Vec<u8> {
    [record(node), vec![18], varint(LONG as u64), vec![0; LONG]].concat()
}

/// A pack of contents that are compressed each by itself.
fn put_packed(repo: &mut Repo, contents: &[Vec<u8>]) -> PackInfo {
    let names = repo.names(0, contents).encode();
    let packed = (0..).zip(contents).map(|(position, content)| Segment {
        tag: 0x11,
        plaintext: zstd::bulk::compress(content, 1).unwrap(),
        len: content.len(),
        stretches: vec![[0, position, 1]],
    });
    let mut segments: Vec<Segment> = packed.collect();
    segments.push(plain(2, names.clone(), vec![[0, 0, contents.len() as u64]]));
    repo.put_pack(KEPT, 0, &[ListRow::new(KEPT, 0, &names)], &segments, |table| table.encode())
}
