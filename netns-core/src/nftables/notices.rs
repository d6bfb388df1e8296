//! The kernel's notices of changed rules.

use super::NftSocket;
use crate::error::{Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Notices of everything that anybody changes in the nftables of one network namespace: the one that the thread was in
/// when it was opened. It says that something was changed and not what, so there is nothing to lose: notices that came
/// faster than they were read are a change too.
///
/// It needs `CAP_NET_ADMIN` over the namespace. It can be sent to another thread, and none of its calls waits.
#[derive(Debug)]
pub struct RuleNotices {
    socket: OwnedFd,
}

impl RuleNotices {
    /// Listens in the namespace of the calling thread.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] if the kernel was built without netfilter's netlink.
    #[doc(alias = "NFNLGRP_NFTABLES")]
    pub fn open() -> Result<Self> {
        let failed = |call| Error::system(Operation::ListenToRules, "", call);
        let socket = sys::socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER);
        let socket = socket.map_err(failed(SystemCall::Socket))?;
        // Bit n-1 is group n.
        sys::socket::bind_netlink(socket.as_fd(), 1 << (libc::NFNLGRP_NFTABLES - 1))
            .map_err(failed(SystemCall::Bind))?;
        Ok(Self { socket })
    }

    /// Listens in the namespace of another socket.
    ///
    /// # Errors
    /// As [`Self::open`] and [`crate::Namespace::enter`].
    pub fn open_beside(socket: &NftSocket) -> Result<Self> {
        socket.namespace()?.enter(Self::open)?
    }

    /// The notices that somebody keeps who has found everything as it was to be: `None`, and they stay kept, if nobody but `socket`
    /// has changed anything since. Otherwise everything is to be looked at after this call, so that no change is missed, and
    /// they are to be kept again if it is as it was to be.
    ///
    /// # Errors
    /// As [`Self::open_beside`] and [`Self::is_changed`].
    pub(crate) fn resume(kept: &mut Option<Self>, socket: &NftSocket) -> Result<Option<Self>> {
        let Some(mut notices) = kept.take() else { return Self::open_beside(socket).map(Some) };
        if notices.is_changed(socket.port_id())? {
            return Ok(Some(notices));
        }
        *kept = Some(notices);
        Ok(None)
    }

    /// Whether anybody has changed rules since the last call, but for the socket with the port id `except`
    /// ([`NftSocket::port_id`]).
    ///
    /// # Errors
    /// If receiving fails.
    pub fn is_changed(&mut self, except: Option<u32>) -> Result<bool> {
        let failed = Error::system(Operation::ReceiveRuleNotices, "", SystemCall::Recvmsg);
        sys::notices::any(self.socket.as_fd(), except).map_err(failed)
    }
}

impl AsFd for RuleNotices {
    /// Readable when there are notices.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for RuleNotices {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
