//! What a vector says of itself: `expected.json` and what else lies beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hushkeep_core::recovery::RecoveryKey;
use serde_json::{Value, json};

use crate::forge::{Repo, hex};

/// The folder of all vectors of repositories.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/repositories")
}

/// Every vector below a folder, by name.
pub(crate) fn vectors(home: &Path, kind: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(home.join(kind)).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

pub(crate) fn json_at(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// One vector, ready to be written.
pub(crate) struct Vector {
    pub(crate) name: String,
    /// Names, and anything else that lies on the storage, and their bytes.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) key: String,
    /// A passphrase that leads to the same key, if there is one.
    pub(crate) passphrase: Option<String>,
    pub(crate) memory: Option<Value>,
    pub(crate) expected: Value,
}

impl Vector {
    pub(crate) fn forged(name: &str, repo: Repo, expected: Value) -> Self {
        let key = RecoveryKey::from_backup_key(&repo.key(repo.owner_epoch)).to_text().to_string();
        Self { name: name.to_owned(), objects: repo.objects, key, passphrase: None, memory: repo.memory, expected }
    }

    pub(crate) fn write(&self, folder: &Path) {
        let folder = folder.join(&self.name);
        assert!(!folder.exists(), "{} twice", self.name);
        for (name, bytes) in &self.objects {
            let path = folder.join("repository").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::write(folder.join("key.txt"), format!("{}\n", self.key)).unwrap();
        if let Some(passphrase) = &self.passphrase {
            fs::write(folder.join("passphrase.txt"), format!("{passphrase}\n")).unwrap();
        }
        let write_json = |name: &str, value: &Value| {
            fs::write(folder.join(name), serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
        };
        write_json("expected.json", &self.expected);
        self.memory.iter().for_each(|memory| write_json("memory.json", memory));
    }
}

/// A snapshot of a valid vector, as `expected.json` tells of it.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) number: u64,
    pub(crate) id: String,
    pub(crate) files: BTreeMap<String, Value>,
    pub(crate) folders: Vec<String>,
    pub(crate) links: BTreeMap<String, String>,
    pub(crate) hard_links: BTreeMap<String, String>,
}

impl Snapshot {
    pub(crate) fn file(&mut self, path: &[u8], contents: &[u8]) {
        let hash = blake3::hash(contents).to_hex().to_string();
        self.files.insert(escape(path), json!({ "len": contents.len(), "blake3": hash }));
    }

    pub(crate) fn json(&self) -> Value {
        let Self { number, id, files, folders, links, hard_links } = self;
        json!({ "number": number, "id": id, "files": files, "folders": folders, "links": links,
            "hard_links": hard_links })
    }
}

/// A path as text: bytes that are not printable, or not UTF-8, and `%` as `%xx`.
pub(crate) fn escape(path: &[u8]) -> String {
    let mut out = String::new();
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '%' {
                character.to_string().bytes().for_each(|byte| out.push_str(&format!("%{byte:02x}")));
            } else {
                out.push(character);
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("%{byte:02x}")));
    }
    out
}

/// What a valid vector of these snapshots says of itself.
pub(crate) fn valid(snapshots: &[Snapshot]) -> Value {
    json!({ "snapshots": snapshots.iter().map(Snapshot::json).collect::<Vec<_>>() })
}

/// The name of an object with an id.
pub(crate) fn object(folder: &str, id: &[u8]) -> String {
    format!("{folder}/{}", hex(id))
}
