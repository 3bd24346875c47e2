//! Devices that sleep in the middle of something: what they knew before does not hold any more.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::*;
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{Clock, LockedRepository, Storage, Timestamp};
use hushkeep_storage::fault::Call;
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

/// A folder with one file, whose time differs for texts of different lengths.
fn tree(text: &str) -> MemoryTree {
    let mut tree = MemoryTree::new(&[("note.txt", Node::File(text.as_bytes().to_vec()))]);
    tree.times.insert(path("note.txt"), 1_600_000_000 + i64::try_from(text.len()).unwrap());
    tree
}

/// A clock that a test sets, in seconds.
#[derive(Clone, Default)]
struct Watch(Arc<AtomicI64>);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

/// The number that would be the next was taken meanwhile, and is free again.
#[test]
fn a_device_that_slept_looks_again_who_published() {
    let storage = storage();
    let (sleeper, other, watch) = (Device::new(1), Device::new(2), Watch::default());
    let mut repository = sleeper.create(&storage);
    backup(&mut repository, &tree("first"), NOW);
    let locked = LockedRepository::find(Arc::clone(&storage), None).unwrap();
    let mut asleep = locked.unlock(&key(), sleeper.state.clone(), sleeper.rng(), watch.clone()).unwrap();
    for day in ["second", "third"] {
        backup(&mut other.open(&storage), &tree(day), NOW);
    }
    storage.delete(&ObjectName::new(Folder::Commits, "0000000002").unwrap()).unwrap();

    watch.0.store(12 * 3600, Ordering::Relaxed);
    backup(&mut asleep, &tree("fourth"), 0);
    assert_eq!(asleep.snapshots().last().unwrap().number, 4);
}

/// Its index object set the storage's clock, and may have been swept away since then.
#[test]
fn a_device_that_slept_before_it_published_begins_again() {
    let (memory, watch, device) = (storage(), Watch::default(), Device::new(1));
    device.create(&memory);
    let (slept, puts) = (watch.clone(), Arc::new(AtomicI64::new(0)));
    let count = Arc::clone(&puts);
    let sleep = move |call: &Call<'_>| {
        if call.operation == Operation::Put && call.subject.starts_with("index/") {
            let hours = if count.fetch_add(1, Ordering::Relaxed) == 0 { 12 } else { 11 };
            slept.0.fetch_add(hours * 3600, Ordering::Relaxed);
        }
        None
    };
    let sleepy: Arc<dyn Storage> = Arc::new(FaultStorage::new(memory, sleep));
    let locked = LockedRepository::find(Arc::clone(&sleepy), None).unwrap();
    let mut repository = locked.unlock(&key(), device.state.clone(), device.rng(), watch).unwrap();
    backup(&mut repository, &tree("first"), 0);
    assert_eq!((puts.load(Ordering::Relaxed), repository.snapshots().len()), (2, 1));
}
