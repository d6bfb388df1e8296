//! What the namespaces sent and may not.

use super::lab::Lab;
use netns_ebpf::packet::Reason;

/// What all namespaces sent and may not, by reason.
pub(crate) fn violations(lab: &Lab<'_>) -> Vec<(Reason, u64)> {
    let Some(monitor) = lab.monitor() else { return Vec::new() };
    let ports = lab.members().iter().filter_map(|member| member.slot);
    let violations: Vec<_> = ports.map(|slot| monitor.violations(slot)).collect();
    let sum = |reason| violations.iter().map(|violations| violations.of(reason)).sum();
    Reason::ALL.iter().map(|&reason| (reason, sum(reason))).filter(|(_, packets)| *packets > 0).collect()
}
