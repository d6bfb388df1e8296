//! Whatever bytes come: no panic, and an answer.

use super::{FROM, TO, rules, verdict};
use crate::attack::cases;
use crate::packet::{ChecksumPlace, Facts, Permissions, REASONS, Reason, Rules, judge};

/// Marsaglia's xorshift: the same numbers each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn no_spoilt_frame_makes_it_panic() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let frames: Vec<_> = cases(&FROM, &TO).into_iter().flat_map(|case| [case.frame, case.near]).collect();
    let everything = [
        Permissions::VLAN,
        Permissions::ROUTER,
        Permissions::DHCP_SERVER,
        Permissions::MULTICAST_ROUTER,
        Permissions::ICMP_ERRORS,
        Permissions::DHCP_RELAY,
    ];
    let everything = everything.into_iter().fold(rules(), Rules::permitting);
    let mut seen = [0_u32; REASONS + 1];
    for round in 0..300_000 {
        let mut frame = frames[random.below(frames.len())].clone();
        for _ in 0..random.below(4) {
            let at = random.below(frame.len());
            frame[at] = random.next() as u8;
        }
        if random.below(8) == 0 {
            frame.truncate(random.below(frame.len() + 1));
        }
        // What the kernel says may be anything as well.
        let facts = Facts {
            length: if random.below(8) == 0 {
                random.next() as u32 >> random.below(32)
            } else {
                frame.len() as u32
            },
            is_train: random.below(4) == 0,
            has_tag: random.below(8) == 0,
            checksum_at: match random.below(8) {
                0 => ChecksumPlace::at(random.next() as u32 >> random.below(32)),
                _ => ChecksumPlace::NONE,
            },
        };
        let rules = if round % 2 == 0 { everything } else { rules() };
        let verdict = judge(&frame[..], facts, &rules);
        seen[verdict.err().map_or(REASONS, |reason| usize::from(reason.code()))] += 1;
    }
    for reason in Reason::ALL {
        let seen = seen[usize::from(reason.code())] > 0;
        assert_eq!(seen, reason.is_of_frame(), "the frames are spoilt in every way: {reason}");
    }
}

#[test]
fn no_noise_makes_it_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..100_000 {
        let length = random.below(200);
        let mut frame: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        // Beyond the Ethernet header, so that it is not over at once.
        if let Some(source) = frame.get_mut(6..12) {
            source.copy_from_slice(&FROM.mac);
        }
        if let Some(kind) = frame.get_mut(12..14) {
            kind.copy_from_slice(&[[8, 0], [8, 6], [0x86, 0xDD], [0x81, 0]][random.below(4)]);
        }
        let _ = verdict(&frame, &rules());
    }
}

#[test]
fn a_fragment_of_a_train_as_long_as_can_be_said_is_judged() {
    let case = cases(&FROM, &TO).into_iter().find(|case| case.reason == Reason::Ipv4Checksum).expect("one");
    let mut frame = case.near;
    // Of a train, a total length of 0 is whatever the kernel says. The last fragment there can be.
    frame[16..18].fill(0);
    frame[20..22].copy_from_slice(&[0x1F, 0xFF]);
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    let facts = Facts { length: u32::MAX, is_train: true, ..Facts::default() };
    assert_eq!(judge(&frame[..], facts, &rules()), Err(Reason::Ipv4Fragment));
}

#[test]
fn every_beginning_of_a_frame_is_judged() {
    for case in cases(&FROM, &TO) {
        for length in 0..case.near.len() {
            let _ = verdict(&case.near[..length], &rules());
        }
    }
}
