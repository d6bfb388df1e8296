//! A procfs of our own.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null;

/// Flags and command of the calls below, as in `include/uapi/linux/mount.h`.
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// Makes a procfs that is mounted nowhere and goes with the descriptor of its root: `fsopen(2)`, `fsconfig(2)`,
/// `fsmount(2)`. Linux 5.2. Needs `CAP_SYS_ADMIN` over the mount namespace; in a user namespace the kernel refuses it with
/// `EPERM` where parts of the `/proc` that is there are hidden or read-only.
pub(crate) fn detached() -> io::Result<OwnedFd> {
    let flags = (libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC) as libc::c_uint;
    // SAFETY: the string ends with NUL and is static; the command takes neither key nor value, which may be null. A
    // result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let context = descriptor(libc::syscall(libc::SYS_fsopen, c"proc".as_ptr(), FSOPEN_CLOEXEC))?;
        let raw = context.as_raw_fd();
        let (key, value) = (null::<libc::c_char>(), null::<libc::c_void>());
        let created =
            libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, key, value, 0 as libc::c_int);
        check(created as libc::c_int)?;
        descriptor(libc::syscall(libc::SYS_fsmount, raw, FSMOUNT_CLOEXEC, flags))
    }
}

/// Takes a descriptor that a system call returned.
///
/// # Safety
/// A `result` that is not negative must be a descriptor that nobody else owns.
unsafe fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result as libc::c_int)?;
    // SAFETY: by the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
