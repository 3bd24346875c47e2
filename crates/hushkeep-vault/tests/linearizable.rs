//! Guesses, proofs, a change of the password and a deletion at the same time, while time goes on: each takes effect as if they
//! came one after the other, in some order that what was told allows (linearizability). The order of their steps comes from a
//! seed: the same seed, the same history.
//!
//! `HUSHKEEP_SEEDS=first..end` runs other seeds than the few that every test run has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;
mod order;
mod turns;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use common::*;
use hushkeep_core::wrap::KdfParams;
use hushkeep_vault::client::{Recovery, Registration, UpdateKeys};
use hushkeep_vault::message::{BeginReply, GuessReply};
use hushkeep_vault::server::{ChangeRefused, GuessRefused, Policy, ProofRefused};
use hushkeep_vault::{Pair, UpdateKey};
use order::{Act, Done, Guess, Kind, Model, Password, Told};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;
use turns::{InTurn, Turns};

/// The first password, and the second.
const GEESE: &str = "seven geese cross";
const HERONS: &str = "nine herons wait";

/// Few enough that some histories spend them all.
const POLICY: Policy = Policy { guesses: 4, waits: [0, 0, 0, 30, 30, 30, 30, 30, 30], failures: 6, ..Policy::DEFAULT };

/// So many guess.
const GUESSERS: usize = 2;

/// Seeds of every test run.
const FEW: &str = "0..20";

/// What the threads of one history share.
struct World<'a> {
    place: &'a Place,
    turns: &'a Turns,
    owner: &'a Owner,
    first: &'a Pair,
    second: Mutex<Option<Pair>>,
    clock: AtomicI64,
    attempts: AtomicU64,
    history: Mutex<Vec<Done>>,
}

/// What is guessed.
struct Plan {
    number: u64,
    text: &'static str,
    at_both: bool,
    /// Once more, as after a reply that was lost.
    twice: bool,
    /// How long before each step, in seconds.
    pauses: [i64; 3],
}

/// What the owner does.
struct Change {
    /// The record is deleted before this step of the change.
    deletes_before: Option<Kind>,
    /// Beside it, the vault looks after its records before this step.
    looked_after_before: Option<Kind>,
    pauses: [i64; 5],
}

fn pause(random: &mut ChaCha20Rng) -> i64 {
    // Clocks are set back as well.
    [0, 0, 0, 0, 0, 0, 1, 29, 30, 601, 601, -601][random.next_u32() as usize % 12]
}

fn plans(random: &mut ChaCha20Rng) -> [Vec<Plan>; GUESSERS] {
    let is_second_right = random.next_u32();
    [0, 1].map(|who| {
        let plan = |turn: u64| {
            // The other one sends the same guess.
            let number = if random.next_u32().is_multiple_of(3) { turn } else { 10 * who + turn };
            Plan {
                number,
                text: if is_second_right >> number & 1 == 1 { HERONS } else { GEESE },
                at_both: random.next_u32().is_multiple_of(2),
                twice: random.next_u32().is_multiple_of(4),
                pauses: [(); 3].map(|()| pause(random)),
            }
        };
        (0..3).map(plan).collect()
    })
}

fn change(random: &mut ChaCha20Rng) -> Change {
    let steps = [Kind::Begin, Kind::Stage, Kind::Commit];
    Change {
        deletes_before: steps.get(random.next_u32() as usize % 10).copied(),
        looked_after_before: steps.get(random.next_u32() as usize % 5).copied(),
        pauses: [(); 5].map(|()| pause(random)),
    }
}

impl World<'_> {
    /// Does one thing a while later, and writes down when it began and ended, and what was told of it.
    fn act<T>(&self, kind: Kind, pause: i64, doing: impl FnOnce(i64) -> (Told, T)) -> T {
        let now = self.clock.fetch_add(pause, Ordering::Relaxed) + pause;
        let began = self.turns.tick();
        let (told, result) = doing(now);
        let ended = self.turns.tick();
        self.history.lock().unwrap().push(Done { act: Act { kind, now }, told, began, ended });
        result
    }

    /// Guesses, and proves the guess if it is right.
    fn guess(&self, store: &InTurn<'_>, plan: &Plan) {
        let second = self.second.lock().unwrap().clone().filter(|_| plan.at_both);
        let pairs: Vec<Pair> = [Some(self.first.clone()), second].into_iter().flatten().collect();
        let guess = Guess { number: plan.number, at_both: pairs.len() == 2 };
        let mut last = None;
        for pause in &plan.pauses[..1 + usize::from(plan.twice)] {
            last = self.send(store, (guess, &pairs, plan.text), *pause);
        }
        let Some((attempt, reply)) = last else { return };
        let (password, mut rng) = (password(plan.text), rng(100 + plan.number));
        let (recovery, _) = Recovery::begin(&pairs, &password, &mut rng).unwrap();
        let Ok(mut proofs) = recovery.prove(&reply, &mut rng) else { return };
        let proof = proofs.remove(0).1;
        let password = if plan.text == GEESE { Password::First } else { Password::Second };
        self.act(Kind::Prove { attempt, password }, plan.pauses[2], |now| {
            match self.place.vault.prove(store, &proof, now, &mut rng) {
                Ok(proven) => (Told::Reset(proven.reply.is_reset()), ()),
                Err(ProofRefused::Ticket) => (Told::Expired, ()),
                Err(error) => panic!("{error}"),
            }
        });
    }

    /// The same guess has the same bytes, whoever sends it.
    fn send(
        &self,
        store: &InTurn<'_>,
        (guess, pairs, text): (Guess, &[Pair], &str),
        pause: i64,
    ) -> Option<(u64, GuessReply)> {
        let (attempt, mut rng) = (self.attempts.fetch_add(1, Ordering::Relaxed), rng(100 + guess.number));
        let password = password(text);
        let (_, request) = Recovery::begin(pairs, &password, &mut rng).unwrap();
        self.act(Kind::Guess { guess, attempt }, pause, |now| {
            match self.place.vault.guess(store, &request, now, &mut rng) {
                Ok(reply) => (Told::Left(reply.left()), Some((attempt, reply))),
                Err(GuessRefused::Locked { seconds }) => (Told::Locked(seconds), None),
                Err(GuessRefused::Destroyed) => (Told::Destroyed, None),
                Err(GuessRefused::Unknown) => (Told::NoRecord, None),
                Err(GuessRefused::AnotherVersion) => (Told::NoSuchPassword, None),
                Err(error) => panic!("{error}"),
            }
        })
    }

    /// Changes the password, as far as what others do lets it, and may delete the record in between, or look after it.
    fn change(&self, store: &InTurn<'_>, key: &UpdateKey, plan: &Change) {
        let (vault, mut numbers, password) = (&self.place.vault, rng(200), password(HERONS));
        let other_acts_before = |step: Kind| {
            if plan.looked_after_before == Some(step) {
                self.act(Kind::LookAfter, plan.pauses[4], |now| {
                    assert_eq!(vault.destroy_due(store, now, &mut rng(201)).unwrap(), 0);
                    (Told::LookedAfter, ())
                });
            }
            if plan.deletes_before == Some(step) {
                let request = self.first.delete(key);
                self.act(Kind::Delete, plan.pauses[3], |_| (changed(&vault.delete(store, &request)), ()));
            }
        };
        other_acts_before(Kind::Begin);
        let address = ("https://vault.example".to_owned(), vault.id());
        let begun = Registration::begin(address, self.owner.locator, &password, KdfParams::FLOOR, &mut numbers);
        let (registration, request) = begun.unwrap();
        let reply: Option<BeginReply> = self.act(Kind::Begin, plan.pauses[0], |now| {
            let reply = vault.begin(store, &request, now, &mut numbers);
            (changed(&reply), reply.ok())
        });
        let Some(reply) = reply else { return };
        other_acts_before(Kind::Stage);
        let keys = UpdateKeys { owner: key, next: key };
        let (staged, request) = registration.stage(&reply, &self.owner.key, keys, &mut numbers).unwrap();
        self.act(Kind::Stage, plan.pauses[1], |now| (changed(&vault.stage(store, &request, now, &mut numbers)), ()));
        *self.second.lock().unwrap() = Some(staged.pair().clone());
        other_acts_before(Kind::Commit);
        let (_, request) = staged.commit(key);
        self.act(Kind::Commit, plan.pauses[2], |now| (changed(&vault.commit(store, &request, now, &mut numbers)), ()));
    }
}

fn changed<T>(result: &Result<T, ChangeRefused>) -> Told {
    match result {
        Ok(_) => Told::Changed,
        Err(ChangeRefused::Meanwhile) => Told::Meanwhile,
        Err(ChangeRefused::AnotherVersion) => Told::NoSuchPassword,
        Err(ChangeRefused::Unknown) => Told::NoRecord,
        Err(ChangeRefused::Destroyed) => Told::Destroyed,
        Err(ChangeRefused::Ticket) => Told::Expired,
        Err(ChangeRefused::Busy) => Told::Busy,
        Err(error) => panic!("{error}"),
    }
}

/// Two who guess, rightly or not, and the owner; everything about them but the passwords comes from the seed.
fn history(place: &Place, owner: &Owner, first: &Pair, seed: u64) -> Vec<Done> {
    let mut random = rng(seed);
    let (plans, change, key) = (plans(&mut random), change(&mut random), owner.update_key(place));
    let turns = Turns::new(GUESSERS + 1, random);
    let world = World {
        place,
        turns: &turns,
        owner,
        first,
        second: Mutex::default(),
        clock: NOW.into(),
        attempts: AtomicU64::default(),
        history: Mutex::default(),
    };
    thread::scope(|scope| {
        let world = &world;
        for (who, plans) in plans.iter().enumerate() {
            scope.spawn(move || {
                let store = InTurn::new(&place.store, world.turns, who);
                plans.iter().for_each(|plan| world.guess(&store, plan));
            });
        }
        let (key, change) = (&key, &change);
        scope.spawn(move || world.change(&InTurn::new(&place.store, world.turns, GUESSERS), key, change));
    });
    world.history.into_inner().unwrap()
}

#[test]
fn whatever_happens_at_the_same_time_has_an_order() {
    let given = std::env::var("HUSHKEEP_SEEDS").ok();
    let range = given.as_deref().unwrap_or(FEW);
    let (first, end) = range.split_once("..").expect("HUSHKEEP_SEEDS is a range such as 0..1000");
    let (first, end): (u64, u64) = (first.parse().unwrap(), end.parse().unwrap());
    let mut told: HashMap<Told, u64> = HashMap::new();
    let (place, owner) = (Place::new(POLICY), Owner::new(1));
    let pair = owner.register(&place, GEESE, NOW, 10).unwrap();
    let start = place.store.records().clone();
    for seed in first..end {
        *place.store.records() = start.clone();
        let history = history(&place, &owner, &pair, seed);
        assert!(Model::new(&POLICY).explains(&history), "seed {seed}: {history:#?}");
        history.iter().for_each(|done| *told.entry(done.told).or_default() += 1);
    }
    println!("seeds {range}: {told:?}");
    // A few seeds may be looked into.
    if end - first < 20 {
        return;
    }
    let all = [Told::Reset(true), Told::Reset(false), Told::Destroyed, Told::Changed, Told::Meanwhile, Told::Expired];
    for one in all.into_iter().chain([Told::NoRecord, Told::NoSuchPassword, Told::Locked(30), Told::Busy]) {
        assert!(told.contains_key(&one), "{one:?} is in no history: {told:?}");
    }
}

/// The judge is none if it lets everything pass.
#[test]
fn what_has_no_order_is_found() {
    let act = |kind, told, began, ended| Done { act: Act { kind, now: NOW }, told, began, ended };
    let guess = |number| Kind::Guess { guess: Guess { number, at_both: false }, attempt: number };
    let is_explained = |history: &[Done]| Model::new(&POLICY).explains(history);
    let one_after_the_other = [act(guess(1), Told::Left(3), 0, 1), act(guess(2), Told::Left(2), 2, 3)];
    assert!(is_explained(&one_after_the_other));
    let free = [act(guess(1), Told::Left(3), 0, 3), act(guess(2), Told::Left(3), 1, 2)];
    assert!(!is_explained(&free));
    let again = [act(guess(1), Told::Left(3), 0, 3), act(guess(1), Told::Left(3), 1, 2)];
    assert!(is_explained(&again), "the same guess is answered for nothing");
    let mut later = again;
    later[1].act.now = NOW + 601;
    assert!(!is_explained(&later), "and not after ten minutes");
    let backwards = [act(guess(1), Told::Left(2), 0, 1), act(guess(2), Told::Left(3), 2, 3)];
    assert!(!is_explained(&backwards));
    let proof = Kind::Prove { attempt: 1, password: Password::First };
    let reset = |told| [act(guess(1), Told::Left(3), 0, 1), act(guess(2), Told::Left(2), 2, 3), act(proof, told, 4, 5)];
    assert!(is_explained(&reset(Told::Reset(false))));
    assert!(!is_explained(&reset(Told::Reset(true))), "another guess came between");
    let busy = [act(Kind::Begin, Told::Changed, 0, 1), act(Kind::Stage, Told::Busy, 2, 3)];
    assert!(!is_explained(&busy), "nobody was there to be busy with");
    let busy = [act(Kind::Begin, Told::Changed, 0, 5), act(Kind::Delete, Told::Busy, 2, 3)];
    assert!(!is_explained(&busy), "and who was there changed nothing");
}
