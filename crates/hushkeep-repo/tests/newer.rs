//! What a newer version of the program leaves in a repository: this one reads what it can, changes nothing that it could
//! spoil, and takes damage for damage (spec §14).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;
#[path = "common/reseal.rs"]
mod reseal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::*;
use hushkeep_core::keys::ObjectKind;
use hushkeep_core::name::RepositoryId;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_core::seal::Header;
use hushkeep_core::wire::put_bytes;
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{
    BackupError, BackupReport, CheckOptions, ConfigError, Damage, DamageCause, FindError, ForgetError, ItemError,
    LockedRepository, PruneError, PruneOptions, Quiet, ReadError, RelPath, Repository, RestoreProblem, RotateError,
    Storage, UnlockError,
};
use hushkeep_storage::{FolderStorage, MemoryStorage};
use reseal::*;

/// The bytes of a header that hold the format version, and those that hold the repository's id (spec §2.1).
const VERSION_AT: usize = 8;
const REPOSITORY_AT: usize = 16;

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

fn tree(text: &str) -> MemoryTree {
    MemoryTree::new(&[("note.txt", Node::File(text.as_bytes().to_vec()))])
}

fn with_byte(mut object: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    object[at] = byte;
    object
}

/// The same config with a critical field more in its clear part.
fn with_clear_field(object: &[u8], number: u8, value: u8) -> Vec<u8> {
    with_clear_tag(object, 2 * number + 1, value)
}

/// The same config with a field more in its clear part that begins with this tag (spec §1.3).
fn with_clear_tag(object: &[u8], tag: u8, value: u8) -> Vec<u8> {
    let (mut clear, body) = open(ObjectKind::Config, object);
    clear.push(tag);
    put_bytes(&mut clear, &[value]);
    seal_like(object, ObjectKind::Config, clear, &body)
}

/// How a commit names a config (spec §12.1).
fn config_digest(object: &[u8]) -> [u8; 16] {
    let (clear, body) = open(ObjectKind::Config, object);
    let mut both = Vec::new();
    put_bytes(&mut both, &clear);
    put_bytes(&mut both, &body);
    *blake3::Hasher::new_derive_key("hushkeep/1 config").update(&both).finalize().as_bytes().first_chunk().unwrap()
}

fn is_newer(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged(Damage { cause: DamageCause::NewerVersion, .. }))
}

#[test]
fn where_older_programs_must_not_write_they_change_nothing() {
    let storage = storage();
    Device::new(1).create(&storage);
    for name in names(&storage, Folder::Config) {
        change(&storage, &name, |object| with_clear_field(&object, 4, 2));
    }
    let mut repository = Device::new(2).open(&storage);
    let before = objects(&storage);
    let backup = try_backup(&mut repository, &tree("new"), NOW);
    assert!(matches!(backup, Err(BackupError::Read(error)) if is_newer(&error)));
    let protectors = repository.protectors().to_vec();
    let set = repository.set_protectors(protectors.clone(), at(NOW));
    assert!(matches!(set, Err(ConfigError::Read(error)) if is_newer(&error)));
    let rotate = repository.rotate(&key(), protectors, at(NOW));
    assert!(matches!(rotate, Err(RotateError::Unchanged(ConfigError::Read(error))) if is_newer(&error)));
    let forget = repository.forget(&[], at(NOW));
    assert!(matches!(forget, Err(ForgetError::Read(error)) if is_newer(&error)));
    let options = PruneOptions { now: at(NOW), max_unused: 0.0, max_repack_bytes: 0, dry_run: false };
    assert!(matches!(repository.prune(&options, &Quiet), Err(PruneError::Read(error)) if is_newer(&error)));
    assert_eq!(objects(&storage), before);
}

/// A device that has the repository open meets what another one publishes meanwhile.
#[test]
fn where_a_newer_program_comes_meanwhile_an_older_one_changes_nothing_from_then_on() {
    const WRITER_VERSION: u8 = 4;
    const UNKNOWN_CRITICAL: u8 = 9;
    let newer = |backup| matches!(backup, Err(BackupError::Read(error)) if is_newer(&error));
    for field in [WRITER_VERSION, UNKNOWN_CRITICAL] {
        assert!(newer(back_up_beside(|_, object| with_clear_field(object, field, 2))));
    }
    assert!(newer(back_up_beside(|_, object| with_byte(object.to_vec(), VERSION_AT, 2))));
    // Nothing proves what the header says: the other copy tells.
    assert!(back_up_beside(|copy, object| with_byte(object.to_vec(), VERSION_AT, 1 + copy)).is_ok());
}

/// What becomes of a backup if another device changes the protectors meanwhile, and both copies of its config are changed then.
/// Nothing is published if it fails.
fn back_up_beside(newer: impl Fn(u8, &[u8]) -> Vec<u8>) -> Result<BackupReport, BackupError> {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("old"), NOW);
    let mut other = Device::new(2).open(&storage);
    let protectors = other.protectors().to_vec();
    other.set_protectors(protectors, at(NOW)).unwrap();

    let mut configs = names(&storage, Folder::Config);
    configs.retain(|name| name.file() > "0000000002");
    let before = config_digest(&storage.get(&configs[0]).unwrap());
    (0..).zip(&configs).for_each(|(copy, name)| change(&storage, name, |object| newer(copy, &object)));
    let after = storage.get(&configs[0]).unwrap();
    if after[VERSION_AT] == 1 {
        name_config(&storage, before, config_digest(&after));
    }

    let commits = names(&storage, Folder::Commits);
    let backup = try_backup(&mut repository, &tree("new"), NOW);
    assert!(backup.is_ok() || names(&storage, Folder::Commits) == commits);
    backup
}

/// Has the newest commit name another config.
fn name_config(storage: &Arc<dyn Storage>, before: [u8; 16], after: [u8; 16]) {
    let commit = names(storage, Folder::Commits).into_iter().max().unwrap();
    change(storage, &commit, |object| {
        with_commit_body(&object, |body| {
            let place = body.windows(16).position(|bytes| bytes == before).unwrap();
            body[place..place + 16].copy_from_slice(&after);
        })
    });
}

/// Two devices that change the protectors at once may give their configs one number: the commits say which holds.
#[test]
fn where_another_config_of_the_same_number_keeps_older_programs_from_writing_they_change_nothing() {
    const IGNORABLE: u8 = 5;
    for (writer_version, may_write) in [(1, true), (2, false)] {
        let storage = storage();
        let mut repository = Device::new(1).create(&storage);
        backup(&mut repository, &tree("old"), NOW);
        backup(&mut Device::new(2).open(&storage), &tree("other"), NOW);
        let configs = names(&storage, Folder::Config);
        let own = storage.get(&configs[0]).unwrap();
        // Of two of one number the one with the greater digest holds.
        let with_version = with_clear_field(&own, 4, writer_version);
        let others = (0..=255).map(|value| with_clear_tag(&with_version, 2 * IGNORABLE, value));
        let other = others.into_iter().find(|other| config_digest(other) > config_digest(&own)).unwrap();
        name_config(&storage, config_digest(&own), config_digest(&other));
        change(&storage, &configs[0], |_| other);

        let backup = try_backup(&mut repository, &tree("new"), NOW);
        assert_eq!(backup.is_ok(), may_write, "{backup:?}");
        assert!(backup.is_ok() || matches!(backup, Err(BackupError::Read(error)) if is_newer(&error)));
    }
}

#[test]
fn the_version_for_writers_is_kept() {
    let storage = storage();
    Device::new(1).create(&storage);
    for name in names(&storage, Folder::Config) {
        change(&storage, &name, |object| with_clear_field(&object, 4, 1));
    }
    let mut repository = Device::new(2).open(&storage);
    let protectors = repository.protectors().to_vec();
    repository.set_protectors(protectors, at(NOW)).unwrap();
    let newest = names(&storage, Folder::Config).into_iter().max().unwrap();
    let (header, _) = Header::parse(&storage.get(&newest).unwrap()).unwrap();
    assert!(header.clear.ends_with(&[2 * 4 + 1, 1, 1]));
    assert!(Device::new(3).try_open(&storage).is_ok());
}

#[test]
fn a_config_that_looks_newer_does_not_hide_one_that_holds() {
    let storage = storage();
    let device = Device::new(1);
    backup(&mut device.create(&storage), &tree("day"), NOW);
    let whole: Vec<_> = names(&storage, Folder::Config).iter().map(|name| storage.get(name).unwrap()).collect();
    let stray = "config/0000000099-00000000".parse().unwrap();
    storage.put(&stray, &with_byte(whole[0].clone(), VERSION_AT, 2)).unwrap();
    assert!(device.try_open(&storage).is_ok());
    storage.delete(&stray).unwrap();

    let configs = names(&storage, Folder::Config);
    change(&storage, &configs[0], |object| with_byte(object, VERSION_AT, 2));
    assert!(Device::new(2).try_open(&storage).is_ok());
    assert!(device.try_open(&storage).is_ok());

    // None is left: whoever wrote them last may have been a newer program.
    change(&storage, &configs[1], |object| with_byte(object, VERSION_AT, 2));
    let found = LockedRepository::find(Arc::clone(&storage), None);
    assert!(matches!(found, Err(FindError::Read(error)) if is_newer(&error)));

    // Nor does the one that is left hold, as the commits say.
    change(&storage, &configs[0], |_| whole[0].clone());
    change(&storage, &configs[1], |_| whole[1].clone());
    let mut repository = device.open(&storage);
    let protectors = repository.protectors().to_vec();
    repository.set_protectors(protectors, at(NOW)).unwrap();
    for name in names(&storage, Folder::Config).iter().filter(|name| !configs.contains(name)) {
        change(&storage, name, |object| with_byte(object, VERSION_AT, 2));
    }
    assert!(matches!(Device::new(2).try_open(&storage), Err(UnlockError::Read(error)) if is_newer(&error)));
}

/// A vector of the format's description, unlocked.
fn open_vector(name: &str) -> Repository {
    let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/repositories/invalid").join(name);
    let key = std::fs::read_to_string(vector.join("key.txt")).unwrap();
    let Ok(Parsed::Exact(key)) = RecoveryKey::parse(&key) else { panic!("{key}") };
    let storage = FolderStorage::open(vector.join("repository")).unwrap();
    let device = Device::new(1);
    let locked = LockedRepository::find(Arc::new(storage), None).unwrap();
    locked.unlock(&key, device.state.clone(), device.rng(), at(NOW)).unwrap()
}

/// What a restore gives, and what it says of the rest.
fn restored(repository: &Repository, best_effort: bool) -> (BTreeMap<RelPath, Node>, Vec<RestoreProblem>) {
    let target = MemoryTarget::default();
    let report = restore_into(repository, repository.snapshots().last().unwrap(), &target, best_effort).unwrap();
    let mut nodes = target.nodes.into_inner().unwrap();
    report.problems.iter().filter_map(|problem| problem.kept_as.as_ref()).for_each(|kept| drop(nodes.remove(kept)));
    (nodes, report.problems)
}

/// Damage ends a restore that is to be whole. This is none, and costs what it holds alone.
#[test]
fn a_restore_gives_all_but_what_is_newer_and_tells_of_that() {
    for (vector, lost) in [
        ("entry-kind-5", vec!["hurt/bad"]),
        ("entry-extra-critical", vec!["hurt/bad"]),
        ("entry-kind-5-with-a-hard-link", vec!["hurt/one", "hurt/other-name"]),
        ("table-coding-unknown", vec!["hurt/db", "hurt/dir/deep", "hurt/one", "hurt/other-name", "hurt/two"]),
        ("map-newer", vec!["hurt/db"]),
        ("list-newer", vec![""]),
    ] {
        let repository = open_vector(vector);
        let (nodes, problems) = restored(&repository, false);
        let is_newer =
            |error: &ItemError| matches!(error, ItemError::Damaged(damage) if damage.cause.is_newer_version());
        assert!(problems.iter().all(|problem| is_newer(&problem.error)), "{vector}: {problems:?}");
        let mut paths: Vec<RelPath> = problems.into_iter().map(|problem| problem.path).collect();
        paths.sort();
        assert_eq!(paths, lost.into_iter().map(path).collect::<Vec<_>>(), "{vector}");
        assert!(nodes.contains_key(&path("kept/a")), "{vector}: {:?}", nodes.keys());
        assert!(nodes == restored(&repository, true).0, "{vector}");
    }
}

#[test]
fn any_other_object_that_looks_newer_is_damaged() {
    let storage = storage();
    let mut repository = Device::new(1).create(&storage);
    for day in 0..3 {
        backup(&mut repository, &tree(&format!("day {day}")), NOW + day);
    }
    for name in [Folder::Commits, Folder::Index, Folder::Packs].iter().flat_map(|folder| names(&storage, *folder)) {
        let whole = storage.get(&name).unwrap();
        change(&storage, &name, |object| with_byte(object, VERSION_AT, 2));
        let repository = Device::new(2).open(&storage);
        let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
        let found: Vec<_> = report.findings.iter().map(|finding| finding.damage.clone()).collect();
        assert!(found.iter().any(|damage| damage.object == name.to_string()), "{name}: {found:?}");
        assert!(found.iter().all(|damage| !damage.cause.is_newer_version()), "{name}: {found:?}");
        change(&storage, &name, |_| whole);
    }
}

#[test]
fn headers_of_other_repositories_outvote_nobody_who_has_the_key() {
    let storage = storage();
    let device = Device::new(1);
    let mut repository = device.create(&storage);
    backup(&mut repository, &tree("day"), NOW);
    let config = storage.get(&names(&storage, Folder::Config)[0]).unwrap();
    for number in 0..5 {
        let forged = with_byte(config.clone(), REPOSITORY_AT, !config[REPOSITORY_AT]);
        storage.put(&format!("config/000000000{number}-00000000").parse().unwrap(), &forged).unwrap();
    }
    let id = repository.id();
    let found = LockedRepository::find(Arc::clone(&storage), None).unwrap();
    assert!(found.id() != id && found.id_for(&key()) == Some(id));
    assert_restores(&device.open(&storage), &repository.snapshots()[0], &tree("day"));
    assert_eq!(LockedRepository::find(Arc::clone(&storage), Some(id)).unwrap().id(), id);
    let unknown = RepositoryId::from_bytes([7; 16]);
    assert_eq!(LockedRepository::find(storage, Some(unknown)).unwrap().id(), found.id());
}

#[test]
fn what_has_no_name_of_ours_is_never_deleted() {
    let clock = Arc::new(MemoryStorage::default());
    clock.set_time(at(NOW));
    let storage: Arc<dyn Storage> = clock.clone();
    let mut repository = Device::new(1).create(&storage);
    backup(&mut repository, &tree("day"), NOW);
    let strays: Vec<ObjectName> = Folder::ALL
        .iter()
        .map(|folder| ObjectName::new(*folder, "notes".to_owned()).unwrap())
        .chain(["index/00112233445566778899aabbccddeeff-2".parse().unwrap()])
        .collect();
    strays.iter().for_each(|name| storage.put(name, b"notes").unwrap());
    clock.set_time(at(NOW + 400 * 86_400));
    let options = PruneOptions { now: at(NOW), max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false };
    repository.prune(&options, &Quiet).unwrap();
    clock.set_time(at(NOW + 800 * 86_400));
    repository.prune(&options, &Quiet).unwrap();
    let left: Vec<_> = Folder::ALL.iter().flat_map(|folder| names(&storage, *folder)).collect();
    assert!(strays.iter().all(|name| left.contains(name)), "{left:?}");
}
