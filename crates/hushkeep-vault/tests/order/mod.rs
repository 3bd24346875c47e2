//! What a record is to its users, and whether a history has an order in which it makes sense.
//!
//! The search is that of Wing and Gong (Testing and Verifying Concurrent Objects, 1993), which forgets no state it has been in
//! (Lowe, Testing for linearizability, 2017).

use std::collections::{BTreeMap, HashSet};

use hushkeep_vault::server::Policy;

/// How long an answer holds, in seconds (spec/vault.md §7.1).
const ANSWER_HOLDS: u64 = 600;

/// What somebody asks for, and at what time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Act {
    pub(crate) kind: Kind,
    pub(crate) now: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A guess. The same one may be sent more than once, by whoever it is.
    Guess {
        guess: Guess,
        attempt: u64,
    },
    /// The proof that an answered attempt was right, for one of the passwords.
    Prove {
        attempt: u64,
        password: Password,
    },
    /// The second password is evaluated, put beside the first, and made the one that holds.
    Begin,
    Stage,
    Commit,
    /// The record goes, with all its passwords.
    Delete,
    /// The vault destroys by itself what is due.
    LookAfter,
}

/// A guess of this number, at the first password, or at both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Guess {
    pub(crate) number: u64,
    pub(crate) at_both: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Password {
    First,
    Second,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// So many guesses are left after one.
    Left(u8),
    /// Whether a proof gave guesses back.
    Reset(bool),
    /// A proof, or what was to be staged, came too late.
    Expired,
    Changed,
    /// Nothing is said of what was destroyed.
    LookedAfter,
    Locked(u32),
    Destroyed,
    NoRecord,
    NoSuchPassword,
    Meanwhile,
    Busy,
}

/// Something that was done between two ticks of the clock.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) act: Act,
    pub(crate) told: Told,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// A guess that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Counted {
    guess: Guess,
    seq: u64,
    time: i64,
}

/// A record, to which everything happens at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    policy: [u32; 9],
    guesses: u8,
    most_failures: u8,
    /// The state of all that is kept; `None` if there is no record.
    record: Option<Record>,
    /// How each attempt was counted that was answered.
    answered: BTreeMap<u64, Counted>,
    /// In which state the change of the password began, and when.
    begun: Option<(u64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Record {
    /// Counts every change.
    seq: u64,
    active: Option<Password>,
    pending: Option<Password>,
    is_destroyed: bool,
    used: u8,
    failures: u8,
    not_before: i64,
    /// The last guess, and whether it costs nothing once more.
    last: Option<(Counted, bool)>,
}

impl Model {
    /// After the first password was registered.
    pub(crate) fn new(policy: &Policy) -> Self {
        let active = Some(Password::First);
        Self {
            policy: policy.waits,
            guesses: policy.guesses,
            most_failures: policy.failures,
            record: Some(Record { seq: 2, active, ..Record::new() }),
            answered: BTreeMap::new(),
            begun: None,
        }
    }

    /// Whether there is an order of what was done, in which nothing comes before what had ended when it began, and in which
    /// everything is told as it was.
    pub(crate) fn explains(self, history: &[Done]) -> bool {
        let (mut seen, mut ways) = (HashSet::new(), vec![(0_u64, self)]);
        while let Some((done, model)) = ways.pop() {
            if done.count_ones() as usize == history.len() {
                return true;
            }
            let left = || history.iter().enumerate().filter(|(number, _)| done >> number & 1 == 0);
            let first_end = left().map(|(_, one)| one.ended).min();
            for (number, next) in left().filter(|(_, one)| Some(one.began) < first_end) {
                let mut after = model.clone();
                let is_busy = next.told == Told::Busy && is_disturbed(history, next);
                if is_busy || after.tell(next.act) == next.told {
                    let way = (done | 1 << number, after);
                    if seen.insert(way.clone()) {
                        ways.push(way);
                    }
                }
            }
        }
        false
    }

    /// Does something, and tells what a vault must tell.
    fn tell(&mut self, Act { kind, now }: Act) -> Told {
        match kind {
            Kind::Prove { attempt, password } => self.prove(attempt, password, now),
            Kind::Stage if self.begun.is_none_or(|(_, time)| now.abs_diff(time) > ANSWER_HOLDS) => Told::Expired,
            Kind::Delete => {
                self.record = None;
                Told::Changed
            }
            Kind::LookAfter => {
                self.destroy_if_due(now);
                Told::LookedAfter
            }
            _ => {
                self.destroy_if_due(now);
                self.change(kind, now)
            }
        }
    }

    fn change(&mut self, kind: Kind, now: i64) -> Told {
        if self.record.is_some_and(|record| record.is_destroyed) {
            return Told::Destroyed;
        }
        match kind {
            Kind::Guess { guess, attempt } => self.guess(guess, attempt, now),
            Kind::Begin => {
                self.begun = Some((self.seq(), now));
                Told::Changed
            }
            Kind::Stage if self.begun.is_none_or(|(seq, _)| seq != self.seq()) => Told::Meanwhile,
            Kind::Stage => {
                let record = self.record.get_or_insert(Record::new());
                (record.pending, record.seq) = (Some(Password::Second), record.seq + 1);
                Told::Changed
            }
            _ => self.commit(),
        }
    }

    fn commit(&mut self) -> Told {
        let Some(record) = &mut self.record else { return Told::NoRecord };
        if record.pending != Some(Password::Second) {
            return Told::NoSuchPassword;
        }
        *record = Record { seq: record.seq + 1, active: record.pending, ..Record::new() };
        Told::Changed
    }

    fn guess(&mut self, guess: Guess, attempt: u64, now: i64) -> Told {
        let Some(mut record) = self.record else { return Told::NoRecord };
        let has = |password| record.active == Some(password) || record.pending == Some(password);
        if !(has(Password::First) || (guess.at_both && has(Password::Second))) {
            return Told::NoSuchPassword;
        }
        let known = record.last.filter(|(last, is_known)| *is_known && last.guess == guess && holds(last, now));
        let counted = match known {
            Some((counted, _)) => counted,
            None if self.left(&record) == 0 => return Told::Destroyed,
            None => {
                if let seconds @ 1.. = self.wait(&record, now) {
                    return Told::Locked(seconds);
                }
                (record.used, record.failures, record.seq) = (record.used + 1, record.failures + 1, record.seq + 1);
                record.not_before = now + i64::from(self.wait_before(record.used + 1));
                Counted { guess, seq: record.seq, time: now }
            }
        };
        record.last = Some((counted, true));
        self.record = Some(record);
        self.answered.insert(attempt, counted);
        Told::Left(self.left(&record))
    }

    fn prove(&mut self, attempt: u64, password: Password, now: i64) -> Told {
        let Some(counted) = self.answered.get(&attempt).filter(|counted| holds(counted, now)) else {
            return Told::Expired;
        };
        let Some(record) = &mut self.record else { return Told::Reset(false) };
        if record.seq != counted.seq || record.active.or(record.pending) != Some(password) {
            return Told::Reset(false);
        }
        (record.used, record.failures, record.not_before) = (0, record.failures - 1, 0);
        record.last = record.last.map(|(last, _)| (last, false));
        record.seq += 1;
        Told::Reset(true)
    }

    fn destroy_if_due(&mut self, now: i64) {
        let Some(mut record) = self.record else { return };
        let is_answerable = record.last.is_some_and(|(last, _)| holds(&last, now));
        if !record.is_destroyed && self.left(&record) == 0 && !is_answerable {
            (record.is_destroyed, record.seq) = (true, record.seq + 1);
            self.record = Some(record);
        }
    }

    fn seq(&self) -> u64 {
        self.record.map_or(0, |record| record.seq)
    }

    fn left(&self, record: &Record) -> u8 {
        (self.guesses - record.used).min(self.most_failures - record.failures)
    }

    fn wait_before(&self, number: u8) -> u32 {
        self.policy[usize::from(number - 1).min(8)]
    }

    /// Never longer than right after the last guess; not at all where the clock was wrong then.
    fn wait(&self, record: &Record, now: i64) -> u32 {
        let wait = u32::try_from((record.not_before - now).max(0)).unwrap();
        let longest = self.wait_before(record.used + 1);
        if wait > 2 * longest { 0 } else { wait.min(longest) }
    }
}

impl Record {
    fn new() -> Self {
        Self {
            seq: 0,
            active: None,
            pending: None,
            is_destroyed: false,
            used: 0,
            failures: 0,
            not_before: 0,
            last: None,
        }
    }
}

fn holds(counted: &Counted, now: i64) -> bool {
    now.abs_diff(counted.time) <= ANSWER_HOLDS
}

/// Whether something that changed the record was done at the same time.
fn is_disturbed(history: &[Done], one: &Done) -> bool {
    let changes = |other: &Done| match other.told {
        Told::Left(_) | Told::Reset(true) => true,
        Told::Changed => other.act.kind != Kind::Begin,
        // The first who finds that it is due destroys it.
        Told::Destroyed | Told::LookedAfter => true,
        _ => false,
    };
    history
        .iter()
        .any(|other| !std::ptr::eq(one, other) && one.began < other.ended && other.began < one.ended && changes(other))
}
