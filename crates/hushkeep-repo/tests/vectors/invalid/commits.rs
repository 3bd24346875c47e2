//! Defects of commits, their tables and their snapshots (spec §11, §3.6).

use hushkeep_core::keys::ObjectKind;

use super::{Invalid, Lost, in_commit, in_pack, second_commit};
use crate::forge::Commit;
use crate::parts::*;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [names(), fields(), tables(), bases(), replaced_bases(), snapshots(), epochs(), newer()]
        .into_iter()
        .flatten()
        .collect()
}

fn first_name() -> String {
    format!("commits/{FIRST_FILE}")
}

/// What a commit calls itself and its parents.
fn names() -> Vec<Invalid> {
    let commit = |name, comment, edit| in_commit(name, comment, Edit::Commit(edit));
    vec![
        commit(
            "commit-parent-of-upper-case",
            "a parent's file name has an upper-case letter (§11.1, §2.2)",
            |commit| {
                value(commit, 2).extend([vec![7; 16], string(b"0000000001-A")].concat());
            },
        ),
        commit("commit-parent-with-a-slash", "a parent's file name leads elsewhere (§11.1, §2.2)", |commit| {
            value(commit, 2).extend([vec![7; 16], string(b"../packs/a1")].concat());
        }),
        commit("commit-parent-without-name", "a parent's file name is empty (§11.1, §2.2)", |commit| {
            value(commit, 2).extend([vec![7; 16], string(b"")].concat());
        }),
        commit("commit-parent-of-81-characters", "a parent's file name has 81 characters (§11.1, §2.2)", |commit| {
            value(commit, 2).extend([vec![7; 16], string(&[b'0'; 81])].concat());
        }),
        commit("commit-parents-cut-short", "the parents end inside a file name (§11.1, §1.2)", |commit| {
            value(commit, 2).pop();
        }),
        commit(
            "commit-own-name-with-a-slash",
            "the name that a commit has of itself leads elsewhere (§11.1)",
            |commit| {
                *value(commit, 15) = b"../packs/a1".to_vec();
            },
        ),
        commit(
            "commit-under-another-name",
            "a commit says that it has another name, and is not there (§11.4)",
            |commit| {
                *value(commit, 15) = b"0000000002-0badcafe".to_vec();
            },
        ),
    ]
}

fn fields() -> Vec<Invalid> {
    let commit = |name, comment, edit| in_commit(name, comment, Edit::Commit(edit));
    vec![
        commit("commit-number", "a commit has another number than its name (§2.2, §11.4)", |commit| {
            *value(commit, 1) = varint(3);
        }),
        commit("commit-nanoseconds", "1,000,000,000 nanoseconds (§11.1)", |commit| {
            *value(commit, 3) = [signed(1_700_000_000), varint(1_000_000_000)].concat();
        }),
        commit("commit-time-with-bytes-after-it", "a byte follows the time (§11.1, §1.3)", |commit| {
            value(commit, 3).push(0);
        }),
        commit("commit-depth-129", "a depth of 129 (§11.1)", |commit| *value(commit, 7) = varint(129)),
        commit("commit-config-digest-of-15-bytes", "a field has the wrong length (§1.3, §11.1)", |commit| {
            value(commit, 14).pop();
        }),
        commit("commit-field-missing", "a commit lacks its field 15 (§1.3, §11.1)", |commit| {
            commit.pop();
        }),
        commit("commit-field-twice", "a commit has its field 15 twice (§1.3)", |commit| {
            commit.push(critical(15, SECOND_FILE));
        }),
        commit(
            "commit-newer-and-out-of-order",
            "behind an unknown critical field of the newest commit comes one of a lower number (§1.3, §14)",
            |commit| commit.extend([critical(17, "of a later version"), critical(3, "")]),
        ),
        in_commit(
            "commit-cut-short",
            "a commit ends inside its last field (§1.2)",
            Edit::CommitBytes(|body| body.truncate(body.len() - 1)),
        ),
        commit("commit-delta-without-parent", "a commit of depth 1 has no parent (§11.2)", |commit| {
            value(commit, 2).clear();
        }),
    ]
}

fn tables() -> Vec<Invalid> {
    let rows = |name, comment, edit| in_commit(name, comment, Edit::Rows(edit));
    vec![
        rows("table-of-commits-out-of-order", "a key comes after a greater one (§11.2)", |rows| {
            rows.0[COMMITS].push(([0; 16], commit_row(0, FIRST_FILE)));
        }),
        rows("table-of-packs-with-a-key-twice", "a table has a key twice (§11.2)", |rows| {
            let again = rows.0[PACKS][0].clone();
            rows.0[PACKS].push(again);
        }),
        rows("table-of-snapshots-with-an-empty-row", "a row has not even a status (§11.2)", |rows| {
            rows.0[SNAPSHOTS].push(([0xff; 16], Vec::new()));
        }),
        rows("table-of-indexes-with-an-empty-row", "a row has not even a status (§11.2)", |rows| {
            rows.0[INDEXES].push(([0xff; 16], Vec::new()));
        }),
        rows("table-of-later-versions-with-an-empty-row", "a row has not even a status (§11.2)", |rows| {
            rows.0[LATER].push(([0xff; 16], Vec::new()));
        }),
        rows("table-of-later-versions-out-of-order", "a key comes after a greater one (§11.2)", |rows| {
            rows.0[LATER].extend([([2; 16], vec![0]), ([1; 16], vec![0])]);
        }),
        in_commit(
            "table-of-later-versions-cut-short",
            "a table ends inside a row (§11.2, §1.2)",
            Edit::Commit(|commit| commit.push(ignorable(16, [vec![1; 16], vec![2, 0]].concat()))),
        ),
        in_commit(
            "table-of-packs-cut-short",
            "a table ends inside a row (§11.2, §1.2)",
            Edit::Commit(|commit| {
                value(commit, 11).pop();
            }),
        ),
    ]
}

/// The second commit is a delta upon the first. What only the first one tells is missing, but its pack is still there.
fn bases() -> Vec<Invalid> {
    let base = |name, comment, edit| in_pack(name, Lost::Nothing, comment, edit).named(&first_name());
    vec![
        base(
            "base-of-another-id",
            "the base of a commit has not the id by which it is named (§11.2, §7.1)",
            Edit::Commit(|commit| value(commit, 2)[0] ^= 1),
        ),
        base(
            "base-of-wrong-depth",
            "a commit of depth 2 on a full one (§11.2)",
            Edit::Commit(|commit| *value(commit, 7) = varint(2)),
        ),
        base(
            "base-of-no-lower-number",
            "a commit builds upon one of a higher number (§11.2)",
            Edit::After(|repo| {
                let (third, config) = ("0000000003".to_owned(), repo.named_config);
                let higher = Commit { file: third.clone(), number: 3, ..first_commit(config, repo.tables.clone()) };
                let id = repo.put_commit("0000000003", 0, &record(&higher.fields()));
                let (parents, growth) = (vec![(id, third)], [1, 300, 0]);
                let delta = Commit {
                    file: SECOND_FILE.to_owned(),
                    number: 2,
                    parents,
                    growth,
                    ..first_commit(config, Tables::default())
                };
                repo.put_commit(SECOND_FILE, 0, &record(&delta.fields()));
            }),
        )
        .named(&format!("commits/{THIRD_FILE}")),
        base(
            "base-of-another-number",
            "the base of a commit has another number than its name (§11.2)",
            Edit::FirstCommit(|commit| *value(commit, 1) = varint(7)),
        ),
        base(
            "base-field-missing",
            "the base of a commit lacks its field 15 (§1.3, §11.2)",
            Edit::FirstCommit(|commit| {
                commit.pop();
            }),
        ),
        base(
            "base-delta-without-parent",
            "the base of a commit is a delta without a parent itself (§11.2)",
            Edit::FirstCommit(|commit| *value(commit, 7) = varint(1)),
        )
        .and(Edit::Commit(|commit| *value(commit, 7) = varint(2))),
        base(
            "base-under-another-name",
            "the base of a commit says that it has another name (§11.1, §11.2)",
            Edit::FirstCommit(|commit| *value(commit, 15) = b"0000000001-0badcafe".to_vec()),
        ),
    ]
}

/// The base lies no more where it was stored, or not as it was.
fn replaced_bases() -> Vec<Invalid> {
    let base = |name, comment, edit| in_pack(name, Lost::Nothing, comment, edit).named(&first_name());
    vec![
        base(
            "base-newer-under-an-older-key",
            "the commit that began epoch 1 was replaced by one under the old key that only a newer version reads (§11.4)",
            Edit::After(|repo| {
                rotate(repo, repo.older(1), repo.older(1));
                put_fourth_commit(repo);
                let third = format!("commits/{THIRD_FILE}");
                repo.put_single(&third, 0, ObjectKind::Commit, Vec::new(), &[2]);
            }),
        )
        .named(&format!("commits/{THIRD_FILE}")),
        base(
            "base-of-another-id-and-newer",
            "where the base of a commit was lies another, which only a newer version reads (§11.2, §14)",
            Edit::After(|repo| {
                let mut another = first_commit(repo.named_config, Tables::default()).fields();
                another.push(critical(17, "of a later version"));
                repo.put_commit(FIRST_FILE, 0, &record(&another));
            }),
        ),
        base(
            "commit-under-another-number",
            "a commit that others continue lies under another number as well (§11.4)",
            Edit::After(|repo| {
                let first = repo.objects[&first_name()].clone();
                repo.objects.insert("commits/0000000007-0badcafe".to_owned(), first);
            }),
        )
        .named("commits/0000000007-0badcafe"),
        base(
            "base-missing",
            "the base of a commit is gone (§11.4)",
            Edit::After(|repo| drop(repo.objects.remove(&first_name()))),
        ),
        base(
            "base-changed",
            "one bit of a commit's base is flipped (§11.4)",
            Edit::After(|repo| repo.objects.get_mut(&first_name()).unwrap()[100] ^= 1),
        ),
        in_commit(
            "commits-all-damaged",
            "no commit opens (§11.4)",
            Edit::After(|repo| {
                for name in [first_name(), second_commit()] {
                    repo.objects.get_mut(&name).unwrap()[100] ^= 1;
                }
            }),
        )
        .refused("damaged")
        .nameless(),
    ]
}

/// A live snapshot whose record is refused: the repository is not opened, for it would show less than there is.
fn snapshots() -> Vec<Invalid> {
    let refused = |name, comment, edit| in_commit(name, comment, edit).refused("damaged").nameless();
    let snapshot = |name, comment, edit| refused(name, comment, Edit::Snapshot(edit));
    let source = |name, comment, edit| refused(name, comment, Edit::Source(edit));
    vec![
        source("snapshot-two-sources-of-one-label", "two sources have one label (§11.3)", |source| {
            *value(source, 1) = b"kept".to_vec();
        }),
        source("snapshot-label-empty", "a label is empty (§11.3)", |source| value(source, 1).clear()),
        source("snapshot-label-of-two-components", "a label has two components (§11.3)", |source| {
            *value(source, 1) = b"a/b".to_vec();
        }),
        source("snapshot-label-of-two-dots", "a label is .. (§11.3, §7.2)", |source| {
            *value(source, 1) = b"..".to_vec();
        }),
        source("snapshot-list-name-cut-short", "the name of a source's list is 16 bytes (§11.3, §10)", |source| {
            value(source, 5).pop();
        }),
        source("snapshot-source-field-missing", "a source lacks its field 4 (§11.3, §1.3)", |source| {
            source.retain(|field| field.number != 4);
        }),
        snapshot("snapshot-name-not-utf-8", "the name of a device is not UTF-8 (§11.3, §1.2)", |snapshot| {
            *value(snapshot, 4) = vec![0xff];
        }),
        snapshot("snapshot-nanoseconds", "1,000,000,000 nanoseconds (§11.3)", |snapshot| {
            *value(snapshot, 2) = [signed(1_700_000_000), varint(1_000_000_000)].concat();
        }),
        snapshot("snapshot-device-of-15-bytes", "a field has the wrong length (§11.3, §1.3)", |snapshot| {
            value(snapshot, 3).pop();
        }),
        snapshot("snapshot-field-missing", "a snapshot lacks its field 6 (§11.3, §1.3)", |snapshot| {
            snapshot.pop();
        }),
        refused(
            "snapshot-id",
            "the key of a row is not the id of its snapshot (§11.3)",
            Edit::Rows(|rows| rows.0[SNAPSHOTS][0].0 = NOTHING),
        ),
        snapshot(
            "snapshot-of-another-id-and-newer",
            "the key of a row is not the id of its snapshot, which has an unknown critical field (§11.3, §14)",
            |snapshot| snapshot.push(critical(7, "of a later version")),
        )
        .and(Edit::Rows(|rows| rows.0[SNAPSHOTS][0].0 = NOTHING)),
    ]
}

/// Secrets of older epochs in a commit (§3.6).
fn epochs() -> Vec<Invalid> {
    let rotated = |name, comment, edit| {
        let third = format!("commits/{THIRD_FILE}");
        in_pack(name, Lost::Nothing, comment, Edit::After(edit)).named(&third)
    };
    vec![
        in_commit(
            "commit-epoch-not-before-its-own",
            "a commit of epoch 0 carries a secret of epoch 0 (§3.6)",
            Edit::Commit(|commit| *value(commit, 6) = vec![0; 33]),
        ),
        in_commit(
            "commit-epoch-secret-cut-short",
            "a commit carries 10 bytes of a secret (§3.6)",
            Edit::Commit(|commit| *value(commit, 6) = vec![0; 11]),
        ),
        rotated(
            "commit-epochs-not-rising",
            "the commit that began epoch 1 carries the secret of epoch 0 twice; the one before is read instead (§3.6, §11.4)",
            |repo| rotate(repo, repo.older(1), [repo.older(1), repo.older(1)].concat()),
        ),
        rotated(
            "commit-of-epoch-1-carries-its-own-secret",
            "the commit that began epoch 1 carries a secret of epoch 1; the one before is read instead (§3.6, §11.4)",
            |repo| rotate(repo, repo.older(1), repo.older(2)),
        ),
        in_pack(
            "rotation-missing",
            Lost::Nothing,
            "the only commit of epoch 1 is gone; no config of epoch 0 is left, the commits of that are read instead (§12.4, \
             §11.4)",
            Edit::After(|repo| {
                rotate(repo, repo.older(1), repo.older(1));
                repo.objects.remove(&format!("commits/{THIRD_FILE}"));
            }),
        )
        .named("commits"),
    ]
}

/// What is refused as newer stops a reader (§11.4, §14).
fn newer() -> Vec<Invalid> {
    let refused = |name, comment, edit| in_commit(name, comment, edit).refused("newer");
    vec![
        refused(
            "body-of-unknown-coding",
            "the newest commit's body begins with 2 (§8.1, §14)",
            Edit::CommitCoded(|bytes| bytes[0] = 2),
        ),
        refused(
            "commit-newer",
            "the newest commit has an unknown critical field (§1.3, §11.4, §14)",
            Edit::Commit(|commit| commit.push(critical(17, "of a later version"))),
        ),
        refused(
            "base-newer",
            "the base of the newest commit has an unknown critical field (§1.3, §11.4, §14)",
            Edit::FirstCommit(|commit| commit.push(critical(17, "of a later version"))),
        )
        .named(&first_name()),
        refused(
            "snapshot-newer",
            "a live snapshot has an unknown critical field (§1.3, §11.3, §14)",
            Edit::Snapshot(|snapshot| snapshot.push(critical(7, "of a later version"))),
        )
        .nameless(),
        refused(
            "snapshot-source-newer",
            "a source of a live snapshot has an unknown critical field (§1.3, §11.3, §14)",
            Edit::Source(|source| source.push(critical(6, "of a later version"))),
        )
        .nameless(),
        in_pack(
            "copy-of-a-commit-upon-a-newer-one",
            Lost::Nothing,
            "a copy of a commit whose base is newer: a later commit has both as ancestors, and neither is needed (§11.4)",
            Edit::FirstCommit(|commit| commit.push(critical(17, "of a later version"))),
        )
        .and(Edit::After(|repo| {
            put_third_commit(repo, 0, |_| {});
            name_twice(repo, SECOND_FILE);
        }))
        .named(&first_name())
        .newer(),
        in_pack(
            "list-newer",
            Lost::Source,
            "a file list has an unknown critical field (§1.3, §14)",
            Edit::Node(|node| node.push(critical(9, "of a later version"))),
        )
        .newer(),
        in_pack(
            "map-newer",
            Lost::Files(&["hurt/db"]),
            "a page map has an unknown critical field (§1.3, §14)",
            Edit::Map(|map| map.push(critical(9, "of a later version"))),
        )
        .newer(),
    ]
}
