//! Sockets: netlink, and the raw ICMP ones that `ping` uses.

use super::{check, check_length};
use std::io;
use std::mem::{size_of, zeroed};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `SIOCGSKNS`, which libc does not declare: the namespace of a socket, as an fd.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/sockios.h>
const SIOCGSKNS: libc::Ioctl = 0x894C;

/// `socket(2)`, close-on-exec.
pub(crate) fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers. A result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `setsockopt(2)` with a value of any plain type.
pub(crate) fn set_option<T: bytemuck::NoUninit>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: pointer and length are those of `value`, which outlives the call and has no uninitialised bytes.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `getsockopt(2)` with a value of any plain type; an answer of another length is `EPROTO`.
pub(crate) fn option<T: bytemuck::Pod>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = T::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` has `length` bytes, any of which the kernel may write since `T` is `Pod`, and writes no more than
    // `length` of; both outlive the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut length,
        )
    })?;
    if length as usize == size_of::<T>() {
        Ok(value)
    } else {
        Err(io::Error::from_raw_os_error(libc::EPROTO))
    }
}

/// Binds a netlink socket to the multicast groups of `groups` (bit n-1 is group n); the kernel chooses the port id.
pub(crate) fn bind_netlink(socket: BorrowedFd<'_>, groups: u32) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `sockaddr_nl`.
    let mut address: libc::sockaddr_nl = unsafe { zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    // SAFETY: pointer and length are those of `address`, which outlives the call.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_nl>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `send(2)`. On a netlink socket that is not connected it goes to the kernel (port id 0).
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of `bytes`.
    check_length(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) })
}

/// Takes an entry out of the error queue of a socket with `IP_RECVERR` or `IPV6_RECVERR`, and with the last one the
/// error that its next call would return; `EAGAIN` if there is none.
pub(crate) fn take_queued_error(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut start = [0_u8; 1];
    // SAFETY: pointer and length are those of `start`, which outlives the call.
    check_length(unsafe {
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        libc::recv(socket.as_raw_fd(), start.as_mut_ptr().cast(), start.len(), flags)
    })?;
    Ok(())
}

/// One datagram of a netlink socket.
pub(crate) struct Datagram {
    /// How many bytes of the buffer it filled; with `MSG_TRUNC` among the flags, how many it has.
    pub(crate) length: usize,
    /// Port id of the sender; the kernel's is 0.
    pub(crate) sender: u32,
    /// Whether it was longer than the buffer.
    pub(crate) truncated: bool,
}

/// `recvmsg(2)` on a netlink socket, with the sender's address and the truncation flag.
pub(crate) fn receive_netlink(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<Datagram> {
    // SAFETY: all zeroes is a valid `sockaddr_nl` and a valid `msghdr`.
    let (mut address, mut header): (libc::sockaddr_nl, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    header.msg_name = std::ptr::from_mut(&mut address).cast();
    header.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    // SAFETY: `header` points at `address` and `slice`, `slice` at `buffer`; all outlive the call, with their lengths.
    let length = check_length(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) })?;
    Ok(Datagram { length, sender: address.nl_pid, truncated: header.msg_flags & libc::MSG_TRUNC != 0 })
}

/// `recvmmsg(2)` of up to two datagrams of a netlink socket, as [`receive_netlink`] receives one; how many there were.
pub(crate) fn receive_two(
    socket: BorrowedFd<'_>,
    buffers: &mut [&mut [u8]; 2],
    flags: libc::c_int,
) -> io::Result<(usize, [Datagram; 2])> {
    // SAFETY: all zeroes is a valid `sockaddr_nl`, `iovec` and `mmsghdr`.
    let (mut addresses, mut slices, mut messages): (
        [libc::sockaddr_nl; 2],
        [libc::iovec; 2],
        [libc::mmsghdr; 2],
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    for (((buffer, address), slice), message) in
        buffers.iter_mut().zip(&mut addresses).zip(&mut slices).zip(&mut messages)
    {
        slice.iov_base = buffer.as_mut_ptr().cast();
        slice.iov_len = buffer.len();
        message.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        message.msg_hdr.msg_iov = std::ptr::from_mut(slice);
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: `messages` has two entries; each points at its own `addresses` and `slices` entry, which points at its own
    // buffer, with their lengths. All outlive the call. The time limit may be null. glibc declares the flags as `int`,
    // musl as `unsigned`.
    let count = check(unsafe {
        libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), 2, flags as _, std::ptr::null_mut())
    })?;
    let datagram = |at: usize| Datagram {
        length: messages[at].msg_len as usize,
        sender: addresses[at].nl_pid,
        truncated: messages[at].msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
    };
    Ok((count.unsigned_abs() as usize, [datagram(0), datagram(1)]))
}

/// The network namespace that a socket belongs to. Needs `CAP_NET_ADMIN` over it. Linux 4.9.
/// <https://github.com/torvalds/linux/blob/v6.12/net/socket.c>
pub(crate) fn namespace_of(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this ioctl takes no argument; a result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::ioctl(socket.as_raw_fd(), SIOCGSKNS))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `bind(2)` of an IPv4 or IPv6 socket.
pub(crate) fn bind_ip(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: all zeroes is a valid `sockaddr_in`.
            let mut name: libc::sockaddr_in = unsafe { zeroed() };
            name.sin_family = libc::AF_INET as libc::sa_family_t;
            name.sin_port = address.port().to_be();
            name.sin_addr.s_addr = u32::from(*address.ip()).to_be();
            bind(socket, &name)
        }
        SocketAddr::V6(address) => {
            // SAFETY: all zeroes is a valid `sockaddr_in6`.
            let mut name: libc::sockaddr_in6 = unsafe { zeroed() };
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_port = address.port().to_be();
            name.sin6_addr.s6_addr = address.ip().octets();
            bind(socket, &name)
        }
    }
}

fn bind<T>(socket: BorrowedFd<'_>, address: &T) -> io::Result<()> {
    // SAFETY: pointer and length are those of `address`, which outlives the call.
    check(unsafe {
        libc::bind(socket.as_raw_fd(), std::ptr::from_ref(address).cast(), size_of::<T>() as libc::socklen_t)
    })?;
    Ok(())
}
