//! What the program and user space agree on for egress policies: which destinations a port may send to.

/// The map that says which policy a port has: one [`EgressSlot`] per slot.
pub const EGRESS_PORTS: &str = "EGRESS_PORTS";
/// The array of the policies: in each place a trie from [`EgressKey`]s to [`EgressEntry`]s. To replace one is to store another
/// trie in its place, so that each frame is judged by the old one or by the new one.
pub const EGRESS_POLICIES: &str = "EGRESS_POLICIES";
/// The array of how often each policy was changed: a word per place of [`EGRESS_POLICIES`]. What is remembered of a policy is
/// of no use after a change.
pub const EGRESS_EPOCHS: &str = "EGRESS_EPOCHS";
/// The array of what was looked up last: [`EGRESS_CACHE_LINES`] of [`CachedDestination`] per CPU.
pub const EGRESS_CACHE: &str = "EGRESS_CACHE";
/// How many destinations a CPU remembers.
pub const EGRESS_CACHE_LINES: u32 = 1 << EGRESS_CACHE_BITS;
const EGRESS_CACHE_BITS: u32 = 10;

/// The read-only global (`u32`) that says how many policies there can be; 0 if none is looked for.
pub const EGRESS_LIMIT: &str = "EGRESS_LIMIT";

/// How many bits of an [`EgressKey`] are the address.
pub const EGRESS_BITS: u32 = 128;
/// How many ranges an [`EgressEntry`] has room for.
pub const EGRESS_RANGES: usize = 5;

/// Which policy a port has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgressPort {
    /// The policy's place in [`EGRESS_POLICIES`], counted from 1; 0 for none.
    pub policy: u16,
    /// Whether what it refuses is dropped, beside being counted.
    pub is_enforced: bool,
    /// A number that the slot has had for no port before: what others began with an earlier one is not this one's.
    pub generation: u32,
}

impl EgressPort {
    /// As a word of the map.
    #[inline]
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.policy as u64 | (self.is_enforced as u64) << 16 | (self.generation as u64) << 32
    }

    /// What a word of the map says.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self { policy: word as u16, is_enforced: word >> 16 & 1 != 0, generation: (word >> 32) as u32 }
    }
}

/// A network of destinations. An IPv4 address is the IPv6 address that it is mapped to (`::ffff:10.1.1.1`), so both have one
/// trie, and an address in disguise has the verdict of what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct EgressKey {
    /// How many bits of the address are the network's.
    pub bits: u32,
    /// The address as it lies in a frame.
    pub address: [u32; 4],
}

/// What is allowed to a network of destinations: the first range that a packet is in decides, and one that is in none is
/// refused. User space has put the ranges of wider networks after the network's own, so one look-up is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EgressEntry {
    /// Until when ranges that are [`EgressRange::TEMPORARY`] hold, in nanoseconds of `CLOCK_MONOTONIC`; 0 if none is.
    pub until: u64,
    /// The ranges; [`EgressRange::NONE`] after the last.
    pub ranges: [EgressRange; EGRESS_RANGES],
}

/// Some of what is sent to a network: of one protocol or of all, to some ports or to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct EgressRange(u64);

impl EgressRange {
    /// An unused place.
    pub const NONE: Self = Self(0);
    /// Every packet is refused.
    pub const REFUSE: Self = Self::new(0, 0, None);
    /// The place is in use.
    pub const USED: u8 = 1;
    /// What is in the range is allowed; otherwise it is refused.
    pub const ALLOW: u8 = 1 << 1;
    /// The range has ports, so a packet that shows none cannot be compared with it.
    pub const PORTS: u8 = 1 << 2;
    /// It holds until [`EgressEntry::until`].
    pub const TEMPORARY: u8 = 1 << 3;
    /// Packets that carry packets ([`is_tunnel`]) are not in it.
    pub const NO_TUNNELS: u8 = 1 << 4;

    /// Packets of the protocol with this number, 0 for all, and, of TCP, UDP and SCTP, to ports between these two (of ICMP and
    /// ICMPv6, with types between these two). The flags are those above, of which [`Self::USED`] and [`Self::PORTS`] follow
    /// from the rest.
    #[must_use]
    pub const fn new(protocol: u8, flags: u8, ports: Option<[u16; 2]>) -> Self {
        let (has_ports, [from, to]) = match ports {
            Some(ports) => (Self::PORTS, ports),
            None => (0, [0; 2]),
        };
        let flags = flags | has_ports | Self::USED;
        Self(protocol as u64 | (flags as u64) << 8 | (from as u64) << 16 | (to as u64) << 32)
    }

    /// The same, with more flags.
    #[must_use]
    pub const fn with(self, flags: u8) -> Self {
        Self(self.0 | (flags as u64) << 8)
    }

    /// Whether it has all of these flags.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flags: u8) -> bool {
        (self.0 >> 8) as u8 & flags == flags
    }

    /// The protocol's number; 0 for all.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(self) -> u8 {
        self.0 as u8
    }

    /// Whether it has the last word, so that ranges of wider networks need not follow it. (Tunnels that are not in it are
    /// refused then.)
    #[must_use]
    pub const fn is_last(self) -> bool {
        let some = Self::PORTS | Self::TEMPORARY;
        self.has(Self::USED) && self.protocol() == 0 && (self.0 >> 8) as u8 & some == 0
    }

    /// As it lies in memory.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// What lies in memory as this.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// Whether a packet to a port (of ICMP: of a type), `None` if it shows none, is allowed; `None` if the range says
    /// nothing of it. A packet that shows no port is refused by a range that asks for one, whatever that says of others.
    #[inline(always)]
    #[must_use]
    pub const fn decide(self, protocol: u8, port: Option<u16>, is_over: bool) -> Option<bool> {
        if !self.has(Self::USED)
            || (self.has(Self::TEMPORARY) && is_over)
            || (self.protocol() != 0 && self.protocol() != protocol)
            || (self.has(Self::NO_TUNNELS) && is_tunnel(protocol))
        {
            return None;
        }
        if self.has(Self::PORTS) {
            let Some(port) = port else { return Some(false) };
            if port < (self.0 >> 16) as u16 || port > (self.0 >> 32) as u16 {
                return None;
            }
        }
        Some(self.has(Self::ALLOW))
    }
}

impl EgressEntry {
    /// Whether a packet of the protocol with this number, to this port, is allowed; `now` is asked where something ends.
    #[inline(always)]
    #[must_use]
    pub fn allows(&self, protocol: u8, port: Option<u16>, now: impl FnOnce() -> u64) -> bool {
        let is_over = self.until != 0 && now() >= self.until;
        let [first, second, third, fourth, fifth] = &self.ranges;
        let decide = |range: &EgressRange| range.decide(protocol, port, is_over);
        // Not a loop: of those, Linux 6.1 refuses some that the compiler makes (`check_cfg`).
        decide(first)
            .or_else(|| decide(second))
            .or_else(|| decide(third))
            .or_else(|| decide(fourth))
            .or_else(|| decide(fifth))
            .unwrap_or(false)
    }

    /// The words that it is made of.
    #[must_use]
    pub fn to_words(&self) -> [u64; 1 + EGRESS_RANGES] {
        let [a, b, c, d, e] = self.ranges.map(EgressRange::to_word);
        [self.until, a, b, c, d, e]
    }

    /// What lies in memory as these words.
    #[must_use]
    pub fn from_words([until, ranges @ ..]: [u64; 1 + EGRESS_RANGES]) -> Self {
        Self { until, ranges: ranges.map(EgressRange::from_word) }
    }
}

/// Whether a protocol carries packets, whose own destination is another one: IP in IP, IPv6 in IP, GRE, IPIP, `EtherIP`, ENCAP,
/// L2TP and MPLS in IP (the numbers of <https://www.iana.org/assignments/protocol-numbers>).
#[inline(always)]
#[must_use]
pub const fn is_tunnel(protocol: u8) -> bool {
    matches!(protocol, 4 | 41 | 47 | 94 | 97 | 98 | 115 | 137)
}

/// What a policy says of a destination, as it was looked up by one CPU, which alone writes it. It is one that has a single
/// range for all that is sent there, as most have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CachedDestination {
    /// [`Self::tag`] of the policy as it was then; 0 in a line that is not in use.
    pub tag: u64,
    /// The address, in two words.
    pub address: [u64; 2],
    /// The range.
    pub range: EgressRange,
}

impl CachedDestination {
    /// A policy (its number, from 1), and how often it was changed.
    #[inline(always)]
    #[must_use]
    pub const fn tag(policy: u16, epoch: u64) -> u64 {
        policy as u64 | epoch << 16
    }

    /// Where a destination is remembered, of a policy.
    #[inline(always)]
    #[must_use]
    pub const fn home(policy: u16, [first, second]: [u64; 2]) -> u32 {
        let key = (first ^ second.rotate_left(32)).wrapping_add(policy as u64);
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - EGRESS_CACHE_BITS)) as u32
    }
}

/// What is kept of each slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EgressSlot {
    /// An [`EgressPort`], as a word.
    pub port: u64,
    /// How many [`ConversationLine`](super::ConversationLine)s the port has, some of which may be over. Two CPUs that give
    /// one back while the slot is given to another port may make it less than 0.
    pub lines: i64,
    /// When the port last asked a group or everybody, by UDP and from a source port of this remainder: until when what the
    /// host sends there is an answer, as [`conversation_time`](super::conversation_time).
    pub asked: [u32; ASKED_PORTS as usize],
}

/// By how many the source ports of [`EgressSlot::asked`] are divided.
pub const ASKED_PORTS: u32 = 16;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<EgressKey>() == 20 && align_of::<EgressKey>() == 4);
    assert!(size_of::<EgressRange>() == 8 && size_of::<EgressEntry>() == 48);
    assert!(offset_of!(EgressEntry, ranges) == 8 && align_of::<EgressEntry>() == 8);
    assert!(size_of::<CachedDestination>() == 32 && offset_of!(CachedDestination, range) == 24);
    assert!(size_of::<EgressSlot>() == 80 && align_of::<EgressSlot>() == 8);
    assert!(offset_of!(EgressSlot, lines) == 8 && offset_of!(EgressSlot, asked) == 16);
};
