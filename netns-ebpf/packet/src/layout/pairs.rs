//! The table of pairs: a hash table of our own in an array.
//!
//! Looking up a hash map of the kernel's takes four calls, and reading one system calls; an array is looked up in place,
//! and user space has it mapped.
//!
//! A pair's line is one of the [`PAIR_GROUP`] whose numbers differ from [`pair_home`] in the last bits only, which are tried
//! in the order of that difference. A line that has a key keeps it until user space clears
//! it, when one of the key's ports is gone.
//!
//! A port that sends to everybody makes as many pairs as there are ports, so a few of them could take all lines. Half of
//! the lines are first come, first served. Of the other half each sender has an equal share, which user space says: a
//! sender that has it does not get a line more once the first half is taken, and what it sends to others is counted as
//! lost, for it alone.

/// The table: lines ([`PairLine`]), two to the power of [`pair_bits`] of them.
pub const PAIRS: &str = "PAIRS";
/// What [`PAIRS`] had no room for: one [`Lost`] per CPU.
pub const LOST: &str = "LOST";
/// What each sender has of [`PAIRS`]: one [`PairSender`] per slot, and one for [`NO_SLOT`](super::NO_SLOT).
pub const SENDERS: &str = "SENDERS";
/// What all have of [`PAIRS`]: one [`PairUse`].
pub const PAIR_USE: &str = "PAIR_USE";
/// The read-only global (`u32`) that says how many lines there are, as a power of two; 0 if pairs are not counted.
pub const PAIR_BITS: &str = "PAIR_BITS";

/// How many pairs have room unless asked otherwise: every pair of 255 ports and the host, 4 MiB.
pub const DEFAULT_PAIRS: u32 = 1 << 16;
/// In how many lines a pair is looked for.
pub const PAIR_GROUP: u32 = 64;

/// The two ends of a frame's way over the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairKey {
    /// The slot of the port it came in by, or [`NO_SLOT`](super::NO_SLOT).
    pub from: u32,
    /// The slot of the port it leaves by.
    pub to: u32,
}

impl PairKey {
    /// The word of a line that has no key.
    pub const NONE: u64 = 0;
    /// The word of a line that is being cleared. Nor is it a pair: no frame leaves by [`NO_SLOT`](super::NO_SLOT).
    pub const CLEARING: u64 = 1;

    /// The key as a line has it.
    #[inline]
    #[must_use]
    pub const fn word(self) -> u64 {
        self.from as u64 | (self.to as u64) << 32
    }

    /// The key of a line; `None` if it has none.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u64) -> Option<Self> {
        match word {
            Self::NONE | Self::CLEARING => None,
            word => Some(Self { from: word as u32, to: (word >> 32) as u32 }),
        }
    }
}

/// A pair, and what passed between its ends. All CPUs share it, and add to it atomically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PairLine {
    /// The pair: [`PairKey::word`].
    pub key: u64,
    /// Frames, counted as in [`Traffic`](super::Traffic).
    pub packets: u64,
    /// Bytes with their Ethernet header.
    pub bytes: u64,
    /// Zero. Two lines fill a cache line.
    pub reserved: u64,
}

/// Frames that are in no pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lost {
    /// Frames, counted as in [`Traffic`](super::Traffic).
    pub packets: u64,
    /// Bytes with their Ethernet header.
    pub bytes: u64,
}

/// What a sender has of the table. All CPUs share it, and add to it atomically; user space takes `lines` back when it
/// clears them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PairSender {
    /// Lines whose key has it as the sender.
    pub lines: u64,
    /// Frames that it sent and that are in no pair.
    pub lost_packets: u64,
    /// The bytes of those.
    pub lost_bytes: u64,
    /// Zero.
    pub reserved: u64,
}

/// What of the table is in use, and for whom the rest is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PairUse {
    /// Lines that have a key.
    pub lines: u64,
    /// So many lines a sender can have whatever others have. Written by user space.
    pub share: u64,
}

/// A sender's share of a table with so many lines if there are so many ports, and the host.
#[must_use]
pub const fn pair_share(lines: u64, ports: u64) -> u64 {
    let share = (lines - first_come(lines)) / (ports + 1);
    if share == 0 { 1 } else { share }
}

/// So many lines of a table are first come, first served.
#[inline]
#[must_use]
pub const fn first_come(lines: u64) -> u64 {
    lines / 2
}

/// How large a table is that is to have room for so many pairs: half empty when it is full, and a group at least.
#[must_use]
pub const fn pair_bits(pairs: u32) -> u32 {
    let lines = (pairs as u64 * 2).next_power_of_two();
    let bits = lines.trailing_zeros();
    if bits < PAIR_GROUP.trailing_zeros() { PAIR_GROUP.trailing_zeros() } else { bits }
}

/// Where a pair is looked for first in a table of this size: its key times 2⁶⁴ over the golden ratio, the upper bits.
#[inline]
#[must_use]
pub const fn pair_home(key: PairKey, bits: u32) -> u32 {
    (key.word().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as u32
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PairLine>() == 32 && align_of::<PairLine>() == 8);
    assert!(offset_of!(PairLine, packets) == 8 && offset_of!(PairLine, bytes) == 16);
    assert!(size_of::<Lost>() == 16 && align_of::<Lost>() == 8);
    assert!(size_of::<PairSender>() == 32 && align_of::<PairSender>() == 8);
    assert!(offset_of!(PairSender, lost_packets) == 8 && offset_of!(PairSender, lost_bytes) == 16);
    assert!(size_of::<PairUse>() == 16 && offset_of!(PairUse, share) == 8);
};

#[cfg(test)]
mod tests;
