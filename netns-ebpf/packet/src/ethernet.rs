//! The Ethernet header, and which way a frame goes from there.

use super::{Bytes, Facts, Mac, Permissions, Reason, Rules, Steps, Verdict, arp};

const HEADER: u32 = 14;
const WORDS: usize = 4;
const TAG: u32 = 4;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86DD;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88A8;

/// 01:80:C2:00:00:00, whose last four bits count the addresses that an 802.1D bridge does not forward.
const RESERVED: u64 = 0x0180_C200_0000;
const RESERVED_MASK: u64 = 0xFFFF_FFFF_FFF0;
/// The bit of the first byte that makes an address a group's.
const GROUP: u64 = 1 << 40;

#[inline(always)]
pub(super) fn judge<B: Steps + ?Sized>(frame: &B, facts: Facts, rules: &Rules) -> Verdict {
    let header = frame.words::<WORDS, { HEADER as usize }>(0).ok_or(Reason::FrameShort)?;
    let [[d0, d1, d2, d3], [d4, d5, s0, s1], [s2, s3, s4, s5], [t0, t1, _, _]] = header.map(u32::to_ne_bytes);
    let source = Mac::new([s0, s1, s2, s3, s4, s5]);
    if !rules.is_mac(source) {
        let Mac(source) = source;
        let is_nobodys = source & GROUP != 0 || source == 0;
        return Err(if is_nobodys { Reason::SourceMacInvalid } else { Reason::SourceMacForeign });
    }
    if is_reserved(Mac::new([d0, d1, d2, d3, d4, d5])) {
        return Err(Reason::ReservedDestination);
    }
    let ether_type = u16::from_be_bytes([t0, t1]);
    if facts.has_tag || is_tag(ether_type) {
        return tagged(frame, facts, rules, ether_type);
    }
    payload(frame, HEADER, ether_type, facts, rules)
}

#[inline(always)]
pub(super) const fn is_reserved(destination: Mac) -> bool {
    destination.0 & RESERVED_MASK == RESERVED
}

#[inline(always)]
pub(super) const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, VLAN | SERVICE_VLAN)
}

/// Judges what is behind the tags, of which there are two at most: the one that the kernel took out and one more.
#[inline(always)]
fn tagged<B: Steps + ?Sized>(frame: &B, facts: Facts, rules: &Rules, ether_type: u16) -> Verdict {
    if !rules.permits(Permissions::VLAN) {
        return Err(Reason::VlanTag);
    }
    let mut ether_type = ether_type;
    let mut at = HEADER;
    for _ in u8::from(facts.has_tag)..2 {
        if is_tag(ether_type) {
            let [_, _, high, low] = frame.load::<{ TAG as usize }>(at).ok_or(Reason::FrameShort)?;
            ether_type = u16::from_be_bytes([high, low]);
            at += TAG;
        }
    }
    payload(frame, at, ether_type, facts, rules)
}

/// Judges what an EtherType says is at `at`.
#[inline(always)]
fn payload<B: Steps + ?Sized>(frame: &B, at: u32, ether_type: u16, facts: Facts, rules: &Rules) -> Verdict {
    facts.checksum_at.inside(facts.length)?;
    match ether_type {
        IPV4 => frame.ipv4(at, facts, rules),
        IPV6 => frame.ipv6(at, facts, rules),
        ARP => {
            facts.checksum_at.after(at + arp::LENGTH as u32)?;
            arp::judge(frame, at, rules)
        }
        other if rules.has_ether_type(other) => facts.checksum_at.after(at),
        _ => Err(Reason::EtherType),
    }
}

/// The EtherType of what is behind a frame's tags, and where that begins; `None` if the frame ends before.
#[inline(always)]
pub(super) fn payload_of<B: Bytes + ?Sized>(frame: &B, has_tag: bool) -> Option<(u16, u32)> {
    let [high, low] = frame.load(HEADER - 2)?;
    let (mut ether_type, mut at) = (u16::from_be_bytes([high, low]), HEADER);
    for _ in u8::from(has_tag)..2 {
        if is_tag(ether_type) {
            let [_, _, high, low] = frame.load::<{ TAG as usize }>(at)?;
            ether_type = u16::from_be_bytes([high, low]);
            at += TAG;
        }
    }
    Some((ether_type, at))
}
