//! Every unsafe line of the crate: the kernel's structures, and one thin function a system call,
//! with borrowed fds in and owned fds out.

pub(crate) mod abi;
pub(crate) mod capability;
pub(crate) mod deadline;
pub(crate) mod ethtool;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod inotify;
pub(crate) mod iptables;
pub(crate) mod namespace;
pub(crate) mod notices;
pub(crate) mod notify;
pub(crate) mod packet;
pub(crate) mod poll;
pub(crate) mod procfs;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod tun;

use std::io;

/// Turns the `-1` of a failed call into the errno it left.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`check`], for the calls that return a length.
fn check_length(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
