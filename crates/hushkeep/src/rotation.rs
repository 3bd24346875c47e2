//! Replacing the key: who has the old one reads nothing that is written from now on.
//!
//! Whenever the program dies, this device can open the repository afterwards: before anything is stored it keeps the
//! new key beside the old one, and it gives neither up before it has seen which of the two holds.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::ProtectorId;
use hushkeep_core::recovery::RecoveryKey;
use hushkeep_core::wrap::{OutOfMemory, Passphrase, PassphraseWrap, WrapPlace};
use hushkeep_repo::{self as repo, ConfigError, Protector, ProtectorKind};

use crate::home::{DeviceState, HomeError, key_file_contents};
use crate::private_file;
use crate::unlock::{Opened, SecretError, open_wrap};
use crate::vault::{
    self, GuessAhead, GuessError, Link, OpenedPair, RegisterError, Transport, VaultAddress, VaultError,
};

/// A new key, and the ways that will lead to it. Nothing is stored yet.
pub struct Rotation {
    key: BackupKey,
    protectors: Vec<Protector>,
    /// Passwords that their vaults know for the new key, beside those for the old one.
    passwords: Vec<(Arc<dyn Transport>, vault::Staged)>,
}

/// The new key holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The configs that the storage refused to delete: who has the old key learns the old protectors there.
    pub undeleted: Vec<String>,
    /// Vaults that did not confirm a password for the new key: it leads there all the same, and the next look at the vault does
    /// it.
    pub unconfirmed: Vec<VaultError>,
    /// What went wrong afterwards.
    pub flaw: Option<ConfigError>,
}

/// A key that was not replaced, or of which nobody knows whether it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// This device keeps no key, and no file was named for the new one. Nothing was changed.
    #[error("the new key would be kept nowhere")]
    KeptNowhere,
    /// The new recovery key could not be written to its file. Nothing was changed.
    #[error("the new recovery key cannot be written to {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new key could not be kept on this device. Nothing was changed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The old key still holds.
    #[error(transparent)]
    Unchanged(ConfigError),
    /// The storage failed at the very moment. This device keeps both keys and finds out when it opens the repository;
    /// a file that was named has the new one.
    #[error(transparent)]
    Unknown(repo::RotateError),
}

/// A password that does not lead to the new key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// There is no such password, or it leads to the new key already.
    #[error("there is no such password")]
    NotFound,
    /// The vault did not say that it is right.
    #[error(transparent)]
    Guess(GuessError),
    /// It could not be registered for the new key.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl Rotation {
    /// Draws a new key. The recovery key leads to it, and nothing else yet.
    pub fn prepare() -> Self {
        let rng = &mut crate::random();
        let (id, label) = (ProtectorId::generate(rng), String::new());
        let recovery_key = Protector::new(id, ProtectorKind::RecoveryKey, label, crate::now());
        Self { key: BackupKey::generate(rng), protectors: vec![recovery_key], passwords: Vec::new() }
    }

    /// The new key, for its owner to write down.
    pub fn recovery_key(&self) -> RecoveryKey {
        RecoveryKey::from_backup_key(&self.key)
    }

    /// Lets a passphrase of the repository lead to the new key, under its old name. Returns its ids: the same may
    /// have been added twice.
    pub fn carry_over(&mut self, opened: &Opened, passphrase: &Passphrase) -> Result<Vec<ProtectorId>, SecretError> {
        let (mut carried, mut refused) = (Vec::new(), SecretError::NoPassphrase);
        for old in self.dropped(opened) {
            let ProtectorKind::Passphrase(wrap) = &old.kind else { continue };
            let (repository, epoch) = (opened.repository.id(), opened.repository.epoch());
            match open_wrap(wrap, passphrase, &WrapPlace { repository, protector: old.id, epoch }) {
                Ok(_) => carried.push(self.wrapped_anew(opened, old, wrap, passphrase)?),
                Err(error) => refused = error,
            }
        }
        let ids: Vec<ProtectorId> = carried.iter().map(|protector| protector.id).collect();
        self.protectors.extend(carried);
        if ids.is_empty() { Err(refused) } else { Ok(ids) }
    }

    /// Lets a password behind a vault lead to the new key, under its old name. The vault is asked first whether it is right:
    /// that costs a guess if it is not.
    pub fn carry_over_password(
        &mut self,
        opened: &Opened,
        transport: &Arc<dyn Transport>,
        id: &ProtectorId,
        password: &Passphrase,
        may_guess: &mut dyn FnMut(&GuessAhead) -> io::Result<bool>,
    ) -> Result<(), PasswordError> {
        let is_meant = |old: &&Protector| old.id == *id;
        let old = self.dropped(opened).into_iter().find(is_meant).ok_or(PasswordError::NotFound)?;
        let (mut protector, pair) = (old.clone(), vault::pair_of(old).ok_or(PasswordError::NotFound)?);
        let address = VaultAddress::of(&pair).map_err(|_| PasswordError::Guess(GuessError::Damaged))?;
        let link = Link { transport: &**transport, address: &address };
        let mut may_guess = |host: &str, left| may_guess(&GuessAhead { host: host.to_owned(), left, tried: 0 });
        let mut guess = vault::guess(link, &[pair], password, &mut may_guess).map_err(PasswordError::Guess)?;
        let proven = guess.next_key().map_err(PasswordError::Guess)?;
        let OpenedPair { by, .. } = proven.ok_or(PasswordError::NotFound)?;
        vault::remember_guess(opened, guess.link(), &by);
        let staged = vault::stage_for(opened, &**transport, &by.pair, password, &self.key)?;
        protector.kind = ProtectorKind::Vault(staged.pair().encode());
        self.protectors.push(protector);
        self.passwords.push((Arc::clone(transport), staged));
        Ok(())
    }

    /// The ways to the old key that do not lead to the new one, beside the old recovery key.
    pub fn dropped<'a>(&self, opened: &'a Opened) -> Vec<&'a Protector> {
        let is_dropped = |old: &&Protector| {
            old.kind != ProtectorKind::RecoveryKey && self.protectors.iter().all(|new| new.id != old.id)
        };
        opened.repository.protectors().iter().filter(is_dropped).collect()
    }

    /// Replaces the key. It is kept first: on this device, if that keeps the old one, and as a recovery key in a new
    /// file, if one is named.
    pub fn run(self, opened: &mut Opened, in_file: Option<&Path>) -> Result<Rotated, RotateError> {
        let device = opened.device.clone();
        self.keep(&device, in_file)?;
        let (undeleted, flaw) = match opened.repository.rotate(&self.key, self.protectors, crate::now()) {
            Ok(undeleted) => (undeleted, None),
            Err(repo::RotateError::Changed(error)) => (Vec::new(), Some(error)),
            Err(repo::RotateError::Unchanged(error)) => {
                // What cannot be removed is a key to nothing.
                let _ = device.drop_next_key(&self.key);
                let _ = in_file.map(fs::remove_file);
                return Err(RotateError::Unchanged(error));
            }
            Err(error) => return Err(RotateError::Unknown(error)),
        };
        if device.key_file().exists() {
            // If this fails, the next opening finds the new key beside the old one, and does it.
            let _ = device.adopt_next_key(&self.key);
        }
        opened.key = self.key;
        let finished = self
            .passwords
            .into_iter()
            .map(|(transport, staged)| vault::finish_registration(opened, &*transport, staged));
        let unconfirmed = finished.filter_map(Result::err).collect();
        Ok(Rotated { undeleted, flaw, unconfirmed })
    }

    /// Keeps the new key before anything is stored.
    fn keep(&self, device: &DeviceState, in_file: Option<&Path>) -> Result<(), RotateError> {
        let on_device = device.key_file().exists();
        if !on_device && in_file.is_none() {
            return Err(RotateError::KeptNowhere);
        }
        if on_device {
            device.keep_next_key(&self.key)?;
        }
        let Some(path) = in_file else { return Ok(()) };
        private_file::create(path, &key_file_contents(&self.key)).map_err(|source| {
            // What cannot be removed is a key to nothing.
            let _ = device.drop_next_key(&self.key);
            RotateError::KeyFile { path: path.to_owned(), source }
        })
    }

    /// The same protector for the new key, as costly to guess as it was.
    fn wrapped_anew(
        &self,
        opened: &Opened,
        old: &Protector,
        wrap: &[u8],
        passphrase: &Passphrase,
    ) -> Result<Protector, SecretError> {
        let rng = &mut crate::random();
        let wrap = PassphraseWrap::decode(wrap).map_err(|_| SecretError::PassphraseDamaged)?;
        // After the last epoch there is no rotation, which says so itself.
        let epoch = opened.repository.epoch();
        let epoch = epoch.next().unwrap_or(epoch);
        let place = WrapPlace { repository: opened.repository.id(), protector: old.id, epoch };
        let wrap = wrap.reseal(&self.key, passphrase, &place, rng);
        let wrap = wrap.map_err(|OutOfMemory { memory_kib }| SecretError::OutOfMemory { memory_kib })?;
        let mut protector = old.clone();
        protector.kind = ProtectorKind::Passphrase(wrap.encode());
        Ok(protector)
    }
}
