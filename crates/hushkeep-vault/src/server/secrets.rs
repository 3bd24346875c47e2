//! The vault's own keys (spec/vault.md §9.1): whoever has them and the store can test passwords, as fast as Argon2id lets him.

use ed25519_dalek::{Signer, SigningKey};
use hushkeep_core::Secret;
use hushkeep_core::symmetric::derive;
use hushkeep_core::wire::{Reader, WireError, put_varint};
use opaque_ke::ServerSetup;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::message::SIGNATURE_LEN;
use crate::name::{RecordId, VaultId};
use crate::suite::{Numbers, Suite, len};

/// A key under which records are sealed, and its number. The newest seals; older ones open what was sealed before.
pub struct Kek {
    /// Counts up with each new key.
    pub epoch: u32,
    /// When it was made, in seconds since 1970-01-01 00:00:00 UTC.
    pub made: u64,
    key: Secret<32>,
}

/// All secrets of a vault.
pub struct Secrets {
    identity: Secret<32>,
    /// The same as a key, made once: each request needs it several times.
    signing_key: SigningKey,
    opaque: Secret<{ len::SETUP }>,
    /// The newest last; never empty.
    keks: Vec<Kek>,
}

/// Bytes that are no vault's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not the keys of a vault")]
pub struct SecretsError;

impl From<WireError> for SecretsError {
    fn from(_: WireError) -> Self {
        Self
    }
}

/// How a file of secrets begins.
const MAGIC: &[u8; 16] = b"hushkeep vault/1";

impl Secrets {
    /// Draws the keys of a new vault.
    pub fn generate(now: i64, rng: &mut dyn CryptoRng) -> Self {
        let identity = Secret::generate(rng);
        let setup = ServerSetup::<Suite>::new(&mut Numbers(rng));
        let opaque = Secret::build(|bytes| bytes.copy_from_slice(&Zeroizing::new(setup.serialize())));
        Self {
            signing_key: SigningKey::from_bytes(identity.expose()),
            identity,
            opaque,
            keks: vec![Kek { epoch: 0, made: now.max(0).unsigned_abs(), key: Secret::generate(rng) }],
        }
    }

    /// Adds a key under which is sealed from now on. The older ones stay: they open what was sealed before.
    pub fn add_kek(&mut self, now: i64, rng: &mut dyn CryptoRng) -> Result<(), SecretsError> {
        let epoch = self.newest().checked_add(1).ok_or(SecretsError)?;
        self.keks.push(Kek { epoch, made: now.max(0).unsigned_abs(), key: Secret::generate(rng) });
        Ok(())
    }

    /// Gives up all keys but the newest: what was sealed under them opens no more, in no copy of the records.
    pub fn drop_older_keks(&mut self) {
        let older = self.keks.len().saturating_sub(1);
        self.keks.drain(..older);
    }

    /// The keys of records, the oldest first.
    pub fn keks(&self) -> &[Kek] {
        &self.keks
    }

    /// As they are kept (spec/vault.md §9.1): magic, identity, OPAQUE's setup, then number, time and 32 bytes for each key of
    /// records.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let len = MAGIC.len() + 32 + len::SETUP + self.keks.len() * 48;
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.identity.expose());
        out.extend_from_slice(self.opaque.expose());
        for kek in &self.keks {
            put_varint(&mut out, kek.epoch.into());
            put_varint(&mut out, kek.made);
            out.extend_from_slice(kek.key.expose());
        }
        out
    }

    /// Reads them.
    pub fn decode(bytes: &[u8]) -> Result<Self, SecretsError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(SecretsError);
        }
        let identity = Secret::from_slice(reader.take(32)?).ok_or(SecretsError)?;
        let opaque = Secret::from_slice(reader.take(len::SETUP)?).ok_or(SecretsError)?;
        let mut keks: Vec<Kek> = Vec::new();
        while !reader.is_empty() {
            let epoch = reader.varint_u32()?;
            if keks.last().is_some_and(|last| last.epoch >= epoch) {
                return Err(SecretsError);
            }
            let made = reader.varint()?;
            keks.push(Kek { epoch, made, key: Secret::from_slice(reader.take(32)?).ok_or(SecretsError)? });
        }
        if keks.is_empty() {
            Err(SecretsError)
        } else {
            Ok(Self { signing_key: SigningKey::from_bytes(identity.expose()), identity, opaque, keks })
        }
    }

    /// The vault's own key, as PKCS #8 (RFC 8410 §7), for its TLS certificate.
    pub fn identity_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let mut der = Zeroizing::new(Vec::with_capacity(PREFIX.len() + 32));
        der.extend_from_slice(&PREFIX);
        der.extend_from_slice(self.identity.expose());
        der
    }

    pub(super) fn id(&self) -> VaultId {
        VaultId::from_bytes(self.signing_key.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.signing_key.sign(bytes).to_bytes()
    }

    pub(super) fn opaque(&self) -> &[u8] {
        self.opaque.expose()
    }

    /// The number of the key under which is sealed now.
    pub(super) fn newest(&self) -> u32 {
        self.keks.last().map(|kek| kek.epoch).unwrap_or_default()
    }

    /// The keys of one record, under the key of this number.
    pub(super) fn record_keys(&self, epoch: u32, record: &RecordId) -> Option<RecordKeys> {
        let kek = self.keks.iter().find(|kek| kek.epoch == epoch)?;
        let key = |purpose: &[u8]| derive(kek.key.expose(), &[b"hushkeep vault/1 record ", purpose, record.as_bytes()]);
        Some(RecordKeys { seal: key(b"seal"), mac: key(b"mac") })
    }

    /// Gives the random numbers of an answer to a guess at a record, so that it can be repeated.
    pub(super) fn answers_key(&self, record: &RecordId) -> Secret<32> {
        derive(self.identity.expose(), &[b"hushkeep vault/1 answers", record.as_bytes()])
    }

    /// The key of a record's tickets, under the key of this number. Whoever asks gets one: under a key for all, nonces would
    /// meet.
    pub(super) fn ticket_key(&self, epoch: u32, record: &RecordId) -> Option<Secret<32>> {
        let kek = self.keks.iter().find(|kek| kek.epoch == epoch)?;
        Some(derive(kek.key.expose(), &[b"hushkeep vault/1 tickets ", record.as_bytes()]))
    }
}

/// What a record is sealed and proven with.
pub(super) struct RecordKeys {
    /// Seals its slots.
    pub(super) seal: Secret<32>,
    /// Proves its row.
    pub(super) mac: Secret<32>,
}
