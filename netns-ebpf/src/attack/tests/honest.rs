//! Frames of honest hosts, made by somebody else's library.

use etherparse::{IpNumber, Ipv6FlowLabel, Ipv6Header, PacketBuilder, TcpHeader, icmpv6};

use super::{FROM, TO, rules, verdict};
use crate::packet::{Permissions, Reason};

fn build<T>(
    builder: etherparse::PacketBuilderStep<T>,
    write: impl FnOnce(etherparse::PacketBuilderStep<T>, &mut Vec<u8>),
) -> Vec<u8> {
    let mut frame = Vec::new();
    write(builder, &mut frame);
    frame
}

#[test]
fn tcp_udp_and_icmp_pass() {
    for length in [0, 1, 7, 100, 1400] {
        let payload = vec![0xA5; length];
        let v4 = || PacketBuilder::ethernet2(FROM.mac, TO.mac).ipv4(FROM.v4.octets(), TO.v4.octets(), 64);
        let v6 = || PacketBuilder::ethernet2(FROM.mac, TO.mac).ipv6(FROM.v6.octets(), TO.v6.octets(), 64);
        let frames = [
            build(v4().tcp(1000, 80, 7, 9000).syn(), |b, out| b.write(out, &payload).unwrap()),
            build(v4().tcp(1000, 80, 7, 9000).ack(8).psh(), |b, out| b.write(out, &payload).unwrap()),
            build(v4().tcp(1000, 80, 7, 9000).fin().ack(8), |b, out| b.write(out, &payload).unwrap()),
            build(v4().tcp(1000, 80, 7, 9000).rst(), |b, out| b.write(out, &payload).unwrap()),
            build(v4().udp(1000, 53), |b, out| b.write(out, &payload).unwrap()),
            build(v4().icmpv4_echo_request(1, 2), |b, out| b.write(out, &payload).unwrap()),
            build(v6().tcp(1000, 80, 7, 9000).syn(), |b, out| b.write(out, &payload).unwrap()),
            build(v6().udp(1000, 53), |b, out| b.write(out, &payload).unwrap()),
            build(v6().icmpv6_echo_request(1, 2), |b, out| b.write(out, &payload).unwrap()),
        ];
        for frame in frames {
            assert_eq!(verdict(&frame, &rules()), Ok(()), "{frame:02x?}");
        }
    }
}

#[test]
fn tcp_options_pass() {
    let mut header = TcpHeader::new(1000, 80, 7, 9000);
    header.syn = true;
    header
        .set_options(&[
            etherparse::TcpOptionElement::MaximumSegmentSize(1460),
            etherparse::TcpOptionElement::SelectiveAcknowledgementPermitted,
            etherparse::TcpOptionElement::Timestamp(1, 0),
            etherparse::TcpOptionElement::Noop,
            etherparse::TcpOptionElement::WindowScale(7),
        ])
        .unwrap();
    let builder = PacketBuilder::ethernet2(FROM.mac, TO.mac)
        .ipv4(FROM.v4.octets(), TO.v4.octets(), 64)
        .tcp_header(header);
    let frame = build(builder, |b, out| b.write(out, b"hello").unwrap());
    assert_eq!(verdict(&frame, &rules()), Ok(()));
}

#[test]
fn a_dhcp_client_passes_if_it_may() {
    let builder = PacketBuilder::ethernet2(FROM.mac, [0xFF; 6]).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    // BOOTREQUEST, of Ethernet, with the hardware address where it belongs, and padding.
    let mut message = [0; 300];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[28..34].copy_from_slice(&FROM.mac);
    let frame = build(builder, |b, out| b.write(out, &message).unwrap());
    assert_eq!(verdict(&frame, &rules()), Err(Reason::Ipv4SourceInvalid));
    assert_eq!(verdict(&frame, &rules().permitting(Permissions::DHCP_CLIENT)), Ok(()));
}

#[test]
fn multicast_reports_pass() {
    // IGMPv3, which a host may send before it has an address.
    for source in [FROM.v4.octets(), [0; 4]] {
        let builder =
            PacketBuilder::ethernet2(FROM.mac, [1, 0, 0x5E, 0, 0, 22]).ipv4(source, [224, 0, 0, 22], 1);
        let frame =
            build(builder, |b, out| b.write(out, IpNumber::IGMP, &[0x22, 0, 0, 0, 0, 0, 0, 0]).unwrap());
        assert_eq!(verdict(&frame, &rules()), Ok(()));
    }
    // MLDv2, behind a hop-by-hop header with a router alert.
    for source in [rules().link_local().octets(), [0; 16]] {
        let report = [58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0];
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: report.len() as u16,
            next_header: IpNumber::IPV6_HEADER_HOP_BY_HOP,
            hop_limit: 1,
            source,
            destination: "ff02::16".parse::<core::net::Ipv6Addr>().unwrap().octets(),
        };
        let head = [&[0x33, 0x33, 0, 0, 0, 0x16][..], &FROM.mac, &[0x86, 0xDD]].concat();
        let frame = [&head[..], &header.to_bytes(), &report].concat();
        assert_eq!(verdict(&frame, &rules()), Ok(()));
    }
}

#[test]
fn neighbour_discovery_passes() {
    let builder = || PacketBuilder::ethernet2(FROM.mac, TO.mac).ipv6(FROM.v6.octets(), TO.v6.octets(), 255);
    let solicit = icmpv6::TYPE_NEIGHBOR_SOLICITATION;
    let body = [&TO.v6.octets()[..], &[1, 1], &FROM.mac].concat();
    let frame = build(builder().icmpv6_raw(solicit, 0, [0; 4]), |b, out| b.write(out, &body).unwrap());
    assert_eq!(verdict(&frame, &rules()), Ok(()));
    let advertise = icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT;
    let body = [&FROM.v6.octets()[..], &[2, 1], &FROM.mac].concat();
    let frame =
        build(builder().icmpv6_raw(advertise, 0, [0x60, 0, 0, 0]), |b, out| b.write(out, &body).unwrap());
    assert_eq!(verdict(&frame, &rules()), Ok(()));
}
