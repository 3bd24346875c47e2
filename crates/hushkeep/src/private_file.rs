//! Files for this user alone, written whole or not at all.

use std::fs::{self, DirBuilder, DirEntry, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

/// How the names of temporary files begin.
const TMP_PREFIX: &str = ".hushkeep-";

/// A temporary file this old was left by a run that was killed.
const STALE_AFTER: Duration = Duration::from_secs(60 * 60);

/// Writes a new file that only this user can read (0600), durably. Where the system can do that, a run that is killed
/// leaves nothing else: the file lies in a folder of the owner's, and holds a key.
///
/// Fails with [`ErrorKind::AlreadyExists`] if there is one: nothing is ever replaced.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    if !created_unnamed(folder, path, bytes)? {
        written(folder, bytes)?.persist_noclobber(path).map_err(|failed| failed.error)?;
    }
    sync_folder(folder)
}

/// Writes a file that only this user can read, replacing an earlier one. Folders on the way are made (0700), and what
/// killed runs left beside it goes.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    create_folders(folder)?;
    remove_stale(folder);
    written(folder, bytes)?.persist(path).map_err(|failed| failed.error)?;
    sync_folder(folder)
}

/// Writes a file that only this user can read, replacing an earlier one. After a crash it may be torn or gone.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    create_folders(folder)?;
    let mut file = temporary(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// Reads a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file, durably, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(folder_of(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a new file that gets its name when it is on the disk, and has none before. `false` if the system cannot.
#[cfg(target_os = "linux")]
fn created_unnamed(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<bool> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use rustix::io::Errno;

    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) else { return Ok(false) };
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.sync_all()?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Err(ErrorKind::AlreadyExists.into()),
        // Without /proc.
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
fn created_unnamed(_: &Path, _: &Path, _: &[u8]) -> io::Result<bool> {
    Ok(false)
}

/// Removes temporary files of killed runs, which may hold a key. They are in nobody's way, so one that cannot be removed
/// is no error.
fn remove_stale(folder: &Path) {
    let now = SystemTime::now();
    let is_stale = |entry: &DirEntry| {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| now.duration_since(time));
        let ours = entry.file_name().to_string_lossy().starts_with(TMP_PREFIX);
        ours && matches!(age, Ok(Ok(age)) if age > STALE_AFTER)
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(is_stale) {
        let _ = fs::remove_file(entry.path());
    }
}

/// A temporary file in `folder`. It is made with mode 0600.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TMP_PREFIX).tempfile_in(folder)
}

/// A temporary file in `folder` with these contents, on the disk.
fn written(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = temporary(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn create_folders(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_private_and_a_new_one_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"first").unwrap();
        assert_eq!(create(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn folders_on_the_way_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"second");
        assert_eq!(read(&folder.path().join("missing")).unwrap(), None);
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_killed_runs_left_goes_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let (stale, recent) = (folder.path().join(".hushkeep-stale"), folder.path().join(".hushkeep-recent"));
        for (path, minutes) in [(&stale, 61), (&recent, 59)] {
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60 * minutes)).unwrap();
        }
        replace(&folder.path().join("key"), b"key").unwrap();
        assert!(!stale.exists() && recent.exists(), "another process may be writing");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_new_file_has_no_name_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(created_unnamed(folder.path(), &path, b"key").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = created_unnamed(folder.path(), &path, b"other").unwrap_err();
        assert_eq!((taken.kind(), fs::read(&path).unwrap()), (ErrorKind::AlreadyExists, b"key".to_vec()));
    }
}
