//! Valid repositories that only other writers make: what a reader must take although this one never writes it.

use serde_json::json;

use crate::expected::{Snapshot, Vector, escape, valid};
use crate::forge::{Commit, Repo, hex};
use crate::parts::*;
use crate::sample::*;

pub(crate) fn all() -> Vec<Vector> {
    vec![
        sample("small-objects", &[]),
        sample("unknown-fields", &UNKNOWN_FIELDS),
        sample("known-fields-as-ignorable", &AS_IGNORABLE),
        unknown_values(),
        sample("rows-of-later-versions", &ROWS_OF_LATER_VERSIONS),
        sample("for-later-writers", &[Edit::Clear(|clear| clear.push(critical(4, varint(2))))]),
        sample("segments-of-unknown-classes", &[Edit::Table(class_as_later_versions)]),
        sample("stray-files", &[Edit::After(add_strays)]),
        sample("commit-under-two-names", &[Edit::After(|repo| name_twice(repo, SECOND_FILE))]),
        sample("ancestor-under-two-names", &[Edit::After(|repo| name_twice(repo, FIRST_FILE))]),
        outdated_and_newer(),
        sample("pack-without-index", &[Edit::Rows(|rows| rows.0[INDEXES].clear()), Edit::After(remove_index)]),
        sample("pack-told-of-twice", &TOLD_OF_TWICE),
        sample("copies-of-two-lists", &[Edit::Copies(|_| {})]),
        sample("rotation-that-did-not-end", &[Edit::After(|repo| put_second_config(repo, 1, |_, _| {}))]),
        sample("remembered-and-continued", &[Edit::After(remember_and_continue)]),
        sample("remembered-beside-another-tip", &[Edit::After(remember_beside_another)]),
        sample("remembered-and-ancestor-left-out", &[Edit::After(remember_and_leave_out)]),
        sample("remembered-and-ancestor-gone", &[Edit::After(remember_and_lose_ancestor)]),
        every_kind_of_entry(),
        source_of_one_file(),
        chains_as_deep_as_allowed(),
    ]
}

/// What every invalid vector is a copy of, with changes that a reader takes.
pub(super) fn sample(name: &str, edits: &[Edit]) -> Vector {
    let repo = build(name, edits);
    let expected = valid(&sample_snapshots(&repo));
    Vector::forged(name, repo, expected)
}

/// The two snapshots of the sample.
fn sample_snapshots(repo: &Repo) -> [Snapshot; 2] {
    let told = |number: u64| {
        let id = hex(&repo.snapshots[usize::try_from(number).unwrap() - 1]);
        let mut snapshot = Snapshot { number, id, ..Snapshot::default() };
        snapshot.file(b"kept/a", &text("kept/a", 10));
        snapshot.folders.push("kept".into());
        snapshot
    };
    let (first, mut second) = (told(1), told(2));
    let files = [("one", 20), ("two", 55), ("dir/deep", 30), ("packed", 300), ("db", 688)];
    for (path, len) in files.map(|(path, len)| (format!("hurt/{path}"), len)) {
        second.file(path.as_bytes(), &text(&path, len));
    }
    second.folders = ["hurt", "hurt/dir", "kept"].map(str::to_owned).to_vec();
    second.links.insert("hurt/link".into(), "one".into());
    second.hard_links.insert("hurt/other-name".into(), "hurt/one".into());
    [first, second]
}

/// A field that no version knows yet, everywhere where one may be.
const UNKNOWN_FIELDS: [Edit; 11] = [
    Edit::Clear(|fields| {
        let protector = record(&[critical(1, [7; 4]), integer(2, 1), critical(3, []), later()]);
        *value(fields, 3) = string(&protector);
        fields.push(later());
    }),
    Edit::Config(|fields| fields.push(later())),
    Edit::FullMap(|fields| fields.push(later())),
    Edit::Map(|fields| fields.push(later())),
    Edit::FullNode(|fields| fields.push(later())),
    Edit::Node(|fields| fields.push(later())),
    Edit::Lines(|lines| {
        for line in lines.iter_mut().take(6) {
            line.entry[0] |= EXTRA;
            line.entry.splice(1..1, string(&record(&[ignorable(1, "of a later version")])));
        }
    }),
    Edit::Source(|fields| fields.push(later())),
    Edit::Snapshot(|fields| fields.push(later())),
    Edit::Commit(|fields| fields.push(later())),
    Edit::FirstCommit(|fields| fields.extend([later(), ignorable(4_294_967_295, "")])),
];

/// The mark of a field is for whoever does not know it.
const AS_IGNORABLE: [Edit; 10] = [
    Edit::Clear(|fields| {
        let protector = record(&[ignorable(1, [7; 4]), ignorable(2, varint(1)), ignorable(3, [])]);
        *value(fields, 3) = string(&protector);
        mark_ignorable(fields);
    }),
    Edit::Config(mark_ignorable),
    Edit::FullMap(mark_ignorable),
    Edit::Map(mark_ignorable),
    Edit::FullNode(mark_ignorable),
    Edit::Node(mark_ignorable),
    Edit::Source(mark_ignorable),
    Edit::Snapshot(mark_ignorable),
    Edit::Commit(mark_ignorable),
    Edit::FirstCommit(mark_ignorable),
];

#[expect(clippy::ptr_arg, reason = "as every edit of fields")]
fn mark_ignorable(fields: &mut Vec<Field>) {
    fields.iter_mut().for_each(|field| field.critical = false);
}

fn later() -> Field {
    ignorable(99, "of a later version")
}

fn unknown_values() -> Vector {
    let mut vector = sample("unknown-values", &UNKNOWN_VALUES);
    vector.expected["unknown_snapshots"] = json!([hex(&[0xd0; 16]), hex(&[0xd1; 16]), hex(&NOTHING)]);
    vector
}

/// A kind of protector, an action, and statuses and ends of rows that no version knows yet; a pack that was marked and
/// made live again as often as can be.
const UNKNOWN_VALUES: [Edit; 4] = [
    Edit::Clear(|fields| {
        let protector = record(&[critical(1, [9; 4]), integer(2, 99), critical(3, "of a later version")]);
        value(fields, 3).extend(string(&protector));
    }),
    Edit::Config(|fields| {
        let label = [string(b"later"), signed(1_700_000_000), varint(0)].concat();
        value(fields, 2).extend(label);
    }),
    Edit::Commit(|fields| *value(fields, 4) = varint(99)),
    Edit::Rows(|rows| {
        rows.0[PACKS][0].1[0] = 254;
        rows.0[PACKS][0].1.extend(b"of a later version");
        rows.0[INDEXES][0].1.extend(b"of a later version");
        rows.0[COMMITS][0].1[0] = 9;
        rows.0[COMMITS][0].1.extend(b"of a later version");
        rows.set(SNAPSHOTS, NOTHING, vec![9]);
        rows.set(SNAPSHOTS, [0xd0; 16], [&[128][..], b"of a later version"].concat());
        rows.set(SNAPSHOTS, [0xd1; 16], vec![1]);
        rows.set(INDEXES, NOTHING, [vec![9], varints(&[3, 4096]), vec![1; 16], varint(2)].concat());
        (0..3).for_each(|table| rows.set(table + 1, [0x11; 16], vec![9]));
    }),
];

/// A full commit has rows of later versions; a delta upon it moves one along and adds one. Two tips upon that, a full one and a
/// delta, move the former on at once; the delta adds another. The device has seen the first delta.
const ROWS_OF_LATER_VERSIONS: [Edit; 3] = [
    Edit::FirstCommit(|fields| fields.push(ignorable(16, first_of_later_versions().encode(LATER)))),
    Edit::Rows(|rows| {
        rows.set(LATER, [1; 16], b"\x01moved along".to_vec());
        rows.set(LATER, [3; 16], vec![255]);
    }),
    Edit::After(|repo| {
        remember_second(repo);
        put_third_commit(repo, 0, |commit| {
            commit.tables = first_of_later_versions().joined(&commit.tables);
            commit.tables.set(LATER, [1; 16], b"\x01moved by the other".to_vec());
        });
        let mut tables = Tables::default();
        tables.set(COMMITS, repo.commits[1], commit_row(0, SECOND_FILE));
        tables.set(LATER, [1; 16], b"\x01moved by one".to_vec());
        tables.set(LATER, [4; 16], b"\x00of a later version".to_vec());
        let (file, parents) = (format!("{THIRD_FILE}-0badcafe"), vec![(repo.commits[1], SECOND_FILE.to_owned())]);
        let other = first_commit(repo.named_config, tables);
        let other = Commit { file: file.clone(), number: 3, parents, growth: [2, 300, 200], ..other };
        repo.put_commit(&file, 0, &record(&other.fields()));
    }),
];

fn first_of_later_versions() -> Tables {
    let mut tables = Tables::default();
    tables.set(LATER, [1; 16], b"\x00at first".to_vec());
    tables.set(LATER, [2; 16], b"\x02of a later version".to_vec());
    tables
}

/// They are read like data (spec §8.3).
fn class_as_later_versions(table: &mut Table) {
    table.segments[DATA].tag = 0x03;
    table.segments[ZSTD].tag = 0x1f;
    table.segments[NODES].tag = 0x0f;
}

/// What other programs leave behind, and names that are none.
fn add_strays(repo: &mut Repo) {
    let names = [
        "config/Thumbs.db",
        "config/000000001-short",
        "config/0000000009x",
        "commits/.stfolder",
        "commits/00000000003",
        "commits/9223372036854775808",
        "commits/0000000003 (conflict)",
        "commits/nested/0000000003",
        "index/notes.txt",
        "index/dddddddddddddddddddddddddddddddd",
        "packs/D1D1D1D1D1D1D1D1D1D1D1D1D1D1D1D1",
        "packs/dddddddddddddddddddddddddddddddd",
        "packs/dddd",
        "tmp/put-1",
        "readme.html",
    ];
    repo.objects.extend(names.map(|name| (name.to_owned(), b"nobody wrote this".to_vec())));
}

/// Beside a rotation, a commit under the old key that a newer version wrote, or who stole that key.
fn outdated_and_newer() -> Vector {
    let name = "outdated-and-newer";
    let mut repo = build(name, &[Edit::After(|repo| rotate(repo, repo.older(1), repo.older(1)))]);
    let newer = Commit { file: "0000000004".to_owned(), number: 4, ..first_commit((1, [0; 16]), Tables::default()) };
    let newer = [newer.fields(), vec![critical(17, "of a later version")]].concat();
    repo.put_commit("0000000004", 0, &record(&newer));
    let mut expected = valid(&sample_snapshots(&repo));
    expected["outdated"] = json!(["commits/0000000004"]);
    Vector::forged(name, repo, expected)
}

fn remove_index(repo: &mut Repo) {
    repo.objects.remove(&crate::expected::object("index", &HURT_INDEX));
}

/// One index object tells of a pack twice, and of one that was dropped; another was superseded and is gone.
const TOLD_OF_TWICE: [Edit; 2] = [
    Edit::Index(|body| {
        let again = body.clone();
        let dropped = [NOTHING.to_vec(), again[16..].to_vec()].concat();
        body.extend([again, dropped].concat());
    }),
    Edit::Rows(|rows| {
        rows.set(PACKS, NOTHING, [vec![255], varint(4096), vec![1; 32], varint(2)].concat());
        rows.set(INDEXES, NOTHING, [vec![1], varints(&[0, 4096]), vec![1; 16], varint(2)].concat());
    }),
];

/// The device has seen the second commit. The third one, which the second one is an ancestor of, marks a pack and has
/// another index object in the place of one.
fn remember_and_leave_out(repo: &mut Repo) {
    remember_second(repo);
    let first = repo.commits[0];
    put_third_commit(repo, 0, |commit| commit.tables.0[COMMITS].retain(|(id, _)| *id != first));
}

/// The first commit, which the second one is a delta upon, was damaged, and then taken away. The device that has seen the
/// second keeps it whole.
fn remember_and_lose_ancestor(repo: &mut Repo) {
    let mut tables = repo.tables.clone();
    tables.set(COMMITS, repo.commits[0], commit_row(0, FIRST_FILE));
    let whole = Commit { file: SECOND_FILE.to_owned(), number: 2, ..first_commit(repo.named_config, tables) };
    repo.commits[1] = repo.put_commit(SECOND_FILE, 0, &record(&whole.fields()));
    remember_and_leave_out(repo);
    repo.objects.remove(&format!("commits/{FIRST_FILE}"));
}

pub(super) fn remember_second(repo: &mut Repo) {
    let tip = json!({ "id": hex(&repo.commits[1]), "name": SECOND_FILE });
    repo.memory = Some(json!({ "tips": [tip], "seconds": 1_790_000_000 }));
}

/// Another device published at the same time, and marked a pack.
fn remember_beside_another(repo: &mut Repo) {
    remember_second(repo);
    put_third_commit(repo, 0, |commit| {
        commit.tables.0[COMMITS].retain(|(_, row)| *row != commit_row(0, SECOND_FILE));
        let row = &mut commit.tables.0[PACKS][1].1;
        row[0] = 1;
        row.push(3);
    });
}

fn remember_and_continue(repo: &mut Repo) {
    remember_second(repo);
    put_third_commit(repo, 0, |commit| {
        let tables = &mut commit.tables.0;
        for (table, row) in [(PACKS, 1), (INDEXES, 1)] {
            tables[table][row].1[0] = 1;
            tables[table][row].1.push(3);
        }
    });
}

/// A source that is a file and no folder: its list has the root alone.
fn source_of_one_file() -> Vector {
    let name = "source-of-one-file";
    let mut repo = Repo::new(name);
    let contents = b"hello".to_vec();
    let block = block(&lines(&[(b"", file(FILE, &contents, &[[0, 0, 1]]))]));
    let node = record(&file_list(KEPT, &[[0, 1, 1]], block.len()));
    let pack = put_plain_pack(&mut repo, KEPT, 0, std::slice::from_ref(&contents), &[block, node]);
    publish_packs(&mut repo, &[pack], snapshot(1, &[source("hello.txt", 1, (KEPT, 2))]));
    let mut told = Snapshot { number: 1, id: hex(&repo.snapshots[0]), ..Snapshot::default() };
    told.file(b"hello.txt", &contents);
    Vector::forged(name, repo, valid(&[told]))
}

/// Every kind of entry and every flag, in a list whose paths are as odd as they may be.
fn every_kind_of_entry() -> Vector {
    let name = "every-kind-of-entry";
    let mut repo = Repo::new(name);
    let [chunk, first, second, holes] = [vec![1; 9], vec![2; 30], vec![3; 20], vec![0; 40]];
    let (page, last, large_page) = (vec![4; 512], vec![5; 11], vec![6; 1024]);
    let (hashed, db) = ([&first[..], &second, &first].concat(), [&page[..], &last].concat());
    let merged = [&large_page[..], &large_page].concat();
    let data = [chunk.clone(), first, second, holes.clone(), page, last, large_page];
    let maps = [
        page_map(KEPT, 512, 523, run(0, 0, 4, 2)),
        page_map(KEPT, 1024, 2048, [run(0, 0, 6, 1), run(0, 0, -1, 1)].concat()),
        page_map(KEPT, 65_536, 0, Vec::new()),
    ];
    let with = |metadata: Vec<u8>, tag: u8, rest: &[u8]| [vec![tag], metadata, rest.to_vec()].concat();
    let one_chunk = [varint(9), varint(1), varints(&[0, 0, 1])].concat();
    let before_1970 = metadata_of(0o7777, (-86_401, 999_999_999), (i64::MIN, 0));
    let entries: Vec<(&[u8], Vec<u8>)> = vec![
        (b"", folder()),
        (b"a", with(metadata_of(0o700, (i64::MIN, 0), (0, 0)), FOLDER, &[])),
        (b"a/b", with(before_1970.clone(), FOLDER, &[])),
        (b"a/b/c", file(FILE, &chunk, &[[0, 0, 1]])),
        (b"a/c", file(FILE, &[], &[])),
        (b"a-b", file(FILE | HASHED, &chunk, &[[0, 0, 1]])),
        (b"a.b", with(metadata_of(0, (i64::MAX, 999_999_999), (i64::MAX, 999_999_999)), FILE, &one_chunk)),
        (b"control-\x1b[2J\n-and-\x7f", file(FILE, &chunk, &[[0, 0, 1]])),
        (b"db", paged(0, &db, 512, [0, 7, 1])),
        (b"db-empty", paged(0, &[], 65_536, [0, 9, 1])),
        (b"db-merged", paged(MERGED, &merged, 1024, [0, 8, 1])),
        (b"hashed", file(FILE | HASHED, &hashed, &[[0, 1, 2], [0, 1, 1]])),
        (b"hashed-again", entry(HARD_LINK, &string(b"hashed"))),
        (b"link", entry(SYMLINK, &string(link_target(b"link")))),
        (b"link-empty", entry(SYMLINK, &string(link_target(b"link-empty")))),
        (b"not-utf8-\xff\xfe", file(FILE, &chunk, &[[0, 0, 1]])),
        (b"percent-%41", file(FILE, &chunk, &[[0, 0, 1]])),
        (b"sparse", file(FILE | SPARSE, &holes, &[[0, 3, 1]])),
        (b"\xc3\xa4-composed", file(FILE, &chunk, &[[0, 0, 1]])),
        (b"\xf0\x9f\x98\x80", with(before_1970, SYMLINK, &string(link_target(b"\xf0\x9f\x98\x80")))),
    ];
    let block = block(&lines(&entries));
    let node = record(&file_list(KEPT, &[[0, 10, 1]], block.len()));
    let empty = record(&file_list(KEPT, &[], 0));
    let nodes = [&maps.map(|map| record(&map))[..], &[block, node, empty]].concat();
    let pack = put_plain_pack(&mut repo, KEPT, 0, &data, &nodes);
    let sources = [source("an empty list", 0, (KEPT, 12)), source("odd %", 13, (KEPT, 11))];
    publish_packs(&mut repo, &[pack], snapshot(1, &sources));

    let mut told = Snapshot { number: 1, id: hex(&repo.snapshots[0]), ..Snapshot::default() };
    let contents = |path: &[u8]| match path {
        b"a/c" | b"db-empty" => Vec::new(),
        b"db" => db.clone(),
        b"db-merged" => merged.clone(),
        b"hashed" => hashed.clone(),
        b"sparse" => holes.clone(),
        _ => chunk.clone(),
    };
    for (path, entry) in entries {
        let place = [if path.is_empty() { &b"odd %"[..] } else { b"odd %/" }, path].concat();
        match entry[0] & 7 {
            FOLDER => told.folders.push(escape(&place)),
            FILE => told.file(&place, &contents(path)),
            SYMLINK => drop(told.links.insert(escape(&place), escape(link_target(path)))),
            _ => drop(told.hard_links.insert(escape(&place), escape(b"odd %/hashed"))),
        }
    }
    Vector::forged(name, repo, valid(&[told]))
}

/// Where the links of that list point to.
fn link_target(path: &[u8]) -> &'static [u8] {
    match path {
        b"link" => b"../\xff/elsewhere",
        b"link-empty" => b"",
        _ => b"a",
    }
}

/// How deep a chain may be (spec §13), and how many layers it has then.
const DEEPEST: u64 = 128;
const LAYERS: u64 = DEEPEST + 1;

/// A list, a map and a commit as the deepest delta upon a full one each, and after it the list whole again.
fn chains_as_deep_as_allowed() -> Vector {
    let name = "chains-as-deep-as-allowed";
    let mut repo = Repo::new(name);
    // Contents by position: for each depth a page, then for each a map, then for each a block and a node, and a full list.
    let pages: Vec<Vec<u8>> = (0..=128).map(|number| vec![number; 512]).collect();
    let mut nodes: Vec<Vec<u8>> = Vec::new();
    let mut contents: Vec<Vec<u8>> = Vec::new();
    for depth in 0..LAYERS {
        let map = if depth == 0 { run(0, 0, 0, 1) } else { run(depth % 4, 0, i64::try_from(depth).unwrap(), 1) };
        let (page, len) = (usize::try_from(depth % 4).unwrap(), 512 * (depth + 1).min(4));
        let map = page_map(KEPT, 512, len, map);
        let map = if depth == 0 { map } else { on_base(&map, (KEPT, DEEPEST + depth), [depth, 60, depth * 60]) };
        nodes.push(record(&map));
        let bytes = pages[usize::try_from(depth).unwrap()].clone();
        if page < contents.len() { contents[page] = bytes } else { contents.push(bytes) }
    }
    let path = |depth: u64| format!("file-{depth:03}");
    let of = |depth: u64| file(FILE, &pages[usize::try_from(depth).unwrap()], &[[0, depth, 1]]);
    let whole = contents.concat();
    for depth in 0..LAYERS {
        let db = |depth: u64| paged(0, &contents_at(&pages, depth), 512, [0, LAYERS + depth, 1]);
        let mut own: Vec<(Vec<u8>, Vec<u8>)> = vec![(b"db".to_vec(), db(depth)), (path(depth).into_bytes(), of(depth))];
        if depth == 0 {
            own.insert(0, (Vec::new(), folder()));
        } else if depth % 2 == 0 {
            // Every second file goes when the next but one comes.
            own.insert(1, (path(depth - 2).into_bytes(), vec![REMOVED]));
        }
        let own: Vec<(&[u8], Vec<u8>)> = own.iter().map(|(path, entry)| (path.as_slice(), entry.clone())).collect();
        let block = block(&lines(&own));
        let node = file_list(KEPT, &[[0, 2 * (LAYERS + depth), 1]], block.len());
        let node =
            if depth == 0 { node } else { on_base(&node, (KEPT, 2 * (LAYERS + depth) - 1), [depth, 60, depth * 60]) };
        nodes.extend([block, record(&node)]);
    }
    let there: Vec<u64> = (0..LAYERS).filter(|depth| depth % 2 == 1 || *depth == DEEPEST).collect();
    let paths: Vec<String> = there.iter().map(|depth| path(*depth)).collect();
    let mut entries = vec![(&b""[..], folder()), (b"db", paged(0, &whole, 512, [0, 2 * LAYERS - 1, 1]))];
    entries.extend(there.iter().zip(&paths).map(|(depth, path)| (path.as_bytes(), of(*depth))));
    let block = block(&lines(&entries));
    nodes.push(block.clone());
    nodes.push(record(&file_list(KEPT, &[[0, 4 * LAYERS, 1]], block.len())));
    let pack = put_plain_pack(&mut repo, KEPT, 0, &pages, &nodes);

    let told = commit_chain(&mut repo, &pack, &whole, &there);
    Vector::forged(name, repo, valid(&told))
}

/// The database after so many deltas.
fn contents_at(pages: &[Vec<u8>], depth: u64) -> Vec<u8> {
    let newest = |page: u64| (0..=depth).rev().find(|depth| depth % 4 == page);
    (0..4).filter_map(newest).flat_map(|depth| pages[usize::try_from(depth).unwrap()].clone()).collect()
}

/// Commits of which each is based on the one before. The last but one publishes the deepest list, the last one the full
/// list that is the same.
fn commit_chain(repo: &mut Repo, pack: &crate::forge::PackInfo, db: &[u8], there: &[u64]) -> Vec<Snapshot> {
    let (clear, body) = repo.config(1, 0);
    let config = (1, repo.put_config(CONFIG_FILE, 0, &clear, &body));
    let row = repo.put_index(KEPT_INDEX, 0, 0, &pack.encode());
    let mut told = Vec::new();
    let mut before: Option<([u8; 16], String)> = None;
    for depth in 0..LAYERS {
        let mut tables = Tables::default();
        if depth == 0 {
            tables.set(INDEXES, KEPT_INDEX, row.clone());
            tables.set(PACKS, KEPT, pack.row(0, None));
        }
        if let Some((id, file)) = &before {
            tables.set(COMMITS, *id, [vec![0], string(file.as_bytes())].concat());
        }
        if depth >= DEEPEST - 1 {
            let root = if depth < DEEPEST { 4 * LAYERS - 1 } else { 4 * LAYERS + 1 };
            publish(repo, &mut tables, snapshot(depth + 1, &[source("s", 17, (KEPT, root))]));
            let id = hex(&repo.snapshots[repo.snapshots.len() - 1]);
            let mut snapshot = Snapshot { number: depth + 1, id, folders: vec!["s".into()], ..Snapshot::default() };
            snapshot.file(b"s/db", db);
            for depth in there {
                snapshot.file(format!("s/file-{depth:03}").as_bytes(), &[u8::try_from(*depth).unwrap(); 512]);
            }
            told.push(snapshot);
        }
        let file = format!("{:010}", depth + 1);
        let growth = if depth == 0 { [0; 3] } else { [depth, 300, (depth - 1) * 200] };
        let parents = before.into_iter().collect();
        let commit = Commit { file: file.clone(), number: depth + 1, parents, growth, ..first_commit(config, tables) };
        before = Some((repo.put_commit(&file, 0, &record(&commit.fields())), file));
    }
    told
}
