//! Locks of files.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `flock(2)` with `LOCK_EX`: waits until nobody else holds a lock of the file. A signal ends the wait with `EINTR`.
/// The lock goes with the last descriptor of this opening. (It is `File::lock` of Rust 1.89; the crate builds with
/// 1.85.)
pub(crate) fn lock_exclusive(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) })?;
    Ok(())
}
