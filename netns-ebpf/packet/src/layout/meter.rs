//! What limits a port: rates and quotas.
//!
//! A rate is a token bucket that is kept as one word, a clock: the time at which the bucket will be full again (the virtual
//! scheduling algorithm of [ITU-T I.371]). A frame that passes moves it on by what the frame costs; how far it is ahead of the
//! present says what is missing. So any number of CPUs agree by one compare-and-exchange a frame, without a lock, which a
//! run that is preempted (`PREEMPT_RT`) would hold.
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

use super::Dropped;

/// The map of the ports' limits: one [`PortMeter`] per slot, or a single one where [`METERED`] is 0.
pub const METERS: &str = "METERS";
/// The ring buffer of [`QuotaRecord`]s.
pub const QUOTA_EVENTS: &str = "QUOTA_EVENTS";
/// The read-only global (`u8`) that says whether ports can have limits at all.
pub const METERED: &str = "METERED";

/// A tick is this power of two of a nanosecond: fine enough for 64 bytes at 100 Gbit/s, and 64 bits of them last 36 years.
pub const TICK_SHIFT: u32 = 4;
/// Costs have so many bits after the point.
pub const COST_SHIFT: u32 = 10;
/// No frame counts as more than this, in bytes or in segments.
pub const MOST_AMOUNT: u32 = 1 << 20;
/// How often a CPU tries to move a clock on that others move, each of which passed a frame. After that it gives up, and the
/// frame is over the limit.
pub const CLOCK_TRIES: u32 = 16;

/// The two ways through a port, in the order in which arrays here have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PortWay {
    /// From the namespace.
    Out = 0,
    /// To the namespace.
    In = 1,
}

/// How fast a bucket fills, and how large it is; its clock is beside it. All zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Bucket {
    /// Ticks that one byte, or segment, costs, with [`COST_SHIFT`] bits after the point; 0 for no limit.
    pub cost: u64,
    /// How many ticks the clock may be ahead of the present, so that anything passes.
    pub depth: u64,
    /// By how many bytes, or segments, a frame may be larger than what is left. What passes at once is no more than the
    /// depth and this.
    pub spare: u64,
}

impl Bucket {
    /// Of so many a second, of which so many may pass at once. Of those half, and at most `largest`, is for frames that are
    /// larger than what is left.
    ///
    /// ```
    /// use netns_packet::layout::Bucket;
    ///
    /// // 1 MB/s, of which 10 kB at once: a frame of 1,000 bytes takes a thousandth of a second.
    /// let bucket = Bucket::new(1_000_000, 10_000, 65_536);
    /// let second = 16_000_000_000;
    /// assert_eq!(bucket.pass(0, second, 1000), Some(second + second / 1000));
    /// ```
    #[must_use]
    pub fn new(a_second: u64, burst: u64, largest: u64) -> Self {
        const SECOND: u128 = 1_000_000_000 << TICK_SHIFT;
        let cost = (SECOND << COST_SHIFT).div_ceil(u128::from(a_second.max(1)));
        let spare = (burst / 2).min(largest);
        let depth = (u128::from(burst - spare) * cost) >> COST_SHIFT;
        // Whatever this is, a clock that is so far ahead is a number.
        let most = u128::from(u64::MAX / 4);
        Self { cost: cost.clamp(1, most) as u64, depth: depth.min(most) as u64, spare }
    }

    /// Where the clock will be when a frame has passed that is so large; `None` if it may not.
    ///
    /// In any time, no more passes than the rate makes of it and what may pass at once, or one frame that is larger than
    /// that: after a frame the bucket lacks the spare at most, unless it was full before.
    #[inline(always)]
    #[must_use]
    pub const fn pass(&self, clock: u64, now: u64, amount: u32) -> Option<u64> {
        let ahead = clock.saturating_sub(now);
        let more = self.ticks(capped(amount).saturating_sub(self.spare));
        let needed = if more > self.depth { self.depth } else { more };
        if ahead > self.depth - needed {
            return None;
        }
        let from = if clock > now { clock } else { now };
        Some(from + self.taken(amount))
    }

    /// By how much [`Self::pass`] moves a clock on for a frame that is so large.
    #[inline(always)]
    #[must_use]
    pub const fn taken(&self, amount: u32) -> u64 {
        self.ticks(capped(amount))
    }

    /// What so much costs; more rather than less.
    #[inline(always)]
    #[must_use]
    pub const fn ticks(&self, amount: u64) -> u64 {
        amount.wrapping_mul(self.cost).wrapping_add((1 << COST_SHIFT) - 1) >> COST_SHIFT
    }
}

/// As much as a frame counts as, at most.
#[inline(always)]
const fn capped(amount: u32) -> u64 {
    (if amount > MOST_AMOUNT { MOST_AMOUNT } else { amount }) as u64
}

/// A port's limits one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WayMeter {
    /// Of bytes.
    pub bytes: Bucket,
    /// Of segments.
    pub packets: Bucket,
    /// The clock of bytes.
    pub byte_clock: u64,
    /// The clock of segments.
    pub packet_clock: u64,
}

/// So many bytes and no more. A frame that would cross that is dropped, whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QuotaWords {
    /// How many bytes, and 1; 0 for no quota.
    pub limit: u64,
    /// How many have passed.
    pub used: u64,
}

/// Which quotas of a port there are, in the order of [`PortMeter::quotas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum QuotaKind {
    /// Of what comes from the namespace.
    Out = 0,
    /// Of what goes to the namespace.
    In = 1,
    /// Of both together.
    Total = 2,
}

/// What limits a port, in the map.
///
/// It has room for two pairs of rates, of which one holds, as [`PortRules`](super::PortRules) has for rules. Each has clocks
/// of its own, so that a frame which is judged by the old rates while new ones begin to hold does not move the clocks of
/// those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PortMeter {
    /// Bits of [`metering`].
    pub control: u64,
    /// Which quotas were reached, which is reported once: a bit each.
    pub reached: u64,
    /// The quotas, by [`QuotaKind`].
    pub quotas: [QuotaWords; 3],
    /// What was over a rate, by [`PortWay`].
    pub limited: [Dropped; 2],
    /// What was over a quota, by [`PortWay`].
    pub over_quota: [Dropped; 2],
    /// The rates, those that hold and the others, by [`PortWay`].
    pub rates: [[WayMeter; 2]; 2],
    /// What user space was asked for, for itself to read: of each way bits a second, packets a second, and how many bytes and
    /// packets at once.
    pub asked: [[u64; 4]; 2],
}

/// Bits of [`PortMeter::control`], which is 0 while nothing limits a port.
pub mod metering {
    /// Rates from the namespace; those to it are one bit above.
    pub const RATES: u64 = 1;
    /// Quotas.
    pub const QUOTAS: u64 = 1 << 2;
    /// Which of the two pairs of rates hold, as [`crate::layout::control::ACTIVE`]; the bits of
    /// [`crate::layout::control::READ`] are used alike.
    pub const ACTIVE: u64 = 1 << 8;
}

/// A quota was reached: a frame came that would have crossed it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct QuotaRecord {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The port's slot.
    pub slot: u32,
    /// The [`QuotaKind`].
    pub quota: u32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Bucket>() == 24 && size_of::<WayMeter>() == 64);
    assert!(offset_of!(WayMeter, byte_clock) == 48 && offset_of!(WayMeter, packet_clock) == 56);
    assert!(size_of::<PortMeter>() == 448 && align_of::<PortMeter>() == 8);
    assert!(offset_of!(PortMeter, quotas) == 16 && offset_of!(PortMeter, limited) == 64);
    assert!(offset_of!(PortMeter, over_quota) == 96 && offset_of!(PortMeter, rates) == 128);
    assert!(offset_of!(PortMeter, asked) == 384);
    assert!(size_of::<QuotaRecord>() == 16);
};

#[cfg(test)]
mod tests;
