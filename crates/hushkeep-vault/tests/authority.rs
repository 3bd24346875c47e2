//! A record changes only by its owner; who can read the owner's storage, and knows where the record is, can guess and no more.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::*;
use hushkeep_core::wrap::KdfParams;
use hushkeep_vault::client::{EventKind, Recovery, Registration, RegistrationError, UpdateKeys};
use hushkeep_vault::message::{BeginRequest, GuessRequest};
use hushkeep_vault::server::{ChangeRefused, GuessRefused, Policy, Secrets, Vault};

const DAY: i64 = 86_400;

/// Knows the locator, as the storage's provider does, and has another backup key.
fn thief_of(owner: &Owner) -> Owner {
    Owner { key: key(66), locator: owner.locator }
}

#[test]
fn nobody_else_stages_commits_deletes_or_reads_the_history() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pair = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let thief = thief_of(&owner);
    let staged = thief.stage(&place, "known to the thief", NOW, 20).map(drop);
    assert!(matches!(staged, Err(ChangeRefused::Unauthorized)), "{staged:?}");

    let pending = owner.stage(&place, "eight geese cross", NOW, 30).unwrap();
    let (_, request) = pending.commit(&thief.update_key(&place));
    let committed = place.vault.commit(&place.store, &request, NOW, &mut rng(31)).map(drop);
    assert!(matches!(committed, Err(ChangeRefused::Unauthorized)), "{committed:?}");
    let deleted = place.vault.delete(&place.store, &pair.delete(&thief.update_key(&place)));
    assert!(matches!(deleted, Err(ChangeRefused::Unauthorized)), "{deleted:?}");
    let told = place.vault.history(&place.store, &pair.history(&thief.update_key(&place)), NOW, &mut rng(90)).map(drop);
    assert!(matches!(told, Err(ChangeRefused::Unauthorized)), "{told:?}");

    assert!(place.guess(std::slice::from_ref(&pair), "seven geese cross", NOW, 40).unwrap().0.ct_eq(&owner.key));
    place.vault.delete(&place.store, &pair.delete(&owner.update_key(&place))).unwrap();
    let gone = place.guess(std::slice::from_ref(&pair), "seven geese cross", NOW, 41);
    assert!(matches!(gone, Err(Guess::Refused(GuessRefused::Unknown))), "{gone:?}");
    place.vault.delete(&place.store, &pair.delete(&owner.update_key(&place))).unwrap();
}

/// Killed anywhere between the vault and the config: the old password or the new one leads to the key.
#[test]
fn at_no_step_of_a_change_is_the_owner_locked_out() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let old = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let staged = owner.stage(&place, "eight geese cross", NOW, 20).unwrap();
    assert_eq!(staged.active(), Some(old.version));
    let both = [old.clone(), staged.pair().clone()];
    for (text, seed) in [("seven geese cross", 30), ("eight geese cross", 31)] {
        assert!(place.guess(&both, text, NOW, seed).unwrap().0.ct_eq(&owner.key));
    }
    let (new, request) = staged.commit(&owner.update_key(&place));
    for seed in [40, 41] {
        place.vault.commit(&place.store, &request, NOW, &mut rng(seed)).unwrap();
    }
    for (pairs, seed) in [(both.to_vec(), 50), (vec![both[1].clone(), both[0].clone()], 51), (vec![new], 52)] {
        assert!(place.guess(&pairs, "eight geese cross", NOW, seed).unwrap().0.ct_eq(&owner.key));
    }
    let erased = place.guess(&[old], "seven geese cross", NOW, 60);
    assert!(matches!(erased, Err(Guess::Refused(GuessRefused::AnotherVersion))), "{erased:?}");
}

/// Who the owner is outlives all else, so that he hears of it, and can clear it away.
#[test]
fn a_destroyed_record_is_its_owners_still() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pair = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    for seed in 20..30 {
        place.guess(std::slice::from_ref(&pair), "a wrong one", NOW, seed).unwrap_err();
    }
    let later = NOW + 601;
    place.vault.destroy_due(&place.store, later, &mut rng(30)).unwrap();
    let [key, thief] = [&owner, &thief_of(&owner)].map(|one| one.update_key(&place));
    let history = |key| place.vault.history(&place.store, &pair.history(key), later, &mut rng(31));
    let told = history(&key).unwrap().since(None).unwrap();
    assert_eq!(told.left, 0);
    let [.., last_guess, last] = told.events.as_slice() else { panic!("{told:?}") };
    assert_eq!((last_guess.kind, last.kind, last.time), (EventKind::Guessed, EventKind::Destroyed, later));
    assert!(matches!(history(&thief), Err(ChangeRefused::Unauthorized)));
    let staged = owner.stage(&place, "eight geese cross", later, 40).map(drop);
    assert!(matches!(staged, Err(ChangeRefused::Destroyed)), "{staged:?}");
    let deleted = |key| place.vault.delete(&place.store, &pair.delete(key));
    assert!(matches!(deleted(&thief), Err(ChangeRefused::Unauthorized)));
    deleted(&key).unwrap();
    owner.register(&place, "eight geese cross", later, 50).unwrap();
}

/// It was read before the record was deleted; the new one has got to the same number when it is to be counted.
#[test]
fn a_guess_that_was_under_way_brings_no_deleted_record_back() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let old = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let store = Between::new(&place.store, || {
        place.vault.delete(&place.store, &old.delete(&owner.update_key(&place))).unwrap();
        owner.register(&place, "eight geese cross", NOW, 20).unwrap();
    });
    let (_, guess) = Recovery::begin(std::slice::from_ref(&old), &password("a wrong one"), &mut rng(30)).unwrap();
    let refused = place.vault.guess(&store, &guess, NOW, &mut rng(31)).map(drop);
    assert!(matches!(refused, Err(GuessRefused::AnotherVersion)), "{refused:?}");
    let history = place.vault.history(&place.store, &old.history(&owner.update_key(&place)), NOW, &mut rng(32));
    assert_eq!(history.unwrap().since(None).unwrap().left, 10, "nothing was counted at the new record");
}

/// Nor does the owner of the old one read what happened to the new one.
#[test]
fn a_history_that_is_being_read_is_of_one_record() {
    let (place, owner, other) = (Place::without_waits(), Owner::new(1), thief_of(&Owner::new(1)));
    let old = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let request = old.history(&owner.update_key(&place));
    let store = Between::new(&place.store, || {
        place.vault.delete(&place.store, &old.delete(&owner.update_key(&place))).unwrap();
        other.register(&place, "eight geese cross", NOW + 7, 20).unwrap();
    });
    let told = place.vault.history(&store, &request, NOW, &mut rng(30)).map(drop);
    assert!(matches!(told, Err(ChangeRefused::Unauthorized)), "{told:?}");
}

/// Else who stages a password that he knows gives guesses back for ever.
#[test]
fn a_password_that_is_only_staged_gives_no_guesses_back() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let old = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let staged = owner.stage(&place, "eight geese cross", NOW, 20).unwrap();
    let (key, reply) = place.guess(&[staged.pair().clone()], "eight geese cross", NOW, 30).unwrap();
    assert!(key.ct_eq(&owner.key) && !reply.is_reset());
    let (_, reply) = place.guess(&[old], "seven geese cross", NOW, 31).unwrap();
    assert!(reply.is_reset());
}

/// A commit that is sent again later must not undo what came after it.
#[test]
fn what_an_owner_signed_counts_once() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let (_, old) = owner.stage(&place, "eight geese cross", NOW, 20).unwrap().commit(&owner.update_key(&place));
    place.vault.commit(&place.store, &old, NOW, &mut rng(21)).unwrap();
    let new = owner.register(&place, "nine geese cross", NOW, 30).unwrap();
    let again = place.vault.commit(&place.store, &old, NOW, &mut rng(31)).map(drop);
    assert!(matches!(again, Err(ChangeRefused::AnotherVersion)), "{again:?}");
    assert!(place.guess(&[new], "nine geese cross", NOW, 40).is_ok());
}

#[test]
fn few_passwords_are_staged_a_day() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    for number in 0..5 {
        owner.stage(&place, "seven geese cross", NOW, 10 + number).unwrap();
    }
    let sixth = owner.stage(&place, "seven geese cross", NOW, 20).map(drop);
    assert!(matches!(sixth, Err(ChangeRefused::TooMany)), "{sixth:?}");
    owner.stage(&place, "seven geese cross", NOW + DAY, 21).unwrap();
}

/// What the owner signed for the state that the record was in counts for no other.
#[test]
fn a_guess_in_the_middle_of_a_change_has_it_begin_again() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pair = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let (vault, new) = (("https://vault.example".to_owned(), place.vault.id()), password("nine herons wait"));
    let begun = Registration::begin(vault, owner.locator, &new, KdfParams::FLOOR, &mut rng(20));
    let (registration, request) = begun.unwrap();
    let reply = place.vault.begin(&place.store, &request, NOW, &mut rng(21)).unwrap();
    let (_, guess) = Recovery::begin(&[pair], &password("a wrong one"), &mut rng(22)).unwrap();
    place.vault.guess(&place.store, &guess, NOW, &mut rng(23)).unwrap();
    let update = owner.update_key(&place);
    let (_, request) =
        registration.stage(&reply, &owner.key, UpdateKeys { owner: &update, next: &update }, &mut rng(24)).unwrap();
    let staged = place.vault.stage(&place.store, &request, NOW, &mut rng(25)).map(drop);
    assert!(matches!(staged, Err(ChangeRefused::Meanwhile)), "{staged:?}");
}

/// Registrations evaluate passwords, and nobody counts them: one under the key of a password that holds would test it.
#[test]
fn registrations_tell_nothing_of_a_password_that_is_registered() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let staged = owner.stage(&place, "seven geese cross", NOW, 10).unwrap();
    assert_eq!(staged.active(), None);
    let (pairs, guess) = ([staged.pair().clone()], password("seven geese cross"));
    let (_, request) = Recovery::begin(&pairs, &guess, &mut rng(20)).unwrap();
    let counted = place.vault.guess(&place.store, &request, NOW, &mut rng(21)).unwrap().answers()[0];
    let blinded = &request.encode()[GuessRequest::LEN - 96..][..32];
    let begin = BeginRequest::decode(&[&[1], pairs[0].record().as_bytes().as_slice(), blinded].concat()).unwrap();
    for seed in 30..330 {
        let reply = place.vault.begin(&place.store, &begin, NOW, &mut rng(seed)).unwrap();
        assert_ne!(reply.evaluated(), counted[..32]);
    }
}

/// A machine that wakes up twice draws the same numbers, and so the version of before.
#[test]
fn no_version_that_is_there_is_evaluated_for_a_registration() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let password = password("seven geese cross");
    let begin = |seed| {
        let vault = ("https://vault.example".to_owned(), place.vault.id());
        let begun = Registration::begin(vault, owner.locator, &password, KdfParams::FLOOR, &mut rng(seed));
        let (registration, request) = begun.unwrap();
        (registration, place.vault.begin(&place.store, &request, NOW, &mut rng(99)))
    };
    let (registration, reply) = begin(10);
    let update = owner.update_key(&place);
    let staged = registration
        .stage(&reply.unwrap(), &owner.key, UpdateKeys { owner: &update, next: &update }, &mut rng(11))
        .unwrap();
    place.vault.stage(&place.store, &staged.1, NOW, &mut rng(12)).unwrap();
    let refused = begin(20).1.map(drop);
    assert!(matches!(refused, Err(ChangeRefused::Busy)), "{refused:?}");
}

/// Whoever answers in the vault's place could register the password under a key of his own, and test passwords with it.
#[test]
fn a_registration_is_answered_by_the_vault_that_is_known_or_not_at_all() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let other = Place {
        vault: Vault::new(Secrets::generate(NOW, &mut rng(9)), Policy::DEFAULT).unwrap(),
        ..Place::without_waits()
    };
    let (password, update) = (password("seven geese cross"), owner.update_key(&place));
    let vault = ("https://vault.example".to_owned(), place.vault.id());
    let begun = Registration::begin(vault, owner.locator, &password, KdfParams::FLOOR, &mut rng(10));
    let (registration, request) = begun.unwrap();
    let reply = other.vault.begin(&other.store, &request, NOW, &mut rng(11)).unwrap();
    let staged =
        registration.stage(&reply, &owner.key, UpdateKeys { owner: &update, next: &update }, &mut rng(12)).map(drop);
    assert_eq!(staged, Err(RegistrationError::AnotherVault));
}

/// A vault with other keys is told from a wrong password, before a guess is counted.
#[test]
fn a_vault_whose_key_changed_is_told() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pair = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let other = Vault::new(Secrets::generate(NOW, &mut rng(9)), Policy::DEFAULT).unwrap();
    let password = password("seven geese cross");
    let (_, request) = Recovery::begin(&[pair], &password, &mut rng(20)).unwrap();
    let refused = other.guess(&place.store, &request, NOW, &mut rng(21)).map(drop);
    assert!(matches!(refused, Err(GuessRefused::AnotherVault)), "{refused:?}");
}
