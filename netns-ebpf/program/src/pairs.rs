//! Counting pairs, in a table that all CPUs share: see [`netns_packet::layout`].

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use netns_packet::layout::{PAIR_GROUP, PairKey, PairLine, pair_home};

use crate::frame::Frame;
use crate::maps::{LOST, PAIR_BITS, PAIRS};
use crate::{atomic, count, log};

/// What [`pair_line`] answers if there is no room.
const NO_LINE: u32 = u32::MAX;

/// Whether pairs are counted, and so it has to be known where a frame comes from.
#[inline(always)]
pub(crate) fn are_wanted() -> bool {
    PAIR_BITS.load() != 0
}

/// Counts a frame for the pair (where it came from, this port).
#[inline(always)]
pub(crate) fn count(frame: &Frame, from: u32) {
    let key = PairKey { from, to: frame.slot };
    let home = pair_home(key, PAIR_BITS.load());
    // Nearly every pair is in one of these, which are in one cache line.
    for number in [home, home ^ 1] {
        if let Some(line) = line_of(number, key) {
            return add(line, frame);
        }
    }
    match PAIRS.get_ptr_mut(pair_line(key.from, key.to)) {
        Some(line) => add(line, frame),
        None => lose(frame, key),
    }
}

/// The line of this number, if it is this pair's.
#[inline(always)]
fn line_of(number: u32, key: PairKey) -> Option<*mut PairLine> {
    // SAFETY: the word is an aligned one of the map, valid while the program runs.
    PAIRS
        .get_ptr_mut(number)
        .filter(|&line| unsafe { (&raw const (*line).key).read_volatile() } == key.word())
}

/// The number of a pair's line, which is made if there is none yet; [`NO_LINE`] if there is no room.
///
/// A function of its own in the kernel too: it runs for pairs that are new, and for the few that have not found room
/// where they are looked for first. Two CPUs that make a pair's line at the same moment take the same one, unless user
/// space clears one just then; the pair has two in that case, and user space adds them up.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pair_line(from: u32, to: u32) -> u32 {
    let key = PairKey { from, to };
    let home = pair_home(key, PAIR_BITS.load());
    for step in 0..PAIR_GROUP {
        if line_of(home ^ step, key).is_some() {
            return home ^ step;
        }
    }
    for step in 0..PAIR_GROUP {
        let Some(line) = PAIRS.get_ptr_mut(home ^ step) else { return NO_LINE };
        // SAFETY: the word is an aligned one of the map, valid while the program runs.
        let before = unsafe { atomic::exchange_if(&raw mut (*line).key, PairKey::NONE, key.word()) };
        if before == PairKey::NONE || before == key.word() {
            return home ^ step;
        }
    }
    NO_LINE
}

#[inline(always)]
fn add(line: *mut PairLine, frame: &Frame) {
    // SAFETY: `line` points at an element of the map, valid while the program runs, aligned by its layout.
    unsafe {
        atomic::add(&raw mut (*line).packets, 1);
        atomic::add(&raw mut (*line).bytes, frame.bytes);
    }
}

/// Counts a frame whose pair has no room.
#[inline(always)]
fn lose(frame: &Frame, key: PairKey) {
    // SAFETY: the helper has no preconditions.
    let Some(lost) = LOST.get_ptr_mut(unsafe { bpf_get_smp_processor_id() }) else { return };
    // SAFETY: `lost` is this CPU's element, valid while the program runs, its fields aligned by their layout.
    let packets =
        unsafe { count::add([(&raw mut (*lost).bytes, frame.bytes), (&raw mut (*lost).packets, 1)]) };
    if packets.is_power_of_two() {
        log::no_room(key, packets);
    }
}
