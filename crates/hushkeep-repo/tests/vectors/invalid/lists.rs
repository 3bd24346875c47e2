//! Defects of file lists: chains, blocks, paths and references (spec §7.2, §10.1 to §10.3).

use super::{Invalid, Lost, in_pack};
use crate::expected;
use crate::parts::*;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [chains(), roots(), paths(), lengths(), order(), places(), references()].into_iter().flatten().collect()
}

fn node_name(list: [u8; 16], position: u64) -> Vec<u8> {
    [list.to_vec(), varint(position)].concat()
}

fn chains() -> Vec<Invalid> {
    let node = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Node(edit));
    vec![
        node("node-depth-zero", "a node has a base and the depth 0 (§10.1)", |node| *value(node, 2) = varint(0)),
        node("node-depth-129", "a node has the depth 129 (§10.1)", |node| *value(node, 2) = varint(129)),
        node("node-without-depth", "a node has a base and no depth (§10.1)", |node| {
            node.retain(|field| field.number != 2);
        }),
        node("node-without-full-length", "a node has a base and no full length (§10.1)", |node| {
            node.retain(|field| field.number != 3);
        }),
        node("node-without-deltas-length", "a node has a base and no deltas' length (§10.1)", |node| {
            node.retain(|field| field.number != 4);
        }),
        node("node-on-a-base-of-wrong-depth", "a node of depth 2 on a full one (§10.1)", |node| {
            *value(node, 2) = varint(2);
        }),
        node("node-on-itself", "a node is its own base (§10.1)", |node| *value(node, 1) = node_name(HURT, NODE)),
        node("node-on-another-kind", "the base of a file list is a page map (§10.1)", |node| {
            *value(node, 1) = node_name(HURT, FULL_MAP);
        }),
        node("node-on-a-chunk", "the base of a file list is a chunk of a file (§10.1)", |node| {
            *value(node, 1) = node_name(HURT, ONE);
        }),
        node("node-on-nothing", "the base of a file list lies in no pack (§7.1, §10.3)", |node| {
            *value(node, 1) = node_name(HURT, 99);
        }),
        node("node-on-an-unknown-list", "the base of a file list is of a list that nobody knows (§10.3)", |node| {
            *value(node, 1) = node_name(NOTHING, 0);
        })
        .named(&expected::object("packs", &NOTHING)),
        node("node-name-with-bytes-after-it", "a byte follows the name of a base (§10.1)", |node| {
            value(node, 1).push(0);
        }),
    ]
}

/// What a snapshot names as the list of a source.
fn roots() -> Vec<Invalid> {
    let source = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Source(edit));
    vec![
        source("source-list-nowhere", "the list of a source lies in no pack (§10.3)", |source| {
            *value(source, 5) = node_name(HURT, 99);
        }),
        source(
            "source-list-of-an-unknown-list",
            "the list of a source is of a list that nobody knows (§10.3)",
            |source| {
                *value(source, 5) = node_name(NOTHING, 0);
            },
        )
        .named(&expected::object("packs", &NOTHING)),
        source("source-list-is-a-map", "the list of a source is a page map (§10)", |source| {
            *value(source, 5) = node_name(HURT, FULL_MAP);
        }),
    ]
}

/// Paths that §7.2 refuses, each as the first in its block.
fn paths() -> Vec<Invalid> {
    let first = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Lines(edit));
    vec![
        first("path-begins-with-a-slash", "a path begins with / (§7.2)", |lines| add(lines, b"/bad")),
        first("path-ends-with-a-slash", "a path ends with / (§7.2)", |lines| add(lines, b"bad/")),
        first("path-with-an-empty-component", "a component of a path is empty (§7.2)", |lines| add(lines, b"b//ad")),
        first("path-of-a-dot", "a component of a path is . (§7.2)", |lines| add(lines, b".")),
        first("path-of-two-dots", "a component of a path is .. (§7.2)", |lines| add(lines, b"..")),
        first("path-with-two-dots-inside", "a path leads out of a folder and in again (§7.2)", |lines| {
            add(lines, b"bad/../ad");
        }),
        first("path-with-a-zero-byte", "a path has a zero byte (§7.2)", |lines| add(lines, b"b\0ad")),
        first("path-too-long", "a path of 65,537 bytes (§7.2)", |lines| add(lines, &[b'b'; 65_537])),
        first("path-shares-too-much", "a path shares a byte with one that has none (§10.2)", |lines| {
            lines[0].shared = 1;
        }),
    ]
}

/// Adds a folder before all other lines of the second block.
fn add(lines: &mut Vec<Line>, path: &[u8]) {
    lines.insert(0, line(path, folder()));
}

fn lengths() -> Vec<Invalid> {
    let long = in_pack(
        "block-paths-above-64-mib",
        Lost::Source,
        "a block of few bytes, whose paths have 67,210,000 bytes together (§10.2)",
        Edit::Lines(|lines| {
            let shared = 64_995;
            for number in (1..1034).rev() {
                lines.insert(0, Line { shared, rest: format!("{number:05}").into_bytes(), entry: folder() });
            }
            add(lines, format!("{}00000", "b".repeat(64_995)).as_bytes());
        }),
    );
    vec![long]
}

/// Lines before the first file, so that nothing but folders comes before the defect.
fn order() -> Vec<Invalid> {
    let first = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Lines(edit));
    vec![
        first("path-twice", "a path comes twice in a block (§10.2)", |lines| {
            add(lines, b"a");
            add(lines, b"a");
        }),
        first(
            "path-twice-in-two-blocks",
            "a block begins with the path that the one before ends with (§10.2)",
            |lines| {
                add(lines, b"");
            },
        ),
        first("paths-in-wrong-order", "a path comes after a greater one (§10.2)", |lines| {
            add(lines, b"a");
            add(lines, b"b");
        }),
        first("paths-in-order-of-bytes", "a-b comes before a/b: ordered by bytes, not by components (§7.2)", |lines| {
            add(lines, b"a/b");
            add(lines, b"a-b");
            add(lines, b"a");
        }),
    ]
}

/// Entries that do not lie directly in a folder that came before them (§7.2).
fn places() -> Vec<Invalid> {
    let first = |name, lost, comment, edit| in_pack(name, lost, comment, Edit::Lines(edit));
    vec![
        first("entry-outside-of-any-folder", Lost::Source, "an entry lies in a folder that has none (§7.2)", |lines| {
            add(lines, b"a/b");
        }),
        first(
            "entry-below-a-link",
            Lost::AllBut(&["hurt/a", "kept/a"]),
            "an entry lies below a symbolic link, which is still given (§7.2)",
            |lines| {
                add(lines, b"a/b");
                lines.insert(0, line(b"a", entry(SYMLINK, &string(b"/tmp"))));
            },
        ),
        first(
            "entry-below-a-file",
            Lost::AllBut(&["hurt/a", "kept/a"]),
            "an entry lies below an empty file, which is still given (§7.2)",
            |lines| {
                add(lines, b"a/b");
                lines.insert(0, line(b"a", file(FILE, &[], &[])));
            },
        ),
        in_pack(
            "entry-below-a-removed-folder",
            Lost::AllBut(&["hurt/db", "kept/a"]),
            "the newer layer removes a folder, and not the file in it (§7.2, §10.2)",
            Edit::Changes(|lines| lines.insert(1, line(b"dir", vec![REMOVED]))),
        ),
        in_pack(
            "list-without-its-root",
            Lost::Source,
            "the first entry of a list is not the root (§7.2)",
            Edit::FullNode(|node| *value(node, 7) = varints(&[0, ROOT_BLOCK + 1, 1])),
        ),
    ]
}

/// Lists, anchors and references of a node (§10.3).
fn references() -> Vec<Invalid> {
    let node = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::FullNode(edit));
    vec![
        node("reference-of-no-contents", "a reference with a count of 0 (§10.3)", |node| {
            *value(node, 7) = varints(&[0, ROOT_BLOCK, 0]);
        }),
        node("block-of-several-contents", "a reference to a block has a count of 5 (§10.2)", |node| {
            *value(node, 7) = varints(&[0, ROOT_BLOCK, 5, 0, ROOT_BLOCK + 1, 1]);
        }),
        node("reference-to-an-unknown-anchor", "a reference to anchor 1, where there is only 0 (§10.3)", |node| {
            *value(node, 7) = varints(&[1, ROOT_BLOCK, 1]);
        }),
        node(
            "reference-to-an-unknown-anchor-behind-a-good-one",
            "the second of two references is to anchor 1, where there is only 0: the node is refused (§10.2)",
            |node| {
                value(node, 7).extend(varints(&[1, ROOT_BLOCK, 1]));
            },
        ),
        node("reference-beyond-32-bits", "a reference to one content at 2^32 - 1 (§10.3)", |node| {
            *value(node, 7) = varints(&[0, (1 << 32) - 1, 1]);
        }),
        node("reference-cut-short", "a reference ends before its count (§10.2)", |node| {
            value(node, 7).pop();
        }),
        node("block-nowhere", "a block lies in no pack (§10.3)", |node| {
            *value(node, 7) = varints(&[0, ROOT_BLOCK, 1, 0, 99, 1]);
        }),
        node("anchor-in-an-unknown-list", "an anchor in list 1, where there is only 0 (§10.3)", |node| {
            *value(node, 6) = varints(&[1, 0]);
        }),
        node(
            "node-with-an-unknown-list",
            "a node names a list that nobody knows, and does not use it (§10.3)",
            |node| value(node, 5).extend(NOTHING),
        ),
        node("node-with-an-anchor-in-an-unknown-list", "an anchor is in a list that nobody knows (§10.3)", |node| {
            value(node, 5).extend(NOTHING);
            value(node, 6).extend(varints(&[1, 0]));
        }),
        node("node-with-a-list-id-cut-short", "the ids of a node's lists are 17 bytes (§10.2)", |node| {
            value(node, 5).push(0);
        }),
    ]
}
