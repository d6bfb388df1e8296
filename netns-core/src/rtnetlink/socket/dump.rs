//! Lists.

use super::RouteSocket;
use super::answer::{in_words, refusal};
use crate::dump::{Dumps, Received, dump};
use crate::error::Description;
use crate::wire::{Batch, Message, NlMsgHdr};
use crate::{Error, Result};

impl RouteSocket {
    /// Sends `batch`, whose last message asks for a list, and gives every entry to `read`; those for which it
    /// returns `None` are left out.
    ///
    /// # Errors
    /// If the kernel refuses, or the list changed every time.
    pub(crate) fn dump<T>(
        &mut self,
        batch: &mut Batch,
        mut read: impl FnMut(&Message<'_>) -> Result<Option<T>>,
    ) -> Result<Vec<T>> {
        dump(self, batch, |message, entries| {
            entries.extend(read(message)?);
            Ok(())
        })
    }
}

impl Dumps for RouteSocket {
    fn request(&mut self, batch: &mut Batch) -> Result<u32> {
        self.send(batch, libc::NLM_F_DUMP)
    }

    fn answer(&self, requests: &[u8], buffer: &mut [u8]) -> Result<Received> {
        self.receive(requests, buffer)
    }

    fn is_ours(&mut self, header: &NlMsgHdr) -> bool {
        Self::is_ours(self, header)
    }

    fn settled(&mut self) {
        self.settled = true;
    }

    fn takes_changing_lists(&self) -> bool {
        self.takes_changing_lists
    }

    fn in_words(requests: &[u8]) -> Description {
        in_words(requests)
    }

    fn refusal(requests: &[u8], answer: &Message<'_>, errno: i32) -> Error {
        refusal(requests, answer, errno)
    }
}
