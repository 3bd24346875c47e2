//! What a policy makes of the snapshots of a repository: each group by itself.

use std::collections::BTreeMap;
use std::str::FromStr;

use hushkeep_core::name::ObjectId;
use hushkeep_repo::{Snapshot, Timestamp};
use jiff::tz::TimeZone;

use super::{Policy, Reason};

/// What the snapshots of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The device that made them. Two devices of the same name are still two.
    pub device: bool,
    /// Where on the device their sources were.
    pub paths: bool,
}

/// Not a list of what can be in common.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("device, paths, both with a comma between, or nothing at all")]
pub struct InvalidGroupBy;

/// The snapshots of one group, each list oldest first.
#[derive(Debug)]
pub struct Group<'a> {
    /// What their device is called now, if that is what they have in common.
    pub device_name: Option<&'a str>,
    /// Where their sources were, sorted, if that is what they have in common.
    pub paths: Option<Vec<&'a [u8]>>,
    /// Those to keep, and why.
    pub kept: Vec<(&'a Snapshot, Vec<Reason>)>,
    /// Those to forget.
    pub forgotten: Vec<&'a Snapshot>,
    /// Those that have a time of the future: a clock was wrong. They are kept, and the policy does not count them, for it
    /// would take them for the newest ever after, and forget what is made today.
    pub of_the_future: Vec<&'a Snapshot>,
}

/// Clocks of devices may differ by so many seconds.
const CLOCKS_DIFFER: i64 = 86_400;

/// A policy that keeps nothing: every snapshot would be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy that keeps nothing would forget every snapshot")]
pub struct EmptyPolicy;

/// Applies a policy to each group of snapshots.
///
/// A policy that is not empty keeps something of every group. An empty one is refused unless `may_remove_all`: then
/// everything is to be forgotten.
pub fn plan<'a>(
    snapshots: &'a [Snapshot],
    policy: &Policy,
    by: GroupBy,
    may_remove_all: bool,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Vec<Group<'a>>, EmptyPolicy> {
    if policy.is_empty() && !may_remove_all {
        return Err(EmptyPolicy);
    }
    let mut groups: BTreeMap<Key<'a>, Vec<&'a Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        groups.entry(Key::of(snapshot, by)).or_default().push(snapshot);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| members.first().map(|snapshot| snapshot.number));
    Ok(groups.into_iter().map(|(key, members)| Group::new(key, &members, policy, now, zone)).collect())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    device: Option<ObjectId>,
    paths: Option<Vec<&'a [u8]>>,
}

impl<'a> Key<'a> {
    fn of(snapshot: &'a Snapshot, by: GroupBy) -> Self {
        let mut paths: Vec<&[u8]> = snapshot.sources.iter().map(|source| source.path.as_slice()).collect();
        paths.sort_unstable();
        Self { device: by.device.then_some(snapshot.device), paths: by.paths.then_some(paths) }
    }
}

impl<'a> Group<'a> {
    fn new(key: Key<'a>, members: &[&'a Snapshot], policy: &Policy, now: Timestamp, zone: &TimeZone) -> Self {
        let newest = members.last().map(|snapshot| snapshot.device_name.as_str());
        let device_name = newest.filter(|_| key.device.is_some());
        let is_of_the_future = |snapshot: &&Snapshot| snapshot.time.seconds.saturating_sub(now.seconds) > CLOCKS_DIFFER;
        // Who wants nothing to be kept means these, too.
        let (of_the_future, members): (Vec<_>, Vec<_>) =
            members.iter().copied().partition(|snapshot| !policy.is_empty() && is_of_the_future(snapshot));
        let times: Vec<Timestamp> = members.iter().map(|snapshot| snapshot.time).collect();
        let (kept, forgotten) = (Vec::new(), Vec::new());
        let mut group = Self { device_name, paths: key.paths, kept, forgotten, of_the_future };
        for (snapshot, reasons) in members.into_iter().zip(policy.reasons(&times, now, zone)) {
            if reasons.is_empty() {
                group.forgotten.push(snapshot);
            } else {
                group.kept.push((snapshot, reasons));
            }
        }
        group
    }
}

impl FromStr for GroupBy {
    type Err = InvalidGroupBy;

    fn from_str(text: &str) -> Result<Self, InvalidGroupBy> {
        let mut by = Self { device: false, paths: false };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "device" => by.device = true,
                "paths" => by.paths = true,
                _ => return Err(InvalidGroupBy),
            }
        }
        Ok(by)
    }
}
