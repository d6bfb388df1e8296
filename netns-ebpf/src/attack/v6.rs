//! The part of the table that is IPv6.

use std::net::Ipv6Addr;

use super::cases::{CaseTable, Forwarded};
use super::frame::{PAYLOAD, ethernet, extension, icmpv6, ipv6, link_layer, solicited, tcp, udp};
use crate::packet::Reason;

const IPV6: u16 = 0x86DD;
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
/// An option that fills six bytes.
const PAD: [u8; 6] = [1, 4, 0, 0, 0, 0];

/// An address that is not the party's, and nobody else's.
pub(super) fn foreign(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(address) ^ 1 << 63)
}

impl CaseTable {
    pub(super) fn ipv6(&mut self) {
        let datagram = udp(1000, 2000, PAYLOAD);
        let honest = self.ipv6_frame(UDP, 64, &datagram);
        let short = honest[..53].to_vec();
        self.add(Reason::FrameShort, "39 of 40 bytes of IPv6", short, honest.clone()).forwarded =
            Forwarded::UnlessFiltered;
        self.spoil(Reason::Ipv6Version, "4", &honest, 14, &[0x40]);
        let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
        self.spoil(Reason::Ipv6PayloadLength, "a byte more", &honest, 18, &(length + 1).to_be_bytes());
        self.spoil(Reason::Ipv6HopLimit, "0", &honest, 21, &[0]);
        for (what, address) in
            [("multicast", "ff02::1"), ("loopback", "::1"), ("IPv4-mapped", "::ffff:10.0.0.1")]
        {
            let address = address.parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
            self.spoil(Reason::Ipv6SourceInvalid, what, &honest, 22, &address.octets());
        }
        let (own, other) = (self.from.v6, foreign(self.from.v6));
        self.spoil(Reason::Ipv6SourceForeign, "one bit", &honest, 22, &other.octets());
        self.spoil(Reason::Ipv6SourceUnspecified, "UDP", &honest, 22, &[0; 16]);
        let echo = self.ipv6_frame(ICMPV6, 64, &icmpv6(128, &[0, 1, 0, 1]));
        self.spoil(Reason::Ipv6SourceUnspecified, "an echo request", &echo, 22, &[0; 16]);
        self.spoil(Reason::Ipv6Land, "to oneself", &honest, 38, &own.octets());
    }

    pub(super) fn ipv6_extensions(&mut self) {
        let datagram = udp(1000, 2000, PAYLOAD);
        let chain = |table: &Self, headers: &[(u8, [u8; 6])], last: u8, payload: &[u8]| {
            let nexts = headers.iter().skip(1).map(|header| header.0).chain([last]);
            let mut bytes: Vec<u8> =
                headers.iter().zip(nexts).flat_map(|(header, next)| extension(next, header.1)).collect();
            bytes.extend(payload);
            table.ipv6_frame(headers[0].0, 64, &bytes)
        };
        let udp_behind = |table: &Self, headers: &[(u8, [u8; 6])]| chain(table, headers, UDP, &datagram);

        let [hop, destination] = [(HOP_BY_HOP, PAD), (DESTINATION, PAD)];
        let near = udp_behind(self, &[hop, destination]);
        self.add(Reason::Ipv6HopByHop, "second", udp_behind(self, &[destination, hop]), near);
        let near = udp_behind(self, &[(ROUTING, [2, 0, 0, 0, 0, 0])]);
        self.add(Reason::Ipv6Routing, "type 0", udp_behind(self, &[(ROUTING, [0; 6])]), near);
        let near = udp_behind(self, &[destination; 6]);
        self.add(Reason::Ipv6TooMany, "seven", udp_behind(self, &[destination; 7]), near);
        let near = udp_behind(self, &[destination]);
        let mut frame = near.clone();
        frame[55] = 255;
        self.add(Reason::Ipv6Truncated, "longer than the packet", frame, near.clone());
        let frame = self.ipv6_frame(DESTINATION, 64, &[UDP, 0, 1, 2, 0, 0, 1]);
        self.add(Reason::Ipv6Truncated, "cut off", frame, near.clone());
        let frame = self.ipv6_frame(AUTHENTICATION, 64, &[&[UDP, 4][..], &[0; 14]].concat());
        let near = self.ipv6_frame(AUTHENTICATION, 64, &[&[UDP, 2][..], &[0; 14], &datagram[..]].concat());
        self.add(Reason::Ipv6Truncated, "authentication", frame, near);

        let part = |table: &Self, offset: u16, more: bool, last: u8, payload: &[u8]| {
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            chain(table, &[(FRAGMENT, [high, low, 0, 0, 0x17, 0x17])], last, payload)
        };
        let segment = tcp(0x10, PAYLOAD);
        let first = part(self, 0, true, TCP, &segment[..24]);
        self.add(Reason::Ipv6Fragment, "tiny, TCP", part(self, 0, true, TCP, &segment[..16]), first.clone());
        let last = part(self, 3, false, TCP, &segment[24..]);
        self.add(Reason::Ipv6Fragment, "into the TCP header", part(self, 1, false, TCP, &segment[8..]), last);
        self.add(
            Reason::Ipv6Fragment,
            "not a multiple of 8",
            part(self, 0, true, TCP, &segment[..25]),
            first,
        );
        let end = |table: &Self, length| part(table, 8191, false, UDP, &datagram[..length]);
        self.add(Reason::Ipv6Fragment, "beyond 65,535", end(self, 8), end(self, 7));
        let hidden = |table: &Self, length| {
            part(table, 0, true, DESTINATION, &[&extension(UDP, PAD)[..], &datagram[..length]].concat())
        };
        self.add(
            Reason::Ipv6Fragment,
            "without the header behind the options",
            hidden(self, 0),
            hidden(self, 8),
        );
        let solicit = icmpv6(135, &[&[0; 4][..], &self.to.v6.octets()].concat());
        let near = ethernet(
            self.from.mac,
            self.to.mac,
            IPV6,
            &ipv6(self.from.v6, self.to.v6, ICMPV6, 255, &solicit),
        );
        let frame = chain(self, &[(FRAGMENT, [0, 0, 0, 0, 0x17, 0x17])], ICMPV6, &solicit);
        self.add(Reason::Ipv6Fragment, "neighbour discovery", frame, near);
        self.add(
            Reason::IcmpHeader,
            "ICMPv6, cut off",
            self.ipv6_frame(ICMPV6, 64, &[128, 0, 0]),
            self.ipv6_frame(ICMPV6, 64, &[128, 0, 0, 0]),
        );
    }

    pub(super) fn discovery(&mut self) {
        let (own, mac, other) = (self.from.v6, self.from.mac, self.to.mac);
        let target = self.to.v6.octets();
        let message = |table: &Self, hops, kind, body: &[&[u8]]| {
            table.ipv6_frame(ICMPV6, hops, &icmpv6(kind, &[&[&[0; 4][..]], body].concat().concat()))
        };
        // Solicitations, with an option before the one that matters.
        let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
        let solicit =
            |table: &Self, options: &[&[u8]]| message(table, 255, 135, &[&[&target[..]], options].concat());
        let honest = solicit(self, &[&nonce, &link_layer(1, mac)]);
        let nd = Reason::NdMalformed;
        self.add(nd, "cut off", message(self, 255, 135, &[&target[..15]]), solicit(self, &[]));
        self.add(
            nd,
            "option of length 0",
            solicit(self, &[&[14, 0, 0, 0, 0, 0, 0, 0]]),
            solicit(self, &[&nonce]),
        );
        self.add(nd, "option cut off", solicit(self, &[&nonce[..7]]), solicit(self, &[&nonce]));
        self.add(
            nd,
            "option beyond the end",
            solicit(self, &[&[14, 2, 0, 0, 0, 0, 0, 0]]),
            solicit(self, &[&nonce]),
        );
        self.spoil(nd, "code 1", &honest, 55, &[1]);
        let many = |table: &Self, count: usize| solicit(table, &vec![&nonce[..]; count]);
        self.add(nd, "33 options", many(self, 33), many(self, 32));
        self.spoil(Reason::NdHopLimit, "254", &honest, 21, &[254]);
        let link = Reason::NdLinkLayer;
        self.add(
            link,
            "source",
            solicit(self, &[&link_layer(1, other)]),
            solicit(self, &[&link_layer(1, mac)]),
        );
        self.add(link, "source, behind a nonce", solicit(self, &[&nonce, &link_layer(1, other)]), honest);
        let routers = |table: &Self, mac| message(table, 255, 133, &[&link_layer(1, mac)]);
        self.add(link, "router solicitation", routers(self, other), routers(self, mac));
        let advertise = |table: &Self, target: Ipv6Addr, mac| {
            message(table, 255, 136, &[&target.octets(), &link_layer(2, mac)])
        };
        let honest = advertise(self, own, mac);
        self.add(link, "target", advertise(self, own, other), honest.clone());
        let far = icmpv6(136, &[&[0; 4][..], &own.octets(), &link_layer(2, other)].concat());
        let near = icmpv6(136, &[&[0; 4][..], &own.octets(), &link_layer(2, mac)].concat());
        let behind = |table: &Self, message: &[u8]| {
            table.ipv6_frame(HOP_BY_HOP, 255, &[&extension(ICMPV6, PAD)[..], message].concat())
        };
        self.add(link, "target, behind a hop-by-hop header", behind(self, &far), behind(self, &near));
        let other = foreign(own);
        self.add(Reason::NdTarget, "advertisement", advertise(self, other, mac), honest);
        let detect = |table: &Self, target: Ipv6Addr, options: &[u8]| {
            let message = icmpv6(135, &[&[0; 4][..], &target.octets(), options].concat());
            let packet = ipv6(Ipv6Addr::UNSPECIFIED, solicited(target), ICMPV6, 255, &message);
            ethernet(table.from.mac, table.to.mac, IPV6, &packet)
        };
        self.add(Reason::NdTarget, "duplicate detection", detect(self, other, &[]), detect(self, own, &[]));
        let with_mac = detect(self, own, &link_layer(1, mac));
        self.add(nd, "duplicate detection that gives a MAC address", with_mac, detect(self, own, &nonce));
        let near = message(self, 255, 133, &[]);
        let router = message(self, 255, 134, &[&[0; 8]]);
        self.add(Reason::NdRouter, "lifetime 0", router, near.clone());
        self.add(Reason::NdRedirect, "to another host", message(self, 255, 137, &[&target, &target]), near);
    }
}
