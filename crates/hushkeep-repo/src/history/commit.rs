//! One commit (spec §11.1).

use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_bytes};
use zeroize::Zeroizing;

use super::Tables;
use crate::Timestamp;
use crate::config::ConfigName;
use crate::growth::Growth;
use crate::keyring::OlderEpochs;
use crate::pack::digest;
use crate::storage::{Folder, ObjectName};

/// Names a commit: the first 16 bytes of the BLAKE3 hash of its body (spec §11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CommitId([u8; 16]);

impl CommitId {
    /// Stands for a commit that is not written yet.
    pub(super) const NONE: Self = Self([0; 16]);

    pub(super) fn of(body: &[u8]) -> Self {
        Self(digest("hushkeep/1 commit id", body))
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Published a snapshot.
    Backup,
    /// Changed the protectors.
    Config,
    /// Took snapshots out of the history.
    Forget,
    /// Marked what nothing needs, dropped what was marked long enough, put together what is left.
    Prune,
    /// Began an epoch under a new key.
    Rotate,
    /// Something a newer version knows.
    Other(u64),
}

impl Action {
    fn number(self) -> u64 {
        match self {
            Self::Backup => 1,
            Self::Config => 2,
            Self::Forget => 3,
            Self::Prune => 4,
            Self::Rotate => 5,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Backup,
            2 => Self::Config,
            3 => Self::Forget,
            4 => Self::Prune,
            5 => Self::Rotate,
            other => Self::Other(other),
        }
    }
}

/// A commit's own fields; its tables are kept apart.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, fuzzing), derive(PartialEq, Eq))]
pub(super) struct Commit {
    /// Its own name. Under another it is a copy.
    pub(super) name: ObjectName,
    pub(super) number: u64,
    /// Every tip its writer saw. If the commit is a delta, the first is its base.
    pub(super) parents: Vec<Parent>,
    pub(super) time: Timestamp,
    pub(super) action: Action,
    /// The config that held when it was written.
    pub(super) config: ConfigName,
    /// The secrets of older epochs, so that the key and any one commit open everything (spec §3.6).
    pub(super) older_epochs: OlderEpochs,
    pub(super) growth: Growth,
}

/// A commit that another names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(super) id: CommitId,
    pub(super) name: ObjectName,
}

impl Commit {
    /// Writes a commit's body with the tables, or what they add to its base's (spec §11.1).
    pub(super) fn encode(&self, tables: &Tables) -> Zeroizing<Vec<u8>> {
        let mut time = Vec::new();
        self.time.put(&mut time);
        let mut record = RecordWriter::new();
        record.critical_int(1, self.number).critical(2, encode_parents(&self.parents));
        record.critical(3, time).critical_int(4, self.action.number()).critical_int(5, self.config.number);
        record.critical(6, self.older_epochs.as_bytes());
        self.growth.write(&mut record, 7);
        tables.write(&mut record, 10, 16);
        record.critical(14, self.config.digest);
        Zeroizing::new(record.critical(15, self.name.file()).finish())
    }

    /// Reads a commit's body (spec §11.1).
    pub(super) fn decode(body: &[u8]) -> Result<(Self, Tables), WireError> {
        let record = Record::parse(body, 16)?;
        let commit = Self {
            name: decode_name(record.required(15)?)?,
            number: record.int(1)?,
            parents: decode_parents(record.required(2)?)?,
            time: Timestamp::read_all(record.required(3)?)?,
            action: Action::from_number(record.int(4)?),
            config: ConfigName { number: record.int(5)?, digest: record.array(14)? },
            older_epochs: OlderEpochs::from_bytes(record.required(6)?),
            growth: Growth::read(&record, 7)?,
        };
        // The base of a delta is its first parent.
        if commit.growth.depth > 0 && commit.parents.is_empty() {
            return Err(WireError::Range);
        }
        let mut tables = Tables::read(&record, 10, 16)?;
        tables.remove_commits_from(commit.number);
        Ok((commit, tables))
    }
}

const SEEN_MARK: u8 = 3;

/// The tips that a device has seen, as it remembers them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SeenTips(pub(super) Vec<SeenTip>);

/// A tip that a device has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenTip {
    pub(super) commit: Parent,
    /// When it was seen last, by the device's own clock.
    pub(super) time: Timestamp,
}

impl SeenTips {
    /// The names of the commits that were seen less than so many seconds ago.
    pub(crate) fn names_since(&self, now: Timestamp, seconds: i64) -> impl Iterator<Item = &ObjectName> {
        self.0.iter().filter(move |tip| tip.age(now) < seconds).map(|tip| &tip.commit.name)
    }

    /// A mark, then for each its time, id and file name: so that a file that was emptied does not pass for one without tips.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![SEEN_MARK];
        for tip in &self.0 {
            tip.time.put(&mut out);
            tip.commit.put(&mut out);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != SEEN_MARK {
            return Err(WireError::Range);
        }
        let mut tips = Vec::new();
        while !reader.is_empty() {
            let time = Timestamp::read(&mut reader)?;
            tips.push(SeenTip { commit: Parent::read(&mut reader)?, time });
        }
        Ok(Self(tips))
    }
}

impl SeenTip {
    /// How many seconds ago it was seen last.
    pub(super) fn age(&self, now: Timestamp) -> i64 {
        now.seconds.saturating_sub(self.time.seconds)
    }
}

impl Parent {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        put_bytes(out, self.name.file().as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let id = CommitId(reader.array()?);
        Ok(Self { id, name: decode_name(reader.bytes()?)? })
    }
}

fn encode_parents(parents: &[Parent]) -> Vec<u8> {
    let mut out = Vec::new();
    parents.iter().for_each(|parent| parent.put(&mut out));
    out
}

fn decode_parents(bytes: &[u8]) -> Result<Vec<Parent>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut parents = Vec::new();
    while !reader.is_empty() {
        parents.push(Parent::read(&mut reader)?);
    }
    Ok(parents)
}

/// The file name of a commit.
fn decode_name(file: &[u8]) -> Result<ObjectName, WireError> {
    let file = std::str::from_utf8(file).map_err(|_| WireError::NotCanonical)?;
    ObjectName::new(Folder::Commits, file).map_err(|_| WireError::Range)
}

/// What is read of a commit's body is read again from what it is written as, and its tables can be joined.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_commit_round_trips(body: &[u8]) {
    let Ok((commit, tables)) = Commit::decode(body) else { return };
    let again = commit.encode(&tables);
    assert_eq!(Commit::decode(&again).as_ref(), Ok(&(commit, tables.clone())));
    tables.assert_joins(&tables);
}

/// The tables of any two commits can be joined.
#[cfg(fuzzing)]
pub(crate) fn assert_commits_join(first: &[u8], second: &[u8]) {
    if let (Ok((_, first)), Ok((_, second))) = (Commit::decode(first), Commit::decode(second)) {
        first.assert_joins(&second);
    }
}

/// A memory of tips that is read has one form.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_seen_tips_round_trip(bytes: &[u8]) {
    if let Ok(seen) = SeenTips::decode(bytes) {
        assert_eq!(seen.encode(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::tables::arbitrary_tables;
    use crate::objects::numbered_name;
    use crate::properties::{damaged, time};

    fn arbitrary_parents() -> impl Strategy<Value = Vec<Parent>> {
        let parent = (any::<[u8; 16]>(), "[a-z0-9-]{1,80}")
            .prop_map(|(id, file)| Parent { id: CommitId(id), name: ObjectName::new(Folder::Commits, file).unwrap() });
        prop::collection::vec(parent, 0..4)
    }

    fn arbitrary_seen_tips() -> impl Strategy<Value = SeenTips> {
        (arbitrary_parents(), prop::collection::vec(time(), 4)).prop_map(|(commits, times)| {
            SeenTips(commits.into_iter().zip(times).map(|(commit, time)| SeenTip { commit, time }).collect())
        })
    }

    fn arbitrary_commit() -> impl Strategy<Value = Commit> {
        let numbers = (any::<[u64; 3]>(), any::<[u8; 16]>(), 0usize..=32);
        (arbitrary_parents(), time(), any::<Vec<u8>>(), numbers).prop_map(|(parents, time, older_epochs, numbers)| {
            let ([number, action, config], digest, depth) = numbers;
            let depth = if parents.is_empty() { 0 } else { depth };
            let growth = std::iter::successors(Some(Growth::default()), |growth| growth.next(number >> 8));
            Commit {
                name: numbered_name(Folder::Commits, number, None),
                number,
                parents,
                time,
                action: Action::from_number(action % 8),
                config: ConfigName { number: config, digest },
                older_epochs: OlderEpochs::from_bytes(&older_epochs),
                growth: growth.take(depth + 1).last().unwrap(),
            }
        })
    }

    proptest! {
        #[test]
        fn any_commit_round_trips(commit in arbitrary_commit(), tables in arbitrary_tables()) {
            prop_assert_eq!(Commit::decode(&commit.encode(&tables)), Ok((commit, tables)));
        }

        #[test]
        fn a_damaged_commit_is_refused_or_round_trips(
            body in (arbitrary_commit(), arbitrary_tables())
                .prop_flat_map(|(commit, tables)| damaged(commit.encode(&tables).to_vec())),
        ) {
            assert_commit_round_trips(&body);
        }

        #[test]
        fn what_a_device_remembers_round_trips(seen in arbitrary_seen_tips()) {
            prop_assert_eq!(SeenTips::decode(&seen.encode()), Ok(seen));
        }

        #[test]
        fn a_damaged_memory_is_refused_or_has_one_form(
            bytes in arbitrary_seen_tips().prop_flat_map(|seen| damaged(seen.encode())),
        ) {
            assert_seen_tips_round_trip(&bytes);
        }
    }

    /// The commit 8, upon one of this name.
    fn commit_upon(name: &ObjectName) -> Commit {
        Commit {
            number: 8,
            parents: vec![Parent { id: CommitId([7; 16]), name: name.clone() }],
            name: name.clone(),
            time: Timestamp { seconds: 5, nanos: 6 },
            action: Action::Other(9),
            config: ConfigName { number: 2, digest: [4; 16] },
            older_epochs: OlderEpochs::from_bytes(&[1, 2, 3]),
            growth: Growth::default().next(10).unwrap(),
        }
    }

    /// Whoever has the key until it is replaced could else have that very commit deleted.
    #[test]
    fn what_calls_itself_before_a_commit_has_a_lower_number() {
        let named = |files: &[&str]| {
            let mut tables = Tables::default();
            for (file, id) in files.iter().zip(1..) {
                tables.insert_commit(&CommitId([id; 16]), &ObjectName::new(Folder::Commits, *file).unwrap());
            }
            tables
        };
        let mut tables = named(&["0000000007-abcd", "no-number", "0000000008", "0000000008-abcd", "10000000000"]);
        tables.drop_commits(|file| file != "no-number");
        let commit = commit_upon(&ObjectName::new(Folder::Commits, "0000000007-abcd").unwrap());
        let (_, read) = Commit::decode(&commit.encode(&tables)).unwrap();
        let mut before = named(&["0000000007-abcd", "no-number"]);
        before.drop_commits(|file| file != "no-number");
        assert_eq!(read, before);
    }

    #[test]
    fn commits_round_trip() {
        let name = ObjectName::new(Folder::Commits, "0000000007-abcd").unwrap();
        let commit = commit_upon(&name);
        let mut tables = Tables::default();
        tables.insert_commit(&CommitId([7; 16]), &name);
        let body = commit.encode(&tables);
        assert_eq!(Commit::decode(&body).unwrap(), (commit, tables));
        for len in 0..body.len() {
            assert!(Commit::decode(&body[..len]).is_err(), "{len} bytes");
        }
    }
}
