//! The metrics of verdicts by destination: of the busiest only, since anybody inside can make more.

use super::super::destinations::{are_counted, busiest, destination};
use super::super::list_limit::ListLimit;
use super::series::{counter, family, gauge, label};
use netns_ebpf::packet::Reason;
use netns_ebpf::{DestinationVerdict, PortReading, Reading};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Nothing where they are not counted.
pub(super) fn families(
    reading: &Reading,
    limit: ListLimit,
    network: &LabelPair,
    labels: impl Fn(&PortReading) -> Vec<LabelPair>,
) -> Vec<MetricFamily> {
    if !are_counted(reading) {
        return Vec::new();
    }
    let (listed, left_out) = busiest(reading, limit);
    let ends = reading.ends();
    let metrics = |value: fn(&DestinationVerdict) -> u64| -> Vec<Metric> {
        let metric = |verdict: &DestinationVerdict| {
            let [address, service] = destination(verdict);
            let reason = verdict.decision.reason().map_or("", Reason::name);
            let mut labels = labels(ends.port(verdict.from)?);
            labels.extend([
                label("destination", &address),
                label("reason", reason),
                label("service", &service),
                label("verdict", verdict.decision.name()),
            ]);
            labels.sort_by(|one, other| one.name().cmp(other.name()));
            Some(counter(value(verdict), labels))
        };
        listed.iter().filter_map(metric).collect()
    };
    let lost = reading.ports.iter().filter_map(|port| Some((port, port.lost_verdicts?)));
    vec![
        family(
            "netns_port_verdicts_total",
            "Frames from the namespace, by destination and verdict.",
            MetricType::COUNTER,
            metrics(|verdict| verdict.packets),
        ),
        family(
            "netns_port_verdict_bytes_total",
            "Bytes of those frames.",
            MetricType::COUNTER,
            metrics(|verdict| verdict.bytes),
        ),
        family(
            "netns_port_verdicts_lost_total",
            "Frames from the namespace that found no room in the table of destinations.",
            MetricType::COUNTER,
            lost.map(|(port, lost)| counter(lost.packets, labels(port))).collect(),
        ),
        family(
            "netns_verdicts_left_out",
            "Destinations with less traffic than those that are listed.",
            MetricType::GAUGE,
            vec![gauge(left_out, vec![network.clone()])],
        ),
    ]
}
