//! A whole repository, changed by a writer that has the key: whatever is below the seals, reading it neither panics nor
//! takes more memory or time than it has bytes, and nothing is restored outside of the target.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use hushkeep_fuzz::edits;
use hushkeep_fuzz::repository::{base, key, read_all};
use hushkeep_repo::Storage;
use hushkeep_repo::fuzzing::hostile::Parts;
use hushkeep_storage::MemoryStorage;

static BASE: LazyLock<Mutex<Parts>> =
    LazyLock::new(|| Mutex::new(Parts::open(&base(), &key()).expect("the repository opens")));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let parts = BASE.lock().expect("a panic ends the process");
    for (name, object) in parts.edited(&edits::parse(bytes), &mut hushkeep_fuzz::rng()) {
        storage.put(&name, &object).expect("memory takes everything");
    }
    drop(parts);
    read_all(&storage);
});
