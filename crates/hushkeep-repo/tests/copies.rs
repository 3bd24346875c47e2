//! What a storage spoiled in one pack, while another still has it: until the wait of a prune is over, repacking leaves what
//! it copied where it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::*;
use hushkeep_repo::storage::{Features, Folder, ObjectName};
use hushkeep_repo::{CheckOptions, EntryKind, PruneError, PruneOptions, PruneReport, Quiet, Repository, Storage};
use hushkeep_storage::MemoryStorage;

const DAY: i64 = 86_400;
const FILE_LEN: usize = 50_000;

/// A repository of two snapshots of which the first was forgotten, so that its packs were put together anew. They are
/// marked, and the new pack is spoiled.
struct Place {
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
    device: Device,
    now: i64,
    /// What the second snapshot holds.
    tree: MemoryTree,
    marked: Vec<ObjectName>,
    spoiled: ObjectName,
}

fn tree(file: u64) -> MemoryTree {
    let pages = (0..20).flat_map(|page| random(page, 4096)).collect();
    let mut tree = MemoryTree::new(&[
        ("chat.db", Node::Database { page_size: 4096, bytes: pages }),
        ("dir", Node::Folder),
        ("dir/kept.jpg", Node::File(random(100, FILE_LEN))),
        ("new.jpg", Node::File(random(file, FILE_LEN))),
    ]);
    tree.times.insert(path("new.jpg"), 1_600_000_000 + i64::try_from(file).unwrap());
    tree
}

impl Place {
    /// `spoil` changes the new pack.
    fn new(spoil: impl FnOnce(&mut [u8])) -> Self {
        let memory = MemoryStorage::new(Features { create_if_absent: true });
        memory.set_time(at(NOW));
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let (device, tree) = (Device::new(1), [tree(201), tree(202)]);
        let mut repository = device.create(&storage);
        backup(&mut repository, &tree[0], NOW);
        let marked = names(&storage, Folder::Packs);
        backup(&mut repository, &tree[1], NOW + DAY);
        let forgotten = repository.snapshots()[0].id;
        repository.forget(&[forgotten], at(NOW + DAY)).unwrap();

        let before = names(&storage, Folder::Packs);
        repository.prune(&options(NOW + DAY), &Quiet).unwrap();
        let [spoiled] = <[ObjectName; 1]>::try_from(
            names(&storage, Folder::Packs).into_iter().filter(|pack| !before.contains(pack)).collect::<Vec<_>>(),
        )
        .unwrap();
        let mut pack = storage.get(&spoiled).unwrap();
        spoil(&mut pack);
        storage.delete(&spoiled).unwrap();
        storage.put(&spoiled, &pack).unwrap();
        let [_, tree] = tree;
        Self { memory, storage, device, now: NOW + DAY, tree, marked, spoiled }
    }

    fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        self.memory.set_time(at(self.now));
    }

    fn open(&self) -> Repository {
        self.device.open_at(&self.storage, self.now).unwrap()
    }

    /// What a check of everything finds, and whether any file is lost by it.
    fn check(&self) -> Vec<(String, bool)> {
        self.check_reading(1.0)
    }

    fn check_reading(&self, read_data: f64) -> Vec<(String, bool)> {
        let report = self.open().check(&CheckOptions { read_data }, &Quiet).unwrap();
        report.findings.into_iter().map(|finding| (finding.damage.object, !finding.affected.is_empty())).collect()
    }

    fn prune(&self) -> Result<PruneReport, PruneError> {
        self.open().prune(&options(self.now), &Quiet)
    }

    fn is_there(&self) -> bool {
        self.storage.list(Folder::Packs).unwrap().iter().any(|pack| pack.name == self.spoiled)
    }
}

fn options(now: i64) -> PruneOptions {
    PruneOptions { now: at(now), max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false }
}

fn spoil_all(pack: &mut [u8]) {
    let end = pack.len() - 400;
    pack[68..end].fill(0);
}

fn made_good(repository: &Repository) -> Vec<String> {
    repository.made_good().into_iter().map(|damage| damage.object).collect()
}

#[test]
fn what_one_pack_lost_is_read_from_another() {
    let one_bit = |pack: &mut [u8]| pack[1000] ^= 1;
    for spoil in [spoil_all as fn(&mut [u8]), one_bit] {
        let place = Place::new(spoil);
        let repository = place.open();
        assert!(made_good(&repository).is_empty());
        assert_restores(&repository, &repository.snapshots()[0], &place.tree);
        assert_eq!(made_good(&repository), [place.spoiled.to_string()]);
        for entry in repository.entries(&repository.snapshots()[0]) {
            let entry = entry.unwrap();
            if let EntryKind::File(file) = &entry.entry.kind {
                let mut out = Vec::new();
                repository.read_file(&entry, &mut out).unwrap();
                assert_eq!(out.len() as u64, file.len);
            }
        }
        assert_eq!(place.check(), [(place.spoiled.to_string(), false)]);
    }
}

/// What the disk does not take is told of; what lies beside it in the damaged segments is written from the copies.
#[test]
fn a_file_that_the_target_refuses_leaves_no_other_out_beside_damage() {
    let place = Place::new(spoil_all);
    let refused = path("chats/dir/kept.jpg");
    for best_effort in [false, true] {
        let repository = place.open();
        let target = MemoryTarget { unwritable: Some(refused.clone()), ..MemoryTarget::default() };
        let report = restore_into(&repository, &repository.snapshots()[0], &target, best_effort).unwrap();
        assert_eq!(report.problems.iter().map(|problem| &problem.path).collect::<Vec<_>>(), [&refused]);
        assert_eq!((made_good(&repository).len(), report.files), (1, 2));
        let mut expected = expected_nodes(&place.tree);
        expected.remove(&refused);
        assert!(target.nodes.into_inner().unwrap() == expected);
    }
}

/// Lists are read by every check, and what is wrong with them is told even where another pack has them, too.
#[test]
fn damage_that_did_no_harm_is_told_by_every_check() {
    let place = Place::new(spoil_all);
    for read_data in [0.0, 1.0] {
        assert_eq!(place.check_reading(read_data), [(place.spoiled.to_string(), false)]);
    }
    assert!(place.prune().is_ok(), "it is known now");
}

/// A prune would drop the packs that the contents are whole in.
#[test]
fn a_prune_keeps_what_is_whole_until_the_bad_pack_is_known_and_then_uses_it() {
    let mut place = Place::new(spoil_all);
    place.wait(2 * DAY);
    assert!(matches!(place.prune(), Err(PruneError::Incomplete(damage)) if damage.object == place.spoiled.to_string()));

    assert_eq!(place.check(), [(place.spoiled.to_string(), false)]);
    let report = place.prune().unwrap();
    assert!(report.revived.packs > 0 && report.dropped.packs == 0, "{report:?}");
    place.wait(2 * DAY);
    assert!(place.prune().unwrap().dropped.packs > 0);
    assert!(!place.is_there());
    assert_eq!(place.check(), []);
    let repository = Device::new(2).open_at(&place.storage, place.now).unwrap();
    assert_restores(&repository, &repository.snapshots()[0], &place.tree);
    assert!(made_good(&repository).is_empty());
}

/// What was whole in a marked pack alone is stored anew: that pack may be dropped before anybody knows of the damage.
#[test]
fn a_backup_builds_on_nothing_that_it_read_from_a_copy() {
    let place = Place::new(spoil_all);
    let mut repository = place.open();
    let report = backup(&mut repository, &place.tree, place.now);
    assert!(report.damage.iter().any(|damage| damage.object == place.spoiled.to_string()), "{report:?}");
    place.marked.iter().chain([&place.spoiled]).for_each(|pack| place.storage.delete(pack).unwrap());
    let repository = Device::new(2).open(&place.storage);
    assert_restores(&repository, repository.snapshots().last().unwrap(), &place.tree);
}

/// Whichever byte is wrong: what the backup met of it, it stores anew, lists, maps and names alike.
#[test]
fn whatever_a_backup_found_damaged_the_next_snapshot_does_without() {
    // Behind the contents of files, which a backup does not read.
    let behind = 20 * 4096 + FILE_LEN;
    let mut told = 0;
    for at in (behind..behind + 2500).step_by(50) {
        let place = Place::new(|pack| pack[at] ^= 1);
        let report = backup(&mut place.open(), &place.tree, place.now);
        if report.damage.iter().any(|damage| damage.object == place.spoiled.to_string()) {
            told += 1;
            place.marked.iter().for_each(|pack| place.storage.delete(pack).unwrap());
            let repository = Device::new(2).open(&place.storage);
            let newest = repository.snapshots().last().unwrap();
            assert!(restore_into(&repository, newest, &MemoryTarget::default(), false).is_ok(), "byte {at}");
        }
    }
    assert!(told > 0);
}
