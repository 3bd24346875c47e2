//! Where rows are kept. A store knows neither what is in them nor what they mean.

use std::error::Error;
use std::ops::RangeInclusive;

use crate::message::Event;
use crate::name::RecordId;

/// The length of a row, in bytes.
pub const ROW_LEN: usize = super::record::Sealed::LEN;

/// A record as it is kept: sealed and proven, but for when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The number of its last change.
    pub seq: u64,
    /// When the vault is to look at the record again, whoever asks for it, in seconds since 1970-01-01 00:00:00 UTC.
    pub due: Option<i64>,
    /// What only the vault reads: [`ROW_LEN`] bytes.
    pub bytes: Vec<u8>,
}

/// Keeps rows and events.
///
/// What a call has said is done must be durable: if a counted guess is forgotten, it was free. Calls for one record take effect
/// one after the other (they are linearizable).
pub trait AttemptStore: Send + Sync {
    /// A record's row.
    fn load(&self, record: &RecordId) -> Result<Option<Row>, StoreError>;

    /// Keeps a new record and its first event; `false` if there is one of this id.
    fn insert(&self, record: &RecordId, row: &Row, event: &Event) -> Result<bool, StoreError>;

    /// Replaces a row by another, and keeps what happened; `false` if the row is not that one any more, in all its bytes. (A
    /// record that was deleted and registered again may have got to the same number.)
    fn replace(&self, record: &RecordId, row: &Row, new: &Row, event: &Event) -> Result<bool, StoreError>;

    /// Replaces a row by the same one, sealed anew, or due at another time; `false` if it is not that one any more.
    fn reseal(&self, record: &RecordId, row: &Row, new: &Row) -> Result<bool, StoreError>;

    /// Deletes a record and its events; `false` if its row is not this one any more.
    fn delete(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError>;

    /// Records that are due at some time outside of these, so many at most.
    fn due(&self, waiting: RangeInclusive<i64>, count: usize) -> Result<Vec<RecordId>, StoreError>;

    /// The newest events of a record up to number `until`, the oldest first.
    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError>;
}

/// A store that does not answer. Whether it did what it was asked for is not known.
#[derive(Debug, thiserror::Error)]
#[error("the vault cannot keep or read its records")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);
