//! Where a packet goes, and what it shows of what it carries: what an egress policy judges by.
//!
//! Judged is every IPv4 and IPv6 packet that a port sends, by its destination address, whichever MAC address the frame is
//! for: a router may be there, the host receives broadcasts too, and a bridge hands its host what is sent to the MAC address of
//! any of its ports. What carries neither (ARP, other EtherTypes) goes to no other network, and is the guard's business.
//!
//! A packet that says that it goes elsewhere than its header says (source routes, IPv6 routing headers) is refused, and so
//! is one whose headers cannot be followed to their end: its receiver may see another destination.
//!
//! A translator makes IPv4 of what is sent to `64:ff9b::/96`, so the verdict is that of the IPv4 address in it.

mod rule;

use super::fragment::{MORE, OFFSET};
use super::{Facts, Span, Steps, ethernet, icmp, ipv6, protocol};

pub use rule::{EgressList, EgressPrefix, EgressRule, NoEgressList, NoEgressRule};

const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST6: u8 = 128;
const ECHO_REPLY6: u8 = 129;
const SYN: u8 = 1 << 1;
const ACK: u8 = 1 << 4;
/// The third word of an IPv4-mapped address, as it lies in memory.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xFF, 0xFF]);
/// The first word of the addresses of a translator (RFC 6052); the two after it are zero.
const TRANSLATED: u32 = u32::from_ne_bytes([0, 0x64, 0xFF, 0x9B]);

/// A packet, as far as an egress policy looks at it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressPacket {
    /// Whether it is IPv6.
    pub is_v6: bool,
    /// The transport protocol's number.
    pub protocol: u8,
    /// Whether it is the middle or the end of a packet, which has no transport header.
    pub is_later: bool,
    /// Whether it may go elsewhere than to its destination address.
    pub is_misleading: bool,
    /// The source address, IPv4 as the IPv6 address that it is mapped to.
    pub source: [u32; 4],
    /// The destination address, as above.
    pub destination: [u32; 4],
    /// The ports of TCP, UDP and SCTP, source first; of ICMP the identifier of an echo, and the type.
    pub ports: [u16; 2],
    /// Whether it shows them.
    pub has_ports: bool,
    /// Where its transport header begins.
    pub at: u32,
}

impl EgressPacket {
    /// Reads a frame; `None` if it is neither IPv4 nor IPv6.
    #[inline(always)]
    pub fn read<B: Steps + ?Sized>(frame: &B, facts: Facts) -> Option<Self> {
        if let Some(packet) = Self::plain(frame) {
            return Some(packet);
        }
        let (ether_type, at) = ethernet::payload_of(frame, facts.has_tag)?;
        let packet = match ether_type {
            ethernet::IPV4 => Self::v4(frame, at),
            ethernet::IPV6 => Self::v6(frame, at, facts),
            // More of them than are followed.
            tag if ethernet::is_tag(tag) => None,
            _ => return None,
        };
        // One that ends before its header does.
        Some(packet.unwrap_or(Self::nowhere(ether_type == ethernet::IPV6)))
    }

    /// The commonest packet, read at once: IPv4 without tags and options, whole, and of TCP or UDP.
    #[inline(always)]
    fn plain<B: Steps + ?Sized>(frame: &B) -> Option<Self> {
        const AT: u32 = 34;
        let words = frame.words::<10, 38>(0)?.map(u32::to_ne_bytes);
        let [_, _, _, [t0, t1, version, _], _, [f0, f1, _, protocol], ip @ ..] = words;
        let [[_, _, a0, a1], [a2, a3, b0, b1], [b2, b3, p0, p1], [q0, q1, _, _]] = ip;
        let is_whole = u16::from_be_bytes([f0, f1]) & (OFFSET | MORE) == 0;
        if [t0, t1, version] != [0x08, 0x00, 0x45]
            || !is_whole
            || !matches!(protocol, protocol::TCP | protocol::UDP)
        {
            return None;
        }
        Some(Self {
            protocol,
            is_misleading: false,
            source: mapped(u32::from_ne_bytes([a0, a1, a2, a3])),
            destination: mapped(u32::from_ne_bytes([b0, b1, b2, b3])),
            ports: [u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1])],
            has_ports: true,
            at: AT,
            ..Self::nowhere(false)
        })
    }

    #[inline(always)]
    const fn nowhere(is_v6: bool) -> Self {
        let (source, destination) = ([0; 4], [0; 4]);
        let (is_later, is_misleading, has_ports) = (false, true, false);
        Self {
            is_v6,
            protocol: 0,
            is_later,
            is_misleading,
            source,
            destination,
            ports: [0; 2],
            has_ports,
            at: 0,
        }
    }

    #[inline(always)]
    fn v4<B: Steps + ?Sized>(frame: &B, at: u32) -> Option<Self> {
        let [first, fragment, lifetime, source, destination] = frame.words::<5, 20>(at)?;
        let [first, ..] = first.to_ne_bytes();
        let [_, _, f0, f1] = fragment.to_ne_bytes();
        let [_, protocol, ..] = lifetime.to_ne_bytes();
        let header = u32::from(first & 0xF) * 4;
        let options = Span { start: at + 20, end: at + header };
        let is_misleading = header < 20 || (header > 20 && frame.ipv4_options(options).wrong.is_some());
        let packet = Self {
            protocol,
            is_later: u16::from_be_bytes([f0, f1]) & OFFSET != 0,
            is_misleading,
            source: mapped(source),
            destination: mapped(destination),
            at: at + header,
            ..Self::nowhere(false)
        };
        Some(packet.with_ports(frame))
    }

    #[inline(always)]
    fn v6<B: Steps + ?Sized>(frame: &B, at: u32, facts: Facts) -> Option<Self> {
        let header = frame.words::<10, 40>(at)?;
        let [_, lengths, s0, s1, s2, s3, d0, d1, d2, d3] = header;
        let [_, _, next, _] = lengths.to_ne_bytes();
        let destination = [d0, d1, d2, d3];
        let (protocol, start, is_later, is_misleading) = if ipv6::is_extension(next) {
            let payload = Span { start: at + ipv6::HEADER, end: facts.length };
            match frame.extensions(payload, next) {
                Ok(found) => {
                    let is_later = found.fragment.is_some_and(|field| field & OFFSET != 0);
                    (found.protocol, found.at, is_later, found.is_routed)
                }
                Err(_) => (next, payload.start, false, true),
            }
        } else {
            (next, at + ipv6::HEADER, false, false)
        };
        let is_translated = is_translated(destination) && protocol == protocol::ICMPV6;
        let packet = Self {
            protocol: if is_translated { protocol::ICMP } else { protocol },
            is_later,
            is_misleading,
            source: plain([s0, s1, s2, s3]),
            destination: plain(destination),
            at: start,
            ..Self::nowhere(true)
        };
        Some(packet.with_ports(frame))
    }

    /// With what the transport header shows.
    #[inline(always)]
    fn with_ports<B: Steps + ?Sized>(mut self, frame: &B) -> Self {
        if self.is_later || self.is_misleading {
            return self;
        }
        match self.protocol {
            // SCTP's header begins with two ports, too.
            protocol::TCP | protocol::UDP | protocol::SCTP => {
                if let Some([word]) = frame.words::<1, 4>(self.at) {
                    let [a, b, c, d] = word.to_ne_bytes();
                    (self.has_ports, self.ports) =
                        (true, [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
                }
            }
            protocol::ICMP | protocol::ICMPV6 => {
                if let Some([first, second]) = frame.words::<2, 8>(self.at) {
                    let ([kind, ..], [a, b, ..]) = (first.to_ne_bytes(), second.to_ne_bytes());
                    (self.has_ports, self.ports) = (true, [u16::from_be_bytes([a, b]), u16::from(kind)]);
                }
            }
            _ => {}
        }
        self
    }

    /// The port that it goes to, or the type of a message of ICMP; `None` if it shows none.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        let [_, to] = self.ports;
        if self.has_ports { Some(to) } else { None }
    }

    /// Where an answer to it would go: the protocol and, unless that depends on who answers, the port.
    #[inline(always)]
    #[must_use]
    pub const fn answer(&self) -> (u8, Option<u16>) {
        let [from, kind] = self.ports;
        let port = match (self.protocol, kind as u8) {
            (protocol::ICMP, _) => Some(ECHO_REPLY as u16),
            (protocol::ICMPV6, _) => Some(ECHO_REPLY6 as u16),
            _ => Some(from),
        };
        (self.protocol, port)
    }

    /// What it begins with the port that it goes to, if it begins something: a TCP connection, a datagram of UDP (each of
    /// them, since nothing shows which is the first), an echo request.
    #[inline(always)]
    pub fn opens<B: Steps + ?Sized>(&self, frame: &B) -> Option<([u16; 2], u32)> {
        use super::layout::{DATAGRAM_TIME, STREAM_TIME};

        if !self.has_ports {
            return None;
        }
        let [from, to] = self.ports;
        match self.protocol {
            protocol::TCP if self.is_opener(frame) => Some(([from, to], STREAM_TIME)),
            protocol::UDP => Some(([from, to], DATAGRAM_TIME)),
            protocol::ICMP if to as u8 == ECHO_REQUEST => Some(([from, 0], DATAGRAM_TIME)),
            protocol::ICMPV6 if to as u8 == ECHO_REQUEST6 => Some(([from, 0], DATAGRAM_TIME)),
            _ => None,
        }
    }

    /// Whether it asks a group, or all hosts of a network, by UDP. What of those are in a network that is longer than /24,
    /// and not in a frame to a group, it does not show.
    #[inline(always)]
    pub fn asks_many<B: Steps + ?Sized>(&self, frame: &B) -> bool {
        const GROUPS6: u8 = 0xFF;
        if self.protocol != protocol::UDP || !self.has_ports {
            return false;
        }
        let [first, second, third, fourth] = self.destination;
        let ([leading, ..], [top, .., last]) = (first.to_ne_bytes(), fourth.to_ne_bytes());
        if frame.load::<1>(0).is_none_or(|[mac]| mac & 1 != 0) || leading == GROUPS6 {
            return true;
        }
        first | second == 0 && third == MAPPED && (top >> 4 == 0xE || last == 0xFF)
    }

    /// Whether a TCP segment asks for a connection. One whose flags cannot be read does.
    #[inline(always)]
    fn is_opener<B: Steps + ?Sized>(&self, frame: &B) -> bool {
        let flags = frame.load::<1>(self.at + 13).map_or(SYN, |[flags]| flags);
        flags & (SYN | ACK) == SYN
    }

    /// What it may be an answer in, if it may be one: the protocol, and the ports with the peer's first. Of an ICMP error, that
    /// is what the error is about; of a later fragment, anything of its protocol.
    #[inline(always)]
    pub fn answers<B: Steps + ?Sized>(&self, frame: &B) -> Option<(u8, [u16; 2])> {
        if self.is_misleading {
            return None;
        }
        if self.is_later {
            return Some((self.protocol, [0; 2]));
        }
        if !self.has_ports {
            return None;
        }
        let [from, to] = self.ports;
        let begun = match (self.protocol, to as u8) {
            (protocol::TCP, _) if self.is_opener(frame) => None,
            (protocol::TCP | protocol::UDP, _) => Some((self.protocol, [to, from])),
            (protocol::ICMP, ECHO_REPLY) | (protocol::ICMPV6, ECHO_REPLY6) => {
                Some((self.protocol, [from, 0]))
            }
            (protocol::ICMP | protocol::ICMPV6, kind) if icmp::is_answer(self.is_v6, kind) => {
                self.is_about(frame)
            }
            _ => None,
        };
        // By these, later fragments are answers.
        begun.filter(|(_, ports)| *ports != [0; 2])
    }

    /// The packet of TCP or UDP that an ICMP error is about, if its destination sent that.
    #[inline(always)]
    fn is_about<B: Steps + ?Sized>(&self, frame: &B) -> Option<(u8, [u16; 2])> {
        let at = self.at + 8;
        let (protocol, source, start) = if self.is_v6 {
            let [_, lengths, a, b, c, d] = frame.words::<6, 24>(at)?;
            let [_, _, next, _] = lengths.to_ne_bytes();
            (next, plain([a, b, c, d]), at + 40)
        } else {
            let [first, fragment, lifetime, source] = frame.words::<4, 16>(at)?;
            let ([first, ..], [_, _, f0, f1]) = (first.to_ne_bytes(), fragment.to_ne_bytes());
            let [_, protocol, ..] = lifetime.to_ne_bytes();
            if u16::from_be_bytes([f0, f1]) & OFFSET != 0 {
                return None;
            }
            (protocol, mapped(source), at + u32::from(first & 0xF) * 4)
        };
        if source != self.destination || !matches!(protocol, protocol::TCP | protocol::UDP) {
            return None;
        }
        let [a, b, c, d] = frame.word(start)?.to_ne_bytes();
        Some((protocol, [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]))
    }
}

/// The IPv6 address that an IPv4 address is mapped to, both as they lie in memory.
#[inline(always)]
const fn mapped(address: u32) -> [u32; 4] {
    [0, 0, MAPPED, address]
}

#[inline(always)]
const fn is_translated([a, b, c, _]: [u32; 4]) -> bool {
    a == TRANSLATED && b | c == 0
}

/// An IPv6 address, or, if a translator makes an IPv4 address of it, that one, mapped.
#[inline(always)]
const fn plain(address: [u32; 4]) -> [u32; 4] {
    let [.., last] = address;
    if is_translated(address) { mapped(last) } else { address }
}

#[cfg(test)]
mod tests;
