//! `hushkeep prune`: give back what no snapshot needs any more.

use clap::Args;
use hushkeep::Opened;
use hushkeep::repo::{Amount, PruneOptions, PruneReport, SnapshotId, Timestamp};
use serde_json::{Value, json};

use crate::args::{JsonArgs, KeyArgs, RepoArgs, VerbosityArgs};
use crate::failure::{Exit, Failure};
use crate::format;
use crate::invocation::Invocation;
use crate::output::{Output, note};
use crate::progress::Meter;
use crate::session;

#[derive(Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// How much of what is stored may stay without use, before packs are put together anew: a percentage, or
    /// "unlimited"
    #[arg(long, value_name = "LIMIT", default_value = "5%", value_parser = parse_share)]
    max_unused: f64,
    /// How much may be copied to put packs together, such as 500M or 5GiB
    #[arg(long, value_name = "SIZE", default_value = "5GiB", value_parser = parse_size)]
    max_repack_size: u64,
    /// Tell what would be done, but change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    key: KeyArgs,
    /// Tell only what went wrong
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// What pruning may cost, if nothing else is asked for.
const MAX_UNUSED: f64 = 0.05;
const MAX_REPACK_BYTES: u64 = 5 << 30;

pub(crate) fn run(args: &PruneArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open_uncached(&args.repo, &args.key)?;
    let options = PruneOptions {
        now: hushkeep::now(),
        max_unused: args.max_unused,
        max_repack_bytes: args.max_repack_size,
        dry_run: args.dry_run,
    };
    let meter = Meter::new(output.is_json(), &VerbosityArgs { quiet: args.quiet, verbose: false });
    output.flush()?;
    let report = opened.repository.prune(&options, &meter);
    meter.finish();
    tell(&report?, &options, "summary", args.quiet, invocation, output)
}

/// Prunes within the usual limits after these snapshots were forgotten, or in a dry run tells what that would do.
pub(super) fn prune_after(
    opened: &mut Opened,
    forgotten: &[SnapshotId],
    (dry_run, quiet): (bool, bool),
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(), Failure> {
    let (now, max_unused, max_repack_bytes) = (hushkeep::now(), MAX_UNUSED, MAX_REPACK_BYTES);
    let options = PruneOptions { now, max_unused, max_repack_bytes, dry_run };
    let meter = Meter::new(output.is_json(), &VerbosityArgs { quiet, verbose: false });
    output.flush()?;
    let report = match dry_run {
        true => opened.repository.preview_prune(forgotten, &options),
        false => opened.repository.prune(&options, &meter),
    };
    meter.finish();
    tell(&report?, &options, "prune", quiet, invocation, output)
}

/// Tells what was done, programs in an object of type `kind`.
fn tell(
    report: &PruneReport,
    options: &PruneOptions,
    kind: &str,
    quiet: bool,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(), Failure> {
    for damage in &report.damage {
        output.object("damage", json!({ "object": damage.object, "message": damage.cause.to_string() }))?;
        note(format_args!("damaged: {damage}"));
    }
    output.object(kind, object(report, options.dry_run))?;
    if !quiet {
        output.text(text(report, options, &invocation.command("prune")))?;
    }
    if report.damage.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Damaged,
        format!("{} came to light (named above)", format::count(report.damage.len() as u64, "damaged object")),
        "what is damaged was left as it is; everything else was done",
        "run `check --read-data` to see which files are hurt, and make a new backup while you have them",
    ))
}

fn object(report: &PruneReport, dry_run: bool) -> Value {
    let amount = |amount: Amount| json!({ "packs": amount.packs, "bytes": amount.bytes });
    json!({
        "dry_run": dry_run,
        "dropped": amount(report.dropped),
        "marked": amount(report.marked),
        "waiting": amount(report.waiting),
        "revived": amount(report.revived),
        "repacked": amount(report.repacked),
        "written": amount(report.written),
        "unused_bytes": report.unused_bytes,
        "total_bytes": report.total_bytes,
        "deleted": report.deleted,
        "undeleted": report.undeleted,
        "wait_seconds": report.wait_seconds,
        "kept_seconds": report.kept_seconds,
        "next_drop_seconds": report.next_drop_seconds,
        "storage_tells_times": !report.no_clock,
        "damage": report.damage.len(),
    })
}

/// What was marked, what was given back, what stays and why; `prune` is the command to type again.
fn text(report: &PruneReport, options: &PruneOptions, prune: &str) -> String {
    let PruneReport { marked, waiting, revived, dropped, repacked, .. } = report;
    let mark = if options.dry_run { "would mark" } else { "marked" };
    let told = [
        (dropped, format!("{}: ", gave_back(report.kept_seconds, options.dry_run))),
        (marked, format!("{mark}, because no snapshot needs it any more: ")),
        (waiting, "marked before, and waiting: ".to_owned()),
        (revived, "marked before, and needed after all: ".to_owned()),
    ];
    let told = told.into_iter().filter(|(amount, _)| amount.packs > 0);
    let mut lines: Vec<String> = told.map(|(amount, what)| what + &packs(*amount)).collect();
    if repacked.packs > 0 {
        lines.push(format!("put together anew, because only a part is needed: {}", packs(*repacked)));
    }
    if lines.is_empty() {
        lines.push(match report.deleted {
            0 => "there is nothing to give back".to_owned(),
            deleted => format!("gave back what was dropped before: {}", format::count(deleted, "object")),
        });
    }
    if report.unused_bytes > 0 {
        let (unused, total) = (format::size(report.unused_bytes), format::size(report.total_bytes));
        lines.push(format!("{unused} of {total} stay without use, in packs that are needed in part"));
    }
    if !report.undeleted.is_empty() {
        let objects = format::count(report.undeleted.len() as u64, "object");
        lines.push(format!("the storage refuses to delete {objects}: they stay there and do no harm"));
    }
    lines.extend(outlook(report, options.now, prune));
    lines.join("\n") + "\n"
}

/// What becomes of what was dropped: on some storages it is not given back at once.
fn gave_back(kept_seconds: u64, dry_run: bool) -> String {
    match (kept_seconds, dry_run) {
        (0, false) => "gave back".to_owned(),
        (0, true) => "would give back".to_owned(),
        (seconds, _) => format!("to be given back by a prune in {}", format::duration(seconds)),
    }
}

/// When what is marked can be given back.
fn outlook(report: &PruneReport, now: Timestamp, prune: &str) -> Option<String> {
    if report.marked.packs + report.waiting.packs == 0 {
        return None;
    }
    if report.no_clock {
        return Some(
            "the storage tells no times, so nothing can be given back safely: what is marked stays".to_owned(),
        );
    }
    let seconds = report.next_drop_seconds.unwrap_or(report.wait_seconds);
    let seconds = now.seconds.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
    let (wait, then) = (format::duration(report.wait_seconds), format::time(Timestamp { seconds, ..now }));
    Some(format!(
        "what is marked stays for {wait}, because other devices may be reading it\nnext: {prune} (from {then} on)"
    ))
}

fn packs(amount: Amount) -> String {
    format!("{} in {}", format::size(amount.bytes), format::count(amount.packs, "pack"))
}

/// A part of the whole, from `5%`; `unlimited` is all of it.
fn parse_share(text: &str) -> Result<f64, String> {
    if text == "unlimited" {
        return Ok(1.0);
    }
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent.filter(|percent| (0.0..=100.0).contains(percent)) {
        Some(percent) => Ok(percent / 100.0),
        None => Err("a percentage such as 5%, or \"unlimited\"".to_owned()),
    }
}

/// A number of bytes. As in restic, `K`, `M`, `G` and `T` are powers of 1024, as are `KiB` and so on.
fn parse_size(text: &str) -> Result<u64, String> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "K" | "KIB" => Some(10),
        "M" | "MIB" => Some(20),
        "G" | "GIB" => Some(30),
        "T" | "TIB" => Some(40),
        _ => None,
    };
    let bytes = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a size such as 500M or 5GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_restic_reads_them() {
        for (text, bytes) in [("0", 0), ("17B", 17), ("2k", 2048), ("500M", 500 << 20), ("5GiB", 5 << 30)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "5GB", "-1", "1.5G", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_percentages() {
        assert_eq!((parse_share("5%"), parse_share("0%"), parse_share("unlimited")), (Ok(0.05), Ok(0.0), Ok(1.0)));
        for text in ["5", "101%", "-1%", "NaN%", "%", "5GiB"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_usual_limits_are_those_of_the_help() {
        assert_eq!((parse_share("5%"), parse_size("5GiB")), (Ok(MAX_UNUSED), Ok(MAX_REPACK_BYTES)));
    }

    #[test]
    fn a_report_says_what_stays_and_why() {
        let now = Timestamp { seconds: 1_800_000_000, nanos: 0 };
        let options = PruneOptions { now, max_unused: 0.05, max_repack_bytes: 0, dry_run: false };
        let mut report = PruneReport::default();
        assert_eq!(text(&report, &options, "prune"), "there is nothing to give back\n");
        report.marked = Amount { packs: 1, bytes: 2048 };
        report.wait_seconds = 86_400;
        let told = text(&report, &options, "prune");
        assert!(told.starts_with("marked, because no snapshot needs it any more: 2.0 KiB in 1 pack\n"), "{told}");
        assert!(told.contains("stays for 1 day, because") && told.contains("next: prune (from 2027-"), "{told}");
        report.no_clock = true;
        report.undeleted = vec!["packs/a".to_owned()];
        let told = text(&report, &PruneOptions { dry_run: true, ..options }, "prune");
        assert!(told.contains("would mark, ") && told.contains("tells no times"), "{told}");
        assert!(told.contains("refuses to delete 1 object:"), "{told}");
    }
}
