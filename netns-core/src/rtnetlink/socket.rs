//! The rtnetlink socket: requests out, trusted answers back.

mod answer;
mod dump;
mod exchange;

use crate::error::{Operation, SystemCall};
use crate::namespace::Namespace;
use crate::sys;
use crate::wire::Batch;
use crate::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A socket to rtnetlink in one network namespace: the one that the thread was in when it was opened. The socket
/// stays in it, wherever the thread goes.
///
/// The kernel answers a request before `send` returns, so receiving never blocks: an answer that is not there was
/// lost, and that is an error, not a wait.
///
/// Only datagrams from the kernel (port id 0) are read, and only messages with this socket's port id and the sequence
/// number of the request count as its answer.
///
/// One thread uses it at a time. A fork has a descriptor of the same socket, and which of the two processes receives an
/// answer is chance: a fork opens another one.
///
/// ```
/// use netns_core::{Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// let mut socket = RouteSocket::open_in(&namespace)?;
/// let links = link::list(&mut socket)?;
/// assert_eq!(links[0].name.as_str(), "lo");
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RouteSocket {
    socket: OwnedFd,
    /// The kernel chooses the port id when the first request is sent; the first answer has it.
    port: Option<u32>,
    sequence: u32,
    /// Whether the kernel was asked for explanations.
    explains: bool,
    /// Whether the answers to all requests were read. Else some may be left, or a list may not be at its end, and the
    /// kernel refuses to begin another one meanwhile.
    settled: bool,
    takes_changing_lists: bool,
}

impl RouteSocket {
    /// Opens a socket in the namespace of the calling thread, with extended acknowledgements (Linux 4.12), which hold
    /// the kernel's explanations, and strict checking of dump requests (4.20), without which filters in them are
    /// ignored. A kernel that has neither still works.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self> {
        let mut socket = Self::open_bare()?;
        socket.ask_for_explanations()?;
        Ok(socket)
    }

    /// Whether a list that changed while the kernel sent it, each time that it was asked for, is taken as it was read last;
    /// otherwise, as from the beginning, it is an error. What was added or removed meanwhile may then be missing, and another
    /// entry be there twice. It is for namespaces whose guests may be hostile: one that adds and removes addresses all the
    /// while would keep everybody from looking at the rest.
    pub fn take_changing_lists(&mut self, on: bool) {
        self.takes_changing_lists = on;
    }

    fn ask_for_explanations(&mut self) -> Result<()> {
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK, libc::NETLINK_GET_STRICT_CHK] {
            match sys::socket::set_option(self.socket.as_fd(), libc::SOL_NETLINK, option, &1_i32) {
                Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
                    return Err(Error::system(Operation::OpenRouteSocket, "", SystemCall::Setsockopt)(error));
                }
                _ => {}
            }
        }
        self.explains = true;
        Ok(())
    }

    /// Opens a socket in `namespace`.
    ///
    /// # Errors
    /// As [`RouteSocket::open`] and [`Namespace::enter`].
    pub fn open_in(namespace: &Namespace) -> Result<Self> {
        namespace.enter(Self::open)?.map_err(|error| error.about(format!("in {}", namespace.label())))
    }

    /// Opens a socket with no option set: one system call. When a request is refused, the options are set and that
    /// request is repeated, to hear why; so it is for namespaces that are given up when that happens.
    pub(crate) fn open_bare() -> Result<Self> {
        let socket = sys::socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
            .map_err(Error::system(Operation::OpenRouteSocket, "", SystemCall::Socket))?;
        Ok(Self {
            socket,
            port: None,
            sequence: 1,
            explains: false,
            settled: true,
            takes_changing_lists: false,
        })
    }

    /// Sends the requests of `batch` and waits for their answers.
    ///
    /// Only the last one is asked to be acknowledged: a request that fails is always answered, and the answers come
    /// in order.
    ///
    /// # Errors
    /// The first request that the kernel refused, as [`Cause::Refused`](crate::Cause::Refused). The requests after it
    /// were carried out all the same: a batch is not a transaction.
    pub fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        self.exchange(batch, libc::NLM_F_ACK)
    }

    /// The number by which the kernel knows this socket, once it has answered a request: events carry that of the socket
    /// that caused them.
    #[must_use]
    pub const fn port_id(&self) -> Option<u32> {
        self.port
    }

    /// The namespace that this socket is in (`SIOCGSKNS`, Linux 4.9).
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN` over the namespace.
    pub fn namespace(&self) -> Result<Namespace> {
        Namespace::of_socket(self.socket.as_fd(), "a route socket")
    }

    /// The number that this socket's namespace has until the machine is started anew, and no other ever has: unlike an
    /// inode number ([`Namespace::id`]) it is not given to another namespace when this one is gone
    /// (`SO_NETNS_COOKIE`, Linux 5.14).
    ///
    /// # Errors
    /// `ENOPROTOOPT` on an older kernel.
    ///
    /// ```
    /// use netns_core::{Namespace, RouteSocket};
    ///
    /// # if !netns_core::is_privileged() { return Ok(()); }
    /// let (first, second) = (Namespace::anonymous()?, Namespace::anonymous()?);
    /// let cookie = RouteSocket::open_in(&first)?.namespace_cookie()?;
    /// assert_eq!(cookie, RouteSocket::open_in(&first)?.namespace_cookie()?);
    /// assert_ne!(cookie, RouteSocket::open_in(&second)?.namespace_cookie()?);
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    pub fn namespace_cookie(&self) -> Result<u64> {
        sys::socket::option(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE).map_err(
            Error::system(Operation::IdentifySocketNamespace, "a route socket", SystemCall::GetsockoptCookie),
        )
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for RouteSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
