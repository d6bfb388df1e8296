//! Where things are in the picture.
//!
//! A bridge is a vertical bar; namespaces that have no other connection stand left and right of it, each joined to it
//! by a straight line that crosses nothing. What has several connections, or is joined by cables alone, stands in a row
//! above, the host first.

use super::addresses;
use super::text::is_on;
use crate::topology::{CableEnd, LinkName, Place, Topology};

pub(super) const BOX_WIDTH: usize = 190;
pub(super) const BAR_WIDTH: usize = 22;
/// Between the boxes of a bridge and its bar, for the name of the port.
const ARM: usize = 96;
const GAP: usize = 40;
const MARGIN: usize = 24;
pub(super) const LINE: usize = 15;

/// A namespace or the host.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) height: usize,
    /// What is written in it: interfaces and addresses.
    pub(super) lines: Vec<String>,
}

/// A bridge.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) link: LinkName,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) height: usize,
    pub(super) addresses: Vec<String>,
}

/// The picture.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) bars: Vec<Bar>,
}

impl Layout {
    pub(super) fn new(topology: &Topology) -> Self {
        let (mut above, members) = sort(topology);
        let mut layout = Self { width: 0, height: 0, nodes: Vec::new(), bars: Vec::new() };

        let mut bottom = above.iter().map(|node| MARGIN + node.height).max().unwrap_or(MARGIN);
        let top = if above.is_empty() { MARGIN } else { bottom + 2 * GAP };

        let mut x = MARGIN;
        bottom = if topology.bridges.is_empty() { bottom } else { top };
        for (bridge, members) in topology.bridges.iter().zip(members) {
            let bar_x = x + BOX_WIDTH + ARM;
            // The bar's own name and addresses stand above its members.
            let addresses = addresses(topology, &bridge.link);
            let mut sides = [top + LINE * 2; 2];
            for mut node in members {
                let side = usize::from(sides[1] < sides[0]);
                node.x = if side == 0 { x } else { bar_x + BAR_WIDTH + ARM };
                node.y = sides[side];
                sides[side] += node.height + LINE;
                layout.nodes.push(node);
            }
            let height = sides[0].max(sides[1]) - top;
            bottom = bottom.max(top + height);
            layout.bars.push(Bar { link: bridge.link.clone(), x: bar_x, y: top, height, addresses });
            x = bar_x + BAR_WIDTH + ARM + BOX_WIDTH + GAP;
        }
        let row_width = layout.place_above(topology, &mut above);
        layout.nodes.extend(above);
        layout.width = row_width.max(x).max(MARGIN + GAP) - GAP + MARGIN;
        layout.height = bottom + MARGIN;
        layout
    }

    /// Places each of the row above over the middle of the bridges that it is joined to, as far as there is room; where
    /// the row ends.
    fn place_above(&self, topology: &Topology, above: &mut [Node]) -> usize {
        let middle = |node: &Node| {
            let is_joined = |bar: &&Bar| {
                let by_address = node.place.is_host() && is_interface(topology, &bar.link);
                by_address
                    || topology.cables.iter().any(|cable| {
                        is_on(&cable.ends[0], &bar.link) && cable.ends[1].link.place == node.place
                    })
            };
            let bars: Vec<usize> =
                self.bars.iter().filter(is_joined).map(|bar| bar.x + BAR_WIDTH / 2).collect();
            if bars.is_empty() { None } else { Some(bars.iter().sum::<usize>() / bars.len()) }
        };
        // In the order of what they are joined to, so that few lines cross; what is joined to none stays in its order.
        above.sort_by_key(|node| middle(node).unwrap_or(0));
        let mut x = MARGIN;
        for node in above {
            let wanted = middle(node).map_or(x, |middle| middle.saturating_sub(BOX_WIDTH / 2));
            (node.x, node.y) = (x.max(wanted), MARGIN);
            x = node.x + BOX_WIDTH + GAP;
        }
        x
    }

    pub(super) fn node(&self, place: &Place) -> Option<&Node> {
        self.nodes.iter().find(|node| node.place == *place)
    }

    pub(super) fn bar(&self, link: &LinkName) -> Option<&Bar> {
        self.bars.iter().find(|bar| bar.link == *link)
    }
}

/// Those that stand above, and the members of each bridge.
fn sort(topology: &Topology) -> (Vec<Node>, Vec<Vec<Node>>) {
    let mut above = Vec::new();
    let mut members: Vec<Vec<Node>> = topology.bridges.iter().map(|_| Vec::new()).collect();
    let places = topology.namespaces.iter().map(|name| Place::Namespace(name.clone()));
    for place in std::iter::once(Place::Host).chain(places) {
        let ends: Vec<[&CableEnd; 2]> =
            topology.cables.iter().flat_map(|cable| both_ways(&cable.ends)).collect();
        // A port belongs to its bridge, not to the namespace that the bridge is in.
        let ends: Vec<_> =
            ends.into_iter().filter(|[near, _]| near.link.place == place && near.port.is_none()).collect();
        let node = node(topology, &place, &ends);
        let owns_bridge = topology.bridges.iter().any(|bridge| bridge.link.place == place);
        match (&place, &ends[..]) {
            (Place::Host, [])
                if !topology.bridges.iter().any(|bridge| is_interface(topology, &bridge.link)) => {}
            (Place::Namespace(_), [[_, port]]) if !owns_bridge => {
                let on = topology.bridges.iter().position(|bridge| is_on(port, &bridge.link));
                on.map_or(&mut above, |on| &mut members[on]).push(node);
            }
            _ => above.push(node),
        }
    }
    (above, members)
}

fn both_ways(ends: &[CableEnd; 2]) -> [[&CableEnd; 2]; 2] {
    [[&ends[0], &ends[1]], [&ends[1], &ends[0]]]
}

/// Whether the host has an address on this bridge.
pub(super) fn is_interface(topology: &Topology, bridge: &LinkName) -> bool {
    bridge.place.is_host() && topology.addresses.iter().any(|address| address.link == *bridge)
}

fn node(topology: &Topology, place: &Place, ends: &[[&CableEnd; 2]]) -> Node {
    let mut lines = Vec::new();
    for [end, _] in ends {
        lines.push(end.link.name.to_string());
        lines.extend(addresses(topology, &end.link).into_iter().map(|address| format!("  {address}")));
    }
    Node { place: place.clone(), x: 0, y: 0, height: LINE * (lines.len() + 1) + 14, lines }
}
