//! Opening the repository that a command works on.

use std::path::Path;

use hushkeep::repo::Damage;
use hushkeep::{Found, Home, Opened, OpenedBy, Place};

use crate::args::{KeyArgs, RepoArgs};
use crate::ask::Owner;
use crate::failure::Failure;
use crate::output::note;

/// Opens the repository, by what was named, by the key on this device, or by what the owner gives.
pub(crate) fn open(repo: &RepoArgs, key: &KeyArgs) -> Result<Opened, Failure> {
    open_by(&repo.repo, Owner::with(key))
}

/// The same with an owner who has only some files.
pub(crate) fn open_by(place: &Place, owner: Owner) -> Result<Opened, Failure> {
    let home = Home::from_environment()?;
    unlock(Found::find(&home, place)?, owner)
}

/// Unlocks a repository, and tells what its owner should know of the way it went.
///
/// A secret that was named is used even if this device has the key: who names one wants to know that it works.
pub(crate) fn unlock(found: Found, mut owner: Owner) -> Result<Opened, Failure> {
    let opened = if owner.has_files() { found.unlock_by_asking(&mut owner)? } else { found.unlock(&mut owner)? };
    warn_of_repair(opened.by);
    opened.repository.damaged_commits().iter().for_each(warn_of_damage);
    Ok(opened)
}

/// Tells which group of a recovery key was wrong.
pub(crate) fn warn_of_repair(by: OpenedBy) {
    if let OpenedBy::RecoveryKey { repaired_group: Some(group) } = by {
        note(format_args!("group {group} of the recovery key was wrong and could be repaired: correct what you have"));
    }
}

fn warn_of_damage(damage: &Damage) {
    note(format_args!("warning: {damage}; it was not needed now, \"check\" tells what it means"));
}

/// Whether a file is named that is not there.
pub(crate) fn is_missing(path: &Path) -> bool {
    path != Path::new("-") && matches!(path.try_exists(), Ok(false))
}
