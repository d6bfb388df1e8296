//! The metrics of what passed, by the scope of the far end.

use super::series::{counter, family, label};
use netns_ebpf::layout::{Passed, ScopeCounters};
use netns_ebpf::packet::TrafficScope;
use netns_ebpf::{PortReading, Reading};
use prometheus::proto::{LabelPair, MetricFamily, MetricType};

/// A counter: its name, what it is, and where it is.
type ScopeCounter =
    (&'static str, &'static str, fn(&ScopeCounters, TrafficScope) -> Passed, fn(Passed) -> u64);

const SCOPES: [ScopeCounter; 4] = [
    (
        "netns_port_receive_scope_bytes_total",
        "Bytes from the namespace that passed, by where they went.",
        ScopeCounters::to,
        |passed| passed.bytes,
    ),
    (
        "netns_port_receive_scope_packets_total",
        "Frames from the namespace that passed, by where they went.",
        ScopeCounters::to,
        |passed| passed.packets,
    ),
    (
        "netns_port_transmit_scope_bytes_total",
        "Bytes to the namespace, by where they came from.",
        ScopeCounters::from,
        |passed| passed.bytes,
    ),
    (
        "netns_port_transmit_scope_packets_total",
        "Frames to the namespace, by where they came from.",
        ScopeCounters::from,
        |passed| passed.packets,
    ),
];

/// Nothing where scopes are not counted.
pub(super) fn families(
    reading: &Reading,
    labels: impl Fn(&PortReading) -> Vec<LabelPair>,
) -> Vec<MetricFamily> {
    let counted = || reading.ports.iter().filter_map(|port| Some((port, port.scopes.as_ref()?)));
    let of = |(name, help, way, what): ScopeCounter| {
        let metrics = counted().flat_map(|(port, scopes)| {
            TrafficScope::ALL.map(|scope| {
                let mut labels = labels(port);
                labels.push(label("scope", scope.name()));
                counter(what(way(scopes, scope)), labels)
            })
        });
        family(name, help, MetricType::COUNTER, metrics.collect())
    };
    SCOPES.into_iter().map(of).collect()
}
