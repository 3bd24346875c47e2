//! What a client and a vault say to each other, byte for byte (`spec/vectors/vault`): records of today must lead to their keys
//! in ten years.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::*;
use hushkeep_core::wrap::KdfParams;
use hushkeep_vault::client::{Recovery, Registration, UpdateKeys};
use hushkeep_vault::message::{
    BeginReply, BeginRequest, CommitRequest, DeleteRequest, GuessReply, GuessRequest, HistoryReply, HistoryRequest,
    LookRequest, ProofReply, ProofRequest, StageRequest,
};
use hushkeep_vault::request::Request as _;
use hushkeep_vault::server::{AttemptStore as _, Policy};

/// Made with `HUSHKEEP_TRANSCRIPT=overwrite`, in a change that says why it is another one.
const FILE: &str = "../../spec/vectors/vault/transcript.txt";

const PASSWORD: &str = "seven geese cross the frozen canal";

#[test]
fn what_is_said_is_what_is_written_down() {
    let said = transcript();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("HUSHKEEP_TRANSCRIPT").is_some_and(|how| how == "overwrite") {
        std::fs::write(&path, &said).unwrap();
    }
    assert_eq!(said, std::fs::read_to_string(path).unwrap());
}

/// A password is registered, looked at, guessed at and deleted. A line for each value: its name, and its bytes in hexadecimal
/// digits.
fn transcript() -> String {
    let (place, owner, password, mut rng) = (Place::new(Policy::DEFAULT), Owner::new(1), password(PASSWORD), rng(10));
    let mut said = String::new();
    let mut tell = |name: &str, bytes: &[u8]| {
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        writeln!(said, "{name} {hex}").unwrap();
    };
    let update = owner.update_key(&place);
    tell("key-file", &place.vault.secrets().encode());
    tell("vault-id", place.vault.id().as_bytes());
    tell("K", owner.key.expose());
    tell("repository-id", &[1; 16]);
    tell("locator", owner.locator.as_bytes());
    tell("password", PASSWORD.as_bytes());
    tell("time", NOW.to_string().as_bytes());
    let mut ask = |path: &str, request: &[u8]| {
        let answer = place.vault.answer(&place.store, (path, request), NOW, &mut self::rng(11)).unwrap().message;
        tell(&format!("request {path}"), request);
        tell(&format!("answer {path}"), &answer);
        answer
    };

    let vault = ("https://vault.example.org".to_owned(), place.vault.id());
    let begun = Registration::begin(vault, owner.locator, &password, KdfParams::FLOOR, &mut rng);
    let (registration, request) = begun.unwrap();
    let reply = BeginReply::decode(&ask(BeginRequest::PATH, &request.encode())).unwrap();
    let keys = UpdateKeys { owner: &update, next: &update };
    let (staged, request) = registration.stage(&reply, &owner.key, keys, &mut rng).unwrap();
    ask(StageRequest::PATH, &request.encode());
    let (pair, request) = staged.commit(&update);
    ask(CommitRequest::PATH, &request.encode());
    let row = place.store.load(&pair.record()).unwrap().unwrap();

    ask(LookRequest::PATH, &pair.look().encode());
    let pairs = [pair.clone()];
    let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng).unwrap();
    let reply = GuessReply::decode(&ask(GuessRequest::PATH, &request.encode())).unwrap();
    let (awaiting, request) = recovery.prove(&reply, &mut rng).unwrap().remove(0);
    let reply = ProofReply::decode(&ask(ProofRequest::PATH, &request.encode())).unwrap();
    assert!(awaiting.open(&reply).unwrap().ct_eq(&owner.key));
    let told = HistoryReply::decode(&ask(HistoryRequest::PATH, &pair.history(&update).encode())).unwrap();
    assert_eq!(told.since(None).unwrap().events.len(), 4);
    ask(DeleteRequest::PATH, &pair.delete(&update).encode());

    tell("pair", &pair.encode());
    tell("record-id", pair.record().as_bytes());
    tell("row-after-commit", &row.bytes);
    said
}
