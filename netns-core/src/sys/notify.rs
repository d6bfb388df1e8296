//! What it takes to listen to very few of many notifications: a filter in the kernel, and the beginnings of many
//! datagrams in one call.

use super::check;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

/// How many datagrams [`receive_heads`] receives at most.
pub(crate) const HEADS: usize = 32;
/// How many bytes of each it keeps: a netlink header and the longest of rtnetlink's own.
pub(crate) const HEAD: usize = 36;

/// The beginning of a datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) bytes: [u8; HEAD],
    /// How many of them there are.
    pub(crate) length: usize,
    /// Port id of the sender; the kernel's is 0.
    pub(crate) sender: u32,
}

/// One instruction of a classic BPF program, as `struct sock_filter` has it.
pub(crate) type Instruction = libc::sock_filter;

/// `setsockopt(SO_ATTACH_FILTER)`: what the program returns 0 for is not queued.
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &mut [Instruction]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: pointer and length are those of `program`, which points at `length` instructions; both outlive the
    // call. The kernel copies the program and checks it.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `recvmmsg(2)` without waiting: the beginnings of the datagrams that are there, at most [`HEADS`]. What is behind
/// them is dropped.
pub(crate) fn receive_heads(socket: BorrowedFd<'_>, heads: &mut [Head; HEADS]) -> io::Result<usize> {
    // SAFETY: all zeroes is a valid `sockaddr_nl`, `iovec` and `mmsghdr`.
    let (mut addresses, mut slices, mut messages): (
        [libc::sockaddr_nl; HEADS],
        [libc::iovec; HEADS],
        [libc::mmsghdr; HEADS],
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    for (((head, address), slice), message) in
        heads.iter_mut().zip(&mut addresses).zip(&mut slices).zip(&mut messages)
    {
        slice.iov_base = head.bytes.as_mut_ptr().cast();
        slice.iov_len = HEAD;
        message.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        message.msg_hdr.msg_iov = std::ptr::from_mut(slice);
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: `messages` has `HEADS` entries; each points at its own `addresses` and `slices` entry, which points at
    // its own head, with their lengths. All outlive the call. The time limit may be null.
    let count = check(unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            HEADS as libc::c_uint,
            // glibc declares the flags as `int`, musl as `unsigned`.
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    })?;
    let count = (count as usize).min(HEADS);
    for ((head, address), message) in heads.iter_mut().zip(&addresses).zip(&messages).take(count) {
        head.length = (message.msg_len as usize).min(HEAD);
        head.sender = address.nl_pid;
    }
    Ok(count)
}

impl Head {
    pub(crate) const EMPTY: Self = Self { bytes: [0; HEAD], length: 0, sender: 0 };
}
