//! Points in time. The engine never reads a clock: times come in from its callers.

/// A point in time: seconds and nanoseconds since 1970-01-01 00:00:00 UTC.
///
/// Times before 1970 have negative seconds; the nanoseconds always count forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// The first moment of 1970.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// A point in time, unless `nanos` is a second or more.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (nanos < 1_000_000_000).then_some(Self { seconds, nanos })
    }
}
