//! Fragments, which can hide from a filter what their receiver will see: a first one that ends before the transport
//! header does, a later one that writes over it when the packet is put together, or beyond the longest packet
//! ([RFC 1858](https://www.rfc-editor.org/rfc/rfc1858), [RFC 3128](https://www.rfc-editor.org/rfc/rfc3128)).

use super::protocol;

/// The longest packet that a receiver puts together.
const LONGEST: u64 = 65_535;
/// The bit that says that more fragments follow, in IPv4's field and, shifted, in IPv6's.
pub(super) const MORE: u16 = 0x2000;
/// The bits of the offset, in units of eight bytes.
pub(super) const OFFSET: u16 = 0x1FFF;

/// A fragment, and what of it matters here.
#[derive(Clone, Copy)]
pub(super) struct Fragment {
    /// IPv4's field: three flags and the offset.
    pub(super) field: u16,
    /// How many bytes it adds to the packet.
    pub(super) length: u32,
    /// How many of those are the transport header and what is behind it; of meaning in a first fragment.
    pub(super) transport: u32,
    /// How many bytes count for the packet's length and come before all of its fragments.
    pub(super) before: u32,
    /// What the fragments carry; of a later one, what its header says.
    pub(super) protocol: u8,
}

impl Fragment {
    /// Whether it is the middle or the end of a packet.
    #[inline(always)]
    pub(super) const fn is_later(&self) -> bool {
        self.field & OFFSET != 0
    }

    /// Whether it is one that an honest sender makes.
    #[inline(always)]
    pub(super) const fn is_honest(&self) -> bool {
        let offset = (self.field & OFFSET) as u32 * 8;
        // The kernel's word for the length of a train may be anything, to who looks at this alone.
        let fits = self.before as u64 + offset as u64 + self.length as u64 <= LONGEST;
        // Only the last one ends where it likes.
        let is_whole = self.field & MORE == 0 || (self.length.is_multiple_of(8) && self.length > 0);
        let header = header(self.protocol);
        let shows_header = if self.is_later() { offset >= header } else { self.transport >= header };
        fits && is_whole && shows_header
    }
}

/// How much of a transport header has to be in the first fragment, and is not to be written over by another.
#[inline(always)]
const fn header(protocol: u8) -> u32 {
    match protocol {
        protocol::TCP => 20,
        protocol::UDP | protocol::ICMP => 8,
        protocol::ICMPV6 => 4,
        _ => 0,
    }
}
