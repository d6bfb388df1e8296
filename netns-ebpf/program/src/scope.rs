//! Counting by where frames come from or go to.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{ScopeCounters, Way, counter_index};
use netns_packet::{Scope, far_end};

use crate::Fate;
use crate::add::add;
use crate::frame::Frame;
use crate::maps::{CPUS, SCOPE_COUNTERS, SCOPED, SCOPES};
use crate::steps;

/// How much of a frame is looked at: two tags, and the longest header.
const HEADERS: u32 = 14 + 2 * 4 + 40;

/// Counts a frame, if it passes.
#[inline(always)]
pub(crate) fn passed(context: &TcContext, frame: &Frame, way: Way, fate: Fate) {
    if SCOPED.load() != 0 && matches!(fate, Fate::Pass) {
        scoped(context.skb.skb, frame.slot, way as u32);
    }
}

/// Counts a frame of the port of this slot. Returns nothing that matters.
///
/// A function of its own in the kernel too, as those of `meter`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn scoped(skb: *mut __sk_buff, slot: u32, way: u32) -> u32 {
    let frame = Frame::read(&TcContext::new(skb), slot);
    let way = if way == Way::In as u32 { Way::In } else { Way::Out };
    let scope = scope_of(skb, &frame, way);
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let line = |slot| SCOPE_COUNTERS.get_ptr_mut(counter_index(slot, cpu, CPUS.load())?);
    let Some(line): Option<*mut ScopeCounters> = line(slot).or_else(|| line(0)) else { return 0 };
    // SAFETY: `line` points at this CPU's element of the map, valid while the program runs, its fields aligned by their layout.
    unsafe {
        let passed = &raw mut (*line).passed[way as usize][scope as usize];
        add([(&raw mut (*passed).bytes, frame.bytes), (&raw mut (*passed).packets, 1)]);
    }
    1
}

/// Where the far end of a frame is.
#[inline(always)]
fn scope_of(skb: *mut __sk_buff, frame: &Frame, way: Way) -> Scope {
    // What is read is what is delivered: as in `steps::Judged`.
    let end = HEADERS.min(frame.bytes as u32);
    let far = steps::held(skb, end).and_then(|skb| far_end(&skb, frame.tag != 0, way));
    let Some(address) = far else { return Scope::Link };
    let scope = Scope::of_address(address);
    if matches!(scope, Scope::Link) {
        return scope;
    }
    match SCOPES.get(&Key::new(128, address)).map(|&number| number) {
        Some(0) => Scope::Host,
        Some(1) => Scope::Sandboxes,
        Some(2) => Scope::Private,
        Some(3) => Scope::Internet,
        _ => scope,
    }
}
