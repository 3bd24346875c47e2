//! Where secrets may be, and where not.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aho_corasick::AhoCorasick;

use crate::chats::files;

/// What must not be found where it does not belong.
pub(crate) struct Secrets {
    /// It is in every name, line and message of the chats.
    brand: Vec<u8>,
    /// Parts of keys, as they are written for people, without spaces, and as bytes.
    keys: Vec<Vec<u8>>,
}

impl Secrets {
    pub(crate) fn new(brand: &str) -> Self {
        Self { brand: brand.as_bytes().to_vec(), keys: Vec::new() }
    }

    /// Adds the recovery keys in a file, which has one in three lines, or one in each line.
    pub(crate) fn add_keys(&mut self, file: &Path) {
        for line in fs::read_to_string(file).unwrap_or_default().lines() {
            let groups: Vec<&str> = line.split(' ').take(4).collect();
            let digits = groups.concat();
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            let bytes = (0..digits.len()).step_by(2).map(byte).collect();
            for part in [groups.join(" ").into_bytes(), digits.clone().into_bytes(), bytes] {
                if !self.keys.contains(&part) {
                    self.keys.push(part);
                }
            }
        }
    }

    /// Fails if a secret is in a folder. Files below it that `holds_chats` or `holds_key` names may have theirs.
    pub(crate) fn check(&self, folder: &Path, holds_chats: impl Fn(&Path) -> bool, holds_key: impl Fn(&Path) -> bool) {
        let chats = AhoCorasick::new([&self.brand]).unwrap();
        let keys = AhoCorasick::new(&self.keys).unwrap();
        for path in files(folder) {
            let relative = path.strip_prefix(folder).unwrap();
            if holds_chats(relative) {
                continue;
            }
            let bytes = [relative.as_os_str().as_bytes(), b"\n", &fs::read(&path).unwrap()].concat();
            assert!(!chats.is_match(&bytes), "chats are in {}", relative.display());
            assert!(holds_key(relative) || !keys.is_match(&bytes), "a key is in {}", relative.display());
        }
    }
}

/// Fails if anybody else may read what a device remembers.
pub(crate) fn check_modes(home: &Path) {
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    for path in files(home) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(home));
        folders.for_each(|folder| assert_eq!(mode(folder), 0o700, "{}", folder.display()));
    }
}
