//! The part of the table that is of messages whose headers are in order, and which claim what is not the sender's.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::cases::{CaseTable, foreign};
use super::frame::{Ipv4, PAYLOAD, arp, checksum, dhcp, ethernet, icmpv6, ipv6, link_layer, udp};
use super::v6;
use crate::packet::Reason;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86DD;
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const PIM: u8 = 103;
const HOP_BY_HOP: u8 = 0;

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const NOBODY6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
/// A group that somebody listens to, all hosts of the link, and its routers.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const REPORTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const HOSTS6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
const REPORTS6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x16);

/// A message of IGMP about a group, with its checksum: bridges listen to no other.
fn igmp(kind: u8, group: Ipv4Addr) -> Vec<u8> {
    summed([&[kind, 0, 0, 0][..], &group.octets()].concat())
}

/// A message of IGMP, ICMP or PIM with its checksum.
fn summed(mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// A message of MLD behind its router alert.
fn alerted(message: &[u8]) -> Vec<u8> {
    [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0][..], message].concat()
}

impl CaseTable {
    pub(super) fn claims(&mut self) {
        self.neighbours();
        self.unspecified();
        self.errors();
        self.routers();
        self.clients();
    }

    fn v4(&self, from: Ipv4Addr, to: Ipv4Addr, ttl: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = Ipv4 { from, to, ttl, protocol, fragment: 0, options: &[] };
        ethernet(self.from.mac, self.to.mac, IPV4, &header.packet(payload))
    }

    fn v6(&self, from: Ipv6Addr, to: Ipv6Addr, hops: u8, next: u8, payload: &[u8]) -> Vec<u8> {
        ethernet(self.from.mac, self.to.mac, IPV6, &ipv6(from, to, next, hops, payload))
    }

    fn neighbours(&mut self) {
        let (mac, own, all) = (self.from.mac, self.from.v4, Ipv4Addr::BROADCAST);
        let frame = |sender, target| ethernet(mac, [0xFF; 6], ARP, &arp(1, (mac, sender), ([0; 6], target)));
        self.add(Reason::ArpProbe, "for another's address", frame(NOBODY, foreign(own)), frame(NOBODY, own));
        self.add(Reason::ArpProbe, "for no address", frame(NOBODY, NOBODY), frame(NOBODY, own));
        self.add(Reason::ArpSenderAddress, "broadcast", frame(all, self.to.v4), frame(own, self.to.v4));
        self.add(Reason::ArpAnnouncement, "broadcast", frame(all, all), frame(own, own));
        let advertise = |table: &Self, target: Ipv6Addr| {
            let message = icmpv6(136, &[&[0; 4][..], &target.octets(), &link_layer(2, mac)].concat());
            table.ipv6_frame(ICMPV6, 255, &message)
        };
        let everybody = Ipv6Addr::from([0xFF; 16]);
        let near = advertise(self, self.from.v6);
        self.add(Reason::NdTarget, "all ones", advertise(self, everybody), near);
        // A test whether an address is free goes to anyone who might have it, not to one host.
        let detect = icmpv6(135, &[&[0; 4][..], &self.from.v6.octets()].concat());
        let group = super::frame::solicited(self.from.v6);
        let near = self.v6(NOBODY6, group, 255, ICMPV6, &detect);
        let frame = self.v6(NOBODY6, HOSTS6, 255, ICMPV6, &detect);
        self.add(Reason::NdMalformed, "duplicate detection to all", frame, near.clone());
        let frame = self.v6(NOBODY6, self.to.v6, 255, ICMPV6, &detect);
        self.add(Reason::Ipv6SourceUnspecified, "duplicate detection to one host", frame, near);
    }

    /// What nobody could be asked about.
    fn unspecified(&mut self) {
        let reason = Reason::Ipv4SourceInvalid;
        let from = |table: &Self, to, ttl, message: &[u8]| table.v4(NOBODY, to, ttl, IGMP, message);
        let them = self.to.v4;
        let near = from(self, GROUP, 1, &igmp(0x16, GROUP));
        for (what, to, ttl, message) in [
            ("unspecified, an IGMP report to one host", them, 1, igmp(0x16, them)),
            ("unspecified, an IGMP report to another group", HOSTS, 1, igmp(0x16, GROUP)),
            ("unspecified, an IGMP report beyond the link", GROUP, 64, igmp(0x16, GROUP)),
            ("unspecified, an IGMP report with more", GROUP, 1, [&igmp(0x16, GROUP), PAYLOAD].concat()),
        ] {
            self.add(reason, what, from(self, to, ttl, &message), near.clone());
        }
        let near = from(self, ROUTERS, 1, &igmp(0x17, GROUP));
        self.add(reason, "unspecified, a leave to one host", from(self, them, 1, &igmp(0x17, GROUP)), near);
        let report = [&igmp(0x22, Ipv4Addr::new(0, 0, 0, 1))[..], &[4, 0, 0, 0], &GROUP.octets()].concat();
        let (frame, near) = (from(self, them, 1, &report), from(self, REPORTS, 1, &report));
        self.add(reason, "unspecified, an IGMPv3 report to one host", frame, near);

        let reason = Reason::Ipv6SourceUnspecified;
        let group = Ipv6Addr::new(0xFF05, 0, 0, 0, 0, 0, 1, 3);
        let from = |table: &Self, to, hops, message: &[u8]| {
            table.v6(NOBODY6, to, hops, HOP_BY_HOP, &alerted(message))
        };
        let report = |group: Ipv6Addr| icmpv6(131, &[&[0; 4][..], &group.octets()].concat());
        let report2 = icmpv6(143, &[&[0, 0, 0, 1, 4, 0, 0, 0][..], &group.octets()].concat());
        let them = self.to.v6;
        let near = from(self, group, 1, &report(group));
        self.add(reason, "an MLD report to one host", from(self, them, 1, &report(them)), near.clone());
        self.add(reason, "an MLD report to another group", from(self, HOSTS6, 1, &report(group)), near);
        let near = from(self, REPORTS6, 1, &report2);
        for (what, frame) in [
            ("an MLDv2 report to one host", from(self, them, 1, &report2)),
            ("an MLDv2 report beyond the link", from(self, REPORTS6, 64, &report2)),
            ("an MLDv2 report without a router alert", self.v6(NOBODY6, REPORTS6, 1, ICMPV6, &report2)),
        ] {
            self.add(reason, what, frame, near.clone());
        }
    }

    fn errors(&mut self) {
        let (own, them) = (self.from.v4, self.to.v4);
        let about = |to| {
            let header = Ipv4 { from: them, to, ttl: 64, protocol: UDP, fragment: 0, options: &[] };
            header.packet(&udp(5000, 6000, &[]))
        };
        let error = |table: &Self, kind, code, about: &[u8]| {
            table.ipv4_frame(ICMP, 0, &[], &summed([&[kind, code, 0, 0, 0, 0, 2, 0], about].concat()))
        };
        for (what, kind, code) in
            [("too big", 3, 4), ("unreachable", 3, 1), ("time exceeded", 11, 0), ("parameter problem", 12, 0)]
        {
            let frame = error(self, kind, code, &about(foreign(own)));
            self.add(Reason::IcmpError, what, frame, error(self, kind, code, &about(own)));
        }
        let near = error(self, 3, 3, &about(own));
        let frame = error(self, 3, 3, &about(own)[..19]);
        self.add(Reason::IcmpHeader, "of the packet that an error is about", frame, near.clone());
        let part = [&[3, 3, 0, 0, 0, 0, 2, 0][..], &about(own), &[0; 4]].concat();
        let frame = self.ipv4_frame(ICMP, 0x2000, &[], &part);
        self.add(Reason::Ipv4Fragment, "of an ICMP error", frame, near);

        let (own, them) = (self.from.v6, self.to.v6);
        let about = |to| ipv6(them, to, UDP, 64, &udp(5000, 6000, &[]));
        let error = |table: &Self, kind, code, about: &[u8]| {
            let mut message = icmpv6(kind, &[&[0, 0, 5, 0], about].concat());
            message[1] = code;
            table.ipv6_frame(ICMPV6, 64, &message)
        };
        for (what, kind) in [
            ("too big, v6", 2),
            ("unreachable, v6", 1),
            ("time exceeded, v6", 3),
            ("parameter problem, v6", 4),
        ] {
            let frame = error(self, kind, 0, &about(v6::foreign(own)));
            self.add(Reason::IcmpError, what, frame, error(self, kind, 0, &about(own)));
        }
        // Of an option in a packet to a group a host may complain, and of nothing else.
        let (frame, near) = (error(self, 4, 0, &about(HOSTS6)), error(self, 4, 2, &about(HOSTS6)));
        self.add(Reason::IcmpError, "a packet to a group, v6", frame, near);
        let (frame, near) = (error(self, 1, 4, &about(own)[..39]), error(self, 1, 4, &about(own)));
        self.add(Reason::IcmpHeader, "of the packet that an error is about, v6", frame, near);
    }

    fn routers(&mut self) {
        let icmp = |table: &Self, kind, body: &[u8]| {
            table.ipv4_frame(ICMP, 0, &[], &summed([&[kind, 0, 0, 0][..], body].concat()))
        };
        let address = self.from.v4.octets();
        let solicit = icmp(self, 10, &[0; 4]);
        let frame = icmp(self, 9, &[&[1, 2, 7, 8][..], &address, &[0; 4]].concat());
        self.add(Reason::IcmpRouter, "advertisement", frame, solicit.clone());
        let header = Ipv4 {
            from: self.to.v4,
            to: foreign(self.from.v4),
            ttl: 64,
            protocol: UDP,
            fragment: 0,
            options: &[],
        };
        let frame = icmp(self, 5, &[&address[..], &header.packet(&udp(5000, 6000, &[]))].concat());
        self.add(Reason::IcmpRedirect, "to itself", frame, solicit);

        let own = self.from.v4;
        let report = self.v4(own, GROUP, 1, IGMP, &igmp(0x16, GROUP));
        for (what, frame) in [
            ("IGMP query", self.v4(own, HOSTS, 1, IGMP, &igmp(0x11, NOBODY))),
            ("IGMP query from 0.0.0.0", self.v4(NOBODY, HOSTS, 1, IGMP, &igmp(0x11, NOBODY))),
            (
                "multicast router advertisement",
                self.v4(own, Ipv4Addr::new(224, 0, 0, 106), 1, IGMP, &igmp(0x30, NOBODY)),
            ),
            ("PIM hello", self.v4(own, Ipv4Addr::new(224, 0, 0, 13), 1, PIM, &summed(vec![0x20, 0, 0, 0]))),
        ] {
            self.add(Reason::MulticastRouter, what, frame, report.clone());
        }
        let own = self.from.v6;
        let message =
            |table: &Self, to, kind| table.v6(own, to, 1, HOP_BY_HOP, &alerted(&icmpv6(kind, &[0; 20])));
        let report = message(self, HOSTS6, 131);
        self.add(Reason::MulticastRouter, "MLD query", message(self, HOSTS6, 130), report.clone());
        let snoopers = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x6A);
        let frame = message(self, snoopers, 151);
        self.add(Reason::MulticastRouter, "multicast router advertisement, v6", frame, report);
    }

    fn clients(&mut self) {
        let (mac, own, other) = (self.from.mac, self.from.v4, foreign(self.from.v4));
        let from =
            |table: &Self, port, message: &[u8]| table.ipv4_frame(UDP, 0, &[], &udp(port, 67, message));
        let discover = [53, 1, 1];
        let near = from(self, 68, &dhcp(1, mac, [NOBODY; 2], &discover));
        let frame = from(self, 68, &dhcp(1, self.to.mac, [NOBODY; 2], &discover));
        self.add(Reason::DhcpClient, "another's hardware address", frame, near.clone());
        let frame = from(self, 68, &dhcp(1, mac, [NOBODY, own], &discover));
        self.add(Reason::DhcpClient, "a relay's", frame, near.clone());
        let frame = from(self, 2000, &dhcp(2, mac, [NOBODY, own], &[53, 1, 2]));
        self.add(Reason::DhcpServer, "to a relay", frame, near.clone());
        let frame = from(self, 67, &dhcp(1, self.to.mac, [NOBODY, own], &discover));
        self.add(Reason::DhcpServer, "to a server, from a relay", frame, near.clone());
        let release = |table: &Self, address| from(table, 68, &dhcp(1, mac, [address, NOBODY], &[53, 1, 7]));
        self.add(
            Reason::DhcpClient,
            "a release of another's lease",
            release(self, other),
            release(self, own),
        );
        let decline = |table: &Self, address: Ipv4Addr| {
            let options = [&[53, 1, 4, 50, 4][..], &address.octets()].concat();
            from(table, 68, &dhcp(1, mac, [NOBODY; 2], &options))
        };
        self.add(
            Reason::DhcpClient,
            "a decline of another's address",
            decline(self, other),
            decline(self, own),
        );
        for (what, options) in [
            ("a message in two ways", [53, 1, 1, 53, 1, 4].as_slice()),
            ("options in the name of a file", &[53, 1, 1, 52, 1, 1]),
            ("an option beyond the end", &[53, 1, 1, 12, 200]),
        ] {
            let frame = from(self, 68, &dhcp(1, mac, [NOBODY; 2], options));
            self.add(Reason::DhcpClient, what, frame, near.clone());
        }
        let many = |table: &Self, count| {
            let options = [&[53, 1, 1][..], &[12, 1, b'a'].repeat(count)].concat();
            from(table, 68, &dhcp(1, mac, [NOBODY; 2], &options))
        };
        // The end is one too.
        self.add(Reason::DhcpClient, "33 options", many(self, 31), many(self, 30));
        let from =
            |table: &Self, port, kind| table.ipv6_frame(UDP, 64, &udp(port, 547, &[kind, 0x17, 0x17, 0x17]));
        self.add(Reason::DhcpClient, "a relay's, v6", from(self, 546, 12), from(self, 546, 1));
        self.add(Reason::Dhcpv6Server, "to a relay", from(self, 2000, 13), from(self, 546, 1));
    }
}
