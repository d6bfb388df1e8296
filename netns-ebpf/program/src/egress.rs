//! Where a port may send to: its egress policy, a trie of destinations, and what others began with it.
//!
//! A step after the others, in functions of its own: their stack is full. Where no policy is looked for, the verifier takes
//! all of it out ([`EGRESS_LIMIT`]).

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_map_lookup_elem};
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{
    ConversationKey, EGRESS_BITS, EgressEntry, EgressKey, EgressPort, NO_SLOT, STREAM_TIME, control,
};
use netns_packet::{ChecksumPlace, EgressPacket, Reason};

use crate::Fate;
use crate::count;
use crate::frame::{self, Frame};
use crate::maps::{CONVERSATIONS, EGRESS_LIMIT, EGRESS_POLICIES, EGRESS_PORTS};
use crate::skb::Skb;
use crate::steps::Judged;
use crate::violation;

/// Whether no policy is looked for. Asked in each function of its own too, which the verifier then need not look at.
#[inline(always)]
fn are_off() -> bool {
    EGRESS_LIMIT.load() == 0
}

/// The word of a port that has a policy; 0 for any other.
#[inline(always)]
fn port(slot: u32) -> u64 {
    if are_off() {
        return 0;
    }
    // SAFETY: the word is an aligned one of the map, valid while the program runs; user space stores it whole.
    let word = EGRESS_PORTS.get_ptr(slot).map_or(0, |word| unsafe { word.read_volatile() });
    if EgressPort::from_word(word).policy == 0 { 0 } else { word }
}

/// Judges where a frame goes that the port received from its namespace.
#[inline(always)]
pub(crate) fn received(context: &TcContext, slot: u32) -> Fate {
    match port(slot) {
        0 => Fate::Pass,
        word if egress_received(context.skb.skb, slot, word) == 0 => Fate::Pass,
        _ => Fate::Drop,
    }
}

/// Notes what a frame on its way to a port begins with it.
#[inline(always)]
pub(crate) fn sent(context: &TcContext, slot: u32) {
    let word = port(slot);
    if word != 0 {
        egress_sent(context.skb.skb, slot, word);
    }
}

/// Judges and counts; not 0 if the frame is to be dropped.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn egress_received(skb: *mut __sk_buff, slot: u32, word: u64) -> u32 {
    if egress_allowed(skb, word) != 0 || egress_answered(skb, slot, word) != 0 {
        return 0;
    }
    let is_enforced = EgressPort::from_word(word).is_enforced;
    let mode = if is_enforced { control::ENFORCE } else { control::OBSERVE };
    violation::counted(skb, slot, mode, u32::from(Reason::Egress.code()))
}

/// Whether the policy allows a frame.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn egress_allowed(skb: *mut __sk_buff, word: u64) -> u32 {
    if are_off() {
        return 1;
    }
    let Some(packet) = packet(skb) else { return 1 };
    u32::from(!packet.is_misleading && allows(word, packet.destination, packet.protocol, packet.port()))
}

/// Whether a frame that the policy does not allow belongs to what somebody else began.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn egress_answered(skb: *mut __sk_buff, slot: u32, word: u64) -> u32 {
    const TCP: u8 = 6;
    if are_off() {
        return 0;
    }
    let frame = judged(skb);
    let Some(packet) = packet(skb) else { return 0 };
    let Some((protocol, ports)) = packet.answers(&frame) else { return 0 };
    let generation = EgressPort::from_word(word).generation;
    let key = ConversationKey::new(slot, generation, packet.destination, protocol, ports);
    let Some(until) = CONVERSATIONS.get_ptr_mut(&key) else { return 0 };
    let now = now();
    // SAFETY: the value is an aligned word of the map, valid while the program runs: a place that is used again for another
    // key then has that one's time, which is one by which answers pass as well.
    unsafe {
        if until.read_volatile() <= now {
            return 0;
        }
        // What the peer says is not looked at any more, except for the first segment.
        if protocol == TCP && packet.protocol == TCP {
            until.write_volatile(now + STREAM_TIME);
        }
    }
    1
}

/// Notes what a frame begins with a port, if the port could not answer otherwise. Only what the host sends or forwards
/// begins anything: what another port sends says of itself where it comes from, and that port's rules may let it lie.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn egress_sent(skb: *mut __sk_buff, slot: u32, word: u64) -> u32 {
    if are_off() {
        return 0;
    }
    let Some(packet) = packet(skb) else { return 0 };
    let Some((ports, time)) = packet.opens(&judged(skb)) else { return 0 };
    let (protocol, port) = packet.answer();
    if count::sender(&Frame::read(&TcContext::new(skb), slot)) != NO_SLOT
        || allows(word, packet.source, protocol, port)
    {
        return 0;
    }
    let generation = EgressPort::from_word(word).generation;
    let until = now() + time;
    let mut key = ConversationKey::new(slot, generation, packet.source, packet.protocol, ports);
    // A table without room for one more refuses it, and then there is no answer.
    let _ = CONVERSATIONS.insert(&key, until, 0);
    // By this one the later fragments of answers pass.
    key.ports = [0; 2];
    let _ = CONVERSATIONS.insert(&key, until, 0);
    0
}

/// Whether a policy allows what goes to an address, by a protocol and to a port (or of a type, or neither).
#[inline(always)]
fn allows(word: u64, address: [u32; 4], protocol: u8, port: Option<u16>) -> bool {
    let place = u32::from(EgressPort::from_word(word).policy).wrapping_sub(1);
    let Some(trie) = EGRESS_POLICIES.get(place) else { return false };
    let key = EgressKey { bits: EGRESS_BITS, address };
    // SAFETY: the map is a trie with such keys; what is found in it stays as it is while the program runs.
    let entry = unsafe {
        bpf_map_lookup_elem((&raw const *trie).cast_mut().cast(), (&raw const key).cast())
            .cast::<EgressEntry>()
            .as_ref()
    };
    entry.is_some_and(|entry| entry.allows(protocol, port, now))
}

#[inline(always)]
fn packet(skb: *mut __sk_buff) -> Option<EgressPacket> {
    let frame = Frame::read(&TcContext::new(skb), NO_SLOT);
    EgressPacket::read(&judged(skb), frame::facts(&frame, ChecksumPlace::NONE.to_bits()))
}

/// A frame of which no rules of the guard's are asked.
#[inline(always)]
fn judged(skb: *mut __sk_buff) -> Judged {
    Judged { skb: Skb(skb), slot: NO_SLOT, control: control::OFF }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
