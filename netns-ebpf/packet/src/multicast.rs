//! Who listens to which group: IGMP ([RFC 3376](https://www.rfc-editor.org/rfc/rfc3376)) and MLD
//! ([RFC 3810](https://www.rfc-editor.org/rfc/rfc3810)).
//!
//! Hosts report and leave. What asks them is a multicast router, and a snooping bridge sends all multicast to a port that
//! such a question, PIM or multicast router discovery ([RFC 4286](https://www.rfc-editor.org/rfc/rfc4286)) came from
//! ([`br_multicast_ipv4_rcv`]).
//!
//! A host that has no address yet reports from the unspecified one. Then the message says exactly what the RFCs let it
//! say, to the group they name and no further, since nobody could find out who said it.
//!
//! [`br_multicast_ipv4_rcv`]: https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_multicast.c

use super::header::header;
use super::{Below, Bytes, Permissions, Reason, Rules, Span, Verdict, ipv4, ipv6, protocol};

/// Reports and leaves of IGMP.
const QUERY: u8 = 0x11;
const REPORT1: u8 = 0x12;
const REPORT2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT3: u8 = 0x22;

/// Routers of this link, and where IGMPv3 reports go.
const ROUTERS: u32 = u32::from_ne_bytes([224, 0, 0, 2]);
const REPORTS: u32 = u32::from_ne_bytes([224, 0, 0, 22]);

/// As long as every message before IGMPv3.
const IGMP: u32 = 8;

#[inline(always)]
pub(super) fn igmp<B: Bytes + ?Sized>(frame: &B, packet: Span, below: Below, rules: &Rules) -> Verdict {
    let [[kind, ..], group] = header::<2, 8>(frame, packet).ok_or(Reason::IcmpHeader)?;
    let is_hosts = matches!(kind, REPORT1 | REPORT2 | LEAVE | REPORT3);
    if !is_hosts && !rules.permits(Permissions::MULTICAST_ROUTER) {
        return Err(Reason::MulticastRouter);
    }
    if !below.is_unspecified {
        return Ok(());
    }
    let destination = ipv4::destination(frame, below.at).ok_or(Reason::FrameShort)?;
    let is_group = matches!(destination.to_ne_bytes(), [224..=239, ..]);
    let is_of_group = destination == u32::from_ne_bytes(group) && is_group;
    let is_alone = packet.end - packet.start == IGMP;
    // Not every honest stack sends a router alert here: smoltcp does not, nor need IGMPv1.
    let may = match kind {
        REPORT1 | REPORT2 => is_of_group && is_alone,
        // RFC 2236, 9: some send it to the group that they leave.
        LEAVE => (destination == ROUTERS || is_of_group) && is_alone,
        REPORT3 => destination == REPORTS,
        // A snooping bridge that has no address asks from 0.0.0.0 (RFC 4541, 2.1.1).
        QUERY => is_group,
        _ => false,
    };
    if may && below.hop_limit == 1 && !below.is_fragment { Ok(()) } else { Err(Reason::Ipv4SourceInvalid) }
}

const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const MLD2_REPORT: u8 = 143;
/// Multicast router advertisement, solicitation and termination.
const DISCOVERY_FIRST: u8 = 151;
const DISCOVERY_LAST: u8 = 153;

/// `ff02::2`, routers of this link, and `ff02::16`, where MLDv2 reports go.
const ROUTERS6: [u32; 4] = [u32::from_ne_bytes([0xFF, 2, 0, 0]), 0, 0, u32::from_ne_bytes([0, 0, 0, 2])];
const REPORTS6: [u32; 4] = [u32::from_ne_bytes([0xFF, 2, 0, 0]), 0, 0, u32::from_ne_bytes([0, 0, 0, 0x16])];

/// As long as every message of MLDv1.
const MLD: u32 = 24;
/// The hop-by-hop header that every MLD message has.
const HOP_BY_HOP: u32 = 8;
/// In it, the option by which routers notice the message (RFC 2711): for MLD.
const ROUTER_ALERT: [u8; 4] = [5, 2, 0, 0];

/// Whether an ICMPv6 message is one of multicast listener or router discovery.
#[inline(always)]
pub(super) const fn is_listener_discovery(kind: u8) -> bool {
    matches!(kind, MLD_QUERY..=MLD_DONE | MLD2_REPORT | DISCOVERY_FIRST..=DISCOVERY_LAST)
}

#[inline(always)]
pub(super) fn mld<B: Bytes + ?Sized>(
    frame: &B,
    packet: Span,
    kind: u8,
    below: Below,
    rules: &Rules,
) -> Verdict {
    let is_hosts = matches!(kind, MLD_REPORT | MLD_DONE | MLD2_REPORT);
    if !is_hosts && !rules.permits(Permissions::MULTICAST_ROUTER) {
        return Err(Reason::MulticastRouter);
    }
    if !below.is_unspecified {
        return Ok(());
    }
    let wrong = Err(Reason::Ipv6SourceUnspecified);
    if below.hop_limit != 1 || below.is_fragment || !has_alert(frame, packet, below) {
        return wrong;
    }
    let destination = ipv6::destination(frame, below.at).ok_or(Reason::FrameShort)?;
    let is_alone = packet.end - packet.start == MLD;
    let may = match kind {
        MLD_REPORT => is_alone && frame.words::<4, 16>(packet.start + 8) == Some(destination),
        MLD_DONE => is_alone && destination == ROUTERS6,
        MLD2_REPORT => destination == REPORTS6,
        // A router has an address of its own.
        _ => false,
    };
    if may { Ok(()) } else { wrong }
}

/// Whether there is nothing before the message but a hop-by-hop header with a router alert, in either of the two places
/// that alignment leaves it.
#[inline(always)]
fn has_alert<B: Bytes + ?Sized>(frame: &B, packet: Span, below: Below) -> bool {
    let start = below.at + ipv6::HEADER;
    let first = frame.load::<1>(below.at + 6);
    if packet.start != start + HOP_BY_HOP || first != Some([ipv6::HOP_BY_HOP]) {
        return false;
    }
    let Some([next, _, a, b, c, d, e, f]) = frame.load::<8>(start) else { return false };
    next == protocol::ICMPV6 && ([a, b, c, d] == ROUTER_ALERT || [c, d, e, f] == ROUTER_ALERT)
}
