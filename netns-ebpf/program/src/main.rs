//! The eBPF program: one classifier for each direction of a bridge port.
//!
//! A frame is read (what the kernel says of it), counted and judged: a pure function of its bytes and the port's policy.
//! To let it pass is `TC_ACT_UNSPEC`: "nothing to say", so that filters which other people attached after ours still run.
//!
//! Built by `cargo xtask ebpf build`, never by a plain `cargo build`, for want of the feature `program`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::inline_always,
    reason = "a call costs stack, of which there are 512 bytes, and what the verifier knows of the arguments"
)]

mod add;
mod atomic;
mod checksum;
mod conversations;
mod copy;
mod count;
mod direct;
mod egress;
mod frame;
mod host;
mod log;
mod maps;
mod meter;
mod packet;
mod pairs;
mod rules;
mod scope;
mod skb;
mod steps;
mod validate;
mod verdicts;
mod violation;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;

use netns_packet::layout::{BY_TRUNK, NO_SLOT, OF_HOST, PortWay};

use frame::Frame;

/// Frames that the port receives from its namespace. A filter's program: its class id is the port's slot.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn port_ingress(context: TcContext) -> i32 {
    received(&context, frame::class_id(&context))
}

/// Frames that leave through the port to its namespace. A filter's program, too.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn port_egress(context: TcContext) -> i32 {
    sent(&context, frame::class_id(&context))
}

/// As [`port_ingress`], for a TCX link, which carries nothing: the port's slot is looked up.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn tcx_ingress(context: TcContext) -> i32 {
    received(&context, count::slot_at(frame::ifindex(&context)))
}

/// As [`port_egress`], for a TCX link.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn tcx_egress(context: TcContext) -> i32 {
    sent(&context, count::slot_at(frame::ifindex(&context)))
}

#[inline(always)]
fn received(context: &TcContext, slot: u32) -> i32 {
    frame::remember_carried(context);
    verdicts::begin(context);
    let frame = Frame::read(context, slot);
    frame::carry_slot(context, slot);
    frame::stamp(context);
    count::received(&frame);
    let fate = validate::received(context, &frame);
    let fate = if matches!(fate, Fate::Pass) { egress::received(context, slot) } else { fate };
    let fate = meter::passing(context, &frame, PortWay::Out, fate);
    scope::passed(context, &frame, PortWay::Out, fate);
    verdicts::decided(context, slot, fate);
    action(fate)
}

#[inline(always)]
fn sent(context: &TcContext, slot: u32) -> i32 {
    let frame = Frame::read(context, slot);
    frame::unstamp(context);
    let from =
        if pairs::are_wanted() || validate::wants_groups(&frame) { count::sender(&frame) } else { NO_SLOT };
    let fate = validate::sent(context, &frame, from);
    let fate = meter::passing(context, &frame, PortWay::In, fate);
    scope::passed(context, &frame, PortWay::In, fate);
    // What is dropped here never reaches the kernel's own counters, which are behind.
    if matches!(fate, Fate::Pass) {
        count::sent(&frame, from);
        egress::sent(context, slot);
    }
    action(fate)
}

/// Frames that leave a bridge of a network by a trunk, at either end. What came in by another trunk carries the slot that
/// was written there. What anybody else has written into a frame counts for nothing: the slot is that of the port that it
/// came in by, and none for what the host sends or forwards.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn trunk_egress(context: TcContext) -> i32 {
    let slot = count::slot_of(Frame::read(&context, NO_SLOT).from_ifindex);
    if slot != BY_TRUNK {
        // What comes from a bridge, the host has passed on.
        frame::carry_slot(&context, if slot & OF_HOST == 0 { slot } else { NO_SLOT });
    }
    TC_ACT_UNSPEC
}

/// What becomes of a frame.
#[derive(Clone, Copy)]
enum Fate {
    /// Nothing to say, so that filters which other people attached after ours still run.
    Pass,
    /// It goes no further.
    Drop,
}

#[inline(always)]
const fn action(fate: Fate) -> i32 {
    match fate {
        Fate::Pass => TC_ACT_UNSPEC,
        Fate::Drop => TC_ACT_SHOT as i32,
    }
}

/// The kernel asks it of whoever calls a helper that only GPL code may call; ours are free, aya-log's may not be.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Nothing in the program panics; the linker drops this.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
