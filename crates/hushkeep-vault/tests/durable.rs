//! The store, or the whole vault, dies at each of its calls: no guess is free, and no record is lost.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use hushkeep_vault::client::Recovery;
use hushkeep_vault::message::Event;
use hushkeep_vault::server::{AttemptStore, MemoryStore, Policy, Row, StoreError};
use hushkeep_vault::{Pair, RecordId};

const GEESE: &str = "seven geese cross";
const HERONS: &str = "nine herons wait";

/// A store that dies at a call, which may take effect, and does nothing from then on.
struct Dying<'a> {
    store: &'a MemoryStore,
    calls: AtomicU64,
    dies_at: u64,
    takes_effect: bool,
}

impl Dying<'_> {
    fn call<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let done = if call < self.dies_at || (call == self.dies_at && self.takes_effect) { Some(act()?) } else { None };
        done.filter(|_| call != self.dies_at).ok_or_else(|| StoreError("it died".into()))
    }
}

impl AttemptStore for Dying<'_> {
    fn load(&self, record: &RecordId) -> Result<Option<Row>, StoreError> {
        self.call(|| self.store.load(record))
    }

    fn insert(&self, record: &RecordId, row: &Row, event: &Event) -> Result<bool, StoreError> {
        self.call(|| self.store.insert(record, row, event))
    }

    fn replace(&self, record: &RecordId, seq: u64, row: &Row, event: &Event) -> Result<bool, StoreError> {
        self.call(|| self.store.replace(record, seq, row, event))
    }

    fn reseal(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError> {
        self.call(|| self.store.reseal(record, row))
    }

    fn delete(&self, record: &RecordId, seq: u64) -> Result<bool, StoreError> {
        self.call(|| self.store.delete(record, seq))
    }

    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        self.call(|| self.store.events(record, until, count))
    }
}

/// Whether a guess from end to end gave an answer, and whether it gave the key.
fn guess(place: &Place, store: &dyn AttemptStore, pair: &Pair, text: &str) -> (bool, bool) {
    let password = password(text);
    let (recovery, request) = Recovery::begin(std::slice::from_ref(pair), &password, &mut rng(40)).unwrap();
    let Ok(reply) = place.vault.recover(store, &request, NOW, &mut rng(41)) else { return (false, false) };
    let Ok(mut proofs) = recovery.prove(&reply, &mut rng(42)) else { return (true, false) };
    let (awaiting, request) = proofs.remove(0);
    let proven = place.vault.finish(store, &request, NOW, &mut rng(43));
    (true, proven.is_ok_and(|reply| awaiting.open(&reply).is_ok()))
}

fn left(place: &Place, pair: &Pair) -> u8 {
    place.vault.look(&place.store, &pair.look(), NOW, &mut rng(50)).unwrap().left()
}

#[test]
fn wherever_the_store_dies_an_answered_guess_was_counted_and_the_record_is_there() {
    for (text, is_right) in [(HERONS, false), (GEESE, true)] {
        let mut seen = Vec::new();
        for (dies_at, takes_effect) in (0..8).flat_map(|call| [(call, false), (call, true)]) {
            let (place, owner) = (Place::new(Policy::DEFAULT), Owner::new(1));
            let pair = owner.register(&place, GEESE, NOW, 10).unwrap();
            let dying = Dying { store: &place.store, calls: AtomicU64::new(0), dies_at, takes_effect };
            let (is_answered, gave_key) = guess(&place, &dying, &pair, text);
            let what = format!("{text}, call {dies_at}, {takes_effect}");
            // Whoever has proven the password gets the key, whether or not the guesses can be given back.
            assert_eq!(gave_key, is_answered && is_right, "{what}");
            let left = left(&place, &pair);
            assert!(left == 9 || !is_answered || is_right, "{what}: {left} left");
            assert!(
                place.guess(std::slice::from_ref(&pair), GEESE, NOW + 1, 60).unwrap().0.ct_eq(&owner.key),
                "{what}"
            );
            seen.push((is_answered, left));
        }
        // It died before the count, at the count with and without effect, and behind it.
        for expected in [(false, 10), (false, 9), (true, 9)] {
            assert!(seen.contains(&expected), "{text}: {seen:?}");
        }
    }
}
