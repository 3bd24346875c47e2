//! How long what nothing needs any more is kept all the same, by the storage's clock.
//!
//! A pack is marked first, and dropped after a while: a backup that is under way may still use it, a restore may be
//! reading it. Where two devices can publish at once, one may not see the other's commit for days.

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Before a marked pack has been marked half as long as is waited on storages without exclusive creation, a backup may
/// use it again there.
pub(crate) const SECONDS_TO_REVIVE: i64 = 7 * DAY / 2;

/// How long packs are left alone that no commit names: a first backup through a slow line takes weeks, with interruptions, and
/// goes on with what it has stored.
pub(crate) const SECONDS_UNTIL_STRAY: i64 = 30 * DAY;

/// How long commits are kept that nothing needs any more: devices that have seen them look for them.
pub(crate) const SECONDS_OF_COMMITS: i64 = 90 * DAY;

/// How long ago a device must have seen a commit, by its own clock, to believe that it was dropped. Commits are kept
/// three times as long: the clocks of two devices may differ.
pub(crate) const SECONDS_UNTIL_DROPPED: i64 = 30 * DAY;

/// How long what was dropped is kept before it is deleted. Where two devices can publish at once, one that replaces the key may
/// not have seen that it was dropped; then it is still needed. In so long whoever deletes has seen that the key was replaced.
pub(crate) fn seconds_until_deleted(is_exclusive: bool) -> i64 {
    if is_exclusive { 0 } else { 7 * DAY }
}

/// How long a pack is marked before it may be dropped.
pub(crate) fn seconds_until_dropped(is_exclusive: bool) -> i64 {
    if is_exclusive { DAY } else { 7 * DAY }
}
