//! What was decided of the frames that ports sent, by destination: a hash table of our own in an array, as that of pairs
//! ([`PAIRS`](super::PAIRS)), and shared among senders in the same way.
//!
//! A line is one of the [`PAIR_GROUP`](super::PAIR_GROUP) whose numbers differ from [`verdict_home`] in the last bits only. Its
//! key has three words, which nobody can write at once. So a line is claimed by its first word
//! ([`VerdictKey::CLAIMED`]), which is given its value last.

use crate::{REASONS, Reason};

/// The table: lines ([`VerdictLine`]), two to the power of [`VERDICT_BITS`] of them.
pub const VERDICTS: &str = "VERDICTS";
/// What each sender has of [`VERDICTS`]: one [`PairSender`](super::PairSender) per slot, and one for
/// [`NO_SLOT`](super::NO_SLOT).
pub const VERDICT_SENDERS: &str = "VERDICT_SENDERS";
/// What all have of [`VERDICTS`]: one [`PairUse`](super::PairUse).
pub const VERDICT_USE: &str = "VERDICT_USE";
/// The read-only global (`u32`) that says how many lines there are, as a power of two; 0 if verdicts are not counted.
pub const VERDICT_BITS: &str = "VERDICT_BITS";
/// The read-only global (`u64`) that [`verdict_home`] depends on. With one that nobody inside knows, nobody can choose
/// destinations that have the same lines as those of others.
pub const VERDICT_SEED: &str = "VERDICT_SEED";

/// For how many destinations there is room where they are asked for without a number: 4 MiB.
pub const DEFAULT_VERDICTS: u32 = 1 << 15;

/// What was decided of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decision {
    /// It passed, and nothing was wrong with it.
    Passed,
    /// It passed, though it is one that the port may not send: the policy observes only.
    Reported(Reason),
    /// It was dropped: the port may not send it.
    Dropped(Reason),
    /// It was dropped: it was over a rate.
    OverRate,
    /// It was dropped: it was over a quota.
    OverQuota,
}

impl Decision {
    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Reported(_) => "reported",
            Self::Dropped(_) => "dropped",
            Self::OverRate => "limited",
            Self::OverQuota => "over-quota",
        }
    }

    /// Why the port may not send it.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Reported(reason) | Self::Dropped(reason) => Some(reason),
            Self::Passed | Self::OverRate | Self::OverQuota => None,
        }
    }

    /// Whether it was made after the frame had passed its own port: by the host, or at the port of the receiver. Such a frame
    /// is counted twice, since it passed its port first.
    #[must_use]
    pub const fn is_later(self) -> bool {
        matches!(self.reason(), Some(Reason::Group | Reason::Host | Reason::Forward))
    }
}

/// What the program notes of a frame until it is counted: 0, a reason's code and 1, or one of these.
pub mod verdict_note {
    /// Nothing was wrong.
    pub const NONE: u8 = 0;
    /// Over a rate.
    pub const OVER_RATE: u8 = u8::MAX - 1;
    /// Over a quota.
    pub const OVER_QUOTA: u8 = u8::MAX;
}

/// Who sent where, and what was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerdictKey {
    /// The port, the protocol, what was decided, the sender's slot, and flags: 16, 8, 8, 16 and 16 bits.
    pub what: u64,
    /// The destination as it lies in a frame, an IPv4 address as the IPv6 address that it is mapped to.
    pub destination: [u64; 2],
}

impl VerdictKey {
    /// The first word of a line that has no key.
    pub const NONE: u64 = 0;
    /// That of a line that is being given one, or cleared.
    pub const CLAIMED: u64 = 1;

    const USED: u64 = 1 << 48;
    const IS_IP: u64 = 1 << 49;
    const HAS_PORT: u64 = 1 << 50;
    const DROPPED: u64 = 1 << 51;

    /// The key of a frame that the port of this slot sent, of which this was noted, and which is not IP.
    #[inline(always)]
    #[must_use]
    pub const fn new(slot: u16, note: u8, is_dropped: bool) -> Self {
        let dropped = if is_dropped { Self::DROPPED } else { 0 };
        let what = Self::USED | (slot as u64) << 32 | (note as u64) << 24 | dropped;
        Self { what, destination: [0; 2] }
    }

    /// The same of one that was sent to an address, by a protocol and to a port (or of a type), if it shows one.
    #[inline(always)]
    #[must_use]
    pub const fn to(self, address: [u32; 4], protocol: u8, port: Option<u16>) -> Self {
        let port = match port {
            Some(port) => port as u64 | Self::HAS_PORT,
            None => 0,
        };
        let [a, b, c, d] = address;
        Self {
            what: self.what | Self::IS_IP | (protocol as u64) << 16 | port,
            destination: [a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32],
        }
    }

    /// The sender's slot.
    #[inline(always)]
    #[must_use]
    pub const fn slot(&self) -> u16 {
        (self.what >> 32) as u16
    }

    /// The destination as the network writes it, and the number of the protocol; `None` of what is not IP.
    #[must_use]
    pub fn packet(&self) -> Option<([u8; 16], u8)> {
        if self.what & Self::IS_IP == 0 {
            return None;
        }
        let mut octets = [0; 16];
        for (octets, word) in octets.chunks_exact_mut(4).zip(self.words()) {
            octets.copy_from_slice(&word.to_ne_bytes());
        }
        Some((octets, (self.what >> 16) as u8))
    }

    const fn words(&self) -> [u32; 4] {
        let [high, low] = self.destination;
        [high as u32, (high >> 32) as u32, low as u32, (low >> 32) as u32]
    }

    /// The port, or the type of a message of ICMP; `None` of what shows none.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        if self.what & Self::HAS_PORT == 0 { None } else { Some(self.what as u16) }
    }

    /// What was decided; `None` if the key is none.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        let is_dropped = self.what & Self::DROPPED != 0;
        if self.what & Self::USED == 0 {
            return None;
        }
        Some(match (self.what >> 24) as u8 {
            verdict_note::NONE => Decision::Passed,
            verdict_note::OVER_RATE => Decision::OverRate,
            verdict_note::OVER_QUOTA => Decision::OverQuota,
            note => match (Reason::from_code(note - 1)?, is_dropped) {
                (reason, true) => Decision::Dropped(reason),
                (reason, false) => Decision::Reported(reason),
            },
        })
    }
}

/// A key, and the frames that have it. All CPUs share it, and add to it atomically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct VerdictLine {
    /// [`VerdictKey::what`].
    pub what: u64,
    /// [`VerdictKey::destination`].
    pub destination: [u64; 2],
    /// Frames, counted as in [`Traffic`](super::Traffic).
    pub packets: u64,
    /// Bytes with their Ethernet header.
    pub bytes: u64,
    /// When the first one came, in nanoseconds of `CLOCK_MONOTONIC_COARSE`.
    pub first: u64,
    /// When the last one came.
    pub last: u64,
    /// Zero. A line fills a cache line.
    pub reserved: u64,
}

/// Where a key is looked for first in a table of this size.
#[inline(always)]
#[must_use]
pub const fn verdict_home(key: &VerdictKey, seed: u64, bits: u32) -> u32 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let [high, low] = key.destination;
    let mut hash = (key.what ^ seed).wrapping_mul(GOLDEN);
    hash = (hash ^ hash >> 32 ^ high).wrapping_mul(GOLDEN);
    hash = (hash ^ hash >> 32 ^ low).wrapping_mul(GOLDEN);
    hash ^= hash >> 32;
    (hash.wrapping_mul(GOLDEN) >> (64 - bits)) as u32
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<VerdictLine>() == 64 && align_of::<VerdictLine>() == 8);
    assert!(offset_of!(VerdictLine, destination) == 8 && offset_of!(VerdictLine, packets) == 24);
    assert!(offset_of!(VerdictLine, bytes) == 32 && offset_of!(VerdictLine, first) == 40);
    assert!(offset_of!(VerdictLine, last) == 48);
    assert!(REASONS < verdict_note::OVER_RATE as usize);
};

#[cfg(test)]
mod tests;
