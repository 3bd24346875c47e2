//! What happened to a record, for its owner (spec/vault.md §8).

use rand_core::CryptoRng;

use super::Vault;
use super::owner::ChangeRefused;
use super::store::AttemptStore;
use crate::message::{EVENTS_TOLD, Event, HistoryReply, HistoryRequest};
use crate::owner::Change;

/// So often a history is read again when the record changes meanwhile.
const MAX_RETRIES: usize = 16;

impl Vault {
    /// The newest events of a record, for whoever holds its update key.
    pub fn history(
        &self,
        store: &dyn AttemptStore,
        request: &HistoryRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<HistoryReply, ChangeRefused> {
        let mut loaded = self.load(store, &request.record, now, rng)?;
        for _ in 0..MAX_RETRIES {
            let (row, record) = loaded.ok_or(ChangeRefused::Unknown)?;
            let owner = record.slots.owner().ok_or(ChangeRefused::Unknown)?;
            self.check(&request.record, Change::History, owner, &request.signature)?;
            let mut events = [const { Event { seq: 0, time: 0, kind: 0 } }; EVENTS_TOLD];
            let told = store.events(&request.record, record.seq, EVENTS_TOLD)?;
            events.iter_mut().zip(told).for_each(|(place, event)| *place = event);
            // A change in between makes room among the events: one would be missing, and the history look like another.
            loaded = self.load(store, &request.record, now, rng)?;
            if loaded.as_ref().is_some_and(|(again, _)| *again == row) {
                return Ok(HistoryReply { head: self.head(&record), events });
            }
        }
        Err(ChangeRefused::Busy)
    }
}
