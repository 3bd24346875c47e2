//! Defects of entries, and of the files behind them (spec §10.4).

use super::{Invalid, Lost, in_pack};
use crate::parts::*;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [tags(), later_versions(), metadata_defects(), files(), hard_links(), contents()].into_iter().flatten().collect()
}

/// An entry of the path `bad`, before all others of the second block.
fn add(lines: &mut Vec<Line>, entry: Vec<u8>) {
    lines.insert(0, line(b"bad", entry));
}

fn first(name: &'static str, comment: &'static str, edit: fn(&mut Vec<Line>)) -> Invalid {
    in_pack(name, Lost::Source, comment, Edit::Lines(edit))
}

fn tags() -> Vec<Invalid> {
    vec![
        first("entry-kind-zero-with-a-flag", "an entry of kind 0 with flag 08 (§10.4)", |lines| {
            add(lines, entry(SPARSE, &[]));
        }),
        first("entry-sparse-folder", "a folder with flag 08 (§10.4)", |lines| add(lines, entry(FOLDER | SPARSE, &[]))),
        first("entry-paged-folder", "a folder with flag 20 (§10.4)", |lines| add(lines, entry(FOLDER | PAGES, &[]))),
        first("entry-merged-link", "a symbolic link with flag 10 (§10.4)", |lines| {
            add(lines, entry(SYMLINK | MERGED, &string(b"one")));
        }),
        first("entry-hashed-hard-link", "a hard link with flag 40 (§10.4)", |lines| {
            add(lines, entry(HARD_LINK | HASHED, &string(b"one")));
        }),
        first("entry-extra-empty", "an entry with flag 80 and an empty record (§10.4)", |lines| {
            add(lines, [vec![FOLDER | EXTRA, 0], metadata()].concat());
        }),
        first("entry-extra-no-record", "what flag 80 announces is no record (§10.4, §1.3)", |lines| {
            add(lines, [vec![FOLDER | EXTRA], string(&[2, 9]), metadata()].concat());
        }),
        first("entry-extra-critical-no-record", "a critical field, and then one of a lower number (§1.3)", |lines| {
            let extra = string(&record(&[critical(2, "of a later version"), ignorable(1, "before it")]));
            add(lines, [vec![FOLDER | EXTRA], extra, metadata()].concat());
        }),
        first(
            "entry-kind-5-cut-short",
            "the byte string of an entry of kind 5 is longer than its block (§10.4)",
            |lines| {
                add(lines, entry(5, &varint(1 << 30)));
            },
        ),
    ]
}

/// Entries that only later versions understand (§14). Nothing is given at their paths.
fn later_versions() -> Vec<Invalid> {
    let newer = |name, lost, comment, edit| in_pack(name, lost, comment, Edit::Lines(edit)).newer();
    vec![
        newer("entry-kind-5", Lost::Nothing, "an entry `bad` of kind 5 (§10.4, §14)", |lines| {
            add(lines, entry(5, &string(b"of a later version")));
        }),
        newer("entry-kind-6", Lost::Nothing, "an entry `bad` of kind 6 (§10.4, §14)", |lines| {
            add(lines, entry(6, &string(b"")));
        }),
        newer("entry-kind-7", Lost::Nothing, "an entry `bad` of kind 7, with all flags (§10.4, §14)", |lines| {
            let extra = string(&record(&[ignorable(1, "of a later version")]));
            let tag = 7 | SPARSE | MERGED | PAGES | HASHED | EXTRA;
            add(lines, [vec![tag], extra, metadata(), string(b"of a later version")].concat());
        }),
        newer(
            "entry-kind-5-in-place-of-a-file",
            Lost::Files(&["hurt/packed"]),
            "a file is of kind 5 (§10.4)",
            |lines| {
                lines[7].entry = entry(5, &string(b"of a later version"));
            },
        ),
        newer("entry-kind-5-in-a-newer-layer", Lost::Files(&["hurt/db"]), "a newer layer has a kind 5", |_| {})
            .and(Edit::Changes(|lines| lines[0].entry = entry(5, &string(b"of a later version")))),
        newer("entry-extra-critical", Lost::Nothing, "`bad` has an unknown critical field (§10.4, §14)", |lines| {
            add(lines, entry(FILE, &[0, 0]));
            make_critical(&mut lines[0]);
        }),
        newer("entry-extra-critical-of-a-file", Lost::Files(&["hurt/two"]), "the same, of a file", |lines| {
            make_critical(&mut lines[8]);
        }),
        newer(
            "entry-extra-critical-of-a-file-of-two-names",
            Lost::Files(&["hurt/one", "hurt/other-name"]),
            "the same, of a file that a hard link is another name of",
            |lines| make_critical(&mut lines[5]),
        ),
        newer(
            "entry-kind-5-with-a-hard-link",
            Lost::Files(&["hurt/one", "hurt/other-name"]),
            "a file that a hard link is another name of is of kind 5: so is the link newer (§10.4)",
            |lines| lines[5].entry = entry(5, &string(b"of a later version")),
        ),
        newer(
            "entry-extra-critical-of-a-folder-with-a-hard-link",
            Lost::Nothing,
            "a hard link `zoo` to a folder `new` that has a critical field: so is the link newer (§10.4)",
            |lines| {
                lines.insert(5, line(b"new", folder()));
                make_critical(&mut lines[5]);
                link_to(lines, b"new");
            },
        ),
        newer(
            "entry-below-one-of-kind-5",
            Lost::AllBut(&["kept/a"]),
            "an entry lies below one of kind 5, which is no folder (§7.2, §10.4)",
            |lines| {
                add(lines, folder());
                lines[0].rest = b"bad/b".to_vec();
                add(lines, entry(5, &string(b"of a later version")));
            },
        ),
    ]
}

/// Gives an entry a critical field of a later version.
fn make_critical(line: &mut Line) {
    line.entry[0] |= EXTRA;
    line.entry.splice(1..1, string(&record(&[critical(1, "of a later version")])));
}

fn metadata_defects() -> Vec<Invalid> {
    vec![
        first("entry-mode", "a mode of 4,096 (§10.4)", |lines| {
            add(lines, [vec![FOLDER], metadata_of(4096, (0, 0), (0, 0))].concat());
        }),
        first("entry-nanoseconds-of-contents", "1,000,000,000 nanoseconds (§10.4)", |lines| {
            add(lines, [vec![FOLDER], metadata_of(0o755, (0, 1_000_000_000), (0, 0))].concat());
        }),
        first("entry-nanoseconds-of-metadata", "1,000,000,000 nanoseconds (§10.4)", |lines| {
            add(lines, [vec![FOLDER], metadata_of(0o755, (0, 0), (0, 1_000_000_000))].concat());
        }),
        first("entry-hard-link-to-no-path", "a hard link to .. (§10.4, §7.2)", |lines| {
            add(lines, entry(HARD_LINK, &string(b"..")));
        }),
    ]
}

fn files() -> Vec<Invalid> {
    vec![
        first("file-more-references-than-bytes", "200 references, which the block has no room for (§10.4)", |lines| {
            lines.truncate(0);
            add(lines, entry(FILE, &[varint(20), varint(200), varints(&[0, 0, 1])].concat()));
        }),
        first("file-reference-of-no-contents", "a file refers to no contents (§10.3)", |lines| {
            add(lines, file(FILE, &[], &[[0, 0, 0]]));
        }),
        first("file-reference-to-an-unknown-anchor", "a file refers to anchor 1 of one (§10.3)", |lines| {
            add(lines, file(FILE, &[7; 20], &[[1, 0, 1]]));
        }),
        first("file-of-two-contents-without-hash", "a file of two contents has no hash (§10.4)", |lines| {
            add(lines, file(FILE, &[7; 55], &[[0, TWO, 2]]));
        }),
        first("file-of-two-references-without-hash", "a file of two references has no hash (§10.4)", |lines| {
            add(lines, file(FILE, &[7; 55], &[[0, TWO, 1], [0, TWO + 1, 1]]));
        }),
        first("file-of-pages-without-hash", "a file that is stored by a page map has no hash (§10.4)", |lines| {
            add(lines, entry(FILE | PAGES, &[varint(688), varint(512), varints(&[0, MAP, 1])].concat()));
        }),
        first("file-page-size-no-power-of-two", "a page size of 1,000 (§10.4)", |lines| {
            add(lines, paged(0, &database(), 1000, [0, MAP, 1]));
        }),
        first("file-page-size-256", "a page size of 256 (§10.4)", |lines| {
            add(lines, paged(0, &database(), 256, [0, MAP, 1]));
        }),
        first("file-page-size-131072", "a page size of 131,072 (§10.4)", |lines| {
            add(lines, paged(0, &database(), 131_072, [0, MAP, 1]));
        }),
        first("file-of-two-maps", "the reference to a page map has a count of 2 (§10.4)", |lines| {
            add(lines, paged(0, &database(), 512, [0, FULL_MAP, 2]));
        }),
    ]
}

/// A hard link to what it cannot be another name of. That costs nothing else.
fn hard_links() -> Vec<Invalid> {
    let last = |name, comment, edit| in_pack(name, Lost::Nothing, comment, Edit::Lines(edit));
    vec![
        last("hard-link-to-a-folder", "a hard link `zoo` to a folder (§10.4)", |lines| link_to(lines, b"dir")),
        last("hard-link-to-a-link", "a hard link `zoo` to a symbolic link (§10.4)", |lines| link_to(lines, b"link")),
        last("hard-link-to-a-hard-link", "a hard link `zoo` to a hard link (§10.4)", |lines| {
            link_to(lines, b"other-name");
        }),
        last("hard-link-to-nothing", "a hard link `zoo` to what the list does not have (§10.4)", |lines| {
            link_to(lines, b"nothing");
        }),
        last(
            "hard-link-to-a-removed-file",
            "a hard link `zoo` to a file that the newer layer removes (§10.4)",
            |lines| {
                link_to(lines, b"gone");
            },
        ),
        last("hard-link-to-itself", "a hard link `zoo` to itself (§10.4)", |lines| link_to(lines, b"zoo")),
        last("hard-link-to-a-later-file", "a hard link `bad` to a file that comes after it (§10.4)", |lines| {
            add(lines, entry(HARD_LINK, &string(b"one")));
        }),
    ]
}

fn link_to(lines: &mut Vec<Line>, path: &[u8]) {
    lines.push(line(b"zoo", entry(HARD_LINK, &string(path))));
}

/// Files whose entry is sound, and whose contents do not fit it (§7.1).
fn contents() -> Vec<Invalid> {
    let lost = |name, lost, comment, edit| in_pack(name, Lost::Files(lost), comment, Edit::Lines(edit));
    let one: &[&str] = &["hurt/one", "hurt/other-name"];
    vec![
        lost("file-longer-than-its-contents", one, "a file has a byte less than its entry says (§7.1)", |lines| {
            lines[5].entry = file(FILE, &[7; 21], &[[0, ONE, 1]]);
        }),
        lost("file-shorter-than-its-contents", one, "a file has a byte more than its entry says (§7.1)", |lines| {
            lines[5].entry = file(FILE, &[7; 19], &[[0, ONE, 1]]);
        }),
        lost("file-of-nothing-with-a-length", one, "a file of 20 bytes has no contents (§7.1)", |lines| {
            lines[5].entry = file(FILE, &[7; 20], &[]);
        }),
        lost("file-hash", &["hurt/two"], "a file has not its hash (§7.1, §10.4)", |lines| {
            lines[8].entry = file(FILE | HASHED, &[7; 55], &[[0, TWO, 2]]);
        }),
        lost(
            "file-contents-in-wrong-order",
            &["hurt/two"],
            "a list has a file's contents in another order (§7.1)",
            |lines| {
                lines[8].entry = file(FILE | HASHED, &text("hurt/two", 55), &[[0, TWO + 1, 1], [0, TWO, 1]]);
            },
        ),
        lost("file-hash-of-a-single-content", one, "a file of one content has a hash that is wrong (§7.1)", |lines| {
            lines[5].entry = file(FILE | HASHED, &[7; 20], &[[0, ONE, 1]]);
        }),
        in_pack(
            "file-hash-of-an-empty-file",
            Lost::Nothing,
            "an empty file `bad` has a hash that is wrong (§7.1)",
            Edit::Lines(|lines| add(lines, entry(FILE | HASHED, &[vec![0], vec![7; 32], vec![0]].concat()))),
        ),
        lost("file-content-nowhere", one, "a content of a file lies in no pack (§10.3)", |lines| {
            lines[5].entry = file(FILE, &[7; 20], &[[0, 99, 1]]);
        }),
        lost("file-of-billions-of-contents", &["hurt/two"], "a run claims 4,294,967,294 contents (§10.3)", |lines| {
            let rest = [varint(u64::MAX), vec![0; 32], varint(1), varints(&[0, 1, (1 << 32) - 2])].concat();
            lines[8].entry = entry(FILE | HASHED, &rest);
        }),
        lost(
            "file-of-many-contents-and-few-bytes",
            &["hurt/two"],
            "a run goes on after a file's length (§7.1)",
            |lines| {
                lines[8].entry = file(FILE | HASHED, &text("hurt/two", 55), &[[0, TWO, 5]]);
            },
        ),
    ]
}
