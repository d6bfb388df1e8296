//! Where a packet goes, as [`netns_packet::EgressPacket`] reads it.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{NO_SLOT, control};
use netns_packet::{ChecksumPlace, EgressPacket};

use crate::frame::{self, Frame};
use crate::skb::Skb;
use crate::steps::Judged;

/// Reads a frame; `None` of what is not IP.
#[inline(always)]
pub(crate) fn read(skb: *mut __sk_buff) -> Option<EgressPacket> {
    let frame = Frame::read(&TcContext::new(skb), NO_SLOT);
    EgressPacket::read(&judged(skb), frame::facts(&frame, ChecksumPlace::NONE.to_bits()))
}

/// A frame of which no rules of the guard's are asked.
#[inline(always)]
pub(crate) fn judged(skb: *mut __sk_buff) -> Judged {
    Judged { skb: Skb(skb), slot: NO_SLOT, control: control::OFF }
}
