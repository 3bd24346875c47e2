//! The working keys of every epoch that this repository has lived through.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch, EpochKeys, EpochSecret};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::seal::Header;
use hushkeep_core::wire::{MAX_VARINT_LEN, Reader, WireError, put_varint};
use zeroize::Zeroizing;

/// Opens objects of any epoch, seals under the newest.
pub(crate) struct Keyring {
    repository: RepositoryId,
    current: Epoch,
    epochs: BTreeMap<Epoch, (EpochSecret, Arc<EpochKeys>)>,
}

impl Keyring {
    /// The keyring of the epoch that `key` belongs to.
    pub(crate) fn new(key: &BackupKey, repository: RepositoryId, epoch: Epoch) -> Self {
        let mut keyring = Self { repository, current: epoch, epochs: BTreeMap::new() };
        keyring.insert(key.epoch_secret(&repository, epoch));
        keyring
    }

    pub(crate) fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// The epoch that new objects belong to.
    pub(crate) fn newest(&self) -> Epoch {
        self.current
    }

    /// Whether a header says that the key was replaced: it has a later epoch of this repository. Nobody vouches for it.
    pub(crate) fn is_succeeded_by(&self, header: &Header) -> bool {
        header.repository == self.repository && header.epoch > self.current
    }

    /// Whether a key is that of the current epoch alone. Each rotation draws another: who has one that was replaced could make
    /// up a later epoch of it, and be found out by the secret of its true one.
    pub(crate) fn is_of_one_epoch(&self, key: &BackupKey) -> bool {
        let is_of = |(epoch, (secret, _)): (&Epoch, &(EpochSecret, _))| {
            key.epoch_secret(&self.repository, *epoch).ct_eq(secret)
        };
        !self.epochs.range(..self.current).any(is_of)
    }

    /// Whether a header says that it is of an earlier epoch of this repository. Nobody vouches for it.
    pub(crate) fn is_preceded_by(&self, header: &Header) -> bool {
        header.repository == self.repository && header.epoch < self.current
    }

    /// The keyring of the next epoch, under a new key. `None` after the last epoch that there can be.
    pub(crate) fn next(&self, key: &BackupKey) -> Option<Self> {
        let mut next = Self::new(key, self.repository, self.current.next()?);
        for (epoch, (secret, _)) in &self.epochs {
            next.insert(EpochSecret::from_secret(*epoch, Secret::from_slice(secret.expose())?));
        }
        Some(next)
    }

    /// The keys of every epoch that is known, the oldest first.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = &Arc<EpochKeys>> {
        self.epochs.values().map(|(_, keys)| keys)
    }

    /// The secrets of every epoch that is known, the newest first.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &EpochSecret> {
        self.epochs.values().rev().map(|(secret, _)| secret)
    }

    /// The keys that new objects are sealed under.
    pub(crate) fn current(&self) -> Option<&Arc<EpochKeys>> {
        self.epoch(self.current)
    }

    /// The keys of one epoch, if known.
    pub(crate) fn epoch(&self, epoch: Epoch) -> Option<&Arc<EpochKeys>> {
        self.epochs.get(&epoch).map(|(_, keys)| keys)
    }

    /// Takes in the older epochs' secrets that were sealed under this one (spec §3.6).
    pub(crate) fn add_older(&mut self, older: &OlderEpochs) -> Result<(), WireError> {
        older.read(self.current)?.into_iter().for_each(|secret| self.insert(secret));
        Ok(())
    }

    /// The older epochs' secrets, to be sealed under the current one (spec §3.6).
    pub(crate) fn older(&self) -> OlderEpochs {
        let older = self.epochs.range(..self.current);
        let mut out = Zeroizing::new(Vec::with_capacity(older.clone().count() * (MAX_VARINT_LEN + SECRET_LEN)));
        for (epoch, (secret, _)) in older {
            put_varint(&mut out, u64::from(epoch.0));
            out.extend_from_slice(secret.expose());
        }
        OlderEpochs(out)
    }

    fn insert(&mut self, secret: EpochSecret) {
        let keys = Arc::new(secret.working_keys(self.repository));
        // The first to tell of an epoch is the config; nothing later replaces its word.
        self.epochs.entry(secret.epoch()).or_insert((secret, keys));
    }
}

/// The length of an epoch's secret, in bytes.
const SECRET_LEN: usize = 32;

/// The secrets of older epochs as a config or a commit carries them (spec §3.6), erased when dropped.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(PartialEq, Eq))]
pub(crate) struct OlderEpochs(Zeroizing<Vec<u8>>);

impl OlderEpochs {
    /// As they were opened. What they hold is seen when they are read.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes, to be sealed.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secrets, all of which must be of epochs before `newer`, under which they were sealed.
    pub(crate) fn read(&self, newer: Epoch) -> Result<Vec<EpochSecret>, WireError> {
        let mut reader = Reader::new(&self.0);
        let mut secrets: Vec<EpochSecret> = Vec::new();
        while !reader.is_empty() {
            let epoch = Epoch(reader.varint_u32()?);
            let secret = Secret::from_slice(reader.take(SECRET_LEN)?).ok_or(WireError::Truncated)?;
            if epoch >= newer || secrets.last().is_some_and(|last| last.epoch() >= epoch) {
                return Err(WireError::Range);
            }
            secrets.push(EpochSecret::from_secret(epoch, secret));
        }
        Ok(secrets)
    }
}

impl fmt::Debug for OlderEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OlderEpochs(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_epochs_travel_under_the_newer() {
        let key = |byte: u8| BackupKey::from_secret(Secret::build(|b| *b = [byte; 32]));
        let repository = RepositoryId::from_bytes([9; 16]);
        let older = key(1).epoch_secret(&repository, Epoch(0));
        let encoded = [[0].as_slice(), older.expose()].concat();
        let carried = OlderEpochs::from_bytes(&encoded);

        let mut keyring = Keyring::new(&key(2), repository, Epoch(1));
        assert!(keyring.epoch(Epoch(0)).is_none());
        keyring.add_older(&carried).unwrap();
        assert_eq!(keyring.older(), carried);
        let expected = older.working_keys(repository).names().name(b"content");
        assert_eq!(keyring.epoch(Epoch(0)).unwrap().names().name(b"content"), expected);
        assert!(Keyring::new(&key(2), repository, Epoch(0)).add_older(&carried).is_err());
        let twice = OlderEpochs::from_bytes(&encoded.repeat(2));
        assert!(Keyring::new(&key(2), repository, Epoch(1)).add_older(&twice).is_err());
    }
}
