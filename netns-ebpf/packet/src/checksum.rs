//! Checksums that are written after a frame was judged.
//!
//! A sender may leave a checksum to a later hop (`CHECKSUM_PARTIAL`), and says where its two bytes belong. A raw socket
//! and the guest of a virtual machine say so in a [virtio header]: any place they like, and by the bytes that the sum is
//! of they choose what is written there. A TAP or another device without offload writes it ([`skb_checksum_help`]), or
//! a network card, or the guest that receives the frame; all of them do so after the program has judged the frame. So the
//! place must be that of a checksum, which is not judged, or lie after everything that is judged: a tunnel leaves the
//! checksum of the packet that it carries.
//!
//! [virtio header]: https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html#x1-2050006
//! [`skb_checksum_help`]: https://github.com/torvalds/linux/blob/v6.18/net/core/dev.c

use super::{Reason, Verdict};

/// How many bytes are written.
const LENGTH: u32 = 2;

/// Where the checksum is in the headers of TCP, UDP and those of messages.
pub(super) const IN_TCP: u32 = 16;
pub(super) const IN_UDP: u32 = 6;
pub(super) const IN_MESSAGE: u32 = 2;

/// Where in a frame a checksum is still to be written, if it was left to a later hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumPlace(u32);

impl ChecksumPlace {
    /// None was left. A number that no place is below, so that one comparison asks both.
    pub const NONE: Self = Self(Self::MAX);
    /// Such numbers have 20 bits, with which the program packs them.
    const MAX: u32 = 0xF_FFFF;

    /// This many bytes into the frame. What is farther than a frame is long is as far as can be said.
    #[must_use]
    #[inline(always)]
    pub const fn at(place: u32) -> Self {
        if place < Self::MAX { Self(place) } else { Self(Self::MAX - 1) }
    }

    /// A number of 20 bits.
    #[must_use]
    #[inline(always)]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// What [`Self::to_bits`] made a number of; of other bits there may be more.
    #[must_use]
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::MAX)
    }

    /// Whether it is this one, or none.
    #[inline(always)]
    pub(super) const fn is(self, place: u32) -> bool {
        self.0 == place || self.0 == Self::MAX
    }

    /// Checks that nothing is written before `end`, where what was judged ends.
    #[inline(always)]
    pub(super) const fn after(self, end: u32) -> Verdict {
        if self.0 < end { Err(Reason::ChecksumPlace) } else { Ok(()) }
    }

    /// As [`Self::after`], of a header that has a checksum of its own.
    #[inline(always)]
    pub(super) const fn own_or_after(self, own: u32, end: u32) -> Verdict {
        if self.0 == own { Ok(()) } else { self.after(end) }
    }

    /// Checks that it is written into the frame, which has this length.
    #[inline(always)]
    pub(super) const fn inside(self, length: u32) -> Verdict {
        if self.0.saturating_add(LENGTH) > length && self.0 != Self::MAX {
            return Err(Reason::ChecksumPlace);
        }
        Ok(())
    }
}

impl Default for ChecksumPlace {
    fn default() -> Self {
        Self::NONE
    }
}
