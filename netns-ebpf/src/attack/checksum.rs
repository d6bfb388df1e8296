//! Checksums that are left to a later hop, at places of the sender's choice.

use super::cases::CaseTable;
use super::frame::{PAYLOAD, Party, arp, ethernet, tcp, udp};
use crate::packet::{ChecksumPlace, Facts};

/// Where a checksum is left to be written, as a virtio header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftChecksum {
    /// From where in the frame the sum is taken.
    pub start: u16,
    /// How far from there its two bytes are.
    pub offset: u16,
}

impl LeftChecksum {
    /// Where in the frame it is written.
    #[must_use]
    pub const fn at(self) -> u32 {
        self.start as u32 + self.offset as u32
    }

    /// The [header] that says so, as a raw socket and a TAP take it: `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
    ///
    /// [header]: https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/virtio_net.h
    #[must_use]
    pub const fn header(self) -> [u8; 10] {
        let ([a, b], [c, d]) = (self.start.to_ne_bytes(), self.offset.to_ne_bytes());
        [1, 0, 0, 0, 0, 0, a, b, c, d]
    }

    /// The frame as it is once the checksum was written.
    ///
    /// # Panics
    /// If the place is not in the frame.
    #[must_use]
    pub fn write(self, frame: &[u8]) -> Vec<u8> {
        let mut written = frame.to_vec();
        let start = usize::from(self.start);
        let sum: u64 = frame[start..]
            .chunks(2)
            .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
            .sum();
        let folded = (0..4).fold(sum, |sum, _| (sum >> 16) + (sum & 0xFFFF));
        // Of UDP a sum of 0 is none (`skb_checksum_help`).
        let sum = Some(!(folded as u16)).filter(|&sum| sum != 0).unwrap_or(0xFFFF);
        written[start + usize::from(self.offset)..][..2].copy_from_slice(&sum.to_be_bytes());
        written
    }
}

/// A frame whose checksum is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChecksumCase {
    /// What is overwritten.
    pub what: &'static str,
    /// The frame.
    pub frame: Vec<u8>,
    /// Where the checksum is left.
    pub checksum: LeftChecksum,
    /// Whether an honest host leaves it there.
    pub is_honest: bool,
}

impl ChecksumCase {
    /// What the kernel says of the frame.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts { checksum_at: ChecksumPlace::at(self.checksum.at()), ..Facts::of(&self.frame) }
    }
}

const ARP: u16 = 0x0806;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const IPV4_IN_IP: u8 = 4;
const SCTP: u8 = 132;
/// From where on kernels of today take a sum (`__virtio_net_hdr_to_skb` in
/// <https://github.com/torvalds/linux/blob/v6.18/include/linux/virtio_net.h>). Older ones take it from any byte on, and
/// forget one that is left in the Ethernet header when they receive the frame (`__skb_postpull_rcsum`).
const EARLIEST: u16 = 20;
/// Where what an IPv4 header and an IPv6 header carry begins.
const IN_IPV4: u16 = 34;
const IN_IPV6: u16 = 54;

/// Frames from one party to another, each of them honest in all of its bytes. What an honest host leaves is among them.
#[must_use]
pub fn checksum_cases(from: &Party, to: &Party) -> Vec<ChecksumCase> {
    let table = CaseTable::new(from, to);
    let mut cases = Vec::new();
    let mut add = |what, frame: &[u8], start, offset, is_honest| {
        let checksum = LeftChecksum { start, offset };
        cases.push(ChecksumCase { what, frame: frame.to_vec(), checksum, is_honest });
    };
    let claim = [arp(2, (from.mac, from.v4), (to.mac, to.v4)), [0; 18].to_vec()].concat();
    let claim = ethernet(from.mac, to.mac, ARP, &claim);
    add("the sender's address in ARP", &claim, EARLIEST, 10, false);
    add("the sender's hardware address in ARP", &claim, EARLIEST, 6, false);
    let segment = tcp(0x10, PAYLOAD);
    let v4 = table.ipv4_frame(TCP, 0, &[], &segment);
    add("the IPv4 source, from before it", &v4, EARLIEST, 8, false);
    add("the IPv4 source, from it on", &v4, 28, 0, false);
    add("the IPv4 protocol", &v4, EARLIEST, 2, false);
    add("the TCP flags", &v4, IN_IPV4, 12, false);
    add("the last byte before the TCP checksum", &v4, IN_IPV4, 15, false);
    add("what a segment carries", &v4, IN_IPV4, 20, false);
    add("TCP's own", &v4, IN_IPV4, 16, true);
    let v6 = table.ipv6_frame(TCP, 64, &segment);
    add("the end of the IPv6 source", &v6, EARLIEST, 16, false);
    add("the beginning of the IPv6 source", &v6, EARLIEST, 2, false);
    add("the TCP ports, over IPv6", &v6, IN_IPV6, 2, false);
    add("TCP's own, over IPv6", &v6, IN_IPV6, 16, true);
    let datagram = udp(1000, 2000, PAYLOAD);
    let v4 = table.ipv4_frame(UDP, 0, &[], &datagram);
    add("the UDP port", &v4, IN_IPV4, 2, false);
    add("the UDP length", &v4, IN_IPV4, 4, false);
    add("UDP's own", &v4, IN_IPV4, 6, true);
    // Of VXLAN, with headers of Ethernet and IPv4 inside.
    add("that of what a tunnel carries", &v4, IN_IPV4 + 8 + 8 + 34, 0, true);
    let v6 = table.ipv6_frame(UDP, 64, &datagram);
    add("the hop limit", &v6, EARLIEST, 0, false);
    add("UDP's own, over IPv6", &v6, IN_IPV6, 6, true);
    let echo = table.ipv4_frame(ICMP, 0, &[], &[&[8, 0, 0, 0, 0, 1, 0, 1][..], PAYLOAD].concat());
    add("the ICMP type", &echo, IN_IPV4, 0, false);
    add("ICMP's own", &echo, IN_IPV4, 2, true);
    let tunnel = table.ipv4_frame(IPV4_IN_IP, 0, &[], &table.ipv4_frame(TCP, 0, &[], &segment)[14..]);
    add("the IPv4 source before a tunnel", &tunnel, IN_IPV4 - 8, 2, false);
    add("TCP's in a packet in a packet", &tunnel, IN_IPV4 + 20, 16, true);
    let sctp = table.ipv4_frame(SCTP, 0, &[], &[&[0; 12][..], PAYLOAD].concat());
    add("SCTP's own", &sctp, IN_IPV4, 8, true);
    cases
}
