//! From the tables of the file to a description: names and addresses are read, interfaces find their other ends.

use super::Wrong;
use super::check::Described;
use super::egress::{NamedEgress, port_egress, read_egress};
use super::group::{apart, apart_from_host};
use super::options::read_options;
use super::policy::read_policy;
use super::tables::{
    self, BridgeTable, FileTable, HostTable, Interface, NamespaceTable, OptionsTable, PolicyEntry,
    RouteTable, Scalar, Text,
};
use super::values::{if_name, in_order, mac, mtu, net};
use super::way_out::read_way_out;
use crate::group::Group;
use crate::options::defaults;
use crate::topology::{
    self, AddressSpec, Cable, CableEnd, DEFAULT_AGEING, DEFAULT_MTU, LinkName, Place, PortPolicy,
    ShellCommand, SingleLink,
};
use netns_core::barrier::FORWARDED;
use netns_core::bridge::{BridgeOptions, PortOptions};
use netns_core::link::{LinkKind, MacvlanMode};
use netns_core::{IfName, IpNet};
use netns_ebpf::Mode;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// An interface of the file, before its other end is looked for.
struct End {
    link: LinkName,
    span: Range<usize>,
    table: Interface,
}

/// Everything in the order of the file.
pub(super) fn read(file: FileTable) -> Wrong<Described> {
    let mut into = Described::default();
    let FileTable { host, namespace, bridge, apart: pairs, egress } = file;
    let mut ends = Vec::new();

    let namespaces = in_order(namespace);
    for (name, _) in &namespaces {
        namespace_name(name)?;
        into.topology.namespaces.push(name.get_ref().clone());
    }
    let HostTable { interface, routes, sysctl } = host;
    let mut tables = vec![(Place::Host, interface, routes, sysctl)];
    for (name, table) in namespaces {
        let NamespaceTable { interface, routes, sysctl, run } = table;
        let name = name.into_inner();
        for command in run {
            if command.get_ref().trim().is_empty() {
                return Err((command.span(), "an empty command; expected one for /bin/sh -c".to_owned()));
            }
            let span = command.span();
            let command = ShellCommand { namespace: name.clone(), command: command.into_inner() };
            into.push_command(command, span)?;
        }
        tables.push((Place::Namespace(name), interface, routes, sysctl));
    }
    let mut bridges = Vec::new();
    for (name, table) in in_order(bridge) {
        bridges.push((read_bridge(&mut into, &name, &table)?, table));
    }
    for (place, interfaces, routes, sysctls) in tables {
        for (name, table) in in_order(interfaces) {
            let link = LinkName { place: place.clone(), name: if_name(&name)? };
            read_addresses(&mut into, &link, &table.addresses)?;
            if let Some(text) = &table.mac {
                into.push_mac(&link, mac(text)?, text.span());
            }
            match &table.kind {
                Some(kind) => read_single(&mut into, link, name.span(), kind, &table)?,
                None => ends.push(End { link, span: name.span(), table }),
            }
        }
        for route in routes {
            read_route(&mut into, &place, route)?;
        }
        for (key, value) in in_order(sysctls) {
            let name = key.get_ref();
            let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
            if !path.starts_with("net/") || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                let message = format!(
                    "{name:?} is not a setting of a namespace; expected one like \"net.ipv4.ip_forward\""
                );
                return Err((key.span(), message));
            }
            let sysctl = topology::Sysctl { place: place.clone(), key: path, value: value.get_ref().text() };
            into.push_sysctl(sysctl, key.span())?;
        }
    }
    read_cables(&mut into, &ends, &apart_from_host(&pairs)?, (&bridges, &read_egress(&egress)?))?;
    for (link, table) in &bridges {
        read_way_out(&mut into, link, table)?;
    }
    // Numbers come later: those that are up keep theirs.
    (into.topology.apart, _) = apart(ends.iter().filter_map(group_of), &pairs)?;
    Ok(into)
}

/// Where the file says where an interface may send to.
fn egress_of(end: &End) -> Option<&Text> {
    match end.table.policy.as_ref()?.get_ref() {
        PolicyEntry::Mode(_) => None,
        PolicyEntry::Table(table) => table.egress.as_ref(),
    }
}

/// Where the file says which group the port of an interface is in.
fn group_of(end: &End) -> Option<&Spanned<tables::GroupTable>> {
    match end.table.policy.as_ref()?.get_ref() {
        PolicyEntry::Mode(_) => None,
        PolicyEntry::Table(table) => table.group.as_ref(),
    }
}

fn namespace_name(name: &Text) -> Wrong<()> {
    if name.get_ref() == Place::HOST {
        let message = "\"host\" means the host; expected another name, or [host]".to_owned();
        return Err((name.span(), message));
    }
    match netns_core::Namespace::path(name.get_ref()) {
        Ok(_) => Ok(()),
        Err(error) => Err((name.span(), error.to_string())),
    }
}

fn read_bridge(into: &mut Described, name: &Text, table: &BridgeTable) -> Wrong<LinkName> {
    let place = match &table.namespace {
        None => Place::Host,
        Some(namespace) => into.place(namespace)?,
    };
    let link = LinkName { place, name: if_name(name)? };
    read_addresses(into, &link, &table.addresses)?;
    if let Some(text) = &table.mac {
        into.push_mac(&link, mac(text)?, text.span());
    }
    let mut options = BridgeOptions {
        stp_state: Some(table.stp),
        ageing_time: Some(
            table
                .ageing
                .as_ref()
                .map_or(DEFAULT_AGEING, |time| Duration::from_secs((*time.get_ref()).into())),
        ),
        mcast_snooping: Some(table.multicast_snooping.unwrap_or(true)),
        ..BridgeOptions::NONE
    };
    read_options(&mut options, &table.options)?;
    let bridge = topology::BridgeSpec {
        link,
        mac: table.mac.as_ref().map(mac).transpose()?,
        // What is not given follows the ports, as soon as they are known.
        mtu: mtu(table.mtu.as_ref())?.unwrap_or(0),
        options,
    };
    let link = bridge.link.clone();
    into.push_bridge(bridge, name.span()).map(|()| link)
}

fn read_addresses(into: &mut Described, link: &LinkName, addresses: &[Text]) -> Wrong<()> {
    for text in addresses {
        let net = net(text, "an address such as \"10.1.1.1/24\" or \"fd00::1/64\"")?;
        into.push_address(AddressSpec { link: link.clone(), net }, text.span())?;
    }
    Ok(())
}

/// A link that has one end.
fn read_single(
    into: &mut Described,
    link: LinkName,
    span: Range<usize>,
    name: &Text,
    table: &Interface,
) -> Wrong<()> {
    let known = LinkKind::ALL
        .iter()
        .filter(|kind| !matches!(kind, LinkKind::Bridge(_) | LinkKind::Veth(_) | LinkKind::Tun(_)));
    let Some(kind) = known.clone().find(|kind| kind.name() == name.get_ref()) else {
        let known: Vec<_> = known.map(LinkKind::name).collect();
        let message = format!("there is no type {:?}; expected one of: {}", name.get_ref(), known.join(", "));
        return Err((name.span(), message));
    };
    let other = [table.bridge.as_ref().map(Spanned::span), table.peer.as_ref().map(Spanned::span)];
    let port = [
        table.port.as_ref().map(Spanned::span),
        table.policy.as_ref().map(Spanned::span),
        table.limit.as_ref().map(Spanned::span),
    ];
    if let Some(wrong) = other.into_iter().chain(port).flatten().next() {
        return Err((
            wrong,
            format!("a {} cannot be an end of a cable; expected no `type`, or not this", kind.name()),
        ));
    }
    let mut kind = *kind;
    read_options(&mut kind, &table.options)?;
    let on = table.link.as_ref().map(if_name).transpose()?;
    if on.is_none() && kind.needs_link() {
        let message = format!("a {} is on another link; expected link = \"NAME\"", kind.name());
        return Err((span, message));
    }
    if let LinkKind::Macvlan(options) = kind
        && options.mode == Some(MacvlanMode::PASSTHRU)
    {
        let message = "it would have the address of the link below, by which it could not be \
                       distinguished from others; expected another mode";
        return Err((span, message.to_owned()));
    }
    let mac = table.mac.as_ref().map(mac).transpose()?;
    let single = SingleLink { link, kind, on, mac, mtu: mtu(table.mtu.as_ref())? };
    into.push_single(single, span)
}

/// Joins every interface with its other end.
fn read_cables(
    into: &mut Described,
    ends: &[End],
    from_host: &[Group],
    (bridges, egress): (&[(LinkName, BridgeTable)], &NamedEgress),
) -> Wrong<()> {
    for end in ends {
        let near = CableEnd {
            link: end.link.clone(),
            mac: end.table.mac.as_ref().map(mac).transpose()?,
            mtu: mtu(end.table.mtu.as_ref())?.unwrap_or(DEFAULT_MTU),
            port: None,
            neighbours: Vec::new(),
        };
        if let Some((key, _)) = end.table.options.first_key_value() {
            return Err((key.span(), "the end of a cable has no options; expected `type`".to_owned()));
        }
        if let Some(link) = &end.table.link {
            return Err((link.span(), "the end of a cable is on no link; expected `type`".to_owned()));
        }
        match (&end.table.bridge, &end.table.peer) {
            (Some(bridge), None) => {
                let mut port = read_port(into, end, bridge)?;
                let of = into.topology.addresses.iter().filter(|address| address.link == end.link);
                let own = crate::policy::own(of.map(|address| address.net));
                let on = LinkName { place: port.link.place.clone(), name: into.bridge(bridge)?.name };
                let table = bridges.iter().find(|(link, _)| *link == on).map(|(_, table)| table);
                let of_bridge = table.and_then(|table| table.egress.as_ref());
                let (said, limit) = (end.table.policy.as_ref(), end.table.limit.as_ref());
                let mut policy = read_policy(said, limit, own.clone(), from_host)?;
                if said.is_none() && of_bridge.is_some() {
                    // Where it may send to is worth little if it may pretend to be somebody else.
                    policy.get_or_insert_with(|| PortPolicy::of_networks(own.clone())).mode = Mode::Enforce;
                }
                if table.is_some_and(|table| table.verdicts) {
                    policy.get_or_insert_with(|| PortPolicy::of_networks(own)).verdicts = true;
                }
                if let Some((policy, name)) = policy.as_mut().zip(egress_of(end).or(of_bridge)) {
                    let is_of_link = |address: &&AddressSpec| address.link == end.link || address.link == on;
                    let link = into.topology.addresses.iter().filter(is_of_link).map(|address| address.net);
                    policy.egress = Some(port_egress(name, egress, link)?);
                }
                let is_enforced = policy.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce);
                if let Some(topology::PortSpec { options, .. }) = port.port.as_mut().filter(|_| is_enforced) {
                    // They are to pass the port's barrier.
                    options.group_fwd_mask = Some(options.group_fwd_mask.unwrap_or_default() | FORWARDED);
                }
                into.push_cable(Cable { ends: [port, near], policy, is_known: false }, end.span.clone())?;
            }
            (None, Some(peer)) => {
                if let Some(port) = &end.table.port {
                    return Err((
                        port.span(),
                        "only a cable to a bridge has a port; expected `bridge`".to_owned(),
                    ));
                }
                if let Some(policy) = &end.table.policy {
                    let message = "a policy is judged at the port of a bridge; expected `bridge`".to_owned();
                    return Err((policy.span(), message));
                }
                if let Some(limit) = &end.table.limit {
                    let message = "a limit is one of a bridge's port; expected `bridge`".to_owned();
                    return Err((limit.span(), message));
                }
                let far = other_end(into, ends, end, peer)?;
                // Each end names the other: the first one makes the cable.
                if end.span.start < far.span.start {
                    let far = CableEnd {
                        link: far.link.clone(),
                        mac: far.table.mac.as_ref().map(mac).transpose()?,
                        mtu: mtu(far.table.mtu.as_ref())?.unwrap_or(DEFAULT_MTU),
                        port: None,
                        neighbours: Vec::new(),
                    };
                    into.push_cable(
                        Cable { ends: [near, far], policy: None, is_known: false },
                        end.span.clone(),
                    )?;
                }
            }
            (Some(_), Some(peer)) => {
                return Err((
                    peer.span(),
                    "an interface has one other end; expected either `bridge` or `peer`".to_owned(),
                ));
            }
            (None, None) => {
                let message = format!(
                    "{} leads nowhere; expected bridge = \"NAME\", or peer = \"NAMESPACE/INTERFACE\"",
                    end.link
                );
                return Err((end.span.clone(), message));
            }
        }
    }
    Ok(())
}

/// The end that is on the bridge.
fn read_port(into: &Described, end: &End, bridge: &Text) -> Wrong<CableEnd> {
    let on = into.bridge(bridge)?;
    let mut table = end.table.port.as_ref().map_or_else(OptionsTable::new, |port| port.get_ref().clone());
    let name = match table.remove("name").map(text_of).transpose()? {
        Some(name) => if_name(&name)?,
        None => IfName::new(&format!("{}-{}", end.link.place, end.link.name)).map_err(|_| {
            let message = format!(
                "the port's name would be \"{}-{}\", which no interface can have; expected port = {{ name = \"...\" }} \
                 with one of up to 15 bytes",
                end.link.place, end.link.name
            );
            (end.span.clone(), message)
        })?,
    };
    let mut options: PortOptions = defaults();
    read_options(&mut options, &table)?;
    Ok(CableEnd {
        link: LinkName { place: on.place, name },
        mac: None,
        mtu: mtu(end.table.mtu.as_ref())?.unwrap_or(DEFAULT_MTU),
        port: Some(topology::PortSpec { bridge: on.name, options }),
        neighbours: Vec::new(),
    })
}

/// A name among options.
fn text_of(scalar: Spanned<Scalar>) -> Wrong<Text> {
    let span = scalar.span();
    match scalar.into_inner() {
        Scalar::Text(text) => Ok(Spanned::new(span, text)),
        _ => Err((span, "a name is a text; expected one in quotes".to_owned())),
    }
}

/// The interface that `peer` names, which has to name this one.
fn other_end<'a>(into: &Described, ends: &'a [End], end: &End, peer: &Text) -> Wrong<&'a End> {
    let wrong = |message: String| (peer.span(), message);
    let Some((place, name)) = peer.get_ref().split_once('/') else {
        return Err(wrong(format!(
            "{:?} is not an interface; expected \"NAMESPACE/INTERFACE\"",
            peer.get_ref()
        )));
    };
    let place = into.place(&Spanned::new(peer.span(), place.to_owned()))?;
    let far = ends.iter().find(|far| far.link.place == place && far.link.name.as_str() == name);
    let Some(far) = far else {
        let table = if place.is_host() { "host".to_owned() } else { format!("namespace.{place}") };
        return Err(wrong(format!(
            "there is no interface {}; expected one in [{table}] with peer = \"{}\"",
            peer.get_ref(),
            end.link
        )));
    };
    if far.link == end.link {
        return Err(wrong("a cable has two ends; expected another interface".to_owned()));
    }
    if far.table.peer.as_ref().is_none_or(|back| *back.get_ref() != end.link.to_string()) {
        return Err((
            far.span.clone(),
            format!("{} is the other end of {}; expected peer = \"{}\"", far.link, end.link, end.link),
        ));
    }
    Ok(far)
}

fn read_route(into: &mut Described, place: &Place, route: Spanned<RouteTable>) -> Wrong<()> {
    let span = route.span();
    let table = route.into_inner();
    let via = table.via.as_ref().map(|via| {
        via.get_ref().parse().map_err(|_| {
            (via.span(), format!("{:?} is not an address; expected that of a router", via.get_ref()))
        })
    });
    let via: Option<std::net::IpAddr> = via.transpose()?;
    let dev = table.dev.as_ref().map(if_name).transpose()?;
    let to = match (table.to.get_ref().as_str(), via) {
        ("default", Some(via)) => IpNet::everything(via),
        ("default", None) => {
            let message = "a default route without `via`; expected it, or to = \"0.0.0.0/0\" or \"::/0\"";
            return Err((table.to.span(), message.to_owned()));
        }
        _ => net(&table.to, "\"default\", or a network such as \"10.2.0.0/16\"")?,
    };
    if to.network() != to {
        let message = format!("{to} is an address in a network; expected {}", to.network());
        return Err((table.to.span(), message));
    }
    let route = topology::RouteSpec {
        place: place.clone(),
        to,
        via,
        dev,
        metric: table.metric,
        onlink: table.onlink,
    };
    into.push_route(route, span, table.via.map(|via| via.span()), table.dev.map(|dev| dev.span()))
}
