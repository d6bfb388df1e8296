//! What is plain would be found to have no reason, whatever is done to it.

use etherparse::PacketBuilder;

use super::{FROM, TO, hostile::Random, rules};
use crate::packet::{ChecksumPlace, Facts, Permissions, Rules, is_plain, judge};

/// Datagrams and segments in the middle of a connection, of several lengths.
fn frames() -> Vec<Vec<u8>> {
    let builder = || PacketBuilder::ethernet2(FROM.mac, TO.mac).ipv4(FROM.v4.octets(), TO.v4.octets(), 64);
    [0, 1, 22, 1400]
        .map(|length| vec![0xA5; length])
        .iter()
        .flat_map(|payload| {
            let (mut udp, mut tcp) = (Vec::new(), Vec::new());
            builder().udp(1000, 53).write(&mut udp, payload).unwrap();
            builder().tcp(1000, 80, 7, 9000).ack(8).psh().write(&mut tcp, payload).unwrap();
            [udp, tcp]
        })
        .collect()
}

/// Makes the sum of a header without options right again.
fn sum_up(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34].chunks(2).map(|half| u32::from(half[0]) << 8 | u32::from(half[1])).sum();
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = !((sum >> 16) + sum) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// Rules of several kinds, by a number.
fn some_rules(number: usize) -> Rules {
    match number % 3 {
        0 => rules(),
        1 => rules().permitting(Permissions::VLAN.with(Permissions::DHCP_SERVER)),
        _ => Rules::new(FROM.mac).with_ipv4(FROM.v4, 0).unwrap(),
    }
}

/// Judges a frame that may be spoilt; whether it is plain.
fn check(frame: &[u8], facts: Facts, rules: &Rules) -> bool {
    let is_plain = is_plain(frame, facts, rules);
    if is_plain {
        assert_eq!(judge(frame, facts, rules), Ok(()), "{frame:02x?} {facts:?} {rules:?}");
    }
    is_plain
}

#[test]
fn ordinary_traffic_is_plain() {
    for frame in frames() {
        for number in 0..3 {
            assert!(check(&frame, Facts::of(&frame), &some_rules(number)), "{frame:02x?}");
            assert!(check(&frame, Facts { is_train: true, ..Facts::of(&frame) }, &some_rules(number)));
        }
    }
}

#[test]
fn no_byte_makes_a_wrong_frame_plain() {
    let mut plain = 0_u32;
    for whole in frames() {
        for at in 0..whole.len().min(60) {
            for value in 0..=u8::MAX {
                for variant in 0..12 {
                    let mut frame = whole.clone();
                    frame[at] = value;
                    if variant % 2 == 0 {
                        sum_up(&mut frame);
                    }
                    let (number, is_other) = (variant / 2 % 3, variant >= 6);
                    // Behind a short packet there may be something; the kernel takes a tag out.
                    let length = frame.len() as u32 + if is_other { 18 } else { 0 };
                    let checksum_at = [u32::MAX, 50, 40].map(ChecksumPlace::from_bits)[variant % 3];
                    let facts =
                        Facts { length, is_train: is_other, has_tag: is_other && number == 0, checksum_at };
                    plain += u32::from(check(&frame, facts, &some_rules(number)));
                }
            }
        }
    }
    assert!(plain > 100_000, "{plain}: much can be changed that is nobody's business");
}

#[test]
fn what_bridges_keep_for_themselves_is_not_plain() {
    for mut frame in frames() {
        for last in 0..=u8::MAX {
            frame[..6].copy_from_slice(&[1, 0x80, 0xC2, 0, 0, last]);
            assert_eq!(check(&frame, Facts::of(&frame), &rules()), last >= 0x10, "{last:02x}");
        }
    }
}

#[test]
fn no_bytes_make_a_wrong_frame_plain() {
    let (frames, mut random, mut plain) = (frames(), Random(0xD134_2543_DE82_EF95), 0_u32);
    for round in 0..500_000 {
        let mut frame = frames[random.below(frames.len())].clone();
        for _ in 0..=random.below(3) {
            // Where the headers are, and the bits one by one, so that some of it stays plain.
            let at = random.below(frame.len().min(50));
            frame[at] ^= 1 << random.below(8);
        }
        if random.below(8) > 0 {
            sum_up(&mut frame);
        }
        if random.below(8) == 0 {
            frame.truncate(random.below(frame.len() + 1));
        }
        plain += u32::from(check(&frame, Facts::of(&frame), &some_rules(round)));
    }
    assert!(plain > 10_000, "{plain}");
}
