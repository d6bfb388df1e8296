//! The program's counters, and the kernel's beside them.

use super::lab::Lab;
use super::pings::HOST;
use crate::cli::Topology;
use crate::failure::Failure;
use netns_core::link::LinkStats;
use netns_ebpf::Slot;
use netns_ebpf::layout::{PortCounters, Traffic, Violations};
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

/// All counters at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) taken: Instant,
    pub(crate) ports: Vec<Port>,
    pub(crate) pairs: Vec<PairCount>,
}

/// One port's.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) ifindex: u32,
    pub(crate) counters: PortCounters,
    /// What was found wrong, if there is a program.
    pub(crate) violations: Option<Violations>,
}

/// What passed from one namespace, or the host, to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PairCount {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Snapshot {
    pub(crate) fn take(lab: &mut Lab<'_>) -> Result<Self, Failure> {
        let counters = match lab.monitor() {
            Some(monitor) => {
                let slots = lab.members().iter().filter_map(|member| member.slot);
                slots.map(|slot| monitor.counters(slot)).collect()
            }
            None => lab.port_stats()?.iter().map(from_kernel).collect::<Vec<_>>(),
        };
        let ports: Vec<Port> = lab
            .members()
            .iter()
            .zip(counters)
            .map(|(member, counters)| Port {
                name: member.port.to_string(),
                namespace: member.name.clone(),
                ifindex: member.port_index,
                counters,
                violations: lab.monitor().zip(member.slot).map(|(monitor, slot)| monitor.violations(slot)),
            })
            .collect();
        let pairs = if let (Topology::Pair, [first, second]) = (lab.topology(), &ports[..]) {
            // What came out of one end of the cable went into the other.
            [(first, second), (second, first)].map(|(from, to)| cable(from, to)).to_vec()
        } else {
            pairs(lab)?
        };
        Ok(Self { taken: Instant::now(), ports, pairs })
    }
}

/// The kernel's counters in place of the program's. It does not count segments.
fn from_kernel(stats: &LinkStats) -> PortCounters {
    PortCounters {
        rx: Traffic { packets: stats.rx_packets, bytes: stats.rx_bytes, segments: 0 },
        tx: Traffic { packets: stats.tx_packets, bytes: stats.tx_bytes, segments: 0 },
        ..PortCounters::default()
    }
}

/// The program's pairs, by name, in the order of the namespaces.
fn pairs(lab: &Lab<'_>) -> Result<Vec<PairCount>, Failure> {
    let Some(monitor) = lab.monitor() else { return Ok(Vec::new()) };
    let members = lab.members().iter().enumerate();
    let place: HashMap<Slot, usize> =
        members.filter_map(|(place, member)| Some((member.slot?, place))).collect();
    let name = |slot: Slot| {
        place.get(&slot).map_or_else(|| slot.to_string(), |&place| lab.members()[place].name.clone())
    };
    let mut pairs = monitor.pairs()?;
    // The host, which has no slot, in front.
    pairs.sort_unstable_by_key(|pair| (pair.from.and_then(|from| place.get(&from)), place.get(&pair.to)));
    let named = pairs.into_iter().map(|pair| PairCount {
        from: pair.from.map_or_else(|| HOST.to_owned(), name),
        to: name(pair.to),
        packets: pair.packets,
        bytes: pair.bytes,
    });
    Ok(named.collect())
}

fn cable(from: &Port, to: &Port) -> PairCount {
    PairCount {
        from: from.namespace.clone(),
        to: to.namespace.clone(),
        packets: from.counters.rx.packets,
        bytes: from.counters.rx.bytes,
    }
}

/// Whether the program counted what the kernel counted.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What differs, in words; nothing if all is exact.
    pub(crate) differences: Vec<String>,
    /// How many ports were compared; `None` if there is no program to compare with.
    pub(crate) ports: Option<usize>,
}

impl Verdict {
    /// `None` if there was nothing to compare.
    pub(crate) fn exact(&self) -> Option<bool> {
        self.ports.map(|_| self.differences.is_empty())
    }
}

/// How often it is tried to read both while nothing passes, and the time in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Holds the program's counters against `stats64` of every port, packets and bytes, both ways.
///
/// Both can only be compared while nothing passes between reading the one and the other: the kernel's are read before
/// and after, until they are the same. A frame that was counted wrongly stays counted wrongly, however often one looks.
///
/// `tag_bytes` is what the kernel took out of frames of the first port before the program saw them.
pub(crate) fn verify(lab: &mut Lab<'_>, tag_bytes: u64) -> Result<Verdict, Failure> {
    if lab.monitor().is_none() {
        return Ok(Verdict { differences: Vec::new(), ports: None });
    }
    let mut differences = vec!["the ports were never quiet for a moment".to_owned()];
    for _ in 0..ATTEMPTS {
        let before = lab.port_stats()?;
        let mut ours = Snapshot::take(lab)?;
        if let Some(attacker) = ours.ports.first_mut() {
            attacker.counters.rx.bytes += tag_bytes;
        }
        let after = lab.port_stats()?;
        if before == after {
            let ports = ours.ports.iter().zip(&after);
            differences = ports.flat_map(|(port, stats)| compare(port, stats)).collect();
            if differences.is_empty() {
                break;
            }
        }
        // A frame may be on its way through, counted by one and not yet by the other.
        thread::sleep(PAUSE);
    }
    Ok(Verdict { differences, ports: Some(lab.members().len()) })
}

fn compare(port: &Port, stats: &LinkStats) -> Vec<String> {
    let counters = &port.counters;
    [
        ("received packets", counters.rx.packets, stats.rx_packets),
        ("received bytes", counters.rx.bytes, stats.rx_bytes),
        ("sent packets", counters.tx.packets, stats.tx_packets),
        ("sent bytes", counters.tx.bytes, stats.tx_bytes),
    ]
    .into_iter()
    .filter(|(_, ours, theirs)| ours != theirs)
    .map(|(what, ours, theirs)| {
        format!("{} ({}): {what}: the program counted {ours}, the kernel {theirs}", port.name, port.namespace)
    })
    .collect()
}
