//! How people name a snapshot: `latest`, `latest~2`, its number, the beginning of its id, or a date.

use std::convert::Infallible;
use std::str::FromStr;

use hushkeep::repo::Snapshot;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::format::instant;

/// How many characters of an id are shown.
pub(crate) const SHORT_ID_LEN: usize = 8;

/// The name of a snapshot, as it was typed.
#[derive(Clone)]
pub(crate) struct SnapshotSpec(String);

/// Why a name leads to no snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SpecError {
    /// There is none at all.
    NoSnapshots,
    /// None has this name.
    NotFound(String),
    /// More than one has it.
    Ambiguous(String),
}

impl FromStr for SnapshotSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl SnapshotSpec {
    /// Whether it is a date or a time, which only says where to look for a snapshot.
    pub(crate) fn is_date(&self) -> bool {
        end_of(&self.0, &TimeZone::UTC).is_some()
    }

    /// The snapshot of this name among `snapshots`, oldest first.
    pub(crate) fn find<'a>(&self, snapshots: &'a [Snapshot]) -> Result<&'a Snapshot, SpecError> {
        self.find_in(snapshots, &TimeZone::system())
    }

    fn find_in<'a>(&self, snapshots: &'a [Snapshot], zone: &TimeZone) -> Result<&'a Snapshot, SpecError> {
        let text = self.0.as_str();
        if snapshots.is_empty() {
            return Err(SpecError::NoSnapshots);
        }
        let mut found: Vec<_> = if let Some(back) = steps_back(text) {
            snapshots.iter().rev().skip(back).take(1).collect()
        } else if let Some(until) = end_of(text, zone) {
            let is_before = |snapshot: &&Snapshot| instant(snapshot.time).is_some_and(|time| time <= until);
            snapshots.iter().filter(is_before).max_by_key(|snapshot| snapshot.time).into_iter().collect()
        } else if let Some(number) = number_among(text, snapshots) {
            snapshots.iter().filter(|snapshot| snapshot.number == number).collect()
        } else {
            let id = text.to_ascii_lowercase();
            snapshots.iter().filter(|snapshot| !id.is_empty() && snapshot.id.to_string().starts_with(&id)).collect()
        };
        match (found.pop(), found.is_empty()) {
            (Some(snapshot), true) => Ok(snapshot),
            (Some(_), false) => Err(SpecError::Ambiguous(text.to_owned())),
            (None, _) => Err(SpecError::NotFound(text.to_owned())),
        }
    }
}

/// How many steps before the newest `latest` and `latest~2` are.
fn steps_back(text: &str) -> Option<usize> {
    match text.strip_prefix("latest")? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

/// The number that `text` is. Two devices may have given the same number at once.
///
/// Fewer digits than a short id has are always a number: who names a snapshot that is gone must not hit another one,
/// the id of which begins like it.
fn number_among(text: &str, snapshots: &[Snapshot]) -> Option<u64> {
    let is_short = text.len() < SHORT_ID_LEN;
    text.parse().ok().filter(|number| is_short || snapshots.iter().any(|snapshot| snapshot.number == *number))
}

/// The last moment that a date or time means: of a day its end, of a minute its last second.
fn end_of(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    // A date has dashes, an id or a number has none.
    if !text.contains('-') {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let end = match text.parse::<Date>() {
        Ok(date) if !text.contains(':') => date.at(23, 59, 59, 999_999_999),
        _ => {
            let time: DateTime = text.parse().ok()?;
            let spans_a_minute = text.matches(':').count() == 1;
            let rest = if spans_a_minute { 59.seconds() } else { 0.seconds() };
            time.checked_add(rest.nanoseconds(999_999_999)).ok()?
        }
    };
    zone.to_timestamp(end).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_number_of_steps_back_is_read(back: usize) {
            prop_assert_eq!(steps_back(&format!("latest~{back}")), Some(back));
        }

        #[test]
        fn any_moment_is_read_as_it_is_written(seconds in -9_999_999_999i64..99_999_999_999) {
            let moment = Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(end_of(&moment.to_string(), &TimeZone::UTC), Some(moment));
            let local = moment.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
            let end = moment.checked_add(999_999_999.nanoseconds()).unwrap();
            prop_assert_eq!(end_of(&local, &TimeZone::UTC), Some(end));
        }

        #[test]
        fn any_text_is_a_name_or_none(text in "(latest|[0-9]{1,4}-?)?[~:0-9TZa-f+ -]{0,20}") {
            let spec: SnapshotSpec = text.parse().unwrap();
            prop_assert_eq!(spec.find_in(&[], &TimeZone::UTC).err(), Some(SpecError::NoSnapshots));
            let _ = (steps_back(&text), end_of(&text, &TimeZone::UTC));
        }
    }

    #[test]
    fn latest_counts_back() {
        assert_eq!(steps_back("latest"), Some(0));
        assert_eq!(steps_back("latest~12"), Some(12));
        assert_eq!((steps_back("latest~"), steps_back("latest2"), steps_back("3f2a")), (None, None, None));
    }

    #[test]
    fn a_few_digits_are_a_number_whether_a_snapshot_has_it_or_not() {
        assert_eq!((number_among("2", &[]), number_among("1234567", &[])), (Some(2), Some(1_234_567)));
        assert_eq!((number_among("12345678", &[]), number_among("2a", &[])), (None, None));
    }

    #[test]
    fn dates_mean_their_end_in_local_time() {
        let zone = TimeZone::posix("CET-1").unwrap();
        for (text, end) in [
            ("2026-11-24", "2026-11-24T22:59:59.999999999Z"),
            ("2026-11-24 09:12", "2026-11-24T08:12:59.999999999Z"),
            ("2026-11-24T09:12:05", "2026-11-24T08:12:05.999999999Z"),
            ("2026-11-24T09:12:05Z", "2026-11-24T09:12:05Z"),
        ] {
            assert_eq!(end_of(text, &zone), Some(end.parse().unwrap()), "{text}");
        }
        for text in ["20261124", "12", "3f2a9c01", "yester-day", "2026-13-01"] {
            assert_eq!(end_of(text, &zone), None, "{text}");
        }
    }
}
