//! Lists over netlink, which the kernel sends in as many datagrams as they need: of rtnetlink and nfnetlink alike.
#![forbid(unsafe_code)]

use crate::error::{Cause, Description};
use crate::wire::{Batch, Message, Messages, NlMsgHdr};
use crate::{Error, Result};

/// Room for a datagram of a dump: the kernel fills up to 32 KiB if it sees that there is room for it
/// (`netlink_dump` in <https://github.com/torvalds/linux/blob/v6.12/net/netlink/af_netlink.c>).
const CAPACITY: usize = 32 * 1024;
/// How often an interrupted dump is begun anew.
const ATTEMPTS: u32 = 16;

/// What came of waiting for a datagram.
pub(crate) enum Received {
    /// It has this many bytes.
    Whole(usize),
    /// It has this many bytes, of which the buffer has the first.
    Cut(usize),
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

/// A netlink socket, as far as a list needs it.
pub(crate) trait Dumps {
    /// Numbers the messages and sends them; the number of the last one. What is left of earlier answers is dropped.
    fn request(&mut self, batch: &mut Batch) -> Result<u32>;

    /// Receives a datagram from the kernel. That there is none is an error.
    fn answer(&self, requests: &[u8], buffer: &mut [u8]) -> Result<Received>;

    /// Whether a message is addressed to this socket.
    fn is_ours(&mut self, header: &NlMsgHdr) -> bool;

    /// The last answer has been read.
    fn settled(&mut self);

    /// Whether a list that changed at every attempt is better than none.
    fn takes_changing_lists(&self) -> bool {
        false
    }

    /// The last request in words.
    fn in_words(requests: &[u8]) -> Description;

    /// The kernel's refusal of the request that `answer` belongs to.
    fn refusal(requests: &[u8], answer: &Message<'_>, errno: i32) -> Error;
}

/// Sends `batch`, whose last message asks for a list, and gives every entry to `read`, which adds what it makes of it.
///
/// A list that changed while the kernel was sending it (`NLM_F_DUMP_INTR`) is asked for again.
///
/// # Errors
/// If the kernel refuses, or the list changed every time; what `read` returns.
pub(crate) fn dump<T>(
    socket: &mut impl Dumps,
    batch: &mut Batch,
    mut read: impl FnMut(&Message<'_>, &mut Vec<T>) -> Result<()>,
) -> Result<Vec<T>> {
    let mut buffer = vec![0; CAPACITY];
    let mut entries = Vec::new();
    let mut is_whole = false;
    for _ in 0..ATTEMPTS {
        entries.clear();
        match dump_once(socket, batch, &mut buffer, &mut |message| read(message, &mut entries))? {
            Listed::Consistent => return Ok(entries),
            Listed::Changed => is_whole = true,
            Listed::Longer(length) => {
                is_whole = false;
                buffer.resize(length, 0);
            }
        }
    }
    if is_whole && socket.takes_changing_lists() {
        return Ok(entries);
    }
    Err(failed(socket, batch, Cause::Changed("the list kept changing while the kernel sent it".into())))
}

/// As [`dump`], once.
fn dump_once<S: Dumps>(
    socket: &mut S,
    batch: &mut Batch,
    buffer: &mut [u8],
    read: &mut dyn FnMut(&Message<'_>) -> Result<()>,
) -> Result<Listed> {
    let last = socket.request(batch)?;
    let mut consistent = true;
    loop {
        let length = match socket.answer(batch.bytes(), buffer)? {
            Received::Whole(length) => length,
            Received::Cut(length) => return Ok(Listed::Longer(length)),
        };
        let mut messages = Messages::new(&buffer[..length]);
        for message in messages.by_ref() {
            if message.header.sequence != last || !socket.is_ours(&message.header) {
                continue;
            }
            consistent &= i32::from(message.header.flags) & libc::NLM_F_DUMP_INTR == 0;
            match i32::from(message.header.kind) {
                libc::NLMSG_DONE => {
                    socket.settled();
                    // The errno of a dump that ended early, 0 otherwise.
                    return match message.family_header::<i32>() {
                        Some(error) if error < 0 => {
                            Err(S::refusal(batch.bytes(), &message, error.saturating_neg()))
                        }
                        _ if consistent => Ok(Listed::Consistent),
                        _ => Ok(Listed::Changed),
                    };
                }
                libc::NLMSG_ERROR => {
                    socket.settled();
                    let errno = message.error().map_or(libc::EPROTO, |(errno, _)| errno);
                    return Err(S::refusal(batch.bytes(), &message, errno));
                }
                _ => read(&message)?,
            }
        }
        // A datagram that ends in the middle of a message is not to be trusted.
        if messages.remaining() != 0 {
            return Err(failed(socket, batch, Cause::Reply("its answer is malformed".into())));
        }
    }
}

fn failed<S: Dumps>(_: &S, batch: &Batch, why: Cause) -> Error {
    let Description { operation, object } = S::in_words(batch.bytes());
    Error::new(operation, object, why)
}
