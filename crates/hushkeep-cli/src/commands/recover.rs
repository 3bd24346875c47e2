//! `hushkeep recover`: get the key back on a new device.

use hushkeep::repo::Snapshot;
use hushkeep::{Found, Home};
use serde_json::json;

use super::backup::short;
use super::snapshots;
use crate::args::OpenArgs;
use crate::ask::Owner;
use crate::failure::Failure;
use crate::format;
use crate::output::{Output, note};
use crate::session::warn_of_repair;

/// From this many days on, a newest snapshot is old enough to be doubted.
const OLD_DAYS: i64 = 8;

pub(crate) fn run(args: &OpenArgs, output: &mut Output) -> Result<(), Failure> {
    let home = Home::from_environment()?;
    let found = Found::find_any(&home, &args.repo.repo)?;
    let opened = found.unlock_by_asking(&mut Owner::with(&args.key))?;
    opened.device.keep_key(&opened.key)?;
    warn_of_repair(opened.by);
    let snapshots = opened.repository.snapshots();
    let newest = snapshots.last();
    let object = json!({
        "repository": opened.repository.id().to_string(),
        "snapshots": snapshots.len(),
        "newest": newest.map(snapshots::object),
    });
    output.result("summary", object, "the key is kept on this device now; further commands ask nothing")?;
    match newest {
        Some(newest) => tell_newest(newest, output)?,
        None => output.text("there are no snapshots yet\n")?,
    }
    Ok(())
}

/// A new device cannot know whether the storage shows everything: its owner may.
fn tell_newest(newest: &Snapshot, output: &mut Output) -> std::io::Result<()> {
    let now = hushkeep::now();
    let (number, id, time) = (newest.number, short(&newest.id), format::time(newest.time));
    let (age, device) = (format::age(newest.time, now), format::printable(newest.device_name.as_bytes()));
    output.text(format_args!("newest snapshot: {id}, number {number}, of {time} ({age} ago), made by {device}\n"))?;
    if now.seconds.saturating_sub(newest.time.seconds) > OLD_DAYS * 24 * 60 * 60 {
        note(format_args!("warning: it is {age} old. if you made backups since, the storage does not show them"));
    }
    Ok(())
}
