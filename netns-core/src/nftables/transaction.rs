//! Requests that are carried out together or not at all.

use super::constants::NFNL_BATCH_GENID;
use super::{Family, header, kind};
use crate::wire::{AttributeWriter, BATCH_CAPACITY, Batch, NfGenMsg, NlMsgHdr, align};
use bytemuck::{bytes_of, pod_read_unaligned};

/// Requests that the kernel carries out together or not at all, unlike those of a [`Batch`]
/// (`nfnetlink_rcv_batch` in <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nfnetlink.c>).
///
/// There may be any number of requests. One that does not fit into a [`Batch`] by itself is noticed when the transaction is
/// sent.
#[derive(Debug)]
pub struct Transaction {
    /// One request at a time.
    batch: Batch,
    /// All of them, with the beginning.
    bytes: Vec<u8>,
    messages: u32,
    overflowed: bool,
    /// Whether it is numbered and has its end.
    sealed: bool,
    /// Whether the rules that it makes are to be reported.
    reports_rules: bool,
}

impl Transaction {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::beginning(None)
    }

    /// An empty one that the kernel refuses with `ERESTART` if its rules are of another generation by then
    /// ([`super::NftSocket::generation`]).
    #[must_use]
    pub fn for_generation(generation: u32) -> Self {
        Self::beginning(Some(generation))
    }

    fn beginning(generation: Option<u32>) -> Self {
        let bytes = Vec::with_capacity(BATCH_CAPACITY);
        let mut transaction = Self {
            batch: Batch::new(),
            bytes,
            messages: 0,
            overflowed: false,
            sealed: false,
            reports_rules: false,
        };
        transaction.begin(generation);
        transaction
    }

    fn begin(&mut self, generation: Option<u32>) {
        self.message(libc::NFNL_MSG_BATCH_BEGIN as u16, 0, SUBSYSTEM, |attributes| {
            attributes.optional(NFNL_BATCH_GENID, generation.map(u32::to_be));
        });
    }

    /// Empties it, to be filled anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.messages, self.overflowed, self.sealed) = (0, false, false);
        self.reports_rules = false;
        self.begin(None);
    }

    /// How many requests there are.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.messages.saturating_sub(1)
    }

    /// Whether a request did not fit. Such a transaction cannot be sent.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The messages so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a request: `message` is `NFT_MSG_*`.
    pub(super) fn request(
        &mut self,
        message: libc::c_int,
        flags: i32,
        family: Family,
        attributes: impl FnOnce(&mut AttributeWriter<'_>),
    ) {
        self.message(kind(message), flags, header(family), attributes);
    }

    fn message(
        &mut self,
        kind: u16,
        flags: i32,
        header: NfGenMsg,
        attributes: impl FnOnce(&mut AttributeWriter<'_>),
    ) {
        self.batch.clear();
        self.batch.message(kind, flags, &header, attributes);
        self.overflowed |= self.batch.overflowed();
        if !self.batch.overflowed() {
            self.bytes.extend_from_slice(self.batch.bytes());
            self.messages += 1;
        }
    }

    /// Lets the kernel describe each rule that it makes.
    pub(super) const fn report_rules(&mut self) {
        self.reports_rules = true;
    }

    /// Numbers the messages from `first` on, asks for an acknowledgement of the last request, and appends the end. The
    /// bytes to be sent.
    /// It may be done again, with other numbers.
    pub(super) fn seal(&mut self, first: u32) -> &[u8] {
        if !self.sealed {
            self.sealed = true;
            let messages = self.messages;
            self.number(first, messages.saturating_sub(1));
            self.message(libc::NFNL_MSG_BATCH_END as u16, 0, SUBSYSTEM, |_| {});
            // The end is no request.
            self.messages = messages;
        }
        self.number(first, u32::MAX);
        &self.bytes
    }

    /// Numbers the messages, and lets the one at the place `acknowledged` be acknowledged.
    fn number(&mut self, first: u32, acknowledged: u32) {
        const HEADER: usize = size_of::<NlMsgHdr>();
        let (mut at, mut place) = (0, 0_u32);
        while let Some(bytes) = self.bytes.get_mut(at..at + HEADER) {
            let mut header: NlMsgHdr = pod_read_unaligned(bytes);
            header.sequence = first.wrapping_add(place);
            if place == acknowledged {
                header.flags |= libc::NLM_F_ACK as u16;
            }
            if self.reports_rules && header.kind == kind(libc::NFT_MSG_NEWRULE) {
                header.flags |= libc::NLM_F_ECHO as u16;
            }
            bytes.copy_from_slice(bytes_of(&header));
            at += align(header.length as usize);
            place += 1;
        }
    }
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

/// The header of the beginning and the end.
const SUBSYSTEM: NfGenMsg =
    NfGenMsg { family: 0, version: 0, resource: (libc::NFNL_SUBSYS_NFTABLES as u16).to_be() };
