//! ARP ([RFC 826](https://www.rfc-editor.org/rfc/rfc826), [RFC 5227](https://www.rfc-editor.org/rfc/rfc5227)).

use super::{Bytes, Mac, Reason, Rules, Verdict, ipv4};

pub(super) const LENGTH: usize = 28;
const WORDS: usize = 7;
/// Ethernet (1) and IPv4 (0x0800), and how long their addresses are.
const KINDS: u32 = u32::from_ne_bytes([0, 1, 8, 0]);
const LENGTHS: [u8; 2] = [6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

#[inline(always)]
pub(super) fn judge<B: Bytes + ?Sized>(frame: &B, at: u32, rules: &Rules) -> Verdict {
    let packet = frame.words::<WORDS, LENGTH>(at).ok_or(Reason::FrameShort)?;
    let [kinds, second, third, fourth, fifth, _, target] = packet;
    let [hl, pl, o0, o1] = second.to_ne_bytes();
    let [m0, m1, m2, m3] = third.to_ne_bytes();
    let [m4, m5, s0, s1] = fourth.to_ne_bytes();
    let [s2, s3, ..] = fifth.to_ne_bytes();
    let sender = u32::from_ne_bytes([s0, s1, s2, s3]);
    let operation = u16::from_be_bytes([o0, o1]);
    if kinds != KINDS || [hl, pl] != LENGTHS || !matches!(operation, REQUEST | REPLY) {
        return Err(Reason::ArpMalformed);
    }
    // The Ethernet source is the port's by now, so this is also whether the two are the same.
    if !rules.is_mac(Mac::new([m0, m1, m2, m3, m4, m5])) {
        return Err(Reason::ArpSenderMac);
    }
    // Of a port with the network 0.0.0.0/0, too.
    let is_own = |address| !ipv4::is_nobodys(address) && rules.has_ipv4(address);
    if sender == 0 {
        // A probe: does somebody have this address, asked by a host that is about to take it. A host whose every probe is
        // answered by another probe gives the address up (RFC 5227, 2.1.1), so probes are for the port's own addresses.
        return match operation {
            REQUEST if is_own(target) => Ok(()),
            REQUEST => Err(Reason::ArpProbe),
            _ => Err(Reason::ArpSenderAddress),
        };
    }
    if is_own(sender) {
        return Ok(());
    }
    Err(if sender == target { Reason::ArpAnnouncement } else { Reason::ArpSenderAddress })
}
