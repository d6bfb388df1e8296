//! The program's counters, compared with the kernel's.

use super::lab::RunLab;
use super::outcomes::Unseen;
use crate::failure::Failure;
use netns_ebpf::{CounterComparison, Slot};

/// Whether the program counted what the kernel counted.
#[derive(Debug)]
pub(crate) struct CountersVerdict {
    /// What differs, in words; empty if everything is exact.
    pub(crate) differences: Vec<String>,
    /// Where the kernel counts at a different point, in words.
    pub(crate) apart: Vec<String>,
    /// How many ports were compared; `None` if there is no program to compare with.
    pub(crate) ports: Option<usize>,
}

impl CountersVerdict {
    /// `None` if there was nothing to compare.
    pub(crate) fn exact(&self) -> Option<bool> {
        self.ports.map(|_| self.differences.is_empty())
    }
}

/// Compares the program's counters with `stats64` of every port: packets and bytes, both ways.
///
/// `unseen` is what got past the program there.
pub(crate) fn verify(lab: &mut RunLab<'_>, unseen: Unseen) -> Result<CountersVerdict, Failure> {
    let Some(monitor) = lab.monitor() else {
        return Ok(CountersVerdict { differences: Vec::new(), apart: Vec::new(), ports: None });
    };
    let slots: Vec<Slot> = lab.members().iter().filter_map(|member| member.slot).collect();
    let comparison = monitor.compare(&slots, || -> Result<_, Failure> {
        let mut stats = lab.port_stats()?;
        if let Some(attacker) = stats.first_mut() {
            attacker.rx_bytes = attacker.rx_bytes.saturating_sub(unseen.bytes);
            attacker.rx_packets = attacker.rx_packets.saturating_sub(unseen.packets);
        }
        Ok(stats)
    })?;
    let mut apart = Vec::new();
    let differences = match comparison {
        CounterComparison::Exact => Vec::new(),
        CounterComparison::Apart(all) => {
            let members = || lab.members().iter();
            apart.extend(all.iter().filter_map(|(slot, why)| {
                let member = members().find(|member| member.slot == Some(*slot))?;
                Some(format!("{} ({}): {why}", member.port, member.name))
            }));
            Vec::new()
        }
        CounterComparison::Different(all) => {
            let members = || lab.members().iter();
            let described = all.iter().filter_map(|difference| {
                let member = members().find(|member| member.slot == Some(difference.port))?;
                Some(format!("{} ({}): {difference}", member.port, member.name))
            });
            described.collect()
        }
        CounterComparison::Busy => vec!["the ports were never quiet for a moment".to_owned()],
    };
    Ok(CountersVerdict { differences, apart, ports: Some(slots.len()) })
}
