//! What metrics are made of.

use crate::output::shown;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

pub(super) fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    // The format allows control characters, and a terminal that shows it would obey them.
    label.set_value(shown(value.as_bytes()).unwrap_or_else(|| value.to_owned()));
    label
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format has floating-point numbers only: exact up to 2^53"
)]
pub(super) fn counter(value: u64, labels: Vec<LabelPair>) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many")]
pub(super) fn gauge(value: usize, labels: Vec<LabelPair>) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}
