//! Validating: the kernel's side of [`netns_packet`].

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::programs::TcContext;
use core::hint::black_box;
use netns_packet::layout::{Dropped, MAX_GROUPS, NO_SLOT, PortRules, Violations, WINDOW_SHIFT, control};
use netns_packet::{ChecksumPlace, Facts, REASONS, Reason, Rules, is_plain, judge_at_open};

use crate::Fate;
use crate::atomic;
use crate::checksum;
use crate::copy;
use crate::frame::Frame;
use crate::host;
use crate::maps::{EVENT_LIMIT, EVENTS, GROUPS, POLICIES, VIOLATIONS};
use crate::skb::Skb;
use crate::steps::Judged;

/// Judges a frame that the port received from its namespace.
#[inline(always)]
pub(crate) fn received(context: &TcContext, frame: &Frame) -> Fate {
    let Some(policy) = POLICIES.get_ptr(frame.slot) else { return Fate::Pass };
    let control = control_of(policy);
    if control & control::MODE == control::OFF {
        return Fate::Pass;
    }
    // SAFETY: `policy` points at an element of the map, valid while the program runs.
    let rules = unsafe { rules_of(policy, control) };
    let left = checksum::left(context.skb.skb);
    if is_plain(&Skb(context.skb.skb), facts(frame, left), rules) {
        return Fate::Pass;
    }
    let reason = judged(context.skb.skb, frame.slot, control, left);
    if reason == NO_REASON || violated(context.skb.skb, frame.slot, control, reason) == 0 {
        Fate::Pass
    } else {
        Fate::Drop
    }
}

/// Judges a frame that is not plain, from the port of this slot, under its policy as this [`control`] says, with a checksum
/// left as [`checksum::left`] says: the code of the reason why it may not be sent, or [`NO_REASON`].
///
/// A function of its own in the kernel too, so that all of this is not in between what runs for nearly every frame.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judged(skb: *mut __sk_buff, slot: u32, control: u32, left: u32) -> u32 {
    let context = TcContext::new(skb);
    let frame = Frame::read(&context, slot);
    let Some(rules) = rules_at(slot, control) else { return NO_REASON };
    let verdict = judge_at_open(&Judged { skb: Skb(skb), slot, control }, facts(&frame, left), rules);
    verdict.map_or_else(|reason| u32::from(reason.code()), |()| NO_REASON)
}

/// No code of a reason.
pub(crate) const NO_REASON: u32 = u8::MAX as u32;

/// What is done about a violation of the port of this slot; not 0 if the frame is to be dropped.
///
/// A bridge's own rules are a closed port's, by which every frame comes here, and it is here that what it is to the host is
/// judged: [`judged`] has no room for that.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn violated(skb: *mut __sk_buff, slot: u32, control: u32, reason: u32) -> u32 {
    if control & control::MODE == control::HOST {
        return host::at_host(skb);
    }
    let is_closed = rules_at(slot, control).is_some_and(Rules::is_closed);
    counted(skb, slot, control, if is_closed { u32::from(Reason::Closed.code()) } else { reason })
}

/// Counts and tells a violation of the port of this slot; not 0 if the frame is to be dropped. By itself as [`judged`] is,
/// and beside it rather than in it, because the stacks of functions that call each other add up (512 bytes).
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn counted(skb: *mut __sk_buff, slot: u32, control: u32, reason: u32) -> u32 {
    let context = TcContext::new(skb);
    let frame = Frame::read(&context, slot);
    u32::from(matches!(violation(&context, &frame, slot, reason as u8, control), Fate::Drop))
}

#[inline(always)]
pub(crate) const fn facts(frame: &Frame, left: u32) -> Facts {
    Facts {
        length: frame.bytes as u32,
        is_train: frame.is_train,
        has_tag: frame.tag != 0,
        checksum_at: ChecksumPlace::from_bits(left),
    }
}

/// The rules that hold of a port's slot.
#[inline(always)]
pub(crate) fn rules_at<'a>(slot: u32, control: u32) -> Option<&'a Rules> {
    let policy = POLICIES.get_ptr(slot)?;
    // SAFETY: as in `received`.
    Some(unsafe { rules_of(policy, control) })
}

/// The rules that hold.
///
/// # Safety
/// `policy` points at an element of the map, valid while the program runs.
#[inline(always)]
unsafe fn rules_of<'a>(policy: *const PortRules, control: u32) -> &'a Rules {
    // SAFETY: by the caller's promise. User space writes to the rules that do not hold only, so nobody changes these while
    // they are borrowed.
    unsafe { &(*policy).rules[usize::from(control & control::ACTIVE != 0)] }
}

/// Whether the receiver's group does not take everything, so that it matters who sends.
#[inline(always)]
pub(crate) fn wants_groups(frame: &Frame) -> bool {
    refused_by(frame.slot) != 0
}

/// Checks that a frame on its way to a port may be there, given the slot of the port that it came in by.
#[inline(always)]
pub(crate) fn sent(context: &TcContext, frame: &Frame, from: u32) -> Fate {
    let refused = refused_by(frame.slot);
    if refused == 0 || from == NO_SLOT {
        return Fate::Pass;
    }
    let Some(sender) = POLICIES.get_ptr(from) else { return Fate::Pass };
    let control = control_of(sender);
    if control & control::MODE == control::OFF || refused >> (group_of(sender) % MAX_GROUPS) & 1 == 0 {
        return Fate::Pass;
    }
    let fate = violation(context, frame, from, Reason::Group.code(), control);
    if matches!(fate, Fate::Drop)
        && let Some(receiver) = VIOLATIONS.get_ptr_mut(frame.slot)
    {
        // SAFETY: `receiver` points at an element of the map, valid while the program runs.
        unsafe { drop_counted(&raw mut (*receiver).dropped_tx, frame) };
    }
    fate
}

/// The groups, a bit each, of which a port takes nothing.
#[inline(always)]
fn refused_by(slot: u32) -> u64 {
    let Some(receiver) = POLICIES.get_ptr(slot) else { return 0 };
    if control_of(receiver) & control::MODE == control::OFF {
        return 0;
    }
    // SAFETY: the row is an aligned word of the map, valid while the program runs; user space stores it whole.
    GROUPS.get_ptr(group_of(receiver)).map_or(0, |row| unsafe { row.read_volatile() })
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
fn control_of(policy: *const PortRules) -> u32 {
    // SAFETY: `policy` points at an element of the map; the word is aligned, and user space stores it whole.
    unsafe { (&raw const (*policy).control).read_volatile() }
}

#[inline(always)]
fn group_of(policy: *const PortRules) -> u32 {
    // SAFETY: as in `control_of`.
    unsafe { (&raw const (*policy).group).read_volatile() }
}

/// Counts and tells a violation of the port `slot`, and decides.
#[inline(always)]
fn violation(context: &TcContext, frame: &Frame, slot: u32, reason: u8, control: u32) -> Fate {
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
    tell(context, frame, slot, violations, reason, fate);
    fate
}

/// Counts a frame as dropped.
///
/// # Safety
/// `dropped` points into a map's element that is valid while the program runs.
#[inline(always)]
unsafe fn drop_counted(dropped: *mut Dropped, frame: &Frame) {
    // SAFETY: the caller's promise covers both, which are aligned by their layout.
    unsafe {
        atomic::add(&raw mut (*dropped).packets, 1);
        atomic::add(&raw mut (*dropped).bytes, frame.bytes);
    }
}

/// Tells a violation, unless the port told enough of late. Each is counted once: as told, suppressed or lost.
#[inline(always)]
fn tell(context: &TcContext, frame: &Frame, slot: u32, violations: *mut Violations, reason: u8, fate: Fate) {
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_ns() };
    // SAFETY: `violations` points at an element of the map, valid while the program runs; the fields are aligned by its
    // layout. The window is read and written as a whole; of two CPUs at the same time one may not be counted, so a port
    // on two CPUs can tell a little more than the limit.
    let counter = unsafe {
        let window = &raw mut (*violations).window;
        let (seen, now) = (window.read_volatile(), time >> WINDOW_SHIFT << 16);
        let count = if seen & !0xFFFF == now { seen & 0xFFFF } else { 0 };
        if count >= u64::from(EVENT_LIMIT.load()) {
            &raw mut (*violations).suppressed
        } else {
            window.write_volatile(now | (count + 1));
            if submit(context, frame, slot, time, reason, fate) {
                &raw mut (*violations).told
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
