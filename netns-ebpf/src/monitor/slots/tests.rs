//! Tests of who gets which slot.

use super::{Slot, Slots};
use crate::layout::PairKey;

fn slot(number: u16) -> Slot {
    Slot::new(number).expect("not 0")
}

#[test]
fn zero_is_no_slot() {
    assert_eq!(Slot::new(0), None);
    assert_eq!(slot(1).get(), 1);
    assert_eq!(slot(u16::MAX).get(), 65_535);
}

#[test]
fn slots_come_in_order_and_end() {
    let mut slots = Slots::new(2);
    assert_eq!(slots.take(10), Some(slot(1)));
    assert_eq!(slots.take(11), Some(slot(2)));
    assert_eq!(slots.next(99), None);
    assert_eq!(slots.take(12), None);
    assert_eq!(slots.used().collect::<Vec<_>>(), [(slot(1), 10), (slot(2), 11)]);
}

#[test]
fn a_released_slot_waits_behind_all_others() {
    let mut slots = Slots::new(3);
    slots.take(10);
    assert_eq!(slots.release(slot(1)), Some(()));
    assert_eq!(slots.take(11), Some(slot(2)));
    assert_eq!(slots.take(12), Some(slot(3)));
    assert_eq!(slots.next(99), Some((slot(1), true)), "and has to be cleared of pairs");
}

#[test]
fn only_a_slot_in_use_can_be_released() {
    let mut slots = Slots::new(1);
    assert_eq!(slots.release(slot(1)), None);
    assert_eq!(slots.release(slot(2)), None, "not even one of this monitor's");
    slots.take(10);
    assert_eq!(slots.release(slot(1)), Some(()));
    assert_eq!(slots.release(slot(1)), None);
}

#[test]
fn a_port_is_found_while_it_has_its_slot() {
    let mut slots = Slots::new(2);
    slots.take(10);
    assert_eq!(slots.of_port(10), Some(slot(1)));
    assert_eq!(slots.port(slot(1)), Some(10));
    slots.release(slot(1));
    assert_eq!(slots.of_port(10), None);
    assert_eq!(slots.port(slot(1)), None);
}

#[test]
fn a_pair_has_ends_while_both_are_there() {
    let mut slots = Slots::new(3);
    slots.take(10);
    slots.take(11);
    assert_eq!(slots.ends(PairKey { from: 1, to: 2 }), Some((Some(slot(1)), slot(2))));
    assert_eq!(slots.ends(PairKey { from: 0, to: 2 }), Some((None, slot(2))), "the host sends");
    assert_eq!(slots.ends(PairKey { from: 3, to: 2 }), None, "3 was never given out");
    assert_eq!(slots.ends(PairKey { from: 1, to: 0 }), None, "nobody counts a pair towards no port");
    assert_eq!(slots.ends(PairKey { from: 70_000, to: 1 }), None);
    slots.release(slot(1));
    assert_eq!(slots.ends(PairKey { from: 1, to: 2 }), None);
}

#[test]
fn clearing_spares_the_slots_released_last() {
    let mut slots = Slots::new(4);
    for ifindex in 10..14 {
        slots.take(ifindex);
    }
    for number in 1..=4 {
        slots.release(slot(number));
    }
    slots.cleared();
    for (number, stale) in [(1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(slots.next(99), Some((slot(number), stale)));
        slots.take(20);
    }
}

#[test]
fn a_slot_is_kept_for_its_port_until_nobody_is_waited_for() {
    let mut slots = Slots::new(3);
    slots.reserve(slot(1), 10);
    slots.reserve(slot(9), 11);
    assert!(slots.is_reserved(10) && !slots.is_reserved(11));
    assert_eq!((slots.take(12), slots.count()), (Some(slot(2)), 1));
    assert_eq!(slots.next(10), Some((slot(1), false)));
    assert_eq!((slots.take(10), slots.take(11), slots.take(13)), (Some(slot(1)), Some(slot(3)), None));

    let mut slots = Slots::new(2);
    slots.reserve(slot(2), 10);
    slots.reserve(slot(1), 10);
    assert_eq!(slots.take(11), Some(slot(2)), "a port has one");
    assert_eq!(slots.take(12), None);
    slots.end_reservations();
    assert_eq!(slots.take(12), Some(slot(1)));
}
