//! Threads of which one runs at a time: at each call of the store, a seed says whose turn it is.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Condvar, Mutex};

use hushkeep_vault::RecordId;
use hushkeep_vault::message::Event;
use hushkeep_vault::server::{AttemptStore, MemoryStore, Row, StoreError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;

/// Whose turn it is.
pub(crate) struct Turns {
    state: Mutex<State>,
    chosen: Condvar,
}

struct State {
    /// How many threads there are that have not ended.
    alive: usize,
    waiting: BTreeSet<usize>,
    turn: Option<usize>,
    random: ChaCha20Rng,
    clock: u64,
}

impl Turns {
    pub(crate) fn new(threads: usize, random: ChaCha20Rng) -> Self {
        let state = State { alive: threads, waiting: BTreeSet::new(), turn: None, random, clock: 0 };
        Self { state: Mutex::new(state), chosen: Condvar::new() }
    }

    /// A number that is greater each time.
    pub(crate) fn tick(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.clock += 1;
        state.clock
    }

    /// Waits until it is this thread's turn.
    fn take(&self, who: usize) {
        let mut state = self.state.lock().unwrap();
        state.waiting.insert(who);
        self.choose(&mut state);
        while state.turn != Some(who) {
            state = self.chosen.wait(state).unwrap();
        }
        state.turn = None;
    }

    fn end(&self) {
        let mut state = self.state.lock().unwrap();
        state.alive -= 1;
        self.choose(&mut state);
    }

    /// Once nobody runs, somebody may.
    fn choose(&self, state: &mut State) {
        if state.waiting.is_empty() || state.waiting.len() < state.alive {
            return;
        }
        let number = usize::try_from(state.random.next_u32()).unwrap() % state.waiting.len();
        let who = *state.waiting.iter().nth(number).unwrap();
        state.waiting.remove(&who);
        state.turn = Some(who);
        self.chosen.notify_all();
    }
}

/// The store as one thread sees it: each call waits for its turn.
pub(crate) struct InTurn<'a> {
    store: &'a MemoryStore,
    turns: &'a Turns,
    who: usize,
}

impl<'a> InTurn<'a> {
    /// Waits for the first turn: nobody runs before all are there.
    pub(crate) fn new(store: &'a MemoryStore, turns: &'a Turns, who: usize) -> Self {
        turns.take(who);
        Self { store, turns, who }
    }

    fn in_turn<T>(&self, act: impl FnOnce() -> T) -> T {
        self.turns.take(self.who);
        act()
    }
}

impl Drop for InTurn<'_> {
    fn drop(&mut self) {
        self.turns.end();
    }
}

impl AttemptStore for InTurn<'_> {
    fn load(&self, record: &RecordId) -> Result<Option<Row>, StoreError> {
        self.in_turn(|| self.store.load(record))
    }

    fn insert(&self, record: &RecordId, row: &Row, event: &Event) -> Result<bool, StoreError> {
        self.in_turn(|| self.store.insert(record, row, event))
    }

    fn replace(&self, record: &RecordId, row: &Row, new: &Row, event: &Event) -> Result<bool, StoreError> {
        self.in_turn(|| self.store.replace(record, row, new, event))
    }

    fn reseal(&self, record: &RecordId, row: &Row, new: &Row) -> Result<bool, StoreError> {
        self.in_turn(|| self.store.reseal(record, row, new))
    }

    fn delete(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError> {
        self.in_turn(|| self.store.delete(record, row))
    }

    fn due(&self, waiting: RangeInclusive<i64>, count: usize) -> Result<Vec<RecordId>, StoreError> {
        self.in_turn(|| self.store.due(waiting, count))
    }

    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        self.in_turn(|| self.store.events(record, until, count))
    }
}
