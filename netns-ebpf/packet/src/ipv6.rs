//! IPv6 and its extension headers ([RFC 8200](https://www.rfc-editor.org/rfc/rfc8200)).

use super::fragment::{Fragment, MORE, OFFSET};
use super::{Below, Bytes, Facts, Permissions, Reason, Rules, Span, Steps, Verdict, protocol, transport};

pub(super) const HEADER: u32 = 40;
const WORDS: usize = 10;
/// Each kind once and destination options twice, as RFC 8200 recommends, is six.
const MOST_EXTENSIONS: u32 = 6;
/// Each pass of the loop sees one, and one pass more that there are no more. (An inclusive range is a loop whose end the
/// verifier does not see.)
const PASSES: u32 = MOST_EXTENSIONS + 1;

/// The first byte of a multicast address.
const MULTICAST: u8 = 0xFF;

pub(super) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Judges the packet whose header begins at `at`.
///
/// # Errors
/// The reason why the port may not send it.
#[inline(always)]
pub fn judge<B: Steps + ?Sized>(frame: &B, at: u32, facts: Facts, rules: &Rules) -> Verdict {
    let header = frame.words::<WORDS, { HEADER as usize }>(at).ok_or(Reason::FrameShort)?;
    let [first, lengths, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let [first, ..] = first.to_ne_bytes();
    let [l0, l1, next, hop_limit] = lengths.to_ne_bytes();
    let (source, destination) = ([double(s0, s1), double(s2, s3)], [double(d0, d1), double(d2, d3)]);
    if first >> 4 != 6 {
        return Err(Reason::Ipv6Version);
    }
    let start = at + HEADER;
    let room = facts.length.saturating_sub(start);
    let payload = match u32::from(u16::from_be_bytes([l0, l1])) {
        // A jumbogram says its length in its hop-by-hop header (RFC 2675), a train of segments nowhere.
        0 if facts.is_train || next == HOP_BY_HOP => room,
        payload => payload,
    };
    if payload > room {
        return Err(Reason::Ipv6PayloadLength);
    }
    if hop_limit == 0 {
        return Err(Reason::Ipv6HopLimit);
    }
    let is_unspecified = source == [0, 0];
    if !is_unspecified && is_nobodys(source) {
        return Err(Reason::Ipv6SourceInvalid);
    }
    if source == destination {
        return Err(Reason::Ipv6Land);
    }
    if !is_unspecified && !rules.has_ipv6(source) {
        return Err(Reason::Ipv6SourceForeign);
    }
    // A host without an address has nothing to say to one other host.
    let [is_multicast, ..] = d0.to_ne_bytes().map(|byte| byte == MULTICAST);
    if is_unspecified && !(is_multicast && rules.permits(Permissions::UNSPECIFIED)) {
        return Err(Reason::Ipv6SourceUnspecified);
    }
    let Facts { is_train, checksum_at, .. } = facts;
    let below =
        Below { is_v6: true, is_unspecified, is_train, hop_limit, is_fragment: false, at, checksum_at };
    carried(frame, Span { start, end: start + payload }, next, below, rules)
}

/// Multicast, loopback, or an IPv4 address in disguise, which [`ip6_rcv_core`] refuses as well.
///
/// [`ip6_rcv_core`]: https://github.com/torvalds/linux/blob/v6.12/net/ipv6/ip6_input.c
#[inline(always)]
pub(super) fn is_nobodys([high, low]: [u64; 2]) -> bool {
    const LOOPBACK: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 1]);
    const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xFF, 0xFF, 0, 0, 0, 0]);
    const MAPPED_MASK: u64 = u64::from_ne_bytes([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    high.to_ne_bytes()[0] == MULTICAST || (high == 0 && (low == LOOPBACK || low & MAPPED_MASK == MAPPED))
}

/// The destination address of the packet whose header is at `at`, in words as they lie in memory.
#[inline(always)]
pub(super) fn destination<B: Bytes + ?Sized>(frame: &B, at: u32) -> Option<[u32; 4]> {
    frame.words::<4, 16>(at + 24)
}

/// What is behind the last extension header, and how it got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// What it is.
    pub protocol: u8,
    /// Where it begins.
    pub at: u32,
    /// The fragment header's field in IPv4's order, if there was one.
    pub fragment: Option<u16>,
    /// Where behind the fragment header the fragment begins.
    pub part: u32,
    /// Whether a routing header has a destination for it after the one in the IPv6 header.
    pub is_routed: bool,
}

impl Carried {
    /// What a payload begins with.
    #[inline(always)]
    const fn directly(payload: Span, protocol: u8) -> Self {
        Self { protocol, at: payload.start, fragment: None, part: payload.start, is_routed: false }
    }
}

#[inline(always)]
pub(super) const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// Two words that follow each other in memory, as one.
#[inline(always)]
pub(super) const fn double(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Judges what is behind the extension headers.
#[inline(always)]
fn carried<B: Steps + ?Sized>(frame: &B, payload: Span, next: u8, below: Below, rules: &Rules) -> Verdict {
    let end = payload.end;
    // Nearly always there is none, and finding that out by walking would be dearer than all the rest.
    let Carried { protocol, at, fragment, part, .. } =
        if is_extension(next) { frame.extensions(payload, next)? } else { Carried::directly(payload, next) };
    below.checksum_at.after(at)?;
    if let Some(field) = fragment {
        let fragment = Fragment { field, length: end - part, transport: end - at, before: 0, protocol };
        if !fragment.is_honest() {
            return Err(Reason::Ipv6Fragment);
        }
        if fragment.is_later() {
            return if below.is_unspecified { Err(Reason::Ipv6SourceUnspecified) } else { Ok(()) };
        }
    }
    if below.is_unspecified && protocol != protocol::ICMPV6 {
        return Err(Reason::Ipv6SourceUnspecified);
    }
    let below = Below { is_fragment: fragment.is_some(), ..below };
    transport::judge(frame, Span { start: at, end }, protocol, below, rules)
}

/// Walks the extension headers.
///
/// # Errors
/// The reason why they are none.
#[inline(always)]
pub fn extensions<B: Bytes + ?Sized>(frame: &B, payload: Span, next: u8) -> Result<Carried, Reason> {
    let Span { start, end } = payload;
    let mut carried = Carried::directly(payload, next);
    for _ in 0..PASSES {
        let Carried { protocol, at, fragment, .. } = carried;
        // What follows in a later fragment is the middle of a packet, whatever it is called.
        if !is_extension(protocol) || fragment.is_some_and(|field| field & OFFSET != 0) {
            return Ok(carried);
        }
        if protocol == HOP_BY_HOP && at != start {
            return Err(Reason::Ipv6HopByHop);
        }
        // Of a fragment, a header that does not fit is one that is to be hidden.
        let cut_off = if fragment.is_some() { Reason::Ipv6Fragment } else { Reason::Ipv6Truncated };
        if at + 8 > end {
            return Err(cut_off);
        }
        let [following, length, third, fourth] = frame.load(at).ok_or(Reason::Ipv6Truncated)?;
        carried.protocol = following;
        carried.at += match protocol {
            ROUTING if third == 0 => return Err(Reason::Ipv6Routing),
            // In units of four bytes, the first two of which do not count.
            AUTHENTICATION => (u32::from(length) + 2) * 4,
            FRAGMENT => 8,
            _ => (u32::from(length) + 1) * 8,
        };
        if carried.at > end {
            return Err(cut_off);
        }
        carried.is_routed |= protocol == ROUTING && fourth != 0;
        if protocol == FRAGMENT {
            // The offset, two unused bits, and whether more follow.
            let bits = u16::from_be_bytes([third, fourth]);
            carried.fragment = Some((bits >> 3) | if bits & 1 != 0 { MORE } else { 0 });
            carried.part = carried.at;
        }
    }
    Err(Reason::Ipv6TooMany)
}
