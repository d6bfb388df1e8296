//! What others began with ports that may not begin anything with them: see [`netns_packet::layout`].

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::btf_map;
use netns_packet::layout::{
    CONVERSATION_WAYS, ConversationLine, ConversationOwner, ConversationSeed, EgressPort, STREAM_TIME,
    conversation_home, conversation_share, conversation_time,
};

use crate::atomic;
use crate::maps::{EGRESS_LIMIT, EGRESS_PORTS};

/// What was begun.
#[btf_map]
static CONVERSATIONS: Array<ConversationLine, 1> = Array::new();

/// How many ports share them. Mapped like [`EGRESS_PORTS`].
#[btf_map]
static EGRESS_SHARERS: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The secret by which a set is found. Constants to the verifier, as [`EGRESS_LIMIT`].
#[unsafe(no_mangle)]
static CONVERSATION_SEED: Global<ConversationSeed> = Global::new([0; 7]);

/// Now, in the unit of [`ConversationLine::until`].
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: the helper has no preconditions.
    conversation_time(unsafe { bpf_ktime_get_ns() })
}

#[inline(always)]
fn home(owner: u64, peer: [u64; 2], ports: u32) -> u32 {
    conversation_home(&CONVERSATION_SEED.load(), ConversationOwner::from_word(owner), peer, ports)
}

/// The word of a line that says whose it is, if this is the conversation in it.
#[inline(always)]
fn word_of(line: *mut ConversationLine, owner: u64, peer: [u64; 2], ports: u32) -> Option<u64> {
    // SAFETY: `line` points at an element of the map, valid while the program runs, aligned by its layout.
    unsafe {
        let word = (&raw const (*line).owner).read_volatile();
        let is_its = ConversationOwner::from_word(owner).is(word)
            && (&raw const (*line).peer[0]).read_volatile() == peer[0]
            && (&raw const (*line).peer[1]).read_volatile() == peer[1]
            && (&raw const (*line).ports).read_volatile() == ports;
        is_its.then_some(word)
    }
}

/// Whether a conversation was begun and is not over; not 0 if so. One that is `kept` goes on from now.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn conversation_is_on(
    owner: u64,
    first: u64,
    second: u64,
    ports: u32,
    kept: u32,
) -> u32 {
    if EGRESS_LIMIT.load() == 0 {
        return 0;
    }
    let (home, now) = (home(owner, [first, second], ports), now());
    for way in 0..CONVERSATION_WAYS {
        let Some(line) = CONVERSATIONS.get_ptr_mut(home ^ way) else { return 0 };
        let Some(word) = word_of(line, owner, [first, second], ports) else { continue };
        // SAFETY: as in `word_of`.
        unsafe {
            let until = (&raw const (*line).until).read_volatile();
            // The same word as before: nobody wrote another conversation meanwhile.
            if until <= now || atomic::exchange_if(&raw mut (*line).owner, word, word) != word {
                return 0;
            }
            // If the line is used again for another one just now, that has this time, by which answers pass as well.
            if kept != 0 && until != now + STREAM_TIME {
                (&raw mut (*line).until).write_volatile(now + STREAM_TIME);
            }
        }
        return 1;
    }
    0
}

/// Notes a conversation, which is on until a time. If there is no room, or another CPU takes the same line at this moment, it
/// is not noted, and then there is no answer.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn conversation_begins(
    owner: u64,
    first: u64,
    second: u64,
    ports: u32,
    until: u32,
) -> u32 {
    if EGRESS_LIMIT.load() == 0 {
        return 0;
    }
    let home = home(owner, [first, second], ports);
    for way in 0..CONVERSATION_WAYS {
        let Some(line) = CONVERSATIONS.get_ptr_mut(home ^ way) else { return 0 };
        if word_of(line, owner, [first, second], ports).is_some() {
            // SAFETY: as in `word_of`. What is written into a line that is used again just now: as above.
            unsafe {
                // Not again in the same second; and no TCP segment that looks like the first one makes it shorter.
                if (&raw const (*line).until).read_volatile() < until {
                    (&raw mut (*line).until).write_volatile(until);
                }
            }
            return 1;
        }
    }
    let line = conversation_room(owner, home);
    let Some(line) = CONVERSATIONS.get_ptr_mut(line) else { return 0 };
    // SAFETY: as in `word_of`.
    unsafe {
        let before = (&raw const (*line).owner).read_volatile();
        let writing = ConversationOwner::WRITING;
        if before == writing || atomic::exchange_if(&raw mut (*line).owner, before, writing) != before {
            return 0;
        }
        (&raw mut (*line).peer[0]).write_volatile(first);
        (&raw mut (*line).peer[1]).write_volatile(second);
        (&raw mut (*line).ports).write_volatile(ports);
        (&raw mut (*line).until).write_volatile(until);
        let owner = ConversationOwner::from_word(owner);
        // After all that is written above: the instruction orders it.
        atomic::exchange_if(&raw mut (*line).owner, writing, owner.after(before));
        if before != 0 {
            add_lines(ConversationOwner::from_word(before), u64::MAX);
        }
        add_lines(owner, 1);
    }
    1
}

/// Adds a line to those of a port, or, with `u64::MAX`, takes one back; of a port that the slot had before, nothing.
#[inline(always)]
fn add_lines(owner: ConversationOwner, lines: u64) {
    let Some(slot) = EGRESS_PORTS.get_ptr_mut(owner.slot()) else { return };
    // SAFETY: `slot` is an element of the map, valid while the program runs, its fields aligned by their layout.
    unsafe {
        let port = EgressPort::from_word((&raw const (*slot).port).read_volatile());
        if port.generation == owner.generation() {
            atomic::add((&raw mut (*slot).lines).cast(), lines);
        }
    }
}

/// The line of a set that a new conversation of a port may take; past the end of the table if there is none.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn conversation_room(owner: u64, home: u32) -> u32 {
    if EGRESS_LIMIT.load() == 0 {
        return u32::MAX;
    }
    let owner = ConversationOwner::from_word(owner);
    // SAFETY: the words are aligned ones of maps, valid while the program runs.
    let (sharers, lines) = unsafe {
        (
            EGRESS_SHARERS.get_ptr(0).map_or(0, |word| word.read_volatile()),
            EGRESS_PORTS.get_ptr(owner.slot()).map_or(0, |slot| (&raw const (*slot).lines).read_volatile()),
        )
    };
    let (now, share) = (now(), conversation_share(sharers) as i64);
    let (mut best, mut found) = (0, u32::MAX);
    for way in 0..CONVERSATION_WAYS {
        let rank = rank(owner, home ^ way, now, share, lines < share);
        if rank > best {
            best = rank;
            found = home ^ way;
        }
    }
    found
}

/// How much a line is one to be taken for a new conversation of a port; 0 if it is not. `is_within`: the port has less than
/// its share.
#[inline(always)]
fn rank(owner: ConversationOwner, number: u32, now: u32, share: i64, is_within: bool) -> u64 {
    const FREE: u64 = u64::MAX;
    const MOST: u64 = (1 << 30) - 1;
    let Some(line) = CONVERSATIONS.get_ptr(number) else { return 0 };
    // SAFETY: as in `word_of`.
    let (word, until) =
        unsafe { ((&raw const (*line).owner).read_volatile(), (&raw const (*line).until).read_volatile()) };
    if word == 0 {
        return FREE;
    }
    if word == ConversationOwner::WRITING {
        return 0;
    }
    let its = ConversationOwner::from_word(word);
    // The sooner it ends, the less it is missed.
    let left = u64::from(!until);
    let Some(slot) = EGRESS_PORTS.get_ptr(its.slot()) else { return FREE };
    // SAFETY: `slot` is an element of the map, valid while the program runs, its fields aligned by their layout.
    let (port, lines) =
        unsafe { ((&raw const (*slot).port).read_volatile(), (&raw const (*slot).lines).read_volatile()) };
    // It is over, or the slot has another port now.
    if until <= now || EgressPort::from_word(port).generation != its.generation() {
        return FREE;
    }
    // Of who has the most.
    if is_within && lines > share {
        return 1 << 63 | (lines as u64 & MOST) << 32 | left;
    }
    // Whatever the protocol is.
    if its.slot() == owner.slot() { 1 << 62 | left } else { 0 }
}
