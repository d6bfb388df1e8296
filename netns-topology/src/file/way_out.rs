//! `masquerade`, `publish` and `redirect` of a bridge.

use super::Wrong;
use super::check::Described;
use super::tables::{BridgeTable, Text};
use super::values::if_name;
use crate::publish::PublishedPorts;
use crate::topology::{LinkName, Place, WayOutSpec};
use netns_core::MacAddress;
use netns_core::nat::Publication;
use std::net::IpAddr;
use toml::Spanned;

/// Reads what of a bridge's namespaces is let out and in; of a bridge without, nothing.
pub(super) fn read_way_out(into: &mut Described, bridge: &LinkName, table: &BridgeTable) -> Wrong<()> {
    let masquerade = table.masquerade.as_ref().is_some_and(|on| *on.get_ref());
    let asked = [
        table.masquerade.as_ref().filter(|_| masquerade).map(Spanned::span),
        table.publish.first().map(Spanned::span),
        table.redirect.first().map(Spanned::span),
    ];
    let Some(span) = asked.into_iter().flatten().next() else {
        let of_no_use = [
            table.publish_on_loopback.as_ref().map(Spanned::span),
            table.open_forward_chains.as_ref().map(Spanned::span),
            table.connection_limit.as_ref().map(Spanned::span),
            table.resolvers.first().map(Spanned::span),
            table.uplinks.iter().flatten().next().map(Spanned::span),
        ];
        return match of_no_use.into_iter().flatten().next() {
            Some(span) => Err((
                span,
                "nothing is let out or in; expected `masquerade`, `publish` or `redirect`".to_owned(),
            )),
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
    let mut spec = WayOutSpec {
        bridge: bridge.clone(),
        subnets,
        masquerade,
        uplinks: table.uplinks.as_ref().map(|names| names.iter().map(if_name).collect()).transpose()?,
        loopback,
        open_forward_chains: table.open_forward_chains.as_ref().is_some_and(|on| *on.get_ref()),
        connection_limit: table.connection_limit.as_ref().map(|limit| *limit.get_ref()),
        resolvers: Vec::new(),
        redirects: Vec::new(),
        published,
    };
    for text in &table.resolvers {
        let expected = |_| (text.span(), format!("{:?} is not the address of a resolver", text.get_ref()));
        spec.resolvers.push(text.get_ref().parse().map_err(expected)?);
        check(&spec, text)?;
    }
    for text in &table.redirect {
        let wrong = |error: netns_core::Error| (text.span(), error.to_string());
        spec.redirects.push(text.get_ref().parse().map_err(wrong)?);
        check(&spec, text)?;
    }
    into.topology.ways_out.push(spec);
    Ok(())
}

/// Whether what was read by now makes sense together.
fn check(spec: &WayOutSpec, last: &Text) -> Wrong<()> {
    let options = spec.options(0, MacAddress::default());
    options.check().map_err(|error| (last.span(), error.to_string()))
}

fn read_publication(into: &Described, bridge: &LinkName, text: &Text) -> Wrong<Vec<Publication>> {
    let wrong = |message: String| (text.span(), message);
    let ports: PublishedPorts = text.get_ref().parse().map_err(wrong)?;
    let place = into.place(&Spanned::new(text.span(), ports.namespace().to_owned()))?;
    let inside = addresses_on(into, bridge, &place);
    if inside.is_empty() {
        return Err(wrong(format!("{place} has no address on {bridge}; expected a namespace that has")));
    }
    ports.publications(&inside).map_err(wrong)
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
