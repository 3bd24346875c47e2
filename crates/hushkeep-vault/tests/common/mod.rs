//! A vault with its records in memory, and owners.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::ops::RangeInclusive;
use std::sync::Mutex;

use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::wrap::{KdfParams, Passphrase};
use hushkeep_vault::client::{PayloadError, Recovery, RecoveryError, Registration, StagedPassword, UpdateKeys};
use hushkeep_vault::message::{Event, ProofReply, StageRequest};
use hushkeep_vault::server::{
    AttemptStore, ChangeRefused, GuessRefused, MemoryStore, Policy, ProofRefused, Row, Secrets, StoreError, Vault,
};
use hushkeep_vault::{Locator, Pair, RecordId, UpdateKey};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn password(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

pub(crate) fn key(byte: u8) -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [byte; 32]))
}

/// A vault and its store.
pub(crate) struct Place {
    pub(crate) vault: Vault,
    pub(crate) store: MemoryStore,
}

impl Place {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { vault: Vault::new(Secrets::generate(NOW, &mut rng(1)), policy).unwrap(), store: MemoryStore::default() }
    }

    /// No waits between guesses.
    pub(crate) fn without_waits() -> Self {
        Self::new(Policy { waits: [0; 9], ..Policy::DEFAULT })
    }

    /// One guess, from end to end.
    pub(crate) fn guess(
        &self,
        pairs: &[Pair],
        text: &str,
        now: i64,
        seed: u64,
    ) -> Result<(BackupKey, ProofReply), Guess> {
        let (mut rng, password) = (rng(seed), password(text));
        let (recovery, request) = Recovery::begin(pairs, &password, &mut rng)?;
        let reply = self.vault.guess(&self.store, &request, now, &mut rng)?;
        let (awaiting, request) = recovery.prove(&reply, &mut rng)?.remove(0);
        let reply = self.vault.prove(&self.store, &request, now, &mut rng)?.reply;
        Ok((awaiting.open(&reply)?, reply))
    }
}

/// Why a guess gave nothing.
#[derive(Debug)]
pub(crate) enum Guess {
    Client(RecoveryError),
    Refused(GuessRefused),
    Finish(ProofRefused),
    Key(PayloadError),
}

macro_rules! from {
    ($($error:ident: $variant:ident),*) => {$(
        impl From<$error> for Guess {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
from!(RecoveryError: Client, GuessRefused: Refused, ProofRefused: Finish, PayloadError: Key);

/// Somebody with a backup key.
pub(crate) struct Owner {
    pub(crate) key: BackupKey,
    pub(crate) locator: Locator,
}

impl Owner {
    pub(crate) fn new(byte: u8) -> Self {
        Self { key: key(byte), locator: Locator::generate(&mut rng(byte.into())) }
    }

    pub(crate) fn update_key(&self, place: &Place) -> UpdateKey {
        let secret = self.key.epoch_secret(&RepositoryId::from_bytes([1; 16]), Epoch::FIRST);
        UpdateKey::derive(&secret, &place.vault.id(), &self.locator)
    }

    /// What is sent to put a password beside the one that holds.
    pub(crate) fn stage_request(&self, place: &Place, password: &Passphrase, seed: u64) -> StageRequest {
        let (mut rng, owner) = (rng(seed), self.update_key(place));
        let vault = ("https://vault.example".to_owned(), place.vault.id());
        let begun = Registration::begin(vault, self.locator, password, KdfParams::FLOOR, &mut rng);
        let (registration, request) = begun.unwrap();
        let reply = place.vault.begin(&place.store, &request, NOW, &mut rng).unwrap();
        registration.stage(&reply, &self.key, UpdateKeys { owner: &owner, next: &owner }, &mut rng).unwrap().1
    }

    pub(crate) fn stage(
        &self,
        place: &Place,
        text: &str,
        now: i64,
        seed: u64,
    ) -> Result<StagedPassword, ChangeRefused> {
        self.stage_in(place, &place.store, text, now, seed)
    }

    /// The same in another store.
    pub(crate) fn stage_in(
        &self,
        place: &Place,
        store: &dyn AttemptStore,
        text: &str,
        now: i64,
        seed: u64,
    ) -> Result<StagedPassword, ChangeRefused> {
        let (mut rng, password) = (rng(seed), password(text));
        let vault = ("https://vault.example".to_owned(), place.vault.id());
        let begun = Registration::begin(vault, self.locator, &password, KdfParams::FLOOR, &mut rng);
        let (registration, request) = begun.unwrap();
        let reply = place.vault.begin(store, &request, now, &mut rng)?;
        let owner = self.update_key(place);
        let staged = registration.stage(&reply, &self.key, UpdateKeys { owner: &owner, next: &owner }, &mut rng);
        let (staged, request) = staged.unwrap();
        place.vault.stage(store, &request, now, &mut rng)?;
        Ok(staged)
    }

    /// Registers a password, or changes it.
    pub(crate) fn register(&self, place: &Place, text: &str, now: i64, seed: u64) -> Result<Pair, ChangeRefused> {
        let (pair, request) = self.stage(place, text, now, seed)?.commit(&self.update_key(place));
        place.vault.commit(&place.store, &request, now, &mut rng(seed + 1))?;
        Ok(pair)
    }
}

/// A store in which something else happens between reading a record and changing it, once.
pub(crate) struct Between<'a> {
    store: &'a MemoryStore,
    act: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl<'a> Between<'a> {
    pub(crate) fn new(store: &'a MemoryStore, act: impl FnOnce() + Send + 'a) -> Self {
        Self { store, act: Mutex::new(Some(Box::new(act))) }
    }
}

impl AttemptStore for Between<'_> {
    fn load(&self, record: &RecordId) -> Result<Option<Row>, StoreError> {
        let loaded = self.store.load(record);
        if let Some(act) = self.act.lock().unwrap().take() {
            act();
        }
        loaded
    }

    fn insert(&self, record: &RecordId, row: &Row, event: &Event) -> Result<bool, StoreError> {
        self.store.insert(record, row, event)
    }

    fn replace(&self, record: &RecordId, row: &Row, new: &Row, event: &Event) -> Result<bool, StoreError> {
        self.store.replace(record, row, new, event)
    }

    fn reseal(&self, record: &RecordId, row: &Row, new: &Row) -> Result<bool, StoreError> {
        self.store.reseal(record, row, new)
    }

    fn delete(&self, record: &RecordId, row: &Row) -> Result<bool, StoreError> {
        self.store.delete(record, row)
    }

    fn due(&self, waiting: RangeInclusive<i64>, count: usize) -> Result<Vec<RecordId>, StoreError> {
        self.store.due(waiting, count)
    }

    fn events(&self, record: &RecordId, until: u64, count: usize) -> Result<Vec<Event>, StoreError> {
        self.store.events(record, until, count)
    }
}
