//! Unix: names are bytes, files have modes, SQLite's locks are POSIX record locks.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::Path;

use cap_std::fs::{Dir, DirBuilder, Metadata, MetadataExt, OpenOptions};
use hushkeep_repo::Timestamp;
use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT};

/// The bytes of a file name, as they are.
pub(crate) fn name_bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// A file name from its bytes.
pub(crate) fn os_name(bytes: &[u8]) -> io::Result<OsString> {
    Ok(OsString::from_vec(bytes.to_vec()))
}

pub(crate) fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

pub(crate) fn modified(metadata: &Metadata) -> Timestamp {
    timestamp(metadata.mtime(), metadata.mtime_nsec())
}

pub(crate) fn changed(metadata: &Metadata) -> Timestamp {
    timestamp(metadata.ctime(), metadata.ctime_nsec())
}

fn timestamp(seconds: i64, nanos: i64) -> Timestamp {
    Timestamp { seconds, nanos: u32::try_from(nanos).unwrap_or(0) }
}

/// Whether fewer blocks are allocated than the length needs. POSIX counts blocks of 512 bytes.
pub(crate) fn is_sparse(metadata: &Metadata) -> bool {
    metadata.blocks().saturating_mul(512) < metadata.len()
}

/// Makes a folder, and those on the way to it that are missing, for this user alone.
pub(crate) fn create_private_folders(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Folders made with `builder` are for this user alone.
pub(crate) fn make_private(builder: &mut DirBuilder) {
    cap_std::fs::DirBuilderExt::mode(builder, 0o700);
}

/// Files created with `options` are for this user alone.
pub(crate) fn open_private(options: &mut OpenOptions) {
    cap_std::fs::OpenOptionsExt::mode(options, 0o600);
}

pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// Sets the mode of an open folder. It is open without any right on Linux, where the path of its descriptor is the
/// one way to it that neither needs a right on it nor can lead elsewhere.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_folder_mode(folder: &Dir, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(format!("/proc/self/fd/{}", folder.as_raw_fd()), Permissions::from_mode(mode))
}

/// Sets the mode of an open folder.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_folder_mode(folder: &Dir, mode: u32) -> io::Result<()> {
    folder.set_permissions(".", cap_std::fs::Permissions::from_std(Permissions::from_mode(mode)))
}

/// Sets when a file's contents last changed.
pub(crate) fn set_modified(file: &File, time: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &modified_only(time))?)
}

/// Sets when a folder's or symbolic link's contents last changed; `name` is not followed.
pub(crate) fn set_modified_at(folder: &Dir, name: &OsStr, time: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::utimensat(folder, name, &modified_only(time), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn modified_only(time: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.min(999_999_999).into() },
    }
}

pub(crate) fn symlink(folder: &Dir, name: &OsStr, to: &[u8]) -> io::Result<()> {
    folder.symlink_contents(OsStr::from_bytes(to), name)
}

pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Waits until everything written to the file system of `folder` is on the disk.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn sync(folder: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// Asks for everything written to go to the disk. POSIX lets the call return before it did.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn sync(_folder: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}
