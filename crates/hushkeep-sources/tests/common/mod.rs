//! What the tests share.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

pub(crate) mod application;
pub(crate) mod engine;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hushkeep_repo::tree::{Consistency, FileView};
use hushkeep_repo::{RelPath, Tree};
use hushkeep_sources::{FolderOptions, FolderTree};

pub(crate) fn path(text: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(text.as_ref()).unwrap()
}

/// The names below a folder, each with its bytes, mode, mtime, ctime and number of links.
pub(crate) type Everything = BTreeMap<PathBuf, (Vec<u8>, [i64; 6])>;

/// Looks at everything below a folder.
pub(crate) fn everything(folder: &Path) -> Everything {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let facts = [
            metadata.mode().into(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.nlink().cast_signed(),
        ];
        let mut bytes = Vec::new();
        if metadata.is_dir() {
            found.extend(everything(&path));
        } else if metadata.is_file() {
            File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        }
        found.insert(path, (bytes, facts));
    }
    found
}

/// What a restore gives back of a folder: names, bytes, modes and modification times.
pub(crate) fn kept(folder: &Everything, base: &Path) -> Vec<(String, Vec<u8>, [i64; 3])> {
    let kept = folder.iter().map(|(path, (bytes, [mode, seconds, nanos, ..]))| {
        let name = path.strip_prefix(base).unwrap().display().to_string();
        (name, bytes.clone(), [*mode, *seconds, *nanos])
    });
    kept.collect()
}

/// Reads a view to its end in pieces of an awkward size.
pub(crate) fn read_all(view: &mut dyn FileView) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 10_007]);
    loop {
        match view.read(&mut buffer).unwrap() {
            0 => return bytes,
            len => bytes.extend_from_slice(&buffer[..len]),
        }
    }
}

/// Opens, reads and finishes a view.
pub(crate) fn read(tree: &dyn Tree, name: &str) -> (Vec<u8>, Vec<RelPath>, Consistency) {
    let mut view = tree.open(&path(name)).unwrap();
    let bytes = read_all(view.as_mut());
    let absorbed = view.absorbed().to_vec();
    (bytes, absorbed, view.finish().unwrap())
}

/// A folder that waits for nobody as long as a backup would.
pub(crate) fn tree(folder: &Path) -> FolderTree {
    let options = FolderOptions {
        lock_wait: Duration::from_millis(2000),
        hold_limit: Duration::from_millis(300),
        ..FolderOptions::default()
    };
    FolderTree::new(folder, options).unwrap()
}
