//! Frames, put together byte by byte: whole ones, of which a case then spoils a byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netns_core::MacAddress;

use crate::packet::Rules;

/// What a frame carries at its end.
pub(super) const PAYLOAD: &[u8] = b"netns-ebpf attack: a frame that no honest host sends";

/// A message of the spanning tree protocol from one who says to be the best root that there can be, with this MAC address:
/// of two, the lower is the better. ([IEEE 802.1D](https://standards.ieee.org/ieee/802.1D/3387/), 9.3.1.)
#[must_use]
pub fn bpdu(mac: [u8; 6]) -> Vec<u8> {
    let bridge = [&[0, 0][..], &mac].concat();
    // Version 0, a configuration message without flags.
    let message = [&[0x42, 0x42, 3, 0, 0, 0, 0, 0][..], &bridge, &[0; 4], &bridge, &[0x80, 1]].concat();
    // The message's age, and in seconds its greatest, how often one is sent, and how long ports wait.
    let times = [0, 0, 20, 0, 2, 0, 15, 0];
    let mut frame = [&[1, 0x80, 0xC2, 0, 0, 0][..], &mac, &[0, 38], &message, &times].concat();
    frame.resize(60, 0);
    frame
}

/// Who sends a frame, and who is to receive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl Party {
    /// The host of this number, from 1, in a network that is nowhere, for trying frames without one: the first has
    /// 02:00:00:00:00:01, 10.1.1.1 and `fd00::1`.
    #[must_use]
    pub const fn numbered(number: u8) -> Self {
        Self {
            mac: [2, 0, 0, 0, 0, number],
            v4: Ipv4Addr::new(10, 1, 1, number),
            v6: Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, number as u16),
        }
    }

    /// One with these addresses, the last of each family. Without an IPv6 address it has the link-local one that is made
    /// of its MAC address.
    #[must_use]
    pub fn new(MacAddress(mac): MacAddress, addresses: &[IpAddr]) -> Self {
        let mut party = Self { mac, v4: Ipv4Addr::UNSPECIFIED, v6: Rules::new(mac).link_local() };
        for &address in addresses {
            match address {
                IpAddr::V4(address) => party.v4 = address,
                IpAddr::V6(address) => party.v6 = address,
            }
        }
        party
    }
}

/// An Ethernet frame.
pub(super) fn ethernet(from: [u8; 6], to: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), payload].concat()
}

/// An ARP packet of Ethernet and IPv4.
pub(super) fn arp(operation: u8, sender: ([u8; 6], Ipv4Addr), target: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &sender.0, &sender.1.octets(), &target.0, &target.1.octets()].concat()
}

/// An IPv4 header's fields that cases differ in.
#[derive(Clone, Copy)]
pub(super) struct Ipv4<'a> {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    /// Flags and offset.
    pub(super) fragment: u16,
    pub(super) options: &'a [u8],
}

impl Ipv4<'_> {
    /// The packet, with its checksum.
    pub(super) fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = (header + payload.len()) as u16;
        let mut packet = vec![0x40 | (header / 4) as u8, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0x17, 0x17]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([self.ttl, self.protocol, 0, 0]);
        packet.extend(self.from.octets());
        packet.extend(self.to.octets());
        packet.extend(self.options);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

/// An IPv6 packet. `next` is what the payload begins with.
pub(super) fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hops]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// An extension header of eight bytes.
pub(super) fn extension(next: u8, rest: [u8; 6]) -> Vec<u8> {
    [&[next, 0][..], &rest].concat()
}

/// A UDP datagram; its checksum is left out, which IPv4 allows and nobody here looks at.
pub(super) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// A TCP segment without options.
pub(super) fn tcp(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..4].copy_from_slice(&[0xC0, 0, 0, 9]);
    segment[12] = 5 << 4;
    segment[13] = flags;
    segment.extend(payload);
    segment
}

/// An ICMPv6 message, whose checksum is as in [`udp`].
pub(super) fn icmpv6(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], body].concat()
}

/// A neighbour discovery option with a MAC address.
pub(super) fn link_layer(kind: u8, mac: [u8; 6]) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// A DHCP message of this MAC address: the operation, who says it has which address, by which relay, and options.
pub(super) fn dhcp(operation: u8, mac: [u8; 6], [own, relay]: [Ipv4Addr; 2], options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..8].copy_from_slice(&[operation, 1, 6, 0, 0x17, 0x17, 0x17, 0x17]);
    message[12..16].copy_from_slice(&own.octets());
    message[24..28].copy_from_slice(&relay.octets());
    message[28..34].copy_from_slice(&mac);
    message.extend([99, 130, 83, 99]);
    message.extend(options);
    message.push(255);
    // BOOTP has 300 bytes at least (RFC 1542, 2.1).
    message.resize(message.len().max(300), 0);
    message
}

/// The group to which questions about an address go (RFC 4291, 2.7.1).
pub(super) fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, a, b, c])
}

/// The Internet checksum.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    !(sum as u16)
}
