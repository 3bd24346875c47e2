//! `hushkeep forget`: take snapshots out of the history.

use std::collections::BTreeSet;
use std::io;

use clap::Args;
use hushkeep::repo::{Snapshot, SnapshotId};
use hushkeep::retention::{self, Count, Every, Group, GroupBy, Limit, Policy, Reason, Rule, Span};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::backup::short;
use super::{prune, snapshots};
use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::failure::{Exit, Failure};
use crate::format;
use crate::invocation::Invocation;
use crate::output::{Output, note};
use crate::session;
use crate::snapshot_spec::SnapshotSpec;

#[derive(Args)]
pub(crate) struct ForgetArgs {
    /// The snapshots to forget: latest, latest~2, numbers, or the beginnings of ids
    #[arg(value_name = "SNAPSHOT", conflicts_with = "PolicyArgs")]
    snapshots: Vec<SnapshotSpec>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Apply the policy to each group by itself: snapshots of the same device, of the same paths, or of both; ""
    /// for all together
    #[arg(long, value_name = "WHAT", default_value = "device,paths", conflicts_with = "snapshots")]
    group_by: GroupBy,
    /// Forget even if no snapshot is left
    #[arg(long)]
    allow_remove_all: bool,
    /// Prune afterwards, as "prune" does
    #[arg(long)]
    prune: bool,
    /// Tell what would be forgotten, but change nothing
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

/// What to keep. A number, or "unlimited"; a time as in 2y5m7d3h.
#[derive(Args)]
struct PolicyArgs {
    /// Keep the newest N snapshots ("unlimited" here and below: all)
    #[arg(short = 'l', long, value_name = "N")]
    keep_last: Option<Count>,
    /// Keep the newest snapshot of each of the last N hours that have one
    #[arg(short = 'H', long, value_name = "N")]
    keep_hourly: Option<Count>,
    /// Keep the newest snapshot of each of the last N days that have one
    #[arg(short = 'd', long, value_name = "N")]
    keep_daily: Option<Count>,
    /// Keep the newest snapshot of each of the last N weeks that have one
    #[arg(short = 'w', long, value_name = "N")]
    keep_weekly: Option<Count>,
    /// Keep the newest snapshot of each of the last N months that have one
    #[arg(short = 'm', long, value_name = "N")]
    keep_monthly: Option<Count>,
    /// Keep the newest snapshot of each of the last N years that have one
    #[arg(short = 'y', long, value_name = "N")]
    keep_yearly: Option<Count>,
    /// Keep all that were made in this time before the newest, such as 2y5m7d3h
    #[arg(long, value_name = "TIME")]
    keep_within: Option<Span>,
    /// Of those made in this time before the newest, keep the newest of each hour
    #[arg(long, value_name = "TIME")]
    keep_within_hourly: Option<Span>,
    /// The same for each day
    #[arg(long, value_name = "TIME")]
    keep_within_daily: Option<Span>,
    /// The same for each week
    #[arg(long, value_name = "TIME")]
    keep_within_weekly: Option<Span>,
    /// The same for each month
    #[arg(long, value_name = "TIME")]
    keep_within_monthly: Option<Span>,
    /// The same for each year
    #[arg(long, value_name = "TIME")]
    keep_within_yearly: Option<Span>,
}

impl PolicyArgs {
    fn policy(&self) -> Policy {
        let every = [Every::Snapshot, Every::Hour, Every::Day, Every::Week, Every::Month, Every::Year];
        let counts =
            [self.keep_last, self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly];
        let spans = [
            self.keep_within,
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ];
        let counts = counts.map(|count| count.map(Limit::Count));
        let spans = spans.map(|span| span.map(Limit::Within));
        let limits = every.into_iter().zip(counts).chain(every.into_iter().zip(spans));
        Policy::new(limits.filter_map(|(every, limit)| Some(Rule { every, limit: limit? })))
    }
}

pub(crate) fn run(args: &ForgetArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    refuse_dates(&args.snapshots)?;
    let policy = args.policy.policy();
    if args.snapshots.is_empty() && policy.is_empty() && !args.allow_remove_all {
        return Err(retention::EmptyPolicy.into());
    }
    // What is given back is decided by what the storage really has.
    let open = if args.prune { session::open_uncached } else { session::open };
    let mut opened = open(&args.repo, &args.key)?;
    let all = opened.repository.snapshots();
    let ids = match args.snapshots.as_slice() {
        [] => {
            let (now, zone) = (hushkeep::now(), TimeZone::system());
            let groups = retention::plan(all, &policy, args.group_by, args.allow_remove_all, now, &zone)?;
            tell_groups(&groups, args, output)?;
            groups.iter().flat_map(|group| &group.forgotten).map(|snapshot| snapshot.id).collect()
        }
        named => {
            let found = find(named, all, args.allow_remove_all)?;
            tell_named(&found, args, output)?;
            found.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>()
        }
    };
    let kept = all.len() - ids.len();
    if !ids.is_empty() && !args.dry_run {
        opened.repository.forget(&ids, hushkeep::now())?;
    }
    output.object("summary", json!({ "dry_run": args.dry_run, "forgotten": ids.len(), "kept": kept }))?;
    if !args.quiet {
        tell_end(ids.len(), kept, args, invocation, output)?;
    }
    if !args.prune {
        return Ok(());
    }
    prune::prune_after(&mut opened, &ids, (args.dry_run, args.quiet), invocation, output)
}

/// A date means the newest snapshot before its end: too loose a name for what is to go for good.
fn refuse_dates(named: &[SnapshotSpec]) -> Result<(), Failure> {
    if named.iter().any(SnapshotSpec::is_date) {
        return Err(Failure::usage(
            "a date does not say which snapshot to forget",
            "name it by its number or the beginning of its id, as `snapshots` shows them",
        ));
    }
    Ok(())
}

/// The snapshots of these names, each once, oldest first.
fn find<'a>(named: &[SnapshotSpec], all: &'a [Snapshot], may_remove_all: bool) -> Result<Vec<&'a Snapshot>, Failure> {
    let found = named.iter().map(|spec| Ok(spec.find(all)?.id)).collect::<Result<BTreeSet<SnapshotId>, Failure>>()?;
    if found.len() == all.len() && !may_remove_all {
        return Err(Failure::new(
            Exit::Usage,
            "no snapshot would be left",
            "nothing was forgotten: the backup would be empty",
            "if that is what you want, run the command again with --allow-remove-all",
        ));
    }
    Ok(all.iter().filter(|snapshot| found.contains(&snapshot.id)).collect())
}

fn tell_groups(groups: &[Group<'_>], args: &ForgetArgs, output: &mut Output) -> io::Result<()> {
    for group in groups {
        for (snapshot, reasons) in &group.kept {
            output.object("kept", snapshot_object(snapshot, texts(reasons)))?;
        }
        for snapshot in &group.of_the_future {
            output.object("kept", snapshot_object(snapshot, vec![OF_THE_FUTURE.to_owned()]))?;
            note(format_args!(
                "note: snapshot {} has a time of the future, as a wrong clock gives: it is kept, and not counted; \
                 to forget it, name it",
                short(&snapshot.id)
            ));
        }
        for snapshot in &group.forgotten {
            output.object("forgotten", snapshot_object(snapshot, Vec::new()))?;
        }
        if !args.quiet {
            output.text(group_text(group))?;
        }
    }
    Ok(())
}

/// Why a snapshot is kept whose time has not come yet.
const OF_THE_FUTURE: &str = "time of the future";

fn texts(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

fn snapshot_object(snapshot: &Snapshot, reasons: Vec<String>) -> Value {
    let mut object = snapshots::object(snapshot);
    if let Value::Object(fields) = &mut object {
        fields.insert("reasons".to_owned(), reasons.into());
    }
    object
}

fn group_text(group: &Group<'_>) -> String {
    let device = group.device_name.map(|name| format!(" of {}", format::printable(name.as_bytes())));
    let paths = group.paths.as_ref().map(|paths| {
        let paths: Vec<_> = paths.iter().map(|path| format::printable(path)).collect();
        format!(" with {}", paths.join(", "))
    });
    let which = [device, paths].into_iter().flatten().collect::<String>();
    let (kept, forgotten) = (group.kept.len() + group.of_the_future.len(), group.forgotten.len());
    let to_keep = group.kept.iter().map(|(snapshot, why)| (*snapshot, "keep", texts(why).join(", ")));
    let of_the_future = group.of_the_future.iter().map(|snapshot| (*snapshot, "keep", OF_THE_FUTURE.to_owned()));
    let to_forget = group.forgotten.iter().map(|snapshot| (*snapshot, "forget", String::new()));
    let mut rows: Vec<_> = to_keep.chain(of_the_future).chain(to_forget).collect();
    rows.sort_by_key(|(snapshot, ..)| (snapshot.number, snapshot.id));
    let row = |(snapshot, fate, reasons): (&Snapshot, &str, String)| {
        let (id, number, time) = (short(&snapshot.id), snapshot.number.to_string(), format::time(snapshot.time));
        [id, number, time, fate.to_owned(), reasons]
    };
    let table = format::table(["ID", "NUMBER", "TIME", "FATE", "REASON"], rows.into_iter().map(row));
    format!("snapshots{which}: {kept} to keep, {forgotten} to forget\n{table}\n")
}

fn tell_named(found: &[&Snapshot], args: &ForgetArgs, output: &mut Output) -> io::Result<()> {
    for snapshot in found {
        output.object("forgotten", snapshot_object(snapshot, Vec::new()))?;
        if !args.quiet {
            let (id, number, time) = (short(&snapshot.id), snapshot.number, format::time(snapshot.time));
            output.text(format_args!("snapshot {id}, number {number}, of {time}\n"))?;
        }
    }
    Ok(())
}

fn tell_end(
    forgotten: usize,
    kept: usize,
    args: &ForgetArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> io::Result<()> {
    let snapshots = format::count(forgotten as u64, "snapshot");
    if args.dry_run {
        return output.text(format_args!("dry run: would forget {snapshots} and keep {kept}\n"));
    }
    output.text(format_args!("forgot {snapshots}, kept {kept}\n"))?;
    if args.prune || forgotten == 0 {
        return Ok(());
    }
    let prune = invocation.command("prune");
    output.text(format_args!("what only they held stays on the storage until you give it back: {prune}\n"))
}
