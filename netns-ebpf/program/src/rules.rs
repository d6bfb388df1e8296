//! The rules of ports: what user space has written of a slot.

use netns_packet::Rules;
use netns_packet::layout::{PortRules, control};

use crate::maps::POLICIES;

/// The rules that hold of a port's slot.
#[inline(always)]
pub(crate) fn rules_at<'a>(slot: u32, control: u32) -> Option<&'a Rules> {
    let policy = POLICIES.get_ptr(slot)?;
    // SAFETY: the element is valid while the program runs.
    Some(unsafe { rules_of(policy, control) })
}

/// The rules that hold.
///
/// # Safety
/// `policy` points at an element of the map, valid while the program runs.
#[inline(always)]
pub(crate) unsafe fn rules_of<'a>(policy: *const PortRules, control: u32) -> &'a Rules {
    // SAFETY: by the caller's promise. User space writes to the rules that do not hold only, so nobody changes these while
    // they are borrowed.
    unsafe { &(*policy).rules[usize::from(control & control::ACTIVE != 0)] }
}

/// Which port a slot is of; 0 if of none.
#[inline(always)]
pub(crate) fn ifindex_of(slot: u32) -> u32 {
    // SAFETY: the word is an aligned one of the map, valid while the program runs; user space stores it whole.
    POLICIES.get_ptr(slot).map_or(0, |policy| unsafe { (&raw const (*policy).ifindex).read_volatile() })
}

/// The control word of a slot's policy.
#[inline(always)]
pub(crate) fn control_at(slot: u32) -> u32 {
    POLICIES.get_ptr(slot).map_or(control::OFF, control_of)
}

#[inline(always)]
pub(crate) fn control_of(policy: *const PortRules) -> u32 {
    // SAFETY: `policy` points at an element of the map; the word is aligned, and user space stores it whole.
    unsafe { (&raw const (*policy).control).read_volatile() }
}

/// The control word and the group, of one time: user space stores both as one word.
#[inline(always)]
pub(crate) fn control_and_group_of(policy: *const PortRules) -> (u32, u32) {
    // SAFETY: `policy` points at an element of the map, whose first word is aligned; user space stores it whole.
    let word = unsafe { policy.cast::<u64>().read_volatile() };
    (word as u32, (word >> 32) as u32)
}
