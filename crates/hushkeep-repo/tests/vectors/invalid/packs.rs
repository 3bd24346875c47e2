//! Defects of packs, their tables and name lists (spec §8.2 to §8.4).

use hushkeep_core::keys::ObjectKind;

use super::{Invalid, Lost, in_pack};
use crate::expected;
use crate::forge::Repo;
use crate::parts::*;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [later_versions(), tables(), own_lists(), rows(), copies(), strays(), names(), contents(), frames()]
        .into_iter()
        .flatten()
        .collect()
}

/// Classes and codings that no version knows yet (§8.3, §14).
fn later_versions() -> Vec<Invalid> {
    let newer = |name, lost, comment, edit| in_pack(name, lost, comment, Edit::Table(edit)).newer();
    vec![
        newer("table-coding-unknown", OF_DATA, "a segment of coding 2, which costs what is in it", |table| {
            table.segments[DATA].tag = 0x20;
        }),
        newer(
            "table-class-and-coding-unknown",
            Lost::Files(&["hurt/packed"]),
            "a segment of class 15 and coding 15",
            |table| table.segments[ZSTD].tag = 0xff,
        ),
        newer("table-coding-of-nodes-unknown", Lost::Source, "nodes in a segment of coding 2", |table| {
            table.segments[NODES].tag = 0x21;
        }),
        newer("table-coding-of-names-unknown", Lost::Source, "a name list in a segment of coding 2", |table| {
            table.segments[NAMES].tag = 0x22;
        }),
    ]
}

/// The files that have contents in the segment of data.
const OF_DATA: Lost = Lost::Files(&["hurt/db", "hurt/dir/deep", "hurt/one", "hurt/other-name", "hurt/two"]);

/// What no table may say, whatever else there is (§8.3).
fn tables() -> Vec<Invalid> {
    let table = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Table(edit));
    let bytes = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::TableBytes(edit));
    vec![
        bytes("table-with-bytes-after-it", "a byte follows the last segment (§8.3)", |bytes| bytes.push(0)),
        bytes("table-cut-short", "the table ends inside its last stretch (§8.3, §1.1)", |bytes| {
            bytes.truncate(bytes.len() - 1);
        }),
        bytes("table-more-lists-than-bytes", "127 lists, which the table has no room for (§8.3)", |bytes| {
            bytes[0] = 127;
        }),
        bytes("table-more-segments-than-bytes", "127 segments, which the table has no room for (§8.3)", |bytes| {
            bytes[34] = 127;
        }),
        bytes("table-more-stretches-than-bytes", "127 stretches, which the table has no room for (§8.3)", |bytes| {
            let at = bytes.len() - 4;
            bytes[at] = 127;
        }),
        table("table-segment-without-stretch", "a segment without a stretch (§8.3)", |table| {
            table.segments[ZSTD].stretches.clear();
        }),
        table("table-stretch-without-contents", "a stretch of no contents (§8.3)", |table| {
            table.segments[DATA].stretches.push([0, 20, 0]);
        }),
        table("table-list-unknown", "a stretch of list 1, where there is only list 0 (§8.3)", |table| {
            table.segments[ZSTD].stretches[0][0] = 1;
        }),
        table("table-sealed-length-below-16", "a segment shorter than its tag (§8.3)", |table| {
            table.segments[ZSTD].sealed_len = 15;
        }),
        table("table-plain-length", "a segment as it is, whose length is not that of its contents (§8.3)", |table| {
            table.segments[DATA].len -= 1;
        }),
        table("table-contents-above-64-mib", "contents of 67,108,865 bytes in a segment (§8.3)", |table| {
            table.segments[ZSTD].len = (64 << 20) + 1;
        }),
        table("table-stretch-beyond-32-bits", "a stretch of one content from 2^32 - 1 on (§8.3)", |table| {
            table.segments[ZSTD].stretches[0] = [0, (1 << 32) - 1, 1];
        }),
        table("table-length-of-33-bits", "a sealed length of 2^32 (§8.3)", |table| {
            table.segments[ZSTD].sealed_len = 1 << 32;
        }),
        table("table-epoch-of-33-bits", "a list of epoch 2^32 (§8.3)", |table| table.lists[0].epoch = 1 << 32),
    ]
}

/// How a pack must speak of the list that it introduces (§8.3).
fn own_lists() -> Vec<Invalid> {
    let table = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Table(edit));
    vec![
        table("pack-without-a-list", "a pack without lists and segments (§8.3)", |table| {
            table.lists.clear();
            table.segments.clear();
        }),
        table("pack-with-a-list-twice", "a pack has one list twice (§8.3)", |table| {
            table.lists.push(table.lists[0].clone());
            table.segments[ZSTD].stretches[0][0] = 1;
            let mut names = table.segments[NAMES].clone();
            names.stretches[0][0] = 1;
            table.segments.push(names);
        }),
        table("pack-without-name-list", "the last segment is no name list (§8.3)", |table| {
            table.segments.pop();
        }),
        table("pack-name-list-before-contents", "contents come after the name list (§8.3)", |table| {
            table.segments.swap(NODES, NAMES);
        }),
        table("pack-own-list-of-other-epoch", "a pack's own list is of another epoch than it (§8.3)", |table| {
            table.lists[0].epoch = 1;
        }),
        table("pack-own-list-not-whole", "a pack lacks a content of its own list (§8.3)", |table| {
            table.segments[NODES].stretches[0][2] -= 1;
        }),
        table("pack-more-contents-than-bytes", "a segment of one content and no bytes (§8.3)", |table| {
            table.segments[ZSTD].len = 0;
        }),
        table(
            "pack-more-names-than-bytes",
            "a name list of more names than a sixteenth of its bytes (§8.3)",
            |table| {
                let count = table.segments[NAMES].len / 16 + 1;
                table.segments[NAMES].stretches[0][2] = count;
                table.segments[NODES].stretches[0][2] = count - FULL_MAP;
            },
        ),
        table("table-segment-sealed-above-65-mib", "a segment of 65 MiB and a byte, sealed (§8.3)", |table| {
            table.segments[ZSTD].sealed_len = (65 << 20) + 1;
        }),
        table("pack-shorter-than-its-segments", "a segment is longer than the whole pack (§8.3)", |table| {
            table.segments[ZSTD].sealed_len = 100_000;
        }),
    ]
}

/// What a commit says of a pack, and how long it says that it is (§8.3, §11.2).
fn rows() -> Vec<Invalid> {
    vec![
        in_pack(
            "pack-of-2-to-the-38-bytes",
            Lost::Source,
            "index object and commit tell of a pack of 2^38 bytes (§8.3)",
            Edit::Pack(|pack| pack.len = 1 << 38),
        ),
        in_pack(
            "pack-row-with-another-digest",
            Lost::Source,
            "the commit has another digest of the pack than it has (§8.3, §9.1)",
            Edit::Rows(|rows| rows.0[PACKS][0].1[4] ^= 1),
        ),
        in_pack(
            "pack-row-with-another-length",
            Lost::Source,
            "the commit has another length of the pack than its digest is of (§9.1, §11.2)",
            Edit::Rows(|rows| rows.0[PACKS][0].1[2] ^= 1),
        ),
        in_pack(
            "pack-row-with-another-length-and-no-index",
            Lost::Source,
            "the same, where no index object tells of the pack (§9.1)",
            Edit::Rows(|rows| {
                rows.0[PACKS][0].1[2] ^= 1;
                rows.0[INDEXES].clear();
            }),
        ),
        in_pack(
            "pack-row-with-a-length-of-2-to-the-63-and-no-index",
            Lost::Source,
            "a commit tells of a pack of 2^63 bytes, and no index object of the pack (§8.3, §9.1)",
            Edit::Rows(|rows| {
                let row = &mut rows.0[PACKS][0].1;
                let mut cursor = Cursor(&row[1..]);
                cursor.varint();
                *row = [vec![row[0]], varint(1 << 63), cursor.0.to_vec()].concat();
                rows.0[INDEXES].clear();
            }),
        ),
        in_pack(
            "pack-row-with-another-list-digest",
            Lost::Source,
            "the commit has another digest of the pack's own list than the pack (§8.3, §11.2)",
            Edit::Pack(|pack| pack.list_digest[0] ^= 1),
        ),
    ]
}

/// How a pack may speak of the lists of others (§8.3). All is still there in the packs that introduced them.
fn copies() -> Vec<Invalid> {
    let table = |name, comment, edit| {
        let object = expected::object("packs", &COPIES);
        in_pack(name, Lost::Nothing, comment, Edit::Copies(edit)).named(&object)
    };
    vec![
        table("copies-name-lists-exchanged", "the name lists are not in the order of the lists (§8.3)", |table| {
            table.segments.swap(1, 2);
        }),
        table("copies-stretch-beyond-list", "a stretch ends beyond the names of its list (§8.3)", |table| {
            table.segments[0].stretches[2] = [1, NODE + 1, 1];
        }),
        table("copies-stretches-overlap", "two stretches have a content in common (§8.3)", |table| {
            table.segments[0].stretches[2] = [1, TWO, 1];
        }),
        table("copies-list-without-contents", "a pack names a list of which it has no contents (§8.3)", |table| {
            table.segments[0].stretches.remove(0);
        }),
        table("copies-redefine-a-list", "a pack has another digest of a list than its own pack (§8.3)", |table| {
            table.lists[1].digest[0] ^= 1;
        }),
        table(
            "copies-redefine-a-list-of-a-row-without-number",
            "the same, where the row of the list's own pack is marked and lacks the number of the commit (§8.3, §11.2)",
            |table| table.lists[0].digest[0] ^= 1,
        )
        // The status of the only row: behind the key and the row's length.
        .and(Edit::FirstCommit(|commit| value(commit, 11)[17] = 1)),
        table("copies-names-among-contents", "a segment of class 2 is among the contents (§8.3)", |table| {
            table.segments[0].tag = 2;
        }),
        table("copies-names-in-two-stretches", "a name list is told of in two stretches (§8.3)", |table| {
            table.segments[2].stretches = vec![[1, 0, 8], [1, 8, NODE - 7]];
        }),
        table("copies-names-from-position-one", "a name list is told of from position 1 on (§8.3)", |table| {
            table.segments[2].stretches = vec![[1, 1, NODE]];
        }),
        table("copies-fewer-names-told", "a row tells of fewer names than its list has (§8.4)", |table| {
            table.segments[2].stretches[0][2] -= 1;
        }),
        table("copies-list-of-another-epoch", "a pack has another epoch of a list than its own pack (§8.3)", |table| {
            table.lists[1].epoch = 1;
        }),
        table("copies-names-whole-in-one-pack", "the names in the list's own pack are changed (§9.1)", |_| {})
            .and(Edit::After(|repo| {
                let pack = expected::object("packs", &HURT);
                let (_, _, [padding_at, _]) = repo.end_of(&pack, ObjectKind::Pack);
                repo.objects.get_mut(&pack).unwrap()[padding_at - 1] ^= 1;
            }))
            .named(&expected::object("packs", &HURT)),
        in_copied(
            "copies-segment-whole-in-one-pack",
            "a segment is damaged whose contents another pack has, too (§9.1)",
        ),
        in_copied("copies-segment-whole-in-a-marked-pack", "the same, and the other pack is marked (§9.1)").and(
            Edit::Rows(|rows| {
                let row = &mut rows.0[PACKS].iter_mut().find(|(id, _)| *id == COPIES).unwrap().1;
                row[0] = 1;
                row.push(2);
            }),
        ),
        in_pack(
            "copies-content-whole-in-one-pack",
            Lost::Nothing,
            "a content has not its name, and another pack has it, too (§9.1)",
            Edit::Copies(|_| {}),
        )
        .and(Edit::Data(|bytes| bytes[0] ^= 1)),
    ]
}

/// Of the first segment, only pages of the database lie in no other pack.
fn in_copied(name: &'static str, comment: &'static str) -> Invalid {
    in_pack(name, Lost::Files(&["hurt/db"]), comment, Edit::Copies(|_| {})).and(Edit::After(|repo| {
        repo.objects.get_mut(&expected::object("packs", &HURT)).unwrap()[100] ^= 1;
    }))
}

/// Packs that no commit names count while commits are damaged (§11.4), if they are sound.
fn strays() -> Vec<Invalid> {
    let name = "stray-pack-redefines-a-list";
    let comment =
        "beside a damaged commit, a pack that no commit names has other contents of the list of a dropped one (§8.3)";
    let stray = in_pack(name, Lost::Source, comment, Edit::Rows(drop_pack)).named(&format!("commits/{FIRST_FILE}"));
    let comment = "beside a damaged commit, a pack of epoch 0 that a full commit of epoch 1 has no row of (§11.4)";
    let older = in_pack("stray-pack-of-an-older-epoch", Lost::Source, comment, Edit::After(forget_pack));
    let stray = stray.and(Edit::After(|repo| {
        let exchanged = [Edit::Data(|data| exchange_contents(data)), Edit::Names(|names| names.names.swap(1, 6))];
        let twin = build("stray-pack-redefines-a-list", &exchanged);
        let pack = expected::object("packs", &HURT);
        repo.objects.remove(&pack);
        repo.objects.insert(expected::object("packs", &COPIES), twin.objects[&pack].clone());
        repo.objects.get_mut(&format!("commits/{FIRST_FILE}")).unwrap()[100] ^= 1;
    }));
    vec![stray, older.named("commits/0000000004")]
}

/// A snapshot needs a pack of epoch 0 that the commit which began epoch 1 has no row of.
fn forget_pack(repo: &mut Repo) {
    rotate_by(repo, |commit| {
        commit.tables.0[PACKS].retain(|(id, _)| *id != HURT);
        commit.tables.0[INDEXES].retain(|(id, _)| *id != HURT_INDEX);
    });
    repo.objects.insert("commits/0000000004".to_owned(), vec![0; 200]);
}

fn drop_pack(rows: &mut Tables) {
    let row = &mut rows.0[PACKS][0].1;
    row[0] = 255;
    row.extend(varint(2));
}

/// The first half of `hurt/two` and `hurt/dir/deep`, which are of one length.
fn exchange_contents(data: &mut [u8]) {
    let deep = data.len() - 30;
    let (front, back) = data.split_at_mut(deep);
    front[20..50].swap_with_slice(back);
}

/// Name lists, with the digest that they have (§8.4).
fn names() -> Vec<Invalid> {
    let names = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Names(edit));
    let bytes = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::NameBytes(edit));
    vec![
        bytes("names-more-than-bytes", "a list of 127 names, which it has no room for (§8.4)", |bytes| bytes[0] = 127),
        bytes("names-with-bytes-after-them", "a byte follows the last name (§8.4)", |bytes| bytes.push(0)),
        names("names-length-zero", "a content of no bytes (§8.4)", |names| names.runs[0][0] = 0),
        names("names-length-above-64-mib", "a content of 67,108,865 bytes (§8.4)", |names| {
            names.runs[0][0] = (64 << 20) + 1;
        }),
        names("names-repeat-zero", "a run of no contents (§8.4)", |names| names.runs.insert(0, [7, 0])),
        names("names-repeat-beyond-the-count", "a run goes on after the last name (§8.4)", |names| {
            names.runs.last_mut().unwrap()[1] += 1;
        }),
        names("names-two-runs-of-one-length", "two runs in a row have one length (§8.4)", |names| {
            names.runs.splice(4..5, [[176, 1], [176, 1]]);
        }),
        names("names-fewer-than-told", "a list has 14 names, its row says 15 (§8.4)", |names| {
            names.count -= 1;
            names.names.pop();
            names.runs.pop();
        }),
        in_pack(
            "names-digest",
            Lost::Source,
            "a name list has not the digest in the table, nor in the commit (§8.4)",
            Edit::Table(|table| table.lists[0].digest[0] ^= 1),
        )
        .and(Edit::Pack(|pack| pack.list_digest[0] ^= 1)),
    ]
}

/// Contents that are not what their names say, by a writer who has the key (§7.1, §8.2).
fn contents() -> Vec<Invalid> {
    let lost_one = Lost::Files(&["hurt/one", "hurt/other-name"]);
    vec![
        in_pack("content-changed", lost_one, "a content has not its name (§7.1)", Edit::Data(|data| data[0] ^= 1)),
        in_pack(
            "content-under-a-wrong-name",
            lost_one,
            "a name in the list is not that of its content (§7.1)",
            Edit::Names(|names| names.names[0][0] ^= 1),
        ),
        in_pack(
            "contents-exchanged",
            Lost::Files(&["hurt/db"]),
            "two contents of one length are in each other's place (§7.1)",
            Edit::Names(|names| names.names.swap(4, 5)),
        ),
        in_pack(
            "contents-longer-than-their-segment",
            OF_DATA,
            "the lengths of a segment's contents do not add up to its own (§8.2)",
            Edit::Names(|names| names.runs[0][0] += 1),
        ),
    ]
}

/// Segments that are one Zstandard frame (§8.1, §8.2).
fn frames() -> Vec<Invalid> {
    let frame = |name, comment, edit| in_pack(name, Lost::Files(&["hurt/packed"]), comment, Edit::Frame(edit));
    vec![
        frame("frame-longer-than-announced", "a frame gives a byte more than the table says (§7.1)", |frame| {
            *frame = compressed(301);
        }),
        frame("frame-shorter-than-announced", "a frame gives a byte less than the table says (§7.1)", |frame| {
            *frame = compressed(299);
        }),
        frame("frame-endless", "a frame of a few bytes gives 16 MiB (§7.1)", |frame| {
            *frame = zstd::bulk::compress(&vec![0; 16 << 20], 3).unwrap();
        }),
        frame("frame-of-two", "a segment of two frames (§8.1)", |frame| {
            let contents = text("hurt/packed", 300);
            let halves = contents.chunks(150).map(|half| zstd::bulk::compress(half, 3).unwrap());
            *frame = halves.collect::<Vec<_>>().concat();
        }),
        frame("frame-with-bytes-after-it", "a byte follows the frame (§8.1)", |frame| frame.push(0)),
        frame("frame-that-is-none", "a segment that is told to be a frame is none (§8.1)", |frame| {
            *frame = text("hurt/packed", 300);
        }),
        frame("frame-with-a-dictionary", "a frame that names a dictionary (§8.1)", |frame| {
            // One raw block behind a header of a single segment, with a dictionary id and a content size.
            let header = [0x28, 0xb5, 0x2f, 0xfd, 0x61, 9, 44, 0];
            let block = u32::try_from(300 << 3 | 1).unwrap().to_le_bytes();
            *frame = [&header[..], &block[..3], &text("hurt/packed", 300)].concat();
        }),
    ]
}

/// The file `hurt/packed` as if it were so long.
fn compressed(len: usize) -> Vec<u8> {
    zstd::bulk::compress(&text("hurt/packed", len), 3).unwrap()
}
