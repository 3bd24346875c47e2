//! The store, or the whole vault, dies at each of its calls: no guess is free, and no record is lost, whatever was under way.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use hushkeep_vault::client::Recovery;
use hushkeep_vault::message::Event;
use hushkeep_vault::request::Code;
use hushkeep_vault::server::{AttemptStore, MemoryStore, Policy, Row, Secrets, StoreError, Vault};
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

impl<'a> Dying<'a> {
    /// One for each of so many calls, with and without effect.
    fn at_each_of(calls: u64) -> impl Iterator<Item = (u64, bool)> {
        (0..calls).flat_map(|call| [(call, false), (call, true)])
    }

    fn new(store: &'a MemoryStore, (dies_at, takes_effect): (u64, bool)) -> Self {
        Self { store, calls: AtomicU64::new(0), dies_at, takes_effect }
    }

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

    fn replace(&self, record: &RecordId, row: &Row, new: &Row, event: &Event) -> Result<bool, StoreError> {
        self.call(|| self.store.replace(record, row, new, event))
    }

    fn reseal(&self, record: &RecordId, row: &Row, new: &Row) -> Result<bool, StoreError> {
        self.call(|| self.store.reseal(record, row, new))
    }

    fn delete(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError> {
        self.call(|| self.store.delete(record, row))
    }

    fn due(&self, waiting: RangeInclusive<i64>, count: usize) -> Result<Vec<RecordId>, StoreError> {
        self.call(|| self.store.due(waiting, count))
    }

    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        self.call(|| self.store.events(record, until, count))
    }
}

/// Whether a guess from end to end gave an answer, and whether it gave the key.
fn guess(place: &Place, store: &dyn AttemptStore, pair: &Pair, text: &str) -> (bool, bool) {
    let password = password(text);
    let (recovery, request) = Recovery::begin(std::slice::from_ref(pair), &password, &mut rng(40)).unwrap();
    let Ok(reply) = place.vault.guess(store, &request, NOW, &mut rng(41)) else { return (false, false) };
    let Ok(mut proofs) = recovery.prove(&reply, &mut rng(42)) else { return (true, false) };
    let (awaiting, request) = proofs.remove(0);
    let Ok(proven) = place.vault.prove(store, &request, NOW, &mut rng(43)) else { return (true, false) };
    // Whoever runs the vault is told if the guesses cannot be given back.
    assert_ne!(proven.reply.is_reset(), proven.not_reset.is_some());
    (true, awaiting.open(&proven.reply).is_ok())
}

fn left(place: &Place, pair: &Pair) -> u8 {
    place.vault.look(&place.store, &pair.look(), NOW, &mut rng(50)).unwrap().left()
}

#[test]
fn wherever_the_store_dies_an_answered_guess_was_counted_and_the_record_is_there() {
    for (text, is_right) in [(HERONS, false), (GEESE, true)] {
        let mut seen = Vec::new();
        for death in Dying::at_each_of(8) {
            let (place, owner) = (Place::new(Policy::DEFAULT), Owner::new(1));
            let pair = owner.register(&place, GEESE, NOW, 10).unwrap();
            let (is_answered, gave_key) = guess(&place, &Dying::new(&place.store, death), &pair, text);
            let what = format!("{text}, {death:?}");
            // Whoever has proven the password gets the key, whether or not the guesses can be given back.
            assert_eq!(gave_key, is_answered && is_right, "{what}");
            let left = left(&place, &pair);
            assert!(left == 9 || !is_answered || is_right, "{what}: {left} left");
            assert!(left >= 9, "{what}: it was counted twice");
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

/// Of a first password as of another one. Whoever has the pair of what was staged, and of what was before, gets the key with
/// one of them.
#[test]
fn wherever_the_store_dies_in_a_registration_a_password_leads_to_the_key() {
    for is_first in [true, false] {
        let mut seen = Vec::new();
        for death in Dying::at_each_of(7) {
            let (place, owner) = (Place::without_waits(), Owner::new(1));
            let before = (!is_first).then(|| owner.register(&place, GEESE, NOW, 10).unwrap());
            let dying = Dying::new(&place.store, death);
            let staged = owner.stage_in(&place, &dying, HERONS, NOW, 20).ok();
            let committed = staged.map(|staged| {
                let (pair, request) = staged.commit(&owner.update_key(&place));
                let is_told = place.vault.commit(&dying, &request, NOW, &mut rng(21)).is_ok();
                (pair, is_told)
            });
            let gives_key = |pair: &Pair, text, seed| {
                let guessed = place.guess(std::slice::from_ref(pair), text, NOW, seed);
                guessed.is_ok_and(|(key, _)| key.ct_eq(&owner.key))
            };
            let new = committed.as_ref().is_some_and(|(pair, _)| gives_key(pair, HERONS, 30));
            let old = before.as_ref().is_some_and(|pair| gives_key(pair, GEESE, 31));
            // What was said to be staged is there; what was said to be committed is the only one.
            assert_eq!(new, committed.is_some(), "{death:?}");
            assert!(new || old || is_first, "{death:?}");
            let is_told = committed.is_some_and(|(_, is_told)| is_told);
            assert!(!(is_told && old), "{death:?}");
            let again = owner.register(&place, HERONS, NOW, 40).unwrap();
            assert!(gives_key(&again, HERONS, 41), "{death:?}");
            seen.push((new, old));
        }
        // It died before the password was staged, between that and the commit, and behind it.
        for expected in [(false, !is_first), (true, !is_first), (true, false)] {
            assert!(seen.contains(&expected), "{is_first}: {seen:?}");
        }
    }
}

#[test]
fn wherever_the_store_dies_in_a_deletion_the_record_is_whole_or_gone() {
    let mut seen = Vec::new();
    for death in Dying::at_each_of(3) {
        let (place, owner) = (Place::without_waits(), Owner::new(1));
        let pair = owner.register(&place, GEESE, NOW, 10).unwrap();
        let request = pair.delete(&owner.update_key(&place));
        let is_told = place.vault.delete(&Dying::new(&place.store, death), &request).is_ok();
        let is_there = place.guess(std::slice::from_ref(&pair), GEESE, NOW, 20).is_ok();
        assert!(!(is_told && is_there), "{death:?}");
        place.vault.delete(&place.store, &request).unwrap();
        assert!(place.store.records().is_empty(), "{death:?}");
        seen.push((is_told, is_there));
    }
    assert!([(false, true), (false, false), (true, false)].iter().all(|expected| seen.contains(expected)), "{seen:?}");
}

/// The older key goes only when every record was sealed under the newer one, so a rekey may be begun as often as it takes.
#[test]
fn wherever_the_store_dies_in_a_rekey_the_record_opens_and_the_rekey_can_go_on() {
    for death in Dying::at_each_of(3) {
        let mut secrets = Secrets::generate(NOW, &mut rng(1));
        let vault =
            |secrets: &Secrets| Vault::new(Secrets::decode(&secrets.encode()).unwrap(), Policy::DEFAULT).unwrap();
        let (mut place, owner) = (Place { vault: vault(&secrets), store: MemoryStore::default() }, Owner::new(1));
        let pair = owner.register(&place, GEESE, NOW, 10).unwrap();
        secrets.add_kek(NOW, &mut rng(2)).unwrap();
        place.vault = vault(&secrets);
        let dying = Dying::new(&place.store, death);
        let _ = place.vault.reseal(&dying, &pair.record(), NOW, &mut rng(3));
        assert!(place.guess(std::slice::from_ref(&pair), GEESE, NOW, 20).is_ok(), "{death:?}");
        place.vault.reseal(&place.store, &pair.record(), NOW, &mut rng(4)).unwrap();
        secrets.drop_older_keks();
        place.vault = vault(&secrets);
        assert!(place.guess(std::slice::from_ref(&pair), GEESE, NOW, 21).unwrap().0.ct_eq(&owner.key), "{death:?}");
    }
}

/// Clients learn that it failed; what the store said is for whoever runs the vault.
#[test]
fn what_the_store_said_is_told_beside_the_refusal() {
    let (place, owner) = (Place::new(Policy::DEFAULT), Owner::new(1));
    let pair = owner.register(&place, GEESE, NOW, 10).unwrap();
    let guess = |seed| {
        let password = password(HERONS);
        Recovery::begin(std::slice::from_ref(&pair), &password, &mut rng(seed)).unwrap().1.encode()
    };
    let history = pair.history(&owner.update_key(&place)).encode();
    for (path, message) in [("/v1/guess", guess(20)), ("/v1/history", history)] {
        let dying = Dying::new(&place.store, (0, false));
        let refused = place.vault.answer(&dying, (path, &message), NOW, &mut rng(30)).unwrap_err();
        assert_eq!((refused.code, refused.trouble.as_deref()), (Code::Unavailable, Some("it died")), "{path}");
        assert!(!refused.detail.contains("died"));
    }
    let answer = |seed| place.vault.answer(&place.store, ("/v1/guess", &guess(seed)), NOW, &mut rng(seed));
    assert!((40..43).all(|seed| answer(seed).is_ok()));
    let refused = answer(43).unwrap_err();
    assert_eq!((refused.code, refused.retry_after, refused.trouble), (Code::Locked, Some(60), None));
}
