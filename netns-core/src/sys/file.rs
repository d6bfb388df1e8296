//! Locks of files, and pipes.

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `flock(2)` with `LOCK_EX`: waits until nobody else holds a lock of the file. A signal ends the wait with `EINTR`.
/// The lock goes with the last descriptor of this opening. (It is `File::lock` of Rust 1.89; the crate builds with
/// 1.85.)
pub(crate) fn lock_exclusive(file: BorrowedFd<'_>) -> io::Result<()> {
    flock(file, libc::LOCK_EX)
}

/// As [`lock_exclusive`], and `EWOULDBLOCK` in place of waiting.
pub(crate) fn try_lock_exclusive(file: BorrowedFd<'_>) -> io::Result<()> {
    flock(file, libc::LOCK_EX | libc::LOCK_NB)
}

/// Gives up the lock of this opening, whatever other descriptors it has.
pub(crate) fn unlock(file: BorrowedFd<'_>) -> io::Result<()> {
    flock(file, libc::LOCK_UN)
}

fn flock(file: BorrowedFd<'_>, operation: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::flock(file.as_raw_fd(), operation) })?;
    Ok(())
}

/// `pipe2(2)`: the end to read from, and the one to write to. (It is `std::io::pipe` of Rust 1.87; the crate builds with
/// 1.85.)
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel writes two descriptors, for which there is room.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both are open and nobody else's.
    let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok((File::from(reader), File::from(writer)))
}
