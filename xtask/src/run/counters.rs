//! The program's counters, held against the kernel's.

use super::lab::{Lab, Member};
use crate::failure::Failure;
use netns_core::link::LinkStats;
use netns_ebpf::layout::{PortCounters, Traffic};
use std::thread;
use std::time::Duration;

/// The counters of every port now, in the order of the members: the program's, or the kernel's without one.
pub(crate) fn counters(lab: &mut Lab<'_>) -> Result<Vec<PortCounters>, Failure> {
    Ok(match lab.monitor() {
        Some(monitor) => {
            let slots = lab.members().iter().filter_map(|member| member.slot);
            slots.map(|slot| monitor.counters(slot)).collect()
        }
        None => lab.port_stats()?.iter().map(from_kernel).collect(),
    })
}

/// The kernel's counters in place of the program's. It does not count segments.
fn from_kernel(stats: &LinkStats) -> PortCounters {
    PortCounters {
        rx: Traffic { packets: stats.rx_packets, bytes: stats.rx_bytes, segments: 0 },
        tx: Traffic { packets: stats.tx_packets, bytes: stats.tx_bytes, segments: 0 },
        ..PortCounters::default()
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
        let mut ours = counters(lab)?;
        if let Some(attacker) = ours.first_mut() {
            attacker.rx.bytes += tag_bytes;
        }
        let after = lab.port_stats()?;
        if before == after {
            let ports = lab.members().iter().zip(&ours).zip(&after);
            differences = ports.flat_map(|((member, ours), kernel)| compare(member, ours, kernel)).collect();
            if differences.is_empty() {
                break;
            }
        }
        // A frame may be on its way through, counted by one and not yet by the other.
        thread::sleep(PAUSE);
    }
    Ok(Verdict { differences, ports: Some(lab.members().len()) })
}

fn compare(member: &Member, counters: &PortCounters, stats: &LinkStats) -> Vec<String> {
    [
        ("received packets", counters.rx.packets, stats.rx_packets),
        ("received bytes", counters.rx.bytes, stats.rx_bytes),
        ("sent packets", counters.tx.packets, stats.tx_packets),
        ("sent bytes", counters.tx.bytes, stats.tx_bytes),
    ]
    .into_iter()
    .filter(|(_, ours, theirs)| ours != theirs)
    .map(|(what, ours, theirs)| {
        format!("{} ({}): {what}: the program counted {ours}, the kernel {theirs}", member.port, member.name)
    })
    .collect()
}
