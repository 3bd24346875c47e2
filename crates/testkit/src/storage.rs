//! The suite that every [`Storage`] passes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test suite fails by panicking")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hushkeep_repo::storage::{Folder, ObjectName, Storage, StorageError, StorageErrorKind};

/// Checks everything that the contract of [`Storage`] promises and that can be seen from outside: not durability.
/// What was stored or deleted must show at once, in reads and in listings, at least through the same handle.
///
/// `make` returns a new, empty storage at every call.
///
/// # Panics
///
/// At the first broken promise.
pub fn conformance(make: impl Fn() -> Box<dyn Storage>) {
    type Case = fn(&dyn Storage);
    let cases: [(&str, Case); 14] = [
        ("an empty storage lists as empty", empty_folders_list_as_empty),
        ("objects of every size come back", every_size_comes_back),
        ("names of every shape and length", every_name_works),
        ("ranges", ranges_are_clipped_to_the_object),
        ("what is missing is not found", missing_objects_are_not_found),
        ("what is too long is not read whole", objects_that_are_too_long_are_not_read_whole),
        ("a second put", second_put_keeps_the_first_or_replaces_it),
        ("racing puts", of_racing_puts_one_wins),
        ("delete", delete_removes_and_may_be_repeated),
        ("a deleted name", deleted_names_are_free_again),
        ("folders", folders_are_apart),
        ("listings", listings_are_complete),
        ("many objects", many_objects_are_listed),
        ("readers beside writers", readers_beside_writers_see_whole_objects),
    ];
    for (title, case) in cases {
        println!("storage conformance: {title}");
        case(&*make());
    }
}

fn empty_folders_list_as_empty(storage: &dyn Storage) {
    for folder in Folder::ALL {
        assert_eq!(storage.list(folder).unwrap(), [], "{folder:?}");
    }
}

fn every_size_comes_back(storage: &dyn Storage) {
    const KIB: usize = 1024;
    for len in [0, 1, 4 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 16 * KIB * KIB] {
        let (name, bytes) = (pack(&format!("len-{len}")), bytes(len, len));
        storage.put(&name, &bytes).unwrap();
        assert!(storage.get(&name).unwrap() == bytes, "{len} bytes came back changed");
        assert_eq!(lengths(storage, Folder::Packs).get(&name), Some(&(len as u64)));
    }
}

fn every_name_works(storage: &dyn Storage) {
    let longest = "x".repeat(80);
    for file in ["a", "0", "-", "--", "-a", "a-", "0123456789-abcdefghijklmnopqrstuvwxyz", &longest] {
        for folder in Folder::ALL {
            let name = ObjectName::new(folder, file).unwrap();
            storage.put(&name, file.as_bytes()).unwrap();
            assert_eq!(storage.get(&name).unwrap(), file.as_bytes(), "{name}");
            assert!(lengths(storage, folder).contains_key(&name), "{name}");
        }
    }
}

fn ranges_are_clipped_to_the_object(storage: &dyn Storage) {
    let (name, bytes) = (pack("a"), bytes(1, 100_000));
    storage.put(&name, &bytes).unwrap();
    let expect = |range: Range<u64>, expected: &[u8]| {
        assert!(storage.get_range(&name, range.clone()).unwrap() == expected, "{range:?}");
    };
    expect(0..100_000, &bytes);
    expect(0..1, &bytes[..1]);
    expect(65_535..65_537, &bytes[65_535..65_537]);
    expect(99_999..100_000, &bytes[99_999..]);
    expect(99_999..100_001, &bytes[99_999..]);
    expect(5..u64::MAX, &bytes[5..]);
    for empty in [0..0, 50_000..50_000, 100_000..100_000, 100_000..100_001, 200_000..300_000, u64::MAX - 1..u64::MAX] {
        expect(empty, &[]);
    }

    let nothing = pack("empty");
    storage.put(&nothing, &[]).unwrap();
    assert_eq!(storage.get_range(&nothing, 0..10).unwrap(), []);
}

fn missing_objects_are_not_found(storage: &dyn Storage) {
    storage.put(&pack("other"), b"other").unwrap();
    for folder in Folder::ALL {
        let missing = ObjectName::new(folder, "missing").unwrap();
        assert_eq!(error_kind(storage.get(&missing)), StorageErrorKind::NotFound, "{missing}");
        assert_eq!(error_kind(storage.get_range(&missing, 0..10)), StorageErrorKind::NotFound, "{missing}");
        assert_eq!(error_kind(storage.get_range(&missing, 0..0)), StorageErrorKind::NotFound, "{missing}");
    }
}

fn objects_that_are_too_long_are_not_read_whole(storage: &dyn Storage) {
    let longest = usize::try_from(Folder::Config.max_len()).unwrap();
    for len in [longest, longest + 1] {
        let name = ObjectName::new(Folder::Config, format!("len-{len}")).unwrap();
        storage.put(&name, &bytes(0, len)).unwrap();
        let read = storage.get(&name);
        if len == longest {
            assert!(read.unwrap().len() == len, "the longest object");
        } else {
            assert_eq!(error_kind(read), StorageErrorKind::TooLong);
        }
        assert_eq!(storage.get_range(&name, 0..3).unwrap(), bytes(0, 3));
    }
}

fn second_put_keeps_the_first_or_replaces_it(storage: &dyn Storage) {
    let name = ObjectName::new(Folder::Commits, "7").unwrap();
    storage.put(&name, b"the first").unwrap();
    let second = storage.put(&name, b"the other one");
    if storage.features().create_if_absent {
        assert_eq!(error_kind(second), StorageErrorKind::AlreadyExists);
        assert_eq!(storage.get(&name).unwrap(), b"the first");
    } else {
        second.unwrap();
        let stored = storage.get(&name).unwrap();
        assert!(stored == b"the first" || stored == b"the other one", "{stored:?}");
        assert_eq!(lengths(storage, Folder::Commits), BTreeMap::from([(name, stored.len() as u64)]));
    }
}

fn of_racing_puts_one_wins(storage: &dyn Storage) {
    const THREADS: usize = 8;
    for round in 0..10 {
        let name = ObjectName::new(Folder::Commits, round.to_string()).unwrap();
        let objects: Vec<_> = (0..THREADS).map(|thread| bytes(thread, 5_000 + thread)).collect();
        let barrier = Barrier::new(THREADS);
        let race = |object: &[u8]| {
            barrier.wait();
            storage.put(&name, object)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = objects.iter().map(|object| scope.spawn(|| race(object))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });

        let stored = storage.get(&name).unwrap();
        assert!(objects.contains(&stored), "{name} is none of the objects put");
        for (object, result) in objects.iter().zip(results) {
            if *object == stored || !storage.features().create_if_absent {
                result.unwrap();
            } else {
                assert_eq!(error_kind(result), StorageErrorKind::AlreadyExists, "{name}: two winners");
            }
        }
    }
}

fn delete_removes_and_may_be_repeated(storage: &dyn Storage) {
    let (name, other) = (pack("a"), pack("b"));
    storage.delete(&name).unwrap();
    storage.put(&name, b"a").unwrap();
    storage.put(&other, b"b").unwrap();
    storage.delete(&name).unwrap();
    storage.delete(&name).unwrap();
    assert_eq!(error_kind(storage.get(&name)), StorageErrorKind::NotFound);
    assert_eq!(lengths(storage, Folder::Packs), BTreeMap::from([(other.clone(), 1)]));
    assert_eq!(storage.get(&other).unwrap(), b"b");
}

fn deleted_names_are_free_again(storage: &dyn Storage) {
    let name = pack("a");
    storage.put(&name, b"old").unwrap();
    storage.delete(&name).unwrap();
    storage.put(&name, b"newer").unwrap();
    assert_eq!(storage.get(&name).unwrap(), b"newer");
}

fn folders_are_apart(storage: &dyn Storage) {
    for (number, folder) in Folder::ALL.into_iter().enumerate() {
        storage.put(&ObjectName::new(folder, "same").unwrap(), &bytes(number, number + 1)).unwrap();
    }
    storage.delete(&pack("same")).unwrap();
    for (number, folder) in Folder::ALL.into_iter().enumerate() {
        let name = ObjectName::new(folder, "same").unwrap();
        if folder == Folder::Packs {
            assert_eq!(storage.list(folder).unwrap(), []);
        } else {
            assert_eq!(storage.get(&name).unwrap(), bytes(number, number + 1), "{name}");
            assert_eq!(lengths(storage, folder), BTreeMap::from([(name, number as u64 + 1)]));
        }
    }
}

fn listings_are_complete(storage: &dyn Storage) {
    let mut expected = BTreeMap::new();
    for number in 0..40 {
        let name = ObjectName::new(Folder::Index, format!("{number}")).unwrap();
        storage.put(&name, &bytes(number, number * 37)).unwrap();
        expected.insert(name, number as u64 * 37);
        assert_eq!(lengths(storage, Folder::Index), expected);
    }
}

/// More than a page of a listing on object stores (1,000).
fn many_objects_are_listed(storage: &dyn Storage) {
    const THREADS: usize = 8;
    const EACH: usize = 130;
    let name = |number: usize| pack(&format!("many-{number}"));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in thread * EACH..(thread + 1) * EACH {
                    storage.put(&name(number), &bytes(number, number % 7)).unwrap();
                }
            });
        }
    });
    let expected: BTreeMap<_, _> = (0..THREADS * EACH).map(|number| (name(number), (number % 7) as u64)).collect();
    assert_eq!(lengths(storage, Folder::Packs), expected);
}

fn readers_beside_writers_see_whole_objects(storage: &dyn Storage) {
    const OBJECTS: usize = 30;
    let object = |number: usize| (pack(&format!("{number}")), bytes(number, 40_000 + number));
    let done = AtomicBool::new(false);
    let read = || {
        while !done.load(Ordering::Acquire) {
            for info in storage.list(Folder::Packs).unwrap() {
                let (name, bytes) = object(info.name.file().parse().unwrap());
                assert_eq!((info.name, info.len), (name.clone(), bytes.len() as u64));
                assert!(storage.get(&name).unwrap() == bytes, "{name} is not whole");
                assert!(storage.get_range(&name, 30_000..50_000).unwrap() == bytes[30_000..], "{name} is not whole");
            }
        }
    };
    let write = |first: usize| {
        for number in (first..OBJECTS).step_by(2) {
            let (name, bytes) = object(number);
            storage.put(&name, &bytes).unwrap();
            assert!(storage.get(&name).unwrap() == bytes, "{name} is not there at once");
        }
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        let writers = [0, 1].map(|first| scope.spawn(move || write(first)));
        let written = writers.map(thread::ScopedJoinHandle::join);
        done.store(true, Ordering::Release);
        for thread in written.into_iter().chain(readers.map(thread::ScopedJoinHandle::join)) {
            thread.unwrap();
        }
    });
    assert_eq!(lengths(storage, Folder::Packs).len(), OBJECTS);
}

fn pack(file: &str) -> ObjectName {
    ObjectName::new(Folder::Packs, file).unwrap()
}

/// `len` bytes that differ from seed to seed, and from place to place beyond any block size.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56).to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// A listing by name. A name listed twice fails.
fn lengths(storage: &dyn Storage, folder: Folder) -> BTreeMap<ObjectName, u64> {
    let listing = storage.list(folder).unwrap();
    let count = listing.len();
    let lengths: BTreeMap<_, _> = listing.into_iter().map(|info| (info.name, info.len)).collect();
    assert_eq!(lengths.len(), count, "a name is listed twice");
    lengths
}

fn error_kind<T>(result: Result<T, StorageError>) -> StorageErrorKind {
    result.err().unwrap().kind
}
