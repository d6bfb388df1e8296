//! Watching a folder.

use super::{check, check_length};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `inotify_init1(2)`, close-on-exec and non-blocking.
pub(crate) fn init() -> io::Result<OwnedFd> {
    // SAFETY: no pointers. A result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `inotify_add_watch(2)`.
pub(crate) fn add_watch(inotify: BorrowedFd<'_>, path: &CStr, events: u32) -> io::Result<()> {
    // SAFETY: the string ends with NUL and outlives the call.
    check(unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), events) })?;
    Ok(())
}

/// `read(2)` of as many whole events as fit.
pub(crate) fn read(inotify: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of `buffer`.
    check_length(unsafe { libc::read(inotify.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) })
}
