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
use cap_std::fs::{Dir, OpenOptions};
use hushkeep_repo::tree::{FileView, TreeError, TreeErrorKind, TreeItem};
use hushkeep_repo::{RelPath, Tree};

use crate::database::{self, COMPANIONS};
use crate::exclude::Excludes;
use crate::platform::os_name;
use crate::stat::tree_error;
use crate::view::BytesView;
use crate::walk::{Names, Walk, sorted_names};

/// A folder, or a single file, as a [`Tree`]. Nothing in it is ever changed, and no symbolic link in it followed.
///
/// A single file is presented as the folder it lies in with nothing else in it, except, for a SQLite database,
/// the `-journal`, `-shm` and `-wal` that belong to it.
///
/// SQLite databases are recognised by their contents and read as the [`database`] module says. Of one database
/// only one view may be open at a time, and none of its `-journal`, `-shm` or `-wal` meanwhile: on Unix, closing
/// a file drops every lock that this process holds on it, also those SQLite relies on. For the same reason the
/// program must not have a database of the folder open by other means.
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
    pub excludes: Excludes,
    /// How long a database's application may keep it locked before it is reported as
    /// [`TreeErrorKind::Locked`].
    pub lock_wait: Duration,
    /// How long a live database may be kept in one state for its reader. Longer, and its application could not
    /// shorten its write-ahead log, or not write at all.
    pub hold_limit: Duration,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { excludes: Excludes::default(), lock_wait: Duration::from_secs(5), hold_limit: Duration::from_secs(60) }
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
        Ok(names.into_iter())
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

    pub(crate) fn options(&self) -> &FolderOptions {
        &self.options
    }

    /// The state in which a database was copied as bytes.
    pub(crate) fn copied(&self, database: &RelPath) -> Option<database::State> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).get(database).cloned()
    }

    /// Notes the state in which a database was copied as bytes.
    pub(crate) fn note_copied(&self, database: RelPath, state: database::State) {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).insert(database, state);
    }
}

impl Tree for FolderTree {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        Box::new(Walk::new(&self.root, self.root_names(), &self.options.excludes))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        let failed = |source| tree_error(path, source);
        if path.is_root() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let place = self.place(path).map_err(failed)?;
        let found = place.dir.symlink_metadata(&place.name).map_err(failed)?;
        if !found.is_file() {
            let other_now = found.is_dir() || found.is_symlink();
            let kind = if other_now { TreeErrorKind::Gone } else { TreeErrorKind::Special };
            return Err(TreeError { path: path.clone(), kind, source: None });
        }
        let file = place.open().map_err(failed)?;
        match database::page_size(&file).map_err(failed)? {
            Some(page_size) => database::open(self, place, file, page_size),
            None => match self.database_beside(&place) {
                Some((database, state)) => Ok(Box::new(BytesView::beside(file, place, database, state)?)),
                None => Ok(Box::new(BytesView::plain(file, place)?)),
            },
        }
    }
}

impl FolderTree {
    /// The database that was copied as bytes and to which `place` belongs, if there is one.
    fn database_beside(&self, place: &Place) -> Option<(Place, database::State)> {
        let path = place.path.as_bytes();
        let suffix = COMPANIONS.iter().find(|suffix| path.ends_with(suffix.as_bytes()))?;
        let path = RelPath::new(path.strip_suffix(suffix.as_bytes())?).ok()?;
        let state = self.copied(&path)?;
        Some((self.place(&path).ok()?, state))
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

fn with_suffix(name: &OsString, suffix: &str) -> OsString {
    let mut name = name.clone();
    name.push(suffix);
    name
}
