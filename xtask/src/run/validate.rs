//! What the namespaces may send, and what they sent and may not.

use super::lab::Lab;
use crate::failure::Failure;
use netns_core::MacAddress;
use netns_ebpf::packet::{Permissions, Reason, Rules};
use netns_ebpf::{Mode, Policy};
use std::net::IpAddr;

/// What a namespace may send: from its own addresses, and as a DHCP client.
pub(crate) fn policy(mac: MacAddress, addresses: &[IpAddr], mode: Mode) -> Result<Policy, Failure> {
    let own = Rules::new(mac.0).permitting(Permissions::DHCP_CLIENT).with_link_local();
    let rules = addresses.iter().fold(own, |rules, &address| match address {
        IpAddr::V4(address) => rules?.with_ipv4(address, 32),
        IpAddr::V6(address) => rules?.with_ipv6(address, 128),
    });
    let rules = rules.map_err(|full| Failure::usage(full.to_string()))?;
    Ok(Policy { mode, ..Policy::new(rules) })
}

/// What all namespaces sent and may not, by reason.
pub(crate) fn violations(lab: &Lab<'_>) -> Vec<(Reason, u64)> {
    let Some(monitor) = lab.monitor() else { return Vec::new() };
    let ports = lab.members().iter().filter_map(|member| member.slot);
    let violations: Vec<_> = ports.map(|slot| monitor.violations(slot)).collect();
    let sum = |reason| violations.iter().map(|violations| violations.of(reason)).sum();
    Reason::ALL.iter().map(|&reason| (reason, sum(reason))).filter(|(_, packets)| *packets > 0).collect()
}
