//! `hushkeep check`: verify that the repository is whole.

use std::io;

use clap::Args;
use hushkeep::repo::{Affected, CheckOptions, CheckReport, Finding};
use serde_json::{Value, json};

use super::backup::short;
use crate::args::{JsonArgs, KeyArgs, RepoArgs, VerbosityArgs};
use crate::failure::{Exit, Failure};
use crate::format;
use crate::output::Output;
use crate::progress::Meter;
use crate::session;

/// How many damaged files of a snapshot are listed for people.
const LISTED: usize = 20;

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Read and verify all contents, not only the structure
    #[arg(long, conflicts_with = "read_data_subset")]
    read_data: bool,
    /// Read and verify a random part of the contents, such as 5%
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    read_data_subset: Option<f64>,
    #[command(flatten)]
    key: KeyArgs,
    /// Tell only what went wrong
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &CheckArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open_uncached(&args.repo, &args.key)?;
    let read_data = if args.read_data { 1.0 } else { args.read_data_subset.unwrap_or(0.0) };
    let meter = Meter::new(output.is_json(), &VerbosityArgs { quiet: args.quiet, verbose: false });
    let report = opened.repository.check(&CheckOptions { read_data }, &meter);
    meter.finish();
    let report = report?;
    tell_report(&report, args, output)?;
    if report.findings.is_empty() {
        return Ok(());
    }
    let (exit, kind, next) = match report.findings.iter().all(is_newer) {
        true => (Exit::Failed, "newer object", "install the newest version of hushkeep, and check again"),
        false => (
            Exit::Damaged,
            "damaged object",
            "make a new backup while you still have the files: what is missing is stored again",
        ),
    };
    let objects = format::count(report.findings.len() as u64, kind);
    Err(Failure::new(exit, format!("the repository has {objects} (named above)"), &meaning(&report), next))
}

/// Whether an object is not damaged, but understood by newer versions only.
fn is_newer(finding: &Finding) -> bool {
    finding.damage.cause.is_newer_version()
}

/// What the damage means for the owner.
fn meaning(report: &CheckReport) -> String {
    let is_in = |folder: &str| report.findings.iter().any(|finding| finding.damage.object.starts_with(folder));
    let mut meaning = match report.findings.iter().any(|finding| !finding.affected.is_empty()) {
        true => "the files named above cannot be restored from these snapshots; everything else can".to_owned(),
        false => "no file of the snapshots that are known is hurt".to_owned(),
    };
    if session::may_lack_snapshots() {
        meaning.push_str("; snapshots that only the damaged commits told of are missing");
    }
    if is_in("config/") {
        meaning.push_str("; if all configs are lost, no other device can open the repository: keep this one");
    }
    meaning
}

fn tell_report(report: &CheckReport, args: &CheckArgs, output: &mut Output) -> io::Result<()> {
    for finding in &report.findings {
        output.result("damage", finding_object(finding), finding_text(finding))?;
    }
    let summary = json!({
        "snapshots": report.snapshots,
        "objects": report.objects,
        "bytes_read": report.bytes_read,
        "unreferenced": report.unreferenced,
        "findings": report.findings.len(),
    });
    output.object("summary", summary)?;
    if args.quiet {
        return Ok(());
    }
    let (snapshots, objects) = (format::count(report.snapshots, "snapshot"), format::count(report.objects, "object"));
    output.text(format_args!("checked {snapshots}, {objects}; read {}\n", format::size(report.bytes_read)))?;
    if report.unreferenced > 0 {
        let objects = format::count(report.unreferenced, "object");
        output.text(format_args!("{objects} left over by interrupted backups: harmless\n"))?;
    }
    if report.findings.is_empty() { output.text("no damage found\n") } else { Ok(()) }
}

fn finding_text(finding: &Finding) -> String {
    let sign = if is_newer(finding) { "newer" } else { "damaged" };
    let mut text = format!("{sign}: {}", finding.damage);
    for affected in &finding.affected {
        let name = format!("snapshot {} (number {})", short(&affected.snapshot), affected.number);
        if affected.paths.is_empty() {
            text.push_str(&format!("\n  all of {name}"));
        }
        for path in affected.paths.iter().take(LISTED) {
            text.push_str(&format!("\n  {path} in {name}"));
        }
        if let Some(more) = affected.paths.len().checked_sub(LISTED).filter(|more| *more > 0) {
            text.push_str(&format!("\n  and {more} more in {name}; --json lists them all"));
        }
    }
    text
}

fn finding_object(finding: &Finding) -> Value {
    let affected = |affected: &Affected| {
        let paths: Vec<_> = affected.paths.iter().map(ToString::to_string).collect();
        json!({ "snapshot": affected.snapshot.to_string(), "number": affected.number, "paths": paths })
    };
    json!({
        "object": finding.damage.object,
        "message": finding.damage.cause.to_string(),
        "affected": finding.affected.iter().map(affected).collect::<Vec<_>>(),
    })
}

/// A part of the whole, from `5%`.
fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent.filter(|percent| *percent > 0.0 && *percent <= 100.0) {
        Some(percent) => Ok(percent / 100.0),
        None => Err("a percentage such as 5%, up to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_a_percentage() {
        assert_eq!(parse_percent("5%"), Ok(0.05));
        assert_eq!(parse_percent("100%"), Ok(1.0));
        for text in ["5", "0%", "101%", "-1%", "NaN%", "%"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }
}
