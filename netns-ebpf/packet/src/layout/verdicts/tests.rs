use super::{Decision, VerdictKey, verdict_home, verdict_note};
use crate::Reason;
use std::collections::HashMap;

/// A datagram of UDP to this address and port.
fn key(to: [u8; 4], port: u16, note: u8, is_dropped: bool) -> VerdictKey {
    let address = [0, 0, 0xFFFF_u32.to_be(), u32::from_ne_bytes(to)];
    VerdictKey::new(513, note, is_dropped).to(address, 17, Some(port))
}

#[test]
fn a_key_says_what_it_was_made_of() {
    let key = key([192, 0, 2, 1], 53, verdict_note::NONE, false);
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xFF, 0xFF, 192, 0, 2, 1]);
    assert_eq!((key.slot(), key.packet(), key.port()), (513, Some((mapped, 17)), Some(53)));
    assert_eq!(key.decision(), Some(Decision::Passed));

    let other = VerdictKey::new(u16::MAX, verdict_note::NONE, false);
    assert_eq!((other.slot(), other.packet(), other.port()), (u16::MAX, None, None));
    assert_eq!(VerdictKey { what: VerdictKey::CLAIMED, destination: [0; 2] }.decision(), None);
    assert_eq!(VerdictKey { what: VerdictKey::NONE, destination: [0; 2] }.decision(), None);
}

#[test]
fn every_decision_has_a_key_of_its_own() {
    let mut seen = HashMap::new();
    for &reason in Reason::ALL {
        for (is_dropped, decision) in [(true, Decision::Dropped(reason)), (false, Decision::Reported(reason))]
        {
            let key = key([192, 0, 2, 1], 53, reason.code() + 1, is_dropped);
            assert_eq!(key.decision(), Some(decision));
            assert_eq!(seen.insert(key, decision), None);
        }
    }
    for (note, decision) in
        [(verdict_note::OVER_RATE, Decision::OverRate), (verdict_note::OVER_QUOTA, Decision::OverQuota)]
    {
        let key = key([192, 0, 2, 1], 53, note, true);
        assert_eq!(key.decision(), Some(decision));
        assert_eq!(seen.insert(key, decision), None);
    }
}

/// Neighbouring addresses and ports are spread: no group of lines is given many more than its share.
#[test]
fn lines_are_spread() {
    const BITS: u32 = 14;
    let mut groups = HashMap::<u32, u32>::new();
    for number in 0..8192_u16 {
        let [high, low] = number.to_be_bytes();
        let key = key([10, 1, high, low], 1000 + number % 3, verdict_note::NONE, false);
        let home = verdict_home(&key, 0x1234_5678_9ABC_DEF0, BITS);
        assert!(home < 1 << BITS);
        *groups.entry(home / super::super::PAIR_GROUP).or_default() += 1;
    }
    // 256 groups of 64 lines, 32 keys for each.
    let fullest = groups.values().max().unwrap();
    assert!(groups.len() > 250 && *fullest < 64, "{} groups, {fullest} in the fullest", groups.len());
}
