//! The kernel's notices of changed routes.

use crate::error::{Operation, SystemCall};
use crate::{Error, Result, sys};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Notices of all routes of one network namespace: the one that the thread was in when it was opened. It says that something
/// was changed and not what, so there is nothing to lose: notices that came faster than they were read are a change too. Routes
/// that the kernel drops because their link went down are not noticed.
///
/// It can be sent to another thread, and none of its calls waits.
#[derive(Debug)]
pub struct RouteNotices {
    socket: OwnedFd,
}

impl RouteNotices {
    /// Listens in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self> {
        let failed = |call| Error::system(Operation::ListenToEvents, "", call);
        let socket = sys::socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
            .map_err(failed(SystemCall::Socket))?;
        // Bit n-1 is group n.
        let groups = [libc::RTNLGRP_IPV4_ROUTE, libc::RTNLGRP_IPV6_ROUTE];
        let mask = groups.iter().fold(0, |mask, group| mask | 1 << (group - 1));
        sys::socket::bind_netlink(socket.as_fd(), mask).map_err(failed(SystemCall::Bind))?;
        Ok(Self { socket })
    }

    /// Whether anybody has changed routes since the last call.
    ///
    /// # Errors
    /// If receiving fails.
    pub fn is_changed(&mut self) -> Result<bool> {
        let failed = Error::system(Operation::WaitForEvents, "", SystemCall::Recvmsg);
        sys::notices::any(self.socket.as_fd(), None).map_err(failed)
    }
}

impl AsFd for RouteNotices {
    /// Readable when there are notices.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for RouteNotices {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
