//! Waiting for a descriptor.

use super::check;
use super::deadline::Deadline;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Whether `fd` becomes readable before `deadline`. A wait that a signal interrupts goes on with what is left of it.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: &mut Deadline) -> io::Result<bool> {
    loop {
        match readable_once(fd, deadline.left()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// `ppoll(2)` of one descriptor.
fn readable_once(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // 32 bits fit the fields of every C library (`time_t` and `long` have 32 or 64), and hold 68 years of seconds.
    let limit = libc::timespec {
        tv_sec: i32::try_from(limit.as_secs()).unwrap_or(i32::MAX).into(),
        tv_nsec: i32::try_from(limit.subsec_nanos()).unwrap_or(i32::MAX).into(),
    };
    // SAFETY: one entry, as the count says; entry and limit outlive the call, and the signal mask may be null.
    let ready = check(unsafe { libc::ppoll(&raw mut entry, 1, &raw const limit, std::ptr::null()) })?;
    Ok(ready > 0)
}
