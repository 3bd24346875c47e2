//! A target that keeps nothing but what lies where, and holds a restore against the contract of targets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use hushkeep_repo::target::{Existing, TargetError, TargetErrorKind, TargetFile};
use hushkeep_repo::tree::Metadata;
use hushkeep_repo::{RelPath, Target, Timestamp};

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Folder,
    File(u64),
    Link,
}

/// Counts what a restore writes. Everything must lie in a folder that was restored before it, and never below a link.
#[derive(Debug)]
pub struct CountingTarget {
    items: Mutex<BTreeMap<RelPath, Item>>,
    bytes: AtomicU64,
}

impl Default for CountingTarget {
    /// The target itself is there before anything is restored, and stays a folder.
    fn default() -> Self {
        Self { items: Mutex::new(BTreeMap::from([(RelPath::root(), Item::Folder)])), bytes: AtomicU64::new(0) }
    }
}

impl CountingTarget {
    /// The target is full after so many bytes: a hostile snapshot may say that one page comes a billion times.
    pub const MAX_BYTES: u64 = 4 << 20;

    fn items(&self) -> MutexGuard<'_, BTreeMap<RelPath, Item>> {
        self.items.lock().expect("a panic ends the process")
    }

    fn insert(&self, path: &RelPath, item: Item) {
        let mut items = self.items();
        let is_inside = path.parent().is_none_or(|parent| items.get(&parent) == Some(&Item::Folder));
        assert!(is_inside, "{path} is restored into what is no folder");
        let before = items.insert(path.clone(), item);
        assert!(before != Some(Item::Folder) || item == Item::Folder, "{path} replaces a folder");
    }

    fn full(path: &RelPath) -> TargetError {
        TargetError { path: path.clone(), kind: TargetErrorKind::Full, source: None }
    }
}

impl Target for CountingTarget {
    fn existing(&self, path: &RelPath) -> Result<Option<Existing>, TargetError> {
        Ok(self.items().get(path).map(|item| match item {
            Item::Folder => Existing::Directory,
            Item::File(len) => Existing::File { len: *len, modified: Timestamp::EPOCH },
            Item::Link => Existing::Other,
        }))
    }

    fn create_directory(&self, path: &RelPath) -> Result<(), TargetError> {
        let mut missing = Vec::new();
        let mut next = Some(path.clone());
        while let Some(path) = next {
            next = path.parent();
            missing.push(path);
        }
        missing.iter().rev().for_each(|path| self.insert(path, Item::Folder));
        Ok(())
    }

    fn create_file(&self, path: &RelPath, len: u64) -> Result<Box<dyn TargetFile + '_>, TargetError> {
        Ok(Box::new(CountingFile { target: self, path: path.clone(), len }))
    }

    fn create_symlink(&self, path: &RelPath, _: &[u8], _: &Metadata) -> Result<(), TargetError> {
        self.insert(path, Item::Link);
        Ok(())
    }

    fn create_hard_link(&self, path: &RelPath, original: &RelPath) -> Result<(), TargetError> {
        let item = self.items().get(original).copied();
        let Some(item @ Item::File(_)) = item else { panic!("{path} is linked to {original}, which is no file") };
        self.insert(path, item);
        Ok(())
    }

    fn finish_directory(&self, path: &RelPath, _: &Metadata) -> Result<(), TargetError> {
        assert_eq!(self.items().get(path), Some(&Item::Folder), "{path} is finished as a folder");
        Ok(())
    }

    fn set_aside(&self, path: &RelPath) -> Result<RelPath, TargetError> {
        let moved = path.with_suffix(".before-restore").map_err(|_| Self::full(path))?;
        let item = self.items().remove(path);
        self.insert(&moved, item.expect("it was there"));
        Ok(moved)
    }

    fn sync(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

struct CountingFile<'a> {
    target: &'a CountingTarget,
    path: RelPath,
    len: u64,
}

impl CountingFile<'_> {
    fn assert_inside(&self, offset: u64, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len() as u64);
        assert!(end.is_some_and(|end| end <= self.len), "{} is written beyond its end", self.path);
    }
}

impl TargetFile for CountingFile<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        self.assert_inside(offset, bytes);
        let written = self.target.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if written > CountingTarget::MAX_BYTES { Err(CountingTarget::full(&self.path)) } else { Ok(()) }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), TargetError> {
        self.assert_inside(offset, buffer);
        buffer.fill(0);
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Metadata) -> Result<(), TargetError> {
        self.target.insert(&self.path, Item::File(self.len));
        Ok(())
    }

    fn finish_damaged(self: Box<Self>, _: &Metadata) -> Result<RelPath, TargetError> {
        let path = self.path.with_suffix(".damaged").map_err(|_| CountingTarget::full(&self.path))?;
        self.target.insert(&path, Item::File(self.len));
        Ok(path)
    }
}
