//! The nfnetlink socket.

mod dump;

use super::constants::NFTA_GEN_ID;
use super::describe::describe;
use super::kind;
use super::transaction::Transaction;
use crate::dump::Received;
use crate::error::{Cause, Description, Operation, SystemCall};
use crate::namespace::Namespace;
use crate::sys;
use crate::wire::{Batch, Message, Messages, NLMSGERR_ATTR_MSG, NfGenMsg, NlMsgHdr};
use crate::{Error, Result};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Room for an answer that is not part of a list.
const REPLY_CAPACITY: usize = 8 * 1024;

/// A socket to nftables in one network namespace: the one that the thread was in when it was opened.
///
/// As a [`crate::RouteSocket`] it never blocks, and takes as answers only what the kernel sent, with its port id and the
/// sequence numbers of its request. It needs `CAP_NET_ADMIN` over the namespace.
#[derive(Debug)]
pub struct NftSocket {
    socket: OwnedFd,
    /// The kernel chooses the port id when the first request is sent; the first answer has it.
    port: Option<u32>,
    sequence: u32,
    /// Whether all answers were read.
    settled: bool,
}

impl NftSocket {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] if the kernel was built without netfilter's netlink.
    pub fn open() -> Result<Self> {
        let failed = Error::system(Operation::OpenNftablesSocket, "", SystemCall::Socket);
        let socket = sys::socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER);
        let socket = socket.map_err(failed)?;
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            match sys::socket::set_option(socket.as_fd(), libc::SOL_NETLINK, option, &1_i32) {
                Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
                    return Err(Error::system(Operation::OpenNftablesSocket, "", SystemCall::Setsockopt)(
                        error,
                    ));
                }
                _ => {}
            }
        }
        Ok(Self { socket, port: None, sequence: 1, settled: true })
    }

    /// Opens a socket in `namespace`. If the calling thread is in it, that takes no capability over others, which entering
    /// one does.
    ///
    /// # Errors
    /// As [`NftSocket::open`] and [`Namespace::enter`].
    pub fn open_in(namespace: &Namespace) -> Result<Self> {
        if Namespace::current()?.id()? == namespace.id()? {
            Self::open()
        } else {
            namespace.enter(Self::open)?
        }
    }

    /// The port id that the kernel knows this socket by, which notices of what it did have too ([`super::RuleNotices`]);
    /// `None` before the first answer.
    #[must_use]
    pub const fn port_id(&self) -> Option<u32> {
        self.port
    }

    /// The namespace that this socket is in (`SIOCGSKNS`, Linux 4.9).
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN` over the namespace.
    pub fn namespace(&self) -> Result<Namespace> {
        Namespace::of_socket(self.socket.as_fd(), "an nftables socket")
    }

    /// Carries out a transaction: all of its requests, or none. It is to be cleared before it is filled again.
    ///
    /// # Errors
    /// The first request that the kernel refused, or, if it accepted each and could not carry them out together, that.
    pub fn commit(&mut self, transaction: &mut Transaction) -> Result<()> {
        self.carry_out(transaction, |_| {})
    }

    /// Carries out a transaction, and gives `read` each answer but acknowledgements and refusals.
    pub(in crate::nftables) fn carry_out(
        &mut self,
        transaction: &mut Transaction,
        mut read: impl FnMut(&Message<'_>),
    ) -> Result<()> {
        if transaction.overflowed() || transaction.requests() == 0 {
            let why =
                if transaction.overflowed() { "the requests do not fit" } else { "there is no request" };
            return Err(Error::invalid(Operation::ChangeNftables, "", why));
        }
        let requests = transaction.requests();
        let first = self.sequence;
        let sent = transaction.seal(first);
        // Begin and end have a number, too.
        self.send(sent, requests + 2)?;
        let last = first.wrapping_add(requests);
        let (mut outcome, mut acknowledged) = (Ok(()), false);
        let mut buffer = [0; REPLY_CAPACITY];
        // The kernel has answered all of it by now. A batch that could not be carried out as a whole is answered by an
        // error with the number of its beginning, beside acknowledgements of what was accepted.
        loop {
            let length = match self.receive(sent, &mut buffer)? {
                Some(Received::Whole(length)) => length,
                Some(Received::Cut(_)) => {
                    return Err(reply_error(sent, first, "its answer is too long"));
                }
                None => break,
            };
            let mut messages = Messages::new(&buffer[..length]);
            for message in messages.by_ref() {
                let number = message.header.sequence.wrapping_sub(first);
                if number > requests + 1 || !self.is_ours(&message.header) {
                    continue;
                }
                if i32::from(message.header.kind) != libc::NLMSG_ERROR {
                    read(&message);
                    continue;
                }
                match message.error() {
                    Some((0, _)) => acknowledged |= message.header.sequence == last,
                    Some((errno, _)) if outcome.is_ok() => {
                        outcome = Err(refusal(sent, &message, errno));
                    }
                    _ => {}
                }
            }
            check_complete(sent, first, messages.remaining())?;
        }
        self.settled = true;
        match outcome {
            Ok(()) if !acknowledged => Err(reply_error(sent, last, "the kernel did not answer")),
            outcome => outcome,
        }
    }

    /// The number of the present rules of this namespace, which every transaction of anybody raises.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn generation(&mut self) -> Result<u32> {
        let mut batch = Batch::new();
        batch.message(kind(libc::NFT_MSG_GETGEN), 0, &NfGenMsg::default(), |_| {});
        self.ask(&mut batch, |message| {
            let id = message.attributes_after::<NfGenMsg>().find(NFTA_GEN_ID)?;
            id.value::<u32>().map(u32::from_be)
        })
    }

    /// Sends one request that the kernel answers with one message, and returns what `read` makes of it.
    pub(in crate::nftables) fn ask<T>(
        &mut self,
        batch: &mut Batch,
        read: impl FnOnce(&Message<'_>) -> Option<T>,
    ) -> Result<T> {
        batch.seal(self.sequence, 0);
        let sequence = self.sequence;
        self.send(batch.bytes(), 1)?;
        let mut buffer = [0; REPLY_CAPACITY];
        loop {
            let length = match self.receive(batch.bytes(), &mut buffer)? {
                Some(Received::Whole(length)) => length,
                Some(Received::Cut(_)) => {
                    return Err(reply_error(batch.bytes(), sequence, "its answer is too long"));
                }
                None => {
                    return Err(reply_error(batch.bytes(), sequence, "the kernel did not answer"));
                }
            };
            for message in Messages::new(&buffer[..length]) {
                if message.header.sequence != sequence || !self.is_ours(&message.header) {
                    continue;
                }
                self.settled = true;
                if i32::from(message.header.kind) == libc::NLMSG_ERROR {
                    let errno = message.error().map_or(libc::EPROTO, |(errno, _)| errno);
                    return Err(refusal(batch.bytes(), &message, errno));
                }
                return read(&message)
                    .ok_or_else(|| reply_error(batch.bytes(), sequence, "its answer is malformed"));
            }
        }
    }

    /// Sends one request, and waits for its acknowledgement.
    pub(in crate::nftables) fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        batch.seal(self.sequence, libc::NLM_F_ACK);
        let sequence = self.sequence;
        self.send(batch.bytes(), 1)?;
        let mut buffer = [0; REPLY_CAPACITY];
        while let Some(received) = self.receive(batch.bytes(), &mut buffer)? {
            let Received::Whole(length) = received else {
                return Err(reply_error(batch.bytes(), sequence, "its answer is too long"));
            };
            for message in Messages::new(&buffer[..length]) {
                if message.header.sequence != sequence || !self.is_ours(&message.header) {
                    continue;
                }
                let Some((errno, _)) = message.error() else { continue };
                self.settled = true;
                return if errno == 0 { Ok(()) } else { Err(refusal(batch.bytes(), &message, errno)) };
            }
        }
        Err(reply_error(batch.bytes(), sequence, "the kernel did not answer"))
    }

    /// Sends a batch of `messages` messages that was numbered.
    fn send(&mut self, requests: &[u8], messages: u32) -> Result<()> {
        self.settle();
        let first = self.sequence;
        self.sequence = self.sequence.wrapping_add(messages);
        self.settled = false;
        let send = || sys::retry(|| sys::socket::send(self.socket.as_fd(), requests));
        let outcome = match send() {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                self.make_room(requests.len());
                send()
            }
            outcome => outcome,
        };
        outcome.map_err(|error| {
            let words = in_words(requests, first);
            Error::new(words.operation, words.object, Cause::System { call: SystemCall::Send, error })
        })?;
        Ok(())
    }

    /// Lets the socket send this many bytes at once. A transaction is one datagram, which must not be longer than the socket's
    /// send buffer (`netlink_sendmsg` in <https://github.com/torvalds/linux/blob/v6.12/net/netlink/af_netlink.c>). If it
    /// stays too small, the next attempt reports that.
    fn make_room(&self, bytes: usize) {
        let room = i32::try_from(bytes).unwrap_or(i32::MAX);
        let set = |option| sys::socket::set_option(self.socket.as_fd(), libc::SOL_SOCKET, option, &room);
        // Beyond `wmem_max` it takes CAP_NET_ADMIN in the first user namespace.
        if set(libc::SO_SNDBUFFORCE).is_err() {
            let _ = set(libc::SO_SNDBUF);
        }
    }

    /// Drops what is left of the answers to an earlier request.
    fn settle(&mut self) {
        let mut buffer = [0; 64];
        while !self.settled {
            match sys::socket::receive_netlink(self.socket.as_fd(), &mut buffer, libc::MSG_DONTWAIT) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOBUFS)) => {}
                Err(_) => self.settled = true,
                Ok(_) => {}
            }
        }
    }

    /// Receives a datagram of the kernel's; `None` if there is none.
    fn receive(&self, request: &[u8], buffer: &mut [u8]) -> Result<Option<Received>> {
        loop {
            let received = sys::retry(|| {
                let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
                sys::socket::receive_netlink(self.socket.as_fd(), buffer, flags)
            });
            match received {
                Ok(datagram) if datagram.sender != 0 => {}
                Ok(datagram) if datagram.truncated => return Ok(Some(Received::Cut(datagram.length))),
                Ok(datagram) => return Ok(Some(Received::Whole(datagram.length))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => {
                    let words = in_words(request, self.sequence);
                    return Err(Error::new(
                        words.operation,
                        words.object,
                        Cause::System { call: SystemCall::Recvmsg, error },
                    ));
                }
            }
        }
    }

    fn is_ours(&mut self, header: &NlMsgHdr) -> bool {
        *self.port.get_or_insert(header.port) == header.port
    }
}

impl AsFd for NftSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for NftSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The request with this number in words. Of the beginning and the end of a batch, all of it is meant.
fn in_words(requests: &[u8], sequence: u32) -> Description {
    let request = Messages::new(requests).find(|request| request.header.sequence == sequence);
    match request {
        Some(request) if i32::from(request.header.kind) > libc::NFNL_MSG_BATCH_END => describe(&request),
        _ => {
            let object = Messages::new(requests).nth(1).map(|request| describe(&request).object);
            Description { operation: Operation::ChangeNftables, object: object.unwrap_or_default() }
        }
    }
}

fn reply_error(requests: &[u8], sequence: u32, why: &'static str) -> Error {
    let Description { operation, object } = in_words(requests, sequence);
    Error::new(operation, object, Cause::Reply(why.into()))
}

fn check_complete(requests: &[u8], sequence: u32, remaining: usize) -> Result<()> {
    if remaining == 0 { Ok(()) } else { Err(reply_error(requests, sequence, "its answer is malformed")) }
}

/// The kernel's refusal of the request that `answer` belongs to.
fn refusal(requests: &[u8], answer: &Message<'_>, errno: i32) -> Error {
    let Description { operation, object } = in_words(requests, answer.header.sequence);
    let details = answer.error().map(|(_, details)| details);
    let message = details.and_then(|details| details.find(NLMSGERR_ATTR_MSG)).and_then(|text| text.text());
    let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
    Error::new(operation, object, Cause::Refused { errno, message, attribute: None })
}
