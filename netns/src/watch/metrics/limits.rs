//! The metrics of ports that have limits.

use super::series::{counter, family, label};
use netns_ebpf::{OverLimits, PortReading, Quota, Reading};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// A counter: its name, what it is, and where it is in what was over limits.
type OverCounter = (&'static str, &'static str, fn(&OverLimits) -> u64);

const OVER: [OverCounter; 8] = [
    ("netns_port_receive_limited_bytes_total", "Bytes from the namespace that were over a rate.", |over| {
        over.limited_rx.bytes
    }),
    (
        "netns_port_receive_limited_packets_total",
        "Frames from the namespace that were over a rate.",
        |over| over.limited_rx.packets,
    ),
    (
        "netns_port_receive_over_quota_bytes_total",
        "Bytes from the namespace that were over a quota.",
        |over| over.over_quota_rx.bytes,
    ),
    (
        "netns_port_receive_over_quota_packets_total",
        "Frames from the namespace that were over a quota.",
        |over| over.over_quota_rx.packets,
    ),
    ("netns_port_transmit_limited_bytes_total", "Bytes to the namespace that were over a rate.", |over| {
        over.limited_tx.bytes
    }),
    ("netns_port_transmit_limited_packets_total", "Frames to the namespace that were over a rate.", |over| {
        over.limited_tx.packets
    }),
    (
        "netns_port_transmit_over_quota_bytes_total",
        "Bytes to the namespace that were over a quota.",
        |over| over.over_quota_tx.bytes,
    ),
    (
        "netns_port_transmit_over_quota_packets_total",
        "Frames to the namespace that were over a quota.",
        |over| over.over_quota_tx.packets,
    ),
];

/// Only ports that have limits have these metrics.
pub(super) fn families(
    reading: &Reading,
    labels: impl Fn(&PortReading) -> Vec<LabelPair>,
) -> Vec<MetricFamily> {
    let limited = || reading.ports.iter().filter_map(|port| Some((port, port.limits.as_ref()?)));
    let over = OVER.into_iter().map(|(name, help, value)| {
        let metrics = limited().map(|(port, (_, over))| counter(value(over), labels(port)));
        family(name, help, MetricType::COUNTER, metrics.collect())
    });
    let used = limited().filter(|(_, (limits, _))| limits.quota != Quota::default());
    let used = used.flat_map(|(port, (_, over))| {
        let used = &over.used;
        [("in", used.incoming), ("out", used.outgoing), ("total", used.total)].map(|(quota, bytes)| {
            let mut labels = labels(port);
            labels.push(label("quota", quota));
            counter(bytes, labels)
        })
    });
    let used: Vec<Metric> = used.collect();
    over.chain([family(
        "netns_port_quota_used_bytes_total",
        "Bytes that passed and count against a quota, since it was set or reset.",
        MetricType::COUNTER,
        used,
    )])
    .collect()
}
