//! Which snapshots to keep: policies in the words of restic, and with their meaning there.
//!
//! A snapshot that any [`Rule`] of a [`Policy`] keeps is kept. The rules follow [restic's `forget`][1]:
//!
//! * `--keep-daily n`: for the last `n` days that have a snapshot, the newest of each day is kept. Days without one
//!   do not count. Hours, weeks (Monday to Sunday, as in ISO 8601), months and years likewise, all by local time.
//! * `--keep-last n`: the newest `n`. `unlimited` instead of a number keeps every one.
//! * `--keep-within 2y5m7d3h`: what was made in this time before the newest snapshot that is not in the future;
//!   `--keep-within-daily 7d`: of those, the newest of each day.
//! * If such a rule has not found all it looks for, the very oldest snapshot is kept, too: what is there should
//!   reach as far back as it can.
//!
//! Snapshots are grouped first, and a policy applies to each group by itself: [`plan`].
//!
//! [1]: https://restic.readthedocs.io/en/stable/060_forget.html#removing-snapshots-according-to-a-policy

mod groups;
mod span;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use hushkeep_repo::Timestamp;
use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub use groups::{EmptyPolicy, Group, GroupBy, InvalidGroupBy, plan};
pub use span::{InvalidSpan, Span};

/// What to keep: all that any of its rules keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// Keeps one snapshot of every period, within a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Of what one snapshot is kept, the newest.
    pub every: Every,
    /// How many.
    pub limit: Limit,
}

/// Of what one snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Each snapshot for itself.
    Snapshot,
    /// An hour of the clock.
    Hour,
    /// A day of the calendar.
    Day,
    /// A week, from Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

/// How many snapshots a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many, the newest.
    Count(Count),
    /// Those that were made in this time before the newest of all.
    Within(Span),
}

/// A number, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Times(u32),
    /// All there are.
    Unlimited,
}

/// Neither a number nor `unlimited`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a number, or \"unlimited\"")]
pub struct InvalidCount;

/// Why a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// The rule that keeps it.
    pub rule: Rule,
    /// It is not the newest of its period, but the oldest of all, and the rule still had room.
    pub is_oldest: bool,
}

impl Policy {
    /// A policy of these rules. Those that keep nothing are none.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().filter(|rule| !rule.keeps_nothing()).collect() }
    }

    /// Whether nothing would be kept.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Why each of the snapshots of one group is kept, in the order of `times`; a snapshot without a reason is to be
    /// forgotten. Of two that have the same time the later one in the list counts as newer.
    pub fn reasons(&self, times: &[Timestamp], now: Timestamp, zone: &TimeZone) -> Vec<Vec<Reason>> {
        let mut moments: Vec<Moment> = (0..).zip(times).map(|(index, time)| Moment::new(index, *time, zone)).collect();
        moments.sort_unstable_by_key(|moment| Reverse((moment.time, moment.index)));
        let latest = moments.iter().find(|moment| moment.time < now);
        let mut reasons = vec![Vec::new(); times.len()];
        for rule in &self.rules {
            let start = latest.and_then(|latest| rule.start(latest.instant, zone));
            for (index, is_oldest) in rule.kept(&moments, start) {
                if let Some(reasons) = reasons.get_mut(index) {
                    reasons.push(Reason { rule: *rule, is_oldest });
                }
            }
        }
        reasons
    }
}

/// When a snapshot was made.
struct Moment {
    /// Its place in the caller's list.
    index: usize,
    time: Timestamp,
    instant: Instant,
    local: DateTime,
}

impl Moment {
    fn new(index: usize, time: Timestamp, zone: &TimeZone) -> Self {
        let instant = instant(time);
        Self { index, time, instant, local: zone.to_datetime(instant) }
    }
}

impl Rule {
    fn keeps_nothing(&self) -> bool {
        match self.limit {
            Limit::Count(count) => count == Count::Times(0),
            Limit::Within(span) => span.is_zero(),
        }
    }

    /// After which time a snapshot must have been made; `None` if any will do.
    fn start(&self, latest: Instant, zone: &TimeZone) -> Option<Instant> {
        match self.limit {
            Limit::Count(_) => None,
            Limit::Within(span) => span.before(latest, zone),
        }
    }

    /// The snapshots that the rule keeps among `moments`, newest first, and whether as the oldest of all.
    fn kept(&self, moments: &[Moment], start: Option<Instant>) -> Vec<(usize, bool)> {
        let limit = match self.limit {
            Limit::Count(Count::Times(times)) => usize::try_from(times).unwrap_or(usize::MAX),
            Limit::Count(Count::Unlimited) | Limit::Within(_) => usize::MAX,
        };
        let oldest = moments.last().map(|moment| moment.index);
        let (mut kept, mut last) = (Vec::new(), None);
        for moment in moments.iter().take_while(|moment| start.is_none_or(|start| moment.instant > start)) {
            let period = self.every.period(moment.local);
            let is_next = period.is_none() || period != last;
            if kept.len() < limit && (is_next || Some(moment.index) == oldest) {
                kept.push((moment.index, !is_next));
                last = period;
            }
        }
        kept
    }
}

impl Every {
    /// The period that a time lies in; `None` if each snapshot counts for itself.
    fn period(self, local: DateTime) -> Option<[i16; 4]> {
        let (year, month, day) = (local.year(), local.month().into(), local.day().into());
        match self {
            Self::Snapshot => None,
            Self::Hour => Some([year, month, day, local.hour().into()]),
            Self::Day => Some([year, month, day, 0]),
            Self::Week => {
                let week = local.date().iso_week_date();
                Some([week.year(), week.week().into(), 0, 0])
            }
            Self::Month => Some([year, month, 0, 0]),
            Self::Year => Some([year, 0, 0, 0]),
        }
    }
}

/// A time as the calendar has it. One that lies beyond the calendar becomes its first or last moment.
fn instant(time: Timestamp) -> Instant {
    let nanos = i32::try_from(time.nanos).unwrap_or_default();
    let end = if time.seconds < 0 { Instant::MIN } else { Instant::MAX };
    Instant::new(time.seconds, nanos).unwrap_or(end)
}

impl FromStr for Count {
    type Err = InvalidCount;

    fn from_str(text: &str) -> Result<Self, InvalidCount> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            number => number.parse().map(Self::Times).map_err(|_| InvalidCount),
        }
    }
}

/// In restic's words: `daily snapshot`, `oldest monthly snapshot`, `within 3d`, `weekly within 1m`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oldest = if self.is_oldest { "oldest " } else { "" };
        match (self.rule.every, self.rule.limit) {
            (Every::Snapshot, Limit::Within(span)) => write!(f, "within {span}"),
            (every, Limit::Count(_)) => write!(f, "{oldest}{every} snapshot"),
            (every, Limit::Within(span)) => write!(f, "{oldest}{every} within {span}"),
        }
    }
}

/// As an adjective: `last`, `hourly`, `daily` and so on.
impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}
