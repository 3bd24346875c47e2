//! Runs this project's own reader over a vector.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_core::wire;
use hushkeep_repo::state::StateKey;
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError};
use hushkeep_repo::{
    CheckOptions, Damage, Entry, EntryKind, FindError, ItemError, LockedRepository, Quiet, ReadError, RelPath,
    Repository, RestoreError, Snapshot, State, Storage, UnlockError,
};
use hushkeep_storage::FolderStorage;
use serde_json::Value;

use crate::common::{Device, MemoryState, MemoryTarget, NOW, Node, at, restore_into};
use crate::expected::{self, json_at};

/// How the names begin of vectors in which only the hash of a whole file tells that something is wrong: a check, which puts
/// no file together, does not see that.
const SEEN_BY_RESTORES: [&str; 3] = ["file-hash", "file-contents-in-wrong-order", "map-with-a-wrong-page"];

/// Why a repository does not open: the class of the error, and the object it names.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: &'static str,
    pub(crate) object: Option<String>,
}

/// What a reader notices in a repository that opens.
#[derive(Debug, Default)]
pub(crate) struct Noticed {
    pub(crate) damage: Vec<Damage>,
    /// The damage that a check of every bit finds.
    pub(crate) checked: Vec<Damage>,
    /// Every file and link that the newest snapshot still gives.
    pub(crate) restored: BTreeSet<String>,
}

/// A folder whose files have no times: those in a checkout mean nothing.
struct Timeless(FolderStorage);

impl Storage for Timeless {
    fn features(&self) -> Features {
        Features { create_if_absent: false }
    }

    fn put(&self, name: &ObjectName, _: &[u8]) -> Result<(), StorageError> {
        panic!("reading stored {name}");
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.0.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.0.get_range(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        Ok(self.0.list(folder)?.into_iter().map(|info| ObjectInfo { stored: None, ..info }).collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        panic!("reading deleted {name}");
    }
}

pub(crate) fn open(vector: &Path) -> Result<Repository, Failure> {
    let state = Arc::new(MemoryState::default());
    let mut now = NOW;
    if let Ok(memory) = fs::read_to_string(vector.join("memory.json")) {
        let memory: Value = serde_json::from_str(&memory).unwrap();
        let seconds = memory["seconds"].as_i64().unwrap();
        // The device comes back a day later.
        now = seconds + 86_400;
        state.store(StateKey::Tips, &seen_tips(&memory, seconds)).unwrap();
    }
    let storage = Timeless(FolderStorage::open(vector.join("repository")).unwrap());
    let locked = LockedRepository::find(Arc::new(storage), None).map_err(|error| match error {
        FindError::NoRepository => Failure { class: "no-repository", object: None },
        FindError::Read(error) => failure_of(error),
        other => panic!("{other:?}"),
    })?;
    if let Ok(passphrase) = fs::read_to_string(vector.join("passphrase.txt")) {
        assert!(crate::valid::opens(&locked, passphrase.trim_end(), &key(vector)));
    }
    locked.unlock(&key(vector), state, Device::new(1).rng(), at(now)).map_err(|error| match error {
        UnlockError::WrongKey | UnlockError::NotInForce => Failure { class: "wrong-key", object: None },
        UnlockError::RolledBack => Failure { class: "rolled-back", object: None },
        UnlockError::Read(error) => failure_of(error),
        other => panic!("{other:?}"),
    })
}

fn failure_of(error: ReadError) -> Failure {
    match error {
        ReadError::Rotated => Failure { class: "wrong-key", object: None },
        ReadError::Damaged(damage) => Failure { class: class_of(&damage), object: Some(damage.object) },
        other => panic!("{other:?}"),
    }
}

pub(crate) fn class_of(damage: &Damage) -> &'static str {
    if damage.cause.is_newer_version() { "newer" } else { "damaged" }
}

pub(crate) fn key(vector: &Path) -> BackupKey {
    match RecoveryKey::parse(&fs::read_to_string(vector.join("key.txt")).unwrap()) {
        Ok(Parsed::Exact(key)) => key,
        other => panic!("{other:?}"),
    }
}

/// This device's own form of what `memory.json` says.
fn seen_tips(memory: &Value, seconds: i64) -> Vec<u8> {
    let mut out = vec![3];
    for tip in memory["tips"].as_array().unwrap() {
        wire::put_signed(&mut out, seconds);
        wire::put_varint(&mut out, 0);
        let id = tip["id"].as_str().unwrap();
        out.extend((0..32).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
        wire::put_bytes(&mut out, tip["name"].as_str().unwrap().as_bytes());
    }
    out
}

/// Looks at everything: commits, what can still be restored, every bit of every object.
pub(crate) fn look_at(repository: &Repository) -> Noticed {
    let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
    let checked: Vec<Damage> = report.findings.into_iter().map(|finding| finding.damage).collect();
    let (mut damage, mut restored) = (checked.clone(), BTreeSet::new());
    for snapshot in repository.snapshots() {
        let (given, lost) = restore(repository, snapshot);
        let nothing_damaged = lost.iter().all(|damage| damage.cause.is_newer_version());
        match restore_into(repository, snapshot, &MemoryTarget::default(), false) {
            Ok(report) => {
                assert!(nothing_damaged, "a restore that must be whole passes over {lost:?}");
                assert_eq!(report.problems.len(), lost.len());
            }
            Err(RestoreError::Damaged { .. } | RestoreError::Read(ReadError::Damaged(_))) => assert!(!nothing_damaged),
            Err(other) => panic!("{other:?}"),
        }
        damage.extend(lost);
        restored = given;
    }
    Noticed { damage, checked, restored }
}

/// What a snapshot gives of files and links, each with the contents that vectors with a defect have, and the damage.
fn restore(repository: &Repository, snapshot: &Snapshot) -> (BTreeSet<String>, Vec<Damage>) {
    let target = MemoryTarget::default();
    let report = restore_into(repository, snapshot, &target, true).unwrap();
    let mut nodes = target.nodes.into_inner().unwrap();
    for kept in report.problems.iter().filter_map(|problem| problem.kept_as.as_ref()) {
        nodes.remove(kept);
    }
    let lost = report.problems.into_iter().map(|problem| match problem.error {
        ItemError::Damaged(damage) => damage,
        other => panic!("{other:?}"),
    });
    let given = nodes.iter().filter(|(_, node)| **node != Node::Folder).map(|(path, node)| {
        let is_right = !matches!(node, Node::File(bytes) if *bytes != own_text(path, bytes.len()));
        expected::escape(path.as_bytes()) + if is_right { "" } else { ", with other contents" }
    });
    (given.collect(), lost.collect())
}

/// Its own path, over and over; a second name has the contents of the first.
fn own_text(path: &RelPath, len: usize) -> Vec<u8> {
    let path = if path.as_bytes() == b"hurt/other-name" { b"hurt/one" } else { path.as_bytes() };
    path.iter().copied().cycle().take(len).collect()
}

/// Holds a valid vector against what it says of itself.
pub(crate) fn assert_valid(name: &str, vector: &Path) {
    let repository = open(vector).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    let expected = json_at(&vector.join("expected.json"));
    assert!(repository.damaged_commits().is_empty(), "{name}: {:?}", repository.damaged_commits());
    let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
    assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
    let outdated: Vec<String> = repository.outdated_commits().collect();
    assert_eq!(serde_json::json!(outdated), *expected.get("outdated").unwrap_or(&serde_json::json!([])), "{name}");

    let mut unknown: Vec<String> = repository.unknown_snapshots().map(|id| id.to_string()).collect();
    unknown.sort();
    assert_eq!(
        serde_json::json!(unknown),
        *expected.get("unknown_snapshots").unwrap_or(&serde_json::json!([])),
        "{name}"
    );

    let found: Vec<Value> = repository.snapshots().iter().map(|snapshot| told(&repository, snapshot)).collect();
    assert_eq!(Value::Array(found), expected["snapshots"], "{name}");
}

/// A snapshot as restoring and listing show it.
fn told(repository: &Repository, snapshot: &Snapshot) -> Value {
    let target = MemoryTarget::default();
    let report = restore_into(repository, snapshot, &target, false).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let nodes: BTreeMap<RelPath, Node> = target.nodes.into_inner().unwrap();
    let mut told = expected::Snapshot { number: snapshot.number, id: snapshot.id.to_string(), ..Default::default() };
    for entry in repository.entries(snapshot) {
        let entry = entry.unwrap();
        let (path, node) = (entry.path.as_bytes(), &nodes[&entry.path]);
        match (&entry.entry.kind, node) {
            (EntryKind::File(_), Node::File(bytes)) => told.file(path, bytes),
            (EntryKind::Directory, Node::Folder) => told.folders.push(expected::escape(path)),
            (EntryKind::Symlink { .. }, Node::Link(to)) => {
                told.links.insert(expected::escape(path), expected::escape(to));
            }
            (EntryKind::HardLink { .. }, Node::File(bytes)) => {
                let original = original_of(&entry.path, &entry.entry);
                assert!(nodes[&original] == Node::File(bytes.clone()));
                told.hard_links.insert(expected::escape(path), expected::escape(original.as_bytes()));
            }
            other => panic!("{other:?}"),
        }
    }
    told.json()
}

/// The file that a hard link is another name of, inside the snapshot.
fn original_of(path: &RelPath, entry: &Entry) -> RelPath {
    let EntryKind::HardLink { original } = &entry.kind else { panic!("{entry:?}") };
    let label = RelPath::new(path.components().next().unwrap()).unwrap();
    label.join(original.as_bytes()).unwrap()
}

/// How what the reader makes of an invalid vector differs from what the vector says of itself.
pub(crate) fn judge_invalid(vector: &Path) -> Option<String> {
    let expected = json_at(&vector.join("expected.json"));
    let (class, object) = (expected["class"].as_str().unwrap(), expected["object"].as_str());
    let still_restores = expected["still_restores"].as_array();
    let repository = match open(vector) {
        Ok(repository) => repository,
        Err(failure) if still_restores.is_some() => return Some(format!("does not open: {failure:?}")),
        Err(failure) => {
            let is_named = object.is_none() || failure.object.as_deref() == object;
            let as_expected = failure.class == class && is_named;
            return (!as_expected).then(|| format!("{failure:?}"));
        }
    };
    let noticed = look_at(&repository);
    let named: BTreeSet<_> = noticed.damage.iter().map(|damage| (class_of(damage), damage.object.as_str())).collect();
    let is_named = object.is_some_and(|object| named.contains(&(class, object)));
    // What a newer object says is unknown, and so is where the contents lie of which it alone tells.
    let fits = |named: &str| named == class || (class == "newer" && named == "damaged");
    let Some(still) = still_restores.filter(|_| is_named && named.iter().all(|(named, _)| fits(named))) else {
        return Some(format!("opens; named are {:?}", noticed.damage));
    };
    let name = vector.file_name().unwrap().to_str().unwrap();
    let is_checked = noticed.checked.iter().any(|damage| Some(damage.object.as_str()) == object);
    if !is_checked && SEEN_BY_RESTORES.iter().all(|begin| !name.starts_with(begin)) {
        return Some(format!("a check finds {:?} alone", noticed.checked));
    }
    let still: BTreeSet<String> = still.iter().map(|path| path.as_str().unwrap().to_owned()).collect();
    (noticed.restored != still).then(|| format!("gives {:?}; {:?}", noticed.restored, noticed.damage))
}
