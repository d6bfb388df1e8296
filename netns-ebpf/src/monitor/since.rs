//! What passed between two times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::reading::{PortReading, Reading};
use super::{CountedPort, Lost, Pair, Slot, Snapshot};
use crate::layout::{PortCounters, Traffic};

/// How fast something passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Frames a second.
    pub packets: u64,
    /// Bits a second.
    pub bits: u64,
}

/// A port's rates, as [`PortCounters`] has its counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRates {
    /// From the namespace.
    pub rx: Rate,
    /// To the namespace.
    pub tx: Rate,
    /// Frames a second from the namespace that it may not send.
    pub violations: u64,
}

impl Rate {
    /// The rate at which `traffic` passed in `time`.
    #[must_use]
    pub fn of(traffic: Traffic, time: Duration) -> Self {
        Self {
            packets: per_second(traffic.packets.into(), time),
            bits: per_second(u128::from(traffic.bytes) * 8, time),
        }
    }
}

fn per_second(count: u128, time: Duration) -> u64 {
    u64::try_from(count * 1_000_000 / time.as_micros().max(1)).unwrap_or(u64::MAX)
}

impl Reading {
    /// What passed of each port since an earlier reading, in the order of this one. Of a port that came since: all that
    /// it has.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<PortReading> {
        let before: HashMap<(Slot, u32), &PortReading> =
            earlier.ports.iter().map(|port| ((port.info.slot, port.info.ifindex), port)).collect();
        let difference = |now: &PortReading| {
            let before = before.get(&(now.info.slot, now.info.ifindex));
            before.map_or_else(|| now.clone(), |before| now.since(before))
        };
        self.ports.iter().map(difference).collect()
    }

    /// The rates of each port since an earlier reading, in the order of this one.
    #[must_use]
    pub fn rates(&self, earlier: &Self) -> Vec<PortRates> {
        let time = self.taken - earlier.taken;
        let rates = |passed: PortReading| PortRates {
            rx: Rate::of(passed.counters.rx, time),
            tx: Rate::of(passed.counters.tx, time),
            violations: per_second(passed.violations.map_or(0, |violations| violations.total()).into(), time),
        };
        self.since(earlier).into_iter().map(rates).collect()
    }
}

impl PortReading {
    fn since(&self, before: &Self) -> Self {
        let anew = counts_anew(self.counters, before.counters);
        let earlier = before.violations.filter(|_| !anew).unwrap_or_default();
        Self {
            info: Arc::clone(&self.info),
            counters: passed(self.counters, before.counters),
            violations: self.violations.map(|now| now.since(&earlier)),
            lost: if anew { self.lost } else { since_lost(self.lost, before.lost) },
            limits: self.limits.map(|(limits, over)| {
                let earlier = before.limits.filter(|_| !anew).map_or_else(Default::default, |(_, over)| over);
                (limits, over.since(&earlier))
            }),
            lost_verdicts: self
                .lost_verdicts
                .map(|now| since_lost(now, before.lost_verdicts.filter(|_| !anew).unwrap_or_default())),
            scopes: self.scopes.map(|now| now.since(&before.scopes.filter(|_| !anew).unwrap_or_default())),
        }
    }
}

impl Snapshot {
    /// What passed since an earlier snapshot of the same monitor, itself as a snapshot. Of a port or a pair that came
    /// since: all that it has.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let ports: HashMap<(Slot, u32), &CountedPort> =
            earlier.ports.iter().map(|port| ((port.slot, port.ifindex), port)).collect();
        let pairs: HashMap<_, _> = earlier.pairs.iter().map(|pair| ((pair.from, pair.to), pair)).collect();
        let port = |now: &CountedPort| match ports.get(&(now.slot, now.ifindex)) {
            Some(before) if !counts_anew(now.counters, before.counters) => CountedPort {
                counters: passed(now.counters, before.counters),
                violations: now.violations.since(&before.violations),
                ..*now
            },
            _ => *now,
        };
        let pair = |pair: &Pair| match pairs.get(&(pair.from, pair.to)) {
            // Pairs are forgotten with a port: fewer than before is a new pair of the same ends.
            Some(before) if before.packets <= pair.packets => Pair {
                packets: pair.packets - before.packets,
                bytes: pair.bytes.saturating_sub(before.bytes),
                ..*pair
            },
            _ => *pair,
        };
        Self {
            ports: self.ports.iter().map(port).collect(),
            pairs: self.pairs.iter().map(pair).collect(),
            lost: since_lost(self.lost, earlier.lost),
        }
    }
}

fn since_lost(now: Lost, before: Lost) -> Lost {
    Lost { packets: now.packets.wrapping_sub(before.packets), bytes: now.bytes.wrapping_sub(before.bytes) }
}

/// Whether a slot that was given out again counts from zero.
fn counts_anew(now: PortCounters, before: PortCounters) -> bool {
    now.rx.packets < before.rx.packets || now.tx.packets < before.tx.packets
}

/// `now` without `before`; all of `now` if it counts anew.
fn passed(now: PortCounters, before: PortCounters) -> PortCounters {
    let before = if counts_anew(now, before) { PortCounters::default() } else { before };
    let way = |now: Traffic, before: Traffic| Traffic {
        packets: now.packets.saturating_sub(before.packets),
        bytes: now.bytes.saturating_sub(before.bytes),
        segments: now.segments.saturating_sub(before.segments),
    };
    PortCounters {
        rx: way(now.rx, before.rx),
        tx: way(now.tx, before.tx),
        cut: now.cut.saturating_sub(before.cut),
        tagged: now.tagged.saturating_sub(before.tagged),
    }
}

#[cfg(test)]
mod tests;
