//! Tests of where pairs are.

use super::{DEFAULT_PAIRS, PAIR_GROUP, PairKey, pair_bits, pair_home};

/// How many pairs the fullest group has, when these ports and the host all send to each other.
fn fullest(ports: &(impl Iterator<Item = u32> + Clone), bits: u32) -> u32 {
    let mut groups = vec![0; 1 << (bits - PAIR_GROUP.trailing_zeros())];
    for to in ports.clone() {
        for from in ports.clone().chain([0]) {
            groups[(pair_home(PairKey { from, to }, bits) / PAIR_GROUP) as usize] += 1;
        }
    }
    groups.into_iter().max().unwrap_or_default()
}

#[test]
fn a_full_table_has_room_for_every_pair() {
    let bits = pair_bits(DEFAULT_PAIRS);
    for first in [1, 2, 100, 3840, 65_280] {
        assert!(fullest(&(first..first + 255), bits) <= PAIR_GROUP, "slots from {first} on");
    }
    for step in [2, 3, 16, 255, 256] {
        assert!(fullest(&(0..255).map(|port| 1 + port * step), bits) <= PAIR_GROUP, "every {step}th slot");
    }
}

#[test]
fn small_tables_have_room_too() {
    for ports in 1..=64 {
        assert!(fullest(&(1..=ports), pair_bits(ports * (ports + 1))) <= PAIR_GROUP, "{ports} ports");
    }
}

#[test]
fn tables_are_twice_as_large_as_asked_and_a_group_at_least() {
    assert_eq!(1 << pair_bits(1), PAIR_GROUP);
    assert_eq!(1 << pair_bits(32), PAIR_GROUP);
    assert_eq!(1 << pair_bits(33), 2 * PAIR_GROUP);
    assert_eq!(1 << pair_bits(DEFAULT_PAIRS), 2 * DEFAULT_PAIRS);
    assert_eq!(pair_bits(u32::MAX), 33);
}

#[test]
fn a_key_is_a_word_and_no_other() {
    let key = PairKey { from: 0xFFFF, to: 1 };
    assert_eq!(PairKey::from_word(key.word()), Some(key));
    assert_eq!(PairKey::from_word(PairKey { from: 0, to: 1 }.word()), Some(PairKey { from: 0, to: 1 }));
    assert_eq!(PairKey::from_word(PairKey::NONE), None);
    assert_eq!(PairKey::from_word(PairKey::CLEARING), None);
}
