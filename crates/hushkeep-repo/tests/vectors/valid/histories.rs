//! Histories that only a hostile or a strange writer makes, and which all readers must read in one way (spec §11).

use serde_json::json;

use super::forged::{remember_second, sample};
use crate::expected::Vector;
use crate::forge::{Commit, PackInfo, Repo};
use crate::parts::*;
use crate::sample::*;

pub(super) fn all() -> Vec<Vector> {
    vec![
        row_of_a_commit_to_come(),
        sample("ancestor-known-by-its-id-alone", &[Edit::After(call_second_otherwise)]),
        sample("table-too-long-of-a-dropped-pack", &TOO_LONG_AND_DROPPED),
        sample("remembered-of-an-epoch-that-a-tip-tells", &[Edit::After(remember_and_rotate)]),
    ]
}

/// Before the key was replaced, who stole it called the commit dropped that he would store afterwards: it is told all the same.
fn row_of_a_commit_to_come() -> Vector {
    let late = |repo: &mut Repo| {
        rotate_by(repo, |commit| commit.tables.set(COMMITS, NOTHING, commit_row(1, "0000000004")));
        let late = Commit { file: "0000000004".into(), number: 4, ..first_commit((1, [0; 16]), Tables::default()) };
        repo.put_commit("0000000004", 0, &record(&late.fields()));
    };
    let mut vector = sample("row-of-a-commit-to-come", &[Edit::After(late)]);
    vector.expected["outdated"] = json!(["commits/0000000004"]);
    vector
}

/// The third commit gives the second one's id another name, and lacks what the first one said: the second is no tip, and hides
/// nothing.
fn call_second_otherwise(repo: &mut Repo) {
    let (first, second, of_first) = (repo.commits[0], repo.commits[1], repo.snapshots[0]);
    put_third_commit(repo, 0, |commit| {
        commit.tables.0[COMMITS].retain(|(id, _)| *id != first);
        commit.tables.0[SNAPSHOTS].retain(|(id, _)| *id != of_first);
        commit.tables.set(COMMITS, second, commit_row(0, "0000000002-0badcafe"));
    });
}

/// An index object tells first of a pack that was dropped, with a table of more bytes than one may have.
const TOO_LONG_AND_DROPPED: [Edit; 3] = [
    Edit::Index(|body| {
        let dropped = PackInfo {
            id: NOTHING,
            epoch: 0,
            salt: [0; 32],
            len: 4096,
            table: vec![0; 67_108_845],
            list_digest: [0; 16],
        };
        *body = [dropped.encode(), body.clone()].concat();
    }),
    Edit::IndexCoded(|coded| {
        let body = coded.split_off(1);
        *coded = [vec![1], varint(body.len() as u64), zstd::bulk::compress(&body, 3).unwrap()].concat();
    }),
    Edit::Rows(|rows| {
        let row = [vec![255], varint(4096), vec![0; 32], varint(1)].concat();
        rows.set(PACKS, NOTHING, row);
    }),
];

/// The config lacks the secret of the epoch before, in which the remembered commit is sealed.
fn remember_and_rotate(repo: &mut Repo) {
    remember_second(repo);
    rotate(repo, Vec::new(), repo.older(1));
}
