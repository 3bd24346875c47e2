//! A local folder.

use std::fs::{self, DirBuilder, DirEntry, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hushkeep_repo::Timestamp;
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError, StorageErrorKind};
use tempfile::NamedTempFile;

/// A repository in a folder of a local or mounted file system (spec §6.3).
///
/// An object is written to a temporary file in `tmp/`, synced, and then renamed to its name, which is synced too.
/// A name that is taken is never replaced, if the file system can do that: it is tried once before the first
/// write. Files and folders are made for this user alone.
///
/// Opening and reading write nothing, so a read-only file system is enough for a restore.
pub struct FolderStorage {
    root: PathBuf,
    /// Whether the file system can rename without replacing, once that was tried.
    exclusive: OnceLock<bool>,
}

/// Where files are before they have their names.
const TMP: &str = "tmp";

/// How the names of temporary files begin: nothing else in `tmp/` is ever removed.
const TMP_PREFIX: &str = "put-";

/// A temporary file this old was left by a run that was killed.
const STALE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl FolderStorage {
    /// Opens the folder at `root`, which must exist: else the error is of kind [`StorageErrorKind::NotFound`].
    ///
    /// The folder of a disk that is not mounted often does exist, empty. Such a folder can be opened and lists as
    /// empty; nothing can be stored in it before [`create`](Self::create).
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StorageError> {
        let root = root.as_ref();
        Self::at(root).and_then(|storage| storage.check_root().map(|()| storage)).map_err(|e| error(root.display(), e))
    }

    /// Makes the folder at `root` and those inside it, where they are missing, and opens it.
    pub fn create(root: impl AsRef<Path>) -> Result<Self, StorageError> {
        let root = root.as_ref();
        Self::at(root)
            .and_then(|storage| storage.create_folders().map(|()| storage))
            .map_err(|e| error(root.display(), e))
    }

    fn at(root: &Path) -> io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)?, exclusive: OnceLock::new() })
    }

    fn check_root(&self) -> io::Result<()> {
        let is_folder = fs::metadata(&self.root)?.is_dir();
        if is_folder { Ok(()) } else { Err(ErrorKind::NotADirectory.into()) }
    }

    fn create_folders(&self) -> io::Result<()> {
        create_root(&self.root)?;
        for name in Folder::ALL.map(Folder::name).into_iter().chain([TMP]) {
            create_folder(&self.root.join(name))?;
        }
        sync_folder(&self.root)
    }

    /// The path of a folder inside the root, which is made if it is missing and another one is there. (Tools that
    /// copy a repository may leave out empty folders.) In a root without any, the disk may just not be mounted.
    fn folder_to_write(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root.join(name);
        if path.try_exists()? {
            return Ok(path);
        }
        if !Folder::ALL.iter().any(|folder| self.path(*folder).is_dir()) {
            return Err(io::Error::new(ErrorKind::NotFound, "the folder holds no repository: is its disk mounted?"));
        }
        create_folder(&path)?;
        sync_folder(&self.root)?;
        Ok(path)
    }

    fn path(&self, folder: Folder) -> PathBuf {
        self.root.join(folder.name())
    }

    /// Opens an object; returns it with its length. If what lies there is not a file, the error is of kind
    /// [`ErrorKind::InvalidData`], and comes at once: opening a named pipe may wait for ever.
    fn open_object(&self, name: &ObjectName) -> io::Result<(File, u64)> {
        let path = self.path(name.folder()).join(name.file());
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let opened = options.open(&path);
        // A socket does not even open, nor does a folder everywhere.
        let metadata = opened.as_ref().map_or_else(|_| fs::metadata(&path), File::metadata);
        if metadata.as_ref().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::new(ErrorKind::InvalidData, "what lies there is not a file"));
        }
        Ok((opened?, metadata?.len()))
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> io::Result<()> {
        let exclusive = self.exclusive()?;
        let folder = self.folder_to_write(name.folder().name())?;
        let path = folder.join(name.file());

        let mut file = temporary(&self.folder_to_write(TMP)?)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        let published = if exclusive { file.persist_noclobber(path) } else { file.persist(path) };
        published.map_err(|failed| failed.error)?;
        sync_folder(&folder)
    }

    fn exclusive(&self) -> io::Result<bool> {
        if let Some(known) = self.exclusive.get() {
            return Ok(*known);
        }
        let tmp = self.folder_to_write(TMP)?;
        remove_stale(&tmp);
        let exclusive = renames_exclusively(&tmp)?;
        Ok(*self.exclusive.get_or_init(|| exclusive))
    }

    /// Reads a whole object, unless it is too long: the error is of kind [`ErrorKind::FileTooLarge`] then.
    fn read(&self, name: &ObjectName) -> io::Result<Vec<u8>> {
        let (file, len) = self.open_object(name)?;
        if len > name.folder().max_len() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        read_from(file, 0..len)
    }

    fn read_range(&self, name: &ObjectName, range: Range<u64>) -> io::Result<Vec<u8>> {
        let (file, len) = self.open_object(name)?;
        read_from(file, range.start..range.end.min(len))
    }

    fn read_folder(&self, folder: Folder) -> io::Result<Vec<ObjectInfo>> {
        match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries.filter_map(|entry| object_info(folder, entry).transpose()).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => self.check_root().map(|()| Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Storage for FolderStorage {
    /// Tries the file system the first time. One that cannot be written promises nothing.
    fn features(&self) -> Features {
        Features { create_if_absent: self.exclusive().unwrap_or(false) }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(name, bytes).map_err(|e| error(name, e))
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.read(name).map_err(|e| read_error(name, e))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.read_range(name, range).map_err(|e| read_error(name, e))
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.read_folder(folder).map_err(|e| error(folder.name(), e))
    }

    /// Not synced: a deletion that a power cut undoes leaves an object that nothing refers to.
    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        match fs::remove_file(self.path(name.folder()).join(name.file())) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(error(name, e)),
            _ => Ok(()),
        }
    }
}

/// Reads a range that lies in the file, or is empty. A file can say that it is longer than memory: that is an error.
fn read_from(mut file: File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let len = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(len).map_err(|_| ErrorKind::OutOfMemory)?)?;
    if len > 0 {
        file.seek(SeekFrom::Start(range.start))?;
        file.take(len).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn object_info(folder: Folder, entry: io::Result<DirEntry>) -> io::Result<Option<ObjectInfo>> {
    let entry = entry?;
    let Some(name) = entry.file_name().to_str().and_then(|file| ObjectName::new(folder, file).ok()) else {
        return Ok(None);
    };
    match entry.metadata() {
        Ok(metadata) if metadata.is_file() => {
            let stored = metadata.modified().ok().and_then(timestamp);
            Ok(Some(ObjectInfo { name, len: metadata.len(), stored }))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` for times before 1970: no object is that old, so the file system does not know.
fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
    Timestamp::new(i64::try_from(since_epoch.as_secs()).ok()?, since_epoch.subsec_nanos())
}

fn create_root(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().ok_or(ErrorKind::NotFound)?;
    create_root(parent)?;
    create_folder(path)?;
    sync_folder(parent)
}

fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        done => done,
    }
}

/// Makes the names in a folder durable, where the system has a way to.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(path)?.sync_all() {
        // Some network file systems cannot sync a folder; they have nothing to wait for.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

fn temporary(tmp: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TMP_PREFIX).rand_bytes(16).tempfile_in(tmp)
}

/// Whether a rename that must not replace works and does not replace. Some file systems have no such rename, and
/// some servers behind a mount say that it worked although they replaced.
fn renames_exclusively(tmp: &Path) -> io::Result<bool> {
    let (first, second) = (temporary(tmp)?, temporary(tmp)?);
    let name = first.path().with_extension("probe");
    let works = first.persist_noclobber(&name).is_ok();
    let refuses = second.persist_noclobber(&name).is_err_and(|e| e.error.kind() == ErrorKind::AlreadyExists);
    if works {
        fs::remove_file(&name)?;
    }
    Ok(works && refuses)
}

/// Removes what killed runs left. It is in nobody's way, so a file that cannot be removed is no error.
fn remove_stale(tmp: &Path) {
    let now = SystemTime::now();
    let is_stale = |entry: &DirEntry| {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| now.duration_since(time));
        let ours = entry.file_name().to_string_lossy().starts_with(TMP_PREFIX);
        ours && matches!(age, Ok(Ok(age)) if age > STALE_AFTER)
    };
    for entry in fs::read_dir(tmp).into_iter().flatten().flatten().filter(is_stale) {
        let _ = fs::remove_file(entry.path());
    }
}

fn error(subject: impl ToString, source: io::Error) -> StorageError {
    StorageError::new(kind(source.kind()), subject).because(source)
}

/// Whether the disk says that it cannot read what is stored there: EIO; on Windows the codes of a bad checksum, of a sector
/// that is not found, of a read fault and of a failing device.
fn is_unreadable(error: &io::Error) -> bool {
    let codes: &[i32] = if cfg!(windows) { &[23, 27, 30, 1117] } else { &[5] };
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn read_error(name: &ObjectName, source: io::Error) -> StorageError {
    let kind = match source.kind() {
        _ if is_unreadable(&source) => StorageErrorKind::Unreadable,
        ErrorKind::InvalidData => StorageErrorKind::Unreadable,
        ErrorKind::FileTooLarge => StorageErrorKind::TooLong,
        other => kind(other),
    };
    StorageError::new(kind, name).because(source)
}

fn kind(kind: ErrorKind) -> StorageErrorKind {
    match kind {
        ErrorKind::NotFound => StorageErrorKind::NotFound,
        ErrorKind::AlreadyExists => StorageErrorKind::AlreadyExists,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageErrorKind::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StorageErrorKind::Denied,
        // A mounted network file system that does not answer, or a file that a file server has lent to somebody.
        ErrorKind::TimedOut
        | ErrorKind::NotConnected
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::WouldBlock => StorageErrorKind::Unreachable,
        _ => StorageErrorKind::Failed,
    }
}

#[cfg(test)]
mod tests;
