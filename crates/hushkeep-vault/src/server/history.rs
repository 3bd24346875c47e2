//! What happened to a record, for its owner (spec/vault.md §8).

use rand_core::CryptoRng;

use super::Vault;
use super::owner::ChangeRefused;
use super::store::AttemptStore;
use crate::message::{EVENTS_TOLD, Event, HistoryReply, HistoryRequest};
use crate::owner::Change;

impl Vault {
    /// The newest events of a record, for whoever holds its update key.
    pub fn history(
        &self,
        store: &dyn AttemptStore,
        request: &HistoryRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<HistoryReply, ChangeRefused> {
        let (_, record) = self.load(store, &request.record, now, rng)?.ok_or(ChangeRefused::Unknown)?;
        let owner = record.slots.owner().ok_or(ChangeRefused::Unknown)?;
        self.check(&request.record, Change::History, owner, &request.signature)?;
        let mut events = [const { Event { seq: 0, time: 0, kind: 0 } }; EVENTS_TOLD];
        // What happened since the record was read is told the next time.
        let told = store.events(&request.record, record.seq, EVENTS_TOLD)?;
        events.iter_mut().zip(told).for_each(|(place, event)| *place = event);
        Ok(HistoryReply { head: self.head(&record), events })
    }
}
