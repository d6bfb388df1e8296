//! Lists, which the kernel sends in as many datagrams as they need.

use super::RouteSocket;
use super::answer::{check_complete, in_words, refusal};
use super::exchange::Received;
use crate::error::Cause;
use crate::wire::{Batch, Message, Messages};
use crate::{Error, Result};

/// Room for a datagram of a dump: the kernel fills up to 32 KiB if it sees that there is room for it
/// (`netlink_dump` in <https://github.com/torvalds/linux/blob/v6.12/net/netlink/af_netlink.c>).
const DUMP_CAPACITY: usize = 32 * 1024;
/// How often an interrupted dump is begun anew.
const DUMP_ATTEMPTS: u32 = 16;

/// What came of a list.
enum Listed {
    /// It is complete, and nothing changed while the kernel sent it.
    Consistent,
    /// Something did.
    Changed,
    /// An entry has this many bytes, which is more than there is room for.
    Longer(usize),
}

impl RouteSocket {
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
        let words = in_words(batch.bytes());
        let why = Cause::Changed("the list kept changing while the kernel sent it".into());
        Err(Error::new(words.operation, words.object, why))
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
}
