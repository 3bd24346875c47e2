//! What a repository takes, and what it holds.

use crate::error::ReadError;
use crate::repository::Repository;
use crate::storage::Folder;

/// What a repository takes, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many snapshots there are.
    pub snapshots: u64,
    /// What the storage sees, for each of its folders.
    pub folders: Vec<FolderStats>,
    /// How many pieces of files are stored, each counted once.
    pub contents: u64,
    /// Their bytes, before compression.
    pub contents_bytes: u64,
    /// Their bytes as they are stored, without names, lists and padding.
    pub stored_bytes: u64,
}

/// What the storage sees in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderStats {
    /// The folder's name.
    pub name: &'static str,
    /// How many objects it holds.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Stats {
    /// How many objects the storage sees.
    pub fn objects(&self) -> u64 {
        self.folders.iter().map(|folder| folder.objects).sum()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.folders.iter().map(|folder| folder.bytes).sum()
    }
}

impl Repository {
    /// Counts objects and contents. Lists the storage, and reads nothing else.
    pub fn stats(&self) -> Result<Stats, ReadError> {
        let mut folders = Vec::new();
        for folder in Folder::ALL {
            let listing = self.contents.objects.storage.list(folder).map_err(ReadError::Storage)?;
            let (objects, bytes) = (listing.len() as u64, listing.iter().map(|info| info.len).sum());
            folders.push(FolderStats { name: folder.name(), objects, bytes });
        }
        let mut stats = Stats {
            snapshots: self.snapshots().len() as u64,
            folders,
            contents: 0,
            contents_bytes: 0,
            stored_bytes: 0,
        };
        let segments = self.contents.packs().flat_map(|(_, pack)| &pack.table.segments);
        for segment in segments.filter(|segment| segment.class.is_data()) {
            stats.contents += segment.count();
            stats.contents_bytes += u64::from(segment.raw_len);
            stats.stored_bytes += u64::from(segment.sealed_len);
        }
        Ok(stats)
    }
}
