//! Reading headers of what IP packets carry.

use super::{Bytes, Span};

/// How long a UDP header is, in bytes.
pub(super) const UDP_HEADER: u32 = 8;

/// The first `N` words of a packet, which are `LENGTH` bytes; `None` if it has not that many.
#[inline(always)]
pub(super) fn header<const N: usize, const LENGTH: usize>(
    frame: &(impl Bytes + ?Sized),
    payload: Span,
) -> Option<[[u8; 4]; N]> {
    if payload.start + LENGTH as u32 > payload.end {
        return None;
    }
    frame.words::<N, LENGTH>(payload.start).map(|words| words.map(u32::to_ne_bytes))
}
