//! Events: links and addresses that come, change and go, as `ip monitor` shows them.

use super::address::{self, Address};
use super::link::{Link, parse as parse_link};
use crate::error::{Cause, Operation, SystemCall};
use crate::namespace::Namespace;
use crate::sys;
use crate::sys::deadline::Deadline;
use crate::wire::{Messages, TcMsg};
use crate::{Error, Result};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Room for one notification, at first.
const CAPACITY: usize = 32 * 1024;

/// Something that happened in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A link was made, or something of it changed.
    Link(Box<Link>),
    /// A link is gone.
    LinkGone(Box<Link>),
    /// An interface got an address, or something of it changed.
    Address(Address),
    /// An interface lost an address.
    AddressGone(Address),
    /// A qdisc or a filter of a link was made, changed or deleted. Only of [`Events::open_with_traffic_control`].
    TrafficControl {
        /// The link's index.
        index: u32,
        /// The socket that asked for it: see [`RouteSocket::port_id`](crate::RouteSocket::port_id). 0 of the kernel itself.
        by: u32,
    },
    /// Events came faster than they were read and some are lost: what is known of the namespace is out of date, and
    /// has to be listed anew.
    Lost,
}

/// Link and address events of one namespace.
///
/// ```
/// use netns_core::bridge::{self, Bridge};
/// use netns_core::events::{Event, Events};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket};
/// use std::time::Duration;
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// let mut events = Events::open_in(&namespace)?;
/// let name = IfName::new("br0")?;
/// let mut socket = RouteSocket::open_in(&namespace)?;
/// bridge::create(&mut socket, &Bridge::new(name, MacAddress::local(1)))?;
/// let event = events.next(Duration::from_secs(1))?;
/// assert!(matches!(event, Some(Event::Link(link)) if link.name == name));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Events {
    socket: OwnedFd,
    buffer: Vec<u8>,
    ready: VecDeque<Event>,
}

impl Events {
    /// Listens in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self> {
        Self::listen(&[])
    }

    /// As [`Events::open`], to traffic control too.
    ///
    /// # Errors
    /// As [`Events::open`].
    pub fn open_with_traffic_control() -> Result<Self> {
        Self::listen(&[libc::RTNLGRP_TC])
    }

    fn listen(more: &[u32]) -> Result<Self> {
        let socket = sys::socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
            .map_err(Error::system(Operation::ListenToEvents, "", SystemCall::Socket))?;
        // Bit n-1 is group n.
        let groups = [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR];
        let mask = groups.iter().chain(more).fold(0, |mask, group| mask | 1 << (group - 1));
        sys::socket::bind_netlink(socket.as_fd(), mask).map_err(Error::system(
            Operation::ListenToEvents,
            "",
            SystemCall::Bind,
        ))?;
        Ok(Self { socket, buffer: vec![0; CAPACITY], ready: VecDeque::new() })
    }

    /// Listens in `namespace`.
    ///
    /// # Errors
    /// As [`Events::open`] and [`Namespace::enter`].
    pub fn open_in(namespace: &Namespace) -> Result<Self> {
        namespace.enter(Self::open)?
    }

    /// The next event; `None` if there is none within `limit`.
    ///
    /// # Errors
    /// If receiving fails.
    pub fn next(&mut self, limit: Duration) -> Result<Option<Event>> {
        let mut deadline = Deadline::new(limit);
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let readable = sys::poll::readable(self.socket.as_fd(), &mut deadline).map_err(Error::system(
                Operation::WaitForEvents,
                "",
                SystemCall::Poll,
            ))?;
            if !readable {
                return Ok(None);
            }
            self.receive()?;
        }
    }

    /// Makes the buffer as long as the next event, which cannot be asked for again.
    fn make_room(&mut self) -> io::Result<()> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_TRUNC;
        let next = sys::retry(|| sys::socket::receive_netlink(self.socket.as_fd(), &mut [0; 1], flags))?;
        if next.length > self.buffer.len() {
            self.buffer.resize(next.length, 0);
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let received = self.make_room().and_then(|()| {
            sys::retry(|| {
                sys::socket::receive_netlink(self.socket.as_fd(), &mut self.buffer, libc::MSG_DONTWAIT)
            })
        });
        let datagram = match received {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.ready.push_back(Event::Lost);
                return Ok(());
            }
            Err(error) => {
                return Err(Error::new(
                    Operation::ReceiveEvents,
                    "",
                    Cause::System { call: SystemCall::Recvmsg, error },
                ));
            }
        };
        if datagram.sender != 0 {
            return Ok(());
        }
        if datagram.truncated {
            self.ready.push_back(Event::Lost);
            return Ok(());
        }
        for message in Messages::new(&self.buffer[..datagram.length]) {
            let event = match message.header.kind {
                libc::RTM_NEWLINK => parse_link(&message).map(|link| Event::Link(Box::new(link))),
                libc::RTM_DELLINK => parse_link(&message).map(|link| Event::LinkGone(Box::new(link))),
                libc::RTM_NEWADDR => address::parse(&message).map(Event::Address),
                libc::RTM_DELADDR => address::parse(&message).map(Event::AddressGone),
                libc::RTM_NEWQDISC | libc::RTM_DELQDISC | libc::RTM_NEWTFILTER | libc::RTM_DELTFILTER => {
                    let by = message.header.port;
                    message
                        .family_header::<TcMsg>()
                        .map(|header| Event::TrafficControl { index: header.index, by })
                }
                _ => None,
            };
            self.ready.extend(event);
        }
        Ok(())
    }
}

impl AsFd for Events {
    /// Readable when there are events, for use in a poll loop of one's own.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
