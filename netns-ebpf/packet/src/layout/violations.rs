//! Reading what was counted of a port's violations.

use core::array;

use super::{Dropped, Violations};
use crate::{REASONS, Reason};

impl Default for Violations {
    fn default() -> Self {
        Self::from_words(&[0; _])
    }
}

impl Violations {
    /// Frames of one reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.packets[usize::from(reason.code())]
    }

    /// Frames of any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.packets.iter().sum()
    }

    /// Frames that were dropped at the port, on their way from its namespace or to it.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped_rx.packets + self.dropped_tx.packets
    }

    /// The reasons that there were, with how many frames each.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.of(reason))).filter(|(_, packets)| *packets > 0)
    }

    /// Out of the map's words, which are the fields one after the other.
    #[must_use]
    pub fn from_words(words: &[u64; size_of::<Self>() / size_of::<u64>()]) -> Self {
        let dropped = |at: usize| Dropped { packets: words[at], bytes: words[at + 1] };
        Self {
            packets: array::from_fn(|code| words[code]),
            dropped_rx: dropped(REASONS),
            dropped_tx: dropped(REASONS + 2),
            reported: words[REASONS + 4],
            suppressed: words[REASONS + 5],
            lost: words[REASONS + 6],
            window: words[REASONS + 7],
        }
    }

    /// What was found since an earlier look at the same port.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.combine(earlier, u64::saturating_sub)
    }

    /// Two ports' together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combine(other, u64::wrapping_add)
    }

    /// Field by field. The rate limit's window is no count, and stays this one's.
    fn combine(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        let dropped = |a: Dropped, b: Dropped| Dropped {
            packets: with(a.packets, b.packets),
            bytes: with(a.bytes, b.bytes),
        };
        Self {
            packets: array::from_fn(|code| with(self.packets[code], other.packets[code])),
            dropped_rx: dropped(self.dropped_rx, other.dropped_rx),
            dropped_tx: dropped(self.dropped_tx, other.dropped_tx),
            reported: with(self.reported, other.reported),
            suppressed: with(self.suppressed, other.suppressed),
            lost: with(self.lost, other.lost),
            window: self.window,
        }
    }
}
