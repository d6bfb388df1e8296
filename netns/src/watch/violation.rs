//! How a violation is shown: a frame that a port may not send.

use netns_ebpf::Violation;
use netns_ebpf::packet::Reason;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Who sent a frame: the port, and the namespace or container behind it.
pub(super) fn sender(violation: &Violation) -> (String, String) {
    let port = violation.port.as_ref();
    port.map_or_else(|| ("?".to_owned(), "?".to_owned()), |port| (port.name.to_string(), port.title()))
}

/// What became of the frame.
pub(super) const fn fate(violation: &Violation) -> &'static str {
    if violation.dropped { "dropped" } else { "passed" }
}

/// For people.
pub(super) fn line(violation: &Violation) -> String {
    let Violation { reason, length, .. } = violation;
    format!("{:<15} {reason}: {length} bytes, {}", sender(violation).0, fate(violation))
}

pub(super) fn json(violation: &Violation) -> Value {
    let (port, title) = sender(violation);
    let behind = violation.port.as_ref().map(|port| &port.behind);
    let container = behind.and_then(|behind| behind.container());
    // The namespace's own label, not that of a container in it.
    let namespace = behind.filter(|_| container.is_some()).map_or(title, |behind| behind.namespace().label());
    let frame = violation.frame.iter().fold(String::new(), |mut hex, byte| {
        // Into a string, which cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    json!({
        "type": "violation", "time_ns": violation.time.as_nanos() as u64, "port": port,
        "namespace": namespace, "container": container, "reason": violation.reason.name(), "dropped": violation.dropped,
        "length": violation.length, "frame": frame,
    })
}

/// The Ethernet header's addresses: from > to.
pub(super) fn way(violation: &Violation) -> String {
    let event = violation.event();
    let [from, to] =
        [event.source(), event.destination()].map(|mac| mac.map_or_else(String::new, |mac| mac.to_string()));
    format!("{from} > {to}")
}

/// Reasons by name, with their frames.
pub(crate) fn reasons(reasons: impl Iterator<Item = (Reason, u64)>) -> Map<String, Value> {
    reasons.map(|(reason, packets)| (reason.name().to_owned(), packets.into())).collect()
}
