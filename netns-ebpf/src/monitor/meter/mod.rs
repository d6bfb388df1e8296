//! Limits of ports: written where the program reads them, and what was over them.

mod limits;
mod quota;
mod words;

use std::sync::atomic::Ordering;

pub use limits::{Limits, PortRate, Quota};
pub use quota::QuotaEvent;
pub(super) use quota::QuotaReader;
pub use words::NoLimit;

use super::mapped::MappedArray;
use super::{Monitor, MonitorError, Slot, turn};
use crate::layout::{Dropped, NO_SLOT, PortMeter, PortWay, QuotaWords, WayMeter, control, metering};
use limits::Asked;

/// What was over a port's limits since it was assigned, and what its quotas have had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverLimits {
    /// What came from the namespace, is in the port's `rx`, and was over a rate.
    pub limited_rx: Dropped,
    /// What was on its way to the namespace and was over a rate. It is not in `tx`.
    pub limited_tx: Dropped,
    /// As [`Self::limited_rx`], over a quota.
    pub over_quota_rx: Dropped,
    /// As [`Self::limited_tx`], over a quota.
    pub over_quota_tx: Dropped,
    /// Bytes that passed from the namespace, to it, and both ways, since the port has a quota or it was reset.
    pub used: Quota<u64>,
    /// Bytes that still may pass of each quota that the port has. A frame that is larger is dropped.
    pub remaining: Quota,
}

impl OverLimits {
    /// What was over since an earlier look at the same port; what quotas have had is as it is now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let dropped = |now: Dropped, before: Dropped| Dropped {
            packets: now.packets.saturating_sub(before.packets),
            bytes: now.bytes.saturating_sub(before.bytes),
        };
        Self {
            limited_rx: dropped(self.limited_rx, earlier.limited_rx),
            limited_tx: dropped(self.limited_tx, earlier.limited_tx),
            over_quota_rx: dropped(self.over_quota_rx, earlier.over_quota_rx),
            over_quota_tx: dropped(self.over_quota_tx, earlier.over_quota_tx),
            used: self.used,
            remaining: self.remaining,
        }
    }

    /// Frames that were over any limit.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.limited_rx.packets
            + self.limited_tx.packets
            + self.over_quota_rx.packets
            + self.over_quota_tx.packets
    }
}

/// Where the words of a [`PortMeter`] are.
const CONTROL_AT: usize = 0;
const REACHED_AT: usize = 1;
const QUOTAS_AT: usize = std::mem::offset_of!(PortMeter, quotas) / size_of::<u64>();
const LIMITED_AT: usize = std::mem::offset_of!(PortMeter, limited) / size_of::<u64>();
const RATES_AT: usize = std::mem::offset_of!(PortMeter, rates) / size_of::<u64>();
const ASKED_AT: usize = std::mem::offset_of!(PortMeter, asked) / size_of::<u64>();
const QUOTA_WORDS: usize = size_of::<QuotaWords>() / size_of::<u64>();
const WAY_WORDS: usize = size_of::<WayMeter>() / size_of::<u64>();
const ASKED_WORDS: usize = 4;
/// The rates, both ways, in the half of the control that has all of its bits.
const RATES: u32 = (metering::RATES << PortWay::Out as u32 | metering::RATES << PortWay::In as u32) as u32;
const WAYS: [PortWay; 2] = [PortWay::Out, PortWay::In];

/// The mapped array of limits.
#[derive(Debug)]
pub(super) struct Meters(pub(super) MappedArray);

impl Meters {
    /// Forgets what was of a slot.
    pub(super) fn reset(&self, slot: Slot) {
        let slot = usize::from(slot.get());
        self.0.words(slot)[CONTROL_AT].store(0, Ordering::Release);
        self.0.zero(slot);
    }

    /// Whether these limits can be written: no program reads the rates that do not hold, or they stay as they are.
    pub(super) fn is_free(&self, slot: usize, limits: &Limits) -> bool {
        let control = self.0.words(slot)[CONTROL_AT].load(Ordering::Relaxed);
        turn::is_free(control as u32) || self.asked(slot) == [limits.outgoing, limits.incoming].map(Asked::of)
    }

    /// Waits until limits can be written to every slot.
    pub(super) fn settle(&self) -> std::io::Result<()> {
        turn::settle(&self.0, |control| control & RATES != 0)
    }

    /// Writes limits. Rates that are as they were go on as they are; others take a slot that is free.
    pub(super) fn write(&self, slot: usize, limits: &Limits) {
        let words = self.0.words(slot);
        let before = words[CONTROL_AT].load(Ordering::Relaxed);
        let asked = [limits.outgoing, limits.incoming].map(Asked::of);
        let mut control = before & (metering::ACTIVE | u64::from(control::READ[0] | control::READ[1]));
        if self.asked(slot) != asked {
            let set = turn::other_set(before as u32);
            control = turn::holding(before as u32, set).into();
            let first = RATES_AT + set * 2 * WAY_WORDS;
            for (way, asked) in WAYS.into_iter().zip(asked) {
                let place = first + way as usize * WAY_WORDS;
                store(&words[place..][..WAY_WORDS], asked.meter());
                store(&words[ASKED_AT + way as usize * ASKED_WORDS..][..ASKED_WORDS], asked.0);
            }
        }
        for (way, asked) in WAYS.into_iter().zip(asked) {
            control |= u64::from(asked.is_some()) * (metering::RATES << way as u32);
        }
        if limits.quota != Quota::default() {
            control |= metering::QUOTAS;
        }
        self.write_quota(slot, limits.quota);
        // A CPU that sees it sees what was written before.
        words[CONTROL_AT].store(control, Ordering::Release);
    }

    /// Says how much may pass; what has passed stays as it is. What is reached then is reported again, if that is something else.
    fn write_quota(&self, slot: usize, quota: Quota) {
        if self.quota(slot) == quota {
            return;
        }
        let words = self.0.words(slot);
        for (kind, bytes) in quota.kinds() {
            let word = bytes.map_or(0, |bytes| bytes.saturating_add(1));
            words[QUOTAS_AT + kind as usize * QUOTA_WORDS].store(word, Ordering::Relaxed);
        }
        words[REACHED_AT].store(0, Ordering::Relaxed);
    }

    fn quota(&self, slot: usize) -> Quota {
        let words = self.0.words(slot);
        Quota::of(|kind| {
            words[QUOTAS_AT + kind as usize * QUOTA_WORDS].load(Ordering::Relaxed).checked_sub(1)
        })
    }

    fn asked(&self, slot: usize) -> [Asked; 2] {
        let words = self.0.words(slot);
        WAYS.map(|way| {
            let first = ASKED_AT + way as usize * ASKED_WORDS;
            Asked(std::array::from_fn(|word| words[first + word].load(Ordering::Relaxed)))
        })
    }

    pub(super) fn limits(&self, slot: usize) -> Limits {
        let [outgoing, incoming] = self.asked(slot).map(Asked::limit);
        Limits { outgoing, incoming, quota: self.quota(slot) }
    }

    fn over(&self, slot: usize) -> OverLimits {
        let words = self.0.words(slot);
        let load = |word: usize| words[word].load(Ordering::Relaxed);
        let [limited_rx, limited_tx, over_quota_rx, over_quota_tx] =
            std::array::from_fn(|number| LIMITED_AT + 2 * number)
                .map(|first| Dropped { packets: load(first), bytes: load(first + 1) });
        let used = Quota::of(|kind| load(QUOTAS_AT + kind as usize * QUOTA_WORDS + 1));
        let remaining = self.quota(slot).less(used);
        OverLimits { limited_rx, limited_tx, over_quota_rx, over_quota_tx, used, remaining }
    }
}

fn store<const N: usize>(words: &[std::sync::atomic::AtomicU64], values: [u64; N]) {
    for (word, value) in words.iter().zip(values) {
        word.store(value, Ordering::Relaxed);
    }
}

impl Monitor {
    /// Says how much may pass a port: from the next frame on what is over it is dropped, and counted
    /// ([`Self::over_limits`]). [`Limits::NONE`] takes all of them back. Of a port that is about to be made it is said between
    /// [`Self::assign`] and the making. A port that is judged has its limits from its [`Policy`](super::Policy), which the next
    /// [`Self::set_policy`] says anew.
    ///
    /// Some two dozen stores to memory; rates that change for the third time may have to wait, as in [`Self::set_policy`]. It works in a process that opened the programs again
    /// ([`Self::reopen`]) as in the one that loaded them. New rates begin with a full bucket; rates that are the same as
    /// before go on as they are, and so does what quotas have had ([`Self::reset_quota`]).
    ///
    /// ```no_run
    /// use netns_ebpf::{Limits, Monitor, MonitorOptions, PortRate};
    ///
    /// let monitor = Monitor::load(&MonitorOptions { limits: true, ..MonitorOptions::default() })?;
    /// let slot = monitor.assign(7)?;
    /// // 100 Mbit/s to the sandbox, 10 Mbit/s from it, and 5 GB in all.
    /// let limits = Limits {
    ///     incoming: PortRate::bits(100_000_000),
    ///     outgoing: PortRate::bits(10_000_000),
    ///     ..Limits::default()
    /// };
    /// monitor.set_limits(slot, &limits.with_total(5_000_000_000))?;
    /// // The same in words.
    /// monitor.set_limits(slot, &"in=100mbit,out=10mbit,quota=5gb".parse()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MonitorError::NotAssigned`] if the slot is not in use; [`MonitorError::Unlimited`] if the programs were loaded
    /// without [`MonitorOptions::limits`](super::MonitorOptions::limits); [`MonitorError::Kernel`] as for [`Self::set_policy`].
    pub fn set_limits(&self, slot: Slot, limits: &Limits) -> Result<(), MonitorError> {
        let ports = self.lock_to_write(slot.get().into(), limits)?;
        ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        self.meters()?.write(slot.get().into(), limits);
        Ok(())
    }

    /// What may pass a port, as the program reads it. A burst that was left to choose is said as it was chosen.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn limits(&self, slot: Slot) -> Limits {
        self.limits_of(slot.get().into())
    }

    pub(super) fn limits_of(&self, slot: usize) -> Limits {
        self.meters.as_ref().map_or_else(Limits::default, |meters| meters.limits(slot))
    }

    /// Whether a policy may have these limits: what cannot have any has none.
    pub(super) fn check_limits(&self, limits: &Limits) -> Result<(), MonitorError> {
        if limits.is_none() { Ok(()) } else { self.meters().map(drop) }
    }

    /// Writes a policy's limits.
    ///
    /// # Errors
    /// As [`Self::check_limits`].
    pub(super) fn write_limits(&self, slot: usize, limits: &Limits) -> Result<(), MonitorError> {
        self.check_limits(limits)?;
        if let Some(meters) = &self.meters {
            meters.write(slot, limits);
        }
        Ok(())
    }

    /// As [`Self::set_limits`], for frames of filters of ours whose class id is 0: those of [`Self::test_run`].
    ///
    /// # Errors
    /// [`MonitorError::Unlimited`] and [`MonitorError::Kernel`] as there.
    pub fn set_unassigned_limits(&self, limits: &Limits) -> Result<(), MonitorError> {
        let _ports = self.lock_to_write(NO_SLOT as usize, limits)?;
        self.meters()?.write(NO_SLOT as usize, limits);
        Ok(())
    }

    /// Changes a port's quotas, and nothing else, while frames pass: raises them, say. What they have had stays; one that is
    /// reached is reported again.
    ///
    /// # Errors
    /// As [`Self::set_limits`].
    pub fn set_quota(&self, slot: Slot, quota: Quota) -> Result<(), MonitorError> {
        self.set_limits(slot, &Limits { quota, ..self.limits(slot) })
    }

    /// Begins a port's quotas anew: what passed so far is not counted any more. Returns what that was.
    ///
    /// # Errors
    /// As [`Self::set_limits`].
    pub fn reset_quota(&self, slot: Slot) -> Result<Quota<u64>, MonitorError> {
        let ports = self.lock();
        ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        let words = self.meters()?.0.words(slot.get().into());
        // Each by one exchange, so that every byte is in this number or in the next.
        let used =
            Quota::of(|kind| words[QUOTAS_AT + kind as usize * QUOTA_WORDS + 1].swap(0, Ordering::Relaxed));
        words[REACHED_AT].store(0, Ordering::Relaxed);
        Ok(used)
    }

    /// What was over a port's limits since it was assigned, and what its quotas have had. Loads from memory, and no system
    /// call. It can be read until the slot is given out again, as [`Self::counters`] can.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn over_limits(&self, slot: Slot) -> OverLimits {
        self.meters.as_ref().map_or_else(OverLimits::default, |meters| meters.over(slot.get().into()))
    }

    /// Both, of a port that has or had limits.
    pub(super) fn limits_and_over(&self, slot: Slot) -> Option<(Limits, OverLimits)> {
        self.meters.as_ref()?;
        let (limits, over) = (self.limits(slot), self.over_limits(slot));
        (!limits.is_none() || over != OverLimits::default()).then_some((limits, over))
    }

    /// As [`Self::over_limits`], of what [`Self::set_unassigned_limits`] is for.
    #[must_use]
    pub fn unassigned_over_limits(&self) -> OverLimits {
        self.meters.as_ref().map_or_else(OverLimits::default, |meters| meters.over(NO_SLOT as usize))
    }

    /// Whether ports can have limits: [`MonitorOptions::limits`](super::MonitorOptions::limits).
    #[must_use]
    pub const fn has_limits(&self) -> bool {
        self.meters.is_some()
    }

    fn meters(&self) -> Result<&Meters, MonitorError> {
        self.meters.as_ref().ok_or(MonitorError::Unlimited)
    }
}
