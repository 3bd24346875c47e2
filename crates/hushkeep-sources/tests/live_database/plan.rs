//! What one round is like, drawn from its seed: the test and the writer's process draw the same.

use std::time::Duration;

/// One round: how the database is made, and who waits for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) write_ahead_log: bool,
    pub(crate) page_size: u32,
    /// None, full or incremental.
    pub(crate) auto_vacuum: u8,
    /// How long the writer waits for others.
    pub(crate) busy_timeout: Duration,
    /// How long a backup may keep the database in one state.
    pub(crate) hold_limit: Duration,
    /// How long the writer lives at most before it is started anew.
    pub(crate) longest_life: Duration,
    /// Whether the writer ends in good order at last, or is killed.
    pub(crate) ends_well: bool,
}

/// What the writer keeps to from one start to the next.
#[derive(Debug)]
pub(crate) struct Life {
    /// How a transaction is undone while there is no write-ahead log.
    pub(crate) rollback_journal: &'static str,
    /// In pages. Few make SQLite write to the files in the middle of a transaction.
    pub(crate) cache_size: u32,
    /// After how many pages a log is moved into the database; 0 is never.
    pub(crate) checkpoint_after: u32,
    pub(crate) synchronous: &'static str,
    /// To what length a log or a journal that is kept is cut; -1 is never.
    pub(crate) journal_size_limit: i32,
}

impl Plan {
    /// Longer than any backup holds the database, by so much that a busy machine makes no difference.
    pub(crate) const PATIENT: Duration = Duration::from_secs(20);

    pub(crate) fn of(seed: u64) -> Self {
        let random = &mut fastrand::Rng::with_seed(seed);
        let impatient = [Duration::ZERO, Duration::from_millis(30)];
        Self {
            seed,
            // Every other round, so that a few rounds have both.
            write_ahead_log: seed.is_multiple_of(2),
            page_size: one_of(random, [512, 1024, 4096, 16384, 65536]),
            auto_vacuum: random.u8(0..3),
            busy_timeout: if random.bool() { Self::PATIENT } else { one_of(random, impatient) },
            // The first is over in the middle of a reading, the others never.
            hold_limit: Duration::from_millis(one_of(random, [2, 5000, 5000, 5000])),
            // The longer, the more backups see one life alone, and must be whole.
            longest_life: Duration::from_millis(one_of(random, [200, 3000])),
            ends_well: random.bool(),
        }
    }

    pub(crate) fn life(&self, number: u32) -> Life {
        let random = &mut self.random(number);
        Life {
            rollback_journal: one_of(random, ["DELETE", "TRUNCATE", "PERSIST"]),
            cache_size: one_of(random, [1, 10, 2000]),
            checkpoint_after: one_of(random, [0, 20, 1000]),
            synchronous: one_of(random, ["OFF", "NORMAL"]),
            journal_size_limit: one_of(random, [-1, -1, 0, 20_000]),
        }
    }

    /// The chances of one life of the writer.
    pub(crate) fn random(&self, life: u32) -> fastrand::Rng {
        fastrand::Rng::with_seed((self.seed << 16) + u64::from(life) + 1)
    }
}

pub(crate) fn one_of<T: Copy, const N: usize>(random: &mut fastrand::Rng, choices: [T; N]) -> T {
    choices[random.usize(..N)]
}
