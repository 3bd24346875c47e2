//! The walk through a folder, in the order of paths, never ahead of whoever asks.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;

use cap_fs_ext::{DirExt, MetadataExt};
use cap_std::fs::Dir;
use hushkeep_repo::RelPath;
use hushkeep_repo::tree::{ItemKind, TreeError, TreeErrorKind, TreeItem};

use crate::folder::{FolderTree, with_suffix};
use crate::platform::{is_sparse, name_bytes};
use crate::stat::{link_id, metadata, tree_error};

/// The names in a folder, in the order they are visited.
pub(crate) type Names = VecDeque<OsString>;

/// Visits a root and everything below it.
pub(crate) struct Walk<'a> {
    tree: &'a FolderTree,
    /// The root, until it was visited, with the names to visit in it.
    root: Option<(&'a Dir, io::Result<Names>)>,
    /// The folders from the root to where the walk is.
    open: Vec<Folder>,
    /// A folder that was visited and is listed when the walk goes on.
    next: Option<(Dir, RelPath)>,
    /// The file that was visited last.
    last: Option<(OsString, RelPath)>,
}

/// A folder on the way, and the names in it that are still to be visited.
struct Folder {
    dir: Dir,
    path: RelPath,
    names: Names,
}

impl<'a> Walk<'a> {
    /// A walk that visits `names` in `root`, and everything below them.
    pub(crate) fn new(tree: &'a FolderTree, root: &'a Dir, names: io::Result<Names>) -> Self {
        Self { tree, root: Some((root, names)), open: Vec::new(), next: None, last: None }
    }

    fn start(&mut self, root: &Dir, names: io::Result<Names>) -> Result<TreeItem, TreeError> {
        let path = RelPath::root();
        let failed = |source| tree_error(&path, source);
        let found = root.dir_metadata().map_err(failed)?;
        self.open.push(Folder {
            dir: root.try_clone().map_err(failed)?,
            path: path.clone(),
            names: names.map_err(failed)?,
        });
        Ok(TreeItem { path, kind: ItemKind::Directory, metadata: metadata(&found) })
    }
}

impl Walk<'_> {
    /// Adds what the last file needs beside it, if it is a database that was copied meanwhile: since the folder was
    /// listed, its application may have begun a journal or a log, and died.
    fn add_needed(&mut self) {
        let (Some((name, path)), Some(folder)) = (self.last.take(), self.open.last_mut()) else { return };
        for suffix in self.tree.needed_beside(&path) {
            let needed = with_suffix(&name, suffix);
            let place = folder.names.binary_search_by(|other| name_bytes(other).cmp(name_bytes(&needed)));
            if let Err(place) = place {
                folder.names.insert(place, needed);
            }
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<TreeItem, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((root, names)) = self.root.take() {
            return Some(self.start(root, names));
        }
        if let Some((dir, path)) = self.next.take() {
            match sorted_names(&dir) {
                Ok(names) => self.open.push(Folder { dir, path, names }),
                Err(source) => return Some(Err(tree_error(&path, source))),
            }
        }
        self.add_needed();
        loop {
            let folder = self.open.last_mut()?;
            let Some(name) = folder.names.pop_front() else {
                self.open.pop();
                continue;
            };
            let path = match folder.path.join(name_bytes(&name)) {
                Ok(path) if self.tree.options().excludes.matches(&path) => continue,
                Ok(path) => path,
                Err(_) => return Some(Err(tree_error(&folder.path, io::ErrorKind::InvalidFilename.into()))),
            };
            let found = folder.dir.symlink_metadata(&name);
            if !self.tree.is_wanted(&path, found.as_ref().ok()) {
                continue;
            }
            return Some(match visit(&folder.dir, &name, found, path.clone()) {
                Ok((item, Some(below))) => {
                    self.next = Some((below, path));
                    Ok(item)
                }
                Ok((item, None)) => {
                    self.last = Some((name, path));
                    Ok(item)
                }
                Err(error) => Err(self.tree.explain(error)),
            });
        }
    }
}

/// The names in a folder, sorted as raw bytes.
pub(crate) fn sorted_names(dir: &Dir) -> io::Result<Names> {
    let mut names = dir.entries()?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable_by(|left, right| name_bytes(left).cmp(name_bytes(right)));
    Ok(names.into())
}

/// Looks at one item, and opens it if it is a folder.
fn visit(
    parent: &Dir,
    name: &OsString,
    found: io::Result<cap_std::fs::Metadata>,
    path: RelPath,
) -> Result<(TreeItem, Option<Dir>), TreeError> {
    let failed = |source| tree_error(&path, source);
    let found = found.map_err(failed)?;
    let (kind, below) = if found.is_dir() {
        (ItemKind::Directory, Some(parent.open_dir_nofollow(name).map_err(failed)?))
    } else if found.is_symlink() {
        let target = parent.read_link_contents(name).map_err(failed)?;
        (ItemKind::Symlink { target: name_bytes(target.as_os_str()).to_vec() }, None)
    } else if found.is_file() {
        let link = (found.nlink() > 1).then(|| link_id(&found));
        (ItemKind::File { len: found.len(), sparse: is_sparse(&found), link }, None)
    } else {
        return Err(TreeError { path, kind: TreeErrorKind::Special, source: None });
    };
    Ok((TreeItem { metadata: metadata(&found), path, kind }, below))
}
