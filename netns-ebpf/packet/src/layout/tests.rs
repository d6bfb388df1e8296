//! Tests of the arithmetic that both sides do.

use super::{MAX_SLOTS, counter_index};

#[test]
fn each_slot_and_cpu_has_its_line() {
    assert_eq!(counter_index(0, 0, 2), Some(0));
    assert_eq!(counter_index(0, 1, 2), Some(1));
    assert_eq!(counter_index(7, 1, 2), Some(15));
    assert_eq!(counter_index(u32::from(MAX_SLOTS), 8191, 8192), Some(65_536 * 8192 - 1));
}

#[test]
fn a_cpu_beyond_the_lines_has_none() {
    assert_eq!(counter_index(0, 2, 2), None, "or it would write another slot's");
    assert_eq!(counter_index(0, 0, 0), None);
}

#[test]
fn what_no_index_can_hold_has_none() {
    assert_eq!(counter_index(u32::MAX, 1, 2), None);
    assert_eq!(counter_index(u32::MAX, 0, 1), Some(u32::MAX));
}
