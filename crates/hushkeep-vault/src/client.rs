//! The client's side (spec/vault.md §6, §7). A guess, and a registration up to its request to stage, take one step after the
//! other: none can be left out or done twice. That a staged password is committed only once the config names it is up to who
//! stores the config.

mod history;
mod recover;
mod register;

pub use history::{EventKind, History, HistoryError, PastEvent, Seen};
pub use recover::{AwaitingKey, PayloadError, Recovery, RecoveryError};
pub use register::{Registration, RegistrationError, StagedPassword, UpdateKeys};

use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::symmetric::{derive, open_box, seal_box};
use rand_core::CryptoRng;

use crate::message::PAYLOAD_LEN;
use crate::name::{RecordId, VaultId, Version};
use crate::pair::Pair;

/// Seals the backup key under what a right password gives (spec/vault.md §6.2).
fn seal_payload(export_key: &[u8], key: &BackupKey, pair: &Pair, rng: &mut dyn CryptoRng) -> [u8; PAYLOAD_LEN] {
    let sealed = seal_box(&payload_key(export_key), &payload_place(pair), key.expose(), rng);
    let mut payload = [0; PAYLOAD_LEN];
    payload.copy_from_slice(&sealed);
    payload
}

/// Opens it; `None` if it was sealed otherwise.
fn open_payload(export_key: &[u8], payload: &[u8; PAYLOAD_LEN], pair: &Pair) -> Option<BackupKey> {
    let key = open_box(&payload_key(export_key), &payload_place(pair), payload)?;
    Secret::from_slice(&key).map(BackupKey::from_secret)
}

fn payload_key(export_key: &[u8]) -> Secret<32> {
    derive(export_key, &[b"hushkeep vault/1 payload"])
}

fn payload_place(pair: &Pair) -> Vec<u8> {
    let (vault, record): (VaultId, RecordId) = (pair.vault, pair.record());
    let version: Version = pair.version;
    [b"hushkeep vault/1 payload".as_slice(), vault.as_bytes(), record.as_bytes(), version.as_bytes()].concat()
}
