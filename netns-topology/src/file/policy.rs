//! What an interface may send, as the file says it.

use super::Wrong;
use super::group::group;
use super::tables::{HostWords, PolicyEntry, PolicyTable, Text};
use super::values::net;
use crate::group::Group;
use crate::policy::{HOST_ACCESS, NOTHING, PERMISSIONS, PortPolicy};
use netns_core::{IpNet, MacAddress};
use netns_ebpf::packet::{HostAccess, NoService, Permissions};
use netns_ebpf::{Limits, Mode, NoLimit};
use std::ops::Range;
use toml::Spanned;

/// The mode of an interface for which none is said.
const OBSERVE: &str = "observe";

/// Reads the policy of an interface that has these addresses, and how much may pass its port, given which groups are kept apart from the host.
pub(super) fn read_policy(
    policy: Option<&Spanned<PolicyEntry>>,
    limits: Option<&Text>,
    own: Vec<IpNet>,
    from_host: &[Group],
) -> Wrong<Option<PortPolicy>> {
    let Some(span) = policy.map(Spanned::span).or_else(|| limits.map(Spanned::span)) else { return Ok(None) };
    let mut read = PortPolicy::of_networks(own);
    if let Some(text) = limits {
        read.limits = limit(text)?;
    }
    match policy.map_or(&PolicyEntry::Mode(OBSERVE.to_owned()), Spanned::get_ref) {
        PolicyEntry::Mode(text) => {
            let table = PolicyTable {
                mode: Some(Spanned::new(span.clone(), text.clone())),
                ..PolicyTable::default()
            };
            read_table(&table, from_host, &mut read)?;
        }
        PolicyEntry::Table(table) if limits.is_some() && table.limit.is_some() => {
            let message = "the interface has a limit already; expected one of the two".to_owned();
            return Err((table.limit.as_ref().map_or(span, Spanned::span), message));
        }
        PolicyEntry::Table(table) => read_table(table, from_host, &mut read)?,
    }
    // Which MAC address it has, and which number its group, is of no consequence for whether there is room.
    read.of(MacAddress::default(), 0).map_err(|full| (span, format!("{full}; expected fewer")))?;
    Ok(Some(read))
}

/// Reads a policy, given which groups are kept apart from the host.
pub(super) fn read_table(table: &PolicyTable, from_host: &[Group], into: &mut PortPolicy) -> Wrong<()> {
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
    if let Some(text) = &table.limit {
        into.limits = limit(text)?;
    }
    read_host(table, from_host, into)?;
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

/// Reads what may be sent to the host, and whether the host is to pass anything on.
fn read_host(table: &PolicyTable, from_host: &[Group], into: &mut PortPolicy) -> Wrong<()> {
    let is_apart = from_host.contains(&into.group);
    match table.host.as_ref().map(|host| (host.get_ref(), host.span())) {
        None if is_apart => into.host = HostAccess::Nothing,
        None => {}
        Some((words, span)) if is_apart && !matches!(words, HostWords::Word(word) if word == NOTHING) => {
            let message = format!(
                "its group, {}, is kept apart from the host; expected {NOTHING:?}, or another group",
                into.group
            );
            return Err((span, message));
        }
        Some((HostWords::Word(word), span)) => {
            let found = HOST_ACCESS.iter().find(|(name, _)| name == word);
            into.host = found.map(|&(_, access)| access).ok_or_else(|| {
                let message = format!(
                    "there is no {word:?} of the host; expected \"everything\", \"neighbours\", \"nothing\", or \
                     services: [\"tcp/22\"]"
                );
                (span, message)
            })?;
        }
        Some((HostWords::Services(services), _)) => {
            into.host = HostAccess::Services;
            for text in services {
                let service = text
                    .get_ref()
                    .parse()
                    .map_err(|none: NoService| (text.span(), format!("{:?} is {none}", text.get_ref())))?;
                into.services.push(service);
            }
        }
    }
    // Who is to reach nothing of the host is to reach nothing by it either, unless that is said.
    into.no_forward = !table.forward.unwrap_or(into.host != HostAccess::Nothing);
    Ok(())
}

/// How much may pass.
fn limit(text: &Text) -> Wrong<Limits> {
    text.get_ref().parse().map_err(|none: NoLimit| (text.span(), none.to_string()))
}

fn mode(text: &str, span: Range<usize>) -> Wrong<Mode> {
    match text {
        OBSERVE => Ok(Mode::Observe),
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
