//! The tables that commits carry: snapshots, packs, index objects, and the commits before (spec §11.2).
//!
//! A row never disappears, and of two versions of a row the one that is further along wins: so tables can be
//! joined in any order, whoever wrote them, and always come out the same.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_bytes, put_varint};

use super::commit::CommitId;
use crate::snapshot::Snapshot;
use crate::storage::ObjectName;

/// Rows by their 16-byte key. A row's first byte is its status: the higher is further along.
type Table = BTreeMap<[u8; 16], Vec<u8>>;

/// The status of a row that counts.
const LIVE: u8 = 0;
/// The status of an index object whose rows another one holds.
const SUPERSEDED: u8 = 1;

/// What a repository consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    snapshots: Table,
    packs: Table,
    indexes: Table,
    commits: Table,
}

/// A pack that is part of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackRow {
    pub(crate) id: ObjectId,
    /// The object's length in bytes.
    pub(crate) len: u64,
    /// What [`PackInfo::digest`](crate::pack::PackInfo::digest) says: with it a commit covers every name and content.
    pub(crate) digest: [u8; 16],
}

/// An index object that is part of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub(crate) id: ObjectId,
    /// How often its rows were merged: index objects of one level are merged into one of the next.
    pub(crate) level: u64,
    /// The object's length in bytes.
    pub(crate) len: u64,
    /// What [`index::digest_of`](crate::index::digest_of) says of its body.
    pub(crate) digest: [u8; 16],
}

impl Tables {
    pub(crate) fn insert_snapshot(&mut self, snapshot: &Snapshot) {
        let row = [&[LIVE], snapshot.encode().as_slice()].concat();
        self.snapshots.insert(*snapshot.id.as_bytes(), row);
    }

    pub(crate) fn insert_pack(&mut self, pack: PackRow) {
        let mut row = vec![LIVE];
        put_varint(&mut row, pack.len);
        row.extend_from_slice(&pack.digest);
        self.packs.insert(*pack.id.as_bytes(), row);
    }

    pub(crate) fn insert_index(&mut self, index: IndexRow) {
        self.indexes.insert(*index.id.as_bytes(), index_row(LIVE, &index));
    }

    /// Marks an index object as merged into another.
    pub(crate) fn supersede_index(&mut self, index: IndexRow) {
        self.indexes.insert(*index.id.as_bytes(), index_row(SUPERSEDED, &index));
    }

    pub(super) fn insert_commit(&mut self, id: &CommitId, name: &ObjectName) {
        let mut row = vec![LIVE];
        put_bytes(&mut row, name.file().as_bytes());
        self.commits.entry(*id.as_bytes()).or_insert(row);
    }

    /// Drops the rows of commits with these file names.
    pub(super) fn drop_commits(&mut self, is_dropped: impl Fn(&str) -> bool) {
        self.commits
            .retain(|_, row| !commit_file(row.get(1..).unwrap_or_default()).is_some_and(|file| is_dropped(&file)));
    }

    /// Every snapshot, in no particular order.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = Result<Snapshot, WireError>> {
        live(&self.snapshots).map(|(id, record)| {
            let snapshot = Snapshot::decode(record)?;
            if snapshot.id.as_bytes() == id.as_bytes() { Ok(snapshot) } else { Err(WireError::NotCanonical) }
        })
    }

    pub(crate) fn packs(&self) -> impl Iterator<Item = PackRow> {
        live(&self.packs).filter_map(|(id, row)| read_pack(id, row))
    }

    /// A pack that is part of the repository.
    pub(crate) fn pack(&self, id: &ObjectId) -> Option<PackRow> {
        let (status, row) = self.packs.get(id.as_bytes())?.split_first()?;
        if *status == LIVE { read_pack(*id, row) } else { None }
    }

    /// The index objects that are not merged into others.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = IndexRow> {
        live(&self.indexes).filter_map(|(id, mut row)| {
            let level = read_len(&mut row)?;
            let len = read_len(&mut row)?;
            Some(IndexRow { id, level, len, digest: *row.first_chunk()? })
        })
    }

    /// Every index object that was ever named, merged or not.
    pub(crate) fn index_names(&self) -> impl Iterator<Item = ObjectId> {
        self.indexes.keys().map(|id| ObjectId::from_bytes(*id))
    }

    pub(super) fn has_commit(&self, id: &CommitId) -> bool {
        self.commits.contains_key(id.as_bytes())
    }

    /// The file names of all commits before.
    pub(super) fn commit_names(&self) -> impl Iterator<Item = String> {
        live(&self.commits).filter_map(|(_, row)| commit_file(row))
    }

    /// Takes in every row of `other` that is new or further along.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, other) in self.all_mut().into_iter().zip(other.all()) {
            for (key, row) in other {
                match own.entry(*key) {
                    Entry::Vacant(place) => drop(place.insert(row.clone())),
                    Entry::Occupied(mut place) if place.get() < row => drop(place.insert(row.clone())),
                    Entry::Occupied(_) => {}
                }
            }
        }
    }

    /// Whether every row of `earlier` is here, as it was or further along: a status may move on, the rest of a row
    /// never changes.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        let continues = |row: Option<&Vec<u8>>, earlier: &[u8]| match (row.and_then(|row| row.split_first()), earlier) {
            (Some((status, rest)), [earlier_status, earlier_rest @ ..]) => {
                status >= earlier_status && rest == earlier_rest
            }
            _ => false,
        };
        let tables = self.all().into_iter().zip(earlier.all());
        tables.into_iter().all(|(own, earlier)| earlier.iter().all(|(key, row)| continues(own.get(key), row)))
    }

    /// The rows that `base` lacks or has in an earlier form.
    pub(super) fn since(&self, base: &Self) -> Self {
        let mut delta = Self::default();
        for ((own, base), delta) in self.all().into_iter().zip(base.all()).zip(delta.all_mut()) {
            let new = own.iter().filter(|(key, row)| base.get(*key) != Some(*row));
            delta.extend(new.map(|(key, row)| (*key, row.clone())));
        }
        delta
    }

    /// Writes four fields from `first` on, one for each table (spec §11.2).
    pub(super) fn write(&self, record: &mut RecordWriter, first: u32) {
        for (field, table) in (first..).zip(self.all()) {
            let mut out = Vec::new();
            for (key, row) in table {
                out.extend_from_slice(key);
                put_bytes(&mut out, row);
            }
            record.critical(field, out);
        }
    }

    /// Reads what [`write`](Self::write) wrote (spec §11.2).
    pub(super) fn read(record: &Record<'_>, first: u32) -> Result<Self, WireError> {
        let mut tables = Self::default();
        for (field, table) in (first..).zip(tables.all_mut()) {
            let mut reader = Reader::new(record.required(field)?);
            while !reader.is_empty() {
                let key = reader.array()?;
                let row = reader.bytes()?;
                if row.is_empty() || table.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(WireError::NotCanonical);
                }
                table.insert(key, row.to_vec());
            }
        }
        Ok(tables)
    }

    fn all(&self) -> [&Table; 4] {
        [&self.snapshots, &self.packs, &self.indexes, &self.commits]
    }

    fn all_mut(&mut self) -> [&mut Table; 4] {
        [&mut self.snapshots, &mut self.packs, &mut self.indexes, &mut self.commits]
    }
}

fn index_row(status: u8, index: &IndexRow) -> Vec<u8> {
    let mut row = vec![status];
    put_varint(&mut row, index.level);
    put_varint(&mut row, index.len);
    row.extend_from_slice(&index.digest);
    row
}

fn live(table: &Table) -> impl Iterator<Item = (ObjectId, &[u8])> {
    table.iter().filter_map(|(key, row)| match row.split_first() {
        Some((&LIVE, rest)) => Some((ObjectId::from_bytes(*key), rest)),
        _ => None,
    })
}

/// The file name in a row of the table of commits, behind the status.
fn commit_file(row: &[u8]) -> Option<String> {
    String::from_utf8(Reader::new(row).bytes().ok()?.to_vec()).ok()
}

fn read_pack(id: ObjectId, mut row: &[u8]) -> Option<PackRow> {
    let len = read_len(&mut row)?;
    Some(PackRow { id, len, digest: *row.first_chunk()? })
}

fn read_len(row: &mut &[u8]) -> Option<u64> {
    let mut reader = Reader::new(row);
    let len = reader.varint().ok()?;
    *row = reader.take(reader.remaining()).ok()?;
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(id: u8) -> IndexRow {
        IndexRow { id: ObjectId::from_bytes([id; 16]), level: 1, len: 4096, digest: [id; 16] }
    }

    fn arbitrary() -> impl Strategy<Value = Tables> {
        prop::collection::vec((0u8..6, any::<bool>()), 0..8).prop_map(|rows| {
            let mut tables = Tables::default();
            for (id, merged) in rows {
                if merged {
                    tables.supersede_index(index(id));
                } else {
                    tables.insert_index(index(id));
                }
                tables.insert_pack(PackRow { id: index(id).id, len: 7, digest: [id; 16] });
            }
            tables
        })
    }

    fn joined(parts: &[&Tables]) -> Tables {
        let mut tables = Tables::default();
        parts.iter().for_each(|part| tables.merge(part));
        tables
    }

    proptest! {
        #[test]
        fn joining_does_not_depend_on_the_order(a in arbitrary(), b in arbitrary(), c in arbitrary()) {
            prop_assert_eq!(joined(&[&a, &b, &c]), joined(&[&c, &b, &a, &b]));
        }

        #[test]
        fn a_delta_upon_its_base_gives_the_whole(base in arbitrary(), later in arbitrary()) {
            let whole = joined(&[&base, &later]);
            prop_assert_eq!(joined(&[&base, &whole.since(&base)]), whole);
        }
    }

    #[test]
    fn tables_continue_only_what_they_hold_unchanged() {
        let mut tables = Tables::default();
        tables.insert_index(index(1));
        let earlier = tables.clone();
        tables.supersede_index(index(1));
        tables.insert_pack(PackRow { id: index(2).id, len: 7, digest: [2; 16] });
        assert!(tables.continues(&earlier) && !earlier.continues(&tables));
        let mut exchanged = tables.clone();
        exchanged.insert_pack(PackRow { id: index(2).id, len: 7, digest: [3; 16] });
        assert!(!exchanged.continues(&tables));
    }

    #[test]
    fn a_merged_index_object_never_comes_back() {
        let mut tables = Tables::default();
        tables.supersede_index(index(1));
        let mut earlier = Tables::default();
        earlier.insert_index(index(1));
        tables.merge(&earlier);
        assert_eq!(tables.indexes().count(), 0);
        assert_eq!(tables.index_names().count(), 1);
    }
}
