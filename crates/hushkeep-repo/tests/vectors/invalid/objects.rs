//! Defects of sealed objects (spec §2, §8.1).

use hushkeep_core::keys::{Epoch, ObjectKind};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::seal;

use super::{Invalid, Lost, in_commit, in_pack, second_commit};
use crate::expected;
use crate::forge::Repo;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [headers(), segments(), ends(), packs(), bodies()].into_iter().flatten().collect()
}

fn commit(repo: &mut Repo) -> &mut Vec<u8> {
    repo.objects.get_mut(&second_commit()).unwrap()
}

fn pack_name() -> String {
    expected::object("packs", &HURT)
}

fn pack(repo: &mut Repo) -> &mut Vec<u8> {
    repo.objects.get_mut(&pack_name()).unwrap()
}

/// The last byte of the sealed padding.
fn last_of_padding(object: &mut [u8]) -> &mut u8 {
    let trailer_len = u32::from_le_bytes(*object.last_chunk().unwrap()) as usize;
    let at = object.len() - 4 - trailer_len - 1;
    &mut object[at]
}

fn headers() -> Vec<Invalid> {
    let header = |name, comment, edit| in_commit(name, comment, Edit::After(edit));
    vec![
        header("header-magic", "the first eight bytes are others (§2.1)", |repo| commit(repo)[0] = b'h'),
        header("header-kind-unknown", "a kind that does not exist (§2.1, §2.2)", |repo| commit(repo)[10] = 9),
        header("header-reserved-byte", "byte 11 is not 0 (§2.1)", |repo| commit(repo)[11] = 1),
        header("header-clear-length", "the clear part is longer than 65,536 bytes (§2.1)", |repo| {
            commit(repo)[64..68].copy_from_slice(&65_537u32.to_le_bytes());
        }),
        header("header-clear-part-in-a-commit", "a commit has a clear part, well sealed (§2.1)", |repo| {
            let body = repo.open_single(&second_commit(), ObjectKind::Commit);
            repo.put_single(&second_commit(), 0, ObjectKind::Commit, b"clear".to_vec(), &body);
        }),
        header("header-kind-of-another-folder", "an index object lies in commits (§2.1, §2.2)", |repo| {
            *commit(repo) = repo.objects[&expected::object("index", &HURT_INDEX)].clone();
        }),
        header("header-kind-changed", "a commit that was sealed with the key of index objects (§2.2)", |repo| {
            let body = repo.open_single(&second_commit(), ObjectKind::Commit);
            repo.put_single(&second_commit(), 0, ObjectKind::Index, Vec::new(), &body);
            commit(repo)[10] = 2;
        }),
        header("header-other-repository", "a commit of another repository under the same key (§2.1)", |repo| {
            let body = repo.open_single(&second_commit(), ObjectKind::Commit);
            let other = RepositoryId::from_bytes([9; 16]);
            let keys = repo.key(0).epoch_secret(&other, Epoch(0)).working_keys(other);
            let mut rng = repo.fork();
            *commit(repo) = seal::seal_single(&keys, ObjectKind::Commit, Vec::new(), &body, 0, &mut rng);
        }),
        header("header-unknown-epoch", "a commit of an epoch that no config tells of (§2.1, §11.4)", |repo| {
            let body = repo.open_single(&second_commit(), ObjectKind::Commit);
            repo.put_single(&second_commit(), 7, ObjectKind::Commit, Vec::new(), &body);
        }),
        header("object-cut-in-its-header", "50 bytes of an object (§2.1)", |repo| commit(repo).truncate(50)),
        header("object-empty", "an object of no bytes (§2.1)", |repo| commit(repo).clear()),
        header(
            "format-version-newer",
            "a commit of format version 2, of which the config does not tell (§2.1, §14)",
            |repo| commit(repo)[8] = 2,
        ),
        header("format-version-zero", "a commit of format version 0, which no reader knows (§2.1, §14)", |repo| {
            commit(repo)[8] = 0;
        }),
    ]
}

fn segments() -> Vec<Invalid> {
    let sealed = |name, comment, edit| in_commit(name, comment, Edit::After(edit));
    vec![
        sealed("salt-changed", "one bit of the salt is flipped (§2.3)", |repo| commit(repo)[40] ^= 1),
        sealed("segment-changed", "one bit of a sealed body is flipped (§2.4)", |repo| commit(repo)[100] ^= 0x10),
        sealed("object-with-a-byte-more", "a byte follows the object (§2.1)", |repo| commit(repo).push(0)),
        sealed("object-with-a-byte-less", "the last byte of an object is missing (§2.1)", |repo| {
            commit(repo).pop();
        }),
        sealed("trailer-changed", "one bit of a sealed trailer is flipped (§2.5)", |repo| {
            let at = commit(repo).len() - 10;
            commit(repo)[at] ^= 1;
        }),
        sealed("trailer-length-one-more", "the trailer's length is one more (§2.1)", |repo| {
            let at = commit(repo).len() - 4;
            commit(repo)[at] += 1;
        }),
        sealed("trailer-length-below-20", "the trailer's length is 19 (§2.1)", |repo| {
            let at = commit(repo).len() - 4;
            commit(repo)[at] = 19;
        }),
        sealed("trailer-length-beyond-the-object", "the trailer is longer than the object (§2.1)", |repo| {
            let at = commit(repo).len() - 2;
            commit(repo)[at] = 1;
        }),
        sealed("object-of-the-first-commit", "an older commit in the place of the newest (§2.2)", |repo| {
            *commit(repo) = repo.objects[&format!("commits/{FIRST_FILE}")].clone();
        }),
    ]
}

fn ends() -> Vec<Invalid> {
    let sealed = |name, comment, edit| in_commit(name, comment, Edit::After(edit));
    vec![
        sealed("padding-changed", "one bit of the sealed padding of a commit is flipped (§2.4)", |repo| {
            *last_of_padding(commit(repo)) ^= 1;
        }),
        sealed("padding-not-zero", "the padding of a commit is ones, well sealed (§2.5)", |repo| {
            repo.pad_with_ones(&second_commit(), ObjectKind::Commit, 1);
        }),
        sealed("padding-longer-than-the-object", "a commit tells of more padding than it has (§2.5)", |repo| {
            repo.tell_other_padding(&second_commit(), ObjectKind::Commit);
        }),
        sealed("table-in-a-commit", "a commit has a table that is not empty, well sealed (§2.4)", |repo| {
            let body = repo.open_single(&second_commit(), ObjectKind::Commit);
            repo.put_with_table(&second_commit(), ObjectKind::Commit, &body);
        }),
    ]
}

/// The files whose contents lie in the data segment of `HURT`.
const DATA_FILES: Lost = Lost::Files(&["hurt/db", "hurt/dir/deep", "hurt/one", "hurt/other-name", "hurt/two"]);

fn packs() -> Vec<Invalid> {
    let sealed = |name, lost, comment, edit| in_pack(name, lost, comment, Edit::After(edit));
    vec![
        sealed("pack-segment-changed", DATA_FILES, "one bit of a segment of data is flipped (§2.4)", |repo| {
            pack(repo)[68 + 100] ^= 1;
        }),
        sealed("pack-missing", Lost::Source, "a live pack is gone (§0.4, §11.2)", |repo| {
            repo.objects.remove(&pack_name());
        }),
        sealed("pack-swapped", Lost::Source, "a pack has another's bytes (§2.2, §8.3)", |repo| {
            *pack(repo) = repo.objects[&expected::object("packs", &KEPT)].clone();
        }),
        sealed("pack-header-salt", Lost::Nothing, "a pack's header has another salt than the index (§9.1)", |repo| {
            pack(repo)[40] ^= 1;
        }),
        sealed("pack-padding-changed", Lost::Nothing, "one bit of a pack's padding is flipped (§2.4)", |repo| {
            *last_of_padding(pack(repo)) ^= 1;
        }),
        sealed("pack-padding-not-zero", Lost::Nothing, "a pack's padding is ones, well sealed (§2.5)", |repo| {
            repo.pad_with_ones(&pack_name(), ObjectKind::Pack, 4);
        }),
        sealed("pack-padding-length", Lost::Nothing, "a pack's padding is not as long as told (§2.5)", |repo| {
            repo.tell_other_padding(&pack_name(), ObjectKind::Pack);
        }),
        sealed("pack-trailer-changed", Lost::Nothing, "one bit of a pack's trailer is flipped (§2.4, §9.1)", |repo| {
            let at = pack(repo).len() - 10;
            pack(repo)[at] ^= 1;
        }),
        sealed(
            "pack-format-version-2",
            Lost::Nothing,
            "a pack of format version 2, of which the config does not tell (§2.1, §14)",
            |repo| pack(repo)[8] = 2,
        ),
        sealed("pack-with-a-byte-less", Lost::Nothing, "a pack lacks its last byte (§2.1, §11.2)", |repo| {
            pack(repo).pop();
        }),
    ]
}

/// Bodies of commits and index objects, and how they are coded (§8.1).
fn bodies() -> Vec<Invalid> {
    let coded = |name, comment, edit| in_commit(name, comment, Edit::CommitCoded(edit));
    vec![
        coded("body-empty", "a commit's body has not even the byte for its coding (§8.1)", |bytes| bytes.clear()),
        coded("body-longer-than-announced", "the frame gives a byte more than announced (§8.1)", |bytes| {
            *bytes = frame(bytes, -1);
        }),
        coded("body-shorter-than-announced", "the frame gives a byte less than announced (§8.1)", |bytes| {
            *bytes = frame(bytes, 1);
        }),
        coded("body-in-two-frames", "the body is two frames of half of it each (§8.1)", |bytes| {
            let (first, second) = bytes[1..].split_at(100);
            let frames = [first, second].map(|half| zstd::bulk::compress(half, 3).unwrap()).concat();
            *bytes = [vec![1], crate::parts::varint(bytes.len() as u64 - 1), frames].concat();
        }),
        coded("body-with-bytes-after-its-frame", "a byte follows the frame (§8.1)", |bytes| {
            *bytes = frame(bytes, 0);
            bytes.push(0);
        }),
        coded("body-after-a-skippable-frame", "a skippable frame comes before the frame (§8.1)", |bytes| {
            let framed = frame(bytes, 0);
            let length = crate::parts::varint(bytes.len() as u64 - 1);
            let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0];
            *bytes = [&framed[..=length.len()], &skippable, &framed[length.len() + 1..]].concat();
        }),
        coded("body-announced-too-long", "a body of 536,870,913 bytes is announced (§8.1, §13)", |bytes| {
            let frame = zstd::bulk::compress(&bytes[1..], 3).unwrap();
            *bytes = [vec![1], crate::parts::varint((512 << 20) + 1), frame].concat();
        }),
        in_pack(
            "index-body-of-unknown-coding",
            Lost::Nothing,
            "an index object's body begins with 2; its pack tells the same (§8.1, §9.1)",
            Edit::IndexCoded(|bytes| bytes[0] = 2),
        )
        .newer()
        .named(&expected::object("index", &HURT_INDEX)),
    ]
}

/// A body that is one frame, and announces a length that is so much more than its own.
fn frame(coded: &[u8], more: i64) -> Vec<u8> {
    let body = &coded[1..];
    let len = (body.len() as u64).checked_add_signed(more).unwrap();
    [vec![1], crate::parts::varint(len), zstd::bulk::compress(body, 3).unwrap()].concat()
}
