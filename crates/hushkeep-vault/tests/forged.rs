//! Whoever answers in a vault's place, or proves without a password, may send anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::ops::Range;

use common::*;
use hushkeep_core::wrap::KdfParams;
use hushkeep_vault::Pair;
use hushkeep_vault::client::{Recovery, RecoveryError, Registration, RegistrationError, UpdateKeys};
use hushkeep_vault::message::{BeginReply, GuessReply, GuessRequest, ProofRequest};
use hushkeep_vault::server::ProofRefused;

const GEESE: &str = "seven geese cross";

/// Where parts of OPAQUE's answer lie in the answer to a guess, behind its kind, the guesses left and the wait (RFC 9807 §6.1:
/// KE2).
const EVALUATED: Range<usize> = 6..38;
const MASKING_NONCE: Range<usize> = 38..70;
const MASKED: Range<usize> = 70..198;
const SERVER_NONCE: Range<usize> = 198..230;
const SERVER_SHARE: Range<usize> = 230..262;
const SERVER_MAC: Range<usize> = 262..326;

/// Both answers, to the first password and to the second.
const FIRST: Range<usize> = 6..326;
const SECOND: Range<usize> = 326..646;

/// No point of the curve, and the one that takes part in no secret: the identity.
const NO_ELEMENT: [u8; 32] = [0xff; 32];
const IDENTITY: [u8; 32] = [0; 32];

fn registered(place: &Place) -> [Pair; 1] {
    [Owner::new(1).register(place, GEESE, NOW, 10).unwrap()]
}

/// What a client makes of an answer that somebody has changed: a proof must never leave it.
fn prove(pairs: &[Pair], reply: &[u8]) -> RecoveryError {
    let password = password(GEESE);
    let (recovery, _) = Recovery::begin(pairs, &password, &mut rng(20)).unwrap();
    recovery.prove(&GuessReply::decode(reply).unwrap(), &mut rng(22)).map(drop).unwrap_err()
}

/// A guess with the right password, and its answer.
fn answered(place: &Place, pairs: &[Pair], seed: u64) -> (GuessRequest, Vec<u8>) {
    let password = password(GEESE);
    let (_, request) = Recovery::begin(pairs, &password, &mut rng(seed)).unwrap();
    let reply = place.vault.guess(&place.store, &request, NOW, &mut rng(21)).unwrap();
    (request, reply.encode())
}

#[test]
fn a_reflected_answer_is_no_answer() {
    let place = Place::without_waits();
    let pairs = registered(&place);
    let (request, reply) = answered(&place, &pairs, 20);
    let ke1 = request.encode().split_off(GuessRequest::LEN - 96);
    // Its own blinded password as the evaluation of it, and its own share as the vault's.
    let mut reflected = reply.clone();
    reflected[EVALUATED].copy_from_slice(&ke1[..32]);
    assert_eq!(prove(&pairs, &reflected), RecoveryError::Malformed);
    let mut reflected = reply.clone();
    reflected[SERVER_SHARE].copy_from_slice(&ke1[64..]);
    assert_eq!(prove(&pairs, &reflected), RecoveryError::WrongPassword { left: 9 });
}

#[test]
fn the_answer_to_an_earlier_guess_is_none_to_this_one() {
    let place = Place::without_waits();
    let pairs = registered(&place);
    let (_, earlier) = answered(&place, &pairs, 19);
    assert_eq!(prove(&pairs, &earlier), RecoveryError::WrongPassword { left: 9 });
    // Nor do its parts help.
    let (_, reply) = answered(&place, &pairs, 20);
    for part in [EVALUATED, MASKED, SERVER_SHARE, SERVER_MAC] {
        let mut mixed = reply.clone();
        mixed[part.clone()].copy_from_slice(&earlier[part.clone()]);
        assert_eq!(prove(&pairs, &mixed), RecoveryError::WrongPassword { left: 8 }, "{part:?}");
    }
}

#[test]
fn elements_that_no_vault_sends_are_refused() {
    let place = Place::without_waits();
    let pairs = registered(&place);
    let (_, reply) = answered(&place, &pairs, 20);
    for element in [IDENTITY, NO_ELEMENT] {
        for part in [EVALUATED, SERVER_SHARE] {
            let mut forged = reply.clone();
            forged[part.clone()].copy_from_slice(&element);
            assert_eq!(prove(&pairs, &forged), RecoveryError::Malformed, "{part:?}");
        }
    }
    for part in [MASKING_NONCE, MASKED, SERVER_NONCE, SERVER_MAC] {
        for at in [part.start, part.end - 1] {
            let mut forged = reply.clone();
            forged[at] ^= 1;
            assert_eq!(prove(&pairs, &forged), RecoveryError::WrongPassword { left: 9 }, "{at}");
        }
    }
    // As it came, it is one.
    let password = password(GEESE);
    let (recovery, _) = Recovery::begin(&pairs, &password, &mut rng(20)).unwrap();
    assert_eq!(recovery.prove(&GuessReply::decode(&reply).unwrap(), &mut rng(22)).unwrap().len(), 1);
}

/// While a password is changed, a guess is at both.
#[test]
fn the_answer_for_one_password_is_none_for_the_other() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let old = owner.register(&place, GEESE, NOW, 10).unwrap();
    let new = owner.stage(&place, GEESE, NOW, 12).unwrap();
    let pairs = [old, new.pair().clone()];
    let (_, reply) = answered(&place, &pairs, 20);
    let mut exchanged = reply.clone();
    exchanged[FIRST].copy_from_slice(&reply[SECOND]);
    exchanged[SECOND].copy_from_slice(&reply[FIRST]);
    assert_eq!(prove(&pairs, &exchanged), RecoveryError::WrongPassword { left: 9 });
    let password = password(GEESE);
    let (recovery, _) = Recovery::begin(&pairs, &password, &mut rng(20)).unwrap();
    assert_eq!(recovery.prove(&GuessReply::decode(&reply).unwrap(), &mut rng(22)).unwrap().len(), 2);
}

#[test]
fn a_proof_is_for_one_guess() {
    let place = Place::without_waits();
    let pairs = registered(&place);
    let proofs = [20, 30].map(|seed| {
        let password = password(GEESE);
        let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng(seed)).unwrap();
        let reply = place.vault.guess(&place.store, &request, NOW, &mut rng(21)).unwrap();
        recovery.prove(&reply, &mut rng(22)).unwrap().remove(0).1.encode()
    });
    let finish = |proof: &[u8]| {
        let request = ProofRequest::decode(proof).unwrap();
        place.vault.prove(&place.store, &request, NOW, &mut rng(40)).map(|proven| proven.reply.is_reset())
    };
    let ke3 = ProofRequest::LEN - 64..;
    for forged in [[0; 64].as_slice(), &[0xff; 64], &proofs[0][ke3.clone()]] {
        let mut proof = proofs[1].clone();
        proof[ke3.clone()].copy_from_slice(forged);
        assert_eq!(finish(&proof), Err(ProofRefused::WrongPassword));
    }
    assert_eq!(finish(&proofs[1]), Ok(true));
    assert_eq!(finish(&proofs[1]), Ok(false), "one proof gives guesses back once");
}

/// Whoever stands between could have the password registered under a key of his own, or with a ticket for another state.
#[test]
fn a_registration_takes_no_answer_but_the_one_to_itself_as_it_was_signed() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let (update, password) = (owner.update_key(&place), password(GEESE));
    let begin = |seed| {
        let vault = ("https://vault.example".to_owned(), place.vault.id());
        Registration::begin(vault, owner.locator, &password, KdfParams::FLOOR, &mut rng(seed)).unwrap()
    };
    let answered = |seed| place.vault.begin(&place.store, &begin(seed).1, NOW, &mut rng(30)).unwrap();
    let stage = |reply: &BeginReply| {
        let keys = UpdateKeys { owner: &update, next: &update };
        begin(20).0.stage(reply, &owner.key, keys, &mut rng(31)).map(drop)
    };
    let reply = answered(20);
    // But for the two bytes that say what it is.
    let forged = (0..BeginReply::LEN).filter_map(|at| {
        let mut forged = reply.encode();
        forged[at] ^= 1;
        BeginReply::decode(&forged).ok()
    });
    let forged: Vec<BeginReply> = forged.collect();
    assert_eq!(forged.len(), BeginReply::LEN - 2);
    assert!(forged.iter().all(|forged| stage(forged) == Err(RegistrationError::AnotherVault)));
    assert_eq!(stage(&answered(21)), Err(RegistrationError::AnotherVault), "the answer to another request");
    assert_eq!(stage(&reply), Ok(()));
}
