//! A length of time as people count it: years, months, days and hours.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Instant, ToSpan};

/// A length of time, as restic writes it: `2y5m7d3h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

/// Not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("years, months, days and hours, such as 2y5m7d3h")]
pub struct InvalidSpan;

impl Span {
    pub(super) fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The time that lies so long before `end`; `None` if that is before the calendar begins.
    ///
    /// As in restic, a day that the month does not have is counted on into the next month: a month before
    /// the 31st of October is the 1st of October. Where the clock jumps, the earlier time is meant.
    pub(super) fn before(self, end: Instant, zone: &TimeZone) -> Option<Instant> {
        let local = zone.to_datetime(end);
        let month = 12 * i64::from(local.year()) + i64::from(local.month()) - 1;
        let month = month - 12 * i64::from(self.years) - i64::from(self.months);
        let year = i16::try_from(month.div_euclid(12)).ok()?;
        let first = Date::new(year, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
        let days = i64::from(local.day()) - 1 - i64::from(self.days);
        let date = first.checked_add(0.days().try_days(days).ok()?).ok()?;
        let start = zone.to_ambiguous_timestamp(date.to_datetime(local.time())).earlier().ok()?;
        start.checked_sub(SignedDuration::from_hours(self.hours.into())).ok()
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        if text.is_empty() {
            return Err(InvalidSpan);
        }
        let (mut span, mut rest) = (Self::default(), text);
        while !rest.is_empty() {
            let unit = rest.find(|char: char| !char.is_ascii_digit()).ok_or(InvalidSpan)?;
            let (number, unit_and_rest) = rest.split_at(unit);
            let number: u32 = number.parse().map_err(|_| InvalidSpan)?;
            let mut chars = unit_and_rest.chars();
            let field = match chars.next() {
                Some('y') => &mut span.years,
                Some('m') => &mut span.months,
                Some('d') => &mut span.days,
                Some('h') => &mut span.hours,
                _ => return Err(InvalidSpan),
            };
            *field = field.checked_add(number).ok_or(InvalidSpan)?;
            rest = chars.as_str();
        }
        Ok(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        parts.iter().filter(|(number, _)| *number > 0).try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}
