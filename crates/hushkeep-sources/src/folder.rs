//! A folder on disk as something to back up.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions};
use hushkeep_repo::tree::{FileView, TreeError, TreeErrorKind, TreeItem};
use hushkeep_repo::{RelPath, Tree};

use crate::database::{self, COMPANIONS};
use crate::patterns::Patterns;
use crate::platform::os_name;
use crate::stat::{Stamp, tree_error};
use crate::view::BytesView;
use crate::walk::{Names, Walk, sorted_names};

/// A folder, or a single file, as a [`Tree`]. Nothing in it is ever changed, and no symbolic link in it followed.
///
/// A single file is presented as the folder it lies in with nothing else in it, except, for a SQLite database,
/// the `-journal`, `-shm` and `-wal` that belong to it.
///
/// SQLite databases are recognised by their contents, and each view is one committed state. Of one database only
/// one view may be open at a time, and none of its `-journal`, `-shm` or `-wal` meanwhile: on Unix, closing a file
/// drops every lock that this process holds on it, also those SQLite relies on. For the same reason the program
/// must not have a database of the folder open by other means.
#[derive(Debug)]
pub struct FolderTree {
    root: Dir,
    /// The absolute path of `root`, free of symbolic links: SQLite opens databases by path.
    base: PathBuf,
    /// The one file to present, if it is not the whole folder.
    only: Option<OsString>,
    options: FolderOptions,
    /// The databases copied as bytes, each in the state that was read: what lies beside them must fit.
    copied: Mutex<HashMap<RelPath, database::State>>,
}

/// How a folder is read.
#[derive(Debug, Clone)]
pub struct FolderOptions {
    /// What to leave out.
    pub excludes: Patterns,
    /// How long a database's application may keep it locked before it is reported as
    /// [`TreeErrorKind::Locked`].
    pub lock_wait: Duration,
    /// How long a live database may be kept in one state for its reader. Longer, and its application could not
    /// shorten its write-ahead log, or not write at all.
    pub hold_limit: Duration,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { excludes: Patterns::default(), lock_wait: Duration::from_secs(5), hold_limit: Duration::from_secs(60) }
    }
}

impl FolderTree {
    /// Takes the folder or file at `path`. This path may lead through symbolic links.
    pub fn new(path: &Path, options: FolderOptions) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let found = path.metadata()?;
        let (base, only) = if found.is_dir() {
            (path, None)
        } else if let (true, Some(parent), Some(name)) = (found.is_file(), path.parent(), path.file_name()) {
            (parent.to_owned(), Some(name.to_owned()))
        } else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a folder nor a file"));
        };
        let root = Dir::open_ambient_dir(&base, ambient_authority())?;
        Ok(Self { root, base, only, options, copied: Mutex::default() })
    }

    /// The names to visit in the root.
    fn root_names(&self) -> io::Result<Names> {
        let Some(only) = &self.only else { return sorted_names(&self.root) };
        let mut names = vec![only.clone()];
        if database::page_size(&open_file(&self.root, only)?)?.is_some() {
            let exists = |name: &OsString| self.root.symlink_metadata(name).is_ok();
            names.extend(COMPANIONS.iter().map(|suffix| with_suffix(only, suffix)).filter(exists));
        }
        Ok(names.into())
    }

    /// Opens the folder that `path` lies in, without following symbolic links.
    fn place(&self, path: &RelPath) -> io::Result<Place> {
        let mut dir = self.root.try_clone()?;
        let (parent, name) = (path.parent().unwrap_or_default(), os_name(path.name())?);
        for component in parent.components() {
            dir = dir.open_dir_nofollow(os_name(component)?)?;
        }
        let full =
            parent.components().try_fold(self.base.clone(), |base, part| io::Result::Ok(base.join(os_name(part)?)));
        Ok(Place { full: full?.join(&name), path: path.clone(), dir, name })
    }

    /// Opens a view of a file; an error does not tell yet what it means for a database.
    fn open_view(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        let failed = |source| tree_error(path, source);
        if path.is_root() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let place = self.place(path).map_err(failed)?;
        let found = place.dir.symlink_metadata(&place.name).map_err(failed)?;
        if !found.is_file() || !self.is_wanted(path, Some(&found)) {
            let is_special = !(found.is_file() || found.is_dir() || found.is_symlink());
            let kind = if is_special { TreeErrorKind::Special } else { TreeErrorKind::Gone };
            return Err(TreeError { path: path.clone(), kind, source: None });
        }
        let file = place.open().map_err(failed)?;
        if let Some(page_size) = database::page_size(&file).map_err(failed)? {
            self.forget_copied(path);
            return database::open(self, place, file, page_size);
        }
        let database = database_of(path).and_then(|(database, _)| Some((self.copied(&database)?, database)));
        Ok(Box::new(match database {
            Some((state, database)) => BytesView::beside(file, place, self.place(&database).map_err(failed)?, state)?,
            None => BytesView::plain(file, place)?,
        }))
    }

    pub(crate) fn options(&self) -> &FolderOptions {
        &self.options
    }

    /// Whether an item of the walk, as it is `found` now, is one to visit (or, not found, to miss). The files that
    /// belong to a database come and go with its transactions.
    pub(crate) fn is_wanted(&self, path: &RelPath, found: Option<&Metadata>) -> bool {
        match database_of(path) {
            Some((database, suffix)) if found.is_none_or(Metadata::is_file) => {
                self.copied(&database).map_or(found.is_some(), |state| state.keeps(suffix, found.map(Stamp::from)))
            }
            _ => true,
        }
    }

    /// What the names of the files beside a file add to its own, without which the copy of it is not whole.
    pub(crate) fn needed_beside(&self, path: &RelPath) -> impl Iterator<Item = &'static str> {
        let state = self.copied(path);
        COMPANIONS.into_iter().filter(move |suffix| state.as_ref().is_some_and(|state| state.needs(suffix)))
    }

    /// An error about an item. That a file is gone is more than that if a database was copied which needs it.
    pub(crate) fn explain(&self, mut error: TreeError) -> TreeError {
        let is_needed = || {
            let (database, suffix) = database_of(&error.path)?;
            Some(self.copied(&database)?.needs(suffix))
        };
        if error.kind == TreeErrorKind::Gone && is_needed() == Some(true) {
            error.kind = TreeErrorKind::GoneFromDatabase;
        }
        error
    }

    /// The state in which a database was copied as bytes.
    fn copied(&self, database: &RelPath) -> Option<database::State> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).get(database).cloned()
    }

    /// Notes the state in which a database was copied as bytes.
    pub(crate) fn note_copied(&self, database: RelPath, state: database::State) {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).insert(database, state);
    }

    fn forget_copied(&self, database: &RelPath) {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).remove(database);
    }
}

impl Tree for FolderTree {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        Box::new(Walk::new(self, &self.root, self.root_names()))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        self.open_view(path).map_err(|error| self.explain(error))
    }
}

/// Where a file is: its folder, held open, and its name in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) path: RelPath,
    pub(crate) dir: Dir,
    pub(crate) name: OsString,
    /// The same as an absolute path, for SQLite.
    pub(crate) full: PathBuf,
}

impl Place {
    pub(crate) fn open(&self) -> io::Result<File> {
        open_file(&self.dir, &self.name)
    }

    pub(crate) fn beside(&self, suffix: &str) -> OsString {
        with_suffix(&self.name, suffix)
    }
}

/// Opens a file for reading; never follows a symbolic link, and never waits for the other end of a pipe.
pub(crate) fn open_file(dir: &Dir, name: &OsString) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = dir.open_with(name, &options)?.into_std();
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The path of the database that a file belongs to by its name, and what its name adds to that.
fn database_of(path: &RelPath) -> Option<(RelPath, &'static str)> {
    COMPANIONS.into_iter().find_map(|suffix| {
        let database = path.as_bytes().strip_suffix(suffix.as_bytes())?;
        Some((RelPath::new(database).ok()?, suffix))
    })
}

pub(crate) fn with_suffix(name: &OsString, suffix: &str) -> OsString {
    let mut name = name.clone();
    name.push(suffix);
    name
}
