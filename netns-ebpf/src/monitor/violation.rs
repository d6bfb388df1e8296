//! Violations as they are reported, for longer than the program's buffer holds them.

use std::sync::Arc;
use std::time::Duration;

use netns_core::MacAddress;

use super::{PortIdentity, Slot, ViolationEvent};
use crate::packet::Reason;

/// A violation that can be kept: a [`ViolationEvent`] of its own, with who sent the frame.
///
/// ```no_run
/// # use netns_ebpf::{Monitor, Reading, Violation};
/// # fn latest(monitor: &Monitor, reading: &Reading) -> Vec<Violation> {
/// let mut reported = Vec::new();
/// monitor.events(|event| {
///     let port = event.slot.and_then(|slot| reading.port(slot));
///     reported.push(Violation::of(event, port.map(|port| &port.info)));
/// });
/// # reported
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, on `CLOCK_MONOTONIC`.
    pub time: Duration,
    /// The slot of the port that sent the frame; `None` if it has none.
    pub slot: Option<Slot>,
    /// Who that port is; `None` if that is not known.
    pub port: Option<Arc<PortIdentity>>,
    /// The reason.
    pub reason: Reason,
    /// Whether the frame was dropped.
    pub dropped: bool,
    /// How long the frame was, in bytes.
    pub length: u32,
    /// The VLAN tag that the kernel had taken out of the frame: its EtherType and its content.
    pub tag: Option<(u16, u16)>,
    /// The frame's first bytes, at most [`SNAPSHOT`](crate::layout::SNAPSHOT).
    pub frame: Vec<u8>,
}

impl Violation {
    /// What an event says, with who sent the frame.
    #[must_use]
    pub fn of(event: &ViolationEvent<'_>, port: Option<&Arc<PortIdentity>>) -> Self {
        let &ViolationEvent { time, slot, reason, dropped, length, tag, frame } = event;
        Self { time, slot, port: port.cloned(), reason, dropped, length, tag, frame: frame.to_vec() }
    }

    /// As an event again: to be written into a file, say.
    #[must_use]
    pub fn event(&self) -> ViolationEvent<'_> {
        let &Self { time, slot, reason, dropped, length, tag, .. } = self;
        ViolationEvent { time, slot, reason, dropped, length, tag, frame: &self.frame }
    }
}

impl ViolationEvent<'_> {
    /// The MAC address that the frame says it is from, if there is so much of it.
    #[must_use]
    pub fn source(&self) -> Option<MacAddress> {
        self.frame.get(6..)?.first_chunk().copied().map(MacAddress)
    }

    /// The MAC address that the frame is to.
    #[must_use]
    pub fn destination(&self) -> Option<MacAddress> {
        self.frame.first_chunk().copied().map(MacAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_its_event_and_tells_from_whom_to_whom() {
        let frame: Vec<u8> = (0..14).collect();
        let event = ViolationEvent {
            time: Duration::from_secs(5),
            slot: Slot::new(3),
            reason: Reason::VlanTag,
            dropped: true,
            length: 100,
            tag: Some((0x8100, 7)),
            frame: &frame,
        };
        let violation = Violation::of(&event, None);
        assert_eq!(violation.event(), event);
        assert_eq!(event.destination(), Some(MacAddress([0, 1, 2, 3, 4, 5])));
        assert_eq!(event.source(), Some(MacAddress([6, 7, 8, 9, 10, 11])));
        let cut = ViolationEvent { frame: &frame[..11], ..event };
        assert_eq!((cut.destination(), cut.source()), (event.destination(), None));
        assert_eq!(ViolationEvent { frame: &[], ..event }.source(), None);
    }
}
