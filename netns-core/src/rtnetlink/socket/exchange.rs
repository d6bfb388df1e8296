//! A batch out, and the answers to its messages back.

use super::RouteSocket;
use super::answer::{check_complete, in_words, receive_error, refusal, reply_error};
use crate::dump::Received;
use crate::error::{Cause, Operation, SystemCall};
use crate::sys::{self, socket::Datagram};
use crate::wire::{Batch, Message, Messages, NlMsgHdr};
use crate::{Error, Result};
use bytemuck::pod_read_unaligned;
use std::os::fd::AsFd;

/// Room for an answer that is not a dump, at first: a link's description is some 1.5 KiB, but longer by 132 bytes for
/// each of its alternative names, of which it may have any number.
const REPLY_CAPACITY: usize = 8 * 1024;

/// What is known of the answers to a batch.
struct Answers<'a> {
    /// The sequence number of the last request.
    last: u32,
    /// How many requests there are.
    count: u32,
    /// Requests, by their places, whose refusal is no failure.
    may_fail: &'a [u32],
    outcome: Result<()>,
    /// The first request that was refused.
    refused: Option<u32>,
    /// Whether one of `may_fail` was.
    forgiven: bool,
    /// Whether an answer had no room.
    cut: bool,
}

impl<'a> Answers<'a> {
    const fn new(last: u32, count: u32, may_fail: &'a [u32]) -> Self {
        Self { last, count, may_fail, outcome: Ok(()), refused: None, forgiven: false, cut: false }
    }

    /// The place of the request that a message answers.
    fn number(&self, header: &NlMsgHdr) -> Option<u32> {
        let behind = self.last.wrapping_sub(header.sequence);
        (behind < self.count).then(|| self.count - 1 - behind)
    }
}

impl RouteSocket {
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

    /// As [`RouteSocket::query`], of an object of which the kernel may send nothing; `None` then.
    ///
    /// # Errors
    /// As [`RouteSocket::query`].
    pub(crate) fn query_optional<T>(
        &mut self,
        batch: &mut Batch,
        mut read: impl FnMut(&Message<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut answer = None;
        let mut keep = |message: &Message<'_>| {
            answer = Some(read(message)?);
            Ok(())
        };
        // The acknowledgement is there in any case.
        let longer = self.exchange_in(&mut [0; REPLY_CAPACITY], batch, libc::NLM_F_ACK, &mut keep)?;
        if longer.is_some() {
            return Err(reply_error(batch.bytes(), "its answer is longer than the buffer for it"));
        }
        // Behind an answer it has not been read yet.
        self.settled = answer.is_none();
        Ok(answer)
    }

    /// Sends `batch`, whose last two messages each ask for an object, and gives the answers to `read`; `false` if one is
    /// too long for the buffers, or a request of those in `may_fail`, by their places in the batch, was refused.
    ///
    /// The answers are two datagrams, which one system call receives.
    ///
    /// # Errors
    /// As [`RouteSocket::execute`], of the other requests, and what `read` returns.
    pub(crate) fn query_two(
        &mut self,
        batch: &mut Batch,
        may_fail: &[u32],
        read: &mut dyn FnMut(&Message<'_>) -> Result<()>,
    ) -> Result<bool> {
        let last = self.send(batch, 0)?;
        let mut answers = Answers::new(last, batch.messages(), may_fail);
        let mut buffers = [[0; REPLY_CAPACITY]; 2];
        loop {
            let [first, second] = &mut buffers;
            let received = sys::retry(|| {
                let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
                sys::socket::receive_two(self.socket.as_fd(), &mut [first, second], flags)
            });
            let (count, datagrams) = received.map_err(|error| receive_error(batch.bytes(), error))?;
            for (datagram, buffer) in datagrams.iter().zip(&buffers).take(count) {
                if datagram.sender != 0 {
                    continue;
                }
                // The header of one that was cut says whose answer it is.
                let whole = datagram.length.min(buffer.len());
                answers.cut |= datagram.truncated;
                if self.take_answers(batch, &buffer[..whole], datagram.truncated, &mut answers, read)? {
                    self.settled = true;
                    let complete = !answers.cut && !answers.forgiven;
                    return self.conclude(batch, answers).map(|()| complete);
                }
            }
        }
    }

    /// Sends a batch, of which no answer is long, and reads answers until that of its last message has come.
    pub(super) fn exchange(&mut self, batch: &mut Batch, flags: i32) -> Result<()> {
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
        let mut answers = Answers::new(last, batch.messages(), &[]);
        loop {
            let length = match self.receive(batch.bytes(), buffer)? {
                Received::Whole(length) => length,
                Received::Cut(length) => return answers.outcome.map(|()| Some(length)),
            };
            if self.take_answers(batch, &buffer[..length], false, &mut answers, read)? {
                self.settled = true;
                return self.conclude(batch, answers).map(|()| None);
            }
        }
    }

    /// Reads the answers in a datagram; whether that of the last request was among them.
    fn take_answers(
        &mut self,
        batch: &Batch,
        datagram: &[u8],
        is_cut: bool,
        answers: &mut Answers<'_>,
        read: &mut dyn FnMut(&Message<'_>) -> Result<()>,
    ) -> Result<bool> {
        if is_cut {
            // Whatever it says, it is lost.
            let header = datagram.get(..size_of::<NlMsgHdr>()).map(pod_read_unaligned::<NlMsgHdr>);
            return Ok(header.is_some_and(|header| header.sequence == answers.last && self.is_ours(&header)));
        }
        let mut messages = Messages::new(datagram);
        for message in messages.by_ref() {
            let Some(number) = answers.number(&message.header) else { continue };
            if !self.is_ours(&message.header) {
                continue;
            }
            let result = if i32::from(message.header.kind) == libc::NLMSG_ERROR {
                match message.error() {
                    Some((0, _)) => Ok(()),
                    Some(_) if answers.may_fail.contains(&number) => {
                        answers.forgiven = true;
                        Ok(())
                    }
                    Some((errno, _)) => {
                        answers.refused = answers.refused.or(Some(message.header.sequence));
                        Err(refusal(batch.bytes(), &message, errno))
                    }
                    None => Err(reply_error(batch.bytes(), "its answer is too short")),
                }
            } else {
                read(&message)
            };
            if answers.outcome.is_ok() {
                answers.outcome = result;
            }
            if message.header.sequence == answers.last {
                return Ok(true);
            }
        }
        check_complete(batch.bytes(), messages.remaining())?;
        Ok(false)
    }

    /// What came of a batch.
    fn conclude(&mut self, batch: &mut Batch, answers: Answers<'_>) -> Result<()> {
        match (answers.outcome, answers.refused) {
            (Err(error), Some(refused)) if !self.explains => Err(self.why(batch, refused, error)),
            (outcome, _) => outcome,
        }
    }

    /// Repeats a refused request with explanations asked for. If the kernel carries it out this time, nobody knows what
    /// was done and what was not.
    fn why(&mut self, batch: &mut Batch, refused: u32, error: Error) -> Error {
        batch.retain(refused);
        let again = self.ask_for_explanations().and_then(|()| self.exchange(batch, libc::NLM_F_ACK));
        match again {
            Ok(()) => reply_error(batch.bytes(), "the kernel refused it, and when it was repeated did not"),
            Err(better) if better.errno() == error.errno() => better,
            Err(_) => error,
        }
    }

    /// Numbers the messages and sends them; the number of the last one.
    pub(super) fn send(&mut self, batch: &mut Batch, flags: i32) -> Result<u32> {
        if batch.overflowed() || batch.messages() == 0 {
            let why =
                if batch.overflowed() { "the requests do not fit in a batch" } else { "the batch is empty" };
            return Err(Error::invalid(Operation::SendRequests, "", why));
        }
        self.settle();
        batch.seal(self.sequence, flags);
        self.sequence = self.sequence.wrapping_add(batch.messages());
        // Until the last answer has been read.
        self.settled = false;
        sys::retry(|| sys::socket::send(self.socket.as_fd(), batch.bytes())).map_err(|error| {
            let words = in_words(batch.bytes());
            Error::new(words.operation, words.object, Cause::System { call: SystemCall::Send, error })
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
    pub(super) fn receive(&self, request: &[u8], buffer: &mut [u8]) -> Result<Received> {
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
                Err(error) => return Err(receive_error(request, error)),
            }
        }
    }

    /// Whether a message is addressed to this socket.
    pub(super) fn is_ours(&mut self, header: &NlMsgHdr) -> bool {
        *self.port.get_or_insert(header.port) == header.port
    }
}
