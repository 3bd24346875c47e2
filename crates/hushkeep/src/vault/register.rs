//! Registering a password, changing it, and taking it away (spec/vault.md §3).
//!
//! Whenever this is broken off, the old password or the new one leads to the key: the vault keeps both until the config names
//! the new one.

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::wrap::{KdfParams, Passphrase};
use hushkeep_repo::{ConfigError, Protector, ProtectorKind};
use hushkeep_vault::client::{Registration, RegistrationError, StagedPassword, UpdateKeys};
use hushkeep_vault::{Floor, Locator, Pair, TooWeak, UpdateKey, check_password};

use super::address::{AddressError, VaultAddress};
use super::link::{Link, Refusal, Transport, VaultError};
use super::watch::{self, AttemptsError};
use super::{by_any, pair_of, pairs, update_keys};
use crate::protectors::UnfitPassphrase;
use crate::unlock::Opened;

/// So often a change is begun.
const STAGE_ATTEMPTS: u32 = 3;

/// A password that was not registered, changed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The vault did not do its part. The password is as it was.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What the vault answered proves that it is another one, or is none of its protocol's.
    #[error("the vault at {host}: {source}")]
    Answer {
        /// Where.
        host: String,
        /// Why.
        source: RegistrationError,
    },
    /// What the repository says of the vault cannot be used.
    #[error("what the repository says of the vault is damaged")]
    Damaged,
    /// The repository has a password at this vault already.
    #[error("the repository has a password at this vault already")]
    HasPassword,
    /// The new address has another key: it is not the vault that has the password.
    #[error("the address is that of another vault")]
    AnotherVault,
    /// The repository has no password with this id.
    #[error("no password has the id {0}")]
    NotFound(String),
    /// The vault has deleted the record, but the repository still names it. The same again takes it out.
    #[error(transparent)]
    Deleted(ConfigError),
    /// The repository could not be changed. The password is as it was, or, if a reply of the storage was lost, either one leads
    /// to the key.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A password that leads to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// Its id in the repository.
    pub id: ProtectorId,
    /// Whether the vault has answered that it is the one that holds. If not, the one before leads to the key as well, until the
    /// vault is looked at the next time.
    pub is_confirmed: bool,
    /// Whether the vault tells another history than it did before. The owner, who has changed the password, takes what it tells
    /// now.
    pub went_back: bool,
}

/// A password that is too weak, or may not be the same later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitPassword {
    /// Nothing, or characters that later versions may read otherwise.
    #[error(transparent)]
    Unfit(#[from] UnfitPassphrase),
    /// It is guessed too soon.
    #[error(transparent)]
    TooWeak(#[from] TooWeak),
}

/// Takes a new password, unless it is too easy to guess for a vault of this sort.
pub fn new_password(typed: &str, floor: Floor) -> Result<Passphrase, UnfitPassword> {
    let password = Passphrase::new(typed).map_err(|_| UnfitPassphrase::Short)?;
    if !password.is_lasting() {
        return Err(UnfitPassphrase::UnknownCharacter.into());
    }
    check_password(&password, floor)?;
    Ok(password)
}

/// Adds a password behind a vault.
pub fn add_password(
    opened: &mut Opened,
    transport: &dyn Transport,
    vault: &VaultAddress,
    password: &Passphrase,
    label: &str,
) -> Result<Registered, RegisterError> {
    if pairs(&opened.repository).iter().any(|(_, pair)| pair.vault == vault.vault()) {
        return Err(RegisterError::HasPassword);
    }
    let link = Link { transport, address: vault };
    let locator = Locator::generate(&mut crate::random());
    let secret = opened.key.epoch_secret(&opened.repository.id(), opened.repository.epoch());
    let owner = UpdateKey::derive(&secret, &vault.vault(), &locator);
    let staged = stage(&link, locator, password, &opened.key, UpdateKeys { owner: &owner, next: &owner })?;
    let (id, now) = (ProtectorId::generate(&mut crate::random()), crate::now());
    let mut protectors = opened.repository.protectors().to_vec();
    protectors.push(Protector::new(id, ProtectorKind::Vault(staged.pair().encode()), label.to_owned(), now));
    // If this fails, the config may be there all the same, and be found: the record stays.
    opened.repository.set_protectors(protectors, now)?;
    let is_confirmed = confirm(opened, &link, staged, &owner, id)?;
    Ok(Registered { id, is_confirmed, went_back: false })
}

/// Replaces a password at its vault, which may be reached at another address now: from then on the config has that one.
pub fn change_password(
    opened: &mut Opened,
    transport: &dyn Transport,
    (id, moved): (&str, Option<&VaultAddress>),
    password: &Passphrase,
) -> Result<Registered, RegisterError> {
    let old = find(opened, id)?;
    let pair = pair_of(&old).ok_or(RegisterError::Damaged)?;
    let address = match moved {
        Some(moved) if moved.vault() != pair.vault => return Err(RegisterError::AnotherVault),
        Some(moved) => moved.clone(),
        None => VaultAddress::of(&pair)?,
    };
    let link = Link { transport, address: &address };
    let secret = opened.key.epoch_secret(&opened.repository.id(), opened.repository.epoch());
    let next = UpdateKey::derive(&secret, &pair.vault, &pair.locator);
    let staged = stage_by_any(opened, &link, &pair, password, &opened.key, &next)?;
    let (new, now) = (ProtectorId::generate(&mut crate::random()), crate::now());
    let kind = ProtectorKind::Vault(staged.pair().encode());
    let mut protectors = opened.repository.protectors().to_vec();
    // The new one and the one that holds, until the vault has the new one alone: a guess is at two at most.
    let stays = |other: &Protector| match pair_of(other).filter(|other| other.record() == pair.record()) {
        Some(other) => Some(other.version) == staged.active(),
        None => true,
    };
    protectors.retain(stays);
    protectors.push(Protector::new(new, kind, old.label.clone(), now));
    opened.repository.set_protectors(protectors.clone(), now)?;
    let is_confirmed = confirm(opened, &link, staged, &next, new)?;
    if is_confirmed {
        let is_other = |other: &Protector| pair_of(other).is_some_and(|other| other.record() == pair.record());
        protectors.retain(|protector| protector.id == new || !is_other(protector));
        if opened.repository.set_protectors(protectors, now).is_err() {
            // The one of before leads nowhere any more. The next look at the vault takes it out.
            watch::look_soon(&opened.device, &pair);
        }
    }
    let went_back = is_confirmed && watch::accept_history(opened, &link, &pair);
    Ok(Registered { id: new, is_confirmed, went_back })
}

/// Deletes a password's record at the vault, then takes it out of the repository. Where the vault is gone for good,
/// `without_vault` leaves the record to it.
pub fn remove_password(
    opened: &mut Opened,
    transport: &dyn Transport,
    id: &str,
    without_vault: bool,
) -> Result<Vec<String>, RegisterError> {
    let old = find(opened, id)?;
    let pair = pair_of(&old);
    if !without_vault {
        delete_record(opened, transport, &pair.clone().ok_or(RegisterError::Damaged)?)?;
    }
    let mut protectors = opened.repository.protectors().to_vec();
    // The other one of a change that was broken off has the same record.
    let has_record = |other: &Protector| pair_of(other).map(|other| other.record()) == pair.as_ref().map(Pair::record);
    protectors.retain(|protector| protector.id != old.id && !(pair.is_some() && has_record(protector)));
    opened.repository.set_protectors(protectors, crate::now()).map_err(|error| match without_vault {
        true => error.into(),
        false => RegisterError::Deleted(error),
    })
}

/// Deletes a record at its vault.
pub fn delete_record(opened: &Opened, transport: &dyn Transport, pair: &Pair) -> Result<(), RegisterError> {
    let address = VaultAddress::of(pair)?;
    let link = Link { transport, address: &address };
    let deleted = by_any(update_keys(&opened.repository, pair), |owner| link.ask(&pair.delete(&owner)));
    Ok(deleted.ok_or(RegisterError::Damaged)??)
}

/// A password that waits at its vault for the config to name it.
pub(crate) struct Staged {
    address: VaultAddress,
    password: StagedPassword,
    next: UpdateKey,
}

impl Staged {
    /// What the config must say.
    pub(crate) fn pair(&self) -> &Pair {
        self.password.pair()
    }
}

/// Registers a password anew, for a key that will replace the one that holds.
pub(crate) fn stage_for(
    opened: &Opened,
    transport: &dyn Transport,
    pair: &Pair,
    password: &Passphrase,
    key: &BackupKey,
) -> Result<Staged, RegisterError> {
    let address = VaultAddress::of(pair)?;
    let epoch = opened.repository.epoch();
    let secret = key.epoch_secret(&opened.repository.id(), epoch.next().unwrap_or(epoch));
    let next = UpdateKey::derive(&secret, &pair.vault, &pair.locator);
    let staged = stage_by_any(opened, &Link { transport, address: &address }, pair, password, key, &next)?;
    Ok(Staged { address, password: staged, next })
}

/// Makes it the password that holds, once the config names it. If that fails, the next look at the vault does it, and is due.
pub(crate) fn finish_registration(
    opened: &Opened,
    transport: &dyn Transport,
    staged: Staged,
) -> Result<(), VaultError> {
    let Staged { address, password, next } = staged;
    let (pair, request) = password.commit(&next);
    let committed = Link { transport, address: &address }.ask(&request);
    if committed.is_err() {
        watch::look_soon(&opened.device, &pair);
    }
    committed.map(drop)
}

fn find(opened: &Opened, id: &str) -> Result<Protector, RegisterError> {
    let is_meant =
        |protector: &&Protector| protector.id.to_string() == id && matches!(protector.kind, ProtectorKind::Vault(_));
    let found = opened.repository.protectors().iter().find(is_meant);
    found.cloned().ok_or_else(|| RegisterError::NotFound(id.to_owned()))
}

fn stage_by_any(
    opened: &Opened,
    link: &Link<'_>,
    pair: &Pair,
    password: &Passphrase,
    key: &BackupKey,
    next: &UpdateKey,
) -> Result<StagedPassword, RegisterError> {
    watch::commit_waiting(opened, link, pair)?;
    let owners = update_keys(&opened.repository, pair);
    let mut attempt = 1;
    loop {
        let mut staged = Err(RegisterError::Damaged);
        for owner in &owners {
            staged = stage(link, pair.locator, password, key, UpdateKeys { owner, next });
            if !is_refused(&staged, &Refusal::NotTheOwner) {
                break;
            }
        }
        // Somebody guessed in between, who may do that again and again.
        if attempt == STAGE_ATTEMPTS || !is_refused(&staged, &Refusal::Meanwhile) {
            return staged;
        }
        attempt += 1;
    }
}

fn is_refused<T>(staged: &Result<T, RegisterError>, why: &Refusal) -> bool {
    matches!(staged, Err(RegisterError::Vault(VaultError::Refused { refusal, .. })) if refusal == why)
}

/// Puts a password beside the one that holds.
fn stage(
    link: &Link<'_>,
    locator: Locator,
    password: &Passphrase,
    key: &BackupKey,
    keys: UpdateKeys<'_>,
) -> Result<StagedPassword, RegisterError> {
    let rng = &mut crate::random();
    let place = (link.address.base.clone(), link.address.vault);
    let answer = |source| RegisterError::Answer { host: link.address.host().to_owned(), source };
    let begun = Registration::begin(place, locator, password, KdfParams::DEFAULT, rng);
    let (registration, request) = begun.map_err(answer)?;
    let reply = link.ask(&request)?;
    let (staged, request) = registration.stage(&reply, key, keys, rng).map_err(answer)?;
    link.ask(&request)?;
    Ok(staged)
}

/// Makes a staged password, which the config names by now, the one that holds. `false` if no answer came: it leads to the key
/// all the same, and the next look at the vault does it. If the vault refuses, for another device has staged another, it is
/// taken out again.
fn confirm(
    opened: &mut Opened,
    link: &Link<'_>,
    staged: StagedPassword,
    next: &UpdateKey,
    id: ProtectorId,
) -> Result<bool, RegisterError> {
    let (pair, request) = staged.commit(next);
    match link.ask(&request) {
        Ok(reply) => {
            watch::remember_change(&opened.device, &pair, reply.seen());
            Ok(true)
        }
        Err(error @ VaultError::Refused { .. }) if error.is_final() => {
            let mut protectors = opened.repository.protectors().to_vec();
            protectors.retain(|protector| protector.id != id);
            if opened.repository.set_protectors(protectors, crate::now()).is_err() {
                // Until the next look at the vault the config names one that leads nowhere, beside the one that holds.
                watch::look_soon(&opened.device, &pair);
            }
            Err(error.into())
        }
        Err(_) => {
            watch::look_soon(&opened.device, &pair);
            Ok(false)
        }
    }
}

impl From<AttemptsError> for RegisterError {
    fn from(error: AttemptsError) -> Self {
        match error {
            AttemptsError::Vault(error) => error.into(),
            _ => Self::Damaged,
        }
    }
}

impl From<AddressError> for RegisterError {
    fn from(_: AddressError) -> Self {
        Self::Damaged
    }
}
