//! Locks on ranges of bytes, as SQLite takes them (`unix` VFS), and where they mean something.

use std::fs::File;
use std::io;
use std::ops::Range;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};

/// Whether another process holds a lock on any of these bytes of a file.
pub(crate) fn is_locked(file: &File, bytes: Range<u64>) -> io::Result<bool> {
    let free = record(libc::F_UNLCK, bytes.clone())?.l_type;
    let mut lock = record(libc::F_WRLCK, bytes)?;
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(lock.l_type != free)
}

/// Takes a read lock on these bytes of a file until it is closed; `false` if another process keeps it away.
pub(crate) fn lock_for_reading(file: &File, bytes: Range<u64>) -> io::Result<bool> {
    match set(file, &record(libc::F_RDLCK, bytes)?) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives back the locks on these bytes of a file.
pub(crate) fn unlock(file: &File, bytes: Range<u64>) -> io::Result<()> {
    Ok(set(file, &record(libc::F_UNLCK, bytes)?)?)
}

/// The types of the constants and fields differ between systems.
fn record(kind: impl TryInto<libc::c_short>, bytes: Range<u64>) -> io::Result<flock> {
    let fields = || {
        let len = bytes.end.saturating_sub(bytes.start);
        Some(flock {
            l_type: kind.try_into().ok()?,
            l_whence: libc::SEEK_SET.try_into().ok()?,
            l_start: bytes.start.try_into().ok()?,
            l_len: len.try_into().ok()?,
            l_pid: 0,
        })
    };
    fields().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// A lock of the open file: closing another descriptor of this process does not drop it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(file: &File, lock: &flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(lock)).map(drop)
}

/// A lock of the process: closing any descriptor of the file drops it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set(file: &File, lock: &flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_SETLK(lock)).map(drop)
}

/// Whether a file lies on a file system that others may write to from elsewhere, or whose locks say nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_on_network(file: &File) -> io::Result<bool> {
    // The magic numbers of statfs(2): AFS, Ceph, CIFS, Coda, FUSE, Lustre, NCP, NFS, 9p (also of virtual
    // machines), SMB, SMB2, VirtualBox shared folders.
    const MAGIC: [u32; 12] = [
        0x5346_414f,
        0x00c3_6400,
        0xff53_4d42,
        0x7375_7245,
        0x6573_5546,
        0x0bd0_0bd0,
        0x564c,
        0x6969,
        0x0102_1997,
        0x517b,
        0xfe53_4d42,
        0x786f_4256,
    ];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
    let kind = rustix::fs::fstatfs(file)?.f_type as u32;
    Ok(MAGIC.contains(&kind))
}

/// Whether a file lies on a file system that others may write to from elsewhere. `MNT_LOCAL` is 0x1000.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_on_network(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_flags & 0x1000 == 0)
}
