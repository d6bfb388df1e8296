//! What may be sent to the host: each frame that it is not to get, and its honest neighbour.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{FROM, TO, rules};
use crate::attack::frame::{
    Ipv4, arp, checksum, dhcp, ethernet, extension, icmpv6, ipv6, solicited, tcp, udp,
};
use crate::packet::{
    Admission, Bytes, Facts, Flow, Host, HostAccess, Permissions, Reason, Rules, Service, Steps, admit, judge,
};

/// A frame, and a host with the address of [`TO`] that routes everything that is not for it or for all; with one
/// conversation, by this port of its own.
struct AtHost<'a> {
    frame: &'a [u8],
    talks_by: u16,
}

impl Bytes for AtHost<'_> {
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.frame.load(at)
    }

    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        self.frame.words::<N, LENGTH>(at)
    }
}

impl Steps for AtHost<'_> {}

impl Host for AtHost<'_> {
    fn passes_on(&self, flow: &Flow) -> bool {
        let bytes: Vec<u8> = flow.destination.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if flow.is_v6 {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap());
            address != TO.v6 && address != Rules::new(TO.mac).link_local()
        } else {
            let address = Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[..4]).unwrap());
            address != TO.v4
        }
    }

    fn is_talking(&self, flow: &Flow) -> bool {
        u16::from_be(flow.ports[1]) == self.talks_by
    }
}

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ELSEWHERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1);
const BROADCAST: [u8; 6] = [0xFF; 6];
const SYN: u8 = 2;
const ACK: u8 = 16;
const TALKS_BY: u16 = 40_000;

fn to_v4(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4 { from: FROM.v4, to, ttl: 64, protocol, fragment: 0, options: &[] };
    ethernet(FROM.mac, TO.mac, 0x0800, &header.packet(payload))
}

fn to_v6(to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(FROM.mac, TO.mac, 0x86DD, &ipv6(FROM.v6, to, next, 255, payload))
}

/// A segment to a port of the host.
fn segment(port: u16, flags: u8) -> Vec<u8> {
    let mut segment = tcp(flags, b"");
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment
}

/// To many, as the same frame to one is.
fn to_all(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&BROADCAST);
    frame
}

/// With a VLAN tag in the bytes.
fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
}

fn admitted(frame: &[u8], rules: &Rules) -> Admission {
    // What reaches the host, the port has let pass.
    let at_port = rules.with_ether_type(0x88B5).unwrap().permitting(Permissions::VLAN);
    assert_eq!(judge(frame, Facts::of(frame), &at_port), Ok(()), "{frame:02x?}");
    admit(&AtHost { frame, talks_by: TALKS_BY }, Facts::of(frame), rules)
}

/// What goes to the host itself, in words, and the weakest access that admits it.
fn to_host() -> Vec<(&'static str, Vec<u8>, HostAccess)> {
    use HostAccess::{Everything, Neighbours, Services};
    let address = |kind| icmpv6(kind, &[&[0; 4][..], &TO.v6.octets()].concat());
    let echo = |kind: u8| {
        let mut message = vec![kind, 0, 0, 0, 0, 1, 0, 1];
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    };
    // About a packet that the host sent to the port.
    let about = Ipv4 { from: TO.v4, to: FROM.v4, ttl: 64, protocol: 17, fragment: 0, options: &[] };
    let unreachable = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &about.packet(&udp(TALKS_BY, 9, b""))].concat();
    let later = Ipv4 { from: FROM.v4, to: TO.v4, ttl: 64, protocol: 6, fragment: 100, options: &[] };
    let release = dhcp(1, FROM.mac, [FROM.v4, Ipv4Addr::UNSPECIFIED], &[53, 1, 7]);
    let options =
        Ipv4 { from: FROM.v4, to: TO.v4, ttl: 64, protocol: 6, fragment: 0, options: &[1, 1, 1, 1] };
    let behind = [&extension(6, [1, 4, 0, 0, 0, 0])[..], &segment(22, SYN)].concat();
    vec![
        (
            "an ARP request",
            ethernet(FROM.mac, TO.mac, 0x0806, &arp(1, (FROM.mac, FROM.v4), ([0; 6], TO.v4))),
            Neighbours,
        ),
        ("a neighbour solicitation", to_v6(TO.v6, 58, &address(135)), Neighbours),
        ("a DHCP release", to_v4(TO.v4, 17, &udp(68, 67, &release)), Neighbours),
        ("a DHCPv6 request", to_v6(TO.v6, 17, &udp(546, 547, &[3, 0, 0, 1])), Neighbours),
        ("a connection to tcp/22", to_v4(TO.v4, 6, &segment(22, SYN)), Services),
        (
            "a connection to tcp/22, behind options",
            ethernet(FROM.mac, TO.mac, 0x0800, &options.packet(&segment(22, SYN))),
            Services,
        ),
        ("a connection to tcp/22, IPv6", to_v6(TO.v6, 6, &segment(22, SYN)), Services),
        ("a connection to tcp/22, behind an extension header", to_v6(TO.v6, 60, &behind), Services),
        ("a connection to tcp/22, with a tag", tagged(&to_v4(TO.v4, 6, &segment(22, SYN))), Services),
        ("a later fragment of TCP", ethernet(FROM.mac, TO.mac, 0x0800, &later.packet(b"more")), Services),
        ("a question to udp/53", to_v4(TO.v4, 17, &udp(1000, 53, b"?")), Services),
        ("an answer by TCP", to_v4(TO.v4, 6, &segment(TALKS_BY, ACK)), Services),
        ("an answer by UDP, IPv6", to_v6(TO.v6, 17, &udp(53, TALKS_BY, b"!")), Services),
        ("an echo reply", to_v4(TO.v4, 1, &echo(0)), Services),
        ("an echo reply, IPv6", to_v6(TO.v6, 58, &icmpv6(129, &[0, 1, 0, 1])), Services),
        ("port unreachable", to_v4(TO.v4, 1, &unreachable), Services),
        ("a connection to tcp/23", to_v4(TO.v4, 6, &segment(23, SYN)), Everything),
        ("a segment of no connection", to_v4(TO.v4, 6, &segment(23, ACK)), Everything),
        ("tcp/53, where only UDP is let", to_v4(TO.v4, 6, &segment(53, SYN)), Everything),
        ("udp/22, where only TCP is let", to_v6(TO.v6, 17, &udp(1000, 22, b"")), Everything),
        ("an echo request", to_v4(TO.v4, 1, &echo(8)), Everything),
        // The host's default route is for these as well, and the host takes them itself.
        (
            "to everybody, in a frame to one",
            to_v4(Ipv4Addr::BROADCAST, 17, &udp(1000, 5353, b"")),
            Everything,
        ),
        (
            "to a group, in a frame to one",
            to_v4(Ipv4Addr::new(224, 0, 0, 1), 17, &udp(1000, 5353, b"")),
            Everything,
        ),
        (
            "to a group, in a frame to one, IPv6",
            to_v6(Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1), 17, &udp(1000, 5353, b"")),
            Everything,
        ),
        ("an echo request, IPv6", to_v6(TO.v6, 58, &icmpv6(128, &[0, 1, 0, 1])), Everything),
        (
            "to the link-local address",
            to_v6(Rules::new(TO.mac).link_local(), 6, &segment(23, SYN)),
            Everything,
        ),
        ("another protocol", to_v4(TO.v4, 47, &[0; 8]), Everything),
        ("protocol 0", to_v4(TO.v4, 0, &[0; 8]), Everything),
        ("another EtherType", ethernet(FROM.mac, TO.mac, 0x88B5, &[0; 46]), Everything),
    ]
}

fn with(access: HostAccess) -> Rules {
    let rules = rules().with_host(access);
    if access == HostAccess::Services {
        let rules = rules.with_service("tcp/22".parse().unwrap()).unwrap();
        return rules.with_service(Service::udp(53)).unwrap();
    }
    rules
}

#[test]
fn the_host_gets_what_it_is_to_get_and_nothing_else() {
    let order = [HostAccess::Nothing, HostAccess::Neighbours, HostAccess::Services, HostAccess::Everything];
    let rank = |access| order.iter().position(|one| *one == access).unwrap();
    for (what, frame, least) in to_host() {
        for access in order {
            for rules in [with(access), with(access).without_forwarding()] {
                let expected = if rank(access) >= rank(least) {
                    Admission::Admitted
                } else {
                    Admission::Refused(Reason::Host)
                };
                assert_eq!(admitted(&frame, &rules), expected, "{what}, {access:?}");
            }
        }
    }
}

#[test]
fn of_what_goes_to_many_the_hosts_copy_is_kept_without_a_violation() {
    let order = [HostAccess::Nothing, HostAccess::Neighbours, HostAccess::Services];
    for (what, frame, least) in to_host() {
        for access in order {
            let may =
                order.iter().position(|one| *one == access) >= order.iter().position(|one| *one == least);
            let may = may && least != HostAccess::Everything;
            let expected = if may { Admission::Admitted } else { Admission::Kept };
            assert_eq!(admitted(&to_all(frame.clone()), &with(access)), expected, "{what}, {access:?}");
        }
    }
    // What every stack says when its interface comes up.
    let mac = solicited(FROM.v6).octets();
    let to = [0x33, 0x33, mac[12], mac[13], mac[14], mac[15]];
    let detection = icmpv6(135, &[&[0; 4][..], &FROM.v6.octets()].concat());
    let frame =
        ethernet(FROM.mac, to, 0x86DD, &ipv6(Ipv6Addr::UNSPECIFIED, solicited(FROM.v6), 58, 255, &detection));
    assert_eq!(admitted(&frame, &with(HostAccess::Neighbours)), Admission::Admitted);
    assert_eq!(admitted(&frame, &with(HostAccess::Nothing)), Admission::Kept);
}

#[test]
fn what_the_host_would_pass_on_is_a_matter_of_its_own() {
    let ways = [
        to_v4(ELSEWHERE, 6, &segment(22, SYN)),
        to_v4(ELSEWHERE, 1, &[8, 0, 0xF7, 0xFD, 0, 1, 0, 1]),
        to_v6(ELSEWHERE6, 17, &udp(1000, 53, b"")),
        tagged(&to_v6(ELSEWHERE6, 6, &segment(443, SYN))),
    ];
    let order = [HostAccess::Everything, HostAccess::Nothing, HostAccess::Neighbours, HostAccess::Services];
    for frame in ways {
        for access in order {
            assert_eq!(admitted(&frame, &with(access)), Admission::Admitted, "{access:?}");
            let kept = with(access).without_forwarding();
            assert_eq!(admitted(&frame, &kept), Admission::Refused(Reason::Forward), "{access:?}");
        }
    }
}

#[test]
fn icmp_and_whole_protocols_are_services_too() {
    let frames = to_host();
    let frame = |what: &str| frames.iter().find(|(known, ..)| *known == what).unwrap().1.clone();
    let admits = |service: &str, what: &str| {
        let rules = rules().with_service(service.parse().unwrap()).unwrap();
        admitted(&frame(what), &rules) == Admission::Admitted
    };
    assert!(admits("icmp", "an echo request") && admits("icmp", "an echo request, IPv6"));
    assert!(!admits("icmp", "a connection to tcp/23") && !admits("tcp/22", "an echo request"));
    assert!(admits("tcp", "a connection to tcp/23") && admits("tcp", "a later fragment of TCP"));
    assert!(!admits("udp", "a connection to tcp/23") && !admits("udp", "a later fragment of TCP"));
    assert!(admits("udp", "udp/22, where only TCP is let"));
}

#[test]
fn a_service_reads_as_it_is_written() {
    for text in ["tcp/22", "udp/53", "tcp/65535", "tcp", "udp", "icmp"] {
        assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
    }
    for text in
        ["", "tcp/", "tcp/0", "tcp/65536", "tcp/+22", "tcp/22/23", "/22", "sctp/1", "icmp/8", "22", "TCP/22"]
    {
        assert!(text.parse::<Service>().is_err(), "{text}");
    }
}

#[test]
fn rules_with_services_are_in_memory_what_they_are() {
    let mut all = rules().without_forwarding();
    for port in 1..=8 {
        all = all.with_service(Service::tcp(port)).unwrap();
    }
    assert!(all.with_service(Service::ICMP).is_err(), "there is no more room");
    for rules in [all, rules(), with(HostAccess::Nothing), with(HostAccess::Services), Rules::closed()] {
        assert_eq!(Rules::from_words(rules.to_words()), rules);
    }
    assert_eq!(all.host_services().map(|service| service.to_string()).last(), Some("tcp/8".to_owned()));
    assert!(!all.forwards() && all.restricts_host() && !rules().restricts_host());
}
