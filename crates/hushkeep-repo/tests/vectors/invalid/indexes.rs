//! Defects of index objects (spec §9.1).

use hushkeep_core::keys::ObjectKind;

use super::{Invalid, Lost, in_pack};
use crate::expected;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [objects(), entries()].into_iter().flatten().collect()
}

fn index_name() -> String {
    expected::object("index", &HURT_INDEX)
}

/// What is lost with the object, the pack itself tells.
fn objects() -> Vec<Invalid> {
    let index = |name, comment, edit| in_pack(name, Lost::Nothing, comment, edit).named(&index_name());
    vec![
        index(
            "index-missing",
            "a live index object is gone; its pack tells the same (§9.1)",
            Edit::After(|repo| drop(repo.objects.remove(&index_name()))),
        ),
        index(
            "index-replaced",
            "an older index object lies in the place of a newer one (§9.1)",
            Edit::After(|repo| {
                let older = repo.objects[&expected::object("index", &KEPT_INDEX)].clone();
                repo.objects.insert(index_name(), older);
            }),
        ),
        index(
            "index-changed",
            "one bit of a sealed index object is flipped (§2.4, §9.1)",
            Edit::After(|repo| repo.objects.get_mut(&index_name()).unwrap()[80] ^= 1),
        ),
        index(
            "index-of-an-unknown-epoch",
            "an index object of an epoch that no config tells of (§3.6, §9.1)",
            Edit::After(|repo| {
                let body = repo.open_single(&index_name(), ObjectKind::Index);
                repo.put_single(&index_name(), 7, ObjectKind::Index, Vec::new(), &body);
            }),
        ),
        index(
            "index-format-version-2",
            "an index object of format version 2, of which the config does not tell (§2.1, §14)",
            Edit::After(|repo| repo.objects.get_mut(&index_name()).unwrap()[8] = 2),
        ),
        index(
            "index-cut-short",
            "an index object ends inside what it says of a pack (§9.1)",
            Edit::Index(|body| body.truncate(body.len() - 1)),
        ),
        index(
            "index-of-nothing-with-bytes-after-it",
            "an index object's body is a frame of no bytes, and bytes follow that (§8.1)",
            Edit::IndexCoded(|coded| *coded = [vec![1, 0], zstd::bulk::compress(&[], 3).unwrap(), vec![0; 4]].concat()),
        )
        .and(Edit::Index(Vec::clear)),
        index(
            "index-of-a-pack-without-row",
            "an index object tells of a pack that no commit names, beside one that is named (§9.1)",
            Edit::Index(|body| {
                let other = [NOTHING.to_vec(), body[16..].to_vec()].concat();
                body.extend(other);
            }),
        ),
        index(
            "index-with-another-salt",
            "an index object tells otherwise of a pack than its row (§9.1)",
            Edit::Index(|body| body[17] ^= 1),
        ),
    ]
}

/// What index object and commit agree on, and the pack does not.
fn entries() -> Vec<Invalid> {
    vec![
        in_pack(
            "pack-of-an-unknown-epoch",
            Lost::Source,
            "index object and commit tell of a pack of an epoch that no config tells of (§3.6)",
            Edit::Table(|table| table.lists[0].epoch = 7),
        )
        .and(Edit::Pack(|pack| pack.epoch = 7)),
        in_pack(
            "pack-salt-other-than-told",
            Lost::Source,
            "index object and commit have another salt than the pack (§9.1)",
            Edit::Pack(|pack| pack.salt[0] ^= 1),
        ),
        in_pack(
            "pack-table-other-than-told",
            Lost::Nothing,
            "index object and commit call a segment metadata that the pack calls data (§9.1)",
            // The first segment's tag, behind two counts and a list.
            Edit::Pack(|pack| pack.table[35] = 1),
        ),
        in_pack(
            "index-table-with-bytes-after-it",
            Lost::Source,
            "index object and commit have a table that does not fill its string (§9.1)",
            Edit::Pack(|pack| pack.table.push(0)),
        )
        .named(&index_name()),
        in_pack(
            "index-epoch-of-33-bits",
            Lost::Source,
            "index object and commit tell of a pack of epoch 2^32 (§9.1)",
            Edit::Pack(|pack| pack.epoch = 1 << 32),
        )
        .named(&index_name()),
    ]
}
