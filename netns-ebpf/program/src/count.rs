//! Counting.
//!
//! A port's counters are sharded by CPU, so no two CPUs write a line. Nor do two runs on one CPU: both hooks run with
//! bottom halves disabled (`__dev_queue_xmit` and `__netif_receive_skb_core` in [dev.c]), and nothing above a bottom
//! half sends or receives frames through them. So the counters are added to by a plain load and a plain store. A
//! `PREEMPT_RT` kernel may let one bottom half preempt another on the same CPU (`__local_bh_disable_ip` in [softirq.c],
//! without `PREEMPT_RT_NEEDS_BH_LOCK`); there user space sets [`PREEMPTIBLE`], and the adds are atomic.
//!
//! [dev.c]: https://github.com/torvalds/linux/blob/v6.18/net/core/dev.c
//! [softirq.c]: https://github.com/torvalds/linux/blob/v6.18/kernel/softirq.c

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use netns_packet::layout::{BY_TRUNK, NEAR_LINKS, NO_SLOT, OF_HOST, PortCounters, Traffic, counter_index};

use crate::add::add;
use crate::frame::Frame;
use crate::log;
use crate::maps::{COUNTERS, CPUS, NEAR, PORTS};
use crate::{pairs, rules};

/// Counts a frame that the port received from its namespace.
#[inline(always)]
pub(crate) fn received(frame: &Frame) {
    let Some((slot, line)) = port(frame.slot) else { return };
    // SAFETY: `line` points at this CPU's element of the map, valid while the program runs.
    let packets = unsafe { add_traffic(&raw mut (*line).rx, frame) };
    if frame.tag != 0 {
        // SAFETY: as above.
        unsafe { add([(&raw mut (*line).tagged, 1)]) };
    }
    if slot == NO_SLOT && packets.is_power_of_two() {
        log::no_slot(frame.slot, packets);
    }
}

/// Counts a frame that goes to the port's namespace, also for the pair it passed between.
#[inline(always)]
pub(crate) fn sent(frame: &Frame, from: u32) {
    let Some((slot, line)) = port(frame.slot) else { return };
    // SAFETY: as in `received`.
    let packets = unsafe { add_traffic(&raw mut (*line).tx, frame) };
    if frame.is_train {
        let headers = u64::from(frame.wire_bytes).saturating_sub(frame.bytes);
        // SAFETY: as above.
        unsafe { add([(&raw mut (*line).cut, headers)]) };
    }
    if slot == NO_SLOT {
        if packets.is_power_of_two() {
            log::no_slot(frame.slot, packets);
        }
    } else if pairs::are_wanted() {
        pairs::count(frame, from);
    }
}

/// This CPU's line for a slot, and the slot it really is for: what has no line of its own counts for [`NO_SLOT`].
#[inline(always)]
fn port(slot: u32) -> Option<(u32, *mut PortCounters)> {
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let cpus = CPUS.load();
    let line = |slot| COUNTERS.get_ptr_mut(counter_index(slot, cpu, cpus)?);
    match line(slot) {
        Some(line) => Some((slot, line)),
        None => Some((NO_SLOT, line(NO_SLOT)?)),
    }
}

/// Adds a frame, and says how many packets there are now.
///
/// # Safety
/// `traffic` points into a map's element that only this CPU writes, and is valid while the program runs.
#[inline(always)]
unsafe fn add_traffic(traffic: *mut Traffic, frame: &Frame) -> u64 {
    // SAFETY: the caller's promise covers all three fields, which are aligned by their layout.
    unsafe {
        add([
            (&raw mut (*traffic).bytes, frame.bytes),
            (&raw mut (*traffic).segments, frame.segments),
            (&raw mut (*traffic).packets, 1),
        ])
    }
}

/// The slot of the port that a frame came in by, on whichever bridge of the network that was; [`NO_SLOT`] for the
/// host and for ports without one.
///
/// Nearly always the frame carries it. Anybody may have written what it carries, so an array is asked whether that is the
/// slot of the port it came in by; only if not, the hash map, which takes longer.
#[inline(always)]
pub(crate) fn sender(frame: &Frame) -> u32 {
    if frame.from_ifindex == 0 {
        return NO_SLOT;
    }
    if frame.carried != NO_SLOT && rules::ifindex_of(frame.carried) == frame.from_ifindex {
        return frame.carried;
    }
    match slot_of(frame.from_ifindex) {
        BY_TRUNK => frame.carried,
        // What comes from a bridge, the host has passed on.
        slot if slot & OF_HOST != 0 => NO_SLOT,
        slot => slot,
    }
}

/// The slot of the port that this link is; [`NO_SLOT`] if it is none.
///
/// An array is asked first, which has the slots of most links where their number says; then the hash map, which takes
/// longer.
#[inline(always)]
pub(crate) fn slot_at(ifindex: u32) -> u32 {
    // SAFETY: the word is an aligned one of the map, valid while the program runs; user space stores it whole.
    let word = NEAR.get_ptr(ifindex % NEAR_LINKS).map_or(0, |word| unsafe { word.read_volatile() });
    if (word >> 32) as u32 == ifindex {
        return word as u32;
    }
    match slot_of(ifindex) {
        // A trunk's or a bridge's.
        slot if slot & OF_HOST != 0 => NO_SLOT,
        slot => slot,
    }
}

/// What is known of a link: the slot of a port, [`BY_TRUNK`] of a trunk, [`NO_SLOT`] of any other.
#[inline(always)]
pub(crate) fn slot_of(ifindex: u32) -> u32 {
    if ifindex == 0 {
        return NO_SLOT;
    }
    match PORTS.get_ptr(ifindex) {
        // SAFETY: valid while the program runs; user space writes an entry before its port exists, never after.
        Some(slot) => unsafe { slot.read() },
        None => NO_SLOT,
    }
}
