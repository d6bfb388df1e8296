//! Namespaces of the calling thread, and the mounts that give them names.

use super::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `unshare(2)` for the calling thread.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers. Which namespace a thread is in is no memory-safety matter.
    check(unsafe { libc::unshare(flags) })?;
    Ok(())
}

/// `setns(2)` for the calling thread.
pub(crate) fn setns(namespace: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) })?;
    Ok(())
}

/// `mount(2)` without data.
pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings end with NUL and outlive the call; `kind` and the data may be null.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, std::ptr::null()) })?;
    Ok(())
}

/// `umount2(2)`.
pub(crate) fn unmount(target: &CStr, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the string ends with NUL and outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), flags) })?;
    Ok(())
}

/// `ioctl(NS_GET_NSTYPE)`: the `CLONE_NEW*` flag of a namespace's kind. Linux 4.11.
pub(crate) fn kind(namespace: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: this ioctl takes no argument.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_NSTYPE) })
}

/// `ioctl(NS_GET_USERNS)`: the user namespace that owns a namespace. `EPERM` if it is neither the calling thread's own
/// nor a descendant of it. Linux 4.9.
pub(crate) fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this ioctl takes no argument; a result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `geteuid(2)` and `getegid(2)`.
pub(crate) fn effective_ids() -> (libc::uid_t, libc::gid_t) {
    // SAFETY: neither takes an argument, and neither can fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// `mknod(2)` of an empty regular file without permissions: fails if there is one.
pub(crate) fn make_file(path: &CStr) -> io::Result<()> {
    // SAFETY: the string ends with NUL and outlives the call.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG, 0) })?;
    Ok(())
}
