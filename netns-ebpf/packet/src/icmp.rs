//! ICMP ([RFC 792](https://www.rfc-editor.org/rfc/rfc792)), and errors of both versions: who may complain of a packet.
//!
//! A host believes errors: one that says "too big" makes it cut every later packet to that destination, one that says
//! "unreachable" ends connections. The sender of an error is anybody on the way, so only the packet that it is about says
//! whose business it was. A host that is no router received that packet, so the packet went to one of its addresses.

use super::header::header;
use super::ipv6::double;
use super::{Below, Permissions, Reason, Rules, Span, Steps, Verdict};

const UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ROUTER_ADVERTISEMENT: u8 = 9;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// An error's own header, in either version. The packet that it is about follows.
const HEADER: u32 = 8;
/// Headers of that packet, and where they have the destination.
const IPV4: u32 = 20;
const IPV4_DESTINATION: u32 = 16;
const IPV6: u32 = 40;
const IPV6_DESTINATION: u32 = 24;

/// Who may complain of any packet.
const ANY_PACKET: Permissions = Permissions::ROUTER.with(Permissions::ICMP_ERRORS);

#[inline(always)]
pub(super) fn judge<B: Steps + ?Sized>(frame: &B, packet: Span, below: Below, rules: &Rules) -> Verdict {
    let [[kind, ..], _] = header::<2, 8>(frame, packet).ok_or(Reason::IcmpHeader)?;
    if below.is_unspecified {
        return Err(Reason::Ipv4SourceInvalid);
    }
    match kind {
        UNREACHABLE | SOURCE_QUENCH | TIME_EXCEEDED | PARAMETER_PROBLEM => {
            error4(frame, packet, below, rules)
        }
        REDIRECT if !rules.permits(Permissions::ROUTER) => Err(Reason::IcmpRedirect),
        ROUTER_ADVERTISEMENT if !rules.permits(Permissions::ROUTER) => Err(Reason::IcmpRouter),
        _ => Ok(()),
    }
}

#[inline(always)]
fn error4<B: Steps + ?Sized>(frame: &B, packet: Span, below: Below, rules: &Rules) -> Verdict {
    // Errors are cut to 576 bytes (RFC 1812, 4.3.2.3), so that none is ever fragmented. In a fragment the packet that it
    // is about could be written over by another.
    if below.is_fragment {
        return Err(Reason::Ipv4Fragment);
    }
    let about = packet.start + HEADER;
    if about + IPV4 > packet.end {
        return Err(Reason::IcmpHeader);
    }
    let [sent_to] = frame.words::<1, 4>(about + IPV4_DESTINATION).ok_or(Reason::IcmpHeader)?;
    if rules.has_ipv4(sent_to) || rules.permits_any(ANY_PACKET) { Ok(()) } else { Err(Reason::IcmpError) }
}

/// Whether an ICMPv6 message is an error (RFC 4443, 2.1), one that is not known included: a stack hands those on.
#[inline(always)]
pub(super) const fn is_error6(kind: u8) -> bool {
    kind < 128
}

const ECHO_REPLY: u8 = 0;
const ECHO_REPLY6: u8 = 129;

/// Whether a message answers one: an echo reply, or an error.
#[inline(always)]
pub(super) const fn is_answer(is_v6: bool, kind: u8) -> bool {
    if is_v6 {
        is_error6(kind) || kind == ECHO_REPLY6
    } else {
        matches!(kind, ECHO_REPLY | UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}

/// A parameter problem: an option that is not known, of which a host complains also if the packet went to a group
/// (RFC 4443, 2.4 (e.3)).
const UNKNOWN_OPTION: [u8; 2] = [4, 2];

#[inline(always)]
pub(super) fn error6<B: Steps + ?Sized>(
    frame: &B,
    packet: Span,
    kind_and_code: [u8; 2],
    below: Below,
    rules: &Rules,
) -> Verdict {
    // They are cut to 1,280 bytes, the smallest MTU there is (RFC 4443, 2.4 (c)).
    if below.is_fragment {
        return Err(Reason::Ipv6Fragment);
    }
    let about = packet.start + HEADER;
    if about + IPV6 > packet.end {
        return Err(Reason::IcmpHeader);
    }
    let [a, b, c, d] = frame.words::<4, 16>(about + IPV6_DESTINATION).ok_or(Reason::IcmpHeader)?;
    let to_a_group = a.to_ne_bytes()[0] == 0xFF;
    let may = rules.has_ipv6([double(a, b), double(c, d)])
        || (to_a_group && kind_and_code == UNKNOWN_OPTION)
        || rules.permits_any(ANY_PACKET);
    if may { Ok(()) } else { Err(Reason::IcmpError) }
}
