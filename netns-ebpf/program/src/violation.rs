//! Violations: counting them, and writing them to the ring buffer.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::programs::TcContext;
use core::hint::black_box;
use netns_packet::REASONS;
use netns_packet::layout::{Dropped, Violations, WINDOW_SHIFT, control};

use crate::Fate;
use crate::atomic;
use crate::copy;
use crate::frame::Frame;
use crate::maps::{EVENT_LIMIT, EVENTS, VIOLATIONS};
use crate::verdicts;

/// No code of a reason.
pub(crate) const NO_REASON: u32 = u8::MAX as u32;

/// Counts and reports a violation of the port of this slot; not 0 if the frame is to be dropped. A function of its own in
/// the kernel too, because the stacks of functions that call each other add up (512 bytes).
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn counted(skb: *mut __sk_buff, slot: u32, control: u32, reason: u32) -> u32 {
    verdicts::note(skb, reason as u8 + 1);
    let context = TcContext::new(skb);
    let frame = Frame::read(&context, slot);
    u32::from(matches!(violation(&context, &frame, slot, reason as u8, control), Fate::Drop))
}

/// Counts and reports a violation of the port `slot`, and decides.
#[inline(always)]
pub(crate) fn violation(context: &TcContext, frame: &Frame, slot: u32, reason: u8, control: u32) -> Fate {
    let fate = if control & control::MODE == control::ENFORCE { Fate::Drop } else { Fate::Pass };
    let Some(violations) = VIOLATIONS.get_ptr_mut(slot) else { return fate };
    // The compiler knows that every code is below the number of counters, and the verifier has to see it.
    let code = usize::from(black_box(reason));
    if code < REASONS {
        // SAFETY: `violations` points at an element of the map, valid while the program runs; the counter is in it.
        unsafe { atomic::add((&raw mut (*violations).packets).cast::<u64>().add(code), 1) };
    }
    if matches!(fate, Fate::Drop) && slot == frame.slot {
        // SAFETY: as above.
        unsafe { drop_counted(&raw mut (*violations).dropped_rx, frame) };
    }
    report(context, frame, slot, violations, reason, fate);
    fate
}

/// Counts a frame as dropped.
///
/// # Safety
/// `dropped` points into a map's element that is valid while the program runs.
#[inline(always)]
pub(crate) unsafe fn drop_counted(dropped: *mut Dropped, frame: &Frame) {
    // SAFETY: the caller's promise covers both, which are aligned by their layout.
    unsafe {
        atomic::add(&raw mut (*dropped).packets, 1);
        atomic::add(&raw mut (*dropped).bytes, frame.bytes);
    }
}

/// Reports a violation, unless the port had enough of them of late. Each is counted once: as reported, suppressed or lost.
#[inline(always)]
fn report(
    context: &TcContext,
    frame: &Frame,
    slot: u32,
    violations: *mut Violations,
    reason: u8,
    fate: Fate,
) {
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_ns() };
    // SAFETY: `violations` points at an element of the map, valid while the program runs; the fields are aligned by its
    // layout. The window is read and written as a whole; of two CPUs at the same time one may not be counted, so a port
    // on two CPUs can have a little more than the limit.
    let counter = unsafe {
        let window = &raw mut (*violations).window;
        let (seen, now) = (window.read_volatile(), time >> WINDOW_SHIFT << 16);
        let count = if seen & !0xFFFF == now { seen & 0xFFFF } else { 0 };
        if count >= u64::from(EVENT_LIMIT.load()) {
            &raw mut (*violations).suppressed
        } else {
            window.write_volatile(now | (count + 1));
            if submit(context, frame, slot, time, reason, fate) {
                &raw mut (*violations).reported
            } else {
                &raw mut (*violations).lost
            }
        }
    };
    // SAFETY: as above.
    unsafe { atomic::add(counter, 1) };
}

/// Writes an event into the ring buffer; false if there is no room.
#[inline(always)]
fn submit(context: &TcContext, frame: &Frame, slot: u32, time: u64, reason: u8, fate: Fate) -> bool {
    let Some(mut entry) = EVENTS.reserve(0) else { return false };
    let event = entry.as_mut_ptr();
    // SAFETY: `event` is room for one event that nobody else has. The bytes of `frame` after those that are captured are
    // never read.
    unsafe {
        (&raw mut (*event).time).write(time);
        (&raw mut (*event).slot).write(slot);
        (&raw mut (*event).length).write(frame.bytes as u32);
        (&raw mut (*event).tag).write(frame.tag);
        (&raw mut (*event).reason).write(reason);
        (&raw mut (*event).dropped).write(u8::from(matches!(fate, Fate::Drop)));
        let captured = copy::start(context.skb.skb, frame.bytes as u32, &raw mut (*event).frame);
        (&raw mut (*event).captured).write(captured as u16);
    }
    entry.submit(0);
    true
}
