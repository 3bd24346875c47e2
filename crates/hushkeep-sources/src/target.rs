//! A folder on disk as the place a restore goes to.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use cap_fs_ext::{DirExt, FollowSymlinks, MetadataExt, OpenOptionsFollowExt, OpenOptionsMaybeDirExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, OpenOptions};
use hushkeep_repo::target::{Existing, TargetError, TargetErrorKind, TargetFile};
use hushkeep_repo::tree::Metadata;
use hushkeep_repo::{RelPath, Target};

use crate::platform;

/// A folder on disk as a [`Target`].
///
/// Whatever lies in the folder and whatever a snapshot says, nothing outside of it is read or written: each
/// component of a path is opened relative to the one before, and none may be a symbolic link, not even one that
/// points inside.
///
/// * Files appear under a hidden random name and get their own name when they are whole, by one `rename`.
/// * Folders and files belong to this user alone until they get their final mode. Folders on the way that nobody
///   asked for stay so.
/// * Modes are the nine permission bits. Set-user-id, set-group-id and sticky are not restored: a snapshot made
///   by somebody else could plant a program that runs as this user.
/// * Times that the file system cannot hold become the nearest that it can.
/// * Nothing is flushed file by file: [`sync`](Target::sync) at the end flushes the whole file system once (1.4 s
///   after 100,000 small files). Systems other than Linux only promise to begin with it.
#[derive(Debug)]
pub struct FolderTarget {
    root: Dir,
}

impl FolderTarget {
    /// A pattern of the hidden names under which files lie until they are whole. A restore that was killed leaves
    /// some behind.
    pub const UNFINISHED: &str = ".hushkeep-????????????????.part";

    /// Takes the folder at `path`, and makes it for this user alone if there is none. This path may lead through
    /// symbolic links.
    pub fn new(path: &Path) -> io::Result<Self> {
        platform::create_private_folders(path)?;
        Ok(Self { root: Dir::open_ambient_dir(path, ambient_authority())? })
    }

    /// Opens the folder at `path`; `None` if it, or one on the way, is not there.
    fn folder(&self, path: &RelPath) -> Result<Option<Dir>, TargetError> {
        let failed = |source| target_error(path, source);
        let mut dir = self.root.try_clone().map_err(failed)?;
        for component in path.components() {
            let name = platform::os_name(component).map_err(failed)?;
            dir = match open_folder(&dir, &name, path) {
                Err(error) if is_missing(&error) => return Ok(None),
                other => other?,
            };
        }
        Ok(Some(dir))
    }

    /// Opens the folder at `path`, and makes it and those on the way if they are not there.
    fn folder_or_new(&self, path: &RelPath) -> Result<Dir, TargetError> {
        let failed = |source| target_error(path, source);
        let mut dir = self.root.try_clone().map_err(failed)?;
        for component in path.components() {
            let name = platform::os_name(component).map_err(failed)?;
            dir = match open_folder(&dir, &name, path) {
                Err(error) if is_missing(&error) => new_folder(&dir, &name, path)?,
                other => other?,
            };
        }
        Ok(dir)
    }

    /// The place at `path`, with the folder it lies in made if it is not there.
    fn place(&self, path: &RelPath) -> Result<Place, TargetError> {
        let Some(parent) = path.parent() else { return Err(in_the_way(path)) };
        let dir = self.folder_or_new(&parent).map_err(|error| TargetError { path: path.clone(), ..error })?;
        let name = platform::os_name(path.name()).map_err(|source| target_error(path, source))?;
        Ok(Place { path: path.clone(), dir, name })
    }
}

impl Target for FolderTarget {
    fn existing(&self, path: &RelPath) -> Result<Option<Existing>, TargetError> {
        let failed = |source| target_error(path, source);
        let Some(parent) = path.parent() else { return Ok(Some(Existing::Directory)) };
        let Some(dir) = self.folder(&parent)? else { return Ok(None) };
        let found = match dir.symlink_metadata(platform::os_name(path.name()).map_err(failed)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(failed)?,
        };
        Ok(Some(if found.is_dir() {
            Existing::Directory
        } else if found.is_file() {
            Existing::File { len: found.len(), modified: platform::modified(&found) }
        } else {
            Existing::Other
        }))
    }

    fn create_directory(&self, path: &RelPath) -> Result<(), TargetError> {
        let failed = |source| target_error(path, source);
        if !path.is_root() {
            let Place { dir, name, .. } = self.place(path)?;
            if dir.symlink_metadata(&name).is_ok_and(|found| !found.is_dir()) {
                return Err(in_the_way(path));
            }
        }
        let dir = self.folder_or_new(path)?;
        let mode = platform::mode(&dir.dir_metadata().map_err(failed)?);
        if mode & 0o700 == 0o700 { Ok(()) } else { platform::set_folder_mode(&dir, mode | 0o700).map_err(failed) }
    }

    fn create_file(&self, path: &RelPath, len: u64) -> Result<Box<dyn TargetFile + '_>, TargetError> {
        let place = self.place(path)?;
        let (temporary, file) = place.create(|name| {
            let mut options = OpenOptions::new();
            platform::open_private(options.read(true).write(true).create_new(true));
            place.dir.open_with(name, options.follow(FollowSymlinks::No))
        })?;
        let file = RestoredFile { file: file.into_std(), temporary: Temporary { place, name: Some(temporary) } };
        file.file.set_len(len).map_err(|source| file.failed(source))?;
        Ok(Box::new(file))
    }

    fn create_symlink(&self, path: &RelPath, to: &[u8], metadata: &Metadata) -> Result<(), TargetError> {
        let place = self.place(path)?;
        let (name, ()) = place.create(|name| platform::symlink(&place.dir, name, to))?;
        let link = Temporary { place, name: Some(name.clone()) };
        platform::set_modified_at(&link.place.dir, &name, metadata.modified)
            .map_err(|source| target_error(path, source))?;
        link.publish()
    }

    fn create_hard_link(&self, path: &RelPath, original: &RelPath) -> Result<(), TargetError> {
        let place = self.place(path)?;
        let failed = |source| target_error(original, source);
        let (parent, original_name) = (original.parent().unwrap_or_default(), platform::os_name(original.name()));
        let original_name = original_name.map_err(failed)?;
        let Some(from) = self.folder(&parent)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let found = from.symlink_metadata(&original_name).map_err(failed)?;
        if !found.is_file() {
            return Err(in_the_way(original));
        }
        let same = |other: cap_std::fs::Metadata| (other.dev(), other.ino()) == (found.dev(), found.ino());
        if place.dir.symlink_metadata(&place.name).is_ok_and(same) {
            return Ok(()); // To rename one name of a file to another does nothing, and leaves both.
        }
        let (name, ()) = place.create(|name| from.hard_link(&original_name, &place.dir, name))?;
        Temporary { place, name: Some(name) }.publish()
    }

    fn finish_directory(&self, path: &RelPath, metadata: &Metadata) -> Result<(), TargetError> {
        let failed = |source| target_error(path, source);
        let Some(dir) = self.folder(path)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        platform::set_modified_at(&dir, ".".as_ref(), metadata.modified).map_err(failed)?;
        platform::set_folder_mode(&dir, metadata.mode & 0o777).map_err(failed)
    }

    fn set_aside(&self, path: &RelPath) -> Result<RelPath, TargetError> {
        let place = self.place(path)?;
        let (aside, name) = place.free_name(".before-restore")?;
        place.dir.rename(&place.name, &place.dir, &name).map_err(|source| target_error(path, source))?;
        Ok(aside)
    }

    fn sync(&self) -> Result<(), TargetError> {
        let mut options = OpenOptions::new();
        options.read(true).maybe_dir(true);
        let root = self.root.open_with(".", &options).map(cap_std::fs::File::into_std);
        root.and_then(|root| platform::sync(&root)).map_err(|source| target_error(&RelPath::root(), source))
    }
}

/// How many files of one name can be set aside.
const MAX_ASIDE: u32 = 10_000;

/// A file under its temporary name.
struct RestoredFile {
    file: File,
    temporary: Temporary,
}

impl RestoredFile {
    fn failed(&self, source: io::Error) -> TargetError {
        target_error(&self.temporary.place.path, source)
    }
}

impl TargetFile for RestoredFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        platform::write_at(&self.file, bytes, offset).map_err(|source| self.failed(source))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), TargetError> {
        platform::read_exact_at(&self.file, buffer, offset).map_err(|source| self.failed(source))
    }

    fn finish(self: Box<Self>, metadata: &Metadata) -> Result<(), TargetError> {
        platform::set_modified(&self.file, metadata.modified).map_err(|source| self.failed(source))?;
        platform::set_mode(&self.file, metadata.mode & 0o777).map_err(|source| self.failed(source))?;
        self.temporary.publish()
    }

    fn finish_damaged(mut self: Box<Self>, metadata: &Metadata) -> Result<RelPath, TargetError> {
        let (path, name) = self.temporary.place.free_name(".damaged")?;
        (self.temporary.place.path, self.temporary.place.name) = (path.clone(), name);
        self.finish(metadata)?;
        Ok(path)
    }
}

/// Where an item goes: the folder, held open, and its name in it.
struct Place {
    path: RelPath,
    dir: Dir,
    name: OsString,
}

impl Place {
    /// A name that begins like the place's own, ends in `suffix` and perhaps a number, and that nothing has.
    fn free_name(&self, suffix: &str) -> Result<(RelPath, OsString), TargetError> {
        let failed = |source| target_error(&self.path, source);
        for number in 1..=MAX_ASIDE {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            let path = self.path.with_suffix(&format!("{suffix}{number}"));
            let path = path.map_err(|_| failed(io::ErrorKind::InvalidFilename.into()))?;
            let name = platform::os_name(path.name()).map_err(failed)?;
            if self.dir.symlink_metadata(&name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                return Ok((path, name));
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Creates something beside the place, under a random name that nothing has yet.
    fn create<T>(&self, create: impl Fn(&OsString) -> io::Result<T>) -> Result<(OsString, T), TargetError> {
        let failed = |source| target_error(&self.path, source);
        loop {
            let random = getrandom::u64().map_err(|error| failed(io::Error::other(error)))?;
            let name = OsString::from(format!(".hushkeep-{random:016x}.part"));
            match create(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|created| (name, created)).map_err(failed),
            }
        }
    }
}

/// Something under a temporary name beside its place; removed unless it is published.
struct Temporary {
    place: Place,
    name: Option<OsString>,
}

impl Temporary {
    /// Gives it its own name, replacing what is no folder.
    fn publish(mut self) -> Result<(), TargetError> {
        let Place { path, dir, name } = &self.place;
        if let Some(temporary) = &self.name {
            dir.rename(temporary, dir, name).map_err(|source| match source.kind() {
                io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => in_the_way(path),
                _ => target_error(path, source),
            })?;
        }
        self.name = None;
        Ok(())
    }
}

/// What cannot be removed stays behind under its hidden name: there is nobody to tell.
impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            let _ = self.place.dir.remove_file(name);
        }
    }
}

/// Opens a folder inside another; a symbolic link or anything else in its place is an error.
fn open_folder(dir: &Dir, name: &OsString, path: &RelPath) -> Result<Dir, TargetError> {
    dir.open_dir_nofollow(name).map_err(|source| match dir.symlink_metadata(name) {
        Ok(found) if !found.is_dir() => {
            TargetError { path: path.clone(), kind: TargetErrorKind::NotADirectory, source: Some(source) }
        }
        _ => target_error(path, source),
    })
}

/// Makes a folder inside another, and opens it.
fn new_folder(dir: &Dir, name: &OsString, path: &RelPath) -> Result<Dir, TargetError> {
    let mut builder = DirBuilder::new();
    platform::make_private(&mut builder);
    match dir.create_dir_with(name, &builder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(target_error(path, error)),
        _ => open_folder(dir, name, path),
    }
}

fn is_missing(error: &TargetError) -> bool {
    error.source.as_ref().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
}

fn in_the_way(path: &RelPath) -> TargetError {
    TargetError { path: path.clone(), kind: TargetErrorKind::InTheWay, source: None }
}

/// An error about `path`, sorted by what the system said.
fn target_error(path: &RelPath, source: io::Error) -> TargetError {
    let kind = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TargetErrorKind::Full,
        _ => TargetErrorKind::Unwritable,
    };
    TargetError { path: path.clone(), kind, source: Some(source) }
}
