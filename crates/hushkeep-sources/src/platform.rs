//! What differs between operating systems. Linux is tested; the rest is written to the same meaning.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios"))]
mod locks;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios")))]
mod no_locks;

#[cfg(not(unix))]
pub(crate) use other::*;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios"))]
pub(crate) use locks::*;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios")))]
pub(crate) use no_locks::*;
