//! The ioctls of `/dev/net/tun`, <https://github.com/torvalds/linux/blob/v6.12/drivers/net/tun.c>.

use super::check;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A name and the NULs that fill it, as the kernel has them.
type TunName = [u8; libc::IFNAMSIZ];

/// `TUNSETIFF`: makes a link of this name with these `IFF_*` in the namespace of the calling thread, or attaches to the
/// one that has the name; the name that it has got.
pub(crate) fn set_interface(fd: BorrowedFd<'_>, name: TunName, flags: libc::c_int) -> io::Result<TunName> {
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // `c_char` is signed on some machines.
    request.ifr_name = bytemuck::cast(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes one `ifreq`, which outlives the call; `request` has all of its bytes.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
    Ok(bytemuck::cast(request.ifr_name))
}

/// A setting that is a number, and no pointer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setting {
    /// `TUNSETPERSIST`: whether it stays when no descriptor is left.
    Persist(bool),
    /// `TUNSETOWNER`: which user may attach to it.
    Owner(u32),
    /// `TUNSETGROUP`: which group may attach to it.
    Group(u32),
}

/// Changes a setting of the link that the descriptor is attached to.
pub(crate) fn set(fd: BorrowedFd<'_>, setting: Setting) -> io::Result<()> {
    let (request, value) = match setting {
        Setting::Persist(on) => (libc::TUNSETPERSIST, libc::c_ulong::from(on)),
        Setting::Owner(user) => (libc::TUNSETOWNER, user.into()),
        Setting::Group(group) => (libc::TUNSETGROUP, group.into()),
    };
    // SAFETY: the argument of these is a number, which the kernel takes as it is.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, value) })?;
    Ok(())
}
