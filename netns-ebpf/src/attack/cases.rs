//! The table.

use std::net::Ipv4Addr;

use super::frame::{Ipv4, PAYLOAD, Party, arp, checksum, dhcp, ethernet, ipv6, tcp, udp};
use crate::packet::Reason;

/// A frame that has a reason, and its nearest neighbour that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The reason.
    pub reason: Reason,
    /// What is wrong, where the reason has more than one case.
    pub what: &'static str,
    /// The frame.
    pub frame: Vec<u8>,
    /// The honest one.
    pub near: Vec<u8>,
    /// Whether a Linux bridge forwards the frame, if nobody else stops it.
    pub forwarded: Forwarded,
}

/// What the bridge itself looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It forwards the frame.
    Always,
    /// It does, unless it hands packets to netfilter, which looks at their headers first ([`br_validate_ipv4`] and
    /// `br_validate_ipv6`): sysctl `net.bridge.bridge-nf-call-iptables` and `bridge-nf-call-ip6tables`.
    ///
    /// [`br_validate_ipv4`]: https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_netfilter_hooks.c
    UnlessFiltered,
    /// It does not: [`br_handle_frame`] refuses source addresses that are nobody's.
    ///
    /// [`br_handle_frame`]: https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_input.c
    Never,
}

impl Forwarded {
    /// Of a packet whose header is not sound. What is wrong behind the header netfilter does not see.
    const fn of(reason: Reason) -> Self {
        match reason {
            Reason::SourceMacInvalid => Self::Never,
            Reason::Ipv4Version
            | Reason::Ipv4HeaderLength
            | Reason::Ipv4TotalLength
            | Reason::Ipv4Checksum
            | Reason::Ipv6Version
            | Reason::Ipv6PayloadLength => Self::UnlessFiltered,
            _ => Self::Always,
        }
    }
}

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86DD;
const BROADCAST: [u8; 6] = [0xFF; 6];
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ACK: u8 = 0x10;
/// The flag of a fragment that another follows.
const MORE: u16 = 0x2000;

/// Every case of frames from one party to another. The sender's rules have its three addresses, and permit what
/// [`Rules::new`](crate::packet::Rules::new) does and nothing else.
#[must_use]
pub fn cases(from: &Party, to: &Party) -> Vec<Case> {
    let mut table = CaseTable::new(from, to);
    table.ethernet();
    table.arp();
    table.ipv4();
    table.ipv4_payload();
    table.ipv6();
    table.ipv6_extensions();
    table.discovery();
    table.transport();
    table.claims();
    table.cases
}

/// Makes the IPv4 checksum of a frame right.
fn sum_up(frame: &mut [u8]) {
    let header = usize::from(frame[14] & 0xF) * 4;
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..14 + header]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

pub(super) struct CaseTable {
    pub(super) from: Party,
    pub(super) to: Party,
    cases: Vec<Case>,
}

impl CaseTable {
    pub(super) const fn new(from: &Party, to: &Party) -> Self {
        Self { from: *from, to: *to, cases: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        reason: Reason,
        what: &'static str,
        frame: Vec<u8>,
        near: Vec<u8>,
    ) -> &mut Case {
        let forwarded = Forwarded::of(reason);
        self.cases.push(Case { reason, what, frame, near, forwarded });
        let last = self.cases.len() - 1;
        &mut self.cases[last]
    }

    /// The same frame with bytes changed.
    pub(super) fn spoil(
        &mut self,
        reason: Reason,
        what: &'static str,
        near: &[u8],
        at: usize,
        bytes: &[u8],
    ) -> &mut Case {
        let mut frame = near.to_vec();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        self.add(reason, what, frame, near.to_vec())
    }

    /// The same, and the IPv4 checksum made right again.
    fn spoil_ipv4(&mut self, reason: Reason, what: &'static str, near: &[u8], at: usize, bytes: &[u8]) {
        sum_up(&mut self.spoil(reason, what, near, at, bytes).frame);
    }

    pub(super) fn ipv4_frame(&self, protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let header = Ipv4 { from: self.from.v4, to: self.to.v4, ttl: 64, protocol, fragment, options };
        ethernet(self.from.mac, self.to.mac, IPV4, &header.packet(payload))
    }

    pub(super) fn ipv6_frame(&self, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
        ethernet(self.from.mac, self.to.mac, IPV6, &ipv6(self.from.v6, self.to.v6, next, hops, payload))
    }

    fn ethernet(&mut self) {
        let udp = udp(1000, 2000, PAYLOAD);
        let honest = self.ipv4_frame(UDP, 0, &[], &udp);
        for (what, mac) in [("multicast", [3, 0, 0, 0, 0, 1]), ("zero", [0; 6])] {
            self.spoil(Reason::SourceMacInvalid, what, &honest, 6, &mac);
        }
        self.spoil(Reason::SourceMacForeign, "one bit", &honest, 11, &[honest[11] ^ 0x80]);
        // One that a bridge without STP forwards.
        let reserved = [1, 0x80, 0xC2, 0, 0, 0];
        let mut near = honest.clone();
        near[..6].copy_from_slice(&[1, 0x80, 0xC2, 0, 0, 0x10]);
        self.spoil(Reason::ReservedDestination, "STP", &near, 0, &reserved);
        let tag = |kind: [u8; 2]| [&honest[..12], &kind, &[0, 5], &honest[12..]].concat();
        self.add(Reason::VlanTag, "802.1Q", tag([0x81, 0]), honest.clone());
        self.add(Reason::VlanTag, "802.1ad", tag([0x88, 0xA8]), honest.clone());
        self.spoil(Reason::EtherType, "LLDP", &honest, 12, &[0x88, 0xCC]);
        self.spoil(Reason::EtherType, "a length, of 802.3", &honest, 12, &[0, 60]);
    }

    fn arp(&mut self) {
        let (mac, own, other) = (self.from.mac, self.from.v4, self.to.v4);
        let frame = |packet: &[u8]| ethernet(mac, BROADCAST, ARP, packet);
        let request = frame(&arp(1, (mac, own), ([0; 6], other)));
        let probe = frame(&arp(1, (mac, Ipv4Addr::UNSPECIFIED), ([0; 6], own)));
        self.add(Reason::FrameShort, "27 of 28 bytes of ARP", request[..41].to_vec(), request.clone());
        for (what, at, byte) in [
            ("hardware type", 15, 6),
            ("protocol type", 17, 1),
            ("hardware length", 18, 8),
            ("protocol length", 19, 16),
            ("RARP", 21, 3),
        ] {
            self.spoil(Reason::ArpMalformed, what, &request, at, &[byte]);
        }
        self.spoil(Reason::ArpSenderMac, "another's", &request, 22, &self.to.mac.clone());
        self.spoil(Reason::ArpSenderAddress, "another's", &request, 28, &foreign(own).octets());
        self.spoil(Reason::ArpSenderAddress, "none, in a reply", &probe, 21, &[2]);
        let announce = |address| frame(&arp(1, (mac, address), ([0; 6], address)));
        self.add(Reason::ArpAnnouncement, "another's", announce(foreign(own)), announce(own));
    }

    fn ipv4(&mut self) {
        let honest = self.ipv4_frame(UDP, 0, &[], &udp(1000, 2000, PAYLOAD));
        let own = self.from.v4.octets();
        let short = honest[..33].to_vec();
        self.add(Reason::FrameShort, "19 of 20 bytes of IPv4", short, honest.clone()).forwarded =
            Forwarded::UnlessFiltered;
        self.spoil_ipv4(Reason::Ipv4Version, "6", &honest, 14, &[0x65]);
        self.spoil(Reason::Ipv4HeaderLength, "16", &honest, 14, &[0x44]);
        let (from, to) = (self.from.v4, self.to.v4);
        let header = Ipv4 { from, to, ttl: 64, protocol: UDP, fragment: 0, options: &[] };
        let mut short = ethernet(self.from.mac, self.to.mac, IPV4, &header.packet(&[]));
        short[14] = 0x46;
        self.add(Reason::Ipv4HeaderLength, "more than the frame has", short, honest.clone());
        let length = u16::try_from(honest.len() - 14).unwrap_or(u16::MAX);
        self.spoil_ipv4(Reason::Ipv4TotalLength, "a byte more", &honest, 16, &(length + 1).to_be_bytes());
        self.spoil_ipv4(Reason::Ipv4TotalLength, "19", &honest, 16, &[0, 19]);
        self.spoil_ipv4(Reason::Ipv4TotalLength, "0, and no train of segments", &honest, 16, &[0, 0]);
        self.spoil(Reason::Ipv4Checksum, "one bit", &honest, 24, &[honest[24] ^ 1]);
        self.spoil_ipv4(Reason::Ipv4Ttl, "0", &honest, 22, &[0]);
        for (what, address) in [
            ("multicast", [224, 0, 0, 1]),
            ("broadcast", [255; 4]),
            ("loopback", [127, 0, 0, 1]),
            ("unspecified", [0; 4]),
            ("this network", [0, 0, 0, 1]),
            ("reserved", [240, 0, 0, 1]),
        ] {
            self.spoil_ipv4(Reason::Ipv4SourceInvalid, what, &honest, 26, &address);
        }
        self.spoil_ipv4(Reason::Ipv4SourceForeign, "the next", &honest, 26, &foreign(self.from.v4).octets());
        // On its last hop, or a receiver that forwards would send it back.
        let mut last_hop = honest;
        last_hop[22] = 1;
        sum_up(&mut last_hop);
        self.spoil_ipv4(Reason::Ipv4Land, "to oneself", &last_hop, 30, &own);
    }

    fn ipv4_payload(&mut self) {
        let udp = udp(1000, 2000, PAYLOAD);
        let with = |table: &Self, options: &[u8]| table.ipv4_frame(UDP, 0, options, &udp);
        // Router alert, and three that say nothing.
        let alert = with(self, &[148, 4, 0, 0]);
        self.add(Reason::Ipv4Options, "length 0", with(self, &[148, 0, 0, 0]), alert.clone());
        self.add(Reason::Ipv4Options, "length beyond the end", with(self, &[148, 5, 0, 0]), alert.clone());
        self.add(Reason::Ipv4Options, "no length", with(self, &[1, 1, 1, 148]), with(self, &[1, 1, 1, 0]));
        let late = |kind| {
            let mut options = [1; 40];
            options[36..].copy_from_slice(&[kind, 3, 4, 0]);
            options
        };
        let near = with(self, &late(7));
        self.add(Reason::Ipv4SourceRoute, "loose", with(self, &[131, 3, 4, 0]), alert.clone());
        self.add(Reason::Ipv4SourceRoute, "strict", with(self, &[137, 3, 4, 0]), alert);
        self.add(Reason::Ipv4SourceRoute, "behind 36 options", with(self, &late(131)), near);

        let [tcp, icmp] = [tcp(ACK, PAYLOAD), [&[8, 0, 0, 0][..], PAYLOAD].concat()];
        let part = |table: &Self, protocol, fragment, payload: &[u8]| {
            table.ipv4_frame(protocol, fragment, &[], payload)
        };
        let first = part(self, TCP, MORE, &tcp[..24]);
        self.add(Reason::Ipv4Fragment, "tiny, TCP", part(self, TCP, MORE, &tcp[..16]), first.clone());
        let last = part(self, TCP, 3, &tcp[24..]);
        self.add(Reason::Ipv4Fragment, "into the TCP header", part(self, TCP, 1, &tcp[8..]), last);
        self.add(Reason::Ipv4Fragment, "not a multiple of 8", part(self, TCP, MORE, &tcp[..25]), first);
        // 20 bytes of header, and 65,512 before it: three more fit.
        let end = |table: &Self, length| part(table, ICMP, 65_512 / 8, &icmp[..length]);
        self.add(Reason::Ipv4Fragment, "beyond 65,535", end(self, 4), end(self, 3));
    }

    fn transport(&mut self) {
        for (what, length) in [("cut off", 19), ("without flags", 13)] {
            let frame = self.ipv4_frame(TCP, 0, &[], &tcp(ACK, &[])[..length]);
            self.add(Reason::TcpHeader, what, frame, self.ipv4_frame(TCP, 0, &[], &tcp(ACK, &[])));
        }
        let honest = self.ipv4_frame(TCP, 0, &[], &tcp(ACK, PAYLOAD));
        self.spoil(Reason::TcpHeader, "16 bytes", &honest, 46, &[0x40]);
        let bare = self.ipv4_frame(TCP, 0, &[], &tcp(ACK, &[]));
        self.spoil(Reason::TcpHeader, "longer than the packet", &bare, 46, &[0x60]);
        for (what, flags, near) in [
            ("none", 0, ACK),
            ("SYN and FIN", 3, 2),
            ("SYN and RST", 6, 4),
            ("Xmas: FIN, PSH, URG", 0x29, 0x39),
            ("FIN alone", 1, 0x11),
            ("all", 0x3F, ACK),
        ] {
            let near = self.ipv4_frame(TCP, 0, &[], &tcp(near, PAYLOAD));
            self.spoil(Reason::TcpFlags, what, &near, 47, &[flags]);
        }
        let datagram = self.ipv4_frame(UDP, 0, &[], &udp(1000, 2000, &[]));
        let cut = self.ipv4_frame(UDP, 0, &[], &udp(1000, 2000, &[])[..7]);
        self.add(Reason::UdpHeader, "cut off", cut, datagram.clone());
        self.spoil(Reason::UdpHeader, "length 7", &datagram, 38, &[0, 7]);
        self.spoil(Reason::UdpHeader, "longer than the packet", &datagram, 38, &[0, 9]);
        self.spoil(Reason::UdpHeader, "length 0", &datagram, 38, &[0, 0]);
        let echo = [8, 0, 0, 0, 0, 1, 0, 1];
        let near = self.ipv4_frame(ICMP, 0, &[], &echo);
        self.add(Reason::IcmpHeader, "cut off", self.ipv4_frame(ICMP, 0, &[], &echo[..7]), near);
        for (what, from, to) in [("to a client", 67, 68), ("from a server's port", 67, 2000)] {
            let none = [Ipv4Addr::UNSPECIFIED; 2];
            // An offer, and a discovery.
            let [offer, discover] = [2, 1].map(|kind| dhcp(kind, self.from.mac, none, &[53, 1, kind]));
            let frame = self.ipv4_frame(UDP, 0, &[], &udp(from, to, &offer));
            let near = self.ipv4_frame(UDP, 0, &[], &udp(68, 67, &discover));
            self.add(Reason::DhcpServer, what, frame, near);
            let [advertise, solicit] = [2, 1].map(|kind| [&[kind][..], PAYLOAD].concat());
            let to = if to == 68 { 546 } else { to };
            let frame = self.ipv6_frame(UDP, 64, &udp(from + 480, to, &advertise));
            let near = self.ipv6_frame(UDP, 64, &udp(546, 547, &solicit));
            self.add(Reason::Dhcpv6Server, what, frame, near);
        }
    }
}

/// An address that is not the party's, and nobody else's.
pub(super) fn foreign(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(address) ^ 0x40)
}
