//! ICMPv6, and in it neighbour discovery ([RFC 4861](https://www.rfc-editor.org/rfc/rfc4861)): the messages by which
//! hosts of a link learn each other's MAC addresses and their routers.

use super::header::header;
use super::ipv6::double;
use super::{Below, Bytes, Mac, Permissions, Reason, Rules, Span, Steps, Verdict, icmp, ipv6, multicast};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// What an option says: the link-layer address of who sends, or of who is meant.
const SOURCE: u8 = 1;
const TARGET: u8 = 2;
/// More options than any host sends; a router may announce as many prefixes.
const MOST_OPTIONS: u32 = 32;

/// The hop limit of a message that no router has forwarded.
const FROM_THIS_LINK: u8 = 255;

/// Whether an ICMPv6 message is one of neighbour discovery.
#[inline(always)]
pub(super) const fn is_discovery(kind: u8) -> bool {
    matches!(kind, ROUTER_SOLICITATION..=REDIRECT)
}

#[inline(always)]
pub(super) fn judge<B: Steps + ?Sized>(frame: &B, packet: Span, below: Below, rules: &Rules) -> Verdict {
    let [[kind, code, _, _]] = header::<1, 4>(frame, packet).ok_or(Reason::IcmpHeader)?;
    let fixed = match kind {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT => 16,
        SOLICITATION | ADVERTISEMENT => 24,
        REDIRECT => 40,
        _ if multicast::is_listener_discovery(kind) => {
            return multicast::mld(frame, packet, kind, below, rules);
        }
        _ if below.is_unspecified => return Err(Reason::Ipv6SourceUnspecified),
        _ if icmp::is_error6(kind) => return icmp::error6(frame, packet, [kind, code], below, rules),
        _ => return Ok(()),
    };
    if below.is_fragment {
        // RFC 6980: they are never fragmented.
        return Err(Reason::Ipv6Fragment);
    }
    if below.is_unspecified && !matches!(kind, ROUTER_SOLICITATION | SOLICITATION) {
        return Err(Reason::Ipv6SourceUnspecified);
    }
    if !rules.permits(Permissions::ROUTER) {
        match kind {
            ROUTER_ADVERTISEMENT => return Err(Reason::NdRouter),
            REDIRECT => return Err(Reason::NdRedirect),
            _ => {}
        }
    }
    if below.hop_limit != FROM_THIS_LINK {
        return Err(Reason::NdHopLimit);
    }
    if code != 0 || packet.start + fixed > packet.end {
        return Err(Reason::NdMalformed);
    }
    // Announcing an address, and testing whether one is free, is for the port that it is for.
    if kind == ADVERTISEMENT || (kind == SOLICITATION && below.is_unspecified) {
        let [a, b, c, d] = frame.words::<4, 16>(packet.start + 8).ok_or(Reason::NdMalformed)?;
        let target = [double(a, b), double(c, d)];
        if ipv6::is_nobodys(target) || !rules.has_ipv6(target) {
            return Err(Reason::NdTarget);
        }
        if below.is_unspecified && ipv6::destination(frame, below.at) != Some(solicited(d)) {
            return Err(Reason::NdMalformed);
        }
    }
    let owners = Owners {
        // A host without an address yet must not say where it is (6.1.1, 7.1.1).
        source: !below.is_unspecified,
        // A redirect says where somebody else is.
        target: kind != REDIRECT,
    };
    frame.discovery_options(Span { start: packet.start + fixed, ..packet }, owners, rules.mac_number())
}

/// The group that a test whether an address is free goes to ([RFC 4861], 7.1.1), by the address's last word: `ff02::1:ff00:0`
/// and the last 24 bits.
///
/// [RFC 4861]: https://www.rfc-editor.org/rfc/rfc4861
#[inline(always)]
fn solicited(last: u32) -> [u32; 4] {
    let [_, a, b, c] = last.to_ne_bytes();
    [[0xFF, 2, 0, 0], [0; 4], [0, 0, 0, 1], [0xFF, a, b, c]].map(u32::from_ne_bytes)
}

/// Whose link-layer addresses a message's options give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Whether there may be one of the source.
    pub source: bool,
    /// Whether one of the target is the port's too.
    pub target: bool,
}

/// Walks the options, which come in any order and number.
///
/// # Errors
/// The reason why they are none.
#[inline(always)]
pub fn options<B: Bytes + ?Sized>(frame: &B, options: Span, owners: Owners, mac: Mac) -> Verdict {
    let Span { start: mut at, end } = options;
    for _ in 0..MOST_OPTIONS {
        if at >= end {
            return Ok(());
        }
        if at + 8 > end {
            return Err(Reason::NdMalformed);
        }
        let [option, length, m0, m1, m2, m3, m4, m5] = frame.load(at).ok_or(Reason::NdMalformed)?;
        let size = u32::from(length) * 8;
        if size == 0 || at + size > end {
            return Err(Reason::NdMalformed);
        }
        if option == SOURCE || (option == TARGET && owners.target) {
            if size != 8 || (option == SOURCE && !owners.source) {
                return Err(Reason::NdMalformed);
            }
            if Mac::new([m0, m1, m2, m3, m4, m5]) != mac {
                return Err(Reason::NdLinkLayer);
            }
        }
        at += size;
    }
    if at >= end { Ok(()) } else { Err(Reason::NdMalformed) }
}
