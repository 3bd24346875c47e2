//! What a device remembers and the storage does not show any more (spec §11.4).

use serde_json::json;

use super::{Invalid, Lost, in_commit, second_commit};
use crate::forge::{Commit, Repo, hex};
use crate::parts::*;
use crate::sample::*;

/// When the device was there last, by its own clock.
const SEEN: i64 = 1_790_000_000;

pub(super) fn all() -> Vec<Invalid> {
    [gone(), outdated(), taken_back(), damaged()].into_iter().flatten().collect()
}

fn refused(name: &'static str, comment: &'static str, edit: fn(&mut Repo)) -> Invalid {
    in_commit(name, comment, Edit::After(edit)).refused("rolled-back").nameless()
}

/// The device has seen the second commit.
fn remember(repo: &mut Repo) {
    let tip = json!({ "id": hex(&repo.commits[1]), "name": SECOND_FILE });
    repo.memory = Some(json!({ "tips": [tip], "seconds": SEEN }));
}

/// The device has seen the second commit, and who has the key writes one after it, with other tables.
fn follow(repo: &mut Repo, edit: impl FnOnce(&mut Tables)) {
    remember(repo);
    put_third_commit(repo, 0, |commit: &mut Commit| edit(&mut commit.tables));
}

/// The second commit has a row of later versions.
const OF_LATER_VERSIONS: Edit = Edit::Rows(|rows| rows.set(LATER, NOTHING, b"\x03of a later version".to_vec()));

fn gone() -> Vec<Invalid> {
    vec![
        refused("rollback-newest-commit-gone", "the newest commit that the device saw is gone (§11.4)", |repo| {
            remember(repo);
            repo.objects.remove(&second_commit());
        }),
        refused("rollback-all-commits-gone", "the device saw commits, and there are none (§11.4)", |repo| {
            remember(repo);
            repo.objects.retain(|name, _| !name.starts_with("commits/"));
        }),
        refused(
            "rollback-another-commit-in-its-place",
            "the commit has another id than the device saw (§11.4)",
            |repo| {
                repo.memory = Some(json!({ "tips": [{ "id": hex(&NOTHING), "name": SECOND_FILE }], "seconds": SEEN }));
            },
        ),
        refused(
            "rollback-what-is-no-commit-in-its-place",
            "what lies there now opens, and has no record of a commit (§11.4)",
            |repo| {
                remember(repo);
                repo.put_commit(SECOND_FILE, 0, b"no record");
            },
        ),
        refused("rollback-one-of-two-tips-gone", "one of two tips that the device saw is gone (§11.4)", |repo| {
            let own = json!({ "id": hex(&repo.commits[1]), "name": SECOND_FILE });
            let other = json!({ "id": hex(&NOTHING), "name": "0000000002-0badcafe" });
            repo.memory = Some(json!({ "tips": [own, other], "seconds": SEEN }));
        }),
        refused(
            "rollback-ancestor-gone",
            "a commit names the one that the device saw as an ancestor that is there, and it is gone (§11.4)",
            |repo| {
                follow(repo, |_| {});
                repo.objects.remove(&second_commit());
            },
        ),
        refused(
            "rollback-dropped-too-soon",
            "a commit says that the one that the device saw yesterday was dropped (§11.4)",
            |repo| {
                let seen = repo.commits[1];
                follow(repo, |tables| tables.set(COMMITS, seen, commit_row(1, SECOND_FILE)));
                repo.objects.remove(&second_commit());
            },
        ),
    ]
}

/// It came too late for a rotation, so its parents must be there; one has a name that no commit has.
fn outdated() -> Vec<Invalid> {
    vec![refused(
        "rollback-parent-without-number",
        "the device saw a commit that came too late for a rotation, and of its parent only the name is left (§11.4)",
        |repo| {
            rotate_by(repo, |_| {});
            let (file, parents) = ("0000000004".to_owned(), vec![(NOTHING, "readme".to_owned())]);
            let late = Commit { file, number: 4, parents, ..first_commit(repo.named_config, repo.tables.clone()) };
            let id = repo.put_commit("0000000004", 0, &record(&late.fields()));
            repo.memory = Some(json!({ "tips": [{ "id": hex(&id), "name": "0000000004" }], "seconds": SEEN }));
        },
    )]
}

/// A commit claims to follow the one that the device saw, and does not continue its tables (§11.2).
fn taken_back() -> Vec<Invalid> {
    vec![
        refused("rollback-snapshot-left-out", "a later commit lacks a snapshot (§11.2, §11.4)", |repo| {
            let snapshot = repo.snapshots[1];
            follow(repo, |tables| tables.0[SNAPSHOTS].retain(|(id, _)| *id != snapshot));
        }),
        refused(
            "rollback-row-of-later-versions-left-out",
            "a later commit lacks a row of later versions (§11.2, §11.4)",
            |repo| follow(repo, |tables| tables.0[LATER].clear()),
        )
        .and(OF_LATER_VERSIONS),
        refused(
            "rollback-row-of-later-versions-taken-back",
            "a later commit has a row of later versions with a lower status (§11.2, §11.4)",
            |repo| follow(repo, |tables| tables.0[LATER][0].1[0] = 2),
        )
        .and(OF_LATER_VERSIONS),
        refused("rollback-pack-left-out", "a later commit lacks a pack (§11.2, §11.4)", |repo| {
            follow(repo, |tables| tables.0[PACKS].retain(|(id, _)| *id != HURT));
        }),
        refused("rollback-pack-exchanged", "a later commit has another digest of a pack, marked (§11.2)", |repo| {
            follow(repo, |tables| change_pack(tables, 1, 10));
        }),
        refused("rollback-list-exchanged", "a later commit has another digest of a list, marked (§11.2)", |repo| {
            follow(repo, |tables| change_pack(tables, 1, 30));
        }),
        refused(
            "rollback-pack-changed-in-place",
            "a later commit has a greater digest of a live pack (§11.2)",
            |repo| {
                follow(repo, |tables| change_pack(tables, 0, 10));
            },
        ),
        refused("rollback-index-exchanged", "a later commit has another digest of an index object (§11.2)", |repo| {
            follow(repo, |tables| {
                let row = &mut tables.0[INDEXES][1].1;
                row[0] = 1;
                row[10] ^= 1;
                row.push(3);
            });
        }),
        refused(
            "rollback-by-another-tip",
            "beside the commit that the device saw lies one that drops a pack, with another digest of its list (§11.4)",
            |repo| {
                follow(repo, |tables| {
                    tables.0[COMMITS].retain(|(_, row)| *row != commit_row(0, SECOND_FILE));
                    change_pack(tables, 255, 30);
                });
            },
        ),
        refused("rollback-ancestor-renamed", "a later commit has another file name of an ancestor (§11.2)", |repo| {
            let first = repo.commits[0];
            follow(repo, |tables| tables.set(COMMITS, first, commit_row(1, "0000000001-0badcafe")));
        }),
    ]
}

/// Changes one byte of the row of `HURT`, which gets another status.
fn change_pack(tables: &mut Tables, status: u8, at: usize) {
    let row = &mut tables.0[PACKS].iter_mut().find(|(id, _)| *id == HURT).unwrap().1;
    row[0] = status;
    row[at] = 0xff;
    row.extend(if status == 0 { Vec::new() } else { varint(3) });
}

/// What is there and damaged is damage, not a roll-back.
fn damaged() -> Vec<Invalid> {
    let name = "remembered-commit-damaged";
    let comment = "the newest commit that the device saw is there, and damaged (§11.4)";
    let edit = Edit::After(|repo| {
        remember(repo);
        repo.objects.get_mut(&second_commit()).unwrap()[100] ^= 1;
    });
    vec![Invalid { lost: Lost::Source, ..in_commit(name, comment, edit) }]
}
