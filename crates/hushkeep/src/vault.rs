//! Passwords behind a key vault (`spec/vault.md`): who knows the password, and can read the storage, gets the backup key back;
//! the vault counts every guess first.
//!
//! * [`VaultAddress`]: where a vault is, and by which key it is known.
//! * [`Transport`]: how messages get there; [`Https`] is one.
//! * [`add_password`], [`change_password`], [`remove_password`]: the owner's changes.
//! * [`attempts`]: what happened at the vault since this device last looked.
//!
//! Getting the key back with a password is one of the ways of [`Ask`](crate::Ask).

mod address;
mod guess;
mod https;
mod link;
mod register;
mod watch;

pub use address::{AddressError, VaultAddress};
pub use guess::{GuessAhead, GuessError};
pub use https::Https;
pub use hushkeep_vault::client::{EventKind, PastEvent, RegistrationError};
pub use hushkeep_vault::{Floor, Pair, TooWeak, VaultId};

pub use link::{Refusal, Reply, Transport, TransportError, VaultError};
pub use register::{
    RegisterError, Registered, UnfitPassword, add_password, change_password, delete_record, new_password,
    remove_password,
};
pub use watch::{
    Attempts, AttemptsError, Told, attempts, finish_changes, host_of, is_look_due, mark_seen, put_off_look,
};

pub(crate) use guess::{OpenedPair, guess};
pub(crate) use link::Link;
pub(crate) use register::{Staged, finish_registration, stage_for};
pub(crate) use watch::remember_guess;

use hushkeep_core::name::ProtectorId;
use hushkeep_repo::{Protector, ProtectorKind, Repository};
use hushkeep_vault::UpdateKey;

/// The passwords of a repository, whose records can be read.
pub fn pairs(repository: &Repository) -> Vec<(ProtectorId, Pair)> {
    repository.protectors().iter().filter_map(|protector| Some((protector.id, pair_of(protector)?))).collect()
}

/// What a protector says of a password; `None` if it is none, or damaged.
pub fn pair_of(protector: &Protector) -> Option<Pair> {
    match &protector.kind {
        ProtectorKind::Vault(bytes) => Pair::decode(bytes).ok(),
        _ => None,
    }
}

/// The keys that may change a record, the likeliest first: a rotation that was broken off may have left that of an earlier
/// epoch.
fn update_keys(repository: &Repository, pair: &Pair) -> Vec<UpdateKey> {
    repository.epoch_secrets().map(|secret| UpdateKey::derive(secret, &pair.vault, &pair.locator)).collect()
}

/// Does something as the owner, by the first key that the vault takes for the owner's. `None` if there is no key.
fn by_any<T>(
    owners: Vec<UpdateKey>,
    mut act: impl FnMut(UpdateKey) -> Result<T, VaultError>,
) -> Option<Result<T, VaultError>> {
    let mut done = None;
    for owner in owners {
        done = Some(act(owner));
        if !matches!(done, Some(Err(VaultError::Refused { refusal: Refusal::NotTheOwner, .. }))) {
            break;
        }
    }
    done
}

#[cfg(test)]
mod tests;
