//! Defects of page maps (spec §10.5). They cost the file alone.

use super::{Invalid, Lost, in_pack};
use crate::parts::*;
use crate::sample::*;

const DB: Lost = Lost::Files(&["hurt/db"]);

pub(super) fn all() -> Vec<Invalid> {
    [fields(), chains(), runs(), whole_maps()].into_iter().flatten().collect()
}

fn newer(name: &'static str, comment: &'static str, edit: fn(&mut Vec<Field>)) -> Invalid {
    in_pack(name, DB, comment, Edit::Map(edit))
}

fn older(name: &'static str, comment: &'static str, edit: fn(&mut Vec<Field>)) -> Invalid {
    in_pack(name, DB, comment, Edit::FullMap(edit))
}

fn fields() -> Vec<Invalid> {
    vec![
        newer("map-page-size-no-power-of-two", "a page size of 1,000 (§10.5)", |map| *value(map, 5) = varint(1000)),
        newer("map-page-size-256", "a page size of 256 (§10.5)", |map| *value(map, 5) = varint(256)),
        newer("map-page-size-131072", "a page size of 131,072 (§10.5)", |map| *value(map, 5) = varint(131_072)),
        newer("map-pages-of-33-bits", "a map of 2^32 pages (§10.5)", |map| *value(map, 6) = varint(512 << 32)),
        newer("map-with-an-unknown-list", "a map names a list that nobody knows, and does not use it (§10.5)", |map| {
            value(map, 7).extend(NOTHING);
        }),
        newer("map-with-a-list-id-cut-short", "the ids of a map's lists are 15 bytes (§10.5)", |map| {
            value(map, 7).pop();
        }),
        newer("map-without-runs-field", "a map lacks its field 8 (§10.5, §1.3)", |map| {
            map.retain(|field| field.number != 8);
        }),
    ]
}

fn chains() -> Vec<Invalid> {
    vec![
        newer("map-on-a-base-of-wrong-depth", "a map of depth 2 on a full one (§10.1)", |map| {
            *value(map, 2) = varint(2);
        }),
        newer("map-on-itself", "a map is its own base (§10.1)", |map| {
            *value(map, 1) = [HURT.to_vec(), varint(MAP)].concat();
        }),
        newer("map-on-a-list", "the base of a page map is a file list (§10.1)", |map| {
            *value(map, 1) = [HURT.to_vec(), varint(FULL_NODE)].concat();
        }),
        newer("map-on-nothing", "the base of a page map lies in no pack (§10.3)", |map| {
            *value(map, 1) = [HURT.to_vec(), varint(99)].concat();
        }),
        older("map-base-of-other-page-size", "a map of pages of 512 bytes on one of 1,024 (§10.5)", |map| {
            *value(map, 5) = varint(1024);
            *value(map, 8) = run(0, 0, 3, 1);
        }),
    ]
}

fn runs() -> Vec<Invalid> {
    let runs = |name, comment, edit| newer(name, comment, edit);
    vec![
        runs("run-in-an-unknown-list", "a run in list 1, where there is only 0 (§10.5)", |map| {
            *value(map, 8) = run(1, 1, 4, 1);
        }),
        runs("run-from-a-position-below-zero", "a run from position -1 on (§10.5)", |map| {
            *value(map, 8) = run(1, 0, -1, 1);
        }),
        runs("run-beyond-32-bits", "a run of one content from position 2^32 - 1 on (§10.5)", |map| {
            *value(map, 8) = run(1, 0, (1 << 32) - 1, 1);
        }),
        runs("run-of-no-pages", "a run with a count of 0 (§10.5)", |map| *value(map, 8) = run(1, 0, 4, 0)),
        runs("run-beyond-the-last-page", "a run goes on after the last page (§10.5)", |map| {
            *value(map, 8) = run(1, 0, 3, 3);
        }),
        runs("run-behind-the-last-page", "a run begins after the last page (§10.5)", |map| {
            *value(map, 8) = run(3, 0, 4, 1);
        }),
        runs("run-cut-short", "a run ends before its count (§10.5)", |map| {
            value(map, 8).pop();
        }),
        runs("run-gap-of-33-bits", "a gap of 2^32 pages (§10.5)", |map| *value(map, 8) = run(1 << 32, 0, 4, 1)),
        runs("run-of-contents-nowhere", "a page lies in no pack (§10.3)", |map| *value(map, 8) = run(1, 0, 99, 1)),
    ]
}

/// Maps that are sound run by run, and wrong as a whole.
fn whole_maps() -> Vec<Invalid> {
    vec![
        older("map-without-its-first-page", "a gap leaves page 0 without content (§10.5)", |map| {
            *value(map, 8) = run(1, 0, 5, 1);
        }),
        older(
            "map-without-a-page-that-is-replaced",
            "an older layer lacks a page that the newer one gives (§10.5)",
            |map| {
                *value(map, 8) = run(0, 0, 3, 1);
            },
        ),
        newer("map-without-its-last-page", "neither the map nor its shorter base gives the last page (§10.5)", |map| {
            value(map, 8).clear();
        })
        .and(Edit::FullMap(|map| {
            *value(map, 6) = varint(512);
            *value(map, 8) = run(0, 0, 3, 1);
        })),
        newer("map-of-another-length", "a map of a byte less than its file (§10.5)", |map| {
            *value(map, 6) = varint(687);
        }),
        in_pack(
            "map-of-another-page-size",
            DB,
            "a file of pages of 1,024 bytes has a map of pages of 512 (§10.5)",
            Edit::Changes(|lines| lines[0].entry = paged(0, &database(), 1024, [0, MAP, 1])),
        ),
        newer("map-with-a-wrong-page", "a page is as it was before: the file has not its hash (§7.1)", |map| {
            *value(map, 8) = run(1, 0, 5, 1);
        }),
        newer(
            "map-with-a-wrong-page-length-at-each-place",
            "two pages are exchanged, and have the right length and hash only together (§10.5)",
            |map| {
                *value(map, 8) = [run(0, 0, 4, 1), run(0, 0, -2, 1)].concat();
            },
        )
        .and(Edit::Changes(|lines| {
            let database = database();
            let exchanged = [&database[512..], &database[..512]].concat();
            lines[0].entry = paged(0, &exchanged, 512, [0, MAP, 1]);
        })),
        newer(
            "map-with-pages-of-wrong-lengths",
            "the lengths of the pages do not add up to the file's (§7.1)",
            |map| {
                *value(map, 8) = run(1, 0, 3, 1);
            },
        ),
    ]
}
