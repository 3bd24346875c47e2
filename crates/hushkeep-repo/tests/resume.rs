//! Backups that did not end: what they stored is used by the next one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::place::*;
use common::*;
use hushkeep_core::keys::{Epoch, ObjectKind};
use hushkeep_core::name::{ObjectId, RepositoryId};
use hushkeep_core::seal::Sealer;
use hushkeep_core::wire::put_varint;
use hushkeep_repo::state::StateKey;
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{
    BackupError, BackupOptions, BackupReport, CheckOptions, CheckReport, Quiet, Repository, Source, State, Storage,
};
use hushkeep_storage::fault::{self, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

fn tree() -> MemoryTree {
    MemoryTree::new(&[("picture.jpg", Node::File(random(2, 200_000)))])
}

/// 60 MB.
fn pictures() -> MemoryTree {
    let mut large = MemoryTree::new(&[]);
    for number in 0..60 {
        large.set(&format!("picture-{number:02}.jpg"), Node::File(random(number, 1_000_000)));
    }
    large
}

/// The fourth pack is the last that arrives: of two under way at the end, neither need be noted, and two before them are.
fn dying(storage: &Arc<dyn Storage>) -> Arc<dyn Storage> {
    let mut packs = 0;
    Arc::new(FaultStorage::new(Arc::clone(storage), move |call: &fault::Call| {
        packs += u32::from(call.subject.starts_with("packs/"));
        (packs == 4).then_some(Fault::CrashAfter)
    }))
}

fn check(repository: &Repository) -> CheckReport {
    repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap()
}

#[test]
fn packs_of_a_killed_backup_are_not_sent_again() {
    let memory = storage();
    let device = Device::new(1);
    device.create(&memory);
    let large = pictures();
    let failed = try_backup(&mut device.open(&dying(&memory)), &large, NOW);
    assert!(matches!(failed, Err(BackupError::Storage(_))));
    let sent = memory.list(Folder::Packs).unwrap().len();
    assert!(sent >= 2, "{sent} packs");
    let report = backup(&mut device.open(&memory), &large, NOW + 60);
    assert!(report.bytes_new <= 60_000_000 - 30_000_000, "{} bytes sent again", report.bytes_new);
    let repository = Device::new(2).open(&memory);
    assert_restores(&repository, &repository.snapshots()[0], &large);
    // Of two packs under way at the end, neither was noted.
    assert!(check(&repository).unreferenced <= 2);
}

/// Backs up another folder of the same device.
fn backup_notes(repository: &mut Repository, text: &str, now: i64) -> BackupReport {
    let tree = MemoryTree::new(&[("note.txt", Node::File(text.as_bytes().to_vec()))]);
    let source = Source { label: path("notes"), path: b"/data/notes".to_vec(), tree: &tree };
    repository.backup(&[source], &BackupOptions::new(at(now), "phone".into()), &Quiet).unwrap()
}

/// A first backup of many pictures takes days, with interruptions. Meanwhile the same device backs up its notes each day, and
/// gives back what nothing needs.
#[test]
fn a_backup_of_something_else_takes_nothing_from_one_that_did_not_end() {
    for exclusive in [true, false] {
        let (mut place, device) = (Place::new(exclusive), Device::new(1));
        device.create(&place.storage);
        try_backup(&mut device.open(&dying(&place.storage)), &pictures(), NOW).unwrap_err();
        let left = names(&place.storage, Folder::Packs);
        for day in 1..29 {
            place.wait(DAY);
            let mut repository = device.open(&place.storage);
            let report = backup_notes(&mut repository, &format!("of day {day}"), place.now);
            assert!(report.bytes_new < 1000, "{}", report.bytes_new);
            prune(&mut repository, &place);
        }
        let there = names(&place.storage, Folder::Packs);
        assert!(left.iter().all(|pack| there.contains(pack)));
        let report = backup(&mut device.open(&place.storage), &pictures(), place.now);
        assert!(report.bytes_new <= 60_000_000 - 30_000_000, "{} bytes sent again", report.bytes_new);
        let repository = Device::new(2).open(&place.storage);
        assert_restores(&repository, repository.snapshots().last().unwrap(), &pictures());
    }
}

/// The next one backs up one of two folders, for the other is not there just now; and then that, from where it lies now.
#[test]
fn a_backup_of_one_folder_leaves_what_was_stored_of_another() {
    let (mut place, device) = (Place::new(true), Device::new(1));
    device.create(&place.storage);
    let notes = MemoryTree::new(&[("note.txt", Node::File(b"of the first day".to_vec()))]);
    let (both, pictures) = (pictures(), pictures());
    let source = |label: &str, at: &str, tree| Source { label: path(label), path: at.as_bytes().to_vec(), tree };
    let backup = |storage: &Arc<dyn Storage>, now, sources: &[Source<'_>]| {
        device.open(storage).backup(sources, &BackupOptions::new(at(now), "phone".into()), &Quiet)
    };
    let sources = [source("chats", "/data/chats", &both), source("notes", "/data/notes", &notes)];
    backup(&dying(&place.storage), NOW, &sources).unwrap_err();
    let left = names(&place.storage, Folder::Packs);

    let [_, notes] = sources;
    let report = backup(&place.storage, NOW, &[notes]).unwrap();
    assert!(report.bytes_new < 1000, "{}", report.bytes_new);
    place.wait(DAY);
    prune(&mut device.open(&place.storage), &place);
    let there = names(&place.storage, Folder::Packs);
    assert!(left.iter().all(|pack| there.contains(pack)));

    let report = backup(&place.storage, place.now, &[source("chats", "/moved/chats", &pictures)]).unwrap();
    assert!(report.bytes_new <= 60_000_000 - 30_000_000, "{} bytes sent again", report.bytes_new);
    let repository = Device::new(2).open(&place.storage);
    assert_restores(&repository, repository.snapshots().last().unwrap(), &pictures);
}

/// What no backup has come back for after a month is given back.
#[test]
fn what_a_backup_left_is_given_back_after_a_month() {
    for (exclusive, wait) in [(true, DAY), (false, 7 * DAY)] {
        let (mut place, device) = (Place::new(exclusive), Device::new(1));
        device.create(&place.storage);
        try_backup(&mut device.open(&dying(&place.storage)), &pictures(), NOW).unwrap_err();
        let left = place.count(Folder::Packs) as u64;
        let mut repository = Device::new(2).open(&place.storage);
        let mut prune_after = |seconds| {
            place.wait(seconds);
            backup_notes(&mut repository, &format!("at {}", place.now), place.now);
            let pruned = prune(&mut repository, &place);
            (pruned.marked.packs, pruned.dropped.packs)
        };
        assert_eq!(prune_after(30 * DAY - 1), (0, 0));
        assert_eq!(prune_after(1), (left, 0));
        assert_eq!(prune_after(wait), (0, left));
        assert!(check(&Device::new(3).open(&place.storage)).findings.is_empty());
    }
}

/// A killed backup may leave a journal that names packs which a commit names by now, and who has the key packs that hold what
/// no pack may.
#[test]
fn a_journal_is_not_believed() {
    let (memory, device) = (storage(), Device::new(1));
    backup(&mut device.create(&memory), &tree(), NOW);
    let unjournaled = reads_of_packs(&memory, &device, &[]);
    let named = names(&memory, Folder::Packs);
    assert_eq!(reads_of_packs(&memory, &device, &named), unjournaled, "what a commit names is not looked at");

    let unsound = put_unsound_pack(&memory);
    assert!(reads_of_packs(&memory, &device, &[unsound]) > unjournaled);
    let report = check(&Device::new(2).open(&memory));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// How often a backup of what is stored already reads packs if these are in the journal.
fn reads_of_packs(storage: &Arc<dyn Storage>, device: &Device, journaled: &[ObjectName]) -> usize {
    device.state.store(StateKey::Journal, &encode_journal(storage, journaled)).unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reads);
    let watched: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::clone(storage), move |call: &fault::Call| {
        let is_read = call.operation == Operation::GetRange && call.subject.starts_with("packs/");
        count.fetch_add(usize::from(is_read), Ordering::Relaxed);
        None
    }));
    backup(&mut device.open(&watched), &tree(), NOW + 60);
    reads.load(Ordering::Relaxed)
}

/// Stores a pack that opens and has a table, but of nothing.
fn put_unsound_pack(storage: &Arc<dyn Storage>) -> ObjectName {
    let repository = RepositoryId::from_bytes([8; 16]);
    let keys = key().epoch_secret(&repository, Epoch::FIRST).working_keys(repository);
    let pack = Sealer::new(&keys, ObjectKind::Pack, Vec::new(), &mut Device::new(7).rng()).finish(&[0, 0], 4096);
    let name = ObjectName::new(Folder::Packs, "07".repeat(16)).unwrap();
    storage.put(&name, &pack).unwrap();
    name
}

/// A journal of packs that a backup of the same path has left: the id of each, and its length.
fn encode_journal(storage: &Arc<dyn Storage>, packs: &[ObjectName]) -> Vec<u8> {
    let mut journal = vec![1];
    journal.extend_from_slice(&blake3::derive_key("hushkeep journal path", b"/data/chats")[..16]);
    put_varint(&mut journal, packs.len() as u64);
    for pack in packs {
        let id: ObjectId = pack.file().parse().unwrap();
        journal.extend_from_slice(id.as_bytes());
        put_varint(&mut journal, storage.get(pack).unwrap().len() as u64);
    }
    journal
}
