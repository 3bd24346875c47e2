//! A vault with one record, which gets whatever requests the fuzzer makes up.

use std::sync::OnceLock;

use hushkeep_core::keys::{BackupKey, Epoch};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::wrap::{KdfParams, Passphrase};
use hushkeep_vault::client::{Recovery, Registration, UpdateKeys};
use hushkeep_vault::message::{
    BeginReply, BeginRequest, CommitRequest, DeleteRequest, GuessReply, GuessRequest, HistoryRequest, LookReply,
    LookRequest, ProofRequest, StageRequest,
};
use hushkeep_vault::request::{PATHS, Request as _};
use hushkeep_vault::server::{MemoryStore, Policy, Records, Secrets, Vault};
use hushkeep_vault::{Locator, Pair, UpdateKey};
use rand_chacha::ChaCha20Rng;

use crate::rng;

/// When all of this happens, in seconds since 1970-01-01 00:00:00 UTC.
const NOW: i64 = 1_800_000_000;

/// A vault and its records.
struct Place {
    vault: Vault,
    records: Records,
    pair: Pair,
    /// A valid request for each of [`PATHS`].
    requests: Vec<(&'static str, Vec<u8>)>,
}

/// Sends a request, the first byte of which says where; it is answered or refused, and costs at most one guess. A guess that
/// was refused costs none.
pub fn ask(bytes: &[u8]) {
    static PLACE: OnceLock<Place> = OnceLock::new();
    let Some((path, message)) = bytes.split_first() else { return };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let place = PLACE.get_or_init(Place::new);
    let store = MemoryStore::default();
    store.records().clone_from(&place.records);
    let answer = place.vault.answer(&store, (path, message), NOW, &mut rng());
    if path == DeleteRequest::PATH && answer.is_ok() {
        return;
    }
    let look = place.vault.answer(&store, (LookRequest::PATH, &place.pair.look().encode()), NOW, &mut rng());
    let left =
        LookReply::decode(&look.expect("the record is there").message).expect("the vault answers by a message").left();
    let was_guess = path == GuessRequest::PATH && answer.is_ok();
    assert_eq!(left, if was_guess { 9 } else { 10 }, "{path}: {answer:?}");
}

/// A valid request for each path, as [`ask`] takes it.
pub fn requests() -> Vec<Vec<u8>> {
    let with_path = |(path, message): (&str, Vec<u8>)| {
        let number = PATHS.iter().position(|known| *known == path).expect("it is a path of the vault");
        [&[number as u8][..], &message].concat()
    };
    Place::new().requests.into_iter().map(with_path).collect()
}

/// The pair of the record, as it stands in a config.
pub fn pair() -> Vec<u8> {
    Place::new().pair.encode()
}

impl Place {
    fn new() -> Self {
        let rng = &mut rng();
        let vault = Vault::new(Secrets::generate(NOW, rng), Policy::DEFAULT).expect("new keys make a vault");
        let store = MemoryStore::default();
        let (key, locator) = (BackupKey::generate(rng), Locator::generate(rng));
        let secret = key.epoch_secret(&RepositoryId::from_bytes([1; 16]), Epoch::FIRST);
        let owner = UpdateKey::derive(&secret, &vault.id(), &locator);
        let password = Passphrase::new("seven geese cross the frozen canal").expect("it is one");
        let post = |path, message: Vec<u8>, rng: &mut ChaCha20Rng| {
            let answer = vault.answer(&store, (path, &message), NOW, rng).expect("the vault answers");
            ((path, message), answer)
        };

        let address = ("https://vault.example".to_owned(), vault.id());
        let begun = Registration::begin(address, locator, &password, KdfParams::FLOOR, rng);
        let (registration, request) = begun.expect("a registration begins");
        let (begin, reply) = post(BeginRequest::PATH, request.encode(), rng);
        let reply = BeginReply::decode(&reply.message).expect("the vault answers by a message");
        let staged = registration.unstretched().stage(&reply, &key, UpdateKeys { owner: &owner, next: &owner }, rng);
        let (staged, request) = staged.expect("the answer is gone on with");
        let (stage, _) = post(StageRequest::PATH, request.encode(), rng);
        let (pair, request) = staged.commit(&owner);
        let (commit, _) = post(CommitRequest::PATH, request.encode(), rng);
        let records = store.records().clone();

        let recovery = Recovery::begin(std::slice::from_ref(&pair), &password, rng);
        let (recovery, request) = recovery.expect("a guess begins");
        let (guess, reply) = post(GuessRequest::PATH, request.encode(), rng);
        let reply = GuessReply::decode(&reply.message).expect("the vault answers by a message");
        let mut proofs = recovery.unstretched().prove(&reply, rng).expect("the password is right");
        let proof = (ProofRequest::PATH, proofs.remove(0).1.encode());
        let look = (LookRequest::PATH, pair.look().encode());
        let ask = (HistoryRequest::PATH, pair.history(&owner).encode());
        let delete = (DeleteRequest::PATH, pair.delete(&owner).encode());
        let requests = vec![begin, stage, commit, guess, proof, look, ask, delete];
        Self { vault, records, pair, requests }
    }
}
