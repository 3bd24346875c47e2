//! The vectors of format version 1 never change: what is written today must mean the same to every program to come.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The list of the frozen files, in the form of `sha256sum`. It never grows: a later version gets one of its own. A vector
/// leaves it only if it contradicts the page, and a decision says so (0016). Its hash stands in the page as well (spec §14).
const LIST: &str = "version-1.sha256";
const HASH_OF_LIST: &str = "a78440d911769f129f69f5bcb875fb1649e5322246e7179bca3a83639d925a6a";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}

fn hash(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files that are frozen, by their paths in the folder of the vectors, with their hashes.
fn frozen() -> BTreeMap<PathBuf, String> {
    let list = fs::read_to_string(vectors().join(LIST)).unwrap();
    let row = |line: &str| line.split_once("  ").map(|(hash, path)| (PathBuf::from(path), hash.to_owned())).unwrap();
    list.lines().map(row).collect()
}

/// The files in a folder and in the folders of it, by their paths in the folder of the vectors.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(vectors().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The folder of the repository vector that a file belongs to: `repositories/valid/one-file`.
fn vector_of(path: &Path) -> Option<PathBuf> {
    path.starts_with("repositories").then(|| path.components().take(3).collect())
}

#[test]
fn no_frozen_vector_has_changed() {
    assert_eq!(hash(&vectors().join(LIST)), HASH_OF_LIST, "the list of the frozen vectors has changed");
    let is_changed = |(path, frozen): &(PathBuf, String)| {
        let path = vectors().join(path);
        !path.is_file() || hash(&path) != *frozen
    };
    let changed: Vec<PathBuf> = frozen().into_iter().filter(is_changed).map(|(path, _)| path).collect();
    assert!(changed.is_empty(), "vectors of version 1 have changed: {changed:?}");
}

/// A new vector has a name of its own: one file more in an old one would make another repository of it.
#[test]
fn no_frozen_vector_has_grown() {
    let frozen = frozen();
    let repositories: BTreeSet<PathBuf> = frozen.keys().filter_map(|path| vector_of(path)).collect();
    assert_eq!(repositories.len(), 35 + 397, "valid ones, and those with one defect");
    let added: Vec<PathBuf> =
        repositories.iter().flat_map(|folder| files(folder)).filter(|path| !frozen.contains_key(path)).collect();
    assert!(added.is_empty(), "not in {LIST}: {added:?}");
}
