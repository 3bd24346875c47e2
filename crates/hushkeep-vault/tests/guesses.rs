//! Every guess is counted, and none is free.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Mutex;

use common::*;
use hushkeep_core::wrap::KdfParams;
use hushkeep_vault::client::{Recovery, RecoveryError};
use hushkeep_vault::server::{GuessRefused, Policy};
use hushkeep_vault::{Pair, VaultId};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

fn is_wrong(guess: &Result<impl Sized, Guess>, left: u8) -> bool {
    matches!(guess, Err(Guess::Client(RecoveryError::WrongPassword { left: told })) if *told == left)
}

#[test]
fn the_password_gives_the_key_back_and_another_does_not() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pair = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    assert!(is_wrong(&place.guess(std::slice::from_ref(&pair), "seven ducks cross", NOW, 20), 9));
    let (key, reply) = place.guess(std::slice::from_ref(&pair), "seven geese cross", NOW, 21).unwrap();
    assert!(key.ct_eq(&owner.key) && reply.is_reset());
    assert!(is_wrong(&place.guess(&[pair], "seven ducks cross", NOW, 22), 9), "all guesses are there again");
}

#[test]
fn the_tenth_guess_may_be_right_and_there_is_no_eleventh() {
    for right in [true, false] {
        let (place, owner) = (Place::without_waits(), Owner::new(1));
        let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
        for left in (1..=9).rev() {
            assert!(is_wrong(&place.guess(&pairs, "seven ducks cross", NOW, 20 + u64::from(left)), left));
        }
        let text = if right { "seven geese cross" } else { "seven swans cross" };
        let last = place.guess(&pairs, text, NOW, 40);
        assert_eq!(last.is_ok(), right);
        for now in [NOW, NOW + 11 * MINUTE, NOW + 400 * DAY] {
            let next = place.guess(&pairs, "seven geese cross", now, 41);
            match right {
                true => assert!(next.is_ok()),
                false => assert!(matches!(next, Err(Guess::Refused(GuessRefused::Destroyed))), "{next:?}"),
            }
        }
    }
}

#[test]
fn guesses_wait_longer_and_longer() {
    let (place, owner) = (Place::new(Policy::DEFAULT), Owner::new(1));
    let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
    let mut now = NOW;
    for (number, wait) in (1..=10).zip([0, 0, 0, 60, 600, 3600, 21_600, 86_400, 86_400, 86_400]) {
        if wait > 0 {
            let early = place.guess(&pairs, "seven geese cross", now + wait - 1, 20);
            assert!(matches!(early, Err(Guess::Refused(GuessRefused::Locked { seconds: 1 }))), "{number}: {early:?}");
        }
        now += wait;
        assert!(is_wrong(
            &place.guess(&pairs, "seven ducks cross", now, 20 + number),
            10 - u8::try_from(number).unwrap()
        ));
    }
}

/// A clock that was set forward and back again leaves nobody waiting longer than a guess waits anyway.
#[test]
fn no_clock_makes_anybody_wait_longer() {
    let (place, owner) = (Place::new(Policy::DEFAULT), Owner::new(1));
    let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
    for seed in 0..3 {
        place.guess(&pairs, "seven ducks cross", NOW + 4000 * DAY, 20 + seed).err().unwrap();
    }
    assert!(is_wrong(&place.guess(&pairs, "seven ducks cross", NOW, 30), 6), "answered, and counted");
    let other = Owner::new(2);
    let others = [other.register(&place, "seven geese cross", NOW, 40).unwrap()];
    place.guess(&others, "seven ducks cross", NOW + DAY, 41).err().unwrap();
    assert!(is_wrong(&place.guess(&others, "seven ducks cross", NOW, 42), 8), "the second waits for nothing");
    let early = place.guess(&pairs, "seven geese cross", NOW + 599, 31);
    assert!(matches!(early, Err(Guess::Refused(GuessRefused::Locked { seconds: 1 }))), "{early:?}");
    assert!(place.guess(&pairs, "seven geese cross", NOW + 600, 32).is_ok());
}

/// A clock that went back by less than a wait is not told from requests that overtake each other; by more, from one that was
/// wrong.
#[test]
fn a_wait_is_one_up_to_twice_its_length() {
    let (place, owner) = (Place::new(Policy::DEFAULT), Owner::new(1));
    let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
    for seed in 0..3 {
        place.guess(&pairs, "seven ducks cross", NOW, 20 + seed).err().unwrap();
    }
    let early = place.guess(&pairs, "seven geese cross", NOW - MINUTE, 30);
    assert!(matches!(early, Err(Guess::Refused(GuessRefused::Locked { seconds: 60 }))), "{early:?}");
    assert!(place.guess(&pairs, "seven geese cross", NOW - MINUTE - 1, 31).is_ok());
}

#[test]
fn a_guess_whose_answer_was_lost_is_answered_again_for_nothing() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
    let (mut rng, password) = (rng(20), password("seven geese cross"));
    let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng).unwrap();
    let answers =
        [0, 1, 599, 600].map(|later| place.vault.guess(&place.store, &request, NOW + later, &mut rng).unwrap());
    assert!(answers.iter().all(|answer| answer.answers() == answers[0].answers() && answer.left() == 9));
    let (awaiting, proof) = recovery.prove(&answers[3], &mut rng).unwrap().remove(0);
    let replies = [0, 1].map(|_| place.vault.prove(&place.store, &proof, NOW + 600, &mut rng).unwrap().reply);
    assert_eq!(replies.each_ref().map(|reply| reply.is_reset()), [true, false]);
    assert!(awaiting.open(&replies[1]).unwrap().ct_eq(&owner.key));
    let late = place.vault.guess(&place.store, &request, NOW + 601, &mut rng).unwrap();
    assert_eq!(late.left(), 9, "it is a guess of its own after a right one");
}

/// Many front ends take guesses for one record at the same time.
#[test]
fn of_many_guesses_at_once_no_more_are_answered_than_are_counted() {
    for (place, answered) in [(Place::without_waits(), 10), (Place::new(Policy::DEFAULT), 3)] {
        let owner = Owner::new(1);
        let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
        let left = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (place, pairs, left) = (&place, &pairs, &left);
                scope.spawn(move || {
                    for number in 0..16 {
                        let (mut rng, password) = (rng(100 + thread * 16 + number), password("seven ducks cross"));
                        let (_, request) = Recovery::begin(pairs, &password, &mut rng).unwrap();
                        if let Ok(reply) = place.vault.guess(&place.store, &request, NOW, &mut rng) {
                            left.lock().unwrap().push(reply.left());
                        }
                    }
                });
            }
        });
        let mut left = left.into_inner().unwrap();
        left.sort_unstable();
        assert_eq!(left, (10 - answered..10).collect::<Vec<_>>());
    }
}

/// Parameters that somebody changed, or that rotted, must not burn a right password.
#[test]
fn a_pair_that_was_changed_costs_no_guess() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pair = owner.register(&place, "seven geese cross", NOW, 10).unwrap();
    let mut changed = pair.clone();
    changed.params = KdfParams::new(20 << 10, 2, 1).unwrap();
    let refused = place.guess(&[changed], "seven geese cross", NOW, 20);
    assert!(matches!(refused, Err(Guess::Refused(GuessRefused::Changed))), "{refused:?}");
    assert!(is_wrong(&place.guess(&[pair], "seven ducks cross", NOW, 21), 9), "the first that counts");
}

/// One guess is counted once, at one record.
#[test]
fn two_passwords_of_different_records_are_not_guessed_at_together() {
    let place = Place::without_waits();
    let [one, two] = [1, 2].map(|byte| Owner::new(byte).register(&place, "seven geese cross", NOW, 10).unwrap());
    let mut elsewhere = one.clone();
    elsewhere.address = "https://other.example".to_owned();
    let mut at_another_vault = one.clone();
    at_another_vault.vault = VaultId::from_bytes([9; 32]);
    let begin = |pairs: &[Pair]| Recovery::begin(pairs, &password("seven geese cross"), &mut rng(20)).map(drop).err();
    assert_eq!(begin(&[one.clone(), elsewhere]), None);
    for pairs in [vec![], vec![one.clone(), two], vec![one.clone(), at_another_vault], vec![one; 3]] {
        assert_eq!(begin(&pairs), Some(RecoveryError::Pairs));
    }
}

#[test]
fn right_guesses_between_them_do_not_allow_wrong_ones_for_ever() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pairs = [owner.register(&place, "seven geese cross", NOW, 10).unwrap()];
    for wrong in 0..50 {
        if wrong > 0 && wrong % 9 == 0 {
            place.guess(&pairs, "seven geese cross", NOW, 500 + wrong).unwrap();
        }
        let guess = place.guess(&pairs, "seven ducks cross", NOW, 20 + wrong);
        // Nine at most since the last right one, and never more than what is left of the fifty.
        let left = (9 - wrong % 9).min(49 - wrong);
        assert!(is_wrong(&guess, u8::try_from(left).unwrap()), "{wrong}: {guess:?}");
    }
    let spent = place.guess(&pairs, "seven geese cross", NOW + DAY, 30);
    assert!(matches!(spent, Err(Guess::Refused(GuessRefused::Destroyed))), "{spent:?}");
}
