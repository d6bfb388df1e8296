//! Validating: the kernel's side of [`netns_packet`].

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{MAX_GROUPS, NO_SLOT, control};
use netns_packet::{ChecksumPlace, Reason, Rules, is_plain_asking, judge_at_open};

use crate::Fate;
use crate::checksum;
use crate::frame::{Frame, facts};
use crate::host;
use crate::maps::{GROUPS, POLICIES, VIOLATIONS};
use crate::rules::{control_and_group_of, control_of, rules_at, rules_of};
use crate::skb::Skb;
use crate::steps::Judged;
use crate::verdicts;
use crate::violation::{NO_REASON, counted, drop_counted, violation};

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
    let skb = context.skb.skb;
    let checksum_at = || ChecksumPlace::from_bits(checksum::left(skb));
    if is_plain_asking(&Skb(skb), facts(frame, ChecksumPlace::NONE.to_bits()), rules, checksum_at) {
        return Fate::Pass;
    }
    let reason = judged(skb, frame.slot, control, checksum::left(skb));
    if reason == NO_REASON || violated(skb, frame.slot, control, reason) == 0 {
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
    let (control, group) = control_and_group_of(sender);
    if control & control::MODE == control::OFF || refused >> (group % MAX_GROUPS) & 1 == 0 {
        return Fate::Pass;
    }
    let fate = violation(context, frame, from, Reason::Group.code(), control);
    verdicts::kept_apart(context, from, Reason::Group.code(), fate);
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
    let (control, group) = control_and_group_of(receiver);
    if control & control::MODE == control::OFF {
        return 0;
    }
    // SAFETY: the row is an aligned word of the map, valid while the program runs; user space stores it whole.
    GROUPS.get_ptr(group).map_or(0, |row| unsafe { row.read_volatile() })
}
