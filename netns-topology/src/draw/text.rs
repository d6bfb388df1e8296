//! As text.

use super::addresses;
use crate::topology::{Cable, CableEnd, LinkName, Topology};
use std::fmt::Write;

/// A topology as lines of text: bridges with what is on them, cables, other links, routes, settings, commands. Where some
/// interfaces have a policy, those on bridges that have none are marked too.
///
/// ```
/// # use std::path::Path;
/// let file = "[bridge.br0]\n[namespace.ns1]\ninterface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'] }\n";
/// let topology = netns_topology::parse(Path::new("lab.toml"), file)?;
/// assert_eq!(netns_topology::draw::text(&topology), "bridge host/br0\n  ns1/eth0 10.1.1.1/24 by ns1-eth0\n");
/// # Ok::<(), netns_topology::Error>(())
/// ```
#[must_use]
pub fn text(topology: &Topology) -> String {
    let mut out = String::new();
    let named = |link: &LinkName| {
        let mut words = vec![link.to_string()];
        words.extend(addresses(topology, link));
        words.join(" ")
    };
    let judges = topology.cables.iter().any(|cable| cable.policy.is_some());
    let otherwise = if judges { ", no policy" } else { "" };
    // Writing to a `String` cannot fail.
    for bridge in &topology.bridges {
        let _ = writeln!(out, "bridge {}", named(&bridge.link));
        for Cable { ends: [port, far], policy, .. } in &topology.cables {
            if is_on(port, &bridge.link) {
                let policy = policy
                    .as_ref()
                    .map_or_else(|| otherwise.to_owned(), |policy| format!(", policy {policy}"));
                let _ = writeln!(out, "  {} by {}{policy}", named(&far.link), port.link.name);
            }
        }
    }
    for way in &topology.ways_out {
        if way.masquerade {
            let _ = writeln!(out, "{}: masquerade", way.bridge);
        }
        for resolver in &way.resolvers {
            let _ = writeln!(out, "{}: resolver {resolver}", way.bridge);
        }
        for redirect in &way.redirects {
            let _ = writeln!(out, "{}: redirect {redirect}", way.bridge);
        }
        for publication in &way.published {
            let _ = writeln!(out, "{}: publish {publication}", way.bridge);
        }
    }
    for [near, far] in topology.cables.iter().map(|cable| &cable.ends) {
        if near.port.is_none() {
            let _ = writeln!(out, "cable {} - {}", named(&near.link), named(&far.link));
        }
    }
    for single in &topology.links {
        let on = single.on.map_or_else(String::new, |on| format!(" on {on}"));
        let _ = writeln!(out, "{} {}{on}", single.kind.name(), named(&single.link));
    }
    let lonely = |name: &&String| {
        let ends = topology.cables.iter().flat_map(|cable| &cable.ends).map(|end| &end.link);
        let mut links = ends.chain(topology.links.iter().map(|single| &single.link));
        !links.any(|link| link.place.to_string() == **name)
    };
    for name in topology.namespaces.iter().filter(lonely) {
        let _ = writeln!(out, "namespace {name}");
    }
    for [one, other] in &topology.apart {
        let _ = writeln!(out, "apart {one} and {other}");
    }
    for route in &topology.routes {
        let _ = writeln!(out, "{}: route {route}", route.place);
    }
    for sysctl in &topology.sysctls {
        let _ = writeln!(out, "{}: {} {}", sysctl.place, sysctl.key, sysctl.value);
    }
    for command in &topology.commands {
        let _ = writeln!(out, "{}: run {}", command.namespace, command.command);
    }
    out
}

/// Whether this is a port of the bridge.
pub(super) fn is_on(end: &CableEnd, bridge: &LinkName) -> bool {
    end.link.place == bridge.place && end.port.is_some_and(|port| port.bridge == bridge.name)
}
