//! The vault is killed while many guess, register and delete, and while it is rekeyed: no guess is free, and no record is lost.
//!
//! `HUSHKEEP_VAULT_KILLS=1000` for more of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use hushkeep::vault::{Https, Transport as _, VaultAddress};
use hushkeep_vault::client::{EventKind, History, Seen};
use hushkeep_vault::message::{GuessReply, GuessRequest};
use hushkeep_vault::request::Request as _;
use hushkeep_vault::server::{AttemptStore as _, Policy, Vault};
use hushkeep_vaultd::folder::VaultFolder;
use hushkeep_vaultd::store::{SqliteStore, Unopened};

/// So many records are there when a round begins. The first is deleted in it: so none gets as many wrong guesses as would
/// destroy it.
const RECORDS: usize = 6;

/// Each guesses at every record, and begins at another one. After three guesses the next one has to wait.
const GUESSERS: [usize; 4] = [0, 1, 2, 3];

fn kills() -> u64 {
    std::env::var("HUSHKEEP_VAULT_KILLS").map_or(4, |count| count.parse().unwrap())
}

/// A record, and what its owner remembers of it.
struct Kept {
    owner: Owner,
    seen: Option<Seen>,
}

/// A guess that was sent, and not refused.
#[derive(Debug)]
struct Sent {
    message: Message,
    began: Instant,
    ended: Instant,
    /// How many guesses were left, if an answer came back.
    left: Option<u8>,
}

/// As it was sent. To be shown it is too long.
struct Message(Vec<u8>);

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What was under way when the vault was killed.
struct Round {
    address: VaultAddress,
    /// At each record but the first.
    guesses: Vec<Vec<Sent>>,
    /// Who registered.
    late: Owner,
    /// Whether the owner of the first record was told that it is deleted.
    is_deletion_told: bool,
    /// How long it took until all guesses had ended, and all.
    spans: [Duration; 2],
}

/// What all rounds have seen.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    counted_and_not_answered: usize,
    registered: usize,
    deleted: usize,
}

#[test]
fn a_killed_vault_has_given_no_guess_for_nothing_and_lost_no_record() {
    let parent = tempfile::tempdir().unwrap();
    let mut world = World { folder: folder(&parent), records: Vec::new(), tally: Tally::default() };
    // The first is killed when all is done: to know when to kill the others.
    let first = world.round(Duration::MAX);
    let spans = first.spans.map(|span| u64::try_from(span.as_micros()).unwrap());
    world.check(first, "the first");
    for number in 0..kills() {
        let span = spans[usize::from(fastrand::bool())];
        let round = world.round(Duration::from_micros(fastrand::u64(0..span)));
        world.check(round, &format!("round {number}"));
    }
    let tally = &world.tally;
    println!("{} kills: {tally:?}", kills());
    // Of a few kills, none may hit what it could.
    assert!(tally.answered > 0);
    assert!(kills() < 100 || (tally.counted_and_not_answered > 0 && tally.registered > 0 && tally.deleted > 0));
}

/// A vault that is killed again and again, and what its owners know.
struct World {
    folder: PathBuf,
    records: Vec<Kept>,
    tally: Tally,
}

impl World {
    /// Serves the vault, and kills it after a while, or when nobody uses it any more.
    fn round(&mut self, after: Duration) -> Round {
        let served = Served::start(&self.folder, &[]);
        let address = served.address.clone();
        while self.records.len() < RECORDS {
            let mut owner = Owner::new();
            owner.register(&address).unwrap();
            self.records.push(Kept { owner, seen: None });
        }
        let (leaving, others) = self.records.split_first().unwrap();
        thread::scope(|scope| {
            let (began, vault) = (Instant::now(), &address);
            let guessers = GUESSERS.map(|first| scope.spawn(move || guess_at_each(vault, others, first)));
            let registering = scope.spawn(|| {
                let mut owner = Owner::new();
                let _ = owner.register(vault);
                owner
            });
            let deleting = scope.spawn(|| {
                thread::sleep(Duration::from_micros(fastrand::u64(0..20_000)));
                leaving.owner.delete(vault).is_ok()
            });
            let is_used = || {
                guessers.iter().any(|one| !one.is_finished()) || !registering.is_finished() || !deleting.is_finished()
            };
            while began.elapsed() < after && is_used() {
                thread::sleep(Duration::from_micros(100));
            }
            let all = began.elapsed();
            served.kill();
            let mut guesses: Vec<Vec<Sent>> = others.iter().map(|_| Vec::new()).collect();
            for sent in guessers.into_iter().flat_map(|guesser| guesser.join().unwrap()) {
                guesses[sent.0].push(sent.1);
            }
            let last = guesses.iter().flatten().map(|sent| sent.ended).max().unwrap_or(began);
            Round {
                address: address.clone(),
                guesses,
                late: registering.join().unwrap(),
                is_deletion_told: deleting.join().unwrap(),
                spans: [last - began, all],
            }
        })
    }

    /// Looks at what is left, as a vault sees it that has started again.
    fn check(&mut self, round: Round, what: &str) {
        let taken = VaultFolder::take(&self.folder).unwrap();
        // Without the waits between guesses, which would keep the owners from theirs.
        let vault = Vault::new(taken.keys().unwrap(), Policy { waits: [0; 9], ..Policy::DEFAULT }).unwrap();
        let back = Back { records: taken.records(&vault).unwrap(), vault, address: round.address };
        let leaving = self.records.remove(0);
        if back.is_there(&leaving.owner) {
            assert!(!round.is_deletion_told, "{what}: what was deleted is back");
            back.recover(&leaving.owner, what);
            back.delete(&leaving.owner);
        } else {
            self.tally.deleted += 1;
        }
        for (kept, sent) in self.records.iter_mut().zip(round.guesses) {
            back.check(kept, &sent, &mut self.tally, what);
        }
        if round.late.pair.is_some() {
            self.tally.registered += 1;
            back.recover(&round.late, what);
            let mut kept = Kept { owner: round.late, seen: None };
            kept.seen = Some(back.history(&kept, what).seen);
            self.records.push(kept);
        }
    }
}

/// The vault after it was killed.
struct Back {
    vault: Vault,
    records: SqliteStore,
    address: VaultAddress,
}

impl Back {
    fn is_there(&self, owner: &Owner) -> bool {
        self.records.load(&owner.pair.as_ref().unwrap().record()).unwrap().is_some()
    }

    fn recover(&self, owner: &Owner, what: &str) {
        assert!(owner.recover_at(&self.vault, &self.records).ct_eq(&owner.key), "{what}: a record is lost");
    }

    fn delete(&self, owner: &Owner) {
        let request = owner.pair.as_ref().unwrap().delete(&owner.update_key(&self.address));
        self.vault.delete(&self.records, &request).unwrap();
    }

    /// What happened to a record. It leads on from what its owner has seen.
    fn history(&self, kept: &Kept, what: &str) -> History {
        let request = kept.owner.pair.as_ref().unwrap().history(&kept.owner.update_key(&self.address));
        let reply = self.vault.history(&self.records, &request, now(), &mut rng()).unwrap();
        reply.since(kept.seen.as_ref()).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    fn guess(&self, message: &[u8]) -> GuessReply {
        self.vault.guess(&self.records, &GuessRequest::decode(message).unwrap(), now(), &mut rng()).unwrap()
    }

    /// Every answer was counted, and what was not answered is answered now, and counted once.
    fn check(&self, kept: &mut Kept, sent: &[Sent], tally: &mut Tally, what: &str) {
        let answered: Vec<(&Sent, u8)> = sent.iter().filter_map(|one| Some((one, one.left?))).collect();
        check_order(&answered, what);
        let counted = |history: &History| {
            let is_new = |number| kept.seen.is_none_or(|seen| number > seen.seq());
            history.events.iter().filter(|event| is_new(event.number) && event.kind == EventKind::Guessed).count()
        };
        let history = self.history(kept, what);
        let before = counted(&history);
        assert!((answered.len()..=sent.len()).contains(&before), "{what}: {before} counted of {sent:?}");
        assert_eq!(usize::from(history.left), 10 - before, "{what}");
        assert!(answered.iter().all(|(_, left)| *left >= history.left), "{what}");
        let lost: Vec<&Sent> = sent.iter().filter(|one| one.left.is_none()).collect();
        for one in &lost {
            let replies = [(); 2].map(|()| self.guess(&one.message.0));
            assert!(replies[0].answers() == replies[1].answers() && replies[0].left() == replies[1].left(), "{what}");
        }
        let after = counted(&self.history(kept, what));
        // The last one that was counted is known again; one that another came after is not.
        let is_known = before > answered.len() && answered.iter().all(|(_, left)| *left > history.left);
        let least = lost.len() - usize::from(is_known);
        // Unless another one was sent again before it.
        let most = if lost.len() == 1 { least } else { lost.len() };
        assert!((least..=most).contains(&(after - before)), "{what}: {before}, then {after} counted of {sent:?}");
        self.recover(&kept.owner, what);
        kept.seen = Some(self.history(kept, what).seen);
        tally.answered += answered.len();
        tally.counted_and_not_answered += before - answered.len();
    }
}

/// Guesses at each record until it has to wait, or until the vault is dead.
fn guess_at_each(vault: &VaultAddress, records: &[Kept], first: usize) -> Vec<(usize, Sent)> {
    let (mut all, https) = (Vec::new(), Https::without_retries());
    for turn in 0..records.len() {
        let record = (first + turn) % records.len();
        let pair = records[record].owner.pair.as_ref().unwrap();
        loop {
            let (message, began) = (guess(pair, "not the password"), Instant::now());
            let left = match https.post(vault, GuessRequest::PATH, &message) {
                Ok(reply) if reply.status == 200 => Some(GuessReply::decode(&reply.body).unwrap().left()),
                // It has to wait, and was not counted.
                Ok(reply) => {
                    assert_eq!(reply.status, 429, "{}", String::from_utf8_lossy(&reply.body));
                    break;
                }
                Err(_) => None,
            };
            all.push((record, Sent { message: Message(message), began, ended: Instant::now(), left }));
            if left.is_none() {
                return all;
            }
        }
    }
    all
}

/// No two answers had the same place, and none that came later had an earlier one: the counter is linearizable.
fn check_order(answered: &[(&Sent, u8)], what: &str) {
    for (number, (one, left)) in answered.iter().enumerate() {
        for (other, other_left) in &answered[number + 1..] {
            assert_ne!(left, other_left, "{what}: one guess was free");
            let is_before = one.ended <= other.began;
            assert!(!is_before || left > other_left, "{what}: {one:?} {other:?}");
            let is_after = other.ended <= one.began;
            assert!(!is_after || left < other_left, "{what}: {one:?} {other:?}");
        }
    }
}

/// Whatever a rekey has got to, the records open, are served, and the next one goes on.
#[test]
fn a_killed_rekey_has_lost_no_record_and_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    let served = Served::start(&folder, &[]);
    let mut owners: Vec<Owner> = (0..RECORDS).map(|_| Owner::new()).collect();
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
