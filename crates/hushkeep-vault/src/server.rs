//! The vault's side (spec/vault.md §6 to §9): what becomes of a request, given the record's row, the time and random numbers.
//!
//! Nothing here waits for the network. An [`AttemptStore`] keeps the rows; whatever it has said is done must outlive a power
//! cut.

mod answer;
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

use crate::message::{Event, Head};
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

/// So many records are destroyed at a time; what is left waits for the next.
const MOST_DESTROYED: usize = 4096;

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

    /// Destroys records whose guesses are spent, and the answers to them expired: to be called each minute, for nobody may ask for
    /// them any more. It takes some thousand at a time. Returns how many could not be destroyed, for they are damaged.
    pub fn destroy_due(&self, store: &dyn AttemptStore, now: i64, rng: &mut dyn CryptoRng) -> Result<u64, StoreError> {
        let mut damaged = 0;
        for id in store.due(now, MOST_DESTROYED)? {
            match self.load(store, &id, now, rng) {
                Ok(_) => {}
                Err(LoadError::Damaged) => damaged += 1,
                Err(LoadError::Store(error)) => return Err(error),
            }
        }
        Ok(damaged)
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

    /// The record after a change, as it is kept, and the event to keep with it. One without guesses is due when the answer to
    /// the last one holds no more.
    fn after(
        &self,
        happened: Happened,
        id: &RecordId,
        record: Record,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Option<(Record, Row, Event)> {
        let (record, mut row, event) = record.after(happened, (&self.secrets, id), now, rng)?;
        let columns = &record.columns;
        if columns.is_destroyed == 0 && self.is_spent(columns) {
            row.due = Some(columns.guessed_at.saturating_add(TICKET_SECONDS + 1));
        }
        Some((record, row, event))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::slot::Slot;
    use super::*;
    use crate::message::Staged;
    use crate::name::Version;

    const NOW: i64 = 1_800_000_000;
    const ID: RecordId = RecordId::from_bytes([7; 32]);

    /// Nobody asks for the record any more: what is left of it must not wait for that.
    #[test]
    fn a_spent_record_is_erased_once_its_last_answer_has_expired() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let vault = Vault::new(Secrets::generate(NOW, &mut rng), Policy::DEFAULT).unwrap();
        let store = MemoryStore::default();
        let staged = |byte| {
            let mut bytes = Staged::empty().encode();
            bytes[1..].fill(byte);
            Staged::decode(&bytes).unwrap()
        };
        let slot =
            |byte| Some(Slot { version: Version::from_bytes([byte; 16]), secret: [byte; 32], staged: staged(byte) });
        let mut spent = Record::new();
        (spent.slots.active, spent.slots.pending) = (slot(1), slot(2));
        (spent.columns.used, spent.columns.guessed_at) = (Policy::DEFAULT.guesses, NOW);
        let (_, row, event) = vault.after(Happened::Guessed, &ID, spent, NOW, &mut rng).unwrap();
        store.insert(&ID, &row, &event).unwrap();
        assert_eq!(row.due, Some(NOW + 601));

        assert_eq!(vault.destroy_due(&store, NOW + TICKET_SECONDS, &mut rng).unwrap(), 0);
        assert_eq!(store.load(&ID).unwrap(), Some(row), "its last answer still holds");
        assert_eq!(vault.destroy_due(&store, NOW + TICKET_SECONDS + 1, &mut rng).unwrap(), 0);
        let destroyed = store.load(&ID).unwrap().unwrap();
        assert_eq!((destroyed.seq, destroyed.due), (2, None));
        let record = Record::open(vault.secrets(), &ID, &destroyed).unwrap();
        let generous = Policy { guesses: 20, ..Policy::DEFAULT };
        let secrets = Secrets::decode(&vault.secrets().encode()).unwrap();
        assert_eq!(Vault::new(secrets, generous).unwrap().left(&record), 0);
        for (slot, byte) in [record.slots.active, record.slots.pending].into_iter().zip([1, 2]) {
            let slot = slot.unwrap();
            assert_eq!((slot.version, slot.secret), (Version::from_bytes([byte; 16]), [0; 32]));
            let owner = Staged { update_key: slot.staged.update_key, ..Staged::empty() };
            assert!(slot.staged == owner && owner.update_key == [byte; 32]);
        }
        assert_eq!(store.events(&ID, 2, 1).unwrap(), [Event { seq: 2, time: NOW + 601, kind: 5 }]);
    }

    /// One that nobody can destroy does not keep the others.
    #[test]
    fn a_damaged_record_that_is_due_is_counted_and_left() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let vault = Vault::new(Secrets::generate(NOW, &mut rng), Policy::DEFAULT).unwrap();
        let store = MemoryStore::default();
        let row = Row { seq: 1, due: Some(NOW), bytes: vec![0; ROW_LEN] };
        store.insert(&ID, &row, &Event { seq: 1, time: NOW, kind: 3 }).unwrap();
        assert_eq!(vault.destroy_due(&store, NOW, &mut rng).unwrap(), 1);
        assert_eq!(store.load(&ID).unwrap(), Some(row));
    }
}
