//! Waiting for a descriptor.

use super::check;
use super::deadline::Deadline;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Whether `fd` becomes readable before `deadline`. A wait that a signal interrupts goes on with what is left of it.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: &mut Deadline) -> io::Result<bool> {
    any_readable(&mut [entry(fd)], deadline)
}

/// Waits for `fd`.
pub(crate) fn entry(fd: BorrowedFd<'_>) -> libc::pollfd {
    libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

/// As [`readable`], any of those that [`entry`] was given, which says so in its `revents`, and whose other end may have
/// been closed instead.
pub(crate) fn any_readable(entries: &mut [libc::pollfd], deadline: &mut Deadline) -> io::Result<bool> {
    loop {
        match any_readable_once(entries, deadline.left()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// `ppoll(2)`. A descriptor that was closed meanwhile does no harm but a wrong answer.
fn any_readable_once(entries: &mut [libc::pollfd], limit: Duration) -> io::Result<bool> {
    // 32 bits fit the fields of every C library (`time_t` and `long` have 32 or 64), and hold 68 years of seconds.
    let limit = libc::timespec {
        tv_sec: i32::try_from(limit.as_secs()).unwrap_or(i32::MAX).into(),
        tv_nsec: i32::try_from(limit.subsec_nanos()).unwrap_or(i32::MAX).into(),
    };
    let count = entries.len() as libc::nfds_t;
    // SAFETY: pointer and count are those of `entries`; entries and limit outlive the call, and the signal mask may be
    // null.
    let ready =
        check(unsafe { libc::ppoll(entries.as_mut_ptr(), count, &raw const limit, std::ptr::null()) })?;
    Ok(ready > 0)
}
