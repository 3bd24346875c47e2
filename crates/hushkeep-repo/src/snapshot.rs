//! Snapshots: the state of some sources at one time.

use std::fmt;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, Record, RecordWriter, UnknownFields, WireError, put_bytes};

use crate::node::{Entry, encode_node_name, read_node_name};
use crate::pack::digest;
use crate::refs::NodeName;
use crate::{RelPath, Timestamp};

/// Names a snapshot: the first 16 bytes of the BLAKE3 hash of its record (spec §11.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId([u8; 16]);

impl SnapshotId {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotId({self})")
    }
}

/// The state of some sources at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Counts up along the history; that of the commit which published it.
    pub number: u64,
    /// When the backup began, by the device's clock.
    pub time: Timestamp,
    /// The device that made it.
    pub device: ObjectId,
    /// What that device was called.
    pub device_name: String,
    /// What was backed up.
    pub sources: Vec<SnapshotSource>,
    /// How many items could not be read, or changed while they were.
    pub problems: u64,
    unknown: UnknownFields,
}

/// One source of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSource {
    /// Its name inside the snapshot: one component, different from the other sources'.
    pub label: RelPath,
    /// Where it was on its device, as raw bytes.
    pub path: Vec<u8>,
    /// How many files it held.
    pub files: u64,
    /// How many bytes they had.
    pub bytes: u64,
    pub(crate) root: NodeName,
}

/// An entry of a snapshot, with its path inside the snapshot: the source's label, then the path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The path inside the snapshot.
    pub path: RelPath,
    /// The entry; its own path lies below the source's root.
    pub entry: Entry,
    /// The file list it comes from.
    pub(crate) list: NodeName,
    /// The label of its source.
    pub(crate) label: RelPath,
}

impl Snapshot {
    pub(crate) fn new(
        number: u64,
        time: Timestamp,
        device: (ObjectId, String),
        sources: Vec<SnapshotSource>,
        problems: u64,
    ) -> Self {
        let (device, device_name) = device;
        let id = SnapshotId([0; 16]);
        let mut snapshot =
            Self { id, number, time, device, device_name, sources, problems, unknown: UnknownFields::new() };
        snapshot.id = record_id(&snapshot.encode());
        snapshot
    }

    /// How many files its sources held.
    pub fn files(&self) -> u64 {
        self.sources.iter().fold(0, |sum, source| sum.saturating_add(source.files))
    }

    /// How many bytes those files had.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().fold(0, |sum, source| sum.saturating_add(source.bytes))
    }

    /// Writes the record of a snapshot (spec §11.3).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut time = Vec::new();
        self.time.put(&mut time);
        let mut sources = Vec::new();
        self.sources.iter().for_each(|source| put_bytes(&mut sources, &source.encode()));
        let mut record = RecordWriter::new();
        record.critical_int(1, self.number).critical(2, time).critical(3, self.device.as_bytes().to_vec());
        record.critical(4, self.device_name.as_bytes()).critical(5, sources).critical_int(6, self.problems);
        record.unknown(&self.unknown).finish()
    }

    /// Reads the record of a snapshot (spec §11.3).
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let record = Record::parse(bytes, 6)?;
        let mut reader = Reader::new(record.required(5)?);
        let mut sources = Vec::new();
        while !reader.is_empty() {
            sources.push(SnapshotSource::decode(reader.bytes()?)?);
        }
        let mut labels: Vec<&RelPath> = sources.iter().map(|source: &SnapshotSource| &source.label).collect();
        labels.sort_unstable();
        if labels.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(WireError::NotCanonical);
        }
        Ok(Self {
            id: record_id(bytes),
            number: record.int(1)?,
            time: Timestamp::read_all(record.required(2)?)?,
            device: ObjectId::from_bytes(record.array(3)?),
            device_name: record.text(4)?,
            sources,
            problems: record.int(6)?,
            unknown: record.into_unknown(),
        })
    }
}

impl SnapshotSource {
    fn encode(&self) -> Vec<u8> {
        let mut record = RecordWriter::new();
        record.critical(1, self.label.as_bytes()).critical(2, self.path.clone()).critical_int(3, self.files);
        record.critical_int(4, self.bytes).critical(5, encode_node_name(self.root)).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let record = Record::parse(bytes, 5)?;
        let label = RelPath::new(record.required(1)?).map_err(|_| WireError::Range)?;
        if label.components().count() != 1 {
            return Err(WireError::Range);
        }
        let mut root = Reader::new(record.required(5)?);
        let source = Self {
            label,
            path: record.required(2)?.to_vec(),
            files: record.int(3)?,
            bytes: record.int(4)?,
            root: read_node_name(&mut root)?,
        };
        root.finish()?;
        Ok(source)
    }
}

pub(crate) fn record_id(record: &[u8]) -> SnapshotId {
    SnapshotId(digest("hushkeep/1 snapshot id", record))
}

/// What is read of a snapshot's record is read again from what it is written as, but for the id, which is that of the
/// bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(record: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(record) else { return };
    let again = Snapshot::decode(&snapshot.encode());
    let id = record_id(&snapshot.encode());
    assert_eq!(again, Ok(Snapshot { id, ..snapshot }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::{damaged, time, unknown_fields};

    fn arbitrary() -> impl Strategy<Value = Snapshot> {
        let source = (any::<Vec<u8>>(), any::<[u64; 2]>(), any::<[u8; 16]>(), any::<u32>());
        let sources = prop::collection::btree_map("[a-z]{1,5}", source, 0..4);
        let device = (any::<[u8; 16]>(), ".*");
        (any::<[u64; 2]>(), time(), device, sources, unknown_fields(7)).prop_map(
            |([number, problems], time, (device, name), sources, unknown)| {
                let sources = sources.into_iter().map(|(label, (path, [files, bytes], list, position))| {
                    let root = NodeName { list: ObjectId::from_bytes(list), position };
                    SnapshotSource { label: RelPath::new(label).unwrap(), path, files, bytes, root }
                });
                let device = (ObjectId::from_bytes(device), name);
                let snapshot = Snapshot::new(number, time, device, sources.collect(), problems);
                let snapshot = Snapshot { unknown, ..snapshot };
                Snapshot { id: record_id(&snapshot.encode()), ..snapshot }
            },
        )
    }

    #[test]
    fn files_and_bytes_are_those_of_all_sources() {
        let source = |label: &[u8], files, bytes| {
            let root = NodeName { list: ObjectId::from_bytes([1; 16]), position: 0 };
            SnapshotSource { label: RelPath::new(label).unwrap(), path: Vec::new(), files, bytes, root }
        };
        let sources = vec![source(b"a", 2, 30), source(b"b", 3, 400)];
        let device = (ObjectId::from_bytes([2; 16]), "phone".to_owned());
        let snapshot = Snapshot::new(1, Timestamp { seconds: 0, nanos: 0 }, device, sources, 0);
        assert_eq!((snapshot.files(), snapshot.bytes()), (5, 430));
    }

    proptest! {
        #[test]
        fn any_snapshot_round_trips(snapshot in arbitrary()) {
            prop_assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
        }

        #[test]
        fn a_damaged_record_is_refused_or_round_trips(
            record in arbitrary().prop_flat_map(|snapshot| damaged(snapshot.encode())),
        ) {
            assert_round_trip(&record);
        }
    }

    #[test]
    fn records_round_trip_and_name_themselves() {
        let root = NodeName { list: ObjectId::from_bytes([2; 16]), position: 7 };
        let label = RelPath::new("WhatsApp").unwrap();
        let source = SnapshotSource { label, path: b"/sd\xff/WhatsApp".to_vec(), files: 3, bytes: 99, root };
        let time = Timestamp { seconds: -5, nanos: 9 };
        let snapshot = Snapshot::new(4, time, (ObjectId::from_bytes([1; 16]), "phone".into()), vec![source.clone()], 1);
        let again = Snapshot::decode(&snapshot.encode()).unwrap();
        assert_eq!(again, snapshot);
        let other = Snapshot { number: 5, ..snapshot.clone() };
        assert_ne!(Snapshot::decode(&other.encode()).unwrap().id, again.id);
        let twice = Snapshot { sources: vec![source.clone(), source], ..snapshot };
        assert_eq!(Snapshot::decode(&twice.encode()), Err(WireError::NotCanonical));
    }

    #[test]
    fn a_label_is_one_component() {
        let root = NodeName { list: ObjectId::from_bytes([2; 16]), position: 7 };
        for label in ["", "a/b"] {
            let label = RelPath::new(label).unwrap();
            let source = SnapshotSource { label, path: Vec::new(), files: 0, bytes: 0, root };
            assert_eq!(SnapshotSource::decode(&source.encode()), Err(WireError::Range));
        }
    }
}
