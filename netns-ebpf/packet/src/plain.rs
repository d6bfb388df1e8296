//! The commonest frame: IPv4 without options and not in fragments, TCP or UDP, from the first of the port's addresses.
//!
//! Nearly everything that passes is this, and then it need not be known which check a frame failed. So the same
//! questions, asked at once, are fewer instructions than [`judge`](super::judge)'s, which in traffic the processor has to
//! fetch anew for each frame. Whatever is not this is judged.

use super::fragment::{MORE, OFFSET};
use super::{
    Bytes, ChecksumPlace, Facts, Mac, Rules, Span, checksum, ethernet, header, ipv4, protocol, transport,
};

/// Headers of Ethernet, IPv4 and UDP; TCP's is longer.
const HEADERS: usize = 42;
const WORDS: usize = 11;
/// Where IPv4 and what it carries begin.
const IPV4: u32 = 14;
const CARRIED: u32 = 34;

/// Whether it certainly is that, and nothing is wrong with it. [`judge`](super::judge) would find no reason then; that
/// it is not says nothing.
#[inline(always)]
pub fn is_plain<B: Bytes + ?Sized>(frame: &B, facts: Facts, rules: &Rules) -> bool {
    is_plain_asking(frame, facts, rules, || facts.checksum_at)
}

/// As [`is_plain`], for callers that have to ask where a checksum is to be written: they are asked last, when nothing else
/// need be kept any more, and for most frames that are not plain not at all. [`Facts::checksum_at`] is not looked at.
#[inline(always)]
pub fn is_plain_asking<B: Bytes + ?Sized>(
    frame: &B,
    facts: Facts,
    rules: &Rules,
    checksum_at: impl FnOnce() -> ChecksumPlace,
) -> bool {
    let Some(words) = frame.words::<WORDS, HEADERS>(0) else { return false };
    let [ethernet @ .., _] = words.map(u32::to_ne_bytes);
    let [[d0, d1, d2, d3], [d4, d5, s0, s1], [s2, s3, s4, s5], ip @ ..] = ethernet;
    // IPv4 begins in the middle of a word, and so do its addresses.
    let [[t0, t1, version, service], [l0, l1, ..], [f0, f1, ttl, number], [_, _, a0, a1], ip @ ..] = ip;
    let [[a2, a3, b0, b1], [b2, b3, from0, from1], [to0, to1, u0, u1]] = ip;
    if facts.has_tag
        || !rules.is_mac(Mac::new([s0, s1, s2, s3, s4, s5]))
        || ethernet::is_reserved(Mac::new([d0, d1, d2, d3, d4, d5]))
        || [t0, t1, version] != [0x08, 0x00, 0x45]
    {
        return false;
    }
    // A sum of 16-bit words does not care how they are grouped: the halves at both ends of the header, and what is between.
    let ends = [[0, 0, version, service], [b2, b3, 0, 0]].map(u32::from_ne_bytes);
    let [_, _, _, _, between @ .., _, _, _] = words;
    if ipv4::fold(ends.into_iter().chain(between).map(u64::from).sum()) != 0xFFFF {
        return false;
    }
    let (source, destination) = ([a0, a1, a2, a3], [b0, b1, b2, b3]);
    let field = u16::from_be_bytes([f0, f1]);
    if ttl == 0
        || field & (MORE | OFFSET) != 0
        || source == destination
        || ipv4::is_nobodys(u32::from_ne_bytes(source))
        || !rules.is_first_ipv4(u32::from_ne_bytes(source))
    {
        return false;
    }
    let end = IPV4 + u32::from(u16::from_be_bytes([l0, l1]));
    if end > facts.length {
        return false;
    }
    let own = match number {
        protocol::TCP => {
            let header = transport::tcp_flags(frame, Span { start: CARRIED, end });
            if !header.is_some_and(transport::is_sent) {
                return false;
            }
            checksum::IN_TCP
        }
        protocol::UDP => {
            let length = u32::from(u16::from_be_bytes([u0, u1]));
            // To port 67 too: what a client says to a server is looked at.
            let is_dhcp =
                [from0, from1] == 67_u16.to_be_bytes() || matches!(u16::from_be_bytes([to0, to1]), 67 | 68);
            if length < header::UDP_HEADER || CARRIED + length > end || is_dhcp {
                return false;
            }
            checksum::IN_UDP
        }
        _ => return false,
    };
    checksum_at().is(CARRIED + own)
}
