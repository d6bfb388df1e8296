//! `SIOCETHTOOL`, <https://github.com/torvalds/linux/blob/v6.18/net/ethtool/ioctl.c>.

use super::check;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SIOCETHTOOL`, which libc does not declare for every C library.
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

const _: () = assert!(size_of::<Value>() == 8);

/// Asks for a value, by a socket of the link's namespace. No command that asks takes a capability.
pub(crate) fn get(socket: BorrowedFd<'_>, name: [u8; libc::IFNAMSIZ], command: u32) -> io::Result<u32> {
    let mut value = Value { command, data: 0 };
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // `c_char` is signed on some machines.
    request.ifr_name = bytemuck::cast(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the kernel reads one `ifreq`, and reads and writes the `ethtool_value` that it points to; both outlive the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) })?;
    Ok(value.data)
}
