//! What was counted, with names and a time; and what passed between two times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netns_core::{IfName, MacAddress};

use super::{Lost, Pair, Port, Slot, Snapshot};
use crate::layout::{PortCounters, Traffic};

/// Who is behind a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Behind {
    /// A namespace with a name.
    Named(String),
    /// A namespace without a name that this process is in: the one with the lowest number.
    Process {
        /// Its number.
        pid: u32,
        /// What it calls itself.
        command: String,
    },
    /// A namespace of which nothing is known but the id that the kernel gave it.
    Id(i32),
    /// The port's own namespace: both ends of the cable are in it.
    Here,
    /// No namespace: a network card, a tunnel, a virtual machine's tap.
    Nothing,
}

impl Behind {
    /// A word for it; empty where there is no namespace to name.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Process { pid, command } => format!("{command}/{pid}"),
            Self::Id(id) => format!("nsid {id}"),
            Self::Here | Self::Nothing => String::new(),
        }
    }
}

/// Who a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its ifindex, in the monitor's namespace.
    pub ifindex: u32,
    /// Its slot.
    pub slot: Slot,
    /// Its name.
    pub name: IfName,
    /// Its own MAC address.
    pub mac: Option<MacAddress>,
    /// Who is behind it.
    pub behind: Behind,
}

/// A port, and what was counted of it since it was assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortReading {
    /// Who it is. Shared with other readings, so that a reading of many ports copies no names.
    pub info: Arc<PortInfo>,
    /// What was counted.
    pub counters: PortCounters,
}

/// All counters at one time: a [`Snapshot`] with names and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub taken: Instant,
    /// The ports, in an order of the reader's.
    pub ports: Vec<PortReading>,
    /// What passed between them.
    pub pairs: Vec<Pair>,
    /// What passed between them and is in no pair.
    pub lost: Lost,
}

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
    pub fn since(&self, earlier: &Self) -> Vec<PortCounters> {
        let before: HashMap<(Slot, u32), PortCounters> =
            earlier.ports.iter().map(|port| ((port.info.slot, port.info.ifindex), port.counters)).collect();
        let difference = |port: &PortReading| {
            let before = before.get(&(port.info.slot, port.info.ifindex));
            before.map_or(port.counters, |before| passed(port.counters, *before))
        };
        self.ports.iter().map(difference).collect()
    }

    /// The rates of each port since an earlier reading, in the order of this one.
    #[must_use]
    pub fn rates(&self, earlier: &Self) -> Vec<PortRates> {
        let time = self.taken - earlier.taken;
        let rates =
            |passed: PortCounters| PortRates { rx: Rate::of(passed.rx, time), tx: Rate::of(passed.tx, time) };
        self.since(earlier).into_iter().map(rates).collect()
    }
}

impl Snapshot {
    /// What passed since an earlier snapshot of the same monitor, itself as a snapshot. Of a port or a pair that came
    /// since: all that it has.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let ports: HashMap<(Slot, u32), PortCounters> =
            earlier.ports.iter().map(|port| ((port.slot, port.ifindex), port.counters)).collect();
        let pairs: HashMap<_, _> = earlier.pairs.iter().map(|pair| ((pair.from, pair.to), pair)).collect();
        let port = |port: &Port| {
            let before = ports.get(&(port.slot, port.ifindex)).copied().unwrap_or_default();
            Port { counters: passed(port.counters, before), ..*port }
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
            lost: Lost {
                packets: self.lost.packets.wrapping_sub(earlier.lost.packets),
                bytes: self.lost.bytes.wrapping_sub(earlier.lost.bytes),
            },
        }
    }
}

/// `now` without `before`; all of `now` if it counts anew, in a slot that was given out again.
fn passed(now: PortCounters, before: PortCounters) -> PortCounters {
    let anew = now.rx.packets < before.rx.packets || now.tx.packets < before.tx.packets;
    let before = if anew { PortCounters::default() } else { before };
    let way = |now: Traffic, before: Traffic| Traffic {
        packets: now.packets.saturating_sub(before.packets),
        bytes: now.bytes.saturating_sub(before.bytes),
        segments: now.segments.saturating_sub(before.segments),
    };
    PortCounters { rx: way(now.rx, before.rx), tx: way(now.tx, before.tx), ..now }
}

#[cfg(test)]
mod tests;
