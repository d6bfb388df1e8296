//! A topology to look at: as text, as JSON, as a graph for Graphviz, as a picture.

mod dot;
mod json;
mod layout;
mod svg;
mod text;

pub use dot::dot;
pub use json::json;
pub use svg::svg;
pub use text::text;

use crate::topology::{LinkName, Topology};

/// The addresses of a link.
fn addresses(topology: &Topology, link: &LinkName) -> Vec<String> {
    let of = topology.addresses.iter().filter(|address| address.link == *link);
    of.map(|address| address.net.to_string()).collect()
}
