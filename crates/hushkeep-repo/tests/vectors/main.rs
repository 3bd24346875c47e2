//! The vectors in `spec/vectors/repositories`: whole repositories, valid and with one defect each.
//!
//! They are found by walking the folder, and held against what they say of themselves. To make them anew:
//! `cargo test -p hushkeep-repo --test vectors -- --ignored`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod forge;
mod invalid;
mod parts;
mod sample;
mod valid;
mod walk;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use expected::Vector;

#[test]
fn valid_repositories_give_what_they_hold() {
    let vectors = expected::vectors(&expected::home(), "valid");
    assert!(!vectors.is_empty());
    vectors.iter().for_each(|(name, vector)| walk::assert_valid(name, vector));
}

#[test]
fn invalid_repositories_are_refused_for_what_they_are() {
    let vectors = expected::vectors(&expected::home(), "invalid");
    assert!(!vectors.is_empty());
    let judge = |(name, vector): (&String, &PathBuf)| Some(format!("{name}: {}", walk::judge_invalid(vector)?));
    let wrong: Vec<String> = vectors.iter().filter_map(judge).collect();
    assert!(wrong.is_empty(), "{} of {} came out otherwise:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

/// Every vector, with the folder it belongs in.
fn all() -> impl Iterator<Item = (&'static str, Vector)> {
    let valid = valid::all().into_iter().map(|vector| ("valid", vector));
    valid.chain(invalid::all().into_iter().map(|vector| ("invalid", vector)))
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
