use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_repo::{BackupOptions, Quiet, RelPath, Repository, Snapshot, Source};
use hushkeep_sources::{FolderOptions, FolderTree};
use hushkeep_storage::MemoryStorage;
use jiff::ToSpan;
use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::Home;

const UTC: TimeZone = TimeZone::UTC;

fn new_york() -> TimeZone {
    TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap()
}

/// A rule as restic's options have it: `daily 7`, `within 3d`, `within-weekly 1m`.
fn rule(text: &str) -> Rule {
    let (name, limit) = text.split_once(' ').unwrap();
    let (every, is_within) = match name.strip_prefix("within") {
        Some(every) => (every.trim_start_matches('-'), true),
        None => (name, false),
    };
    let every = match every {
        "last" | "" => Every::Snapshot,
        "hourly" => Every::Hour,
        "daily" => Every::Day,
        "weekly" => Every::Week,
        "monthly" => Every::Month,
        "yearly" => Every::Year,
        _ => panic!("{text}"),
    };
    let limit = if is_within { Limit::Within(limit.parse().unwrap()) } else { Limit::Count(limit.parse().unwrap()) };
    Rule { every, limit }
}

fn policy(rules: &[&str]) -> Policy {
    Policy::new(rules.iter().map(|text| rule(text)))
}

fn at(time: Instant) -> Timestamp {
    Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond().unsigned_abs() }
}

/// Times as they stand on the clocks of a zone.
fn local(zone: &TimeZone, times: &[&str]) -> Vec<Timestamp> {
    times.iter().map(|time| at(zone.to_timestamp(time.parse().unwrap()).unwrap())).collect()
}

fn utc(times: &[&str]) -> Vec<Timestamp> {
    local(&UTC, times)
}

/// Long after every snapshot.
fn later() -> Timestamp {
    utc(&["2500-01-01T00:00"])[0]
}

fn kept_in(zone: &TimeZone, rules: &[&str], times: &[Timestamp]) -> Vec<usize> {
    let reasons = policy(rules).reasons(times, later(), zone);
    (0..).zip(reasons).filter(|(_, reasons)| !reasons.is_empty()).map(|(index, _)| index).collect()
}

fn kept(rules: &[&str], times: &[&str]) -> Vec<usize> {
    kept_in(&UTC, rules, &utc(times))
}

fn reasons(rules: &[&str], times: &[&str]) -> Vec<String> {
    let reasons = policy(rules).reasons(&utc(times), later(), &UTC);
    let joined = |reasons: Vec<Reason>| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    reasons.into_iter().map(joined).collect()
}

/// Days in a row, one snapshot at noon on each.
fn days(first: jiff::civil::Date, count: i32) -> Vec<Timestamp> {
    let day = |n: i32| UTC.to_timestamp(first.checked_add(n.days()).unwrap().at(12, 0, 0, 0)).unwrap();
    (0..count).map(|n| at(day(n))).collect()
}

#[test]
fn restics_own_example_twelve_sundays() {
    let sundays: Vec<_> = days(date(2019, 9, 1), 78).into_iter().step_by(7).collect();
    assert_eq!((sundays.len(), kept_in(&UTC, &["daily 4"], &sundays)), (12, vec![8, 9, 10, 11]));
    assert_eq!(kept_in(&UTC, &["daily 100"], &sundays).len(), 12);
}

/// One backup every day for 100 years: each rule finds as many as it asks for, and some are found by several.
#[test]
fn restics_own_example_a_hundred_years() {
    let times = days(date(1921, 1, 1), 36_525);
    let reasons = policy(&["daily 7", "weekly 5", "monthly 12", "yearly 75"]).reasons(&times, later(), &UTC);
    for (every, count) in [(Every::Day, 7), (Every::Week, 5), (Every::Month, 12), (Every::Year, 75)] {
        let found = reasons.iter().filter(|reasons| reasons.iter().any(|reason| reason.rule.every == every));
        assert_eq!(found.count(), count, "{every}");
    }
    assert_eq!(reasons.last().unwrap().len(), 4, "New Year's Eve is all of it");
}

#[test]
fn the_newest_of_each_period_is_kept_and_the_oldest_while_there_is_room() {
    let times = ["2026-01-01T08:00", "2026-01-01T09:00", "2026-01-01T10:00", "2026-01-02T08:00", "2026-01-02T09:00"];
    assert_eq!(kept(&["daily 1"], &times), [4]);
    assert_eq!(kept(&["daily 2"], &times), [2, 4]);
    assert_eq!(kept(&["daily 3"], &times), [0, 2, 4]);
    assert_eq!(kept(&["daily unlimited"], &times), [0, 2, 4]);
    assert_eq!(kept(&["within-daily 5d"], &times), [0, 2, 4]);
    assert_eq!(kept(&["last 2"], &times), [3, 4]);
    assert_eq!(kept(&["last unlimited"], &times), [0, 1, 2, 3, 4]);
    assert_eq!(
        reasons(&["last 1", "daily 3", "within 1h", "within-weekly 1m"], &times),
        [
            "oldest daily snapshot, oldest weekly within 1m",
            "",
            "daily snapshot",
            "",
            "last snapshot, daily snapshot, within 1h, weekly within 1m"
        ]
    );
}

#[test]
fn weeks_begin_on_monday_and_belong_to_one_year() {
    // A Sunday, the Monday after it, and New Year's Day in the same week.
    let times = ["2025-12-28T12:00", "2025-12-29T12:00", "2026-01-01T12:00", "2026-01-04T23:59"];
    assert_eq!(kept(&["weekly 1"], &times), [3]);
    assert_eq!(kept(&["weekly 2"], &times), [0, 3]);
    assert_eq!(kept(&["yearly 2"], &times), [1, 3]);
    assert_eq!(kept(&["monthly 2"], &times), [1, 3]);
}

#[test]
fn the_calendar_is_that_of_the_place() {
    let times = utc(&["2026-01-01T03:00", "2026-01-01T12:00"]);
    assert_eq!(kept_in(&UTC, &["yearly 5", "daily 1"], &times), [0, 1], "the first as the oldest");
    assert_eq!(policy(&["yearly 1", "daily 2"]).reasons(&times, later(), &new_york())[0].len(), 1, "still in 2025");
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_one_and_a_day_of_23_hours_is_a_day() {
    let zone = new_york();
    // 01:30 daylight time, 01:15 standard time: 45 minutes later.
    let times = utc(&["2026-11-01T04:30", "2026-11-01T05:30", "2026-11-01T06:15"]);
    assert_eq!(kept_in(&zone, &["hourly 2"], &times), [0, 2]);
    assert_eq!(kept_in(&zone, &["hourly 1"], &times), [2]);
    let spring = local(&zone, &["2026-03-07T23:30", "2026-03-08T01:59", "2026-03-08T23:59", "2026-03-09T00:00"]);
    assert_eq!(kept_in(&zone, &["daily 3"], &spring), [0, 2, 3]);
}

#[test]
fn within_counts_from_the_newest_snapshot_and_by_the_calendar() {
    let times = ["2026-09-30T12:00", "2026-10-01T12:00", "2026-10-01T12:01", "2026-10-31T12:00"];
    // A month before the 31st of October there is no 31st of September: restic counts on to the 1st of October.
    assert_eq!(kept(&["within 1m"], &times), [2, 3]);
    assert_eq!(kept(&["within 30d"], &times), [2, 3]);
    assert_eq!(kept(&["within 30d1h"], &times), [1, 2, 3]);
    assert_eq!(kept(&["within 1h"], &times), [3]);
    assert_eq!(kept(&["within 4000000000y"], &times), [0, 1, 2, 3]);
    assert_eq!(kept(&["within-monthly 1y"], &times), [0, 3]);
    // Across the change to standard time a day has 25 hours.
    let zone = new_york();
    let autumn = local(&zone, &["2026-10-31T12:00", "2026-10-31T12:01", "2026-11-01T12:00"]);
    assert_eq!(kept_in(&zone, &["within 1d"], &autumn), [1, 2]);
    assert_eq!(kept_in(&zone, &["within 24h"], &autumn), [2]);
}

/// Samoa once crossed the date line and had no 30th of December.
#[test]
fn the_newest_lies_within_any_time_even_where_a_day_is_missing() {
    let zone = TimeZone::posix("<-10>10<+14>-14,J364/0,J100/0").unwrap();
    let times = local(&zone, &["2026-12-29T00:30", "2026-12-31T00:30"]);
    assert_eq!(times[1].seconds - times[0].seconds, 86_400);
    assert_eq!(kept_in(&zone, &["within 1d"], &times), [1]);
}

#[test]
fn what_is_in_the_future_is_kept_but_counts_nothing_down() {
    let times = utc(&["2026-01-01T12:00", "2026-01-05T12:00", "2026-01-06T11:00", "2031-01-01T00:00"]);
    let now = utc(&["2026-01-06T12:00"])[0];
    let reasons = policy(&["within 2d"]).reasons(&times, now, &UTC);
    let kept: Vec<_> = reasons.iter().map(|reasons| !reasons.is_empty()).collect();
    assert_eq!(kept, [false, true, true, true]);
    let all_in_the_future = policy(&["within 1h"]).reasons(&times, Timestamp::EPOCH, &UTC);
    assert!(all_in_the_future.iter().all(|reasons| !reasons.is_empty()));
}

#[test]
fn a_clock_that_went_backwards_changes_nothing_but_the_order() {
    // The last two were made when the clock had been set back by a day.
    let times = ["2026-05-01T12:00", "2026-05-02T12:00", "2026-05-03T12:00", "2026-05-02T13:00", "2026-05-02T14:00"];
    assert_eq!(kept(&["daily 2"], &times), [2, 4]);
    assert_eq!(kept(&["last 1"], &times), [2]);
    assert_eq!(kept(&["last 1"], &["2026-05-01T12:00", "2026-05-01T12:00"]), [1], "of two at once the later one");
}

#[test]
fn times_that_no_calendar_has_are_only_early_or_late() {
    let far = |seconds| Timestamp { seconds, nanos: 0 };
    let times = [far(i64::MIN), far(0), far(i64::MAX)];
    assert_eq!(kept_in(&UTC, &["daily 2"], &times), [1, 2]);
    assert_eq!(kept_in(&new_york(), &["yearly unlimited"], &times), [0, 1, 2]);
}

#[test]
fn a_rule_that_keeps_nothing_is_none() {
    assert!(policy(&[]).is_empty() && policy(&["last 0", "daily 0", "within 0d", "within-weekly 0y0h"]).is_empty());
    assert!(!policy(&["daily 0", "last 1"]).is_empty());
}

#[test]
fn spans_are_written_as_in_restic() {
    for text in ["2y5m7d3h", "7d", "1y", "36h"] {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
    }
    for text in ["", "7", "d", "1w", "-1d", "7 d", "1d2", "99999999999d", "٣d"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
    for text in ["", "-1", "all", "1.5"] {
        assert!(text.parse::<Count>().is_err(), "{text}");
    }
}

#[test]
fn groups_are_named_by_what_they_share() {
    let by = |text: &str| text.parse::<GroupBy>();
    assert_eq!(by("device,paths"), Ok(GroupBy { device: true, paths: true }));
    assert_eq!(by("paths"), Ok(GroupBy { device: false, paths: true }));
    assert_eq!(by(""), Ok(GroupBy { device: false, paths: false }));
    assert_eq!(by("tags"), Err(InvalidGroupBy));
}

fn any_rule() -> impl Strategy<Value = Rule> {
    const NAMES: [&str; 6] = ["", "hourly", "daily", "weekly", "monthly", "yearly"];
    let count = prop_oneof![(0..9_u32).prop_map(|count| count.to_string()), Just("unlimited".to_owned())];
    let span = (0..2_u32, 0..4_u32, 0..40_u32, 0..30_u32).prop_map(|(y, m, d, h)| format!("{y}y{m}m{d}d{h}h"));
    (prop::sample::select(&NAMES[..]), prop::bool::ANY, count, span).prop_map(|(name, is_within, count, span)| {
        match (name, is_within) {
            ("", false) => rule(&format!("last {count}")),
            (name, false) => rule(&format!("{name} {count}")),
            ("", true) => rule(&format!("within {span}")),
            (name, true) => rule(&format!("within-{name} {span}")),
        }
    })
}

fn any_times() -> impl Strategy<Value = Vec<Timestamp>> {
    // Dense enough for several in one hour, and around a change of the clock.
    let dense = 1_793_500_000..1_793_600_000_i64;
    let wide = 1_700_000_000..1_800_000_000_i64;
    let time = prop_oneof![dense, wide].prop_map(|seconds| Timestamp { seconds, nanos: 0 });
    prop::collection::vec(time, 0..60)
}

proptest! {
    #[test]
    fn a_policy_keeps_something_and_twice_is_as_good_as_once(
        rules in prop::collection::vec(any_rule(), 1..5),
        times in any_times(),
        now in 1_700_000_000..1_850_000_000_i64,
    ) {
        let (policy, now, zone) = (Policy::new(rules), Timestamp { seconds: now, nanos: 0 }, new_york());
        let first = policy.reasons(&times, now, &zone);
        let kept: Vec<_> = times.iter().zip(&first).filter(|(_, why)| !why.is_empty()).map(|(time, _)| *time).collect();
        prop_assert!(policy.is_empty() || times.is_empty() || !kept.is_empty());
        prop_assert!(!policy.is_empty() || kept.is_empty());
        prop_assert!(policy.reasons(&kept, now, &zone).iter().all(|reasons| !reasons.is_empty()));
    }

    #[test]
    fn one_more_rule_never_forgets_more(
        rules in prop::collection::vec(any_rule(), 1..4),
        more in any_rule(),
        times in any_times(),
    ) {
        let kept = |rules: &[Rule]| Policy::new(rules.iter().copied()).reasons(&times, later(), &UTC);
        let (few, many) = (kept(&rules), kept(&[rules.as_slice(), &[more]].concat()));
        prop_assert!(few.iter().zip(&many).all(|(few, many)| few.is_empty() || !many.is_empty()));
    }

    #[test]
    fn a_count_is_never_exceeded_and_the_newest_is_always_there(times in any_times(), count in 1..9_u32) {
        for name in ["last", "hourly", "daily", "weekly", "monthly", "yearly"] {
            let policy = policy(&[&format!("{name} {count}")]);
            let reasons = policy.reasons(&times, later(), &new_york());
            let kept: Vec<_> = times.iter().zip(&reasons).filter(|(_, why)| !why.is_empty()).collect();
            prop_assert!(kept.len() <= count as usize);
            prop_assert_eq!(kept.iter().map(|(time, _)| *time).max(), times.iter().max());
        }
    }
}

/// A repository with a snapshot of each of these times, made in this order.
fn snapshots_of(times: &[Timestamp]) -> Vec<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    let (storage, rng) = (Arc::new(MemoryStorage::default()), &mut crate::random());
    let (id, key) = (RepositoryId::generate(rng), BackupKey::generate(rng));
    let state = Arc::new(Home::at(&folder.path().join("home")).device(&id));
    let made = Repository::create(storage, state, &key, id, times[0], Box::new(crate::random()));
    let mut repository = made.unwrap();
    let tree = FolderTree::new(folder.path(), FolderOptions::default()).unwrap();
    for time in times {
        let source = Source { label: RelPath::new(b"chats").unwrap(), path: b"/chats".to_vec(), tree: &tree };
        let options = BackupOptions::new(*time, "phone".to_owned());
        repository.backup(&[source], &options, &Quiet).unwrap();
    }
    repository.snapshots().to_vec()
}

#[test]
fn a_clock_that_was_once_wrong_forgets_nothing_ever_after() {
    let times = utc(&["2026-01-01T12:00", "2036-01-02T12:00", "2026-01-03T12:00", "2026-01-04T12:00"]);
    let snapshots = snapshots_of(&times);
    let numbers = |snapshots: &[&Snapshot]| snapshots.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>();
    let now = utc(&["2026-01-04T13:00"])[0];
    let by = GroupBy { device: true, paths: true };
    let groups = plan(&snapshots, &policy(&["last 1"]), by, false, now, &UTC).unwrap();
    let [group] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!(group.kept.iter().map(|(snapshot, _)| snapshot.number).collect::<Vec<_>>(), [4]);
    assert_eq!((numbers(&group.of_the_future), numbers(&group.forgotten)), (vec![2], vec![1, 3]));
    // Who wants nothing to be kept means that one, too.
    let groups = plan(&snapshots, &policy(&[]), by, true, now, &UTC).unwrap();
    assert_eq!(numbers(&groups[0].forgotten), [1, 2, 3, 4]);
}
