//! What the kills came to.

use std::collections::BTreeMap;
use std::fmt;

use crate::program::Run;

/// Counts over all worlds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    commands: BTreeMap<&'static str, Counts>,
    /// The most temporary files that ever lay in the repository at once, and in a device's home.
    pub(crate) most_left: [usize; 2],
    /// How many snapshots were restored, once after each kill.
    pub(crate) restores: u64,
    /// Packs that prunes deleted, and put together anew, when they were run again.
    pub(crate) dropped: u64,
    pub(crate) repacked: u64,
}

#[derive(Debug, Default)]
struct Counts {
    /// Kills that ended a running process.
    kills: u64,
    /// Kills that came when the process had ended.
    late: u64,
    /// Those killed that had done all that others can see.
    effective: u64,
}

impl Summary {
    /// How many running processes were killed.
    pub(crate) fn kills(&self) -> u64 {
        self.commands.values().map(|counts| counts.kills).sum()
    }

    /// Counts a command that was to be killed.
    pub(crate) fn add(&mut self, command: &'static str, was_killed: bool, took_effect: bool) {
        let counts = self.commands.entry(command).or_default();
        if was_killed {
            counts.kills += 1;
            counts.effective += u64::from(took_effect);
        } else {
            counts.late += 1;
        }
    }

    /// Notes how many temporary files lie in the repository and in the device's home.
    pub(crate) fn note_left(&mut self, left: [usize; 2]) {
        self.most_left = [0, 1].map(|place| self.most_left[place].max(left[place]));
    }

    /// Notes what a prune told, alone or after forgetting.
    pub(crate) fn note_pruned(&mut self, run: &Run) {
        for told in run.told("summary").iter().chain(&run.told("prune")) {
            let packs = |amount: &str| told[amount]["packs"].as_u64().unwrap_or(0);
            self.dropped += packs("dropped");
            self.repacked += packs("repacked");
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late: u64 = self.commands.values().map(|counts| counts.late).sum();
        let effective: u64 = self.commands.values().map(|counts| counts.effective).sum();
        write!(f, "kills: {} ({effective} after it had taken effect), {late} too late;", self.kills())?;
        for (command, Counts { kills, late, effective }) in &self.commands {
            write!(f, " {command} {kills} ({effective}) {late};")?;
        }
        write!(f, " restored {} snapshots;", self.restores)?;
        write!(f, " pruned again, {} packs went and {} were put together;", self.dropped, self.repacked)?;
        let [repository, home] = self.most_left;
        write!(f, " at most {repository} and {home} temporary files left")
    }
}
