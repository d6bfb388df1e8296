//! The metrics of ports that have limits.

use super::series::{counter, family, gauge, label};
use netns_ebpf::layout::Dropped;
use netns_ebpf::{Limits, OverLimits, PortReading, Quota, Reading};
use prometheus::proto::{LabelPair, MetricFamily, MetricType};

/// What was over a limit: the name of its counters, what it is, and where it is.
type OverCounter = (&'static str, &'static str, fn(&OverLimits) -> Dropped);

const OVER: [OverCounter; 4] = [
    ("receive_limited", "from the namespace that were over a rate", |over| over.limited_rx),
    ("receive_over_quota", "from the namespace that were over a quota", |over| over.over_quota_rx),
    ("transmit_limited", "to the namespace that were over a rate", |over| over.limited_tx),
    ("transmit_over_quota", "to the namespace that were over a quota", |over| over.over_quota_tx),
];
/// The units that each is counted in: in the names, and in words.
const UNITS: [(&str, &str); 2] = [("bytes", "Bytes"), ("packets", "Frames")];

/// Only ports that have limits have these metrics.
pub(super) fn families(
    reading: &Reading,
    labels: impl Fn(&PortReading) -> Vec<LabelPair>,
) -> Vec<MetricFamily> {
    let limited = || reading.ports.iter().filter_map(|port| Some((port, port.limits.as_ref()?)));
    let mut families = Vec::new();
    for (name, what, value) in OVER {
        for (unit, word) in UNITS {
            let metric = |(port, (_, over)): (&PortReading, &(Limits, OverLimits))| {
                let Dropped { packets, bytes } = value(over);
                counter(if unit == "bytes" { bytes } else { packets }, labels(port))
            };
            let name = format!("netns_port_{name}_{unit}_total");
            let help = format!("{word} {what}.");
            families.push(family(&name, &help, MetricType::COUNTER, limited().map(metric).collect()));
        }
    }
    let (mut used, mut remaining) = (Vec::new(), Vec::new());
    for (port, (_, over)) in limited().filter(|(_, (limits, _))| limits.quota != Quota::default()) {
        let quotas = [
            ("in", over.used.incoming, over.remaining.incoming),
            ("out", over.used.outgoing, over.remaining.outgoing),
            ("total", over.used.total, over.remaining.total),
        ];
        for (quota, bytes, left) in quotas {
            let mut labels = labels(port);
            labels.push(label("quota", quota));
            if let Some(left) = left {
                remaining.push(gauge(usize::try_from(left).unwrap_or(usize::MAX), labels.clone()));
            }
            used.push(counter(bytes, labels));
        }
    }
    families.push(family(
        "netns_port_quota_used_bytes_total",
        "Bytes that passed and count against a quota, since it was set or reset.",
        MetricType::COUNTER,
        used,
    ));
    families.push(family(
        "netns_port_quota_remaining_bytes",
        "Bytes that still may pass of a quota that the port has.",
        MetricType::GAUGE,
        remaining,
    ));
    families
}
