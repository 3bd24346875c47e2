//! The encodings of the format, written down from its text once more, so loosely that they can say what is not allowed.

/// Appends to nothing: the bytes of an integer (spec §1.1).
pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    hushkeep_core::wire::put_varint(&mut out, value);
    out
}

pub(crate) fn signed(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    hushkeep_core::wire::put_signed(&mut out, value);
    out
}

/// A byte string (spec §1.2).
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| varint(*value)).collect()
}

/// The first 16 bytes of BLAKE3 in key derivation mode (spec §8.3).
pub(crate) fn digest(context: &str, input: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    blake3::Hasher::new_derive_key(context).update(input).finalize_xof().fill(&mut digest);
    digest
}

/// Reads what this program wrote itself.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    pub(crate) fn varint(&mut self) -> u64 {
        let mut reader = hushkeep_core::wire::Reader::new(self.0);
        let value = reader.varint().unwrap();
        self.0 = &self.0[self.0.len() - reader.remaining()..];
        value
    }

    pub(crate) fn string(&mut self) -> &'a [u8] {
        let len = usize::try_from(self.varint()).unwrap();
        self.take(len)
    }
}

/// A field of a record (spec §1.3).
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) critical: bool,
    pub(crate) value: Vec<u8>,
}

pub(crate) fn critical(number: u64, value: impl Into<Vec<u8>>) -> Field {
    Field { number, critical: true, value: value.into() }
}

pub(crate) fn ignorable(number: u64, value: impl Into<Vec<u8>>) -> Field {
    Field { number, critical: false, value: value.into() }
}

pub(crate) fn integer(number: u64, value: u64) -> Field {
    critical(number, varint(value))
}

pub(crate) fn record(fields: &[Field]) -> Vec<u8> {
    let field = |field: &Field| [varint(2 * field.number + u64::from(field.critical)), string(&field.value)].concat();
    fields.iter().flat_map(field).collect()
}

pub(crate) fn fields(record: &[u8]) -> Vec<Field> {
    let mut cursor = Cursor(record);
    let mut fields = Vec::new();
    while !cursor.0.is_empty() {
        let key = cursor.varint();
        fields.push(Field { number: key / 2, critical: key % 2 == 1, value: cursor.string().to_vec() });
    }
    fields
}

/// The value of the field with this number.
pub(crate) fn value(fields: &mut [Field], number: u64) -> &mut Vec<u8> {
    &mut fields.iter_mut().find(|field| field.number == number).unwrap().value
}

/// The table of a pack (spec §8.3).
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) lists: Vec<ListRow>,
    pub(crate) segments: Vec<SegmentRow>,
}

#[derive(Debug, Clone)]
pub(crate) struct ListRow {
    pub(crate) id: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) digest: [u8; 16],
}

impl ListRow {
    /// The row of a list of these names, encoded.
    pub(crate) fn new(id: [u8; 16], epoch: u64, names: &[u8]) -> Self {
        Self { id, epoch, digest: digest("hushkeep/1 name list", &[&varint(epoch), names].concat()) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SegmentRow {
    pub(crate) tag: u8,
    pub(crate) sealed_len: u64,
    pub(crate) len: u64,
    /// List, first position, count.
    pub(crate) stretches: Vec<[u64; 3]>,
}

impl Table {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = varint(self.lists.len() as u64);
        for list in &self.lists {
            out.extend([list.id.to_vec(), varint(list.epoch), list.digest.to_vec()].concat());
        }
        out.extend(varint(self.segments.len() as u64));
        for row in &self.segments {
            out.push(row.tag);
            out.extend(varints(&[row.sealed_len, row.len, row.stretches.len() as u64]));
            out.extend(row.stretches.iter().flat_map(|stretch| varints(stretch)));
        }
        out
    }
}

/// A name list (spec §8.4).
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) count: u64,
    /// Length, repeat.
    pub(crate) runs: Vec<[u64; 2]>,
    pub(crate) names: Vec<[u8; 16]>,
}

impl Names {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let runs = self.runs.iter().flat_map(|run| varints(run)).collect();
        [varint(self.count), runs, self.names.concat()].concat()
    }
}

/// A line of a block (spec §10.2).
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) shared: u64,
    pub(crate) rest: Vec<u8>,
    pub(crate) entry: Vec<u8>,
}

/// A line that shares nothing.
pub(crate) fn line(path: &[u8], entry: Vec<u8>) -> Line {
    Line { shared: 0, rest: path.to_vec(), entry }
}

/// The lines of a block, each sharing what it can with the one before.
pub(crate) fn lines(entries: &[(&[u8], Vec<u8>)]) -> Vec<Line> {
    let mut before: &[u8] = &[];
    let mut lines = Vec::new();
    for (path, entry) in entries {
        let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
        lines.push(Line { shared: shared as u64, rest: path[shared..].to_vec(), entry: entry.clone() });
        before = path;
    }
    lines
}

pub(crate) fn block(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| [varint(line.shared), string(&line.rest), line.entry.clone()].concat()).collect()
}

pub(crate) const REMOVED: u8 = 0;
pub(crate) const FOLDER: u8 = 1;
pub(crate) const FILE: u8 = 2;
pub(crate) const SYMLINK: u8 = 3;
pub(crate) const HARD_LINK: u8 = 4;
pub(crate) const SPARSE: u8 = 0x08;
pub(crate) const MERGED: u8 = 0x10;
pub(crate) const PAGES: u8 = 0x20;
pub(crate) const HASHED: u8 = 0x40;
pub(crate) const EXTRA: u8 = 0x80;

/// Mode 644 and the times that entries here have (spec §10.4).
pub(crate) fn metadata() -> Vec<u8> {
    metadata_of(0o644, (1_600_000_000, 7), (3, 9))
}

/// Mode, time of the contents, and that of the metadata as a distance from it.
pub(crate) fn metadata_of(mode: u64, modified: (i64, u64), changed: (i64, u64)) -> Vec<u8> {
    let (seconds, distance) = (signed(modified.0), signed(changed.0));
    [varint(mode), seconds, varint(modified.1), distance, varint(changed.1)].concat()
}

/// An entry without flag 80: its tag, metadata, and what follows for the kind.
pub(crate) fn entry(tag: u8, rest: &[u8]) -> Vec<u8> {
    [vec![tag], metadata(), rest.to_vec()].concat()
}

pub(crate) fn folder() -> Vec<u8> {
    entry(FOLDER, &[])
}

/// A file in chunks, with a hash if `tag` says so.
pub(crate) fn file(tag: u8, contents: &[u8], references: &[[u64; 3]]) -> Vec<u8> {
    let references = [varint(references.len() as u64), references.iter().flat_map(|r| varints(r)).collect()].concat();
    file_with(tag, contents, &references)
}

/// A file whose contents are named by a page map.
pub(crate) fn paged(tag: u8, contents: &[u8], page_size: u64, map: [u64; 3]) -> Vec<u8> {
    file_with(FILE | PAGES | HASHED | tag, contents, &[varint(page_size), varints(&map)].concat())
}

fn file_with(tag: u8, contents: &[u8], rest: &[u8]) -> Vec<u8> {
    let hash = if tag & HASHED == 0 { Vec::new() } else { blake3::hash(contents).as_bytes().to_vec() };
    entry(tag, &[varint(contents.len() as u64), hash, rest.to_vec()].concat())
}

/// A full file list of one list of contents, whose only anchor is its position 0 (spec §10.2).
pub(crate) fn file_list(list: [u8; 16], blocks: &[[u64; 3]], blocks_len: usize) -> Vec<Field> {
    let blocks: Vec<u8> = blocks.iter().flat_map(|block| varints(block)).collect();
    vec![critical(5, list), critical(6, varints(&[0, 0])), critical(7, blocks), integer(8, blocks_len as u64)]
}

/// A full page map of one list of contents (spec §10.5).
pub(crate) fn page_map(list: [u8; 16], page_size: u64, len: u64, runs: Vec<u8>) -> Vec<Field> {
    vec![integer(5, page_size), integer(6, len), critical(7, list), critical(8, runs)]
}

/// A run of a page map: gap, list, distance, count.
pub(crate) fn run(gap: u64, list: u64, distance: i64, count: u64) -> Vec<u8> {
    [varint(gap), varint(list), signed(distance), varint(count)].concat()
}

/// Makes a node a delta of another (spec §10.1): base, depth, full length, deltas' length.
pub(crate) fn on_base(node: &[Field], base: ([u8; 16], u64), growth: [u64; 3]) -> Vec<Field> {
    let base = critical(1, [base.0.to_vec(), varint(base.1)].concat());
    let growth = (2..).zip(growth).map(|(number, value)| integer(number, value));
    std::iter::once(base).chain(growth).chain(node.iter().cloned()).collect()
}

/// Rows of the five tables of a commit (spec §11.2).
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables(pub(crate) [Vec<([u8; 16], Vec<u8>)>; 5]);

pub(crate) const SNAPSHOTS: usize = 0;
pub(crate) const PACKS: usize = 1;
pub(crate) const INDEXES: usize = 2;
pub(crate) const COMMITS: usize = 3;
/// What later versions add.
pub(crate) const LATER: usize = 4;

impl Tables {
    /// Adds a row, or replaces that of the same key.
    pub(crate) fn set(&mut self, table: usize, key: [u8; 16], row: Vec<u8>) {
        self.0[table].retain(|(other, _)| *other != key);
        self.0[table].push((key, row));
        self.0[table].sort();
    }

    pub(crate) fn encode(&self, table: usize) -> Vec<u8> {
        self.0[table].iter().flat_map(|(key, row)| [key.to_vec(), string(row)].concat()).collect()
    }

    /// Everything here, and in `other` above it.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for (table, rows) in other.0.iter().enumerate() {
            rows.iter().for_each(|(key, row)| joined.set(table, *key, row.clone()));
        }
        joined
    }
}
