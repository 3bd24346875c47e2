//! What the file system says about an item.

use std::fs::File;
use std::io;
use std::path::Path;

use cap_fs_ext::MetadataExt;
use hushkeep_repo::RelPath;
use hushkeep_repo::tree::{LinkId, Metadata, TreeError, TreeErrorKind};

use crate::platform;

/// What stays the same as long as nobody touches a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its length in bytes.
    pub(crate) len: u64,
    /// Its mode and times.
    pub(crate) metadata: Metadata,
    /// Which file it is.
    pub(crate) id: LinkId,
}

impl Stamp {
    /// The stamp of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&cap_std::fs::Metadata::from_file(file)?))
    }

    /// Whether `path`, not followed if it is a symbolic link, names the file that has this stamp.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let found = std::fs::symlink_metadata(path).map(cap_std::fs::Metadata::from_just_metadata);
        found.is_ok_and(|found| Self::from(&found).id == self.id)
    }
}

impl From<&cap_std::fs::Metadata> for Stamp {
    fn from(found: &cap_std::fs::Metadata) -> Self {
        Self { len: found.len(), metadata: metadata(found), id: link_id(found) }
    }
}

/// What is kept of an item besides its contents.
pub(crate) fn metadata(found: &cap_std::fs::Metadata) -> Metadata {
    Metadata { mode: platform::mode(found), modified: platform::modified(found), changed: platform::changed(found) }
}

/// Which file it is, on this machine.
pub(crate) fn link_id(found: &cap_std::fs::Metadata) -> LinkId {
    LinkId { device: found.dev(), inode: found.ino() }
}

/// An error about `path`, sorted by what the system said.
pub(crate) fn tree_error(path: &RelPath, source: io::Error) -> TreeError {
    let kind = match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => TreeErrorKind::Gone,
        _ => TreeErrorKind::Unreadable,
    };
    TreeError { path: path.clone(), kind, source: Some(source) }
}
