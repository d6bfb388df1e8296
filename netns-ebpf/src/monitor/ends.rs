//! Pairs for people: what their ends are called, and in which order they are shown.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::reading::{PortIdentity, PortReading, Reading};
use super::{Pair, Slot};
use crate::layout::Traffic;

impl PortIdentity {
    /// What to call the port beside others: who is behind it, or its own name if that is not known.
    #[must_use]
    pub fn title(&self) -> String {
        let label = self.behind.label();
        if label.is_empty() { self.name.to_string() } else { label }
    }
}

/// The ends of a reading's pairs: its ports by slot, and the host.
///
/// ```no_run
/// # fn show(reading: &netns_ebpf::Reading) {
/// let ends = reading.ends();
/// for pair in ends.sorted_pairs() {
///     println!("{} -> {}: {} bytes", ends.title(pair.from), ends.title(Some(pair.to)), pair.bytes);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Ends<'a> {
    reading: &'a Reading,
    /// Where in the reading each port is.
    places: HashMap<Slot, usize>,
}

impl<'a> Ends<'a> {
    /// What the host is called beside the namespaces.
    pub const HOST: &'static str = "host";

    /// The port of a slot, if it is in the reading.
    #[must_use]
    pub fn port(&self, slot: Slot) -> Option<&'a PortReading> {
        self.places.get(&slot).map(|&place| &self.reading.ports[place])
    }

    /// What an end is called beside others: [`PortIdentity::title`]; `None` is the host.
    #[must_use]
    pub fn title(&self, end: Option<Slot>) -> String {
        self.called(end, PortIdentity::title)
    }

    /// The name of an end's port, of which no two of a bridge are alike; `None` is the host.
    #[must_use]
    pub fn name(&self, end: Option<Slot>) -> String {
        self.called(end, |port| port.name.to_string())
    }

    fn called(&self, end: Option<Slot>, port: impl Fn(&PortIdentity) -> String) -> String {
        match end {
            None => Self::HOST.to_owned(),
            // One that is not in the reading came or went while it was read.
            Some(slot) => {
                self.port(slot).map_or_else(|| format!("slot {slot}"), |reading| port(&reading.info))
            }
        }
    }

    /// The reading's pairs in the order of its ports, by sender first; the host as a sender is in front.
    #[must_use]
    pub fn sorted_pairs(&self) -> Vec<Pair> {
        self.sorted(self.reading.pairs.clone())
    }

    /// Some of them ([`Pair::busiest`]) in the order of [`Self::sorted_pairs`].
    #[must_use]
    pub fn sorted(&self, mut pairs: Vec<Pair>) -> Vec<Pair> {
        let place = |slot| self.places.get(&slot).copied();
        pairs.sort_unstable_by_key(|pair| (pair.from.and_then(place), place(pair.to)));
        pairs
    }
}

impl Reading {
    /// The ends of its pairs, to be named.
    #[must_use]
    pub fn ends(&self) -> Ends<'_> {
        let places = self.ports.iter().enumerate().map(|(place, port)| (port.info.slot, place)).collect();
        Ends { reading: self, places }
    }
}

impl Pair {
    /// Whether a port is one of its ends.
    #[must_use]
    pub fn has_end(&self, port: Slot) -> bool {
        self.from == Some(port) || self.to == port
    }

    /// The two pairs of a cable between two namespaces, with no bridge in between: what came out of the namespace behind
    /// the one port went into that behind the other, so they are what the ports received.
    ///
    /// The port of a namespace is then the far end of its cable, which is where what it sends is received.
    #[must_use]
    pub fn of_cable(ports: [&PortReading; 2]) -> [Self; 2] {
        let pair = |from: &PortReading, to: &PortReading| {
            let Traffic { packets, bytes, .. } = from.counters.rx;
            Self { from: Some(from.info.slot), to: to.info.slot, packets, bytes }
        };
        let [one, other] = ports;
        [pair(one, other), pair(other, one)]
    }

    /// Of these pairs the busiest by bytes, at most `most`, the busiest first; equal ones in the order of their slots, so
    /// that they do not change places from one reading to the next.
    ///
    /// Takes a time proportional to the number of pairs, and sorts only what it returns.
    ///
    /// ```no_run
    /// # use netns_ebpf::{Pair, Reading, Slot};
    /// # fn show(reading: &Reading, port: Slot) {
    /// let of_all = Pair::busiest(reading.pairs.iter().copied(), 8);
    /// let of_one = Pair::busiest(reading.pairs.iter().copied().filter(|pair| pair.has_end(port)), 8);
    /// # }
    /// ```
    #[must_use]
    pub fn busiest(pairs: impl IntoIterator<Item = Self>, most: usize) -> Vec<Self> {
        let rank = |pair: &Self| (Reverse(pair.bytes), pair.from, pair.to);
        let mut pairs: Vec<Self> = pairs.into_iter().collect();
        if most < pairs.len() {
            // What is in front of it belongs there, in no order yet.
            pairs.select_nth_unstable_by_key(most, rank);
            pairs.truncate(most);
        }
        pairs.sort_unstable_by_key(rank);
        pairs
    }
}

#[cfg(test)]
mod tests;
