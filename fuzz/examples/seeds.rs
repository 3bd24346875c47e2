//! Makes the corpora that fuzzing begins with, out of the vectors of `spec/` and a small repository:
//! `RUSTFLAGS='--cfg fuzzing' cargo run --example seeds` in this folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_fuzz::edits;
use hushkeep_fuzz::repository::{base, key};
use hushkeep_repo::Storage;
use hushkeep_repo::fuzzing::hostile::{Layer, Parts};
use hushkeep_repo::fuzzing::{encode_body, join};
use hushkeep_repo::storage::Folder;
use hushkeep_storage::FolderStorage;
use serde_json::Value;

/// Longer seeds only slow the fuzzer down.
const MAX_SEED_LEN: usize = 1 << 16;

fn main() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    core_vectors(&vectors.join("core"));
    names();
    of_repository(&base(), &key());
    edits_of_base();
    hushkeep_fuzz::vault::requests().iter().for_each(|request| seed("vault", request));
    seed("vault_reply", &hushkeep_fuzz::vault::pair());
    for folder in folders(&vectors.join("repositories/valid")) {
        let text = fs::read_to_string(folder.join("key.txt")).expect("a vector has a key");
        let Ok(Parsed::Exact(key)) = RecoveryKey::parse(&text) else { panic!("{}: no key", folder.display()) };
        let storage = FolderStorage::open(folder.join("repository")).expect("a vector has a repository");
        of_repository(&(Arc::new(storage) as Arc<dyn Storage>), &key);
    }
}

/// Keeps a seed of a target, under the hash of its bytes.
fn seed(target: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the corpus can be written");
    if bytes.len() <= MAX_SEED_LEN {
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        fs::write(folder.join(format!("seed-{hash:016x}")), bytes).expect("the corpus can be written");
    }
}

/// The encodings and texts in the vectors of §1 to §5. What `wire` takes begins with how many fields of a record are
/// known; of plain values with what sort comes.
fn core_vectors(folder: &Path) {
    for (file, field, target, before) in [
        ("integers-read", "encoding", "wire", &[0, 0][..]),
        ("integers-read", "encoding", "wire", &[0, 1]),
        ("records-read", "record", "wire", &[3]),
        ("passphrase-wraps-read", "wrap", "wire", &[6]),
        ("passphrase-wraps-read", "wrap", "passphrase_wrap", &[]),
        ("passphrase-wraps", "wrap", "passphrase_wrap", &[]),
        ("objects-read", "object", "object", &[]),
        ("objects", "object", "object", &[]),
        ("recovery-keys-read", "text", "recovery_key", &[]),
        ("recovery-keys", "text", "recovery_key", &[]),
    ] {
        let text = fs::read_to_string(folder.join(file).with_extension("json")).expect("the vectors are there");
        let vectors: Value = serde_json::from_str(&text).expect("the vectors are JSON");
        let values = texts(&vectors, field);
        assert!(!values.is_empty(), "{file} has no field {field}");
        for value in values {
            let bytes = if field == "text" { value.into_bytes() } else { from_hex(&value) };
            seed(target, &[before, &bytes].concat());
        }
    }
}

/// The texts of all fields of a name, wherever they stand.
fn texts(value: &Value, field: &str) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(|value| texts(value, field)).collect(),
        Value::Object(fields) => {
            let own = fields.get(field).and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(|value| texts(value, field))).collect()
        }
        _ => Vec::new(),
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("bytes are hexadecimal"))
        .collect()
}

fn names() {
    for text in
        ["packs/0a1b", "commits/0000000001-0a1b2c3d", "packs.0a1b.17", "config.0000000001", "a/b-c/d.e", "0badcafe"]
    {
        seed("names", text.as_bytes());
    }
    seed("names", "3031323334353637383961626364656f".as_bytes());
    for text in ["/srv/a", "./a:b", "file:/srv/%c3%a4", "file://localhost/a", "file:s3%3a//b", r"C:\a", "50%"] {
        seed("location", text.as_bytes());
    }
}

/// Every part of a repository goes to the target of its parser.
fn of_repository(storage: &Arc<dyn Storage>, key: &BackupKey) {
    let parts = Parts::open(storage, key).expect("a valid repository opens");
    let both = |target: &str, first: &[u8], second: &[u8]| {
        if let Some(bytes) = join(first, second) {
            seed(target, &bytes);
        }
    };
    parts.configs().for_each(|(clear, body)| both("config", clear, body));
    let commits: Vec<&[u8]> = parts.commits().collect();
    for pair in commits.windows(2) {
        both("commit", pair[0], pair[1]);
    }
    for body in commits.iter().copied().chain(parts.indexes()) {
        both("commit", body, &[]);
        seed("body", &[&[0], body].concat());
        seed("wire", &[&[15], body].concat());
    }
    parts.snapshots().iter().for_each(|record| seed("snapshot", record));
    parts.indexes().for_each(|body| seed("index", body));
    parts.name_lists().for_each(|list| seed("name_list", list));
    nodes(&parts.nodes(), both);
    seed("body", &encode_body(&b"once more and ".repeat(60)));
    for commit in storage.list(Folder::Commits).expect("the repository is there") {
        seed("object", &storage.get(&commit.name).expect("the repository is there"));
        let tips = [&[0, 2, 2, 0][..], &[7; 16], &[commit.name.file().len() as u8], commit.name.file().as_bytes()];
        seed("device_memory", &tips.concat());
    }
    seed("device_memory", &[&[1][..], &[7; 16], &[0x80, 0x80, 2], &[8; 16], &[5]].concat());
    seed("device_memory", &[&[2][..], &[7; 32]].concat());
}

/// Which content is which is for the fuzzer to see: each node is tried before each block, and before each node.
fn nodes(nodes: &[Vec<u8>], both: impl Fn(&str, &[u8], &[u8])) {
    for first in nodes.iter().take(12) {
        both("page_map", first, &[]);
        for second in nodes.iter().take(12) {
            both("file_list", first, second);
            both("page_map", first, second);
        }
    }
}

/// Small edits all over the base repository: a byte that is gone, one more, and the ends of what an integer can be.
fn edits_of_base() {
    let parts = Parts::open(&base(), &key()).expect("the repository opens");
    let packs = u8::try_from(parts.pack_count()).expect("the repository is small");
    for layer in Layer::ALL {
        for object in 0..packs.max(2) {
            for (part, at) in (0..12).flat_map(|part| (0..40u16).step_by(3).map(move |at| (part, at))) {
                for (remove, insert) in [(1, &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), (1, &[][..]), (0, &[1][..])] {
                    seed("repository", &edits::write(layer, (object, part), at, remove, insert));
                }
            }
        }
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
