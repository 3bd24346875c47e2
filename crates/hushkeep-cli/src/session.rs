//! Opening the repository that a command works on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use hushkeep::{Ask as _, Found, Home, Opened, OpenedBy, Place};

use crate::args::{KeyArgs, RepoArgs};
use crate::ask::Owner;
use crate::failure::{Exit, Failure, facts};
use crate::format;
use crate::output::note;

/// Opens the repository, by what was named, by the key on this device, or by what the owner gives.
pub(crate) fn open(repo: &RepoArgs, key: &KeyArgs) -> Result<Opened, Failure> {
    open_by(&repo.repo, Owner::with(key))
}

/// The same, with everything read from the storage itself.
pub(crate) fn open_uncached(repo: &RepoArgs, key: &KeyArgs) -> Result<Opened, Failure> {
    let home = Home::from_environment()?.without_cache();
    unlock(Found::find(&home, &repo.repo)?, Owner::with(key))
}

/// The same with an owner who has only some files.
pub(crate) fn open_by(place: &Place, owner: Owner) -> Result<Opened, Failure> {
    let home = Home::from_environment()?;
    unlock(Found::find(&home, place)?, owner)
}

/// Unlocks a repository, and tells what its owner should know of the way it went.
///
/// A secret that was named is used even if this device has the key: who names one wants to know that it works. Not so a
/// password alone, for each use may cost a guess.
pub(crate) fn unlock(found: Found, mut owner: Owner) -> Result<Opened, Failure> {
    let opened = if owner.has_named() { found.unlock_by_asking(&mut owner)? } else { found.unlock(&mut owner)? };
    warn(&opened);
    Ok(opened)
}

/// Tells what the owner should know of a repository that was just opened.
pub(crate) fn warn(opened: &Opened) {
    if let OpenedBy::RecoveryKey { repaired_group: Some(group) } = opened.by {
        note(format_args!("group {group} of the recovery key was wrong and could be repaired: correct what you have"));
    }
    warn_of_repository(opened);
}

/// The same, without what was wrong with the key.
pub(crate) fn warn_of_repository(opened: &Opened) {
    let damaged = opened.repository.damaged_commits();
    damaged.iter().for_each(|damage| note(format_args!("damaged: {damage}")));
    MET_DAMAGE.store(!damaged.is_empty(), Ordering::Relaxed);
    for damage in opened.repository.mended_commits() {
        note(format_args!("damaged: {damage}; this device knows what it said, and the next backup says it again"));
    }
    if let Some(error) = opened.repository.unremembered() {
        note(format_args!(
            "warning: this device cannot remember what it has seen here ({}), and would not notice if it is taken back",
            facts(error)
        ));
    }
    if let Some(error) = &opened.unremembered {
        note(format_args!("warning: this device cannot note that there is a repository here ({})", facts(error)));
    }
    let outdated = opened.repository.outdated_commits().count() as u64;
    if outdated > 0 {
        let changes = format::count(outdated, "change");
        note(format_args!(
            "note: {changes} to the repository came under an old key after it was replaced, and count for nothing: \
             from a device that did not know yet (back up there again), or from whoever has the old key"
        ));
    }
}

/// Tells of damage that did no harm, for other packs held what was needed.
pub(crate) fn tell_made_good(opened: &Opened) {
    for damage in opened.repository.made_good() {
        note(format_args!(
            "damaged: {damage}; what was needed of it is in another pack, too, which a prune may remove: run \
             `check --read-data`, and back up"
        ));
    }
}

/// Whether the repository that was opened has commits that cannot be read.
static MET_DAMAGE: AtomicBool = AtomicBool::new(false);

/// Whether snapshots may be missing because commits that told of them cannot be read.
pub(crate) fn may_lack_snapshots() -> bool {
    MET_DAMAGE.load(Ordering::Relaxed)
}

/// How a command ends that did its work on a repository with damaged commits.
pub(crate) fn end() -> Result<(), Failure> {
    if !may_lack_snapshots() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Damaged,
        "a part of the history cannot be read (named above)",
        "snapshots may be missing; the command did its work with all that can be read",
        "run `check --read-data` to see what is hurt, and `snapshots` to see what is there",
    ))
}

/// Whether a file is named that is not there.
pub(crate) fn is_missing(path: &Path) -> bool {
    path != Path::new("-") && matches!(path.try_exists(), Ok(false))
}
