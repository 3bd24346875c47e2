//! A storage that keeps everything but the contents of files.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use hushkeep::core::keys::{EpochKeys, ObjectKind};
use hushkeep::core::seal::{OpenError, Opener, Parts};
use hushkeep::core::wire::{Reader, WireError};
use hushkeep::repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError, StorageErrorKind};
use hushkeep::storage::FolderStorage;

/// A folder in which packs have holes where they hold contents of files: those read as zeros and take no room.
///
/// What a backup, a listing or a check of what is there needs is kept: headers, nodes, name lists, trailers. To know
/// where they are, this storage has what no real one has, the key.
pub(crate) struct DiscardingStorage {
    inner: FolderStorage,
    packs: PathBuf,
    keys: EpochKeys,
}

impl DiscardingStorage {
    /// Makes the folder at `root`, if it is missing, or opens it.
    pub(crate) fn create(root: &Path, keys: EpochKeys) -> Result<Self, StorageError> {
        let packs = root.join(Folder::Packs.name());
        Ok(Self { inner: FolderStorage::create(root)?, packs, keys })
    }

    fn put_pack(&self, name: &ObjectName, pack: &[u8]) -> Result<(), StorageError> {
        let failed = |error: io::Error| StorageError::new(StorageErrorKind::Failed, name).because(error);
        let kept = kept_ranges(pack, &self.keys).map_err(io::Error::other).map_err(failed)?;
        write_with_holes(&self.packs.join(name.file()), pack, &kept).map_err(failed)
    }
}

impl Storage for DiscardingStorage {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        match name.folder() {
            Folder::Packs => self.put_pack(name, bytes),
            _ => self.inner.put(name, bytes),
        }
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.inner.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.inner.get_range(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.inner.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.inner.delete(name)
    }
}

/// Why a pack could not be looked into.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What is not contents of files: everything before the first segment and behind the last, and every segment whose
/// class is not that of data (spec §8.3).
fn kept_ranges(pack: &[u8], keys: &EpochKeys) -> Result<Vec<Range<usize>>, PackError> {
    const DATA: u8 = 0;
    let parts = Parts::split(pack)?;
    let (_, table) = Opener::new(keys, ObjectKind::Pack, &parts.header)?.open_trailer(parts.trailer)?;
    let mut reader = Reader::new(&table);
    for _ in 0..reader.count(33)? {
        reader.take(16)?;
        reader.varint()?;
        reader.take(16)?;
    }
    let mut at = parts.header.encode().len();
    let header = 0..at;
    let mut kept = vec![header];
    for _ in 0..reader.count(4)? {
        let class = reader.byte()? & 0x0f;
        let sealed_len = reader.varint_u32()? as usize;
        reader.varint()?;
        for _ in 0..reader.count(3)? {
            for _ in ["list", "first", "count"] {
                reader.varint()?;
            }
        }
        if class != DATA {
            kept.push(at..at + sealed_len);
        }
        at += sealed_len;
    }
    kept.push(at..pack.len());
    Ok(kept)
}

fn write_with_holes(path: &Path, bytes: &[u8], kept: &[Range<usize>]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.set_len(bytes.len() as u64)?;
    for range in kept {
        let part = bytes.get(range.clone()).ok_or(io::ErrorKind::UnexpectedEof)?;
        file.seek(SeekFrom::Start(range.start as u64))?;
        file.write_all(part)?;
    }
    Ok(())
}
