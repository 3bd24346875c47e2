//! A storage that lies about any one object of a repository with everything in it: repacked packs, two epochs, two tips.
//!
//! Whatever it does, nothing wrong is ever restored, and what cannot be restored is told with the object's name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_repo::storage::{Features, Folder, ObjectName, StorageErrorKind};
use hushkeep_repo::{
    CheckOptions, Damage, DamageCause, LockedRepository, PruneOptions, Quiet, ReadError, RelPath, Repository,
    RestoreError, Storage, UnlockError,
};
use hushkeep_storage::fault::{Call, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

const DAY: i64 = 86_400;

/// The newest key, after a rotation.
fn new_key() -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [4; 32]))
}

/// Everything a repository can have, and what its snapshots must restore to.
struct Rich {
    objects: BTreeMap<ObjectName, Vec<u8>>,
    /// Objects that were there once.
    gone: BTreeMap<ObjectName, Vec<u8>>,
    snapshots: BTreeMap<String, BTreeMap<RelPath, Node>>,
}

fn tree(day: u64) -> MemoryTree {
    let pages: Vec<u8> = (0..40).flat_map(|page| random(page * 100 + (day * (page % 3)), 4096)).collect();
    let mut tree = MemoryTree::new(&[("chat.db", Node::Database { page_size: 4096, bytes: pages })]);
    tree.set("folder", Node::Folder);
    for number in 0..=day {
        tree.set(&format!("folder/{number}.jpg"), Node::File(random(1000 + number, 9000)));
    }
    tree
}

fn everything(storage: &Arc<dyn Storage>) -> BTreeMap<ObjectName, Vec<u8>> {
    let names = Folder::ALL.into_iter().flat_map(|folder| storage.list(folder).unwrap());
    names.map(|info| (info.name.clone(), storage.get(&info.name).unwrap())).collect()
}

fn copy(from: &Arc<dyn Storage>, to: &Arc<dyn Storage>) {
    for (name, bytes) in everything(from) {
        to.put(&name, &bytes).unwrap();
    }
}

fn open(storage: &Arc<dyn Storage>, device: &Device) -> Result<Repository, UnlockError> {
    let locked = LockedRepository::find(Arc::clone(storage), None).map_err(|error| match error {
        hushkeep_repo::FindError::Read(error) => UnlockError::Read(error),
        _ => UnlockError::WrongKey,
    })?;
    locked.unlock(&new_key(), device.state.clone(), device.rng(), at(NOW + 40 * DAY))
}

impl Rich {
    fn new() -> Self {
        let memory = MemoryStorage::new(Features { create_if_absent: false });
        memory.set_time(at(NOW));
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let device = Device::new(1);
        let mut repository = device.create(&storage);
        let mut gone = BTreeMap::new();
        for day in 0..4u64 {
            backup(&mut repository, &tree(day), NOW + i64::try_from(day).unwrap() * DAY);
        }
        gone.extend(everything(&storage));
        let first = repository.snapshots()[0].id;
        repository.forget(&[first], at(NOW)).unwrap();
        for day in [10, 20, 30] {
            memory.set_time(at(NOW + day * DAY));
            let options =
                PruneOptions { now: at(NOW + day * DAY), max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false };
            repository.prune(&options, &Quiet).unwrap();
            gone.extend(everything(&storage));
        }
        repository.rotate(&new_key(), repository.protectors().to_vec(), at(NOW)).unwrap();
        // Another device does not see the next backup, and makes a second tip.
        let late: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent: false }));
        copy(&storage, &late);
        backup(&mut repository, &tree(5), NOW + 31 * DAY);
        backup(&mut open(&late, &Device::new(2)).unwrap(), &tree(6), NOW + 32 * DAY);
        copy(&late, &storage);
        let objects = everything(&storage);
        gone.retain(|name, _| !objects.contains_key(name));
        let repository = open(&storage, &Device::new(3)).unwrap();
        let of = |snapshot| (snapshot_id(snapshot), restored_nodes(&repository, snapshot));
        let snapshots = repository.snapshots().iter().map(of).collect();
        let rich = Self { objects, gone, snapshots };
        rich.assert_complete(&repository);
        rich
    }

    fn assert_complete(&self, repository: &Repository) {
        let numbers: Vec<u64> = repository.snapshots().iter().map(|snapshot| snapshot.number).collect();
        assert_eq!(self.snapshots.len(), 5, "{numbers:?}");
        let trees = [1, 2, 3, 5, 6].map(|day| expected_nodes(&tree(day)));
        assert!(trees.iter().all(|tree| self.snapshots.values().any(|nodes| nodes == tree)));
        assert!(!self.gone.is_empty());
    }

    /// A storage with these objects in place of what is there.
    fn storage(&self, changes: &[(&ObjectName, Option<&[u8]>)]) -> Arc<dyn Storage> {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent: false }));
        for (name, bytes) in &self.objects {
            storage.put(name, bytes).unwrap();
        }
        for (name, bytes) in changes {
            storage.delete(name).unwrap();
            bytes.iter().for_each(|bytes| storage.put(name, bytes).unwrap());
        }
        storage
    }

    /// What a device without memory finds must be right as far as it goes, and damage of `object` must be told.
    fn assert_nothing_wrong(&self, storage: &Arc<dyn Storage>, object: &ObjectName, lie: &str) {
        let repository = match open(storage, &Device::new(4)) {
            Ok(repository) => repository,
            Err(UnlockError::Read(ReadError::Damaged(_))) => return,
            Err(error) => panic!("{object}, {lie}: {error}"),
        };
        let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
        let named = report.findings.iter().find(|finding| finding.damage.object == object.to_string());
        let may_be_silent = match object.folder() {
            // One that others have replaced may be deleted at any time.
            Folder::Index => lie == "missing",
            // A newest commit that is not shown is known to those that have seen it.
            Folder::Commits => self.is_noticed_by_memory(storage),
            Folder::Config | Folder::Packs => false,
        };
        assert!(named.is_some() || may_be_silent, "{object}, {lie}: check is silent: {:?}", report.findings);
        let mut missing = self.snapshots.len() - repository.snapshots().len();
        for snapshot in repository.snapshots() {
            let target = MemoryTarget::default();
            match restore_into(&repository, snapshot, &target, false) {
                Ok(_) => {
                    let nodes = target.nodes.into_inner().unwrap();
                    assert!(nodes == self.snapshots[&snapshot_id(snapshot)], "{object}, {lie}: a wrong file");
                    continue;
                }
                Err(RestoreError::Damaged { damage, .. } | RestoreError::Read(ReadError::Damaged(damage))) => {
                    assert_eq!(damage.object, object.to_string(), "{lie}");
                }
                Err(error) => panic!("{object}, {lie}: {error}"),
            }
            missing += 1;
            let affected = &named.unwrap().affected;
            assert!(affected.iter().any(|hurt| hurt.snapshot == snapshot.id), "{object}, {lie}: {affected:?}");
            self.assert_best_effort(&repository, snapshot, object, lie);
        }
        assert!(missing == 0 || object.folder() != Folder::Index, "{object}, {lie}: an index object is never needed");
    }

    /// Whether a device that has seen everything notices that a storage lies.
    fn is_noticed_by_memory(&self, storage: &Arc<dyn Storage>) -> bool {
        let device = Device::new(6);
        open(&self.storage(&[]), &device).unwrap();
        match open(storage, &device) {
            Ok(repository) => !repository.damaged_commits().is_empty(),
            Err(UnlockError::RolledBack | UnlockError::Read(ReadError::Damaged(_))) => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// With best effort every file is right, or named.
    fn assert_best_effort(
        &self,
        repository: &Repository,
        snapshot: &hushkeep_repo::Snapshot,
        object: &ObjectName,
        lie: &str,
    ) {
        let target = MemoryTarget::default();
        let report = restore_into(repository, snapshot, &target, true).unwrap();
        let kept: Vec<&RelPath> = report.problems.iter().filter_map(|problem| problem.kept_as.as_ref()).collect();
        let nodes = target.nodes.into_inner().unwrap();
        let whole = nodes.iter().filter(|(path, _)| !kept.contains(path));
        for (path, node) in whole {
            assert!(self.snapshots[&snapshot_id(snapshot)][path] == *node, "{object}, {lie}: {path} is wrong");
        }
        assert!(!report.problems.is_empty());
    }
}

fn snapshot_id(snapshot: &hushkeep_repo::Snapshot) -> String {
    snapshot.id.to_string()
}

#[test]
fn any_lie_about_any_object_is_found() {
    let rich = Rich::new();
    for (name, whole) in &rich.objects {
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 8;
        rich.assert_nothing_wrong(&rich.storage(&[(name, Some(&flipped))]), name, "a bit flipped");
        rich.assert_nothing_wrong(&rich.storage(&[(name, Some(&whole[..whole.len() - 1]))]), name, "cut");
        let longer = [whole.as_slice(), &[0]].concat();
        rich.assert_nothing_wrong(&rich.storage(&[(name, Some(&longer))]), name, "a byte more");
        rich.assert_nothing_wrong(&rich.storage(&[(name, Some(&[]))]), name, "emptied");
    }
}

#[test]
fn no_object_passes_for_another() {
    let rich = Rich::new();
    let foreign = foreign_repository();
    for (name, whole) in &rich.objects {
        for (other, bytes) in rich.objects.iter().filter(|(other, bytes)| *other != name && *bytes != whole) {
            // Two copies of one config say the same.
            let is_copy = name.folder() == Folder::Config && other.folder() == Folder::Config;
            // The same commit under a second name is no harm to anybody; its own content is then missing.
            if !is_copy {
                rich.assert_nothing_wrong(&rich.storage(&[(name, Some(bytes))]), name, &format!("shown as {other}"));
            }
        }
        for (kind, old) in rich.gone.iter().filter(|(gone, _)| gone.folder() == name.folder()) {
            rich.assert_nothing_wrong(&rich.storage(&[(name, Some(old))]), name, &format!("{kind} replayed"));
        }
        for bytes in foreign.iter().filter(|(other, _)| other.folder() == name.folder()).map(|(_, bytes)| bytes) {
            rich.assert_nothing_wrong(&rich.storage(&[(name, Some(bytes))]), name, "from another repository");
        }
    }
}

/// Another repository under the same keys.
fn foreign_repository() -> BTreeMap<ObjectName, Vec<u8>> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent: false }));
    let device = Device::new(8);
    let id = RepositoryId::from_bytes([9; 16]);
    let mut repository =
        Repository::create(Arc::clone(&storage), device.state.clone(), &key(), id, at(NOW), device.rng()).unwrap();
    backup(&mut repository, &tree(1), NOW);
    repository.rotate(&new_key(), repository.protectors().to_vec(), at(NOW)).unwrap();
    backup(&mut repository, &tree(2), NOW + DAY);
    everything(&storage)
}

#[test]
fn a_missing_object_is_named_or_the_history_is_rolled_back() {
    let rich = Rich::new();
    for name in rich.objects.keys() {
        let storage = rich.storage(&[(name, None)]);
        match name.folder() {
            Folder::Index | Folder::Packs => rich.assert_nothing_wrong(&storage, name, "missing"),
            // The other copy stands in for it.
            Folder::Config => assert!(open(&storage, &Device::new(4)).is_ok()),
            Folder::Commits => {
                let others = open(&storage, &Device::new(4)).map(|repository| repository.snapshots().len());
                let is_all = others.is_ok_and(|others| others == rich.snapshots.len());
                assert!(is_all || rich.is_noticed_by_memory(&storage), "{name} is missing and nobody tells");
            }
        }
    }
}

#[test]
fn what_was_deleted_and_is_shown_again_changes_nothing() {
    let rich = Rich::new();
    let again: Vec<(&ObjectName, Option<&[u8]>)> =
        rich.gone.iter().map(|(name, bytes)| (name, Some(bytes.as_slice()))).collect();
    let seen = Device::new(6);
    open(&rich.storage(&[]), &seen).unwrap();
    for device in [Device::new(5), seen] {
        let mut repository = open(&rich.storage(&again), &device).unwrap();
        assert!(repository.damaged_commits().is_empty());
        for snapshot in repository.snapshots() {
            assert!(restored_nodes(&repository, snapshot) == rich.snapshots[&snapshot_id(snapshot)]);
        }
        assert_eq!(repository.snapshots().len(), rich.snapshots.len());
        let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
        let configs = |object: &str| object.starts_with("config/");
        assert!(report.findings.iter().all(|finding| configs(&finding.damage.object)), "{:?}", report.findings);
        backup(&mut repository, &tree(7), NOW + 33 * DAY);
        let newest = repository.snapshots().last().unwrap();
        assert!(restored_nodes(&repository, newest) == expected_nodes(&tree(7)));
    }
}

/// Whoever can put a file there could fill the memory of whoever reads it whole.
#[test]
fn an_object_that_is_too_long_is_damaged_and_not_read() {
    let (memory, device): (Arc<dyn Storage>, _) = (Arc::new(MemoryStorage::default()), Device::new(1));
    let mut repository = device.create(&memory);
    (0..2).for_each(|day| drop(backup(&mut repository, &tree(day), NOW + i64::try_from(day).unwrap())));
    for folder in [Folder::Config, Folder::Commits, Folder::Index] {
        let name = names(&memory, folder).into_iter().max().unwrap();
        let long = name.to_string();
        let plan = move |call: &Call<'_>| {
            let is_read = call.operation == Operation::Get && call.subject == long;
            is_read.then_some(Fault::Refuse(StorageErrorKind::TooLong))
        };
        let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(&memory), plan));
        let report = Device::new(2).open(&storage).check(&CheckOptions { read_data: 0.0 }, &Quiet).unwrap();
        let found: Vec<_> = report.findings.into_iter().map(|finding| finding.damage).collect();
        assert_eq!(found, [Damage { object: name.to_string(), cause: DamageCause::TooLong }]);
    }
}
