//! What is read of packets, and what a range says of them. Whole policies are tested where they are put together.

use core::net::IpAddr;

use super::{EgressPacket, EgressPrefix};
use crate::Facts;
use crate::layout::{EgressEntry, EgressRange, STREAM_TIME};

/// An Ethernet frame with an IPv4 packet from 10.1.1.1 to 192.0.2.1.
fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, (20 + payload.len()) as u8, 0, 0];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 1, 1, 1, 192, 0, 2, 1]);
    [&[0; 12][..], &[8, 0], &packet, payload].concat()
}

fn read(frame: &[u8]) -> EgressPacket {
    EgressPacket::read(frame, Facts::of(frame)).unwrap()
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..4].copy_from_slice(&[0x10, 0, 0, 80]);
    segment[12..14].copy_from_slice(&[5 << 4, flags]);
    segment
}

#[test]
fn ports_are_those_of_the_first_fragment_alone() {
    let packet = read(&ipv4(17, 0x2000, &[0, 53, 0, 80, 0, 8, 0, 0]));
    assert_eq!((packet.port(), packet.ports, packet.is_later), (Some(80), [53, 80], false));
    let packet = read(&ipv4(17, 1, &[0, 53, 0, 80, 0, 8, 0, 0]));
    assert_eq!((packet.port(), packet.is_later), (None, true));
    // A packet that ends before its ports shows none.
    assert_eq!(read(&ipv4(6, 0, &[0, 53, 0])).port(), None);
    assert_eq!(read(&ipv4(1, 0, &[8, 0, 0, 0, 0x12, 0x34, 0, 1])).ports, [0x1234, 8]);
}

#[test]
fn a_frame_that_ends_in_its_header_goes_nowhere_that_is_known() {
    let frame = ipv4(17, 0, &[]);
    assert!(read(&frame[..33]).is_misleading && !read(&frame).is_misleading);
    let mut short = frame;
    short[14] = 0x44;
    assert!(read(&short).is_misleading);
    // What is no IP is not judged.
    assert_eq!(EgressPacket::read(&[0; 60][..], Facts::of(&[0; 60])), None);
}

#[test]
fn who_opens_and_who_answers() {
    let about = |frame: &[u8]| (read(frame).opens(frame), read(frame).answers(frame));
    let (syn, both) = (ipv4(6, 0, &tcp(2)), ipv4(6, 0, &tcp(0x12)));
    assert_eq!(about(&syn), (Some(([0x1000, 80], STREAM_TIME)), None));
    assert_eq!(about(&both), (None, Some((6, [80, 0x1000]))));
    // A segment that hides its flags is an opener.
    assert_eq!(about(&ipv4(6, 0, &tcp(0x10)[..13])).1, None);
    let echo = |kind| ipv4(1, 0, &[kind, 0, 0, 0, 0x12, 0x34, 0, 1]);
    assert!(matches!(about(&echo(8)), (Some(([0x1234, 0], _)), None)));
    assert_eq!(about(&echo(0)), (None, Some((1, [0x1234, 0]))));
    // Ports of 0 stand for later fragments.
    assert_eq!(about(&ipv4(17, 0, &[0; 8])).1, None);
    assert_eq!(about(&ipv4(17, 1, &[0; 8])).1, Some((17, [0, 0])));
    assert_eq!(about(&ipv4(17, 5, &[0; 8])), (None, Some((17, [0; 2]))));
}

#[test]
fn an_error_answers_what_its_receiver_sent() {
    let asked = ipv4(17, 0, &[0, 53, 0, 80, 0, 8, 0, 0]);
    let error = |about: &[u8]| ipv4(1, 0, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], about].concat());
    // It is about a packet that came from where the error goes.
    let mut from_there = asked[14..].to_vec();
    from_there[12..16].copy_from_slice(&[192, 0, 2, 1]);
    let frame = error(&from_there);
    assert_eq!(read(&frame).answers(&frame[..]), Some((17, [53, 80])));
    let frame = error(&asked[14..]);
    assert_eq!(read(&frame).answers(&frame[..]), None);
    let frame = error(&from_there[..22]);
    assert_eq!(read(&frame).answers(&frame[..]), None);
}

#[test]
fn what_is_temporary_ends_and_what_was_there_before_holds_again() {
    let temporary = EgressRange::new(0, EgressRange::ALLOW | EgressRange::TEMPORARY, None);
    let mut entry = EgressEntry { until: 100, ..EgressEntry::default() };
    entry.ranges[..2].copy_from_slice(&[temporary, EgressRange::new(6, EgressRange::ALLOW, Some([80, 80]))]);
    assert!(entry.allows(17, Some(1), || 99) && !entry.allows(17, Some(1), || 100));
    assert!(entry.allows(6, Some(80), || 100) && !entry.allows(6, Some(81), || 100));
    assert!(!EgressEntry::default().allows(6, None, || 0), "what nothing is said of is refused");
    assert_eq!(EgressEntry::from_words(entry.to_words()), entry);
}

#[test]
fn networks_are_what_their_texts_say() {
    for (text, other) in
        [("10.0.0.0/8", "10.255.0.1"), ("fd00::/8", "fdff::1"), ("any", "10.0.0.1"), ("any", "fd00::1")]
    {
        let (network, other): (EgressPrefix, EgressPrefix) = (text.parse().unwrap(), other.parse().unwrap());
        assert!(network.contains(&other) && !other.contains(&network), "{text}");
        assert_eq!(network.to_string(), text);
        assert_eq!(EgressPrefix::from_key(network.key()), network);
    }
    let of = |text: &str| EgressPrefix::of(text.parse::<IpAddr>().unwrap());
    assert!(of("10.0.0.1").is_v4() && !of("fd00::1").is_v4() && !EgressPrefix::ANY.is_v4());
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    assert_eq!(of("64:ff9b::10.0.0.1").judged(), of("10.0.0.1"));
    assert_eq!(of("64:ff9b:1::10.0.0.1").judged(), of("64:ff9b:1::10.0.0.1"));
}
