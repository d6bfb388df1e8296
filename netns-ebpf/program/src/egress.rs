//! Where a port may send to: its egress policy, a trie of destinations, and what others began with it.
//!
//! A step after the others, in functions of its own: their stack is full. Where no policy is looked for, the verifier takes
//! all of it out ([`EGRESS_LIMIT`]).

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_map_lookup_elem};
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{
    ASKED_PORTS, CachedDestination, ConversationOwner, DATAGRAM_TIME, EGRESS_BITS, EGRESS_CACHE_LINES,
    EgressEntry, EgressKey, EgressPort, NO_SLOT, control, conversation_ports,
};
use netns_packet::{EgressPacket, Reason};

use crate::Fate;
use crate::conversations::{self, conversation_begins, conversation_is_on};
use crate::count;
use crate::frame::Frame;
use crate::maps::{EGRESS_CACHE, EGRESS_EPOCHS, EGRESS_LIMIT, EGRESS_POLICIES, EGRESS_PORTS, PREEMPTIBLE};
use crate::packet::{judged, read as packet};
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
    let word =
        EGRESS_PORTS.get_ptr(slot).map_or(0, |slot| unsafe { (&raw const (*slot).port).read_volatile() });
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
    if egress_allowed(skb, slot, word) != 0 || egress_answered(skb, slot, word) != 0 {
        return 0;
    }
    let is_enforced = EgressPort::from_word(word).is_enforced;
    let mode = if is_enforced { control::ENFORCE } else { control::OBSERVE };
    violation::counted(skb, slot, mode, u32::from(Reason::Egress.code()))
}

/// Whether the policy allows a frame.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn egress_allowed(skb: *mut __sk_buff, slot: u32, word: u64) -> u32 {
    if are_off() {
        return 1;
    }
    let Some(packet) = packet(skb) else { return 1 };
    asks(skb, slot, &packet);
    u32::from(!packet.is_misleading && is_allowed(word, &packet))
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
    let [first, second] = halves(packet.destination);
    let owner = ConversationOwner::new(slot, EgressPort::from_word(word).generation, protocol).word();
    // What the peer says is not looked at any more, except for the first segment.
    let kept = u32::from(protocol == TCP && packet.protocol == TCP);
    conversation_is_on(owner, first, second, conversation_ports(ports), kept)
}

/// Notes what a frame begins with a port, if the port could not answer otherwise. Only what the host sends or forwards
/// begins anything: what another port sends says of itself where it comes from, and that port's rules may let it lie. The
/// same holds if the host passes on what another port sent, perhaps as its own: the frame still carries that port's slot.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn egress_sent(skb: *mut __sk_buff, slot: u32, word: u64) -> u32 {
    const UDP: u8 = 17;
    if are_off() {
        return 0;
    }
    let Some(packet) = packet(skb) else { return 0 };
    let Some((ports, time)) = packet.opens(&judged(skb)) else { return 0 };
    let (protocol, port) = packet.answer();
    let frame = Frame::read(&TcContext::new(skb), slot);
    if frame.carried != NO_SLOT
        || count::sender(&frame) != NO_SLOT
        || allows(word, packet.source, protocol, port)
    {
        return 0;
    }
    let now = conversations::now();
    let [_, to] = ports;
    if packet.protocol == UDP
        && frame.from_ifindex == 0
        && asked(slot, to).is_some_and(|until| {
            // SAFETY: the word is an aligned one of the map, valid while the program runs.
            unsafe { until.read_volatile() > now }
        })
    {
        return 0;
    }
    let owner = ConversationOwner::new(slot, EgressPort::from_word(word).generation, packet.protocol).word();
    let [first, second] = halves(packet.source);
    conversation_begins(owner, first, second, conversation_ports(ports), now + time);
    // By this one the later fragments of answers pass.
    conversation_begins(owner, first, second, conversation_ports([0; 2]), now + time);
    0
}

/// Notes that a port asks a group or everybody: what the host sends to where that came from is an answer, and begins nothing.
#[inline(always)]
fn asks(skb: *mut __sk_buff, slot: u32, packet: &EgressPacket) {
    if !packet.asks_many(&judged(skb)) {
        return;
    }
    let [from, _] = packet.ports;
    if let Some(until) = asked(slot, from) {
        // SAFETY: the word is an aligned one of the map, valid while the program runs.
        unsafe { until.write_volatile(conversations::now() + DATAGRAM_TIME) };
    }
}

/// Until when what the host sends to a port of UDP is an answer.
#[inline(always)]
fn asked(slot: u32, port: u16) -> Option<*mut u32> {
    let slot = EGRESS_PORTS.get_ptr_mut(slot)?;
    let place = u32::from(port) % ASKED_PORTS;
    // SAFETY: the place is one of the array's, in an element of the map, valid while the program runs.
    Some(unsafe { (&raw mut (*slot).asked).cast::<u32>().add(place as usize) })
}

/// Whether a policy allows a packet, as was looked up before or as it says now.
///
/// Looking an address up takes some 5 ns for each node of the trie on the way to it, of which there are 30 in a large one. What is
/// remembered is this CPU's alone; where another run can come in between ([`PREEMPTIBLE`]), nothing is.
#[inline(always)]
fn is_allowed(word: u64, packet: &EgressPacket) -> bool {
    let EgressPort { policy, .. } = EgressPort::from_word(word);
    let (protocol, port) = (packet.protocol, packet.port());
    let Some(line) = line(policy, packet) else { return allows(word, packet.destination, protocol, port) };
    // SAFETY: the word is an aligned one of the map, valid while the program runs; user space adds to it after each change,
    // and is done with the change when nobody reads the trie of before any more.
    let epoch =
        EGRESS_EPOCHS.get_ptr(u32::from(policy) - 1).map_or(0, |epoch| unsafe { epoch.read_volatile() });
    let (tag, address) = (CachedDestination::tag(policy, epoch), halves(packet.destination));
    // SAFETY: the line is in the map, valid while the program runs, aligned by its layout, and this CPU's.
    unsafe {
        if (*line).tag == tag && (*line).address == address {
            return (*line).range.decide(protocol, port, false).unwrap_or(false);
        }
    }
    let Some(entry) = entry(word, packet.destination) else { return false };
    let [range, ..] = entry.ranges;
    if entry.until == 0 && range.is_last() {
        // SAFETY: as above.
        unsafe { line.write(CachedDestination { tag, address, range }) };
    }
    entry.allows(protocol, port, now)
}

/// Where this CPU remembers a packet's destination.
#[inline(always)]
fn line(policy: u16, packet: &EgressPacket) -> Option<*mut CachedDestination> {
    if PREEMPTIBLE.load() != 0 {
        return None;
    }
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let home = CachedDestination::home(policy, halves(packet.destination));
    // Past the end of the map there is no line.
    EGRESS_CACHE.get_ptr_mut(cpu.wrapping_mul(EGRESS_CACHE_LINES).wrapping_add(home))
}

#[inline(always)]
const fn halves([a, b, c, d]: [u32; 4]) -> [u64; 2] {
    [a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32]
}

/// Whether a policy allows what goes to an address, by a protocol and to a port (or of a type, or neither).
#[inline(always)]
fn allows(word: u64, address: [u32; 4], protocol: u8, port: Option<u16>) -> bool {
    entry(word, address).is_some_and(|entry| entry.allows(protocol, port, now))
}

/// What a policy says of an address.
#[inline(always)]
fn entry<'a>(word: u64, address: [u32; 4]) -> Option<&'a EgressEntry> {
    let place = u32::from(EgressPort::from_word(word).policy).wrapping_sub(1);
    let trie = EGRESS_POLICIES.get(place)?;
    let key = EgressKey { bits: EGRESS_BITS, address };
    // SAFETY: the map is a trie with such keys; what is found in it stays as it is while the program runs.
    unsafe {
        bpf_map_lookup_elem((&raw const *trie).cast_mut().cast(), (&raw const key).cast())
            .cast::<EgressEntry>()
            .as_ref()
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
