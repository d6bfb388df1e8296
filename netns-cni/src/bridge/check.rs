//! `CHECK`: whether the attachment is still as `ADD` made it.

use super::config::{BridgeConfig, Ipam};
use super::shared_bridge;
use super::{guard, hiding};
use crate::attachment_result::{AttachmentResult, ResultInterface};
use crate::delegate::delegate;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::request::PluginRequest;
use crate::{container, host_local};
use netns_core::link::{self, Link};
use netns_core::route::Route;
use netns_core::{IfName, IpNet, RouteSocket, address, route, sysctl};

pub(super) fn check(request: &PluginRequest) -> Outcome<()> {
    let config = BridgeConfig::read(request)?;
    let Some(previous) = request.previous() else {
        return Err(CniFailure::new(FailureCode::InvalidConfig, "CHECK without the key \"prevResult\""));
    };
    let expected = AttachmentResult::read("prevResult", previous)?;
    match &config.ipam {
        Ipam::Without => {}
        Ipam::HostLocal => host_local::check(request)?,
        Ipam::Foreign(plugin) => drop(delegate(request, plugin, "CHECK")?),
    }
    let inside = container::open(request)?;
    let (mut host, mut within) = (RouteSocket::open()?, RouteSocket::open_in(&inside)?);
    let bridge = check_bridge(&mut host, &config, &expected)?;
    let interface = check_interface(&mut within, request, &config, &expected)?;
    let links = link::list(&mut host)?;
    let port = links.iter().find(|port| {
        let is_its = Some(port.index) == interface.peer && port.peer == Some(interface.index);
        is_its && port.kind.as_deref() == Some("veth") && port.master == Some(bridge.index)
    });
    let Some(port) = port else {
        return damaged(format!("the other end of {} is no port of {}", interface.name, bridge.name));
    };
    check_port(port, &config, &expected)?;
    let indexes = (bridge.index, port.index);
    if let Some(words) = hiding::missing(request, &config, indexes, interface.mac, &expected)? {
        return damaged(format!("{words} is missing"));
    }
    let places = (bridge.index, port);
    if let Some(words) = guard::missing(request, &config, &mut host, places, interface.mac, &expected)? {
        return damaged(format!("{words} is missing"));
    }
    check_addresses(&mut within, &interface, &expected)?;
    check_routes(&mut within, &interface, &config, &expected)?;
    if config.is_gateway { check_gateway(&mut host, &bridge, &expected) } else { Ok(()) }
}

fn check_bridge(
    socket: &mut RouteSocket,
    config: &BridgeConfig,
    expected: &AttachmentResult,
) -> Outcome<Link> {
    let name = config.bridge;
    let Some(bridge) = container::find_link(socket, name)? else {
        return damaged(format!("the bridge {name} is gone"));
    };
    if bridge.bridge().is_none() {
        return damaged(format!("{name} is no bridge"));
    }
    if !bridge.is_up() {
        return damaged(format!("the bridge {name} is down"));
    }
    let is_promiscuous = bridge.flags & PROMISCUOUS != 0;
    if config.promiscuous && !is_promiscuous {
        return damaged(format!("the bridge {name} is not promiscuous"));
    }
    let described = expected
        .interfaces
        .iter()
        .find(|interface| interface.sandbox.is_empty() && interface.name == name.as_str());
    match described {
        Some(described) => same_mac(described, &bridge)?,
        None => return damaged(format!("prevResult has no interface {name} of the host")),
    }
    Ok(bridge)
}

/// `IFF_PROMISC`.
const PROMISCUOUS: u32 = 0x100;

fn check_interface(
    socket: &mut RouteSocket,
    request: &PluginRequest,
    config: &BridgeConfig,
    expected: &AttachmentResult,
) -> Outcome<Link> {
    let name: IfName = container::interface(request)?;
    let sandbox = request.invocation.netns.as_str();
    let described = expected
        .interfaces
        .iter()
        .find(|interface| interface.name == name.as_str() && interface.sandbox == sandbox);
    let Some(described) = described else {
        return damaged(format!("prevResult has no interface {name} of {sandbox}"));
    };
    let Some(link) = container::find_link(socket, name)? else {
        return damaged(format!("the container's {name} is gone"));
    };
    if link.kind.as_deref() != Some("veth") {
        return damaged(format!("the container's {name} is no veth"));
    }
    if !config.without_interface && !link.is_up() {
        return damaged(format!("the container's {name} is down"));
    }
    same_mac(described, &link)?;
    Ok(link)
}

fn check_port(port: &Link, config: &BridgeConfig, expected: &AttachmentResult) -> Outcome<()> {
    if !port.is_up() {
        return damaged(format!("the port {} is down", port.name));
    }
    let described = expected
        .interfaces
        .iter()
        .find(|interface| interface.sandbox.is_empty() && interface.name == port.name.as_str());
    if let Some(described) = described {
        same_mac(described, port)?;
    }
    let options = port.port.unwrap_or_default();
    for (key, wanted, is) in [
        ("hairpinMode", config.hairpin, options.hairpin),
        ("portIsolation", config.isolated, options.isolated),
    ] {
        if is.is_some_and(|is| is != wanted) {
            return damaged(format!("the port {} is not as {key} says, {wanted}", port.name));
        }
    }
    Ok(())
}

fn check_addresses(socket: &mut RouteSocket, interface: &Link, expected: &AttachmentResult) -> Outcome<()> {
    let there = address::list_of(socket, interface.index)?;
    for ip in expected.ips.iter().filter(|ip| is_of(ip.interface, interface, expected)) {
        if !there.iter().any(|there| there.net == ip.address) {
            return damaged(format!("the container's {} has not the address {}", interface.name, ip.address));
        }
    }
    Ok(())
}

fn is_of(position: Option<u32>, interface: &Link, expected: &AttachmentResult) -> bool {
    let described = position.and_then(|position| expected.interfaces.get(position as usize));
    described.is_none_or(|described| described.name == interface.name.as_str())
}

/// A later plugin may have changed a route, so a route with another gateway or metric counts too.
fn check_routes(
    socket: &mut RouteSocket,
    interface: &Link,
    config: &BridgeConfig,
    expected: &AttachmentResult,
) -> Outcome<()> {
    if config.without_interface || expected.routes.is_empty() {
        return Ok(());
    }
    let there: Vec<Route> = route::list(socket)?;
    for wanted in &expected.routes {
        if !there.iter().any(|route| route.destination == wanted.dst.network()) {
            return damaged(format!("the container has no route to {} by {}", wanted.dst, interface.name));
        }
    }
    Ok(())
}

fn check_gateway(host: &mut RouteSocket, bridge: &Link, expected: &AttachmentResult) -> Outcome<()> {
    let there = address::list_of(host, bridge.index)?;
    for ip in &expected.ips {
        let Some(gateway) = ip.gateway else { continue };
        let net = IpNet::new(gateway, ip.address.prefix())?;
        if !there.iter().any(|there| there.net == net) {
            return damaged(format!("the bridge {} has not the address {net}", bridge.name));
        }
        let setting = shared_bridge::forwarding(gateway.is_ipv4());
        if sysctl::get(&host.namespace()?, setting)? != "1" {
            return damaged(format!("the host does not forward: {setting} is not 1"));
        }
    }
    Ok(())
}

fn same_mac(described: &ResultInterface, link: &Link) -> Outcome<()> {
    let is = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    if described.mac.is_empty() || described.mac.eq_ignore_ascii_case(&is) {
        return Ok(());
    }
    damaged(format!("{} has the MAC address {is}, not {}", link.name, described.mac))
}

fn damaged<T>(why: String) -> Outcome<T> {
    Err(CniFailure::new(FailureCode::Damaged, why))
}
