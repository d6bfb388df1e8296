//! Whether a description makes sense as a whole: names that are taken, references that lead nowhere, addresses that
//! cannot work.

use super::Wrong;
use super::tables::Text;
use crate::topology::{
    AddressSpec, BridgeSpec, Cable, LinkName, Place, RouteSpec, ShellCommand, SingleLink, Sysctl, Topology,
};
use netns_core::bridge::MAX_PORTS;
use netns_core::{IpNet, MacAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

type TextSpan = Range<usize>;

/// A topology that is being read, and where in the file its parts are.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) topology: Topology,
    links: BTreeSet<LinkName>,
    singles: Vec<TextSpan>,
    settings: BTreeSet<(Place, String)>,
    addresses: Vec<TextSpan>,
    macs: Vec<(LinkName, MacAddress, TextSpan)>,
    routes: Vec<RouteSpans>,
}

#[derive(Debug)]
struct RouteSpans {
    whole: TextSpan,
    via: Option<TextSpan>,
    dev: Option<TextSpan>,
}

impl Described {
    /// The place of this name.
    pub(super) fn place(&self, name: &Text) -> Wrong<Place> {
        let place = Place::from(name.get_ref().clone());
        match &place {
            Place::Namespace(known) if !self.topology.namespaces.contains(known) => {
                let known = self.topology.namespaces.iter().map(String::as_str);
                Err((name.span(), unknown("namespace", name.get_ref(), known)))
            }
            _ => Ok(place),
        }
    }

    /// The bridge of this name.
    pub(super) fn bridge(&self, name: &Text) -> Wrong<LinkName> {
        let mut bridges = self.topology.bridges.iter();
        let found = bridges.find(|bridge| bridge.link.name.as_str() == name.get_ref());
        found.map(|bridge| bridge.link.clone()).ok_or_else(|| {
            let known = self.topology.bridges.iter().map(|bridge| bridge.link.name.as_str());
            (name.span(), unknown("bridge", name.get_ref(), known))
        })
    }

    fn take(&mut self, link: &LinkName, span: &TextSpan) -> Wrong<()> {
        if self.links.insert(link.clone()) {
            return Ok(());
        }
        Err((span.clone(), format!("there is a link {link} already; expected a name that is free")))
    }

    pub(super) fn push_bridge(&mut self, bridge: BridgeSpec, span: TextSpan) -> Wrong<()> {
        self.take(&bridge.link, &span)?;
        self.topology.bridges.push(bridge);
        Ok(())
    }

    pub(super) fn push_single(&mut self, single: SingleLink, span: TextSpan) -> Wrong<()> {
        self.take(&single.link, &span)?;
        self.topology.links.push(single);
        self.singles.push(span);
        Ok(())
    }

    pub(super) fn push_cable(&mut self, cable: Cable, span: TextSpan) -> Wrong<()> {
        for end in &cable.ends {
            self.take(&end.link, &span)?;
        }
        self.topology.cables.push(cable);
        Ok(())
    }

    pub(super) fn push_mac(&mut self, link: &LinkName, mac: MacAddress, span: TextSpan) {
        self.macs.push((link.clone(), mac, span));
    }

    pub(super) fn push_address(&mut self, address: AddressSpec, span: TextSpan) -> Wrong<()> {
        if let Some(what) = no_host(address.net) {
            let message = format!("{} is {what}; expected a host's address", address.net.address());
            return Err((span, message));
        }
        let same = |other: &&AddressSpec| {
            other.link.place == address.link.place && other.net.address() == address.net.address()
        };
        if let Some(other) = self.topology.addresses.iter().find(same) {
            let message =
                format!("{} has {} already; expected another address", other.link, other.net.address());
            return Err((span, message));
        }
        self.topology.addresses.push(address);
        self.addresses.push(span);
        Ok(())
    }

    pub(super) fn push_route(
        &mut self,
        route: RouteSpec,
        whole: TextSpan,
        via: Option<TextSpan>,
        dev: Option<TextSpan>,
    ) -> Wrong<()> {
        if route.via.is_none() && route.dev.is_none() {
            return Err((whole, "a route that leads nowhere; expected `via` or `dev`".to_owned()));
        }
        if route.onlink && (route.via.is_none() || route.dev.is_none()) {
            let message = "`onlink` says which link a router is on; expected `via` and `dev` beside it";
            return Err((whole, message.to_owned()));
        }
        let same = |other: &&RouteSpec| {
            (&other.place, other.to, other.metric) == (&route.place, route.to, route.metric)
        };
        if self.topology.routes.iter().any(|other| same(&other)) {
            let message =
                format!("{} has a route to {} already; expected another `metric`", route.place, route.to);
            return Err((whole, message));
        }
        self.topology.routes.push(route);
        self.routes.push(RouteSpans { whole, via, dev });
        Ok(())
    }

    pub(super) fn push_sysctl(&mut self, sysctl: Sysctl, span: TextSpan) -> Wrong<()> {
        if !self.settings.insert((sysctl.place.clone(), sysctl.key.clone())) {
            return Err((span, format!("{} is set already; expected it once", sysctl.key)));
        }
        self.topology.sysctls.push(sysctl);
        Ok(())
    }

    pub(super) fn push_command(&mut self, command: ShellCommand, span: TextSpan) -> Wrong<()> {
        if self.topology.commands.contains(&command) {
            return Err((span, format!("{} runs this already; expected it once", command.namespace)));
        }
        self.topology.commands.push(command);
        Ok(())
    }
}

/// Why no host can have this address: the kernel refuses it, or takes it and nobody reaches it.
fn no_host(net: IpNet) -> Option<String> {
    let address = net.address();
    if address.is_multicast() {
        return Some("a multicast address".to_owned());
    }
    if address.is_unspecified() {
        return Some("no address of anybody".to_owned());
    }
    // Of an IPv6 network both are addresses like others.
    if address.is_ipv6() || net.prefix() > 30 {
        return None;
    }
    let network = net.network();
    if address == network.address() {
        return Some(format!("the address of the network {network} itself"));
    }
    (address == net.last()).then(|| format!("the broadcast address of {network}"))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let expected = match known.len() {
        0 => format!("a table [{what}.{name}]"),
        1..=8 => format!("one of: {}", known.join(", ")),
        _ => format!("one of: {}, ...", known[..8].join(", ")),
    };
    format!("there is no {what} {name:?}; expected {expected}")
}

/// What can only be seen when all is there.
pub(super) fn check(mut described: Described) -> Wrong<Topology> {
    follow_ports(&mut described)?;
    let Described { topology, addresses, macs, routes, links, singles, .. } = described;
    for (single, span) in topology.links.iter().zip(singles) {
        check_below(&links, single, span)?;
    }
    check_segments(&topology, &addresses, &macs)?;
    for (route, spans) in topology.routes.iter().zip(routes) {
        check_route(&topology, &links, route, spans)?;
    }
    Ok(topology)
}

/// Whether the link that another one is on is in the file.
fn check_below(links: &BTreeSet<LinkName>, single: &SingleLink, span: TextSpan) -> Wrong<()> {
    let Some(on) = single.on else { return Ok(()) };
    let place = &single.link.place;
    if on == single.link.name {
        return Err((span, "a link on itself; expected another one".to_owned()));
    }
    if links.contains(&LinkName { place: place.clone(), name: on }) {
        return Ok(());
    }
    let here = links.iter().filter(|link| link.place == *place).map(|link| link.name.as_str());
    Err((span, unknown(&format!("interface in {place}"), on.as_str(), here)))
}

/// A bridge that is given no MTU has the smallest of its ports, as the kernel would have it.
fn follow_ports(described: &mut Described) -> Wrong<()> {
    let Topology { bridges, cables, .. } = &mut described.topology;
    for bridge in bridges {
        let ports: Vec<u32> = cables
            .iter()
            .filter(|cable| is_port_of(cable, &bridge.link))
            .map(|cable| cable.ends[0].mtu)
            .collect();
        if ports.len() > MAX_PORTS as usize {
            let message = format!("{} has {} ports; a bridge takes {MAX_PORTS}", bridge.link, ports.len());
            return Err((0..0, message));
        }
        if bridge.mtu == 0 {
            bridge.mtu = ports.into_iter().min().unwrap_or(crate::topology::DEFAULT_MTU);
        }
    }
    Ok(())
}

fn is_port_of(cable: &Cable, bridge: &LinkName) -> bool {
    let end = &cable.ends[0];
    end.link.place == bridge.place && end.port.is_some_and(|port| port.bridge == bridge.name)
}

/// No address twice on one bridge, of either kind, and no IPv6 address where the MTU is too small for it.
fn check_segments(
    topology: &Topology,
    spans: &[TextSpan],
    macs: &[(LinkName, MacAddress, TextSpan)],
) -> Wrong<()> {
    let mut segment_of: BTreeMap<&LinkName, &LinkName> = BTreeMap::new();
    let mut mtu_of: BTreeMap<&LinkName, u32> = BTreeMap::new();
    for bridge in &topology.bridges {
        mtu_of.insert(&bridge.link, bridge.mtu);
        segment_of.insert(&bridge.link, &bridge.link);
        for cable in topology.cables.iter().filter(|cable| is_port_of(cable, &bridge.link)) {
            segment_of.insert(&cable.ends[1].link, &bridge.link);
        }
    }
    for cable in &topology.cables {
        let [near, far] = &cable.ends;
        for end in [near, far] {
            mtu_of.insert(&end.link, end.mtu);
            segment_of.entry(&end.link).or_insert(&near.link);
        }
    }
    let mut taken: BTreeMap<(&LinkName, MacAddress), &LinkName> = BTreeMap::new();
    for (link, mac, span) in macs {
        let segment = segment_of.get(link).copied().unwrap_or(link);
        if let Some(other) = taken.insert((segment, *mac), link) {
            let message = format!("{mac} is {other}'s, which {link} can reach; expected another MAC address");
            return Err((span.clone(), message));
        }
    }
    let mut taken: BTreeMap<(&LinkName, IpAddr), &LinkName> = BTreeMap::new();
    for (address, span) in topology.addresses.iter().zip(spans) {
        let AddressSpec { link, net } = address;
        if net.address().is_ipv6() && mtu_of.get(link).is_some_and(|&mtu| mtu < 1280) {
            let message =
                format!("IPv6 on {link}, whose MTU is {}; expected an MTU of 1280 or more", mtu_of[link]);
            return Err((span.clone(), message));
        }
        let segment = segment_of.get(link).copied().unwrap_or(link);
        if let Some(other) = taken.insert((segment, net.address()), link) {
            let message =
                format!("{} is {other}'s, which {link} can reach; expected another address", net.address());
            return Err((span.clone(), message));
        }
    }
    Ok(())
}

fn check_route(
    topology: &Topology,
    links: &BTreeSet<LinkName>,
    route: &RouteSpec,
    spans: RouteSpans,
) -> Wrong<()> {
    if let Some(dev) = route.dev
        && !links.contains(&LinkName { place: route.place.clone(), name: dev })
    {
        let here = links.iter().filter(|link| link.place == route.place).map(|link| link.name.as_str());
        let message = unknown(&format!("interface in {}", route.place), dev.as_str(), here);
        return Err((spans.dev.unwrap_or(spans.whole), message));
    }
    let Some(via) = route.via else { return Ok(()) };
    let at = spans.via.unwrap_or(spans.whole);
    if via.is_ipv4() != route.to.address().is_ipv4() {
        return Err((
            at,
            format!("{via} routes nothing to {}; expected an address of the same family", route.to),
        ));
    }
    let nets: Vec<IpNet> = topology
        .addresses
        .iter()
        .filter(|address| address.link.place == route.place)
        .filter(|address| route.dev.is_none_or(|dev| dev == address.link.name))
        .map(|address| address.net)
        .collect();
    if nets.iter().any(|net| net.address() == via) {
        return Err((at, format!("{via} is {}'s own; expected another's address", route.place)));
    }
    // The host has networks that the file does not know of; link-local addresses are on every link.
    let known = nets.iter().any(|net| net.contains(via));
    // A route of its own leads to it.
    let on_link = |other: &&RouteSpec| {
        let same_link = route.dev.is_none_or(|dev| other.dev == Some(dev));
        other.place == route.place && other.via.is_none() && same_link && other.to.contains(via)
    };
    let known = known || topology.routes.iter().find(on_link).is_some();
    if known || route.onlink || route.place.is_host() || (via.is_ipv6() && route.dev.is_some()) {
        return Ok(());
    }
    Err((
        at,
        format!(
            "{} has no address in the network of {via}; expected one that it can reach, or `dev` and `onlink = true`",
            route.place
        ),
    ))
}
