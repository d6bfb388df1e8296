//! Lists.

use super::{NftSocket, in_words, refusal, reply_error};
use crate::dump::{Dumps, Received, dump};
use crate::error::Description;
use crate::nftables::{Family, header, kind};
use crate::wire::{AttributeWriter, Batch, Message, Messages, NlMsgHdr};
use crate::{Error, Result};

impl NftSocket {
    /// Asks for a list, and gives every message of it to `read`.
    pub(in crate::nftables) fn dump<T>(
        &mut self,
        message: libc::c_int,
        family: Family,
        attributes: impl FnOnce(&mut AttributeWriter<'_>),
        mut read: impl FnMut(&Message<'_>, &mut Vec<T>),
    ) -> Result<Vec<T>> {
        let mut batch = Batch::new();
        batch.message(kind(message), libc::NLM_F_DUMP, &header(family), attributes);
        dump(self, &mut batch, |message, entries| {
            read(message, entries);
            Ok(())
        })
    }
}

impl Dumps for NftSocket {
    fn request(&mut self, batch: &mut Batch) -> Result<u32> {
        let number = self.sequence;
        batch.seal(number, 0);
        self.send(batch.bytes(), 1)?;
        Ok(number)
    }

    fn answer(&self, requests: &[u8], buffer: &mut [u8]) -> Result<Received> {
        let nothing = || reply_error(requests, last(requests), "the kernel did not answer");
        self.receive(requests, buffer)?.ok_or_else(nothing)
    }

    fn is_ours(&mut self, header: &NlMsgHdr) -> bool {
        Self::is_ours(self, header)
    }

    fn settled(&mut self) {
        self.settled = true;
    }

    fn in_words(requests: &[u8]) -> Description {
        in_words(requests, last(requests))
    }

    fn refusal(requests: &[u8], answer: &Message<'_>, errno: i32) -> Error {
        refusal(requests, answer, errno)
    }
}

/// The number of the last request.
fn last(requests: &[u8]) -> u32 {
    Messages::new(requests).last().map_or(0, |request| request.header.sequence)
}
