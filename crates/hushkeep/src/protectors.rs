//! The ways to get the backup key back, and changing them.

use hushkeep_core::name::ProtectorId;
use hushkeep_core::wrap::{KdfParams, OutOfMemory, Passphrase, PassphraseWrap, WrapPlace};
use hushkeep_repo::{ConfigError, Protector, ProtectorKind};

use crate::unlock::Opened;

/// The fewest characters of a new passphrase.
pub const MIN_PASSPHRASE_LEN: usize = 12;

/// The fewest different characters of a new passphrase.
const MIN_DIFFERENT: usize = 5;

/// A passphrase that everybody would try first, or that may not be the same later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitPassphrase {
    /// Too few characters.
    #[error("the passphrase is shorter than {MIN_PASSPHRASE_LEN} characters")]
    Short,
    /// The same few characters again and again.
    #[error("the passphrase repeats the same few characters")]
    Repetitive,
    /// A character that Unicode may have yet to define.
    #[error("the passphrase has a character that this version of hushkeep does not know")]
    UnknownCharacter,
}

/// Takes a new passphrase, unless it is plainly weak or may not be the same to a later version.
///
/// This is a floor and no measure: whoever holds the repository can try passphrases as fast as their machines
/// allow, and only a passphrase that nobody would come up with withstands that.
pub fn new_passphrase(typed: &str) -> Result<Passphrase, UnfitPassphrase> {
    let characters: std::collections::BTreeSet<_> = typed.chars().collect();
    if typed.chars().count() < MIN_PASSPHRASE_LEN {
        return Err(UnfitPassphrase::Short);
    }
    if characters.len() < MIN_DIFFERENT {
        return Err(UnfitPassphrase::Repetitive);
    }
    let passphrase = Passphrase::new(typed).map_err(|_| UnfitPassphrase::Short)?;
    if passphrase.is_lasting() { Ok(passphrase) } else { Err(UnfitPassphrase::UnknownCharacter) }
}

/// A protector that could not be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The passphrase's key cannot be derived.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The change could not be published.
    #[error(transparent)]
    Publish(#[from] ConfigError),
}

/// Adds a passphrase.
pub fn add_passphrase(opened: &mut Opened, passphrase: &Passphrase, label: &str) -> Result<ProtectorId, AddError> {
    let rng = &mut crate::random();
    let id = ProtectorId::generate(rng);
    let place = WrapPlace { repository: opened.repository.id(), protector: id, epoch: opened.repository.epoch() };
    let wrap = PassphraseWrap::seal(&opened.key, passphrase, KdfParams::DEFAULT, &place, rng)?;
    let kind = ProtectorKind::Passphrase(wrap.encode());
    let now = crate::now();
    let mut protectors = opened.repository.protectors().to_vec();
    protectors.push(Protector::new(id, kind, label.to_owned(), now));
    opened.repository.set_protectors(protectors, now)?;
    Ok(id)
}

/// A protector that could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// No protector has this id.
    #[error("no protector has the id {0}")]
    NotFound(String),
    /// No protector has this id, and the storage refused to delete older configs. If it was removed before, it still opens
    /// them.
    #[error("no protector has the id {0}, and the storage refuses to delete older configs")]
    MayBeLeft(String),
    /// The recovery key is the backup key itself.
    #[error("the recovery key is the key of the backup itself and cannot be removed")]
    RecoveryKey,
    /// The change could not be published.
    #[error(transparent)]
    Publish(#[from] ConfigError),
}

/// Removes a protector. The recovery key always stays, so that never the last one goes.
///
/// What was stored before is not called back: whoever kept a copy of the repository from before can still try
/// a removed passphrase on that copy. So does a storage that refuses to delete: returns the objects it kept.
pub fn remove(opened: &mut Opened, id: &str) -> Result<Vec<String>, RemoveError> {
    let mut protectors = opened.repository.protectors().to_vec();
    let place = protectors.iter().position(|protector| protector.id.to_string() == id);
    let Some(place) = place else {
        // It may have been removed by somebody who was killed then: earlier configs still have it.
        let undeleted = opened.repository.finish_change(crate::now())?;
        let error = if undeleted.is_empty() { RemoveError::NotFound } else { RemoveError::MayBeLeft };
        return Err(error(id.to_owned()));
    };
    if protectors.remove(place).kind == ProtectorKind::RecoveryKey {
        return Err(RemoveError::RecoveryKey);
    }
    Ok(opened.repository.set_protectors(protectors, crate::now())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plainly_weak_or_passing_passphrases_are_refused() {
        assert_eq!(new_passphrase("short").unwrap_err(), UnfitPassphrase::Short);
        assert_eq!(new_passphrase("").unwrap_err(), UnfitPassphrase::Short);
        assert_eq!(new_passphrase("abababababababab").unwrap_err(), UnfitPassphrase::Repetitive);
        assert_eq!(new_passphrase("six words and \u{378}").unwrap_err(), UnfitPassphrase::UnknownCharacter);
        assert!(new_passphrase("шесть слов подряд").is_ok(), "characters are counted, not bytes");
    }
}
