//! Frames to destinations that an egress policy refuses unless it says otherwise, by ways that could hide them, and honest
//! ones that are like them. Their senders may send all of them, were it not for the destination.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::frame::{Ipv4, PAYLOAD, Party, arp, ethernet, extension, icmpv6, ipv6, link_layer, udp};

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
const ICMPV6: u8 = 58;

/// Destinations of IPv4, and whether they are allowed.
const IPV4_DESTINATIONS: [(&str, [u8; 4], bool); 24] = [
    ("the internet", [203, 0, 113, 9], true),
    ("a neighbour", [10, 1, 1, 2], true),
    ("metadata", [169, 254, 169, 254], false),
    ("metadata of ECS", [169, 254, 170, 2], false),
    ("metadata of Azure", [168, 63, 129, 16], false),
    ("metadata of Alibaba", [100, 100, 100, 200], false),
    ("loopback", [127, 0, 0, 1], false),
    ("0.0.0.0, which Linux takes for itself", [0; 4], false),
    ("link-local", [169, 254, 1, 1], false),
    ("private, 10/8", [10, 1, 2, 1], false),
    ("private, 172.16/12", [172, 31, 255, 255], false),
    ("beyond 172.16/12", [172, 32, 0, 0], true),
    ("private, 192.168/16", [192, 168, 0, 1], false),
    ("shared", [100, 127, 255, 255], false),
    ("beyond the shared addresses", [100, 128, 0, 0], true),
    ("a group of this link", [224, 0, 0, 251], true),
    ("a group that routers pass on", [239, 1, 1, 1], false),
    ("everybody", [255; 4], true),
    ("a relay of 6to4", [192, 88, 99, 1], false),
    ("reserved", [240, 0, 0, 1], false),
    ("reserved, the last one before everybody", [255, 255, 255, 254], false),
    ("for benchmarks", [198, 19, 255, 255], false),
    ("beyond those for benchmarks", [198, 20, 0, 0], true),
    ("for protocols", [192, 0, 0, 8], false),
];

/// Destinations of IPv6, as above.
const IPV6_DESTINATIONS: [(&str, &str, bool); 29] = [
    ("the internet, IPv6", "2001:db8::9", true),
    ("a neighbour, IPv6", "fd00::2", true),
    ("metadata of AWS, IPv6", "fd00:ec2::254", false),
    ("metadata of Google, IPv6", "fd20:ce::254", false),
    ("loopback, IPv6", "::1", false),
    ("nobody", "::", false),
    ("an IPv4-compatible address", "::169.254.169.254", false),
    ("private, IPv6", "fdff::1", false),
    ("link-local, IPv6", "fe80::2", false),
    ("site-local", "fec0::1", false),
    ("a group of this link, IPv6", "ff02::1", true),
    ("a group of a site", "ff05::1", false),
    ("metadata, mapped", "::ffff:169.254.169.254", false),
    ("the internet, mapped", "::ffff:203.0.113.9", true),
    ("metadata, by NAT64", "64:ff9b::169.254.169.254", false),
    ("private, by NAT64", "64:ff9b::10.0.0.1", false),
    ("the internet, by NAT64", "64:ff9b::203.0.113.9", true),
    ("a local translator", "64:ff9b:1::203.0.113.9", false),
    ("6to4", "2002:a9fe:a9fe::1", false),
    ("Teredo", "2001:0:a9fe:a9fe::1", false),
    ("metadata, as some translators write it", "::ffff:0:169.254.169.254", false),
    ("what is discarded", "100::1", false),
    ("before the IPv6 internet", "1fff::1", false),
    ("the last of the IPv6 internet", "3fff:f000::1", true),
    ("beyond the IPv6 internet", "4000::1", false),
    ("segments", "5f00::1", false),
    ("in between", "f7ff::1", false),
    ("before link-local", "fe00::1", false),
    ("for benchmarks, IPv6", "2001:2::1", false),
];

/// A frame, and whether it may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressCase {
    /// What there is to it.
    pub what: &'static str,
    /// Whether [`EgressRules::new`](crate::EgressRules::new) and a rule that allows the sender's own networks (10.1.1.0/24 and
    /// `fd00::/64`) allow it.
    pub is_allowed: bool,
    /// The frame.
    pub frame: Vec<u8>,
}

/// The table, of frames from one party, which has 10.1.1.1 and `fd00::1` or its like, to the MAC address of another.
#[must_use]
pub fn egress_cases(from: &Party, to: &Party) -> Vec<EgressCase> {
    let mut cases = Vec::new();
    let mut add = |what, is_allowed, frame| cases.push(EgressCase { what, is_allowed, frame });
    let datagram = udp(1000, 53, PAYLOAD);
    let v4 = |address: [u8; 4], protocol, fragment, options: &[u8], payload: &[u8]| {
        let packet =
            Ipv4 { from: from.v4, to: Ipv4Addr::from(address), ttl: 64, protocol, fragment, options };
        ethernet(from.mac, to.mac, IPV4, &packet.packet(payload))
    };
    let v6 = |address: &str, next, payload: &[u8]| {
        let address: Ipv6Addr = address.parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
        ethernet(from.mac, to.mac, IPV6, &ipv6(from.v6, address, next, 64, payload))
    };
    for (what, address, is_allowed) in IPV4_DESTINATIONS {
        add(what, is_allowed, v4(address, UDP, 0, &[], &datagram));
    }
    for (what, address, is_allowed) in IPV6_DESTINATIONS {
        add(what, is_allowed, v6(address, UDP, &datagram));
    }
    let (internet, metadata, internet6, metadata6) =
        ([203, 0, 113, 9], [169, 254, 169, 254], "2001:db8::9", "fd00:ec2::254");
    add("to metadata, for everybody's MAC address", false, {
        let mut frame = v4(metadata, UDP, 0, &[], &datagram);
        frame[..6].fill(0xFF);
        frame
    });
    let in_ip =
        Ipv4 { from: from.v4, to: metadata.into(), ttl: 64, protocol: UDP, fragment: 0, options: &[] };
    let (in_ip, in_ip6) = (in_ip.packet(&datagram), ipv6(from.v6, Ipv6Addr::LOCALHOST, UDP, 64, &datagram));
    add("IP in IP", false, v4(internet, 4, 0, &[], &in_ip));
    add("IPv6 in IP", false, v4(internet, 41, 0, &[], &in_ip6));
    add("GRE", false, v4(internet, 47, 0, &[], &[&[0, 0, 8, 0], &in_ip[..]].concat()));
    for (what, protocol) in
        [("IPIP", 94), ("EtherIP", 97), ("ENCAP", 98), ("L2TP in IP", 115), ("MPLS in IP", 137)]
    {
        add(what, false, v4(internet, protocol, 0, &[], &in_ip));
    }
    // More tags than are followed: what is in them is not known.
    let tagged = |tags: usize| {
        let plain = v4(metadata, UDP, 0, &[], &datagram);
        [&plain[..12], &[0x81, 0, 0, 1].repeat(tags)[..], &plain[12..]].concat()
    };
    add("in two tags, to metadata", false, tagged(2));
    add("in three tags, to metadata", false, tagged(3));
    add("IP in IPv6", false, v6(internet6, 4, &in_ip));
    add("a later fragment to metadata", false, v4(metadata, UDP, 0x2002, &[], &[0; 16]));
    add("a later fragment to the internet", true, v4(internet, UDP, 0x2002, &[], &[0; 16]));
    add("a router alert, to metadata", false, v4(metadata, UDP, 0, &[148, 4, 0, 0], &datagram));
    add("a router alert, to the internet", true, v4(internet, UDP, 0, &[148, 4, 0, 0], &datagram));
    let [a, b, c, d] = metadata;
    add(
        "a source route by the internet",
        false,
        v4(internet, UDP, 0, &[131, 7, 4, a, b, c, d, 0], &datagram),
    );
    let after = |header: Vec<u8>| [&header[..], &datagram].concat();
    let options = || extension(UDP, [1, 4, 0, 0, 0, 0]);
    add("behind destination options, to metadata", false, v6(metadata6, DESTINATION, &after(options())));
    add("behind destination options, to the internet", true, v6(internet6, DESTINATION, &after(options())));
    let routing = |left| {
        let target: Ipv6Addr = metadata6.parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
        [&[UDP, 2, 2, left, 0, 0, 0, 0][..], &target.octets()].concat()
    };
    add("a routing header by the internet", false, v6(internet6, ROUTING, &after(routing(1))));
    add("a routing header that was followed to its end", true, v6(internet6, ROUTING, &after(routing(0))));
    let fragment = |offset: u8| [&[UDP, 0, 0, offset, 0, 0, 0, 1][..], &datagram].concat();
    add("a later fragment to metadata, IPv6", false, v6(metadata6, 44, &fragment(0x10)));
    add("a later fragment to the internet, IPv6", true, v6(internet6, 44, &fragment(0x10)));
    let solicitation =
        [&[0; 4][..], &Ipv6Addr::from(u128::from(from.v6) ^ 3).octets(), &link_layer(1, from.mac)];
    add("who has a link-local address", true, v6("fe80::2", ICMPV6, &icmpv6(135, &solicitation.concat())));
    add("a ping of a link-local address", false, v6("fe80::2", ICMPV6, &icmpv6(128, &[0; 8])));
    let request = arp(1, (from.mac, from.v4), ([0; 6], metadata.into()));
    add("who has the metadata's address, by ARP", true, ethernet(from.mac, to.mac, ARP, &request));
    cases
}
