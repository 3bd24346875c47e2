//! Points in time. The engine has no clock of its own: times and clocks come in from its callers.

use std::sync::Arc;

use hushkeep_core::wire::{Reader, WireError, put_signed, put_varint};

/// A point in time: seconds and nanoseconds since 1970-01-01 00:00:00 UTC.
///
/// Times before 1970 have negative seconds; the nanoseconds always count forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

/// A device's clock. It goes on while the device sleeps.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still.
impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

impl Timestamp {
    /// The first moment of 1970.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// A point in time, unless `nanos` is a second or more.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (nanos < 1_000_000_000).then_some(Self { seconds, nanos })
    }

    /// Writes the time: signed seconds, varint nanoseconds.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        put_signed(out, self.seconds);
        put_varint(out, u64::from(self.nanos.min(999_999_999)));
    }

    /// Reads what [`put`](Self::put) wrote.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::new(reader.signed()?, reader.varint_u32()?).ok_or(WireError::Range)
    }

    /// Reads a time that is all there is.
    pub(crate) fn read_all(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let time = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_clock_that_stands_still() {
        let noon = Timestamp { seconds: 43_200, nanos: 7 };
        assert_eq!((noon.now(), Arc::new(noon).now()), (noon, noon));
    }
}
