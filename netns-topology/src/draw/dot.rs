//! As a graph for Graphviz.

use super::addresses;
use crate::topology::{Cable, LinkName, Place, PortPolicy, Topology};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A topology in the DOT language: `dot -Tsvg`, `neato -Tpng`. Namespaces are boxes, bridges ellipses, cables lines
/// with interfaces and addresses at their ends.
#[must_use]
pub fn dot(topology: &Topology) -> String {
    let mut out =
        "graph topology {\n  graph [overlap=false, splines=true]\n  node [fontname=\"sans-serif\"]\n  \
                   edge [fontname=\"sans-serif\", fontsize=9]\n"
            .to_owned();
    let ends = || topology.cables.iter().flat_map(|cable| &cable.ends);
    // Writing to a `String` cannot fail.
    for name in &topology.namespaces {
        let _ = writeln!(out, "  {} [shape=box, style=rounded, label={}]", place(name), quoted(name));
    }
    let on_host = topology
        .bridges
        .iter()
        .any(|bridge| bridge.link.place.is_host() && has_address(topology, &bridge.link));
    if on_host || ends().any(|end| end.link.place.is_host() && end.port.is_none()) {
        let _ = writeln!(out, "  {} [shape=box, style=bold, label=\"host\"]", place(Place::HOST));
    }
    for bridge in &topology.bridges {
        let mut label = vec![bridge.link.name.to_string()];
        if !bridge.link.place.is_host() {
            label[0] = bridge.link.to_string();
        }
        label.extend(addresses(topology, &bridge.link));
        let _ = writeln!(out, "  {} [label={}]", node(&bridge.link), quoted(&label.join("\n")));
        // The bridge is an interface of its namespace as well, if it has an address.
        if has_address(topology, &bridge.link) {
            let owner = place(&bridge.link.place.to_string());
            let _ = writeln!(out, "  {owner} -- {} [style=dashed]", node(&bridge.link));
        }
    }
    for Cable { ends: [near, far], policy, .. } in &topology.cables {
        let label = |link: &LinkName| {
            let mut lines = vec![link.name.to_string()];
            lines.extend(addresses(topology, link));
            if *link == near.link {
                lines.extend(policy.as_ref().map(PortPolicy::label));
            }
            quoted(&lines.join("\n"))
        };
        let from = match near.port {
            Some(port) => node(&LinkName { place: near.link.place.clone(), name: port.bridge }),
            None => place(&near.link.place.to_string()),
        };
        let _ = writeln!(
            out,
            "  {from} -- {} [taillabel={}, headlabel={}]",
            place(&far.link.place.to_string()),
            label(&near.link),
            label(&far.link)
        );
    }
    out.push_str("}\n");
    out
}

fn has_address(topology: &Topology, link: &LinkName) -> bool {
    let with: BTreeSet<&LinkName> = topology.addresses.iter().map(|address| &address.link).collect();
    with.contains(link)
}

/// The node of a namespace or the host.
fn place(name: &str) -> String {
    quoted(name)
}

/// The node of a bridge: no namespace has a slash in its name.
fn node(bridge: &LinkName) -> String {
    quoted(&bridge.to_string())
}

/// A string of the language. A line break in it is `\n`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
