//! Counting what was decided of each frame, by where it was sent: see [`netns_packet::layout`].
//!
//! What is found on a frame's way through the program is noted in its scratch space (`cb`, as [`crate::frame::remember_carried`]
//! has it) and counted at the end. Where verdicts are not counted the verifier takes all of it out ([`VERDICT_BITS`]).

use aya_ebpf::bindings::{__sk_buff, BPF_F_MMAPABLE};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{
    NO_SLOT, PAIR_GROUP, PairSender, PairUse, VerdictKey, VerdictLine, control, first_come, verdict_home,
    verdict_note,
};

use crate::frame::{self, Frame};
use crate::maps::{VERDICT_BITS, VERDICT_SEED};
use crate::pairs::add_lines;
use crate::{Fate, atomic, packet, rules};

/// The table. Mapped by user space, as all of these.
#[btf_map]
static VERDICTS: Array<VerdictLine, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What each sender has of [`VERDICTS`].
#[btf_map]
static VERDICT_SENDERS: Array<PairSender, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What all have of [`VERDICTS`].
#[btf_map]
static VERDICT_USE: Array<PairUse, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Whether no verdict is counted.
#[inline(always)]
fn are_off() -> bool {
    VERDICT_BITS.load() == 0
}

/// Notes that nothing is known of a frame yet.
#[inline(always)]
pub(crate) fn begin(context: &TcContext) {
    note(context.skb.skb, verdict_note::NONE);
}

/// Notes what was found of a frame at its sender's port.
#[inline(always)]
pub(crate) fn note(skb: *mut __sk_buff, note: u8) {
    if !are_off() {
        // SAFETY: as in `frame::remember_carried`.
        unsafe { (&raw mut (*skb).cb[1]).write_volatile(u32::from(note)) };
    }
}

/// Counts a frame that the port of this slot sent, and that this becomes of.
#[inline(always)]
pub(crate) fn decided(context: &TcContext, slot: u32, fate: Fate) {
    if !are_off() {
        // SAFETY: as in `Frame::read`.
        let note = unsafe { (&raw const (*context.skb.skb).cb[1]).read_volatile() };
        verdict(context.skb.skb, slot, note, u32::from(matches!(fate, Fate::Drop)));
    }
}

/// Counts a frame that has passed the port of this slot, and for this reason may not go to the port that it is at.
#[inline(always)]
pub(crate) fn kept_apart(context: &TcContext, slot: u32, reason: u8, fate: Fate) {
    if !are_off() {
        let is_dropped = u32::from(matches!(fate, Fate::Drop));
        verdict(context.skb.skb, slot, u32::from(reason) + 1, is_dropped);
    }
}

/// Counts a frame of the port of this slot. Returns nothing that matters.
///
/// A bridge, at which the host receives, has a slot, too. There a frame has passed its port already, and what is found is
/// counted for the slot that it carries.
///
/// A function of its own in the kernel too, as those of `meter`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn verdict(skb: *mut __sk_buff, slot: u32, note: u32, is_dropped: u32) -> u32 {
    if are_off() {
        return 0;
    }
    let context = TcContext::new(skb);
    let is_at_host = rules::control_at(slot) & control::MODE == control::HOST;
    if is_at_host && note == u32::from(verdict_note::NONE) {
        return 0;
    }
    let slot = if is_at_host { frame::carried(&context) } else { slot };
    // What has no line of its own counts for `NO_SLOT`, as in `count`.
    let slot = if VERDICT_SENDERS.get_ptr(slot).is_some() { slot } else { NO_SLOT };
    let key = VerdictKey::new(slot as u16, note as u8, is_dropped != 0);
    let VerdictKey { what, destination: [high, low] } = match packet::read(skb) {
        Some(packet) => key.to(packet.destination, packet.protocol, packet.port()),
        None => key,
    };
    verdict_line(what, high, low, Frame::read(&context, slot).bytes)
}

/// Adds a frame of so many bytes to the line of its key, which is made if there is none yet. If there is no room, or the
/// sender has no share left, the frame is counted as lost for it.
///
/// As `pairs::pair_line`. Two CPUs that make the line of a key at the same moment may make two of it, and user space adds them
/// up.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn verdict_line(what: u64, high: u64, low: u64, bytes: u64) -> u32 {
    let key = VerdictKey { what, destination: [high, low] };
    let home = verdict_home(&key, VERDICT_SEED.load(), VERDICT_BITS.load());
    // SAFETY: the helper has no preconditions. It is the clock of the last tick, which is near enough, and quick to read.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    for step in 0..PAIR_GROUP {
        if let Some(line) = line_of(home ^ step, &key) {
            add(line, bytes, now);
            return 1;
        }
    }
    let slot = u32::from(key.slot());
    let (Some(sender), Some(all)) = (VERDICT_SENDERS.get_ptr_mut(slot), VERDICT_USE.get_ptr_mut(0)) else {
        return 0;
    };
    // SAFETY: as in `pair_line`.
    unsafe {
        let taken = (&raw const (*all).lines).read_volatile();
        let its_lines = (&raw const (*sender).lines).read_volatile();
        let share = (&raw const (*all).share).read_volatile();
        if taken < first_come(1 << VERDICT_BITS.load()) || its_lines < share {
            add_lines(sender, all, 1);
            for step in 0..PAIR_GROUP {
                let Some(line) = VERDICTS.get_ptr_mut(home ^ step) else { break };
                if claim(line, &key, now) {
                    add(line, bytes, now);
                    return 1;
                }
            }
            add_lines(sender, all, u64::MAX);
        }
        atomic::add(&raw mut (*sender).lost_packets, 1);
        atomic::add(&raw mut (*sender).lost_bytes, bytes);
    }
    0
}

/// The line of this number, if it is this key's.
#[inline(always)]
fn line_of(number: u32, key: &VerdictKey) -> Option<*mut VerdictLine> {
    // SAFETY: the words are aligned ones of the map, valid while the program runs.
    VERDICTS.get_ptr_mut(number).filter(|&line| unsafe {
        (&raw const (*line).what).read_volatile() == key.what
            && (&raw const (*line).destination[0]).read_volatile() == key.destination[0]
            && (&raw const (*line).destination[1]).read_volatile() == key.destination[1]
    })
}

/// Gives a line that is nobody's to a key; false if it is somebody's. Its counters are zero.
///
/// # Safety
/// `line` points at an element of the map that is valid while the program runs.
#[inline(always)]
unsafe fn claim(line: *mut VerdictLine, key: &VerdictKey, now: u64) -> bool {
    // SAFETY: by the caller's promise, and the fields are aligned by their layout. Between the two exchanges, which are
    // ordered towards the stores between them, nobody else writes to the line.
    unsafe {
        let what = &raw mut (*line).what;
        if atomic::exchange_if(what, VerdictKey::NONE, VerdictKey::CLAIMED) != VerdictKey::NONE {
            return false;
        }
        (&raw mut (*line).destination[0]).write_volatile(key.destination[0]);
        (&raw mut (*line).destination[1]).write_volatile(key.destination[1]);
        (&raw mut (*line).first).write_volatile(now);
        atomic::exchange_if(what, VerdictKey::CLAIMED, key.what);
    }
    true
}

#[inline(always)]
fn add(line: *mut VerdictLine, bytes: u64, now: u64) {
    // SAFETY: `line` points at an element of the map, valid while the program runs, aligned by its layout.
    unsafe {
        atomic::add(&raw mut (*line).packets, 1);
        atomic::add(&raw mut (*line).bytes, bytes);
        (&raw mut (*line).last).write_volatile(now);
    }
}
