//! `masquerade` and `publish` of a bridge.

use super::Wrong;
use super::check::Described;
use super::tables::{BridgeTable, Text};
use crate::topology::{LinkName, Place, WayOutSpec};
use netns_core::nat::{PortProtocol, Publication};
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;

/// What the file expects of `publish`.
const EXPECTED: &str =
    "expected \"[ADDRESS:]PORT[-PORT]:NAMESPACE:PORT[/tcp|/udp|/sctp]\", such as \"8080:ns1:80\"";

/// Reads what of a bridge's namespaces is let out and in; of a bridge without, nothing.
pub(super) fn read_way_out(into: &mut Described, bridge: &LinkName, table: &BridgeTable) -> Wrong<()> {
    let masquerade = table.masquerade.as_ref().is_some_and(|on| *on.get_ref());
    let asked = [
        table.masquerade.as_ref().filter(|_| masquerade).map(Spanned::span),
        table.publish.first().map(Spanned::span),
    ];
    let Some(span) = asked.into_iter().flatten().next() else {
        let of_no_use = [
            table.publish_on_loopback.as_ref().map(Spanned::span),
            table.open_forward_chains.as_ref().map(Spanned::span),
            table.connection_limit.as_ref().map(Spanned::span),
        ];
        return match of_no_use.into_iter().flatten().next() {
            Some(span) => {
                Err((span, "nothing is let out or in; expected `masquerade` or `publish`".to_owned()))
            }
            None => Ok(()),
        };
    };
    if !bridge.place.is_host() {
        let message = "only the host lets anything out; expected a bridge without `namespace`";
        return Err((span, message.to_owned()));
    }
    let addresses = into.topology.addresses.iter().filter(|address| address.link == *bridge);
    let subnets: Vec<_> = addresses.map(|address| address.net.network()).collect();
    if subnets.is_empty() {
        let message = format!("{bridge} has no address that replies find their way by; expected `addresses`");
        return Err((span, message));
    }
    let loopback = table.publish_on_loopback.as_ref().is_some_and(|on| *on.get_ref());
    let mut published = Vec::new();
    for text in &table.publish {
        for publication in read_publication(into, bridge, text)? {
            if publication.address.is_some_and(|address| address.is_loopback()) && !loopback {
                let message = "a loopback address; expected `publish_on_loopback = true` beside it";
                return Err((text.span(), message.to_owned()));
            }
            let is_same = |other: &&Publication| {
                let ports = |one: &Publication| one.port..=one.port.saturating_add(one.count - 1);
                let (mine, theirs) = (ports(&publication), ports(other));
                let same_family = other.to.is_ipv4() == publication.to.is_ipv4();
                let overlap = mine.start() <= theirs.end() && theirs.start() <= mine.end();
                (other.address, other.protocol) == (publication.address, publication.protocol)
                    && same_family
                    && overlap
            };
            let mut all = into.topology.ways_out.iter().flat_map(|way| &way.published).chain(&published);
            if let Some(other) = all.find(is_same) {
                return Err((text.span(), format!("{other} is published already; expected another port")));
            }
            published.push(publication);
        }
    }
    into.topology.ways_out.push(WayOutSpec {
        bridge: bridge.clone(),
        subnets,
        masquerade,
        loopback,
        open_forward_chains: table.open_forward_chains.as_ref().is_some_and(|on| *on.get_ref()),
        connection_limit: table.connection_limit.as_ref().map(|limit| *limit.get_ref()),
        published,
    });
    Ok(())
}

/// Without an address one for each family that the namespace has.
fn read_publication(into: &Described, bridge: &LinkName, text: &Text) -> Wrong<Vec<Publication>> {
    let wrong = |message: String| (text.span(), message);
    let nonsense = || wrong(format!("{:?} is no published port; {EXPECTED}", text.get_ref()));
    let (rest, protocol) = match text.get_ref().split_once('/') {
        Some((rest, protocol)) => (rest, protocol.parse().map_err(|_| nonsense())?),
        None => (text.get_ref().as_str(), PortProtocol::Tcp),
    };
    let (rest, inner) = rest.rsplit_once(':').ok_or_else(nonsense)?;
    let (rest, namespace) = rest.rsplit_once(':').ok_or_else(nonsense)?;
    let (address, ports) = match rest.rsplit_once(':') {
        Some((address, ports)) => (Some(address), ports),
        None => (None, rest),
    };
    let address: Option<IpAddr> = address
        .map(|address| {
            let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
            bare.unwrap_or(address).parse().map_err(|_| nonsense())
        })
        .transpose()?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(nonsense);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last, inner) = (number(first)?, number(last)?, number(inner)?);
    let count = last.checked_sub(first).and_then(|more| more.checked_add(1)).ok_or_else(nonsense)?;
    let place = into.place(&Spanned::new(text.span(), namespace.to_owned()))?;
    let inside: Vec<IpAddr> = addresses_on(into, bridge, &place);
    if inside.is_empty() {
        return Err(wrong(format!("{place} has no address on {bridge}; expected a namespace that has")));
    }
    let mut found = Vec::new();
    for is_ipv4 in [true, false] {
        let to = inside.iter().find(|to| to.is_ipv4() == is_ipv4);
        let Some(to) = to.filter(|_| address.is_none_or(|address| address.is_ipv4() == is_ipv4)) else {
            continue;
        };
        let to = SocketAddr::new(*to, inner);
        let publication = Publication { address, count, ..Publication::new(protocol, first, to) };
        publication.check().map_err(|error| wrong(error.to_string()))?;
        found.push(publication);
    }
    if found.is_empty() {
        return Err(wrong(format!("{place} has no address of this family on {bridge}; {EXPECTED}")));
    }
    Ok(found)
}

/// The addresses of a place by which it is on a bridge.
fn addresses_on(into: &Described, bridge: &LinkName, place: &Place) -> Vec<IpAddr> {
    let cables = into.topology.cables.iter().map(|cable| &cable.ends);
    let on = cables.filter(|[near, far]| {
        let is_on = near.port.is_some_and(|port| port.bridge == bridge.name);
        is_on && near.link.place == bridge.place && far.link.place == *place
    });
    let links: Vec<&LinkName> = on.map(|[_, far]| &far.link).collect();
    let addresses = into.topology.addresses.iter();
    addresses.filter(|address| links.contains(&&address.link)).map(|address| address.net.address()).collect()
}
