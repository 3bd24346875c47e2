//! Every vector under `spec/vectors/core` holds.
//!
//! A file is a list of vectors; each has an `input` written by hand and the `output` that follows from it. Those that are there
//! stay. A new one is an input in a new file, `keys.2.json` beside `keys.json`:
//! `HUSHKEEP_WRITE_VECTORS=1 cargo test -p hushkeep-core --test vectors` fills in the outputs that are missing. `check.py`
//! beside the vectors recomputes them without this crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this file is a test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch, EpochKeys, ObjectKind};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_core::seal::{Opener, Parts, Sealer, TAG_LEN, open_single};
use hushkeep_core::wire::{self, Reader, Record};
use hushkeep_core::wrap::{KdfParams, Passphrase, PassphraseWrap, WrapPlace};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

#[test]
fn every_vector_holds() {
    let write = std::env::var_os("HUSHKEEP_WRITE_VECTORS").is_some();
    let files = vector_files();
    assert!(!files.is_empty());
    for file in files {
        let compute = computation(&file);
        let mut vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut is_filled_in = false;
        for vector in &mut vectors {
            let output = compute(&vector["input"]);
            if write && vector.get("output").is_none() {
                (vector["output"], is_filled_in) = (output, true);
            } else {
                assert_eq!(vector["output"], output, "{}: {}", file.display(), vector["about"]);
            }
        }
        if is_filled_in {
            fs::write(&file, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
        }
    }
}

fn vector_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/core");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "json")).collect()
}

fn computation(file: &Path) -> fn(&Value) -> Value {
    match file.file_name().unwrap().to_str().unwrap().split('.').next().unwrap() {
        "integers" => integer,
        "integers-read" => integer_read,
        "records-read" => record_read,
        "keys" => keys,
        "objects" => object,
        "objects-read" => object_read,
        "recovery-keys" => recovery_key,
        "recovery-keys-read" => recovery_key_read,
        "passphrase-wraps" => passphrase_wrap,
        "passphrase-wraps-read" => passphrase_wrap_read,
        other => panic!("no computation for {other}"),
    }
}

/// Spec §1.1, writing.
fn integer(input: &Value) -> Value {
    let mut out = Vec::new();
    match input["signed"].as_str() {
        Some(signed) => wire::put_signed(&mut out, signed.parse().unwrap()),
        None => wire::put_varint(&mut out, text(input, "unsigned").parse().unwrap()),
    }
    json!({ "encoding": hex(&out) })
}

/// Spec §1.1, reading.
fn integer_read(input: &Value) -> Value {
    let encoding = bytes(input, "encoding");
    let mut reader = Reader::new(&encoding);
    let value = reader.varint().and_then(|value| reader.finish().map(|()| value));
    result(value.map(|value| json!({ "unsigned": value.to_string() })))
}

/// Spec §1.3.
fn record_read(input: &Value) -> Value {
    let record = bytes(input, "record");
    let last_known = u32::try_from(input["last_known"].as_u64().unwrap()).unwrap();
    let unknown = Record::parse(&record, last_known).map(Record::into_unknown);
    result(unknown.map(|unknown| {
        let fields: serde_json::Map<_, _> =
            unknown.iter().map(|(field, value)| (field.to_string(), hex(value).into())).collect();
        json!({ "unknown": fields })
    }))
}

/// Spec §3.
fn keys(input: &Value) -> Value {
    let (repository, epoch) = (repository(input), epoch(input));
    let secret = backup_key(input).epoch_secret(&repository, epoch);
    let keys = secret.working_keys(repository);
    json!({
        "epoch_secret": hex(secret.expose()),
        "key_check": hex(keys.check().as_bytes()),
        "chunker_seed": hex(&keys.chunker_seed().expose().to_le_bytes()),
        "content_name": keys.names().name(&bytes(input, "content")).to_string(),
    })
}

/// Spec §2, writing; what was written is opened again.
fn object(input: &Value) -> Value {
    let keys = epoch_keys(input);
    let segments: Vec<_> =
        input["segments"].as_array().unwrap().iter().map(|s| from_hex(s.as_str().unwrap())).collect();
    let table = bytes(input, "table");
    let mut sealer = Sealer::new(&keys, kind(input), bytes(input, "clear"), &mut Drawn::from(input));
    for segment in &segments {
        sealer.seal_segment(segment);
    }
    let object = sealer.finish(&table, usize::try_from(input["min_len"].as_u64().unwrap()).unwrap());

    let parts = Parts::split(&object).unwrap();
    let opener = Opener::new(&keys, kind(input), &parts.header).unwrap();
    assert_eq!(opener.open_trailer(parts.trailer).unwrap().1, table);
    let mut rest = parts.segments;
    for (number, segment) in (0..).zip(&segments) {
        let (sealed, after) = rest.split_at(segment.len() + TAG_LEN);
        assert_eq!(opener.open_segment(number, sealed).unwrap(), *segment);
        rest = after;
    }
    json!({ "object": hex(&object) })
}

/// Spec §2.4, reading an object of a single segment.
fn object_read(input: &Value) -> Value {
    let body = open_single(&epoch_keys(input), kind(input), &bytes(input, "object"));
    result(body.map(|body| json!({ "body": hex(&body) })))
}

/// Spec §4, writing.
fn recovery_key(input: &Value) -> Value {
    json!({ "text": *RecoveryKey::from_backup_key(&backup_key(input)).to_text() })
}

/// Spec §4.3, reading.
fn recovery_key_read(input: &Value) -> Value {
    result(RecoveryKey::parse(text(input, "text")).map(|parsed| match parsed {
        Parsed::Exact(key) => json!({ "exact": hex(key.expose()) }),
        Parsed::Repaired(repair) => json!({
            "wrong_group": repair.group(),
            "correct_group": *repair.correct_group(),
            "proposed": hex(repair.into_unproven_key().expose()),
        }),
    }))
}

/// Spec §5, writing; what was written is opened again.
fn passphrase_wrap(input: &Value) -> Value {
    let number = |name: &str| u32::try_from(input[name].as_u64().unwrap()).unwrap();
    let params = KdfParams::new(number("memory_kib"), number("iterations"), number("lanes")).unwrap();
    let (passphrase, place) = (passphrase(input), wrap_place(input));
    let (key, rng) = (backup_key(input), &mut Drawn::from(input));
    let wrap = PassphraseWrap::seal(&key, &passphrase, params, &place, rng).unwrap().encode();
    let read = PassphraseWrap::decode(&wrap).unwrap();
    assert!(read.open(&passphrase, &place).unwrap().ct_eq(&key));
    json!({ "wrap": hex(&wrap) })
}

/// Spec §5, reading.
fn passphrase_wrap_read(input: &Value) -> Value {
    match PassphraseWrap::decode(&bytes(input, "wrap")) {
        Ok(wrap) => {
            let key = wrap.open(&passphrase(input), &wrap_place(input));
            result(key.map(|key| json!({ "backup_key": hex(key.expose()) })))
        }
        Err(error) => result(Err(error)),
    }
}

fn result<E: std::fmt::Debug>(result: Result<Value, E>) -> Value {
    result.unwrap_or_else(|error| json!({ "refused": format!("{error:?}") }))
}

fn epoch_keys(input: &Value) -> EpochKeys {
    backup_key(input).epoch_secret(&repository(input), epoch(input)).working_keys(repository(input))
}

fn backup_key(input: &Value) -> BackupKey {
    BackupKey::from_secret(Secret::from_slice(&bytes(input, "backup_key")).unwrap())
}

fn repository(input: &Value) -> RepositoryId {
    text(input, "repository").parse().unwrap()
}

fn wrap_place(input: &Value) -> WrapPlace {
    let protector = text(input, "protector").parse().unwrap();
    WrapPlace { repository: repository(input), protector, epoch: epoch(input) }
}

fn passphrase(input: &Value) -> Passphrase {
    Passphrase::new(text(input, "passphrase")).unwrap()
}

fn epoch(input: &Value) -> Epoch {
    Epoch(u32::try_from(input["epoch"].as_u64().unwrap()).unwrap())
}

fn kind(input: &Value) -> ObjectKind {
    ObjectKind::ALL.into_iter().find(|kind| kind.to_string() == text(input, "kind")).unwrap()
}

fn text<'a>(input: &'a Value, name: &str) -> &'a str {
    input[name].as_str().unwrap_or_else(|| panic!("{name} is no text"))
}

fn bytes(input: &Value, name: &str) -> Vec<u8> {
    from_hex(text(input, name))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Stands for the random generator: gives out the salt of a vector and nothing more.
struct Drawn(VecDeque<u8>);

impl From<&Value> for Drawn {
    fn from(input: &Value) -> Self {
        Self(bytes(input, "salt").into())
    }
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("only bytes are drawn");
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("only bytes are drawn");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.iter_mut().for_each(|byte| *byte = self.0.pop_front().expect("the salt is long enough"));
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}
