//! Packet sockets: whole frames.

use super::check_length;
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `sendto(2)` of a frame, Ethernet header and all, by the link with this index.
pub(crate) fn send_frame(socket: BorrowedFd<'_>, index: u32, frame: &[u8]) -> io::Result<usize> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        // Of a raw packet socket, the kernel reads it from the frame.
        sll_protocol: 0,
        sll_ifindex: i32::from_ne_bytes(index.to_ne_bytes()),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    let address = std::ptr::from_ref(&address).cast();
    // SAFETY: both pointers and lengths are those of `frame` and of `address`, which outlive the call.
    check_length(unsafe {
        libc::sendto(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, address, length)
    })
}
