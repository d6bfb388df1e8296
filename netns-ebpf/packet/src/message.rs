//! The messages that a network is managed by: each is a claim that others act upon.

use super::{Below, Rules, Span, Steps, Verdict, checksum, dhcp, icmp, multicast, neighbour, protocol};

/// Judges a message of the protocol with this number: ICMP, ICMPv6, IGMP, or a datagram to a DHCP server's port.
///
/// # Errors
/// The reason why the port may not send it.
#[inline(always)]
pub fn judge<B: Steps + ?Sized>(
    frame: &B,
    payload: Span,
    number: u8,
    below: Below,
    rules: &Rules,
) -> Verdict {
    let own = if number == protocol::UDP { checksum::IN_UDP } else { checksum::IN_MESSAGE };
    below.checksum_at.own_or_after(payload.start + own, payload.end)?;
    match number {
        protocol::ICMP => icmp::judge(frame, payload, below, rules),
        protocol::ICMPV6 => neighbour::judge(frame, payload, below, rules),
        protocol::IGMP => multicast::igmp(frame, payload, below, rules),
        protocol::UDP => dhcp::to_server(frame, payload, below, rules),
        _ => Ok(()),
    }
}
