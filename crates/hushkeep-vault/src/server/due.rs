//! Records that a vault looks at by itself (spec/vault.md §7.3): nobody may ask any more for one whose guesses are spent.

use rand_core::CryptoRng;

use super::record::{Columns, Happened, Record};
use super::store::{AttemptStore, Row, StoreError};
use super::{LoadError, TICKET_SECONDS, Vault};
use crate::message::Event;
use crate::name::RecordId;

/// So many records are looked at in one go; what is left waits for the next.
const MOST: usize = 4096;

impl Vault {
    /// Destroys records whose guesses are spent, and the answers to them expired: to be called each minute. It takes some
    /// thousand at a time. Returns how many could not be destroyed, for they are damaged. If the store fails for one, it goes
    /// on with the others, and says so at the end.
    pub fn destroy_due(&self, store: &dyn AttemptStore, now: i64, rng: &mut dyn CryptoRng) -> Result<u64, StoreError> {
        // An answer has expired on both sides of ten minutes: one that is of the future was given by a clock that was wrong.
        let waiting = now.saturating_add(1)..=now.saturating_add(2 * TICKET_SECONDS + 1);
        let (mut damaged, mut failed) = (0, None);
        for id in store.due(waiting, MOST)? {
            match self.look_at(store, &id, now, rng) {
                Ok(()) => {}
                Err(LoadError::Damaged) => damaged += 1,
                Err(LoadError::Store(error)) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(damaged), Err)
    }

    /// Destroys a record if it is to be; else it is due when it should be.
    fn look_at(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), LoadError> {
        if let Some((row, record)) = self.load(store, id, now, rng)?
            && row.due != self.due(&record.columns)
        {
            let new = self.seal(id, &record, rng).ok_or(LoadError::Damaged)?;
            store.reseal(id, &row, &new)?;
        }
        Ok(())
    }

    /// The record after a change, as it is kept, and the event to keep with it.
    pub(super) fn after(
        &self,
        happened: Happened,
        id: &RecordId,
        record: Record,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Option<(Record, Row, Event)> {
        let (record, event) = record.after(happened, now);
        let row = self.seal(id, &record, rng)?;
        Some((record, row, event))
    }

    /// A record as it is kept, under the newest key.
    pub(super) fn seal(&self, id: &RecordId, record: &Record, rng: &mut dyn CryptoRng) -> Option<Row> {
        let bytes = record.seal((&self.secrets, id), rng)?;
        Some(Row { seq: record.seq, due: self.due(&record.columns), bytes })
    }

    /// One without guesses is due when the answer to the last one has expired.
    fn due(&self, columns: &Columns) -> Option<i64> {
        let waits = columns.is_destroyed == 0 && self.is_spent(columns);
        waits.then(|| columns.guessed_at.saturating_add(TICKET_SECONDS + 1))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;
    use crate::message::Staged;
    use crate::name::Version;
    use crate::server::slot::Slot;
    use crate::server::{MemoryStore, Policy, ROW_LEN, Secrets};

    const NOW: i64 = 1_800_000_000;
    const ID: RecordId = RecordId::from_bytes([7; 32]);

    fn empty() -> (Vault, MemoryStore, ChaCha20Rng) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let vault = Vault::new(Secrets::generate(NOW, &mut rng), Policy::DEFAULT).unwrap();
        (vault, MemoryStore::default(), rng)
    }

    /// Keeps a record at which so many guesses were made, the last one now.
    fn guessed_at(vault: &Vault, store: &MemoryStore, used: u8, rng: &mut ChaCha20Rng) -> Row {
        let mut record = Record::new();
        (record.columns.used, record.columns.guessed_at) = (used, NOW);
        let (_, row, event) = vault.after(Happened::Guessed, &ID, record, NOW, rng).unwrap();
        store.insert(&ID, &row, &event).unwrap();
        row
    }

    /// Nobody asks for the record any more: what is left of it must not wait for that.
    #[test]
    fn a_spent_record_is_erased_once_its_last_answer_has_expired() {
        let (vault, store, mut rng) = empty();
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
        let (vault, store, mut rng) = empty();
        let row = Row { seq: 1, due: Some(NOW), bytes: vec![0; ROW_LEN] };
        store.insert(&ID, &row, &Event { seq: 1, time: NOW, kind: 3 }).unwrap();
        assert_eq!(vault.destroy_due(&store, NOW, &mut rng).unwrap(), 1);
        assert_eq!(store.load(&ID).unwrap(), Some(row));
    }

    /// The clock was ahead at the last guess, and was set right.
    #[test]
    fn a_record_that_was_spent_in_the_future_is_destroyed_now() {
        let (vault, store, mut rng) = empty();
        let row = guessed_at(&vault, &store, Policy::DEFAULT.guesses, &mut rng);
        vault.destroy_due(&store, NOW - TICKET_SECONDS, &mut rng).unwrap();
        assert_eq!(store.load(&ID).unwrap(), Some(row), "its last answer holds");
        vault.destroy_due(&store, NOW - TICKET_SECONDS - 1, &mut rng).unwrap();
        assert_eq!(store.load(&ID).unwrap().unwrap().seq, 2);
    }

    /// Whoever writes to the store says that a record is due: it is not destroyed for that, and not looked at again and again.
    #[test]
    fn a_record_with_guesses_left_is_not_due() {
        let (vault, store, mut rng) = empty();
        let row = guessed_at(&vault, &store, Policy::DEFAULT.guesses - 1, &mut rng);
        assert_eq!(row.due, None);
        store.records().get_mut(&ID).unwrap().0.due = Some(0);
        vault.destroy_due(&store, NOW + 1000, &mut rng).unwrap();
        let after = store.load(&ID).unwrap().unwrap();
        assert_eq!((after.seq, after.due), (1, None));
    }
}
