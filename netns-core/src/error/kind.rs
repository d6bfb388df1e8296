//! Kinds of failures: what a program can decide by.

use std::io;

/// What kind of failure an error is: what the caller could do about it. Derived from the kernel's error number, or from
/// what this crate found out itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for is not there, or is gone by now.
    NotFound,
    /// It is there already: a name, an index, an address.
    Exists,
    /// Somebody else is using it.
    Busy,
    /// A limit is reached; it may work later, when something was given back.
    Exhausted,
    /// This kernel, or this kind of object, cannot do it.
    Unsupported,
    /// The caller may not do it.
    Permission,
    /// There is no way to that address.
    Unreachable,
    /// It did not happen in time.
    TimedOut,
    /// Something came in between, and it may work when it is tried again: a signal, or a list that changed while the
    /// kernel sent it.
    Interrupted,
    /// The input makes no sense, or the kernel takes no such value.
    Invalid,
    /// The kernel's answer cannot be used.
    Reply,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The kind of one of the kernel's error numbers (`errno`), positive.
    #[must_use]
    pub const fn from_errno(errno: i32) -> Self {
        match errno {
            // ESRCH is a route's, EADDRNOTAVAIL an address's.
            libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ESRCH | libc::EADDRNOTAVAIL => Self::NotFound,
            libc::EEXIST | libc::EADDRINUSE => Self::Exists,
            libc::EBUSY | libc::ETXTBSY | libc::EAGAIN => Self::Busy,
            // EXFULL is a bridge's that has all its ports, ENOSPC and EUSERS are those of namespaces.
            libc::EMFILE
            | libc::ENFILE
            | libc::ENOMEM
            | libc::ENOBUFS
            | libc::ENOSPC
            | libc::EDQUOT
            | libc::EUSERS
            | libc::EXFULL => Self::Exhausted,
            libc::EOPNOTSUPP
            | libc::EAFNOSUPPORT
            | libc::EPFNOSUPPORT
            | libc::EPROTONOSUPPORT
            | libc::ENOPROTOOPT
            | libc::ENOSYS
            | libc::ENOTTY => Self::Unsupported,
            libc::EPERM | libc::EACCES | libc::EROFS => Self::Permission,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN => Self::Unreachable,
            libc::ETIMEDOUT => Self::TimedOut,
            libc::EINTR => Self::Interrupted,
            libc::EINVAL | libc::ENAMETOOLONG | libc::ELOOP | libc::ERANGE | libc::EDOM => Self::Invalid,
            _ => Self::Other,
        }
    }

    /// The kind of an error of the standard library.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        if let Some(errno) = error.raw_os_error() {
            return Self::from_errno(errno);
        }
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::PermissionDenied => Self::Permission,
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => Self::Busy,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::Interrupted => Self::Interrupted,
            io::ErrorKind::Unsupported => Self::Unsupported,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Self::Invalid,
            _ => Self::Other,
        }
    }
}
