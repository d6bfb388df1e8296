//! ARP ([RFC 826](https://www.rfc-editor.org/rfc/rfc826), [RFC 5227](https://www.rfc-editor.org/rfc/rfc5227)).

use super::{Bytes, Reason, Rules, Verdict};

/// Ethernet (1), IPv4 (0x0800), with their addresses' lengths.
const IPV4_OVER_ETHERNET: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

#[inline(always)]
pub(super) fn judge<B: Bytes + ?Sized>(frame: &B, at: u32, rules: &Rules) -> Verdict {
    let packet: [u8; 28] = frame.load(at).ok_or(Reason::FrameShort)?;
    let [h0, h1, p0, p1, hl, pl, o0, o1, m0, m1, m2, m3, m4, m5, s0, s1, s2, s3, rest @ ..] = packet;
    let [_, _, _, _, _, _, t0, t1, t2, t3] = rest;
    let operation = u16::from_be_bytes([o0, o1]);
    let kinds = u64::from_be_bytes([0, 0, h0, h1, p0, p1, hl, pl]);
    let [a, b, c, d, e, f] = IPV4_OVER_ETHERNET;
    if kinds != u64::from_be_bytes([0, 0, a, b, c, d, e, f]) || !matches!(operation, REQUEST | REPLY) {
        return Err(Reason::ArpMalformed);
    }
    // The Ethernet source is the port's by now, so this is also whether the two are the same.
    if !rules.is_mac([m0, m1, m2, m3, m4, m5]) {
        return Err(Reason::ArpSenderMac);
    }
    let (sender, target) = ([s0, s1, s2, s3], [t0, t1, t2, t3]);
    if u32::from_ne_bytes(sender) == 0 {
        // A probe: whether somebody has the address, asked by one who has none yet. There is no such answer.
        return if operation == REQUEST { Ok(()) } else { Err(Reason::ArpSenderAddress) };
    }
    if rules.has_ipv4(sender) {
        return Ok(());
    }
    let is_announcement = u32::from_ne_bytes(sender) == u32::from_ne_bytes(target);
    Err(if is_announcement { Reason::ArpAnnouncement } else { Reason::ArpSenderAddress })
}
