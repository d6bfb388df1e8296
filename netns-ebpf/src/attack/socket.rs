//! A raw socket: whole frames, sent and heard.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use netns_core::tap::Tap;

use super::LeftChecksum;

/// A socket that sends frames by a link as they are, and hears what comes in by it: `packet(7)`.
#[derive(Debug)]
pub struct FrameSocket {
    fd: OwnedFd,
}

impl FrameSocket {
    /// A socket for the link with this index in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's: `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such link.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        Self::open_for(ifindex, libc::ETH_P_ALL as u16)
    }

    /// As [`Self::open`], which hears frames of one EtherType only. What a device marked as classified already (`ifb`) is
    /// heard by no other socket.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(ifindex: u32, ether_type: u16) -> io::Result<Self> {
        let protocol = ether_type.to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol)) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was opened just now, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol,
            sll_ifindex: ifindex.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: pointer and length are those of `address`, which outlives the call.
        let result = unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { fd }) }
    }

    /// The other end of a TAP that carries frames without any header: what is sent here the TAP receives.
    ///
    /// # Errors
    /// The kernel's, if there are no descriptors.
    pub fn of_tap(tap: &Tap) -> io::Result<Self> {
        Ok(Self { fd: tap.as_fd().try_clone_to_owned()? })
    }

    /// Sends a frame, Ethernet header and all.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` for less than an Ethernet header, `EMSGSIZE` for more than the link takes.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: pointer and length are those of `frame`, which outlives the call.
        let sent = unsafe { libc::write(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len()) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends a frame whose checksum the kernel, or a later hop, is to write: `PACKET_VNET_HDR`.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` if the place is not in the frame.
    pub fn send_unsummed(&self, frame: &[u8], checksum: LeftChecksum) -> io::Result<()> {
        self.set_header(true)?;
        let sent = self.send(&[&checksum.header()[..], frame].concat());
        // What is received has no such header.
        self.set_header(false)?;
        sent
    }

    /// Marks what is sent from now on (`SO_MARK`). The mark does not leave the network namespace.
    ///
    /// # Errors
    /// The kernel's: `EPERM` without `CAP_NET_ADMIN` or `CAP_NET_RAW`.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
    }

    fn set_header(&self, on: bool) -> io::Result<()> {
        self.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, on.into())
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let length = size_of_val(&value) as libc::socklen_t;
        // SAFETY: pointer and length are those of `value`, which outlives the call.
        let set = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, option, ptr::from_ref(&value).cast(), length)
        };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next frame, waited for no longer than `limit`, whatever signals arrive meanwhile; `None` if none came. A VLAN tag
    /// is not in it any more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive(&self, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        // A TAP's descriptor would wait.
        if !self.wait(limit)? {
            return Ok(None);
        }
        let mut frame = vec![0_u8; 65_536];
        // SAFETY: pointer and length are those of `frame`, which outlives the call.
        let length = unsafe { libc::read(self.fd.as_raw_fd(), frame.as_mut_ptr().cast(), frame.len()) };
        match usize::try_from(length) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                error => Err(error),
            },
        }
    }
    /// Whether there is something to read within `limit`. A signal interrupts `poll`, which goes on with what is left.
    fn wait(&self, limit: Duration) -> io::Result<bool> {
        let begun = Instant::now();
        loop {
            let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let left = limit.saturating_sub(begun.elapsed());
            // Not less than `limit` in all.
            let millis = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            // SAFETY: the pointer is to one `pollfd`, which outlives the call.
            match unsafe { libc::poll(&raw mut poll, 1, millis) } {
                ..0 => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
                ready => return Ok(ready > 0),
            }
        }
    }
}
