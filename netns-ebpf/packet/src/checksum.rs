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

/// Checks that nothing is written before `end`, where what was judged ends.
#[inline(always)]
pub(super) const fn after(checksum_at: Option<u32>, end: u32) -> Verdict {
    match checksum_at {
        Some(at) if at < end => Err(Reason::ChecksumPlace),
        _ => Ok(()),
    }
}

/// As [`after`], of a header that has a checksum of its own.
#[inline(always)]
pub(super) const fn own_or_after(checksum_at: Option<u32>, own: u32, end: u32) -> Verdict {
    match checksum_at {
        Some(at) if at == own => Ok(()),
        other => after(other, end),
    }
}

/// Checks that it is written into the frame, which has this length.
#[inline(always)]
pub(super) const fn inside(checksum_at: Option<u32>, length: u32) -> Verdict {
    match checksum_at {
        Some(at) if at.saturating_add(LENGTH) > length => Err(Reason::ChecksumPlace),
        _ => Ok(()),
    }
}
