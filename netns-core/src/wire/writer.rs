//! Writing requests into a fixed buffer.

use super::{NlAttr, NlMsgHdr, align};
use crate::{IfName, MacAddress};
use bytemuck::{NoUninit, Pod, bytes_of};
use std::net::IpAddr;

/// How many bytes of requests a [`Batch`] holds: some sixteen messages that make a bridged, observed sandbox
/// fit four times over.
pub const BATCH_CAPACITY: usize = 4096;

const HEADER: usize = size_of::<NlMsgHdr>();

/// Requests that go to the kernel in one `send`.
///
/// A batch is not a transaction: the kernel takes the messages one by one, answers a failed one, and goes on with
/// the rest (`netlink_rcv_skb` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/netlink/af_netlink.c>).
///
/// Writing cannot fail: what does not fit sets a flag, nothing more is written, and sending such a batch is an
/// error. So a caller checks once, at the end, instead of after every attribute.
///
/// ```
/// use netns_core::wire::{Batch, IfInfoMsg};
///
/// let mut batch = Batch::new();
/// batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg { index: 7, ..Default::default() }, |attributes| {
///     attributes.text(libc::IFLA_IFNAME, "v0");
/// });
/// assert_eq!(batch.bytes().len(), 16 + 16 + 8);
/// assert!(!batch.overflowed());
/// ```
pub struct Batch {
    bytes: [u8; BATCH_CAPACITY],
    length: usize,
    messages: u32,
    last: usize,
    overflowed: bool,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; BATCH_CAPACITY], length: 0, messages: 0, last: 0, overflowed: false }
    }

    /// Empties it, to be filled anew.
    pub fn clear(&mut self) {
        (self.length, self.messages, self.last, self.overflowed) = (0, 0, 0, false);
    }

    /// Appends a message: `kind` is `RTM_*`, `flags` are the `NLM_F_*` beside `NLM_F_REQUEST`, which every one
    /// gets; `header` is the family's own; `attributes` writes the rest.
    pub fn message<H: Pod>(
        &mut self,
        kind: u16,
        flags: i32,
        header: &H,
        attributes: impl FnOnce(&mut AttributeWriter<'_>),
    ) {
        let start = self.length;
        let sequence = self.messages;
        self.append(&[0; HEADER]);
        self.append(bytes_of(header));
        attributes(&mut AttributeWriter { batch: self });
        if self.overflowed {
            // Not half a message.
            self.length = start;
            return;
        }
        let header = NlMsgHdr {
            length: (self.length - start) as u32,
            kind,
            flags: (flags | libc::NLM_F_REQUEST) as u16,
            sequence,
            port: 0,
        };
        self.bytes[start..start + HEADER].copy_from_slice(bytes_of(&header));
        self.last = start;
        self.messages += 1;
    }

    /// The messages so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// How many messages there are.
    #[must_use]
    pub const fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether something did not fit. Such a batch cannot be sent.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Drops every message but the one with this number.
    pub(crate) fn retain(&mut self, sequence: u32) {
        let mut at = 0;
        while at + HEADER <= self.length {
            let header: NlMsgHdr = bytemuck::pod_read_unaligned(&self.bytes[at..at + HEADER]);
            let end = at + align(header.length as usize);
            if header.sequence == sequence {
                self.bytes.copy_within(at..end, 0);
                (self.length, self.messages, self.last) = (end - at, 1, 0);
                return;
            }
            at = end;
        }
        self.clear();
    }

    /// Drops every message but the last one.
    pub(crate) fn retain_last(&mut self) {
        self.bytes.copy_within(self.last..self.length, 0);
        (self.length, self.messages, self.last) = (self.length - self.last, u32::from(self.messages > 0), 0);
    }

    /// Sets `flags` on the last message, and numbers all of them from `first` on.
    pub(crate) fn seal(&mut self, first: u32, flags: i32) {
        let mut at = 0;
        let mut sequence = first;
        while at + HEADER <= self.length {
            let mut header: NlMsgHdr = bytemuck::pod_read_unaligned(&self.bytes[at..at + HEADER]);
            header.sequence = sequence;
            if at == self.last {
                header.flags |= flags as u16;
            }
            self.bytes[at..at + HEADER].copy_from_slice(bytes_of(&header));
            at += align(header.length as usize);
            sequence = sequence.wrapping_add(1);
        }
    }

    /// Appends bytes and pads them to the alignment.
    fn append(&mut self, bytes: &[u8]) {
        let end = self.length + align(bytes.len());
        if self.overflowed || end > BATCH_CAPACITY {
            self.overflowed = true;
            return;
        }
        let (value, padding) = self.bytes[self.length..end].split_at_mut(bytes.len());
        value.copy_from_slice(bytes);
        padding.fill(0);
        self.length = end;
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("messages", &self.messages)
            .field("bytes", &self.length)
            .field("overflowed", &self.overflowed)
            .finish_non_exhaustive()
    }
}

/// Appends attributes to the message that a [`Batch`] is writing.
#[derive(Debug)]
pub struct AttributeWriter<'a> {
    batch: &'a mut Batch,
}

impl AttributeWriter<'_> {
    /// An attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let Ok(length) = u16::try_from(size_of::<NlAttr>() + value.len()) else {
            self.batch.overflowed = true;
            return;
        };
        let start = self.batch.length;
        self.batch.append(bytes_of(&NlAttr { length, kind }));
        self.batch.append(value);
        if self.batch.overflowed {
            // Not half an attribute.
            self.batch.length = start;
        }
    }

    /// An attribute that holds a plain value: an integer in host order, or a structure.
    pub fn value<T: NoUninit>(&mut self, kind: u16, value: T) {
        self.bytes(kind, bytes_of(&value));
    }

    /// A value if there is one.
    pub fn optional<T: NoUninit>(&mut self, kind: u16, value: Option<T>) {
        if let Some(value) = value {
            self.value(kind, value);
        }
    }

    /// A string and the NUL that ends it.
    pub fn text(&mut self, kind: u16, text: &str) {
        self.string(kind, text.as_bytes());
    }

    /// Bytes and the NUL that ends them.
    fn string(&mut self, kind: u16, text: &[u8]) {
        let Ok(length) = u16::try_from(size_of::<NlAttr>() + text.len() + 1) else {
            self.batch.overflowed = true;
            return;
        };
        let start = self.batch.length;
        self.batch.append(bytes_of(&NlAttr { length, kind }));
        self.batch.append(text);
        if text.len() % 4 == 0 {
            // The padding of the text is the NUL, unless there is no padding.
            self.batch.append(&[0]);
        }
        if self.batch.overflowed {
            self.batch.length = start;
        }
    }

    /// An interface name.
    pub fn name(&mut self, kind: u16, name: IfName) {
        self.string(kind, name.as_bytes());
    }

    /// A MAC address.
    pub fn mac(&mut self, kind: u16, mac: MacAddress) {
        self.bytes(kind, &mac.0);
    }

    /// An IP address, four or sixteen bytes.
    pub fn ip(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.bytes(kind, &address.octets()),
            IpAddr::V6(address) => self.bytes(kind, &address.octets()),
        }
    }

    /// An attribute made of attributes.
    pub fn nest(&mut self, kind: u16, attributes: impl FnOnce(&mut AttributeWriter<'_>)) {
        self.nest_after(kind, &(), attributes);
    }

    /// An attribute that holds a structure and attributes behind it, as `VETH_INFO_PEER` does.
    pub fn nest_after<H: NoUninit>(
        &mut self,
        kind: u16,
        header: &H,
        attributes: impl FnOnce(&mut AttributeWriter<'_>),
    ) {
        let start = self.batch.length;
        self.batch.append(bytes_of(&NlAttr { length: 0, kind }));
        self.batch.append(bytes_of(header));
        attributes(&mut AttributeWriter { batch: self.batch });
        if self.batch.overflowed {
            self.batch.length = start;
            return;
        }
        // A batch is shorter than 64 KiB, so this cannot be cut off.
        let length = (self.batch.length - start) as u16;
        self.batch.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}
