//! What was to go and is left alone, because something of somebody else is in its place.

use crate::observe::Observed;
use crate::record::Record;
use crate::topology::{LinkName, Topology};
use netns_core::record::Found;
use std::slice;

/// A sentence for each thing that is on record, is not wanted any more, and whose name something else has by now.
pub(crate) fn left(topology: &Topology, record: &Record, observed: &Observed) -> Vec<String> {
    let mut left = Vec::new();
    for (name, ours) in &record.namespaces {
        let there = observed.namespaces.get(name).copied().flatten();
        if !topology.namespaces.contains(name) && there.is_some_and(|there| !ours.is(&there)) {
            left.push(format!("{name} is another namespace by now"));
        }
    }
    for known in record.every_link() {
        let Some(link) = known.link() else { continue };
        let Some(there) = observed.link(&link).filter(|_| observed.ours(known).is_none()) else { continue };
        if is_wanted(topology, &link) {
            continue;
        }
        if let Some(Found::Other(why)) = known.recorded().map(|ours| ours.find_in(slice::from_ref(there))) {
            left.push(if link.place.is_host() { why } else { format!("{}: {why}", link.place) });
        }
    }
    left
}

fn is_wanted(topology: &Topology, link: &LinkName) -> bool {
    topology.bridges.iter().any(|bridge| bridge.link == *link)
        || topology.links.iter().any(|single| single.link == *link)
        || topology.cables.iter().flat_map(|cable| &cable.ends).any(|end| end.link == *link)
}
