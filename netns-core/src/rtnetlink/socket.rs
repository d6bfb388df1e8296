//! The rtnetlink socket: requests out, trusted answers back.

use crate::error::Cause;
use crate::namespace::Namespace;
use crate::sys::{self, socket::Datagram};
use crate::wire::{
    self, Batch, Message, Messages, NLMSGERR_ATTR_MISS_TYPE, NLMSGERR_ATTR_OFFS, NlMsgHdr, attribute_path,
    describe,
};
use crate::{Error, Result};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Room for an answer that is not a dump, at first: a link's description is some 1.5 KiB, but longer by 132 bytes for
/// each of its alternative names, of which it may have any number.
const REPLY_CAPACITY: usize = 8 * 1024;
/// Room for a datagram of a dump: the kernel fills up to 32 KiB if it sees that there is room for it
/// (`netlink_dump` in <https://github.com/torvalds/linux/blob/v6.12/net/netlink/af_netlink.c>).
const DUMP_CAPACITY: usize = 32 * 1024;
/// How often an interrupted dump is begun anew.
const DUMP_ATTEMPTS: u32 = 16;

/// A socket to rtnetlink in one network namespace: the one that the thread was in when it was opened. The socket
/// stays in it, wherever the thread goes.
///
/// The kernel answers a request before `send` returns, so receiving never blocks: an answer that is not there was
/// lost, and that is an error, not a wait.
///
/// Only datagrams from the kernel (port id 0) are read, and only messages with this socket's port id and the sequence
/// number of the request count as its answer.
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
    /// The kernel chooses the port id when the first request is sent; the first answer tells it.
    port: Option<u32>,
    sequence: u32,
    /// Whether the kernel was asked for explanations.
    explains: bool,
    /// Whether the answers to all requests were read. Else some may be left, or a list may not be at its end, and the
    /// kernel refuses to begin another one meanwhile.
    settled: bool,
}

/// What came of a list.
enum Listed {
    /// It is complete, and nothing changed while the kernel sent it.
    Consistent,
    /// Something did.
    Changed,
    /// An entry has this many bytes, which is more than there is room for.
    Longer(usize),
}

/// What came of waiting for a datagram.
enum Received {
    /// It has this many bytes.
    Whole(usize),
    /// It has this many bytes, of which the buffer has the first.
    Cut(usize),
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

    fn ask_for_explanations(&mut self) -> Result<()> {
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK, libc::NETLINK_GET_STRICT_CHK] {
            match sys::socket::set_option(self.socket.as_fd(), libc::SOL_NETLINK, option, &1_i32) {
                Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
                    return Err(Error::system("open route socket", "", "setsockopt")(error));
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
        namespace.enter(Self::open)?
    }

    /// Opens a socket with no option set: one system call. When a request is refused, the options are set and that
    /// request is repeated, to hear why; so it is for namespaces that are given up when that happens.
    pub(crate) fn open_bare() -> Result<Self> {
        let socket = sys::socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
            .map_err(Error::system("open route socket", "", "socket"))?;
        Ok(Self { socket, port: None, sequence: 1, explains: false, settled: true })
    }

    /// Sends the requests of `batch` and waits for their answers.
    ///
    /// Only the last one is asked to be acknowledged: a request that fails is always answered, and the answers come
    /// in order.
    ///
    /// # Errors
    /// The first request that the kernel refused, as [`Cause::Refused`]. The requests behind it were carried out all
    /// the same: a batch is not a transaction.
    pub fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        self.exchange(batch, libc::NLM_F_ACK)
    }

    /// Sends the requests of `batch`, of which the last asks for one object, and gives the answer to `read`.
    ///
    /// # Errors
    /// As [`RouteSocket::execute`], and what `read` returns.
    pub(crate) fn query<T>(
        &mut self,
        batch: &mut Batch,
        mut read: impl FnMut(&Message<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut answer = None;
        let mut keep = |message: &Message<'_>| {
            answer = Some(read(message)?);
            Ok(())
        };
        if let Some(length) = self.exchange_in(&mut [0; REPLY_CAPACITY], batch, 0, &mut keep)? {
            // The answer is lost, but to ask again changes nothing. The other requests were carried out.
            batch.retain_last();
            let mut buffer = vec![0; length];
            while let Some(longer) = self.exchange_in(&mut buffer, batch, 0, &mut keep)? {
                buffer.resize(longer, 0);
            }
        }
        answer.ok_or_else(|| reply_error(batch.bytes(), "the kernel acknowledged it and sent nothing"))
    }

    /// Sends `batch`, whose last message asks for a list, and gives every entry to `read`; those for which it
    /// returns `None` are left out.
    ///
    /// A list that changed while the kernel was sending it (`NLM_F_DUMP_INTR`) is asked for again.
    ///
    /// # Errors
    /// If the kernel refuses, or the list changed every time.
    pub(crate) fn dump<T>(
        &mut self,
        batch: &mut Batch,
        mut read: impl FnMut(&Message<'_>) -> Result<Option<T>>,
    ) -> Result<Vec<T>> {
        let mut buffer = vec![0; DUMP_CAPACITY];
        let mut entries = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            entries.clear();
            match self.dump_once(batch, &mut buffer, &mut entries, &mut read)? {
                Listed::Consistent => return Ok(entries),
                Listed::Changed => {}
                Listed::Longer(length) => buffer.resize(length, 0),
            }
        }
        Err(reply_error(batch.bytes(), "the list kept changing while the kernel sent it"))
    }

    /// As [`RouteSocket::dump`], once.
    fn dump_once<T>(
        &mut self,
        batch: &mut Batch,
        buffer: &mut [u8],
        entries: &mut Vec<T>,
        read: &mut impl FnMut(&Message<'_>) -> Result<Option<T>>,
    ) -> Result<Listed> {
        let last = self.send(batch, libc::NLM_F_DUMP)?;
        let mut consistent = true;
        loop {
            let length = match self.receive(batch.bytes(), buffer)? {
                Received::Whole(length) => length,
                Received::Cut(length) => return Ok(Listed::Longer(length)),
            };
            let mut messages = Messages::new(&buffer[..length]);
            for message in messages.by_ref() {
                if message.header.sequence != last || !self.is_ours(&message.header) {
                    continue;
                }
                consistent &= i32::from(message.header.flags) & libc::NLM_F_DUMP_INTR == 0;
                match i32::from(message.header.kind) {
                    libc::NLMSG_DONE => {
                        self.settled = true;
                        // The errno of a dump that ended early, 0 otherwise.
                        return match message.family_header::<i32>() {
                            Some(error) if error < 0 => Err(refusal(batch.bytes(), &message, -error)),
                            _ if consistent => Ok(Listed::Consistent),
                            _ => Ok(Listed::Changed),
                        };
                    }
                    libc::NLMSG_ERROR => {
                        self.settled = true;
                        let errno = message.error().map_or(libc::EPROTO, |(errno, _)| errno);
                        return Err(refusal(batch.bytes(), &message, errno));
                    }
                    _ => entries.extend(read(&message)?),
                }
            }
            check_complete(batch.bytes(), messages.remaining())?;
        }
    }

    /// Sends a batch, of which no answer is long, and reads answers until that of its last message has come.
    fn exchange(&mut self, batch: &mut Batch, flags: i32) -> Result<()> {
        match self.exchange_in(&mut [0; REPLY_CAPACITY], batch, flags, &mut |_| Ok(()))? {
            None => Ok(()),
            Some(_) => Err(reply_error(batch.bytes(), "its answer is longer than the buffer for it")),
        }
    }

    /// Sends a batch and reads answers until that of its last message has come; the length of an answer that the buffer
    /// has no room for.
    fn exchange_in(
        &mut self,
        buffer: &mut [u8],
        batch: &mut Batch,
        flags: i32,
        read: &mut dyn FnMut(&Message<'_>) -> Result<()>,
    ) -> Result<Option<usize>> {
        let last = self.send(batch, flags)?;
        let first = last.wrapping_sub(batch.messages() - 1);
        let mut outcome = Ok(());
        let mut refused = None;
        loop {
            let length = match self.receive(batch.bytes(), buffer)? {
                Received::Whole(length) => length,
                Received::Cut(length) => return outcome.map(|()| Some(length)),
            };
            let mut messages = Messages::new(&buffer[..length]);
            for message in messages.by_ref() {
                let number = message.header.sequence.wrapping_sub(first);
                if number > last.wrapping_sub(first) || !self.is_ours(&message.header) {
                    continue;
                }
                let result = if i32::from(message.header.kind) == libc::NLMSG_ERROR {
                    match message.error() {
                        Some((0, _)) => Ok(()),
                        Some((errno, _)) => {
                            refused = refused.or(Some(message.header.sequence));
                            Err(refusal(batch.bytes(), &message, errno))
                        }
                        None => Err(reply_error(batch.bytes(), "its answer is too short")),
                    }
                } else {
                    read(&message)
                };
                outcome = outcome.and(result);
                if message.header.sequence == last {
                    self.settled = true;
                    return match (outcome, refused) {
                        (Err(error), Some(refused)) if !self.explains => Err(self.why(batch, refused, error)),
                        (outcome, _) => outcome.map(|()| None),
                    };
                }
            }
            check_complete(batch.bytes(), messages.remaining())?;
        }
    }

    /// Repeats a refused request with explanations asked for. If the kernel thinks better of it, `error` stands.
    fn why(&mut self, batch: &mut Batch, refused: u32, error: Error) -> Error {
        batch.retain(refused);
        let again = self.ask_for_explanations().and_then(|()| self.exchange(batch, libc::NLM_F_ACK));
        match again {
            Err(better) if better.errno() == error.errno() => better,
            _ => error,
        }
    }

    /// Numbers the messages and sends them; the number of the last one.
    fn send(&mut self, batch: &mut Batch, flags: i32) -> Result<u32> {
        if batch.overflowed() || batch.messages() == 0 {
            let why =
                if batch.overflowed() { "the requests do not fit in a batch" } else { "the batch is empty" };
            return Err(Error::invalid("send netlink requests", "", why));
        }
        self.settle();
        batch.seal(self.sequence, flags);
        self.sequence = self.sequence.wrapping_add(batch.messages());
        // Until the last answer has been read.
        self.settled = false;
        sys::retry(|| sys::socket::send(self.socket.as_fd(), batch.bytes())).map_err(|error| {
            let words = in_words(batch.bytes());
            Error::new(words.operation, words.object, Cause::System { call: "send", error })
        })?;
        Ok(self.sequence.wrapping_sub(1))
    }

    /// Drops what is left of the answers to earlier requests, the rest of a list included.
    fn settle(&mut self) {
        let mut buffer = [0; 64];
        while !self.settled {
            match sys::socket::receive_netlink(self.socket.as_fd(), &mut buffer, libc::MSG_DONTWAIT) {
                // One that was lost is not left.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOBUFS)) => {}
                // Nothing is left; or the socket is of no use, which sending will say.
                Err(_) => self.settled = true,
                Ok(_) => {}
            }
        }
    }

    /// Receives a datagram from the kernel; those from anybody else are dropped.
    fn receive(&self, request: &[u8], buffer: &mut [u8]) -> Result<Received> {
        loop {
            let received = sys::retry(|| {
                // With `MSG_TRUNC` the kernel returns the whole length.
                let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
                sys::socket::receive_netlink(self.socket.as_fd(), buffer, flags)
            });
            match received {
                Ok(Datagram { sender, .. }) if sender != 0 => {}
                Ok(Datagram { truncated: true, length, .. }) => return Ok(Received::Cut(length)),
                Ok(Datagram { length, .. }) => return Ok(Received::Whole(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(reply_error(request, "the kernel did not answer"));
                }
                Err(error) => {
                    let words = in_words(request);
                    return Err(Error::new(
                        words.operation,
                        words.object,
                        Cause::System { call: "recvmsg", error },
                    ));
                }
            }
        }
    }

    /// Whether a message is addressed to this socket.
    fn is_ours(&mut self, header: &NlMsgHdr) -> bool {
        *self.port.get_or_insert(header.port) == header.port
    }

    /// The namespace that this socket is in (`SIOCGSKNS`, Linux 4.9).
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN` over the namespace.
    pub fn namespace(&self) -> Result<Namespace> {
        let fd = sys::socket::namespace_of(self.socket.as_fd());
        fd.map(Namespace::from_kernel).map_err(Error::system(
            "get the namespace of",
            "a route socket",
            "ioctl(SIOCGSKNS)",
        ))
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
            Error::system("identify the namespace of", "a route socket", "getsockopt(SO_NETNS_COOKIE)"),
        )
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The last request of a batch in words.
fn in_words(requests: &[u8]) -> wire::Description {
    match Messages::new(requests).last() {
        Some(message) => describe(&message),
        None => wire::Description { operation: "netlink request".to_owned(), object: String::new() },
    }
}

/// An answer that cannot be used.
fn reply_error(requests: &[u8], why: &'static str) -> Error {
    let words = in_words(requests);
    Error::new(words.operation, words.object, Cause::Reply(why.into()))
}

/// A datagram that ends in the middle of a message is not to be trusted.
fn check_complete(requests: &[u8], remaining: usize) -> Result<()> {
    if remaining == 0 { Ok(()) } else { Err(reply_error(requests, "its answer is malformed")) }
}

/// The kernel's refusal of the request that `answer` belongs to.
fn refusal(requests: &[u8], answer: &Message<'_>, errno: i32) -> Error {
    let sequence = answer.header.sequence;
    let Some(request) = Messages::new(requests).find(|request| request.header.sequence == sequence) else {
        return reply_error(requests, "the kernel refused a request that was not made");
    };
    let (_, details) = answer.error().unwrap_or((errno, wire::Attributes::new(&[])));
    let at = details.find(NLMSGERR_ATTR_OFFS).and_then(|offset| offset.value::<u32>());
    let missing = details.find(NLMSGERR_ATTR_MISS_TYPE).and_then(|kind| kind.value::<u32>());
    let attribute = at
        .and_then(|offset| attribute_path(&request, offset as usize))
        .or_else(|| missing.map(|kind| format!("missing {}", wire::attribute_name(&request, kind as u16))));
    let words = describe(&request);
    let message = details.find(wire::NLMSGERR_ATTR_MSG).and_then(|text| text.text());
    let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
    Error::new(words.operation, words.object, Cause::Refused { errno, message, attribute })
}

#[cfg(test)]
mod tests;
