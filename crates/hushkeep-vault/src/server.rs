//! The vault's side (spec/vault.md §6 to §9): what becomes of a request, given the record's row, the time and random numbers.
//!
//! Nothing here waits for the network. An [`AttemptStore`] keeps the rows; whatever it has said is done must outlive a power
//! cut.

mod answer;
mod due;
mod guess;
mod history;
mod memory;
mod owner;
mod record;
mod rekey;
mod secrets;
mod slot;
mod store;
mod ticket;

use opaque_ke::ServerSetup;
use rand_core::CryptoRng;

use crate::message::Head;
use crate::name::{RecordId, VaultId};
use crate::suite::Suite;
pub use answer::{Answered, Refused};
pub use guess::{CountedGuess, GuessRefused, ProofRefused, Proven};
pub use memory::{MemoryStore, Records};
pub use owner::ChangeRefused;
use record::{Columns, Happened, Record};
pub use rekey::{ResealError, RowState};
pub use secrets::{Kek, Secrets, SecretsError};
pub use store::{AttemptStore, ROW_LEN, Row, StoreError};

/// How many guesses, and how fast (spec/vault.md §7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// So many guesses without a right one destroy the record.
    pub guesses: u8,
    /// How long each guess must wait after the one before, in seconds; the last for all others.
    pub waits: [u32; 9],
    /// So many wrong guesses at one password destroy the record, whatever right ones lie between.
    pub failures: u8,
    /// How many passwords may be staged a day.
    pub stagings_a_day: u8,
}

impl Policy {
    /// Ten guesses: three at once, the others after 1 min, 10 min, 1 h, 6 h, and a day each.
    pub const DEFAULT: Self =
        Self { guesses: 10, waits: [0, 0, 0, 60, 600, 3600, 21_600, 86_400, 86_400], failures: 50, stagings_a_day: 5 };

    /// How long guess number `number` waits, in seconds. The first is number 1.
    fn wait_before(&self, number: u8) -> u32 {
        let [.., last] = self.waits;
        self.waits.get(usize::from(number).saturating_sub(1)).copied().unwrap_or(last)
    }
}

/// How long the answer to a guess holds, in seconds: as long it is repeated for nothing, and its proof is taken.
pub(crate) const TICKET_SECONDS: i64 = 600;

/// A record that cannot be read.
#[derive(Debug)]
enum LoadError {
    Damaged,
    Store(StoreError),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

macro_rules! load_errors {
    ($($error:ident),*) => {$(
        impl From<LoadError> for $error {
            fn from(error: LoadError) -> Self {
                match error {
                    LoadError::Damaged => Self::Damaged,
                    LoadError::Store(error) => Self::Store(error),
                }
            }
        }
    )*};
}
load_errors!(GuessRefused, ChangeRefused);

/// A vault: its keys and its policy. Its records are in a store.
pub struct Vault {
    secrets: Secrets,
    setup: ServerSetup<Suite>,
    policy: Policy,
}

impl Vault {
    /// A vault with these keys.
    pub fn new(secrets: Secrets, policy: Policy) -> Result<Self, SecretsError> {
        let setup = ServerSetup::deserialize(secrets.opaque()).map_err(|_| SecretsError)?;
        Ok(Self { secrets, setup, policy })
    }

    /// Its keys.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// What its clients know it by.
    pub fn id(&self) -> VaultId {
        self.secrets.id()
    }

    /// Its public key in OPAQUE.
    fn opaque_key(&self) -> [u8; 32] {
        self.setup.keypair().public().serialize().into()
    }

    /// Where a record stands.
    fn head(&self, record: &Record) -> Head {
        record.head(self.left(record))
    }

    /// How many guesses are left.
    fn left(&self, record: &Record) -> u8 {
        let columns = &record.columns;
        let of_all = self.policy.failures.saturating_sub(columns.failures);
        // Also where the policy is another now.
        if columns.is_destroyed != 0 { 0 } else { self.policy.guesses.saturating_sub(columns.used).min(of_all) }
    }

    /// Whether there is no guess any more.
    fn is_spent(&self, columns: &Columns) -> bool {
        columns.used >= self.policy.guesses || columns.failures >= self.policy.failures
    }

    /// Reads a record, and destroys it if it is due: its guesses are spent, and the answer to the last one holds no more.
    fn load(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<(Row, Record)>, LoadError> {
        let Some(row) = store.load(id)? else { return Ok(None) };
        let mut record = Record::open(&self.secrets, id, &row).ok_or(LoadError::Damaged)?;
        let columns = &record.columns;
        if columns.is_destroyed != 0 || !self.is_spent(columns) || guess::is_answerable(columns, now) {
            return Ok(Some((row, record)));
        }
        record.slots.erase();
        record.columns.is_destroyed = 1;
        let destroyed = self.after(Happened::Destroyed, id, record, now, rng);
        let (record, new, event) = destroyed.ok_or(LoadError::Damaged)?;
        match store.replace(id, &row, &new, &event)? {
            true => Ok(Some((new, record))),
            // Another was faster.
            false => self.load(store, id, now, rng),
        }
    }
}
