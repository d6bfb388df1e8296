//! What an interface may send, as the file says it.

use super::Wrong;
use super::group::group;
use super::tables::{PolicyEntry, PolicyTable, Text};
use super::values::net;
use crate::policy::{PERMISSIONS, PortPolicy};
use netns_core::{IpNet, MacAddress};
use netns_ebpf::Mode;
use netns_ebpf::packet::Permissions;
use std::ops::Range;
use toml::Spanned;

/// Reads the policy of an interface that has these addresses.
pub(super) fn read_policy(policy: &Spanned<PolicyEntry>, own: Vec<IpNet>) -> Wrong<PortPolicy> {
    let span = policy.span();
    let mut read = PortPolicy { networks: own, ..PortPolicy::default() };
    match policy.get_ref() {
        PolicyEntry::Mode(text) => read.mode = mode(text, span.clone())?,
        PolicyEntry::Table(table) => read_table(table, &mut read)?,
    }
    // Which MAC address it has, and which number its group, is of no consequence for whether there is room.
    read.of(MacAddress::default(), 0).map_err(|full| (span, format!("{full}; expected fewer")))?;
    Ok(read)
}

pub(super) fn read_table(table: &PolicyTable, into: &mut PortPolicy) -> Wrong<()> {
    if let Some(text) = &table.mode {
        into.mode = mode(text.get_ref(), text.span())?;
    }
    if let Some(text) = &table.group {
        into.group = group(text)?;
    }
    for text in &table.networks {
        let net = net(text, "a network such as \"10.2.0.0/16\"")?;
        if net.network() != net {
            let message = format!("{net} is an address in a network; expected {}", net.network());
            return Err((text.span(), message));
        }
        into.networks.push(net);
    }
    for text in &table.permit {
        into.permissions = into.permissions.with(permission(text)?);
    }
    for number in &table.ether_types {
        if *number.get_ref() < 0x600 {
            let message =
                format!("{:#06x} is a length; expected an EtherType of 0x0600 or more", number.get_ref());
            return Err((number.span(), message));
        }
        into.ether_types.push(*number.get_ref());
    }
    if let Some(allowed) = &table.ipv6 {
        into.no_ipv6 = !*allowed.get_ref();
        let own = into.networks.iter().find(|net| net.address().is_ipv6());
        if let Some(net) = own.filter(|_| into.no_ipv6) {
            let message = format!("it may send from {net}; expected no IPv6 address and no IPv6 network");
            return Err((allowed.span(), message));
        }
    }
    Ok(())
}

fn mode(text: &str, span: Range<usize>) -> Wrong<Mode> {
    match text {
        "observe" => Ok(Mode::Observe),
        "enforce" => Ok(Mode::Enforce),
        _ => Err((span, format!("there is no mode {text:?}; expected \"observe\" or \"enforce\""))),
    }
}

fn permission(text: &Text) -> Wrong<Permissions> {
    let found = PERMISSIONS.iter().find(|(name, _)| name == text.get_ref());
    found.map(|&(_, permission)| permission).ok_or_else(|| {
        let known = PERMISSIONS.map(|(name, _)| name).join(", ");
        (text.span(), format!("there is no permission {:?}; expected one of: {known}", text.get_ref()))
    })
}
