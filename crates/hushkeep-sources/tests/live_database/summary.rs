//! What all rounds came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::log::History;

#[derive(Debug, Default)]
pub(crate) struct Summary {
    rounds: u64,
    pub(crate) backups: u64,
    /// Backups that told that the database changed while they read it.
    pub(crate) told_changed: u64,
    /// Backups that told that they were not done in the time they had.
    pub(crate) told_too_long: u64,
    pub(crate) kills: u64,
    lives: u64,
    killed_inside: u64,
    commits: u64,
    done: BTreeMap<String, u64>,
    refused: u64,
    longest: Duration,
}

impl Summary {
    /// Adds a round, after everything in it was found to be right.
    pub(crate) fn add(&mut self, history: &History) {
        self.rounds += 1;
        self.lives += history.lives;
        self.killed_inside += history.ended_inside;
        self.commits += history.committed.len() as u64;
        for (what, times) in &history.done {
            *self.done.entry(what.clone()).or_default() += times;
        }
        self.refused += history.refused.len() as u64;
        self.longest = self.longest.max(history.longest);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, backups, told_changed, told_too_long, kills, .. } = self;
        let Self { lives, killed_inside, commits, refused, longest, .. } = self;
        let done = |what| self.done.get(what).copied().unwrap_or_default();
        let whole = backups - told_changed - told_too_long;
        write!(
            f,
            "{rounds} rounds, {backups} backups: {whole} whole and each one committed state, {told_changed} told that it \
             changed, {told_too_long} \
             told that it took too long; the writer: {commits} commits, {} vacuums, {} checkpoints ({} kept \
             away), {} switches of its journal ({} refused), {lives} lives, {kills} kills, {killed_inside} of them \
             inside a transaction, {refused} times busy, all as long as it chose to wait; longest step {longest:?}",
            done("vacuum"),
            done("checkpoint"),
            done("busy-checkpoint"),
            done("switch-of-journal"),
            done("refused-switch-of-journal"),
        )
    }
}
