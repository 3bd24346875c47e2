//! The tables that commits carry: snapshots, packs, index objects, the commits before, what later versions add (spec §11.2).
//!
//! A row never disappears, and of two versions of a row the one that is further along wins: so tables can be
//! joined in any order, whoever wrote them, and always come out the same.

mod rows;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_bytes};

use super::commit::CommitId;
use crate::objects::number_of;
use crate::snapshot::{Snapshot, SnapshotId, record_id};
use crate::storage::{Folder, ObjectName};
pub use rows::ForgottenSnapshot;
use rows::{FixedLen, LIVE, NEWER_NEEDED, decode_commit, encode_commit, fixed_len_of_commit, row_continues};
pub(crate) use rows::{IndexRow, PackRow};

/// Rows by their 16-byte key. A row's first byte is its status: the higher is further along.
type Table = BTreeMap<[u8; 16], Vec<u8>>;

/// What a repository consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    snapshots: Table,
    packs: Table,
    indexes: Table,
    commits: Table,
    /// What later versions add. Its rows are kept, and never looked into.
    later: Table,
}

impl Tables {
    pub(crate) fn insert_snapshot(&mut self, snapshot: &Snapshot) {
        let row = [&[LIVE], snapshot.encode().as_slice()].concat();
        self.snapshots.insert(*snapshot.id.as_bytes(), row);
    }

    pub(crate) fn forget_snapshot(&mut self, snapshot: &ForgottenSnapshot) {
        self.snapshots.insert(*snapshot.id.as_bytes(), snapshot.encode());
    }

    pub(crate) fn insert_pack(&mut self, pack: PackRow) {
        self.packs.insert(*pack.id.as_bytes(), pack.encode());
    }

    pub(crate) fn insert_index(&mut self, index: IndexRow) {
        self.indexes.insert(*index.id.as_bytes(), index.encode());
    }

    pub(super) fn insert_commit(&mut self, id: &CommitId, name: &ObjectName) {
        self.commits.entry(*id.as_bytes()).or_insert_with(|| encode_commit(name.file(), false));
    }

    /// Notes that nothing needs the objects of these commits any more.
    pub(crate) fn drop_commits(&mut self, is_dropped: impl Fn(&str) -> bool) {
        for row in self.commits.values_mut() {
            if let Some((false, file)) = decode_commit(row).filter(|(_, file)| is_dropped(file)) {
                *row = encode_commit(&file, true);
            }
        }
    }

    /// Takes away the rows of commits that are no ancestors of the commit `number`: those before have lower numbers. Whoever
    /// had a key could else call commits dropped that come after him, that of a rotation first of all (spec §11.2).
    pub(super) fn remove_commits_from(&mut self, number: u64) {
        let is_before = |file: &str| {
            let name = ObjectName::new(Folder::Commits, file).ok();
            name.and_then(|name| number_of(&name)).is_none_or(|before| before < number)
        };
        self.commits.retain(|_, row| decode_commit(row).is_none_or(|(_, file)| is_before(&file)));
    }

    /// Forgets the rows of commits with these ids and file names: they are to be read if they come back.
    pub(super) fn remove_commits(&mut self, is_removed: impl Fn(&CommitId, &str) -> bool) {
        self.commits.retain(|id, row| {
            decode_commit(row).is_none_or(|(_, file)| !is_removed(&CommitId::from_bytes(*id), &file))
        });
    }

    /// Changes the records of snapshots, which get the ids of what they are then.
    #[cfg(fuzzing)]
    pub(super) fn edit_snapshots(&mut self, edit: impl Fn(&mut Vec<u8>)) {
        let before = std::mem::take(&mut self.snapshots);
        for (id, row) in before {
            let mut record = row[1..].to_vec();
            edit(&mut record);
            let id = if row[0] == LIVE { *record_id(&record).as_bytes() } else { id };
            self.snapshots.insert(id, [&row[..1], &record].concat());
        }
    }

    /// Every snapshot that was not forgotten, in no particular order.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = Result<Snapshot, WireError>> {
        let live = self.snapshots.iter().filter_map(|(id, row)| match row.split_first() {
            Some((&LIVE, record)) => Some((id, record)),
            _ => None,
        });
        live.map(|(id, record)| {
            // Before it is decoded: another may be one of a newer version.
            if record_id(record).as_bytes() != id {
                return Err(WireError::NotCanonical);
            }
            Snapshot::decode(record)
        })
    }

    /// Whether a snapshot has a status of which only a newer version knows what it needs (spec §11.2).
    pub(crate) fn has_newer_snapshots(&self) -> bool {
        self.snapshots.values().any(|row| row.first().is_some_and(|status| NEWER_NEEDED.contains(status)))
    }

    /// Snapshots that are neither live nor forgotten in a way that this version reads (spec §11.2).
    pub(crate) fn unknown_snapshots(&self) -> impl Iterator<Item = SnapshotId> {
        let is_unknown =
            |id: &[u8; 16], row: &[u8]| row.first() != Some(&LIVE) && ForgottenSnapshot::decode(*id, row).is_none();
        let unknown = self.snapshots.iter().filter(move |(id, row)| is_unknown(id, row));
        unknown.map(|(id, _)| SnapshotId::from_bytes(*id))
    }

    pub(crate) fn forgotten_snapshots(&self) -> impl Iterator<Item = ForgottenSnapshot> {
        self.snapshots.iter().filter_map(|(id, row)| ForgottenSnapshot::decode(*id, row))
    }

    /// Every pack that was ever named. A row that does not decode is none.
    pub(crate) fn all_packs(&self) -> impl Iterator<Item = PackRow> {
        self.packs.iter().filter_map(|(id, row)| PackRow::decode(ObjectId::from_bytes(*id), row).ok())
    }

    /// The packs whose bytes are there: live ones, and those only marked for removal.
    pub(crate) fn packs(&self) -> impl Iterator<Item = PackRow> {
        self.all_packs().filter(|pack| !pack.is_dropped())
    }

    /// A pack that was ever named.
    pub(crate) fn pack(&self, id: &ObjectId) -> Option<PackRow> {
        PackRow::decode(*id, self.packs.get(id.as_bytes())?).ok()
    }

    /// Every index object that was ever named.
    pub(crate) fn all_indexes(&self) -> impl Iterator<Item = IndexRow> {
        self.indexes.iter().filter_map(|(id, row)| IndexRow::decode(ObjectId::from_bytes(*id), row).ok())
    }

    /// The index objects whose rows no other one holds.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = IndexRow> {
        self.all_indexes().filter(|index| index.superseded.is_none())
    }

    pub(super) fn has_commit(&self, id: &CommitId) -> bool {
        self.commits.contains_key(id.as_bytes())
    }

    /// Forgets the rows of commits that `others` have none of.
    pub(super) fn keep_commits_of(&mut self, others: &Self) {
        self.commits.retain(|id, _| others.commits.contains_key(id));
    }

    /// The file names and ids of all commits before.
    pub(super) fn commits(&self) -> impl Iterator<Item = (String, CommitId)> {
        self.commits.iter().filter_map(|(id, row)| Some((decode_commit(row)?.1, CommitId::from_bytes(*id))))
    }

    /// Whether another commit than the one with this id should lie under this name. Once that was dropped, the name is free.
    pub(super) fn is_another_named(&self, file: &str, id: &CommitId) -> bool {
        let names = |row: &[u8]| decode_commit(row).filter(|(_, name)| name == file).map(|(is_dropped, _)| !is_dropped);
        let is_named = self.commits.get(id.as_bytes()).is_some_and(|row| names(row).is_some());
        !is_named && self.commits.values().any(|row| names(row) == Some(true))
    }

    /// Whether a commit is named whose object may be gone.
    pub(super) fn is_dropped(&self, id: &CommitId) -> bool {
        let row = self.commits.get(id.as_bytes()).and_then(|row| decode_commit(row));
        row.is_some_and(|(is_dropped, _)| is_dropped)
    }

    /// The file names of all commits before, and whether their objects may be gone.
    pub(crate) fn commit_names(&self) -> impl Iterator<Item = (bool, String)> {
        self.commits.values().filter_map(|row| decode_commit(row))
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

    /// Whether these add snapshots, packs, commits and rows of later versions to `known` and change none, and all their
    /// snapshots can be read. `known` has rows of the tips as well.
    pub(super) fn only_add_to(&self, known: &Self) -> bool {
        let adds =
            |own: &Table, known: &Table| own.iter().all(|(key, row)| known.get(key).is_none_or(|known| known == row));
        let are_new = adds(&self.snapshots, &known.snapshots)
            && adds(&self.packs, &known.packs)
            && adds(&self.later, &known.later);
        // By the names of their files commits are deleted, and missed.
        let files: HashSet<String> = known.commit_names().map(|(_, file)| file).collect();
        let is_new = |file: &str, id: &CommitId| match known.commits.get(id.as_bytes()) {
            Some(known) => {
                self.commits.get(id.as_bytes()).is_some_and(|row| row_continues(known, row, fixed_len_of_commit(row)))
            }
            None => !files.contains(file),
        };
        let mut joined = known.clone();
        joined.merge(self);
        are_new
            && self.commits().all(|(file, id)| is_new(&file, &id))
            && joined.continues(known)
            && self.snapshots().all(|snapshot| snapshot.is_ok())
    }

    /// Whether every row of `earlier` is here, as it was or further along: a status may grow, and what it brings
    /// with it; the rest of a row never changes.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        let fixed_lens: [FixedLen; 5] =
            [|_| Some(0), PackRow::fixed_len, IndexRow::fixed_len, fixed_len_of_commit, |_| Some(0)];
        let tables = self.all().into_iter().zip(earlier.all()).zip(fixed_lens);
        tables.into_iter().all(|((own, earlier), fixed_len)| {
            earlier.iter().all(|(key, row)| own.get(key).is_some_and(|own| row_continues(own, row, fixed_len(row))))
        })
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

    /// Writes four fields from `first` on, one for each table, and the field `later`, if later versions have rows (spec §11.2).
    pub(super) fn write(&self, record: &mut RecordWriter, first: u32, later: u32) {
        for (field, table) in (first..).zip([&self.snapshots, &self.packs, &self.indexes, &self.commits]) {
            record.critical(field, encode_rows(table));
        }
        if !self.later.is_empty() {
            record.ignorable(later, encode_rows(&self.later));
        }
    }

    /// Reads what [`write`](Self::write) wrote (spec §11.2).
    pub(super) fn read(record: &Record<'_>, first: u32, later: u32) -> Result<Self, WireError> {
        let [snapshots, packs, indexes, commits] = [0, 1, 2, 3].map(|number| record.required(first + number));
        Ok(Self {
            snapshots: decode_rows(snapshots?)?,
            packs: decode_rows(packs?)?,
            indexes: decode_rows(indexes?)?,
            commits: decode_rows(commits?)?,
            later: decode_rows(record.optional(later).unwrap_or_default())?,
        })
    }

    /// What holds of any two tables, whoever wrote them: joined in either order they are the same, nothing is lost, and
    /// rows that are understood are written as they were read.
    #[cfg(any(test, fuzzing))]
    pub(super) fn assert_joins(&self, other: &Self) {
        let join = |first: &Self, second: &Self| {
            let mut joined = first.clone();
            joined.merge(second);
            joined
        };
        let both = join(self, other);
        assert_eq!(both, join(other, self));
        assert_eq!(both, join(&both, self));
        assert_eq!(both, join(self, &both.since(self)), "a delta upon its base gives the whole");
        assert!(self.continues(self));
        if other.continues(self) {
            assert_eq!(*other, both, "nothing is ahead of what continues it");
        }
        both.assert_rows_round_trip();
    }

    #[cfg(any(test, fuzzing))]
    fn assert_rows_round_trip(&self) {
        for (id, row) in &self.packs {
            let Some(pack) = self.pack(&ObjectId::from_bytes(*id)) else { continue };
            assert!(pack.is_read_of(row), "what a row says is what is read of it");
            let marked = pack.marked(1).map(|marked| (marked.encode(), marked.revived().encode()));
            assert!(marked.is_none_or(|(marked, revived)| *row < marked && marked < revived), "a status only grows");
        }
        for index in self.all_indexes() {
            let row = self.indexes.get(index.id.as_bytes());
            assert!(row.is_some_and(|row| index.is_read_of(row)), "what a row says is what is read of it");
        }
        for snapshot in self.forgotten_snapshots() {
            let row = self.snapshots.get(snapshot.id.as_bytes());
            assert!(row.is_some_and(|row| row.starts_with(&snapshot.encode())));
        }
        for snapshot in self.snapshots().flatten() {
            crate::snapshot::assert_round_trip(&snapshot.encode());
        }
        for row in self.commits.values() {
            let Some((is_dropped, file)) = decode_commit(row) else { continue };
            let written = encode_commit(&file, is_dropped);
            let (row, written) = (row.split_first(), written.split_first());
            let is_kept = row.zip(written).is_some_and(|((status, row), (written_status, written))| {
                status >= written_status && row.starts_with(written)
            });
            assert!(is_kept, "what a row says is what is read of it");
        }
    }

    fn all(&self) -> [&Table; 5] {
        [&self.snapshots, &self.packs, &self.indexes, &self.commits, &self.later]
    }

    fn all_mut(&mut self) -> [&mut Table; 5] {
        [&mut self.snapshots, &mut self.packs, &mut self.indexes, &mut self.commits, &mut self.later]
    }
}

/// Writes the rows of a table (spec §11.2).
fn encode_rows(table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, row) in table {
        out.extend_from_slice(key);
        put_bytes(&mut out, row);
    }
    out
}

/// Reads the rows of a table (spec §11.2).
fn decode_rows(bytes: &[u8]) -> Result<Table, WireError> {
    let mut reader = Reader::new(bytes);
    let mut table = Table::new();
    while !reader.is_empty() {
        let key = reader.array()?;
        let row = reader.bytes()?;
        if row.is_empty() || table.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(WireError::NotCanonical);
        }
        table.insert(key, row.to_vec());
    }
    Ok(table)
}

#[cfg(test)]
pub(super) use tests::arbitrary_tables;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(id: u8) -> PackRow {
        PackRow::new(ObjectId::from_bytes([id; 16]), 7, [id; 16], [9; 16])
    }

    fn index(id: u8) -> IndexRow {
        IndexRow { id: pack(id).id, level: 1, len: 4096, digest: [id; 16], superseded: None }
    }

    /// What comes late under an old key may add commits, and have none dropped.
    #[test]
    fn what_is_added_takes_no_commits_name_and_drops_none() {
        let with = |commits: &[(u8, u64)]| {
            let mut tables = Tables::default();
            for (id, number) in commits {
                let name = crate::objects::numbered_name(Folder::Commits, *number, None);
                tables.insert_commit(&CommitId::from_bytes([*id; 16]), &name);
            }
            tables
        };
        let dropping = |mut tables: Tables| {
            tables.drop_commits(|_| true);
            tables
        };
        let known = with(&[(1, 1), (2, 2)]);
        assert!(with(&[(1, 1), (3, 3)]).only_add_to(&known));
        assert!(with(&[(1, 1)]).only_add_to(&dropping(known.clone())), "it did not know yet");
        assert!(!with(&[(3, 2)]).only_add_to(&known), "the name of another");
        assert!(!with(&[(2, 1)]).only_add_to(&with(&[(2, 2)])), "another name");
        assert!(!dropping(with(&[(1, 1)])).only_add_to(&known));
    }

    fn arbitrary() -> impl Strategy<Value = Tables> {
        prop::collection::vec((0u8..6, 0u64..4), 0..8).prop_map(|rows| {
            let mut tables = Tables::default();
            for (id, moved) in rows {
                match moved {
                    0 => tables.insert_index(index(id)),
                    1 => tables.insert_index(index(id).superseded(u64::from(id))),
                    2 => tables.insert_pack(pack(id)),
                    _ => tables.insert_pack(pack(id).marked(u64::from(id)).unwrap()),
                }
            }
            tables
        })
    }

    /// Tables with rows of every kind, and rows that nobody understands.
    pub(in crate::history) fn arbitrary_tables() -> impl Strategy<Value = Tables> {
        let keys = || prop::array::uniform16(0u8..2);
        let foreign = prop::collection::btree_map(keys(), prop::collection::vec(any::<u8>(), 1..60), 0..4);
        let forgotten = (keys(), any::<u64>(), any::<[u8; 16]>());
        (arbitrary(), forgotten, prop::collection::vec(foreign, 5)).prop_map(|(mut tables, forgotten, foreign)| {
            let (id, number, device) = forgotten;
            let (id, device) = (SnapshotId::from_bytes(id), ObjectId::from_bytes(device));
            tables.forget_snapshot(&ForgottenSnapshot { id, number, device });
            tables.all_mut().into_iter().zip(foreign).for_each(|(table, rows)| table.extend(rows));
            tables
        })
    }

    proptest! {
        #[test]
        fn tables_of_any_rows_can_be_joined(a in arbitrary_tables(), b in arbitrary_tables()) {
            a.assert_joins(&b);
        }

        #[test]
        fn any_tables_round_trip(tables in arbitrary_tables()) {
            let mut record = RecordWriter::new();
            tables.write(&mut record, 1, 6);
            let read = Record::parse(&record.finish(), 6).and_then(|record| Tables::read(&record, 1, 6));
            prop_assert_eq!(read, Ok(tables));
        }
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

        #[test]
        fn what_is_joined_continues_its_parts(a in arbitrary(), b in arbitrary()) {
            let whole = joined(&[&a, &b]);
            prop_assert!(whole.continues(&a) && whole.continues(&b));
        }
    }

    #[test]
    fn tables_continue_only_what_they_hold_unchanged() {
        let mut tables = Tables::default();
        tables.insert_index(index(1));
        tables.insert_pack(pack(2));
        let earlier = tables.clone();
        tables.insert_index(index(1).superseded(3));
        tables.insert_pack(pack(2).marked(3).unwrap());
        assert!(tables.continues(&earlier) && !earlier.continues(&tables));
        for (len, list_digest) in [(7, [3; 16]), (8, [9; 16])] {
            let exchanged = PackRow::new(pack(2).id, len, pack(2).digest, list_digest);
            for row in [exchanged, exchanged.marked(3).unwrap(), exchanged.dropped(9)] {
                let mut tables = tables.clone();
                tables.insert_pack(row);
                assert!(!tables.continues(&earlier), "{row:?}");
            }
        }
    }

    #[test]
    fn of_one_status_only_what_it_brings_can_grow() {
        let continues = |row: &[u8], earlier: &[u8]| row_continues(row, earlier, PackRow::fixed_len(earlier));
        let live = pack(1).encode();
        let [marked, later] = [3, 5].map(|number| pack(1).marked(number).unwrap().encode());
        assert!(continues(&live, &live) && continues(&marked, &live) && continues(&later, &marked));
        assert!(!continues(&marked, &later) && !continues(&live, &marked));
        let longer = [live.as_slice(), &[1]].concat();
        assert!(continues(&longer, &live), "what later versions say behind it, they may leave out");
        assert!(!continues(&live, &longer));
        let others = pack(2).encode();
        assert!(!continues(&others, &live) && !continues(&live, &others), "a live row never changes");
    }

    #[test]
    fn commits_before_are_found_by_id_and_by_name_until_they_are_dropped() {
        let [known, unknown] = [1, 2].map(|byte| CommitId::from_bytes([byte; 16]));
        let name: ObjectName = "commits/0000000007".parse().unwrap();
        let mut tables = Tables::default();
        tables.insert_commit(&known, &name);
        assert!(tables.has_commit(&known) && !tables.has_commit(&unknown));
        assert!(tables.is_another_named(name.file(), &unknown) && !tables.is_another_named(name.file(), &known));
        assert!(!tables.is_another_named("0000000008", &unknown));
        let beside = CommitId::from_bytes([3; 16]);
        tables.insert_commit(&beside, &name);
        assert!(!tables.is_another_named(name.file(), &known), "whoever says that another lies there as well");
        tables.commits.remove(beside.as_bytes());
        tables.drop_commits(|file| file != name.file());
        assert!(!tables.is_dropped(&known) && !tables.is_dropped(&unknown));
        let mut earlier = tables.clone();
        // What a later version may write behind, and this one does not write again.
        earlier.commits.values_mut().for_each(|row| row.push(9));
        tables = earlier.clone();
        tables.drop_commits(|file| file == name.file());
        assert!(tables.continues(&earlier) && !earlier.continues(&tables));
        assert!(tables.is_dropped(&known) && tables.has_commit(&known) && !tables.is_dropped(&unknown));
        assert!(!tables.is_another_named(name.file(), &unknown), "the name is free again");
    }

    #[test]
    fn some_statuses_of_snapshots_are_for_newer_versions() {
        for (status, is_newer) in [(0, false), (1, false), (2, true), (127, true), (128, false), (255, false)] {
            let mut tables = Tables::default();
            tables.snapshots.insert([1; 16], vec![status]);
            assert_eq!(tables.has_newer_snapshots(), is_newer, "{status}");
        }
    }

    #[test]
    fn what_comes_late_adds_and_changes_nothing() {
        let tables = |packs: &[PackRow]| {
            let mut tables = Tables::default();
            packs.iter().for_each(|pack| tables.insert_pack(*pack));
            tables
        };
        let known = tables(&[pack(1)]);
        assert!(tables(&[pack(1), pack(2)]).only_add_to(&known) && tables(&[pack(2)]).only_add_to(&known));
        for changed in [pack(1).marked(3).unwrap(), pack(1).dropped(3)] {
            assert!(!tables(&[changed, pack(2)]).only_add_to(&known), "{changed:?}");
        }
        let mut unreadable = known.clone();
        unreadable.snapshots.insert([1; 16], vec![LIVE, 9]);
        assert!(!unreadable.only_add_to(&known));
    }

    #[test]
    fn rows_of_later_versions_are_kept_as_those_of_snapshots() {
        let with = |row: &[u8]| Tables { later: Table::from([([1; 16], row.to_vec())]), ..Tables::default() };
        let (live, moved, further) = (with(&[0, 7]), with(&[1, 5]), with(&[1, 6]));
        assert!(moved.continues(&live) && further.continues(&live) && further.continues(&moved));
        assert!(!live.continues(&moved) && !moved.continues(&further) && !Tables::default().continues(&live));
        assert!(!with(&[0, 8]).continues(&live), "a live row never changes");
        assert_eq!((joined(&[&further, &live]), joined(&[&moved, &further])), (further.clone(), further.clone()));
        assert_eq!((moved.since(&live), moved.since(&moved)), (moved.clone(), Tables::default()));
        assert!(live.only_add_to(&Tables::default()) && live.only_add_to(&live));
        assert!(!moved.only_add_to(&live) && !live.only_add_to(&moved));
        assert_eq!(moved.unknown_snapshots().count(), 0);
    }

    #[test]
    fn rows_of_later_versions_have_a_field_only_where_there_are_some() {
        let encoded = |tables: &Tables| {
            let mut record = RecordWriter::new();
            tables.write(&mut record, 10, 16);
            record.finish()
        };
        let none = encoded(&Tables::default());
        assert_eq!(none, [21, 0, 23, 0, 25, 0, 27, 0]);
        let some = Tables { later: Table::from([([1; 16], vec![0])]), ..Tables::default() };
        assert_eq!(encoded(&some), [none.as_slice(), &[32, 18], &[1; 16], &[1, 0]].concat());
        let empty = [none.as_slice(), &[32, 0]].concat();
        let read = Record::parse(&empty, 16).and_then(|record| Tables::read(&record, 10, 16));
        assert_eq!(read, Ok(Tables::default()));
    }

    #[test]
    fn no_snapshot_goes_untold() {
        let forgotten = ForgottenSnapshot { id: SnapshotId::from_bytes([1; 16]), number: 7, device: pack(1).id };
        let mut tables = Tables::default();
        tables.forget_snapshot(&forgotten);
        assert_eq!((tables.unknown_snapshots().count(), tables.forgotten_snapshots().count()), (0, 1));
        for row in [vec![1], vec![2], vec![128, 9], vec![255]] {
            tables.snapshots.insert([1; 16], row.clone());
            assert_eq!(tables.unknown_snapshots().collect::<Vec<_>>(), [forgotten.id], "{row:?}");
        }
    }

    #[test]
    fn a_superseded_index_object_never_comes_back() {
        let mut tables = Tables::default();
        tables.insert_index(index(1).superseded(4));
        let mut earlier = Tables::default();
        earlier.insert_index(index(1));
        tables.merge(&earlier);
        assert_eq!(tables.indexes().count(), 0);
        assert_eq!(tables.all_indexes().count(), 1);
    }
}
