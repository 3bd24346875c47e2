//! What comes from outside, and what lies in the store, may be anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::*;
use hushkeep_vault::client::Recovery;
use hushkeep_vault::message::{BeginRequest, GuessRequest, ProofRequest, StageRequest};
use hushkeep_vault::server::{AttemptStore, ChangeRefused, GuessRefused, ProofRefused};
use hushkeep_vault::{Locator, Pair};

fn registered(place: &Place, owner: &Owner) -> [Pair; 1] {
    [owner.register(place, "seven geese cross", NOW, 10).unwrap()]
}

/// Whoever writes to the store cannot give guesses back, nor exchange anything in it.
#[test]
fn every_changed_byte_of_a_row_is_found() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let pairs = registered(&place, &owner);
    let record = pairs[0].record();
    let row = place.store.load(&record).unwrap().unwrap();
    let put = |row| place.store.records().get_mut(&record).unwrap().0 = row;
    for at in 0..row.bytes.len() {
        let mut changed = row.clone();
        changed.bytes[at] ^= 1;
        put(changed);
        let guess = place.guess(&pairs, "seven geese cross", NOW, 20);
        assert!(matches!(guess, Err(Guess::Refused(GuessRefused::Damaged))), "{at}: {guess:?}");
    }
    let mut renumbered = row.clone();
    renumbered.seq += 1;
    put(renumbered);
    assert!(matches!(place.guess(&pairs, "seven geese cross", NOW, 20), Err(Guess::Refused(GuessRefused::Damaged))));
    put(row);
    place.guess(&pairs, "seven geese cross", NOW, 20).unwrap();
}

#[test]
fn the_row_of_another_record_is_found() {
    let place = Place::without_waits();
    let [(one, _), (_, two)] = [1, 2].map(|byte| {
        let owner = Owner::new(byte);
        let pairs = registered(&place, &owner);
        (pairs[0].record(), pairs)
    });
    let row = place.store.load(&one).unwrap().unwrap();
    place.store.records().get_mut(&two[0].record()).unwrap().0 = row;
    assert!(matches!(place.guess(&two, "seven geese cross", NOW, 20), Err(Guess::Refused(GuessRefused::Damaged))));
}

/// A ticket is for one record, for ten minutes, and for the guess that it was issued for.
#[test]
fn tickets_are_good_for_what_they_were_issued_for() {
    let place = Place::without_waits();
    let (one, two) = (Owner::new(1), Owner::new(2));
    let proofs = [&one, &two].map(|owner| {
        let (pairs, password, mut rng) = (registered(&place, owner), password("seven geese cross"), rng(20));
        let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng).unwrap();
        let reply = place.vault.guess(&place.store, &request, NOW, &mut rng).unwrap();
        recovery.prove(&reply, &mut rng).unwrap().remove(0).1.encode()
    });
    let finish = |proof: &[u8], now| {
        let request = ProofRequest::decode(proof).unwrap();
        place.vault.prove(&place.store, &request, now, &mut rng(30)).map(drop)
    };
    // Behind the kind and the record lies the ticket.
    let ticket = 33..ProofRequest::LEN - 65;
    let mut exchanged = proofs[0].clone();
    exchanged[ticket.clone()].copy_from_slice(&proofs[1][ticket.clone()]);
    assert_eq!(finish(&exchanged, NOW), Err(ProofRefused::Ticket));
    for at in ticket {
        let mut changed = proofs[0].clone();
        changed[at] ^= 1;
        assert_eq!(finish(&changed, NOW), Err(ProofRefused::Ticket), "{at}");
    }
    let mut wrong = proofs[0].clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(finish(&wrong, NOW), Err(ProofRefused::WrongPassword));
    let mut other = proofs[0].clone();
    other[ProofRequest::LEN - 65] = 1;
    assert_eq!(finish(&other, NOW), Err(ProofRefused::Malformed), "no second password was guessed at");
    assert_eq!(finish(&proofs[0], NOW + 601), Err(ProofRefused::Ticket));
    assert_eq!(finish(&proofs[0], NOW - 601), Err(ProofRefused::Ticket));
    assert_eq!(finish(&proofs[0], NOW + 600), Ok(()));
}

/// The ticket of a registration is for one record, for ten minutes, and for that step; what is no element is not evaluated.
#[test]
fn what_is_no_registration_is_refused_and_changes_nothing() {
    let place = Place::without_waits();
    let (one, two) = (Owner::new(1), Owner::new(2));
    let (pairs, password) = (registered(&place, &one), password("seven geese cross"));
    let [own, others] = [&one, &two].map(|owner| owner.stage_request(&place, &password, 20).encode());
    let stage = |request: &[u8], now| {
        let request = StageRequest::decode(request).unwrap();
        place.vault.stage(&place.store, &request, now, &mut rng(30)).map(drop)
    };
    // Behind the kind and the record lies the ticket, then that of the staged password, and its record of OPAQUE.
    let ticket = 33..33 + 512;
    let file = ticket.end + 1;
    let (recovery, guess) = Recovery::begin(&pairs, &password, &mut rng(40)).unwrap();
    let answer = place.vault.guess(&place.store, &guess, NOW, &mut rng(41)).unwrap();
    let proof = recovery.prove(&answer, &mut rng(42)).unwrap().remove(0).1.encode();
    for other in [&others, &proof] {
        let mut changed = own.clone();
        changed[ticket.clone()].copy_from_slice(&other[ticket.clone()]);
        assert!(matches!(stage(&changed, NOW), Err(ChangeRefused::Ticket)));
    }
    let mut reflected = proof.clone();
    reflected[ticket.clone()].copy_from_slice(&own[ticket.clone()]);
    let reflected = ProofRequest::decode(&reflected).unwrap();
    assert_eq!(place.vault.prove(&place.store, &reflected, NOW, &mut rng(43)).map(drop), Err(ProofRefused::Ticket));
    for later in [601, -601] {
        assert!(matches!(stage(&own, NOW + later), Err(ChangeRefused::Ticket)));
    }
    for element in [[0; 32], [0xff; 32]] {
        let mut changed = own.clone();
        changed[file..file + 32].copy_from_slice(&element);
        assert!(matches!(stage(&changed, NOW), Err(ChangeRefused::Malformed)));
        let mut begin = [1; 65];
        begin[33..].copy_from_slice(&element);
        let begin = BeginRequest::decode(&begin).unwrap();
        let refused = place.vault.begin(&place.store, &begin, NOW, &mut rng(44)).map(drop);
        assert!(matches!(refused, Err(ChangeRefused::Malformed)));
    }
    // The guess has changed the record meanwhile.
    assert!(matches!(stage(&own, NOW), Err(ChangeRefused::Meanwhile)));
    let again = one.stage_request(&place, &password, 50).encode();
    let seq = |request: &[u8]| {
        let request = StageRequest::decode(request).unwrap();
        place.vault.stage(&place.store, &request, NOW, &mut rng(51)).unwrap().seen().seq()
    };
    assert_eq!(seq(&again), seq(&again), "a reply that was lost is given again");
}

/// A racing stranger cannot keep the owner from his key, and an old proof gives no guesses back.
#[test]
fn a_proof_gives_the_key_whatever_came_between_but_guesses_back_only_at_once() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let (pairs, password, mut rng) = (registered(&place, &owner), password("seven geese cross"), rng(20));
    let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng).unwrap();
    let reply = place.vault.guess(&place.store, &request, NOW, &mut rng).unwrap();
    let (awaiting, proof) = recovery.prove(&reply, &mut rng).unwrap().remove(0);
    for seed in 30..39 {
        place.guess(&pairs, "seven ducks cross", NOW, seed).err().unwrap();
    }
    let reply = place.vault.prove(&place.store, &proof, NOW + 600, &mut rng).unwrap().reply;
    assert!(!reply.is_reset() && awaiting.open(&reply).unwrap().ct_eq(&owner.key));
}

/// Elements of no use to an honest client: zero, and no point at all.
#[test]
fn what_is_no_message_of_opaque_costs_nothing() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let (pairs, password) = (registered(&place, &owner), password("seven geese cross"));
    let (_, request) = Recovery::begin(&pairs, &password, &mut rng(20)).unwrap();
    for element in [[0; 32], [0xff; 32]] {
        for at in [GuessRequest::LEN - 96, GuessRequest::LEN - 32] {
            let mut bytes = request.encode();
            bytes[at..at + 32].copy_from_slice(&element);
            let request = GuessRequest::decode(&bytes).unwrap();
            let refused = place.vault.guess(&place.store, &request, NOW, &mut rng(21)).map(drop);
            assert!(matches!(refused, Err(GuessRefused::Malformed)), "{refused:?}");
        }
    }
    let reply = place.vault.guess(&place.store, &request, NOW, &mut rng(22)).unwrap();
    assert_eq!(reply.left(), 9);
}

#[test]
fn messages_of_another_length_or_kind_are_refused() {
    let (place, owner) = (Place::without_waits(), Owner::new(1));
    let (pairs, password) = (registered(&place, &owner), password("seven geese cross"));
    let (_, request) = Recovery::begin(&pairs, &password, &mut rng(20)).unwrap();
    let bytes = request.encode();
    assert_eq!(GuessRequest::decode(&bytes).unwrap(), request);
    assert!((0..bytes.len()).all(|len| GuessRequest::decode(&bytes[..len]).is_err()));
    assert!(GuessRequest::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(ProofRequest::decode(&bytes).is_err());
}

#[test]
fn a_locator_leads_to_a_record_of_its_own_in_each_vault() {
    let locator = Locator::generate(&mut rng(1));
    let vaults = [1, 2].map(|byte| hushkeep_vault::VaultId::from_bytes([byte; 32]));
    let [one, two] = vaults.map(|vault| hushkeep_vault::RecordId::of(&locator, &vault));
    assert_ne!(one, two);
}
