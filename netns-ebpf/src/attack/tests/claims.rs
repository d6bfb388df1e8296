//! What a frame claims beyond its source addresses: whose address it asks for, which group it joins, whose packet it
//! complains of, whose lease it speaks of. Each wrong frame stands beside the honest one that it imitates.

use core::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, Ipv6FlowLabel, Ipv6Header, PacketBuilder};

use super::{FROM, TO, rules, verdict};
use crate::packet::Rules;

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const FOREIGN: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 77);
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;
/// A hop-by-hop header with a router alert (RFC 2711), as Linux and as the BSDs pad it.
const ALERTS: [[u8; 8]; 2] = [[ICMPV6, 0, 5, 2, 0, 0, 1, 0], [ICMPV6, 0, 1, 0, 5, 2, 0, 0]];

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The group to which questions about this address go (RFC 4291, 2.7.1).
fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, a, b, c])
}

fn packet4(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(FROM.mac, TO.mac)
        .ipv4(source.octets(), destination.octets(), ttl)
        .write(&mut frame, IpNumber(protocol), payload)
        .unwrap();
    frame
}

fn packet6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: payload.len() as u16,
        next_header: IpNumber(next),
        hop_limit,
        source: source.octets(),
        destination: destination.octets(),
    };
    [&TO.mac[..], &FROM.mac, &[0x86, 0xDD], &header.to_bytes(), payload].concat()
}

fn udp4(source: Ipv4Addr, [from, to]: [u16; 2], payload: &[u8]) -> Vec<u8> {
    packet4(source, TO.v4, 64, 17, &udp(from, to, payload))
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

fn icmpv6(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0][..], body].concat()
}

fn arp(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    let addresses = [&head[..], &FROM.mac, &sender.octets(), &[0; 6], &target.octets()].concat();
    [&[0xFF; 6][..], &FROM.mac, &[8, 6], &addresses].concat()
}

#[track_caller]
fn refused(what: &str, frame: &[u8]) {
    assert!(verdict(frame, &rules()).is_err(), "{what} is refused");
}

#[track_caller]
fn honest(what: &str, frame: &[u8]) {
    assert_eq!(verdict(frame, &rules()), Ok(()), "{what} is honest");
}

#[test]
fn only_own_addresses_are_probed_for() {
    honest("a probe for its own address", &arp(1, NOBODY, FROM.v4));
    refused("a probe for another's address", &arp(1, NOBODY, TO.v4));
    refused("a probe for no address", &arp(1, NOBODY, NOBODY));
    honest("a question", &arp(1, FROM.v4, TO.v4));
    let network = Rules::new(FROM.mac).with_ipv4(FROM.v4, 24).unwrap();
    assert_eq!(verdict(&arp(1, NOBODY, TO.v4), &network), Ok(()), "of a network that it was given");
    assert!(verdict(&arp(1, NOBODY, NOBODY), &Rules::new(FROM.mac).with_ipv4(NOBODY, 0).unwrap()).is_err());
}

#[test]
fn no_address_is_in_an_unused_place_of_the_rules() {
    let all = Ipv4Addr::BROADCAST;
    let advertise = |target: Ipv6Addr| {
        let body = [&[0x60, 0, 0, 0][..], &target.octets(), &[2, 1], &FROM.mac].concat();
        packet6(FROM.v6, TO.v6, 255, ICMPV6, &icmpv6(136, 0, &body))
    };
    let everybody = Ipv6Addr::from([0xFF; 16]);
    let any = Rules::new(FROM.mac).with_ipv4(NOBODY, 0).and_then(|rules| rules.with_ipv6(v6("::"), 0));
    // Not even where every address is the port's: those are nobody's.
    for rules in [rules(), any.unwrap()] {
        for (sender, target) in [(all, TO.v4), (all, all), (Ipv4Addr::new(224, 0, 0, 1), TO.v4)] {
            assert!(verdict(&arp(1, sender, target), &rules).is_err(), "{sender}");
            assert!(verdict(&arp(2, sender, target), &rules).is_err(), "{sender}");
        }
        assert!(verdict(&advertise(everybody), &rules).is_err());
        assert!(verdict(&advertise(v6("::")), &rules).is_err());
        assert_eq!(verdict(&advertise(FROM.v6), &rules), Ok(()));
    }
}

/// A group that somebody may join.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const IGMP3: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

fn igmp(kind: u8, group: Ipv4Addr) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], &group.octets()].concat()
}

#[test]
fn a_host_without_an_address_reports_its_groups_and_nothing_else() {
    let from = |to, ttl, message: &[u8]| packet4(NOBODY, to, ttl, 2, message);
    // IGMPv3: one record, of a group that is excluded from nothing.
    let report3 = [&[0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0][..], &GROUP.octets()].concat();
    honest("an IGMPv1 report", &from(GROUP, 1, &igmp(0x12, GROUP)));
    honest("an IGMPv2 report", &from(GROUP, 1, &igmp(0x16, GROUP)));
    honest("a leave", &from(ROUTERS, 1, &igmp(0x17, GROUP)));
    honest("an IGMPv3 report", &from(IGMP3, 1, &report3));
    for (what, frame) in [
        ("a report to one host", from(TO.v4, 1, &igmp(0x16, TO.v4))),
        ("a report to another group", from(GROUP, 1, &igmp(0x16, IGMP3))),
        ("a report that routers forward", from(GROUP, 2, &igmp(0x16, GROUP))),
        ("a report with more behind it", from(GROUP, 1, &[igmp(0x16, GROUP), vec![0; 100]].concat())),
        ("a leave to one host", from(TO.v4, 1, &igmp(0x17, GROUP))),
        ("a leave that routers forward", from(ROUTERS, 64, &igmp(0x17, GROUP))),
        ("an IGMPv3 report to one host", from(TO.v4, 1, &report3)),
        ("an IGMPv3 report that routers forward", from(IGMP3, 64, &report3)),
        ("a query", from(Ipv4Addr::new(224, 0, 0, 1), 1, &igmp(0x11, NOBODY))),
        ("an unknown message", from(IGMP3, 1, &igmp(0x55, NOBODY))),
        ("half a message", from(GROUP, 1, &igmp(0x16, GROUP)[..7])),
    ] {
        refused(what, &frame);
    }
}

#[test]
fn a_host_that_tests_its_first_address_reports_its_groups_and_nothing_else() {
    let (nobody, group, all, routers) = (v6("::"), v6("ff05::1:3"), v6("ff02::16"), v6("ff02::2"));
    let report1 = |group: Ipv6Addr| icmpv6(131, 0, &[&[0; 4][..], &group.octets()].concat());
    let done = icmpv6(132, 0, &[&[0; 4][..], &group.octets()].concat());
    let report2 = icmpv6(143, 0, &[&[0, 0, 0, 1, 4, 0, 0, 0][..], &group.octets()].concat());
    let query = icmpv6(130, 0, &[0; 20]);
    let behind = |alert: [u8; 8], to, hops, message: &[u8]| {
        packet6(nobody, to, hops, HOP_BY_HOP, &[&alert[..], message].concat())
    };
    for alert in ALERTS {
        honest("an MLDv1 report", &behind(alert, group, 1, &report1(group)));
        honest("a done", &behind(alert, routers, 1, &done));
        honest("an MLDv2 report", &behind(alert, all, 1, &report2));
        for (what, frame) in [
            ("an MLDv1 report to one host", behind(alert, TO.v6, 1, &report1(TO.v6))),
            ("an MLDv1 report to another group", behind(alert, group, 1, &report1(all))),
            (
                "an MLDv1 report with more behind it",
                behind(alert, group, 1, &[report1(group), done.clone()].concat()),
            ),
            ("a done to one host", behind(alert, TO.v6, 1, &done)),
            ("an MLDv2 report to one host", behind(alert, TO.v6, 1, &report2)),
            ("an MLDv2 report that routers forward", behind(alert, all, 2, &report2)),
            ("a query", behind(alert, v6("ff02::1"), 1, &query)),
        ] {
            refused(what, &frame);
        }
    }
    refused("an MLDv2 report without a router alert", &packet6(nobody, all, 1, ICMPV6, &report2));
    let padding = [ICMPV6, 0, 1, 4, 0, 0, 0, 0];
    refused("an MLDv2 report behind padding", &behind(padding, all, 1, &report2));

    // What else an unspecified source may say goes to groups too (RFC 4861, 6.1.1 and 7.1.1).
    let detect = icmpv6(135, 0, &[&[0; 4][..], &FROM.v6.octets()].concat());
    honest("a test of an address", &packet6(nobody, solicited(FROM.v6), 255, ICMPV6, &detect));
    refused("a test of an address, to one host", &packet6(nobody, TO.v6, 255, ICMPV6, &detect));
    refused("a test of an address, to all", &packet6(nobody, v6("ff02::1"), 255, ICMPV6, &detect));
    let solicit = icmpv6(133, 0, &[0; 4]);
    honest("a router solicitation", &packet6(nobody, routers, 255, ICMPV6, &solicit));
    refused("a router solicitation, to one host", &packet6(nobody, TO.v6, 255, ICMPV6, &solicit));
}

#[test]
fn what_every_stack_sends_when_its_interface_comes_up_is_honest() {
    // A policy with an IPv4 address alone.
    let rules = Rules::new(FROM.mac).with_ipv4(FROM.v4, 32).unwrap();
    let own = rules.link_local();
    let report = icmpv6(143, 0, &[&[0, 0, 0, 1, 4, 0, 0, 0][..], &solicited(own).octets()].concat());
    let detect = icmpv6(135, 0, &[&[0; 4][..], &own.octets()].concat());
    let solicit = icmpv6(133, 0, &[&[0, 0, 0, 0, 1, 1][..], &FROM.mac].concat());
    let report = |source| packet6(source, v6("ff02::16"), 1, HOP_BY_HOP, &[&ALERTS[0][..], &report].concat());
    for (what, frame) in [
        ("MLD before it has an address", report(v6("::"))),
        ("a test of the link-local address", packet6(v6("::"), solicited(own), 255, ICMPV6, &detect)),
        ("MLD from it", report(own)),
        ("a router solicitation", packet6(own, v6("ff02::2"), 255, ICMPV6, &solicit)),
        ("DHCPv6", packet6(own, v6("ff02::1:2"), 1, 17, &udp(546, 547, &[1, 0x17, 0x17, 0x17]))),
    ] {
        assert_eq!(verdict(&frame, &rules), Ok(()), "{what}");
    }
    let other = Rules::new(TO.mac).link_local();
    assert!(verdict(&packet6(other, v6("ff02::2"), 255, ICMPV6, &icmpv6(133, 0, &[0; 4])), &rules).is_err());
}

/// An ICMP error about a packet of `TO`'s that was sent to this address.
fn error4(kind: u8, sent_to: Ipv4Addr) -> Vec<u8> {
    let about = packet4(TO.v4, sent_to, 64, 17, &udp(5000, 6000, b"hello"));
    packet4(FROM.v4, TO.v4, 64, 1, &[&[kind, 0, 0, 0, 0, 0, 2, 0][..], &about[14..]].concat())
}

fn error6(kind: u8, code: u8, sent_to: Ipv6Addr) -> Vec<u8> {
    let about = packet6(TO.v6, sent_to, 64, 17, &udp(5000, 6000, b"hello"));
    packet6(FROM.v6, TO.v6, 64, ICMPV6, &icmpv6(kind, code, &[&[0, 0, 5, 0][..], &about[14..]].concat()))
}

#[test]
fn errors_are_about_packets_that_the_port_received() {
    let foreign = v6("fd00::77");
    // Unreachable, source quench, time exceeded, parameter problem.
    for kind in [3, 4, 11, 12] {
        honest("an error about a packet to the port", &error4(kind, FROM.v4));
        refused("an error about a packet to another", &error4(kind, FOREIGN));
        refused("an error about a packet to nobody", &error4(kind, NOBODY));
    }
    for kind in [1, 2, 3, 4, 100] {
        honest("an error about a packet to the port", &error6(kind, 0, FROM.v6));
        refused("an error about a packet to another", &error6(kind, 0, foreign));
        refused("an error about a packet to nobody", &error6(kind, 0, v6("::")));
    }
    // A host may complain of an option in a packet to a group (RFC 4443, 2.4 e), of nothing else.
    honest("an unknown option in a packet to a group", &error6(4, 2, v6("ff02::1")));
    refused("too big a packet to a group", &error6(2, 0, v6("ff02::1")));
    honest("a question", &packet4(FROM.v4, TO.v4, 64, 1, &[8, 0, 0, 0, 0, 1, 0, 1]));
    honest("an answer", &packet6(FROM.v6, TO.v6, 64, ICMPV6, &icmpv6(129, 0, &[0, 1, 0, 1])));
    // What it is about is in another fragment, or nowhere.
    let mut short = packet4(FROM.v4, TO.v4, 64, 1, &error4(3, FROM.v4)[34..][..8 + 19]);
    refused("an error about a part of a header", &short);
    short = packet6(FROM.v6, TO.v6, 64, ICMPV6, &error6(1, 0, FROM.v6)[54..][..8 + 39]);
    refused("an error about a part of a header", &short);
    let part = [ICMPV6, 0, 0, 1, 0, 0, 0x17, 0x17];
    let error = &error6(1, 0, FROM.v6)[54..][..8 + 40];
    let whole = [&part[..], error].concat();
    refused("a fragment of an error", &packet6(FROM.v6, TO.v6, 64, 44, &whole));
}

#[test]
fn hosts_are_no_routers() {
    let icmp = |kind, body: &[u8]| packet4(FROM.v4, TO.v4, 1, 1, &[&[kind, 0, 0, 0][..], body].concat());
    refused("an ICMP router advertisement", &icmp(9, &[1, 2, 7, 8, 10, 1, 1, 1, 0, 0, 0, 0]));
    honest("an ICMP router solicitation", &icmp(10, &[0; 4]));
    let about = packet4(TO.v4, FROM.v4, 64, 17, &udp(5000, 6000, b"hello"));
    refused("an ICMP redirect", &icmp(5, &[&FROM.v4.octets()[..], &about[14..]].concat()));
}

#[test]
fn hosts_are_no_multicast_routers() {
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let from = |to, message: &[u8]| packet4(FROM.v4, to, 1, 2, message);
    honest("a report", &from(GROUP, &igmp(0x16, GROUP)));
    honest("a leave", &from(ROUTERS, &igmp(0x17, GROUP)));
    for (what, kind) in
        [("a query", 0x11), ("DVMRP", 0x13), ("PIMv1", 0x14), ("multicast router discovery", 0x30)]
    {
        refused(what, &from(all, &igmp(kind, NOBODY)));
    }
    refused("a query to one host", &from(TO.v4, &igmp(0x11, NOBODY)));
    refused("PIM", &packet4(FROM.v4, Ipv4Addr::new(224, 0, 0, 13), 1, 103, &[0x20, 0, 0, 0]));
    refused("PIM", &packet6(FROM.v6, v6("ff02::d"), 1, 103, &[0x20, 0, 0, 0]));
    let own = rules().link_local();
    let mld = |kind| {
        packet6(own, v6("ff02::1"), 1, HOP_BY_HOP, &[&ALERTS[0][..], &icmpv6(kind, 0, &[0; 20])].concat())
    };
    refused("a query", &mld(130));
    refused("multicast router discovery", &packet6(own, v6("ff02::6a"), 1, ICMPV6, &icmpv6(151, 0, &[0; 4])));
    honest("an MLDv1 report", &mld(131));
}

/// A client's message: with the fields that say who it is, and options.
fn dhcp(op: u8, mac: [u8; 6], own: Ipv4Addr, relay: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..8].copy_from_slice(&[op, 1, 6, 0, 0x17, 0x17, 0x17, 0x17]);
    message[12..16].copy_from_slice(&own.octets());
    message[24..28].copy_from_slice(&relay.octets());
    message[28..34].copy_from_slice(&mac);
    message.extend([99, 130, 83, 99]);
    message.extend(options);
    message.resize(message.len().max(300), 0);
    message
}

const DISCOVER: [u8; 4] = [53, 1, 1, 255];
const DECLINE: u8 = 4;
const RELEASE: [u8; 4] = [53, 1, 7, 255];

#[test]
fn a_dhcp_client_speaks_for_itself() {
    let to_server = |message: &[u8]| udp4(FROM.v4, [68, 67], message);
    let declines = |address: Ipv4Addr| [&[53, 1, DECLINE, 50, 4][..], &address.octets(), &[255]].concat();
    let message = |mac, own, relay, options: &[u8]| to_server(&dhcp(1, mac, own, relay, options));
    honest("a discovery", &message(FROM.mac, NOBODY, NOBODY, &DISCOVER));
    honest("a renewal", &message(FROM.mac, FROM.v4, NOBODY, &[53, 1, 3, 255]));
    honest("a release", &message(FROM.mac, FROM.v4, NOBODY, &RELEASE));
    honest("a decline", &message(FROM.mac, NOBODY, NOBODY, &declines(FROM.v4)));
    // A laptop asks for the address that it had elsewhere.
    honest("a discovery", &message(FROM.mac, NOBODY, NOBODY, &[53, 1, 1, 50, 4, 192, 168, 7, 7, 255]));
    let bootp = udp4(FROM.v4, [68, 67], &dhcp(1, FROM.mac, NOBODY, NOBODY, &[])[..236]);
    honest("BOOTP", &bootp);
    for (what, frame) in [
        ("another's hardware address", message(TO.mac, NOBODY, NOBODY, &DISCOVER)),
        ("a relay's message", message(FROM.mac, NOBODY, FROM.v4, &DISCOVER)),
        ("another's renewal", message(FROM.mac, TO.v4, NOBODY, &[53, 1, 3, 255])),
        ("another's release", message(FROM.mac, TO.v4, NOBODY, &RELEASE)),
        ("another's decline", message(FROM.mac, NOBODY, NOBODY, &declines(TO.v4))),
        (
            "another's decline, in the second place",
            message(
                FROM.mac,
                NOBODY,
                NOBODY,
                &[&[53, 1, DECLINE, 50, 4][..], &FROM.v4.octets(), &[50, 4], &TO.v4.octets(), &[255]]
                    .concat(),
            ),
        ),
        ("a decline of nothing", message(FROM.mac, NOBODY, NOBODY, &[53, 1, DECLINE, 255])),
        ("options elsewhere", message(FROM.mac, NOBODY, NOBODY, &[53, 1, 1, 52, 1, 1, 255])),
        (
            "an option that is cut off",
            message(FROM.mac, NOBODY, NOBODY, &[[53, 1, 1].as_slice(), &[12, 255]].concat()),
        ),
        ("half a message", to_server(&dhcp(1, FROM.mac, NOBODY, NOBODY, &[])[..235])),
        (
            "a server's answer to a relay",
            udp4(FROM.v4, [2000, 67], &dhcp(2, FROM.mac, NOBODY, FROM.v4, &[53, 1, 2, 255])),
        ),
        (
            "another's message from an odd port",
            udp4(FROM.v4, [2000, 67], &dhcp(1, TO.mac, NOBODY, NOBODY, &DISCOVER)),
        ),
    ] {
        refused(what, &frame);
    }
    let to_server = |from, message: &[u8]| packet6(FROM.v6, v6("ff02::1:2"), 1, 17, &udp(from, 547, message));
    honest("a DHCPv6 solicitation", &to_server(546, &[1, 0x17, 0x17, 0x17]));
    refused("a DHCPv6 relay's message", &to_server(546, &[12, 0, 0, 0]));
    refused("a DHCPv6 server's answer to a relay", &to_server(2000, &[13, 0, 0, 0]));
    refused("nothing", &to_server(546, &[]));
}
