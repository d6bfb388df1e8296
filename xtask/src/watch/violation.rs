//! Frames that a port sent and may not, as they are told.

use netns_ebpf::packet::Reason;
use netns_ebpf::{Event, PortInfo};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// One of them, for longer than the program's buffer holds it.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    /// When, on `CLOCK_MONOTONIC`.
    time: Duration,
    pub(crate) port: String,
    pub(crate) namespace: String,
    pub(crate) reason: Reason,
    pub(crate) dropped: bool,
    pub(crate) length: u32,
    /// The first bytes.
    frame: Vec<u8>,
}

impl Violation {
    /// `port` is who sent it, if that is known.
    pub(crate) fn new(event: &Event<'_>, port: Option<&Arc<PortInfo>>) -> Self {
        Self {
            time: event.time,
            port: port.map_or_else(|| "?".to_owned(), |port| port.name.to_string()),
            namespace: port.map_or_else(|| "?".to_owned(), |port| port.title()),
            reason: event.reason,
            dropped: event.dropped,
            length: event.length,
            frame: event.frame.to_vec(),
        }
    }

    /// What became of the frame.
    pub(crate) const fn fate(&self) -> &'static str {
        if self.dropped { "dropped" } else { "passed" }
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        format!("{:<15} {}: {} bytes, {}", self.port, self.reason, self.length, self.fate())
    }

    pub(super) fn json(&self) -> Value {
        let frame = self.frame.iter().fold(String::new(), |mut hex, byte| {
            // Into a string, which cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        json!({
            "type": "violation", "time_ns": self.time.as_nanos() as u64, "port": self.port,
            "namespace": self.namespace, "reason": self.reason.name(), "dropped": self.dropped,
            "length": self.length, "frame": frame,
        })
    }

    /// The addresses that the Ethernet header says: to whom, from whom.
    pub(super) fn way(&self) -> String {
        let mac = |at: usize| {
            let bytes = self.frame.get(at..at + 6).unwrap_or_default();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
        };
        format!("{} > {}", mac(6), mac(0))
    }
}

/// Reasons by name, with their frames.
pub(crate) fn reasons(reasons: impl Iterator<Item = (Reason, u64)>) -> Map<String, Value> {
    reasons.map(|(reason, packets)| (reason.name().to_owned(), packets.into())).collect()
}
