//! TCP and UDP headers, and which way a packet goes from there.

use super::header::{UDP_HEADER, header};
use super::{Below, Bytes, Permissions, Reason, Rules, Span, Steps, Verdict, checksum, dhcp, protocol};

#[inline(always)]
pub(super) fn judge<B: Steps + ?Sized>(
    frame: &B,
    payload: Span,
    number: u8,
    below: Below,
    rules: &Rules,
) -> Verdict {
    match number {
        protocol::TCP => tcp(frame, payload, below)?,
        protocol::UDP => return udp(frame, payload, below, rules),
        protocol::ICMP | protocol::IGMP if !below.is_v6 => {
            return frame.message(payload, number, below, rules);
        }
        protocol::ICMPV6 if below.is_v6 => return frame.message(payload, number, below, rules),
        protocol::PIM if !rules.permits(Permissions::MULTICAST_ROUTER) => {
            return Err(Reason::MulticastRouter);
        }
        _ => {}
    }
    if below.is_unspecified && !below.is_v6 { Err(Reason::Ipv4SourceInvalid) } else { Ok(()) }
}

/// The flags of a TCP header; `None` if it is none.
#[inline(always)]
pub(super) fn tcp_flags<B: Bytes + ?Sized>(frame: &B, payload: Span) -> Option<u8> {
    const HEADER: u32 = 20;
    if payload.start + HEADER > payload.end {
        return None;
    }
    let [word] = frame.words::<1, 4>(payload.start + 12)?;
    let [offset, flags, ..] = word.to_ne_bytes();
    let length = u32::from(offset >> 4) * 4;
    (length >= HEADER && payload.start + length <= payload.end).then_some(flags)
}

#[inline(always)]
fn tcp<B: Bytes + ?Sized>(frame: &B, payload: Span, below: Below) -> Verdict {
    let flags = tcp_flags(frame, payload).ok_or(Reason::TcpHeader)?;
    // Nothing carries its checksum in a stream.
    below.checksum_at.own_or_after(payload.start + checksum::IN_TCP, payload.end)?;
    if is_sent(flags) { Ok(()) } else { Err(Reason::TcpFlags) }
}

const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;
const URG: u8 = 1 << 5;

/// The combinations that occur, a bit for each: those that connection tracking takes ([`tcp_valid_flags`]).
///
/// [`tcp_valid_flags`]: https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nf_conntrack_proto_tcp.c
const SENT: u64 = 1 << SYN
    | 1 << (SYN | URG)
    | 1 << (SYN | ACK)
    | 1 << RST
    | 1 << (RST | ACK)
    | 1 << (FIN | ACK)
    | 1 << (FIN | ACK | URG)
    | 1 << ACK
    | 1 << (ACK | URG);

/// Whether stacks send this combination of flags; PSH, ECE and CWR go with any.
#[inline(always)]
pub(super) const fn is_sent(flags: u8) -> bool {
    SENT >> (flags & (FIN | SYN | RST | ACK | URG)) & 1 != 0
}

#[inline(always)]
fn udp<B: Steps + ?Sized>(frame: &B, payload: Span, below: Below, rules: &Rules) -> Verdict {
    let [[s0, s1, d0, d1], [l0, l1, _, _]] = header::<2, 8>(frame, payload).ok_or(Reason::UdpHeader)?;
    let length = u32::from(u16::from_be_bytes([l0, l1]));
    // The first of several fragments is shorter than the datagram; one that is longer than a length can say has none.
    let is_too_long = payload.start + length > payload.end && !below.is_fragment;
    if is_too_long || (length < UDP_HEADER && !(length == 0 && below.is_train)) {
        return Err(Reason::UdpHeader);
    }
    let own = payload.start + checksum::IN_UDP;
    below.checksum_at.own_or_after(own, payload.start + UDP_HEADER)?;
    let (from, to) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    if below.is_unspecified {
        // Of IPv4: `::` says nothing by UDP.
        let is_client = from == dhcp::CLIENT && to == dhcp::SERVER;
        if !is_client || !rules.permits(Permissions::DHCP_CLIENT) {
            return Err(Reason::Ipv4SourceInvalid);
        }
    }
    if to == dhcp::server(below.is_v6) {
        return frame.message(payload, protocol::UDP, below, rules);
    }
    dhcp::to_client([from, to], below, rules)
}
