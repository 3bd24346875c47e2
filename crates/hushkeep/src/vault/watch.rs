//! Looking at what happened at a vault: guesses that were not the owner's, and a vault that forgets (spec/vault.md §8).

use std::time::{Duration, SystemTime};

use hushkeep_core::name::ProtectorId;
use hushkeep_repo::ConfigError;
use hushkeep_vault::client::{History, HistoryError, PastEvent, Seen};
use hushkeep_vault::{Pair, RecordId, UpdateKey, Version};

use super::address::{AddressError, VaultAddress};
use super::guess::ProvenGuess;
use super::link::{Link, Refusal, Transport, VaultError};
use super::{by_any, pairs, update_keys};
use crate::home::{DeviceState, HomeError};
use crate::unlock::Opened;

/// What happened to a password's record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// The password.
    pub protector: ProtectorId,
    /// Where.
    pub host: String,
    /// How many guesses are left.
    pub left: u8,
    /// The newest events, the oldest first.
    pub events: Vec<PastEvent>,
    /// How many of them are new to this device.
    pub new: usize,
    /// Events that are new, too, and of which the vault tells nothing any more: they were too many.
    pub untold: u64,
    seen: (RecordId, Seen),
}

/// A vault that cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptsError {
    /// It gave no answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It tells another history than it did before: an old state was restored, and guesses at the password may have been given
    /// back; or it lies.
    #[error("the vault at {host} tells another history than it did before")]
    AnotherHistory {
        /// Where.
        host: String,
    },
    /// The vault has no record any more that this device has seen there: an old state was restored, or somebody deleted it.
    #[error("the vault at {host} has lost the record of the password")]
    Lost {
        /// Where.
        host: String,
    },
    /// The vault has another password than the repository names: with none of these the key is got back there.
    #[error("the vault at {host} has another password than the repository")]
    NoneLeads {
        /// Where.
        host: String,
    },
    /// What the repository says of the vault is damaged.
    #[error("what the repository says of the vault is damaged")]
    Damaged,
    /// This device cannot remember what it saw.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A change of the password that was broken off could not be finished.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What one vault told, or why it told nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Told {
    /// Where.
    pub host: String,
    record: RecordId,
    /// What it told.
    pub attempts: Result<Attempts, AttemptsError>,
}

/// Asks each vault what happened, and finishes changes of passwords that were broken off. What is new stays new until
/// [`mark_seen`].
pub fn attempts(opened: &mut Opened, transport: &dyn Transport) -> Vec<Told> {
    let all = pairs(&opened.repository);
    // The newest of a record comes last: where the vault was moved, it has the new address.
    let is_last = |(index, (_, pair)): &(usize, &(ProtectorId, Pair))| {
        all.iter().skip(*index + 1).all(|(_, other)| other.record() != pair.record())
    };
    let records: Vec<_> = all.iter().enumerate().filter(is_last).map(|(_, last)| last).collect();
    let mut told = Vec::with_capacity(records.len());
    for (protector, pair) in records {
        let of_record: Vec<_> = all.iter().filter(|(_, other)| other.record() == pair.record()).cloned().collect();
        let attempts = attempts_at(opened, transport, (*protector, pair), &of_record);
        told.push(Told { host: host_of(pair), record: pair.record(), attempts });
    }
    told
}

/// Finishes changes of passwords that were broken off, as far as their vaults answer. While they do not, the config keeps both
/// passwords.
pub fn finish_changes(opened: &mut Opened, transport: &dyn Transport) {
    let all = pairs(&opened.repository);
    let is_changing = |pair: &Pair| all.iter().filter(|(_, other)| other.record() == pair.record()).count() > 1;
    if all.iter().any(|(_, pair)| is_changing(pair)) {
        attempts(opened, transport);
    }
}

/// Where a pair says that its vault is, for people.
pub fn host_of(pair: &Pair) -> String {
    VaultAddress::of(pair).map_or_else(|_| pair.address.clone(), |address| address.host().to_owned())
}

fn attempts_at(
    opened: &mut Opened,
    transport: &dyn Transport,
    (protector, pair): (ProtectorId, &Pair),
    of_record: &[(ProtectorId, Pair)],
) -> Result<Attempts, AttemptsError> {
    let address = VaultAddress::of(pair)?;
    let link = Link { transport, address: &address };
    let before = opened.device.seen_at_vault(&pair.record())?;
    let (history, owner) = ask(opened, &link, pair, before.as_ref()).map_err(|error| match error {
        AttemptsError::Vault(VaultError::Refused { host, refusal: Refusal::NoRecord, .. }) if before.is_some() => {
            AttemptsError::Lost { host }
        }
        error => error,
    })?;
    // What somebody did between the two is yet to be told.
    let committed = finish_change(opened, &link, (&history, &owner), of_record)?;
    let is_next = |seen: &Seen| history.seen.seq().checked_add(1) == Some(seen.seq());
    let seen = committed.filter(is_next).unwrap_or(history.seen);
    let is_new = |event: &&PastEvent| before.is_none_or(|before| event.number > before.seq());
    Ok(Attempts {
        protector,
        host: address.host().to_owned(),
        left: history.left,
        new: history.events.iter().filter(is_new).count(),
        events: history.events,
        untold: history.untold,
        seen: (pair.record(), seen),
    })
}

/// Remembers that the owner was told: it is not new any more.
pub fn mark_seen(opened: &Opened, attempts: &Attempts) -> Result<(), HomeError> {
    let (record, seen) = &attempts.seen;
    opened.device.set_seen_at_vault(record, seen)
}

/// Remembers that the owner was told why a vault told nothing: the next look is due in a week.
pub fn put_off_look(opened: &Opened, told: &Told) {
    // If that cannot be noted, it is said again with the next backup.
    let _ = opened.device.set_looked_at_vault(&told.record, SystemTime::now());
}

/// A device that has the key looks so often.
const LOOK_EVERY: Duration = Duration::from_secs(7 * 86_400);

/// Whether this device has not looked at one of its vaults for a week.
pub fn is_look_due(opened: &Opened) -> bool {
    let is_due = |pair: &Pair| {
        let looked = opened.device.looked_at_vault(&pair.record());
        // A clock that was set back makes it look more often, not less.
        looked.and_then(|looked| looked.elapsed().ok()).is_none_or(|passed| passed >= LOOK_EVERY)
    };
    pairs(&opened.repository).iter().any(|(_, pair)| is_due(pair))
}

/// Remembers where a record is after this device's own change, if it is the first that it sees of it. Else others may have come
/// between, whom the owner is to see.
pub(crate) fn remember_change(device: &DeviceState, pair: &Pair, seen: Seen) {
    if matches!(device.seen_at_vault(&pair.record()), Ok(None)) {
        // If that cannot be kept, the next look tells of this device's own changes, too.
        let _ = device.set_seen_at_vault(&pair.record(), &seen);
    }
}

/// Takes the history that a vault tells now, if it does not lead on from what this device saw: who has changed the password
/// since has done what can be done about it. Returns whether that was so.
pub(crate) fn accept_history(opened: &Opened, link: &Link<'_>, pair: &Pair) -> bool {
    let before = opened.device.seen_at_vault(&pair.record()).ok().flatten();
    let goes_on = !matches!(ask(opened, link, pair, before.as_ref()), Err(AttemptsError::AnotherHistory { .. }));
    if goes_on {
        return false;
    }
    if let Ok((history, _)) = ask(opened, link, pair, None) {
        // If that cannot be kept, the next look says the same again.
        let _ = opened.device.set_seen_at_vault(&pair.record(), &history.seen);
    }
    true
}

/// Has the vault looked at with the next backup.
pub(crate) fn look_soon(device: &DeviceState, pair: &Pair) {
    // If that cannot be noted, it is looked at in a week at the latest.
    let _ = device.look_soon_at_vault(&pair.record());
}

/// Remembers where a record is after this device's right guess, unless others came between, whom the owner is to see. What this
/// device has seen before is replaced only by what leads on from it.
pub(crate) fn remember_guess(opened: &Opened, link: &Link<'_>, guessed: &ProvenGuess) {
    let (pair, (seen, changes)) = (&guessed.pair, guessed.seen);
    let is_own = match opened.device.seen_at_vault(&pair.record()) {
        Ok(None) => true,
        Ok(Some(before)) if before.seq().checked_add(changes) == Some(seen.seq()) => {
            ask(opened, link, pair, Some(&before)).is_ok_and(|(history, _)| history.seen == seen)
        }
        _ => false,
    };
    if is_own {
        // If that cannot be kept, the next look tells of this device's own guess, too.
        let _ = opened.device.set_seen_at_vault(&pair.record(), &seen);
    }
    if !guessed.is_reset {
        // A change was broken off, and who made it may be lost. As long as it is not finished, no right guess gives guesses
        // back.
        let _ = commit_waiting(opened, link, pair);
        look_soon(&opened.device, pair);
    }
}

/// Asks one vault, as the owner by the first key that it takes for the owner's.
fn ask(
    opened: &Opened,
    link: &Link<'_>,
    pair: &Pair,
    seen: Option<&Seen>,
) -> Result<(History, UpdateKey), AttemptsError> {
    let mut taken = None;
    let told = by_any(update_keys(&opened.repository, pair), |owner| {
        let told = link.ask(&pair.history(&owner));
        taken = Some(owner);
        told
    });
    let (told, owner) = (told.ok_or(AttemptsError::Damaged)??, taken.ok_or(AttemptsError::Damaged)?);
    let another = |HistoryError| AttemptsError::AnotherHistory { host: link.address.host().to_owned() };
    Ok((told.since(seen).map_err(another)?, owner))
}

/// Commits the password that waits at its vault, if the config names it: staging another one would erase it.
pub(crate) fn commit_waiting(opened: &Opened, link: &Link<'_>, pair: &Pair) -> Result<(), AttemptsError> {
    let (history, owner) = match ask(opened, link, pair, None) {
        // Then nothing waits.
        Err(AttemptsError::Vault(VaultError::Refused { refusal: Refusal::NoRecord, .. })) => return Ok(()),
        asked => asked?,
    };
    let named: Vec<_> =
        pairs(&opened.repository).into_iter().filter(|(_, other)| other.record() == pair.record()).collect();
    commit_named(opened, link, (&history, &owner), &named).map(drop)
}

/// Commits the password that waits, if it is one of these. Returns which it is, and where the record is then.
fn commit_named(
    opened: &Opened,
    link: &Link<'_>,
    (history, owner): (&History, &UpdateKey),
    named: &[(ProtectorId, Pair)],
) -> Result<Option<(Version, Seen)>, AttemptsError> {
    let Some((_, pair)) = named.iter().find(|(_, pair)| history.pending == Some(pair.version)) else { return Ok(None) };
    // The owner of the staged password signs for it, who may be that of a later epoch.
    let mut owners = update_keys(&opened.repository, pair);
    owners.insert(0, owner.clone());
    let committed = by_any(owners, |owner| link.ask(&pair.commit(&owner)));
    Ok(Some((pair.version, committed.ok_or(AttemptsError::Damaged)??.seen())))
}

/// Finishes a change of a password that was broken off: the one that waits at the vault and that the config names is committed,
/// and no other stays in the config. Returns where the record is then, if it was committed.
///
/// As long as the vault has not answered which of them holds, both stay.
fn finish_change(
    opened: &mut Opened,
    link: &Link<'_>,
    (history, owner): (&History, &UpdateKey),
    of_record: &[(ProtectorId, Pair)],
) -> Result<Option<Seen>, AttemptsError> {
    let (active, seen) = match commit_named(opened, link, (history, owner), of_record)? {
        Some((version, seen)) => (Some(version), Some(seen)),
        None => (history.active, None),
    };
    if !of_record.iter().any(|(_, pair)| Some(pair.version) == active) {
        return Err(AttemptsError::NoneLeads { host: link.address.host().to_owned() });
    }
    let is_gone = |id: &ProtectorId| of_record.iter().any(|(other, pair)| other == id && Some(pair.version) != active);
    if of_record.len() > 1 {
        let mut protectors = opened.repository.protectors().to_vec();
        protectors.retain(|protector| !is_gone(&protector.id));
        opened.repository.set_protectors(protectors, crate::now())?;
    }
    Ok(seen)
}

impl From<AddressError> for AttemptsError {
    fn from(_: AddressError) -> Self {
        Self::Damaged
    }
}
