//! What others began with ports: a table of sets, in which each port has a share that no other port can take.
//!
//! A conversation is in one of the [`CONVERSATION_WAYS`] lines of the set that its hash names. The hash has secret factors
//! ([`CONVERSATION_SEED`]), so nobody can aim at the set of somebody else's conversation. A new one takes a line that is in
//! no use any more; in a full set, a port that has less than its share takes a line of one that has more, and any other
//! port one of its own lines. So who fills the table displaces only itself, and what it has beyond its share.

/// The array of all that was begun: [`CONVERSATION_LINES`] of [`ConversationLine`].
pub const CONVERSATIONS: &str = "CONVERSATIONS";
/// The array of one word that says how many ports have an egress policy, and so share [`CONVERSATIONS`].
pub const EGRESS_SHARERS: &str = "EGRESS_SHARERS";
/// The read-only global ([`ConversationSeed`]) of the secret by which a conversation's set is found.
pub const CONVERSATION_SEED: &str = "CONVERSATION_SEED";

/// For how many conversations there is room, of all ports together.
pub const CONVERSATION_LINES: u32 = 1 << (SET_BITS + WAY_BITS);
/// How many lines a set has.
pub const CONVERSATION_WAYS: u32 = 1 << WAY_BITS;
const SET_BITS: u32 = 14;
const WAY_BITS: u32 = 3;

/// A summand, and a factor for each 32-bit word of what names a conversation.
pub type ConversationSeed = [u64; 7];

/// In nanoseconds, as a power of two, the unit of [`ConversationLine::until`]: a little more than a second, so that 32 bits
/// last for a century.
const TIME_SHIFT: u32 = 30;

/// How long answers to a datagram or an echo request pass, in the unit of [`ConversationLine::until`]: three minutes
/// (RFC 4787 asks a NAT for two).
pub const DATAGRAM_TIME: u32 = 168;
/// How long segments pass after the last one of a TCP connection that somebody else opened, in the same unit: a little
/// more than two hours (RFC 5382), in which a peer that keeps its connection alive says something.
pub const STREAM_TIME: u32 = 6_930;

/// A time of `CLOCK_MONOTONIC`, in nanoseconds, in the unit of [`ConversationLine::until`].
#[inline(always)]
#[must_use]
pub const fn conversation_time(nanoseconds: u64) -> u32 {
    (nanoseconds >> TIME_SHIFT) as u32
}

/// How many lines a port keeps whatever others do, if so many share them. Together the shares are a quarter of the lines,
/// so that a set in which all lines are within their owners' shares is rare (less than one in a thousand with all used up).
#[inline(always)]
#[must_use]
pub const fn conversation_share(sharers: u64) -> u64 {
    let share = CONVERSATION_LINES as u64 / 4 / if sharers == 0 { 1 } else { sharers };
    if share == 0 { 1 } else { share }
}

/// Something that somebody else began with a port. Other CPUs read it while one writes it: see [`Self::owner`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ConversationLine {
    /// A [`ConversationOwner`], as a word. [`ConversationOwner::WRITING`] while the rest is written, and another word
    /// after it than before, so that a reader who finds the same word twice has read one conversation.
    pub owner: u64,
    /// Who began it, an address as in [`EgressKey`](super::EgressKey), in two words.
    pub peer: [u64; 2],
    /// The ports ([`conversation_ports`]).
    pub ports: u32,
    /// Until when answers pass, as [`conversation_time`].
    pub until: u32,
}

/// The ports of TCP and UDP, the peer's first; of an echo request the identifier and 0. Both are 0 in the line by which
/// later fragments pass, which show no ports.
#[inline(always)]
#[must_use]
pub const fn conversation_ports([peer, own]: [u16; 2]) -> u32 {
    peer as u32 | (own as u32) << 16
}

/// Whose a line is, and of which protocol, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationOwner(u64);

impl ConversationOwner {
    /// A line that is being written. No owner has this word: its protocol would be 255, which is reserved.
    pub const WRITING: u64 = u64::MAX;
    const VERSIONS: u64 = 0xFF;

    /// The port of a slot, which is the slot's port of this [`EgressPort::generation`](super::EgressPort::generation), and
    /// a protocol's number.
    #[inline(always)]
    #[must_use]
    pub const fn new(slot: u32, generation: u32, protocol: u8) -> Self {
        Self((generation as u64) << 32 | (slot as u64 & 0xFFFF) << 16 | (protocol as u64) << 8)
    }

    /// What is in a line.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word, without a version.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0 & !Self::VERSIONS
    }

    /// The word for a line that had this one before: of the next version.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, before: u64) -> u64 {
        self.word() | before.wrapping_add(1) & Self::VERSIONS
    }

    /// Whether a line is this one's, whatever its version.
    #[inline(always)]
    #[must_use]
    pub const fn is(self, line: u64) -> bool {
        (self.0 ^ line) & !Self::VERSIONS == 0
    }

    /// The slot.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 >> 16) as u32 & 0xFFFF
    }

    /// The port's generation.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The first line of a conversation's set: a sum of products with random factors, of which the upper bits are used, so that
/// two conversations meet no more often than by chance whatever their names have in common (Dietzfelbinger's
/// multiply-shift, of 32-bit words in 64 bits).
#[inline(always)]
#[must_use]
pub const fn conversation_home(
    seed: &ConversationSeed,
    owner: ConversationOwner,
    [first, second]: [u64; 2],
    ports: u32,
) -> u32 {
    let [sum, a, b, c, d, e, f] = *seed;
    // A slot's generations need not be far from each other.
    let whose = (owner.word() as u32) as u64;
    let sum = sum
        .wrapping_add(a.wrapping_mul(first as u32 as u64))
        .wrapping_add(b.wrapping_mul(first >> 32))
        .wrapping_add(c.wrapping_mul(second as u32 as u64))
        .wrapping_add(d.wrapping_mul(second >> 32))
        .wrapping_add(e.wrapping_mul(ports as u64))
        .wrapping_add(f.wrapping_mul(whose));
    ((sum >> (64 - SET_BITS)) as u32) << WAY_BITS
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ConversationLine>() == 32 && align_of::<ConversationLine>() == 8);
    assert!(offset_of!(ConversationLine, peer) == 8 && offset_of!(ConversationLine, ports) == 24);
    assert!(offset_of!(ConversationLine, until) == 28);
};
