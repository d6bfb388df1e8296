//! Learning from the kernel which ports it has reclaimed.
//!
//! Dropping a sandbox only closes it; the kernel takes it apart later, many at a time (`cleanup_net` in
//! <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>). It says so for every link that goes, and
//! the network listens, with a filter that lets through only the end of its own ports: nobody wakes up for it, and
//! one system call reads thirty-two of them when numbers are needed again.

use super::plan::WINDOW;
use crate::error::{Cause, Operation, SystemCall};
use crate::sys::deadline::Deadline;
use crate::sys::notify::{HEAD, HEADS, Head, Instruction, attach_filter, receive_heads};
use crate::sys::{self, poll, socket};
use crate::wire::{Attributes, IfInfoMsg, NlAttr, NlMsgHdr};
use crate::{Error, IfName, Result};
use bytemuck::pod_read_unaligned;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What waits in the socket, in bytes: room for some thousand notices. More are noticed as lost.
const BUFFER: i32 = 4 << 20;

/// What the kernel has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The port with this index and name is gone.
    Gone(u32, IfName),
    /// Some notices were lost: who wants to know has to look.
    Lost,
}

/// Notices of ports that are gone.
#[derive(Debug)]
pub(super) struct Reclaim {
    socket: OwnedFd,
}

impl Reclaim {
    /// Listens in the namespace of the calling thread to the ports of a window of interface indexes.
    pub(super) fn open(window: u32) -> Result<Self> {
        let failed = |call| Error::system(Operation::ListenToPorts, "", call);
        let fd = socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
            .map_err(failed(SystemCall::Socket))?;
        attach_filter(fd.as_fd(), &mut filter(window)).map_err(failed(SystemCall::Setsockopt))?;
        // Beyond the system's limit if that is allowed, else up to it.
        let forced = socket::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER);
        if forced.is_err() {
            socket::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, &BUFFER)
                .map_err(failed(SystemCall::Setsockopt))?;
        }
        socket::bind_netlink(fd.as_fd(), 1 << (libc::RTNLGRP_LINK - 1)).map_err(failed(SystemCall::Bind))?;
        Ok(Self { socket: fd })
    }

    /// Hands on what was said and not read yet, without waiting; whether there may be more.
    pub(super) fn read(&self, mut hear: impl FnMut(Heard)) -> Result<bool> {
        let mut heads = [Head::EMPTY; HEADS];
        let count = match sys::retry(|| receive_heads(self.socket.as_fd(), &mut heads)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                hear(Heard::Lost);
                return Ok(true);
            }
            Err(error) => {
                return Err(Error::new(
                    Operation::ListenToPorts,
                    "",
                    Cause::System { call: SystemCall::Recvmmsg, error },
                ));
            }
        };
        for head in heads.iter().take(count).filter(|head| head.sender == 0) {
            if let Some(heard) = gone(&head.bytes[..head.length]) {
                hear(heard);
            }
        }
        Ok(count == HEADS)
    }

    /// Waits until there is something to read; whether there is.
    pub(super) fn wait(&self, deadline: &mut Deadline) -> Result<bool> {
        poll::readable(self.socket.as_fd(), deadline).map_err(Error::system(
            Operation::WaitForPorts,
            "",
            SystemCall::Poll,
        ))
    }
}

impl AsFd for Reclaim {
    /// Readable when there is something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Which link a message says is gone. A bridge says the same of a port that only left it, as `AF_BRIDGE`.
///
/// The name is the first of a link's attributes (`rtnl_fill_ifinfo` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>). Where it is not, it is not known whose link this
/// was.
fn gone(message: &[u8]) -> Option<Heard> {
    const LINK: usize = size_of::<NlMsgHdr>();
    const NAME: usize = LINK + size_of::<IfInfoMsg>();
    let header: NlMsgHdr = pod_read_unaligned(message.get(..LINK)?);
    let link: IfInfoMsg = pod_read_unaligned(message.get(LINK..NAME)?);
    if header.kind != libc::RTM_DELLINK || i32::from(link.family) != libc::AF_UNSPEC {
        return None;
    }
    let first = Attributes::new(&message[NAME..]).next();
    let name = first.filter(|first| first.kind == libc::IFLA_IFNAME).and_then(|first| first.name());
    Some(name.map_or(Heard::Lost, |name| Heard::Gone(link.index, name)))
}

// The bytes that are kept of a notice hold what `gone` reads.
const _: () =
    assert!(HEAD == size_of::<NlMsgHdr>() + size_of::<IfInfoMsg>() + size_of::<NlAttr>() + libc::IFNAMSIZ);

/// Lets through `RTM_DELLINK` of links whose index is in the window.
///
/// The program sees the message from its netlink header on, and reads numbers as big-endian, whatever the machine is
/// (`netlink` has no byte order of its own): so they are compared as the machine's bytes would read.
fn filter(window: u32) -> [Instruction; 6] {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let kind = offset_of!(NlMsgHdr, kind) as u32;
    // A window is 2^16 indexes, so the higher half of an index says it.
    let index = size_of::<NlMsgHdr>() + offset_of!(IfInfoMsg, index);
    let higher = index as u32 + if cfg!(target_endian = "little") { 2 } else { 0 };
    let tag = (window / WINDOW) as u16;
    [
        step(LOAD, 0, 0, kind),
        step(JUMP, 0, 3, libc::RTM_DELLINK.to_be().into()),
        step(LOAD, 0, 0, higher),
        step(JUMP, 0, 1, tag.to_be().into()),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests;
