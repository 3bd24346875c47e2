//! The repository that every invalid one is a copy of, but for one defect.
//!
//! Its first commit publishes a snapshot of the source `kept`, its second one a snapshot of `kept` and `hurt`. What is
//! wrong is in `hurt`, in the pack [`HURT`] or in what tells of it, so that it can be seen what a reader still gives.
//! Every file consists of its own path, over and over.

use hushkeep_core::keys::ObjectKind;

use crate::forge::{Commit, PackInfo, Repo, Segment, commit_id};
use crate::parts::*;

/// The pack of the source `kept`, and the list that it introduces.
pub(crate) const KEPT: [u8; 16] = [0xa1; 16];
/// The pack of the source `hurt`, and the list that it introduces.
pub(crate) const HURT: [u8; 16] = [0xb1; 16];
/// A pack with copies of contents of both lists, which only some have.
pub(crate) const COPIES: [u8; 16] = [0xe1; 16];
/// The index objects of the two packs.
pub(crate) const KEPT_INDEX: [u8; 16] = [0xc1; 16];
pub(crate) const HURT_INDEX: [u8; 16] = [0xc2; 16];
/// An id that nothing has.
pub(crate) const NOTHING: [u8; 16] = [0xee; 16];

pub(crate) const CONFIG_FILE: &str = "0000000001-5eed5eed";
pub(crate) const FIRST_FILE: &str = "0000000001";
pub(crate) const SECOND_FILE: &str = "0000000002";
pub(crate) const THIRD_FILE: &str = "0000000003";
pub(crate) const SECOND_CONFIG_FILE: &str = "0000000002-0badcafe";

/// Positions in the list [`HURT`]: contents of the data segment.
pub(crate) const ONE: u64 = 0;
pub(crate) const TWO: u64 = 1;
pub(crate) const DEEP: u64 = 6;
/// The content of the compressed segment.
pub(crate) const PACKED: u64 = 7;
/// Contents of the segment of nodes.
pub(crate) const FULL_MAP: u64 = 8;
pub(crate) const MAP: u64 = 9;
pub(crate) const ROOT_BLOCK: u64 = 10;
pub(crate) const FULL_NODE: u64 = 12;
pub(crate) const NODE: u64 = 14;

/// The segments of the pack [`HURT`], in order.
pub(crate) const DATA: usize = 0;
pub(crate) const ZSTD: usize = 1;
pub(crate) const NODES: usize = 2;
pub(crate) const NAMES: usize = 3;

/// Every file and link of the newest snapshot.
pub(crate) const ALL: [&str; 8] =
    ["hurt/db", "hurt/dir/deep", "hurt/link", "hurt/one", "hurt/other-name", "hurt/packed", "hurt/two", "kept/a"];

/// What is changed on the way from the files to the objects. All that comes after it fits what was changed.
#[derive(Clone, Copy)]
pub(crate) enum Edit {
    /// The plaintext of the data segment of `HURT`.
    Data(fn(&mut Vec<u8>)),
    /// The Zstandard frame of the compressed segment.
    Frame(fn(&mut Vec<u8>)),
    /// The name list, and the same encoded.
    Names(fn(&mut Names)),
    NameBytes(fn(&mut Vec<u8>)),
    /// The table of the pack, and the same encoded.
    Table(fn(&mut Table)),
    TableBytes(fn(&mut Vec<u8>)),
    /// The older layer of the page map, and the newer one.
    FullMap(fn(&mut Vec<Field>)),
    Map(fn(&mut Vec<Field>)),
    /// The second block of the older layer of the file list. (The first holds the root alone.)
    Lines(fn(&mut Vec<Line>)),
    /// The only block of the newer layer.
    Changes(fn(&mut Vec<Line>)),
    /// The node of the older layer, and of the newer one, and the latter encoded.
    FullNode(fn(&mut Vec<Field>)),
    Node(fn(&mut Vec<Field>)),
    NodeBytes(fn(&mut Vec<u8>)),
    /// Has the second commit name the pack `COPIES` too, and changes its table.
    Copies(fn(&mut Table)),
    /// What the second index object says of the pack.
    Pack(fn(&mut PackInfo)),
    /// The body of the second index object, and the same coded.
    Index(fn(&mut Vec<u8>)),
    IndexCoded(fn(&mut Vec<u8>)),
    /// The record of the source `hurt` in the second snapshot, and the record of that snapshot.
    Source(fn(&mut Vec<Field>)),
    Snapshot(fn(&mut Vec<Field>)),
    /// What the second commit adds to the tables, and its fields, encoded, and coded.
    Rows(fn(&mut Tables)),
    Commit(fn(&mut Vec<Field>)),
    CommitBytes(fn(&mut Vec<u8>)),
    CommitCoded(fn(&mut Vec<u8>)),
    /// The fields of the first commit.
    FirstCommit(fn(&mut Vec<Field>)),
    /// The clear and the sealed part of the config.
    Clear(fn(&mut Vec<Field>)),
    Config(fn(&mut Vec<Field>)),
    /// What lies on the storage in the end.
    After(fn(&mut Repo)),
}

/// Applies the edits of one kind.
macro_rules! apply {
    ($edits:expr, $kind:ident, $to:expr) => {
        for edit in $edits {
            if let Edit::$kind(change) = edit {
                change($to);
            }
        }
    };
}

/// A file's own path, over and over.
pub(crate) fn text(path: &str, len: usize) -> Vec<u8> {
    path.bytes().cycle().take(len).collect()
}

/// Two pages, of which the last is short. They are the contents 3 and 4; the content 5 is the last page as it was before.
pub(crate) fn database() -> Vec<u8> {
    text("hurt/db", 688)
}

pub(crate) fn build(name: &str, edits: &[Edit]) -> Repo {
    let mut repo = Repo::new(name);
    let (mut clear, mut body) = repo.config(1, 0);
    apply!(edits, Clear, &mut clear);
    apply!(edits, Config, &mut body);
    let config = (1, repo.put_config(CONFIG_FILE, 0, &clear, &body));

    let kept = put_kept(&mut repo);
    let (first, tables) = put_first_commit(&mut repo, config, &kept, edits);

    let mut hurt = put_hurt(&mut repo, edits);
    apply!(edits, Pack, &mut hurt);
    let copies = put_copies(&mut repo, edits);
    let row = put_hurt_index(&mut repo, &[vec![hurt.clone()], copies.clone()].concat(), edits);
    let mut rows = Tables::default();
    copies.iter().for_each(|copies| rows.set(PACKS, COPIES, copies.row(0, None)));
    rows.set(PACKS, HURT, hurt.row(0, None));
    rows.set(INDEXES, HURT_INDEX, row);
    rows.set(COMMITS, first, commit_row(0, FIRST_FILE));
    put_second_commit(&mut repo, config, first, (tables, rows), edits);
    apply!(edits, After, &mut repo);
    repo
}

/// A pack with one file, a block and a node.
pub(crate) fn put_kept(repo: &mut Repo) -> PackInfo {
    let contents = text("kept/a", 10);
    let block = block(&lines(&[(b"", folder()), (b"a", file(FILE, &contents, &[[0, 0, 1]]))]));
    let node = record(&file_list(KEPT, &[[0, 1, 1]], block.len()));
    put_plain_pack(repo, KEPT, 0, &[contents], &[block, node])
}

/// A pack that introduces its list: data and nodes in a segment each, as they are.
pub(crate) fn put_plain_pack(
    repo: &mut Repo,
    id: [u8; 16],
    epoch: u32,
    data: &[Vec<u8>],
    nodes: &[Vec<u8>],
) -> PackInfo {
    let names = repo.names(epoch, &[data, nodes].concat()).encode();
    let lists = [ListRow::new(id, u64::from(epoch), &names)];
    let (first, second) = (data.len() as u64, nodes.len() as u64);
    let segments = [
        plain(0, data.concat(), vec![[0, 0, first]]),
        plain(1, nodes.concat(), vec![[0, first, second]]),
        plain(2, names, vec![[0, 0, first + second]]),
    ];
    let segments: Vec<Segment> = segments.into_iter().filter(|segment| segment.len > 0).collect();
    repo.put_pack(id, epoch, &lists, &segments, |table| table.encode())
}

/// A segment as it is.
pub(crate) fn plain(tag: u8, plaintext: Vec<u8>, stretches: Vec<[u64; 3]>) -> Segment {
    Segment { tag, len: plaintext.len(), plaintext, stretches }
}

fn put_hurt(repo: &mut Repo, edits: &[Edit]) -> PackInfo {
    let (one, two, deep) = (text("hurt/one", 20), text("hurt/two", 55), text("hurt/dir/deep", 30));
    let (db, older_page, packed) = (database(), vec![b'.'; 176], text("hurt/packed", 300));
    let data = [&one[..], &two[..30], &two[30..], &db[..512], &db[512..], &older_page, &deep];
    let data = data.map(<[u8]>::to_vec);
    let nodes = nodes([&one, &two, &deep, &packed], &db, edits);

    let contents = [&data[..], std::slice::from_ref(&packed), &nodes].concat();
    let mut names = repo.names(0, &contents);
    apply!(edits, Names, &mut names);
    let mut names = names.encode();
    apply!(edits, NameBytes, &mut names);
    let mut frame = zstd::bulk::compress(&packed, 3).unwrap();
    apply!(edits, Frame, &mut frame);
    let mut bytes = data.concat();
    apply!(edits, Data, &mut bytes);

    let lists = [ListRow::new(HURT, 0, &names)];
    let segments = [
        plain(0x00, bytes, vec![[0, 0, PACKED]]),
        Segment { tag: 0x10, plaintext: frame, len: packed.len(), stretches: vec![[0, PACKED, 1]] },
        plain(0x01, nodes.concat(), vec![[0, FULL_MAP, nodes.len() as u64]]),
        plain(0x02, names, vec![[0, 0, contents.len() as u64]]),
    ];
    repo.put_pack(HURT, 0, &lists, &segments, |table| {
        apply!(edits, Table, table);
        let mut bytes = table.encode();
        apply!(edits, TableBytes, &mut bytes);
        bytes
    })
}

/// A pack with copies of some contents of both lists, as repacking makes it; if an edit asks for it.
fn put_copies(repo: &mut Repo, edits: &[Edit]) -> Vec<PackInfo> {
    if !edits.iter().any(|edit| matches!(edit, Edit::Copies(_))) {
        return Vec::new();
    }
    let [kept_names, hurt_names] = [KEPT, HURT].map(|id| repo.name_lists[&id].clone());
    let lists = [(KEPT, &kept_names), (HURT, &hurt_names)];
    let lists = lists.map(|(id, names)| ListRow::new(id, 0, names));
    let data = [text("kept/a", 10), text("hurt/one", 20), text("hurt/two", 55), text("hurt/dir/deep", 30)].concat();
    let segments = [
        plain(0x00, data, vec![[0, 0, 1], [1, ONE, 3], [1, DEEP, 1]]),
        plain(0x02, kept_names, vec![[0, 0, 3]]),
        plain(0x02, hurt_names, vec![[1, 0, NODE + 1]]),
    ];
    let info = repo.put_pack(COPIES, 0, &lists, &segments, |table| {
        apply!(edits, Copies, table);
        table.encode()
    });
    vec![info]
}

/// The nodes and blocks of `hurt`, from the position [`FULL_MAP`] on.
fn nodes([one, two, deep, packed]: [&Vec<u8>; 4], db: &[u8], edits: &[Edit]) -> Vec<Vec<u8>> {
    let older_db = [&db[..512], &[b'.'; 176]].concat();
    let mut full_map = page_map(HURT, 512, 688, [run(0, 0, 3, 1), run(0, 0, 1, 1)].concat());
    apply!(edits, FullMap, &mut full_map);
    let mut map = page_map(HURT, 512, 688, run(1, 0, 4, 1));
    map = on_base(&map, (HURT, FULL_MAP), [1, 60, 0]);
    apply!(edits, Map, &mut map);

    let root = block(&lines(&[(b"", folder())]));
    let mut others = lines(&[
        (b"db", paged(0, &older_db, 512, [0, FULL_MAP, 1])),
        (b"dir", folder()),
        (b"dir/deep", file(FILE, deep, &[[0, DEEP, 1]])),
        (b"gone", file(FILE, one, &[[0, ONE, 1]])),
        (b"link", entry(SYMLINK, &string(b"one"))),
        (b"one", file(FILE, one, &[[0, ONE, 1]])),
        (b"other-name", entry(HARD_LINK, &string(b"one"))),
        (b"packed", file(FILE, packed, &[[0, PACKED, 1]])),
        (b"two", file(FILE | HASHED, two, &[[0, TWO, 2]])),
    ]);
    apply!(edits, Lines, &mut others);
    let others = block(&others);
    let mut full = file_list(HURT, &[[0, ROOT_BLOCK, 1], [0, ROOT_BLOCK + 1, 1]], root.len() + others.len());
    apply!(edits, FullNode, &mut full);
    let mut changes = lines(&[(b"db", paged(0, db, 512, [0, MAP, 1])), (b"gone", vec![REMOVED])]);
    apply!(edits, Changes, &mut changes);
    let changes = block(&changes);
    let mut node = on_base(
        &file_list(HURT, &[[0, FULL_NODE + 1, 1]], changes.len()),
        (HURT, FULL_NODE),
        [1, (root.len() + others.len() + record(&full).len()) as u64, 0],
    );
    apply!(edits, Node, &mut node);
    let mut node = record(&node);
    apply!(edits, NodeBytes, &mut node);
    vec![record(&full_map), record(&map), root, others, record(&full), changes, node]
}

fn put_first_commit(repo: &mut Repo, config: (u64, [u8; 16]), kept: &PackInfo, edits: &[Edit]) -> ([u8; 16], Tables) {
    let index = repo.put_index(KEPT_INDEX, 0, 0, &kept.encode());
    let mut tables = Tables::default();
    publish(repo, &mut tables, snapshot(1, &[source("kept", 1, (KEPT, 2))]));
    tables.set(PACKS, KEPT, kept.row(0, None));
    tables.set(INDEXES, KEPT_INDEX, index);
    let mut commit = first_commit(config, tables.clone()).fields();
    apply!(edits, FirstCommit, &mut commit);
    (repo.put_commit(FIRST_FILE, 0, &record(&commit)), tables)
}

/// A commit without parents.
pub(crate) fn first_commit(config: (u64, [u8; 16]), tables: Tables) -> Commit {
    let (older, growth) = (Vec::new(), [0; 3]);
    let file = FIRST_FILE.to_owned();
    Commit { file, number: 1, parents: Vec::new(), action: 1, config, older, growth, tables }
}

fn put_hurt_index(repo: &mut Repo, packs: &[PackInfo], edits: &[Edit]) -> Vec<u8> {
    let mut body = packs.iter().flat_map(PackInfo::encode).collect();
    apply!(edits, Index, &mut body);
    let mut coded = [vec![0], body.clone()].concat();
    apply!(edits, IndexCoded, &mut coded);
    let name = format!("index/{}", crate::forge::hex(&HURT_INDEX));
    repo.put_single(&name, 0, ObjectKind::Index, Vec::new(), &coded);
    repo.index_row(&name, 0, &body)
}

fn put_second_commit(
    repo: &mut Repo,
    config: (u64, [u8; 16]),
    first: [u8; 16],
    (before, mut rows): (Tables, Tables),
    edits: &[Edit],
) {
    let mut hurt = source("hurt", 6, (HURT, NODE));
    apply!(edits, Source, &mut hurt);
    let mut snapshot = fields(&snapshot(2, &[hurt, source("kept", 1, (KEPT, 2))]));
    apply!(edits, Snapshot, &mut snapshot);
    publish(repo, &mut rows, record(&snapshot));
    apply!(edits, Rows, &mut rows);
    (repo.tables, repo.named_config) = (before.joined(&rows), config);
    let parents = vec![(first, FIRST_FILE.to_owned())];
    let full_len = before.0.iter().map(|rows| rows.len() as u64 * 80).sum();
    let file = SECOND_FILE.to_owned();
    let commit = Commit { file, number: 2, parents, growth: [1, full_len, 0], ..first_commit(config, rows) };
    let mut commit = commit.fields();
    apply!(edits, Commit, &mut commit);
    let mut body = record(&commit);
    apply!(edits, CommitBytes, &mut body);
    repo.commits.push(commit_id(&body));
    let mut coded = [vec![0], body].concat();
    apply!(edits, CommitCoded, &mut coded);
    repo.put_single(&format!("commits/{SECOND_FILE}"), 0, ObjectKind::Commit, Vec::new(), &coded);
}

/// A source of a snapshot (spec §11.3).
pub(crate) fn source(label: &str, files: u64, list: ([u8; 16], u64)) -> Vec<Field> {
    let root = [list.0.to_vec(), varint(list.1)].concat();
    let path = format!("/home/owner/{label}");
    vec![critical(1, label), critical(2, path), integer(3, files), integer(4, 1000), critical(5, root)]
}

pub(crate) fn snapshot(number: u64, sources: &[Vec<Field>]) -> Vec<u8> {
    let time = [signed(1_700_000_000 + i64::try_from(number).unwrap()), varint(7)].concat();
    let sources: Vec<u8> = sources.iter().flat_map(|source| string(&record(source))).collect();
    let device = critical(3, [0xd5; 16]);
    record(&[integer(1, number), critical(2, time), device, critical(4, "phone"), critical(5, sources), integer(6, 0)])
}

pub(crate) fn snapshot_id(record: &[u8]) -> [u8; 16] {
    digest("hushkeep/1 snapshot id", record)
}

/// Adds the row of a live snapshot.
pub(crate) fn publish(repo: &mut Repo, tables: &mut Tables, snapshot: Vec<u8>) {
    let id = snapshot_id(&snapshot);
    repo.snapshots.push(id);
    tables.set(SNAPSHOTS, id, [vec![0], snapshot].concat());
}

/// Everything that a repository of one commit needs around its packs; returns the commit's tables.
pub(crate) fn publish_packs(repo: &mut Repo, packs: &[PackInfo], snapshot: Vec<u8>) -> Tables {
    let (clear, body) = repo.config(1, 0);
    let config = (1, repo.put_config(CONFIG_FILE, 0, &clear, &body));
    let index = packs.iter().flat_map(PackInfo::encode).collect::<Vec<u8>>();
    let mut tables = Tables::default();
    let row = repo.put_index(KEPT_INDEX, 0, 0, &index);
    tables.set(INDEXES, KEPT_INDEX, row);
    packs.iter().for_each(|pack| tables.set(PACKS, pack.id, pack.row(0, None)));
    publish(repo, &mut tables, snapshot);
    repo.put_commit(FIRST_FILE, 0, &record(&first_commit(config, tables.clone()).fields()));
    tables
}

/// A third commit, under the keys of an epoch: it follows the second and has all tables, but for what `edit` changes.
pub(crate) fn put_third_commit(repo: &mut Repo, epoch: u32, edit: impl FnOnce(&mut Commit)) {
    let mut tables = repo.tables.clone();
    tables.set(COMMITS, repo.commits[1], commit_row(0, SECOND_FILE));
    let parents = vec![(repo.commits[1], SECOND_FILE.to_owned())];
    let action = if epoch == 0 { 3 } else { 5 };
    let older = repo.older(epoch);
    let file = THIRD_FILE.to_owned();
    let mut commit = Commit { file, number: 3, parents, action, older, ..first_commit(repo.named_config, tables) };
    edit(&mut commit);
    repo.put_commit(THIRD_FILE, epoch, &record(&commit.fields()));
}

/// A delta upon a third commit that began the epoch 1; it has all rows itself.
pub(crate) fn put_fourth_commit(repo: &mut Repo) {
    let (third, mut tables) = (repo.commits[2], repo.tables.clone());
    for (id, file) in [(repo.commits[0], FIRST_FILE), (repo.commits[1], SECOND_FILE), (third, THIRD_FILE)] {
        tables.set(COMMITS, id, commit_row(0, file));
    }
    let (file, parents) = ("0000000004".to_owned(), vec![(third, THIRD_FILE.to_owned())]);
    let (growth, older) = ([1, 300, 0], repo.older(1));
    let fourth = first_commit(repo.named_config, tables);
    let fourth = Commit { file, number: 4, parents, growth, older, ..fourth };
    repo.put_commit("0000000004", 1, &record(&fourth.fields()));
}

/// Puts a copy of a commit beside it, under a name of its own.
pub(crate) fn name_twice(repo: &mut Repo, file: &str) {
    let commit = repo.objects[&format!("commits/{file}")].clone();
    repo.objects.insert(format!("commits/{file}-0badcafe"), commit);
}

pub(crate) fn commit_row(status: u8, file: &str) -> Vec<u8> {
    [vec![status], string(file.as_bytes())].concat()
}

/// Begins the epoch 1, with these secrets of older epochs in config and commit. The owner has the new key.
pub(crate) fn rotate(repo: &mut Repo, in_config: Vec<u8>, in_commit: Vec<u8>) {
    put_second_config(repo, 1, |_, body| *value(body, 3) = in_config);
    repo.objects.remove(&format!("config/{CONFIG_FILE}"));
    repo.owner_epoch = 1;
    put_third_commit(repo, 1, |commit| commit.older = in_commit);
}

/// The same, by a commit that `edit` changes.
pub(crate) fn rotate_by(repo: &mut Repo, edit: impl FnOnce(&mut Commit)) {
    put_second_config(repo, 1, |_, _| {});
    repo.objects.remove(&format!("config/{CONFIG_FILE}"));
    repo.owner_epoch = 1;
    put_third_commit(repo, 1, edit);
}

/// A config of the number 2, which the next commit names.
pub(crate) fn put_second_config(repo: &mut Repo, epoch: u32, edit: impl FnOnce(&mut Vec<Field>, &mut Vec<Field>)) {
    let (mut clear, mut body) = repo.config(2, epoch);
    edit(&mut clear, &mut body);
    repo.named_config = (2, repo.put_config(SECOND_CONFIG_FILE, epoch, &clear, &body));
}
