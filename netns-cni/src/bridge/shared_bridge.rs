//! The bridge that a network's containers share, and what the host needs to be their gateway.
//!
//! The first container makes it. Like the reference's, it stays after the last one, until `GC` finds that the network has no
//! attachments. A bridge that existed before is used and never removed.

use super::config::BridgeConfig;
use super::neighbours::{self, KnownNeighbours};
use crate::attachments;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::{container, random, settings};
use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge};
use netns_core::link::{self, Link, LinkChange};
use netns_core::record::{Found, RecordFile, RecordedLink};
use netns_core::wire::Batch;
use netns_core::{ErrorKind, IfName, IpNet, RouteSocket, sysctl};
use std::io;
use std::net::IpAddr;

/// The bridge, whose record this is, up; it is made if necessary.
pub(super) fn ensure(
    socket: &mut RouteSocket,
    record: &mut RecordFile,
    config: &BridgeConfig,
) -> Outcome<Link> {
    let link = loop {
        match container::find_link(socket, config.bridge)? {
            Some(link) => break link,
            None => make(socket, record, config)?,
        }
    };
    if link.bridge().is_none() {
        let why = format!("bridge is {:?}: there is such a link, and it is no bridge", link.name.as_str());
        return Err(CniFailure::new(FailureCode::InvalidConfig, why));
    }
    let change = LinkChange {
        up: (!link.is_up()).then_some(true),
        promiscuous: config.promiscuous.then_some(true),
        ..LinkChange::NONE
    };
    if change.up.is_some() || change.promiscuous.is_some() {
        link::set(socket, link.index, &change)?;
    }
    Ok(link)
}

/// The message about a bridge that takes no further port.
pub(super) fn fullness(socket: &mut RouteSocket, bridge: &Link) -> Outcome<Option<String>> {
    let ports = link::list_ports(socket, bridge.index)?.len();
    let is_full = ports >= bridge::MAX_PORTS as usize;
    Ok(is_full.then(|| {
        format!(
            "{} has all the ports that it can have, {ports}: further containers take another bridge",
            bridge.name
        )
    }))
}

fn make(socket: &mut RouteSocket, record: &mut RecordFile, config: &BridgeConfig) -> Outcome<()> {
    let name = config.bridge;
    let mac = random::mac();
    record.append(&[RecordedLink { name, index: None, mac }.line()])?;
    // Before there is a bridge, so that none of ours is without it, wherever the plugin is killed.
    if let Err(error) = KnownNeighbours::begin(name, mac) {
        nothing_made(record)?;
        return Err(of_neighbours(record, &error));
    }
    match bridge::create(socket, &Bridge { mtu: config.mtu, up: true, ..Bridge::new(name, mac) }) {
        // Somebody else has just made it.
        Err(error) if error.kind() == ErrorKind::Exists => {
            return neighbours::remove(name.as_str()).map_err(|error| of_neighbours(record, &error));
        }
        Err(error) => {
            let _ = neighbours::remove(name.as_str());
            nothing_made(record)?;
            return Err(error.into());
        }
        Ok(()) => {}
    }
    // The host must not accept routers on this network. Without IPv6 there is no such setting.
    let _ = sysctl::set(&socket.namespace()?, &format!("net/ipv6/conf/{name}/accept_ra"), "0");
    Ok(())
}

/// Takes the bridge off the record, if nothing else is on it.
fn nothing_made(record: &mut RecordFile) -> Outcome<()> {
    if record.lines().len() == 1 {
        record.replace(Vec::new())?;
    }
    Ok(())
}

/// Gives the bridge the gateway's address, and lets the host forward.
pub(super) fn be_gateway(
    socket: &mut RouteSocket,
    bridge: &Link,
    gateways: &[IpNet],
    force: bool,
) -> Outcome<()> {
    let of_bridge: Vec<IpNet> =
        address::list_of(socket, bridge.index)?.iter().map(|address| address.net).collect();
    for &gateway in gateways {
        if of_bridge.contains(&gateway) {
            continue;
        }
        for other in of_bridge.iter().filter(|other| is_in_the_way(gateway, **other)) {
            if !force {
                let why = format!(
                    "{} has the address {other} already, and cannot have {gateway} without forceAddress",
                    bridge.name
                );
                return Err(CniFailure::new(FailureCode::InvalidConfig, why));
            }
            match address::delete(socket, bridge.index, *other) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let mut batch = Batch::new();
        address::encode_add(&mut batch, &Address::new(bridge.index, gateway));
        match socket.execute(&mut batch) {
            // Another call has just added it.
            Err(error) if error.kind() == ErrorKind::Exists => {}
            other => other?,
        }
        let mut batch = Batch::new();
        address::encode_local_route(&mut batch, bridge.index, gateway.address());
        if batch.messages() > 0 {
            match socket.execute(&mut batch) {
                Err(error) if error.kind() == ErrorKind::Exists => {}
                other => other?,
            }
        }
        if let Some(mac) = bridge.mac {
            // A bridge that was made without a MAC address may change it with each port that comes or goes.
            link::set(socket, bridge.index, &LinkChange { mac: Some(mac), ..LinkChange::NONE })?;
        }
    }
    for is_ipv4 in [true, false] {
        if gateways.iter().any(|gateway| gateway.address().is_ipv4() == is_ipv4) {
            forward(socket, bridge.name, is_ipv4)?;
        }
    }
    Ok(())
}

/// A bridge has one IPv4 address, and IPv6 addresses of networks that do not overlap.
fn is_in_the_way(gateway: IpNet, other: IpNet) -> bool {
    let is_link_local = matches!(other.address(), IpAddr::V6(address) if address.is_unicast_link_local());
    other.address().is_ipv4() == gateway.address().is_ipv4()
        && !is_link_local
        && (gateway.address().is_ipv4() || gateway.overlaps(&other))
}

/// The setting by which the host forwards packets of a family.
pub(super) const fn forwarding(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" }
}

fn forward(socket: &RouteSocket, bridge: IfName, is_ipv4: bool) -> Outcome<()> {
    let (name, namespace) = (forwarding(is_ipv4), socket.namespace()?);
    if settings::is_on(&attachments::peek_bridge(bridge.as_str())?, &namespace, name)? {
        return Ok(());
    }
    let mut record = attachments::begin_bridge(bridge.as_str())?;
    settings::claim(&mut record, &namespace, name)
}

/// Removes the bridge, if it is ours and has no ports, and puts the settings back.
pub(super) fn remove(socket: &mut RouteSocket, name: IfName) -> Outcome<()> {
    let Some(record) = attachments::find_bridge(name.as_str())? else { return Ok(()) };
    let made: Vec<RecordedLink> = record.lines().iter().filter_map(RecordedLink::read).collect();
    if let Some(link) = container::find_link(socket, name)? {
        if !link::list_ports(socket, link.index)?.is_empty() {
            return Ok(());
        }
        if let Some(Found::Ours(link)) =
            made.iter().map(|made| made.find_in(std::slice::from_ref(&link))).find(is_ours)
        {
            match link::delete(socket, link.index) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    settings::put_back(&record, &socket.namespace()?, |_| true)?;
    neighbours::remove(name.as_str()).map_err(|error| of_neighbours(&record, &error))?;
    Ok(record.remove()?)
}

fn of_neighbours(record: &RecordFile, error: &io::Error) -> CniFailure {
    let path = record.path().display();
    CniFailure::new(FailureCode::InputOutput, format!("the file of the neighbours beside {path}: {error}"))
}

fn is_ours(found: &Found) -> bool {
    matches!(found, Found::Ours(_))
}
