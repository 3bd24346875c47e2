//! Records in memory, for tests: a vault that forgets its counts when it ends is none.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{AttemptStore, Row, StoreError};
use crate::message::Event;
use crate::name::RecordId;

/// Rows and events in memory.
#[derive(Default)]
pub struct MemoryStore(Mutex<Records>);

/// A row and its events for each record.
pub type Records = HashMap<RecordId, (Row, Vec<Event>)>;

impl MemoryStore {
    /// All that is kept, to be looked at or put back.
    pub fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AttemptStore for MemoryStore {
    fn load(&self, record: &RecordId) -> Result<Option<Row>, StoreError> {
        Ok(self.records().get(record).map(|(row, _)| row.clone()))
    }

    fn insert(&self, record: &RecordId, row: &Row, event: &Event) -> Result<bool, StoreError> {
        let mut records = self.records();
        if records.contains_key(record) {
            return Ok(false);
        }
        records.insert(*record, (row.clone(), vec![event.clone()]));
        Ok(true)
    }

    fn replace(&self, record: &RecordId, row: &Row, new: &Row, event: &Event) -> Result<bool, StoreError> {
        let mut records = self.records();
        let found = records.get_mut(record).filter(|(kept, _)| kept == row);
        let Some((kept, events)) = found else { return Ok(false) };
        *kept = new.clone();
        events.push(event.clone());
        Ok(true)
    }

    fn reseal(&self, record: &RecordId, row: &Row, new: &Row) -> Result<bool, StoreError> {
        let mut records = self.records();
        let found = records.get_mut(record).filter(|(kept, _)| kept == row);
        Ok(found.map(|(kept, _)| *kept = new.clone()).is_some())
    }

    fn delete(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError> {
        let mut records = self.records();
        let is_same = records.get(record).is_some_and(|(kept, _)| kept == row);
        Ok(is_same && records.remove(record).is_some())
    }

    fn due(&self, waiting: RangeInclusive<i64>, count: usize) -> Result<Vec<RecordId>, StoreError> {
        let records = self.records();
        let due = records.iter().filter(|(_, (row, _))| row.due.is_some_and(|due| !waiting.contains(&due)));
        Ok(due.take(count).map(|(id, _)| *id).collect())
    }

    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        let records = self.records();
        let events = records.get(record).map(|(_, events)| events.as_slice()).unwrap_or_default();
        let events: Vec<&Event> = events.iter().filter(|event| event.seq <= until).collect();
        Ok(events.iter().skip(events.len().saturating_sub(count)).copied().cloned().collect())
    }
}
