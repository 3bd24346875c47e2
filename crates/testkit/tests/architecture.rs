//! The invariants of ARCHITECTURE.md that neither the compiler, nor a lint, nor `deny.toml` can hold.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate with the crates of the workspace that it may depend on. `testkit` is for tests, `scale` for
/// measuring.
const MAY_DEPEND_ON: [(&str, &[&str]); 10] = [
    ("hushkeep-core", &[]),
    ("hushkeep-repo", &["hushkeep-core"]),
    ("hushkeep-storage", &["hushkeep-repo"]),
    ("hushkeep-sources", &["hushkeep-repo"]),
    ("hushkeep-vault", &["hushkeep-core"]),
    ("hushkeep", &["hushkeep-core", "hushkeep-repo", "hushkeep-storage", "hushkeep-sources", "hushkeep-vault"]),
    ("hushkeep-cli", &["hushkeep"]),
    ("hushkeep-vaultd", &["hushkeep-core", "hushkeep-vault"]),
    ("scale", &["hushkeep"]),
    ("testkit", &["hushkeep-core", "hushkeep-repo", "hushkeep-storage", "hushkeep-sources", "hushkeep"]),
];

const LONGEST_FILE: usize = 600;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The packages of the workspace, as Cargo itself understands their manifests.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// What a package depends on outside its own tests.
fn shipped_dependencies(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let shipped = dependencies.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
    shipped.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

/// Every Rust file below a folder, with its text.
fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

/// The places in a crate's `src` where one of `words` stands in code.
fn named_in(package: &str, words: &[&str]) -> Vec<String> {
    let files = rust_files(&workspace().join("crates").join(package).join("src"));
    assert!(!files.is_empty(), "{package} has sources");
    let mut places = Vec::new();
    for (path, text) in files {
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            places.extend(
                words
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{}:{number} names {word}", path.display())),
            );
        }
    }
    places
}

#[test]
fn dependencies_point_down() {
    let known: BTreeSet<&str> = MAY_DEPEND_ON.iter().map(|(name, _)| *name).collect();
    let packages = packages();
    assert_eq!(packages.iter().map(|package| package["name"].as_str().unwrap()).collect::<BTreeSet<_>>(), known);
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let (_, allowed) = MAY_DEPEND_ON.iter().find(|(known, _)| *known == name).unwrap();
        for dependency in shipped_dependencies(package) {
            let outside = !known.contains(dependency.as_str());
            assert!(outside || allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn core_engine_and_vault_have_no_files_clock_or_chance_of_their_own() {
    let outside = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "SystemTime",
        "Instant::now",
        "OsRng",
        "SysRng",
        "getrandom",
        "thread_rng",
    ];
    for package in ["hushkeep-core", "hushkeep-repo", "hushkeep-vault"] {
        assert_eq!(named_in(package, &outside), Vec::<String>::new());
    }
}

#[test]
fn only_core_has_ciphers_and_hashes() {
    let cryptography =
        ["aes-gcm", "argon2", "blake3", "chacha20", "chacha20poly1305", "hkdf", "hmac", "ring", "sha2", "subtle"];
    let of_the_vault = ["ed25519-dalek", "opaque-ke", "voprf"];
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for dependency in shipped_dependencies(&package) {
            // The engine keeps the BLAKE3 of each whole file beside its contents: no key is involved.
            let allowed =
                ["hushkeep-core", "testkit"].contains(&name) || (name == "hushkeep-repo" && dependency == "blake3");
            assert!(allowed || !cryptography.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
            let is_of_the_vault = of_the_vault.contains(&dependency.as_str());
            assert!(name == "hushkeep-vault" || !is_of_the_vault, "{name} must not depend on {dependency}");
        }
    }
}

/// But for the vault's server, which has many connections and little to do for each.
#[test]
fn everything_blocks() {
    for (package, _) in MAY_DEPEND_ON.iter().filter(|(package, _)| *package != "hushkeep-vaultd") {
        assert_eq!(named_in(package, &["async fn", "async move", ".await"]), Vec::<String>::new());
    }
}

/// What is started inherits the environment and shows its words to everybody; what is sent is seen on the way.
#[test]
fn nothing_starts_another_program_or_opens_a_socket() {
    let words =
        ["process::Command", "std::net", "TcpStream", "UdpSocket", "UnixStream", "rustix::net", "nix::sys::socket"];
    // What only measures starts itself anew for every step; a server listens.
    for (package, _) in MAY_DEPEND_ON.iter().filter(|(package, _)| !["scale", "hushkeep-vaultd"].contains(package)) {
        assert_eq!(named_in(package, &words), Vec::<String>::new());
    }
    // Vaults are spoken to from one place.
    let places = named_in("hushkeep", &["reqwest", "rustls"]);
    assert!(!places.is_empty() && places.iter().all(|place| place.contains("/vault/https.rs:")), "{places:?}");
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for (package, _) in MAY_DEPEND_ON {
        let manifest = fs::read_to_string(workspace().join("crates").join(package).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{package}");
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for (path, text) in rust_files(&workspace().join("crates")) {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: split it by meaning", path.display());
    }
}
