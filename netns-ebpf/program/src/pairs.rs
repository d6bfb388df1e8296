//! Counting pairs, in a table that all CPUs share: see [`netns_packet::layout`].

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::btf_map;
use netns_packet::layout::{PAIR_GROUP, PairKey, PairLine, PairSender, PairUse, first_come, pair_home};

use crate::add;
use crate::frame::Frame;
use crate::maps::{LOST, PAIR_BITS, PAIRS};
use crate::{atomic, log};

/// What each sender has of [`PAIRS`]. Mapped like it.
#[btf_map]
static SENDERS: Array<PairSender, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What all have of [`PAIRS`]. Mapped like it.
#[btf_map]
static PAIR_USE: Array<PairUse, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

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
    match PAIRS.get_ptr_mut(pair_line(key.from, key.to, frame.bytes)) {
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

/// The number of a pair's line, which is made if there is none yet; [`NO_LINE`] if there is no room, or the sender has no
/// share left: then a frame of so many bytes is counted as lost for it.
///
/// A function of its own in the kernel too: it runs for pairs that are new, and for the few that have not found room
/// where they are looked for first. Two CPUs that make a pair's line at the same moment take the same one, unless user
/// space clears one just then; the pair has two in that case, and user space adds them up.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pair_line(from: u32, to: u32, bytes: u64) -> u32 {
    let key = PairKey { from, to };
    let home = pair_home(key, PAIR_BITS.load());
    for step in 0..PAIR_GROUP {
        if line_of(home ^ step, key).is_some() {
            return home ^ step;
        }
    }
    let (Some(sender), Some(all)) = (SENDERS.get_ptr_mut(from), PAIR_USE.get_ptr_mut(0)) else {
        return NO_LINE;
    };
    // SAFETY: `sender` and `all` are elements of maps, valid while the program runs, their fields aligned by their layout.
    // Others write them meanwhile, so that a few lines more than the share may be given out, one for each CPU.
    unsafe {
        let taken = (&raw const (*all).lines).read_volatile();
        let its_lines = (&raw const (*sender).lines).read_volatile();
        let share = (&raw const (*all).share).read_volatile();
        if taken < first_come(1 << PAIR_BITS.load()) || its_lines < share {
            // Before it is made, so that user space, which clears it, never takes back more than was added.
            add_lines(sender, all, 1);
            for step in 0..PAIR_GROUP {
                let Some(line) = PAIRS.get_ptr_mut(home ^ step) else { break };
                let before = atomic::exchange_if(&raw mut (*line).key, PairKey::NONE, key.word());
                if before == PairKey::NONE {
                    return home ^ step;
                }
                if before == key.word() {
                    add_lines(sender, all, u64::MAX);
                    return home ^ step;
                }
            }
            add_lines(sender, all, u64::MAX);
        }
        atomic::add(&raw mut (*sender).lost_packets, 1);
        atomic::add(&raw mut (*sender).lost_bytes, bytes);
    }
    NO_LINE
}

/// Adds so many lines, or, with `u64::MAX`, takes one back.
///
/// # Safety
/// Both point at elements of maps that are valid while the program runs, their fields aligned by their layout.
#[inline(always)]
pub(crate) unsafe fn add_lines(sender: *mut PairSender, all: *mut PairUse, lines: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        atomic::add(&raw mut (*sender).lines, lines);
        atomic::add(&raw mut (*all).lines, lines);
    }
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
    let packets = unsafe { add::add([(&raw mut (*lost).bytes, frame.bytes), (&raw mut (*lost).packets, 1)]) };
    if packets.is_power_of_two() {
        log::no_room(key, packets);
    }
}
