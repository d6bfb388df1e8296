//! What ports and the ends of pairs are called.

use netns_ebpf::{Pair, PortInfo, Reading, Slot};
use std::collections::HashMap;

/// What the host is called beside the namespaces.
pub(crate) const HOST: &str = "host";

/// Who is behind a port; the port's own name if that is not known.
pub(crate) fn title(port: &PortInfo) -> String {
    let label = port.behind.label();
    if label.is_empty() { port.name.to_string() } else { label }
}

/// The places of a reading's ports, by slot.
pub(crate) struct Places<'a> {
    reading: &'a Reading,
    by_slot: HashMap<Slot, usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(reading: &'a Reading) -> Self {
        let by_slot = reading.ports.iter().enumerate().map(|(place, port)| (port.info.slot, place)).collect();
        Self { reading, by_slot }
    }

    /// Where in the reading a slot's port is.
    pub(crate) fn get(&self, slot: Slot) -> Option<usize> {
        self.by_slot.get(&slot).copied()
    }

    pub(crate) fn port(&self, slot: Slot) -> Option<&'a PortInfo> {
        self.get(slot).map(|place| &*self.reading.ports[place].info)
    }

    /// What an end of a pair is called; `None` is the host.
    pub(crate) fn title(&self, slot: Option<Slot>) -> String {
        match slot {
            None => HOST.to_owned(),
            // It came or went while it was read.
            Some(slot) => self.port(slot).map_or_else(|| format!("slot {slot}"), title),
        }
    }

    /// The pairs in the order of the ports, the host as a sender in front.
    pub(crate) fn sorted_pairs(&self) -> Vec<Pair> {
        let mut pairs = self.reading.pairs.clone();
        pairs.sort_unstable_by_key(|pair| (pair.from.and_then(|from| self.get(from)), self.get(pair.to)));
        pairs
    }
}
