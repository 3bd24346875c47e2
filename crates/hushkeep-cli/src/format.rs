//! Numbers, times and modes as people read them.

use std::path::Path;

use hushkeep::repo::{EntryKind, RelPath, Timestamp};
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, Unit};

/// A size in bytes, KiB, MiB and so on, with one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths, rounded; in 128 bits nothing can overflow.
    let tenths = |power: u32| (u128::from(bytes) * 10 + (1 << (10 * power - 1))) >> (10 * power);
    let fits = (1..).zip(UNITS).map(|(power, unit)| (tenths(power), unit)).find(|(tenths, _)| *tenths < 10240);
    let (tenths, unit) = fits.unwrap_or((tenths(6), "EiB"));
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A number and its noun: `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A number of guesses.
pub(crate) fn guesses(number: u8) -> String {
    if number == 1 { "1 guess".to_owned() } else { format!("{number} guesses") }
}

/// A point in time by this device's clock and zone: `2026-11-24 09:12:05 CET`.
pub(crate) fn time(time: Timestamp) -> String {
    time_in(time, &TimeZone::system())
}

fn time_in(time: Timestamp, zone: &TimeZone) -> String {
    match instant(time) {
        Some(instant) => instant.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        None => format!("{} seconds after 1970", time.seconds),
    }
}

/// A point in time for programs: RFC 3339, in UTC.
pub(crate) fn time_utc(time: Timestamp) -> String {
    instant(time).map_or_else(|| format!("@{}", time.seconds), |instant| format!("{instant:.0}"))
}

/// How long ago something was, in its largest unit: `3 days`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    duration(now.seconds.saturating_sub(then.seconds).max(0).unsigned_abs())
}

/// A length of time, in its largest unit: `3 days`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => "less than a minute".to_owned(),
        60..3600 => count(seconds / 60, "minute"),
        3600..86400 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86400, "day"),
    }
}

/// What `ls -l` says of an entry's kind and permissions: `-rw-r--r--`.
pub(crate) fn mode(kind: &EntryKind, mode: u32) -> String {
    let kind = match kind {
        EntryKind::Directory => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::File(_) | EntryKind::HardLink { .. } => '-',
        EntryKind::Newer(_) => '?',
    };
    let flag = |bit: u32, letter: char| if mode & bit == 0 { '-' } else { letter };
    // Execution, and the bits that are shown in its place: setuid, setgid, sticky.
    let execute = |bit: u32, special: u32, letter: char| match (mode & bit != 0, mode & special != 0) {
        (true, true) => letter,
        (false, true) => letter.to_ascii_uppercase(),
        (executable, false) => {
            if executable {
                'x'
            } else {
                '-'
            }
        }
    };
    [
        kind,
        flag(0o400, 'r'),
        flag(0o200, 'w'),
        execute(0o100, 0o4000, 's'),
        flag(0o040, 'r'),
        flag(0o020, 'w'),
        execute(0o010, 0o2000, 's'),
        flag(0o004, 'r'),
        flag(0o002, 'w'),
        execute(0o001, 0o1000, 't'),
    ]
    .iter()
    .collect()
}

/// Foreign bytes as text that cannot write to the terminal, as paths are shown.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let component =
        |bytes: &[u8]| RelPath::new(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), |path| path.to_string());
    let parts = bytes.split(|byte| *byte == b'/');
    parts.map(|part| if part.is_empty() { String::new() } else { component(part) }).collect::<Vec<_>>().join("/")
}

/// A path on this device in the same way: who names files by a pattern has not read all their names.
pub(crate) fn printable_path(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

/// A heading and rows of cells, the columns aligned, the last one left as it is.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = [heading.map(String::from)].into_iter().chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

pub(crate) fn instant(time: Timestamp) -> Option<Instant> {
    Instant::new(time.seconds, i32::try_from(time.nanos).ok()?).ok()?.round(Unit::Nanosecond).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (842_309_632, "803.3 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_local_and_name_their_zone() {
        let time = Timestamp { seconds: 1_795_507_925, nanos: 5 };
        let zone = TimeZone::posix("CET-1").unwrap();
        assert_eq!(time_in(time, &zone), "2026-11-24 09:12:05 CET");
        assert_eq!(time_utc(time), "2026-11-24T08:12:05Z");
        assert_eq!(time_utc(Timestamp { seconds: i64::MAX, nanos: 0 }), "@9223372036854775807");
    }

    #[test]
    fn ages() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        assert_eq!(age(at(100), at(90)), "less than a minute", "a clock that runs ahead");
        assert_eq!(age(at(0), at(60)), "1 minute");
        assert_eq!(age(at(0), at(9 * 86400 + 5)), "9 days");
    }

    #[test]
    fn modes() {
        assert_eq!(mode(&EntryKind::Directory, 0o1755), "drwxr-xr-t");
        assert_eq!(mode(&EntryKind::Symlink { target: Vec::new() }, 0o4644), "lrwSr--r--");
    }

    #[test]
    fn foreign_bytes_are_escaped() {
        assert_eq!(printable(b"/sd\xffcard/../a\x1b[2J"), r"/sd\xffcard/../a\u{1b}[2J");
        assert_eq!(printable(b""), "");
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            table(["a", "bb", "c"], [["aaa", "b", "c"].map(String::from)].into_iter()),
            "a    bb  c\naaa  b   c\n"
        );
    }
}
