//! What a record is to its users, and whether a history has an order in which it makes sense.
//!
//! The search is that of Wing and Gong (Testing and Verifying Concurrent Objects, 1993), which forgets no state it has been in
//! (Lowe, Testing for linearizability, 2017).

use std::collections::{BTreeMap, HashSet};

use hushkeep_vault::server::Policy;

/// What somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// A guess of this number at the first password, or the same once more.
    Guess(u64),
    /// The proof of a guess, which was right.
    Prove(u64),
    /// The second password is evaluated, put beside the first, and made the one that holds.
    Begin,
    Stage,
    Commit,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// So many guesses are left after one.
    Left(u8),
    /// Whether a proof gave guesses back.
    Reset(bool),
    Changed,
    Destroyed,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Beside {
    Nothing,
    Staged,
    Committed,
}

/// A record with a first password, to whom everything happens at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    guesses: u8,
    most_failures: u8,
    /// Counts every change.
    seq: u64,
    used: u8,
    failures: u8,
    /// The last guess, which costs nothing once more.
    last: Option<u64>,
    /// By which change each guess was counted.
    counted: BTreeMap<u64, u64>,
    /// In which state the change of the password began.
    begun: Option<u64>,
    second: Beside,
}

impl Model {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            guesses: policy.guesses,
            most_failures: policy.failures,
            seq: 0,
            used: 0,
            failures: 0,
            last: None,
            counted: BTreeMap::new(),
            begun: None,
            second: Beside::Nothing,
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
                let is_busy = next.told == Told::Busy && has_company(history, next);
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
    fn tell(&mut self, act: Act) -> Told {
        match act {
            Act::Guess(number) => self.guess(number),
            Act::Prove(number) => Told::Reset(self.prove(number)),
            Act::Begin => {
                self.begun = Some(self.seq);
                Told::Changed
            }
            Act::Stage => match self.begun == Some(self.seq) {
                true => {
                    (self.second, self.seq) = (Beside::Staged, self.seq + 1);
                    Told::Changed
                }
                false => Told::Meanwhile,
            },
            Act::Commit => match self.second {
                Beside::Staged => {
                    (self.used, self.failures, self.last) = (0, 0, None);
                    (self.second, self.seq) = (Beside::Committed, self.seq + 1);
                    Told::Changed
                }
                Beside::Nothing | Beside::Committed => Told::NoSuchPassword,
            },
        }
    }

    fn guess(&mut self, number: u64) -> Told {
        if self.second == Beside::Committed {
            return Told::NoSuchPassword;
        }
        if self.last != Some(number) {
            if self.left() == 0 {
                return Told::Destroyed;
            }
            (self.used, self.failures, self.seq) = (self.used + 1, self.failures + 1, self.seq + 1);
            self.last = Some(number);
            self.counted.insert(number, self.seq);
        }
        Told::Left(self.left())
    }

    /// Whether the guesses are there again.
    fn prove(&mut self, number: u64) -> bool {
        if self.counted.get(&number) != Some(&self.seq) || self.second == Beside::Committed {
            return false;
        }
        (self.used, self.failures, self.last, self.seq) = (0, self.failures - 1, None, self.seq + 1);
        true
    }

    fn left(&self) -> u8 {
        (self.guesses - self.used).min(self.most_failures - self.failures)
    }
}

/// Whether something else was done at the same time.
fn has_company(history: &[Done], one: &Done) -> bool {
    history.iter().any(|other| !std::ptr::eq(one, other) && one.began < other.ended && other.began < one.ended)
}
