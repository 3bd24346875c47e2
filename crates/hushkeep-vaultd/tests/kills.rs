//! The vault is killed while many guess, register and delete, and while it is rekeyed: no guess is free, and no record is lost.
//!
//! `HUSHKEEP_VAULT_KILLS=1000` for more of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use hushkeep::vault::{Https, Transport as _, VaultAddress};
use hushkeep_vault::Pair;
use hushkeep_vault::client::EventKind;
use hushkeep_vault::message::{GuessReply, GuessRequest};
use hushkeep_vault::request::Request as _;
use hushkeep_vault::server::{Policy, Vault};
use hushkeep_vaultd::folder::VaultFolder;
use hushkeep_vaultd::store::Unopened;

/// So many records. Each is guessed at three times; the fourth guess would have to wait. (To register and to recover takes most of the time.)
fn records() -> usize {
    if kills() < 100 { 4 } else { 12 }
}

const GUESSERS: usize = 4;

/// A guess that was answered.
#[derive(Debug)]
struct Answered {
    began: Instant,
    ended: Instant,
    /// How many guesses were left, as the vault said.
    left: u8,
}

fn kills() -> u64 {
    std::env::var("HUSHKEEP_VAULT_KILLS").map_or(4, |count| count.parse().unwrap())
}

#[test]
fn a_killed_vault_has_given_no_guess_for_nothing_and_lost_no_record() {
    let (mut answers, mut registered, mut deleted) = (0, 0, 0);
    for round in 0..kills() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        let served = Served::start(&folder, &[]);
        let mut owners: Vec<Owner> = (0..records()).map(|_| Owner::new()).collect();
        owners.iter_mut().for_each(|owner| owner.register(&served.address).unwrap());
        let mut leaving = Owner::new();
        leaving.register(&served.address).unwrap();
        let (late, was_told) = (Mutex::new(Vec::new()), Mutex::new(false));
        let guesses: Vec<Mutex<Vec<Answered>>> = (0..records()).map(|_| Mutex::new(Vec::new())).collect();
        let address = served.address.clone();
        thread::scope(|scope| {
            for number in 0..GUESSERS {
                let (owners, guesses, address) = (&owners, &guesses, &address);
                scope.spawn(move || {
                    for turn in 0..records() {
                        let record = (number + turn) % records();
                        let pair = owners[record].pair.as_ref().unwrap();
                        guesses[record].lock().unwrap().extend(guess_on(address, pair));
                    }
                });
            }
            scope.spawn(|| {
                let mut owner = Owner::new();
                let _ = owner.register(&address);
                late.lock().unwrap().push(owner);
            });
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(fastrand::u64(0..200_000)));
                *was_told.lock().unwrap() = leaving.delete(&address).is_ok();
            });
            thread::sleep(Duration::from_micros(fastrand::u64(0..200_000)));
            served.kill();
        });
        let back = Served::start(&folder, &[]);
        for (owner, guesses) in owners.iter().zip(guesses) {
            let guesses = guesses.into_inner().unwrap();
            answers += guesses.len();
            check(owner, &guesses, &back.address, round);
        }
        for owner in late.into_inner().unwrap().iter().filter(|owner| owner.pair.is_some()) {
            registered += 1;
            assert!(owner.recover(&back.address).ct_eq(&owner.key), "round {round}: a registered password is lost");
        }
        let is_there = leaving.is_there(&back.address);
        assert!(!(is_there && was_told.into_inner().unwrap()), "round {round}: what was deleted is back");
        assert!(
            !is_there || leaving.recover(&back.address).ct_eq(&leaving.key),
            "round {round}: a record is half deleted"
        );
        deleted += u64::from(!is_there);
        assert!(back.end());
        // Without the waits between guesses, which would keep the owners from theirs.
        let taken = VaultFolder::take(&folder).unwrap();
        let vault = Vault::new(taken.keys().unwrap(), Policy { waits: [0; 9], ..Policy::DEFAULT }).unwrap();
        let records = taken.records(&vault).unwrap();
        for owner in &owners {
            assert!(owner.recover_at(&vault, &records).ct_eq(&owner.key), "round {round}: a record is lost");
        }
    }
    // Of a few kills, none may hit a registration.
    assert!(answers > 0 && (registered > 0 || kills() < 100));
    println!(
        "{} kills, {answers} guesses answered, {registered} registrations under way, {deleted} records deleted",
        kills()
    );
}

/// Whatever a rekey has got to, the records open, are served, and the next one goes on.
#[test]
fn a_killed_rekey_has_lost_no_record_and_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    let served = Served::start(&folder, &[]);
    let mut owners: Vec<Owner> = (0..records()).map(|_| Owner::new()).collect();
    owners.iter_mut().for_each(|owner| owner.register(&served.address).unwrap());
    assert!(served.end());
    let rekey = || {
        let mut command = program();
        command.arg("rekey").arg("--dir").arg(&folder).stdout(Stdio::null());
        command
    };
    let began = Instant::now();
    assert!(rekey().status().unwrap().success());
    let longest = u64::try_from(began.elapsed().as_micros()).unwrap();
    let (mut halfway, mut newest) = (0, 0);
    for round in 0..kills() {
        let mut child = rekey().spawn().unwrap();
        thread::sleep(Duration::from_micros(fastrand::u64(0..longest)));
        child.kill().unwrap();
        child.wait().unwrap();
        let taken = VaultFolder::take(&folder).unwrap();
        let (vault, records) = taken.open().unwrap();
        assert_eq!(records.unopened(&vault).unwrap(), Unopened::default(), "round {round}");
        halfway += u64::from(vault.secrets().keks().len() == 2);
        let now = vault.secrets().keks().iter().map(|kek| kek.epoch).max().unwrap();
        assert!(now >= newest, "round {round}");
        newest = now;
    }
    let served = Served::start(&folder, &[]);
    for owner in &owners {
        assert!(owner.recover(&served.address).ct_eq(&owner.key));
    }
    assert!(served.end() && rekey().status().unwrap().success());
    let taken = VaultFolder::take(&folder).unwrap();
    assert_eq!(taken.keys().unwrap().keks().len(), 1);
    assert_eq!(taken.records(&taken.open().unwrap().0).unwrap().count().unwrap(), owners.len() as u64);
    println!("{} kills of a rekey, {halfway} between its keys", kills());
}

/// Guesses until the vault is dead or answers no more.
fn guess_on(vault: &VaultAddress, pair: &Pair) -> Vec<Answered> {
    let (mut all, https) = (Vec::new(), Https::without_retries());
    loop {
        let (began, message) = (Instant::now(), guess(pair, "not the password"));
        let Ok(reply) = https.post(vault, GuessRequest::PATH, &message) else { return all };
        let Ok(reply) = GuessReply::decode(&reply.body) else { return all };
        all.push(Answered { began, ended: Instant::now(), left: reply.left() });
    }
}

/// Every answer was counted: no two had the same place, and none that came later had an earlier one (the counter is linearizable).
fn check(owner: &Owner, guesses: &[Answered], vault: &VaultAddress, round: u64) {
    for (number, one) in guesses.iter().enumerate() {
        for other in &guesses[number + 1..] {
            assert_ne!(one.left, other.left, "round {round}: one guess was free");
            let (earlier, later) = if one.ended <= other.began { (one, other) } else { (other, one) };
            if earlier.ended <= later.began {
                assert!(earlier.left > later.left, "round {round}: {earlier:?} {later:?}");
            }
        }
    }
    let history = owner.history(vault).since(None).unwrap();
    let counted = history.events.iter().filter(|event| event.kind == EventKind::Guessed).count();
    assert!(counted >= guesses.len(), "round {round}: {counted} counted of {}", guesses.len());
    assert_eq!(usize::from(history.left), 10 - counted, "round {round}");
    assert!(guesses.iter().all(|guess| guess.left >= history.left), "round {round}");
}
