//! The vectors in `spec/vectors/repositories`: whole repositories, valid and with one defect each.
//!
//! They are found by walking the folder, and held against what they say of themselves. To make them anew:
//! `cargo test -p hushkeep-repo --test vectors -- --ignored`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![allow(dead_code, reason = "vectors with a defect use the rest of the forge")]

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod forge;
mod parts;
mod sample;
mod valid;
mod walk;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use expected::Vector;

#[test]
fn valid_repositories_give_what_they_hold() {
    let vectors = expected::vectors(&expected::home(), "valid");
    assert!(!vectors.is_empty());
    vectors.iter().for_each(|(name, vector)| walk::assert_valid(name, vector));
}

/// Every vector, with the folder it belongs in.
fn all() -> impl Iterator<Item = (&'static str, Vector)> {
    valid::all().into_iter().map(|vector| ("valid", vector))
}

/// Each run gives the same bytes: what is random comes from fixed seeds.
#[test]
#[ignore = "replaces the vectors"]
fn make_the_vectors_anew() {
    let made = || -> BTreeMap<_, _> { all().map(|(kind, vector)| ((kind, vector.name.clone()), vector)).collect() };
    let (vectors, again) = (made(), made());
    for (key, vector) in &vectors {
        assert!(vector.objects == again[key].objects, "{key:?} comes out otherwise each time");
    }
    for kind in ["valid", "invalid"] {
        let folder = expected::home().join(kind);
        remove(&folder);
        vectors.iter().filter(|((own, _), _)| *own == kind).for_each(|(_, vector)| vector.write(&folder));
    }
}

fn remove(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
}
