//! What the program says of itself, by aya-log. Never per frame: the callers report the 1st, 2nd, 4th, 8th... occurrence
//! on each CPU, so a CPU can say each of these 64 times at most.
//!
//! Functions of their own (in the kernel too), so that what hardly ever runs is not in the way of what does. They are
//! not `#[cold]`: that is a section of its own, and aya 0.14 takes functions at the same place of two sections for one.

use aya_log_ebpf::warn;
use netns_packet::layout::PairKey;

/// A filter hands frames over with a class id that no counters exist for.
#[inline(never)]
pub(crate) fn no_slot(class_id: u32, packets: u64) {
    warn!(&(), "class id {} of a port's filter is no slot: {} frames on this CPU so far", class_id, packets);
}

/// The table of pairs has no room.
#[inline(never)]
pub(crate) fn no_room(pair: PairKey, packets: u64) {
    let PairKey { from, to } = pair;
    warn!(&(), "no room for the pair of slots {} and {}: {} frames on this CPU so far", from, to, packets);
}
