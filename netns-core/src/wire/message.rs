//! Reading messages out of a datagram.

use super::{Attributes, NlMsgErr, NlMsgHdr, align};
use bytemuck::{AnyBitPattern, pod_read_unaligned};

const HEADER: usize = size_of::<NlMsgHdr>();

/// One message of a datagram.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its netlink header.
    pub header: NlMsgHdr,
    /// What follows: the family's header and the attributes.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The family's header; `None` if the message is too short for it.
    #[must_use]
    pub fn family_header<H: AnyBitPattern>(&self) -> Option<H> {
        self.payload.get(..size_of::<H>()).map(pod_read_unaligned)
    }

    /// The attributes behind a family header of type `H`.
    #[must_use]
    pub fn attributes_after<H>(&self) -> Attributes<'a> {
        Attributes::new(self.payload.get(align(size_of::<H>())..).unwrap_or_default())
    }

    /// Of an `NLMSG_ERROR` or `NLMSG_DONE`: the errno (0 is an acknowledgement) and the extended acknowledgement's
    /// attributes, `NLMSGERR_ATTR_*`.
    ///
    /// An error repeats the request, or only its header if the socket asked for that (`NLM_F_CAPPED`); the end of a
    /// dump does neither.
    #[must_use]
    pub fn error(&self) -> Option<(i32, Attributes<'a>)> {
        let flags = i32::from(self.header.flags);
        let (error, repeated) = if i32::from(self.header.kind) == libc::NLMSG_DONE {
            (self.family_header()?, 0)
        } else {
            let error: NlMsgErr = self.family_header()?;
            let whole = flags & libc::NLM_F_CAPPED == 0;
            let length = if whole { align(error.request.length as usize) } else { 0 };
            (error.error, length.max(HEADER))
        };
        let attributes = if flags & libc::NLM_F_ACK_TLVS == 0 {
            &[]
        } else {
            self.payload.get(size_of::<i32>().saturating_add(repeated)..).unwrap_or_default()
        };
        Some((error.saturating_neg(), Attributes::new(attributes)))
    }
}

/// The messages of a datagram. It ends at the end, or at the first one that is shorter than its header or longer
/// than what is left.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes have not been read yet: after the last message, 0 unless the datagram was malformed.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header: NlMsgHdr = pod_read_unaligned(self.rest.get(..HEADER)?);
        let length = header.length as usize;
        let payload = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some(Message { header, payload })
    }
}
