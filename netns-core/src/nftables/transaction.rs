//! Requests that are carried out together or not at all.

use super::constants::NFNL_BATCH_GENID;
use super::{Family, header, kind};
use crate::wire::{AttributeWriter, Batch, NfGenMsg};

/// Requests that the kernel carries out together or not at all, unlike those of a [`Batch`]
/// (`nfnetlink_rcv_batch` in <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nfnetlink.c>).
///
/// As with a [`Batch`], what does not fit is noticed when it is sent.
#[derive(Debug)]
pub struct Transaction {
    batch: Batch,
}

impl Transaction {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let mut transaction = Self { batch: Batch::new() };
        transaction.begin(None);
        transaction
    }

    /// An empty one that the kernel refuses with `ERESTART` if its rules are of another generation by then
    /// ([`super::NftSocket::generation`]).
    #[must_use]
    pub fn for_generation(generation: u32) -> Self {
        let mut transaction = Self { batch: Batch::new() };
        transaction.begin(Some(generation));
        transaction
    }

    fn begin(&mut self, generation: Option<u32>) {
        let subsystem = NfGenMsg { resource: SUBSYSTEM.to_be(), ..NfGenMsg::default() };
        self.batch.message(libc::NFNL_MSG_BATCH_BEGIN as u16, 0, &subsystem, |attributes| {
            attributes.optional(NFNL_BATCH_GENID, generation.map(u32::to_be));
        });
    }

    /// Empties it, to be filled anew.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.begin(None);
    }

    /// How many requests there are.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.batch.messages().saturating_sub(1)
    }

    /// Whether something did not fit. Such a transaction cannot be sent.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.batch.overflowed()
    }

    /// The messages so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.batch.bytes()
    }

    /// Appends a request: `message` is `NFT_MSG_*`.
    pub(super) fn request(
        &mut self,
        message: libc::c_int,
        flags: i32,
        family: Family,
        attributes: impl FnOnce(&mut AttributeWriter<'_>),
    ) {
        self.batch.message(kind(message), flags, &header(family), attributes);
    }

    /// Numbers the messages from `first` on, asks for an acknowledgement of the last request, and appends the end. The
    /// batch to be sent.
    pub(super) fn seal(&mut self, first: u32) -> &Batch {
        self.batch.seal(first, libc::NLM_F_ACK);
        let subsystem = NfGenMsg { resource: SUBSYSTEM.to_be(), ..NfGenMsg::default() };
        self.batch.message(libc::NFNL_MSG_BATCH_END as u16, 0, &subsystem, |_| {});
        self.batch.seal(first, 0);
        &self.batch
    }
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;
