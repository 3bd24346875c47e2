//! Systems without Unix modes: names are text.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_fs_ext::{DirExt, SystemTimeSpec};
use cap_std::fs::{Dir, DirBuilder, Metadata, OpenOptions};
use hushkeep_repo::Timestamp;

/// The bytes of a file name. Names that are not text are kept in the standard library's own encoding.
pub(crate) fn name_bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// A file name from its bytes, which must be text and no path of its own.
pub(crate) fn os_name(bytes: &[u8]) -> io::Result<OsString> {
    let name = std::str::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidFilename)?;
    if name.contains(['\\', ':']) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok(name.into())
}

pub(crate) fn mode(metadata: &Metadata) -> u32 {
    match (metadata.is_dir(), metadata.permissions().readonly()) {
        (true, false) => 0o755,
        (true, true) => 0o555,
        (false, false) => 0o644,
        (false, true) => 0o444,
    }
}

pub(crate) fn modified(metadata: &Metadata) -> Timestamp {
    let time = metadata.modified().map_or(UNIX_EPOCH, cap_std::time::SystemTime::into_std);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp { seconds: after.as_secs().cast_signed(), nanos: after.subsec_nanos() },
        Err(_) => Timestamp::EPOCH,
    }
}

/// There is no ctime: the time of the contents stands in.
pub(crate) fn changed(metadata: &Metadata) -> Timestamp {
    modified(metadata)
}

pub(crate) fn is_sparse(_metadata: &Metadata) -> bool {
    false
}

/// Makes a folder, and those on the way to it that are missing.
pub(crate) fn create_private_folders(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

pub(crate) fn make_private(_builder: &mut DirBuilder) {}

pub(crate) fn open_private(_options: &mut OpenOptions) {}

pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(mode & 0o200 == 0);
    file.set_permissions(permissions)
}

pub(crate) fn set_folder_mode(_folder: &Dir, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Sets when a file's contents last changed. A time that the system's clock cannot show is not set.
pub(crate) fn set_modified(file: &File, time: Timestamp) -> io::Result<()> {
    system_time(time).map_or(Ok(()), |time| file.set_modified(time))
}

/// Sets when a folder's or symbolic link's contents last changed; `name` is not followed.
pub(crate) fn set_modified_at(folder: &Dir, name: &OsStr, time: Timestamp) -> io::Result<()> {
    let Some(time) = system_time(time) else { return Ok(()) };
    let time = SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(time));
    folder.set_symlink_times(name, None, Some(time))
}

/// The time as the standard library has it; `None` before 1970, which the file library cannot set here.
fn system_time(time: Timestamp) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::new(u64::try_from(time.seconds).ok()?, time.nanos.min(999_999_999)))
}

pub(crate) fn symlink(folder: &Dir, name: &OsStr, to: &[u8]) -> io::Result<()> {
    DirExt::symlink(folder, os_name(to)?, name)
}

pub(crate) fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

pub(crate) fn read_exact_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

pub(crate) fn sync(folder: &File) -> io::Result<()> {
    folder.sync_all()
}
