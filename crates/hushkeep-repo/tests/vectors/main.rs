//! The vectors in `spec/vectors/repositories`: whole repositories, valid and with one defect each.
//!
//! They are found by walking the folder, and held against what they say of themselves. To make those that are missing:
//! `cargo test -p hushkeep-repo --test vectors -- --ignored`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod forge;
mod invalid;
mod later_rows;
mod limits;
mod long_packs;
mod newer;
mod parts;
mod sample;
mod valid;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use expected::Vector;
use forge::Repo;
use hushkeep_core::keys::BackupKey;
use hushkeep_repo::state::StateKey;
use hushkeep_repo::storage::{Features, Folder};
use hushkeep_repo::{CheckOptions, LockedRepository, PruneError, Quiet, Repository, State, Storage, UnlockError};
use hushkeep_storage::{FolderStorage, MemoryStorage};

#[test]
fn valid_repositories_give_what_they_hold() {
    let vectors = expected::vectors(&expected::home(), "valid");
    assert!(!vectors.is_empty());
    vectors.iter().for_each(|(name, vector)| walk::assert_valid(name, vector));
}

#[test]
fn invalid_repositories_are_refused_for_what_they_are() {
    let vectors = expected::vectors(&expected::home(), "invalid");
    assert!(!vectors.is_empty());
    let judge = |(name, vector): (&String, &PathBuf)| Some(format!("{name}: {}", walk::judge_invalid(vector)?));
    let every_second = |from| vectors.iter().skip(from).step_by(2).filter_map(judge).collect::<Vec<String>>();
    let wrong = std::thread::scope(|scope| {
        let odd = scope.spawn(|| every_second(1));
        [every_second(0), odd.join().unwrap()].concat()
    });
    assert!(wrong.is_empty(), "{} of {} came out otherwise:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

/// What another writer writes otherwise would be another config, which no commit names.
#[test]
fn a_config_that_is_there_once_is_copied_only_if_the_copy_is_the_same() {
    for (name, copies) in [("small-objects", 2), ("known-fields-as-ignorable", 1)] {
        let vector = expected::home().join("valid").join(name);
        let memory = in_memory(&vector);
        assert_eq!(common::names(&memory, Folder::Config).len(), 1);

        let device = common::Device::new(1);
        let open = || unlock(&memory, &walk::key(&vector), &device).unwrap();
        common::backup(&mut open(), &common::MemoryTree::new(&[]), common::NOW);
        assert_eq!(common::names(&memory, Folder::Config).len(), copies, "{name}");
        let found = open().check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap().findings;
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

/// A backup reads names wherever they are whole, and says where they are not.
#[test]
fn a_backup_tells_of_names_that_are_damaged_in_one_of_two_packs() {
    let vector = expected::home().join("invalid/copies-names-whole-in-one-pack");
    let (memory, device) = (in_memory(&vector), common::Device::new(1));
    let mut repository = unlock(&memory, &walk::key(&vector), &device).unwrap();
    let report = common::backup(&mut repository, &common::MemoryTree::new(&[]), common::NOW);
    let damaged: Vec<&str> = report.damage.iter().map(|damage| damage.object.as_str()).collect();
    assert_eq!(damaged, [expected::json_at(&vector.join("expected.json"))["object"].as_str().unwrap()]);
}

/// The pack in which the list itself lies may be of no use soon, also if its names were read elsewhere before.
#[test]
fn a_backup_builds_on_no_list_of_which_names_were_whole_in_another_pack_when_it_was_read_before() {
    let vector = expected::home().join("invalid/copies-names-whole-in-one-pack");
    let memory = in_memory(&vector);
    let mut repository = unlock(&memory, &walk::key(&vector), &common::Device::new(1)).unwrap();
    let read = repository.entries(&repository.snapshots()[1]).filter(Result::is_ok).count();
    assert_eq!(read, 11);
    let tree = common::MemoryTree::new(&[("new", common::Node::File(b"new".to_vec()))]);
    newer::back_up_hurt(&mut repository, &tree).unwrap();

    memory.delete(&expected::object("packs", &sample::HURT).parse().unwrap()).unwrap();
    let repository = unlock(&memory, &walk::key(&vector), &common::Device::new(2)).unwrap();
    let newest = repository.snapshots().last().unwrap();
    common::restore_into(&repository, newest, &common::MemoryTarget::default(), false).unwrap();
}

/// A forged repository, opened by its owner, and where it lies.
fn open_forged(repo: &Repo) -> (Repository, Arc<dyn Storage>) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent: true }));
    repo.objects.iter().for_each(|(name, bytes)| storage.put(&name.parse().unwrap(), bytes).unwrap());
    let device = common::Device::new(1);
    (unlock(&storage, &repo.key(0), &device).unwrap(), storage)
}

/// Another pack may be all that a whole list of names is in.
#[test]
fn nothing_is_pruned_beside_names_that_are_whole_in_another_pack_alone() {
    let vector = expected::home().join("invalid/copies-names-whole-in-one-pack");
    let (memory, device) = (in_memory(&vector), common::Device::new(1));
    let mut repository = unlock(&memory, &walk::key(&vector), &device).unwrap();
    assert!(matches!(newer::prune(&mut repository), PruneError::Incomplete(_)));
}

/// What a config that was made up leads to is not what this device has seen.
#[test]
fn nothing_is_remembered_of_a_config_that_is_refused() {
    let vector = expected::home().join("invalid/key-of-two-epochs");
    let device = common::Device::new(1);
    assert!(unlock(&in_memory(&vector), &walk::key(&vector), &device).is_err());
    assert!(device.state.load(StateKey::Tips).unwrap().is_none());
}

/// What `device` opens with `key`.
fn unlock(storage: &Arc<dyn Storage>, key: &BackupKey, device: &common::Device) -> Result<Repository, UnlockError> {
    let locked = LockedRepository::find(Arc::clone(storage), None).unwrap();
    locked.unlock(key, device.state.clone(), device.rng(), common::at(common::NOW))
}

/// What lies in the folder of a vector.
fn in_memory(vector: &Path) -> Arc<dyn Storage> {
    let read = FolderStorage::open(vector.join("repository")).unwrap();
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::new(Features { create_if_absent: true }));
    let infos = Folder::ALL.into_iter().flat_map(|folder| read.list(folder).unwrap());
    infos.for_each(|info| memory.put(&info.name, &read.get(&info.name).unwrap()).unwrap());
    memory
}

/// Every vector, with the folder it belongs in.
fn all() -> impl Iterator<Item = (&'static str, Vector)> {
    let valid = valid::all().into_iter().map(|vector| ("valid", vector));
    valid.chain(invalid::all().into_iter().map(|vector| ("invalid", vector)))
}

/// Vectors are added, never changed: one that is there stays as it is. Each run gives the same bytes, from fixed seeds.
#[test]
#[ignore = "writes the vectors that are missing"]
fn make_the_vectors_that_are_missing() {
    let missing = || all().filter(|(kind, vector)| !expected::home().join(kind).join(&vector.name).exists());
    for ((kind, vector), (_, again)) in missing().zip(missing()).collect::<Vec<_>>() {
        assert!(vector.objects == again.objects, "{kind}/{} comes out otherwise each time", vector.name);
        vector.write(&expected::home().join(kind));
    }
}
