//! Sending cases from one namespace to another, and looking what becomes of them.

use std::io;
use std::time::{Duration, Instant};

use netns_core::{Namespace, sysctl};

use super::{Case, ChecksumCase, Forwarded, FrameSocket};
use crate::packet::Reason;
use crate::{Monitor, MonitorError, Slot};

/// How long a frame is waited for: one that arrives is there at once.
const WAIT: Duration = Duration::from_millis(30);

/// Two namespaces behind ports of a bridge, of which one sends frames to the other.
///
/// ```no_run
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
/// use netns_ebpf::attack::{FrameSocket, Party, Trial, cases};
/// use netns_ebpf::{Monitor, Slot};
/// use std::error::Error;
///
/// fn open(namespace: &Namespace) -> Result<FrameSocket, Box<dyn Error>> {
///     let eth0 = link::get(&mut RouteSocket::open_in(namespace)?, IfName::new("eth0")?)?.index;
///     Ok(namespace.enter(|| FrameSocket::open(eth0))??)
/// }
///
/// fn attack(monitor: &Monitor, port: Slot, one: &Namespace, other: &Namespace) -> Result<(), Box<dyn Error>> {
///     let trial = Trial { monitor, port, sender: open(one)?, receiver: open(other)? };
///     let us = Party::new(MacAddress::local(1), &["10.1.1.1".parse()?]);
///     let them = Party::new(MacAddress::local(2), &["10.1.1.2".parse()?]);
///     for case in cases(&us, &them) {
///         let outcome = trial.send(&case)?;
///         println!("{}: seen {}, arrived: {}", case.reason, outcome.seen, outcome.arrived);
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Trial<'m> {
    /// What judges the sender's port.
    pub monitor: &'m Monitor,
    /// The sender's port.
    pub port: Slot,
    /// A socket on the sender's own end of its cable.
    pub sender: FrameSocket,
    /// A socket on the receiver's.
    pub receiver: FrameSocket,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialOutcome {
    /// How often the case's reason was counted of the sender meanwhile: once, if nobody else sends such frames from there.
    pub seen: u64,
    /// Whether the frame arrived.
    pub arrived: bool,
}

impl Trial<'_> {
    /// Sends a case's frame and looks what becomes of it. One that does not arrive is waited for 30 milliseconds.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if the kernel does not let a frame be sent, or heard.
    ///
    /// # Panics
    /// If the port's slot is not one of the monitor's.
    pub fn send(&self, case: &Case) -> Result<TrialOutcome, MonitorError> {
        // The kernel takes a tag out before a socket hears the frame.
        let untagged = [&case.frame[..12], case.frame.get(16..).unwrap_or_default()].concat();
        let is_it =
            |frame: &[u8]| frame == case.frame || (case.reason == Reason::VlanTag && frame == untagged);
        self.attempt(case.reason, || self.sender.send(&case.frame), is_it)
    }

    /// As [`Self::send`], with the checksum of the frame left to a later hop. One that arrives by a veth is as it was sent:
    /// there nobody writes it.
    ///
    /// # Errors
    /// As for [`Self::send`].
    ///
    /// # Panics
    /// As [`Self::send`].
    pub fn send_unsummed(&self, case: &ChecksumCase) -> Result<TrialOutcome, MonitorError> {
        let send = || self.sender.send_unsummed(&case.frame, case.checksum);
        self.attempt(Reason::ChecksumPlace, send, |frame| frame == case.frame)
    }

    fn attempt(
        &self,
        reason: Reason,
        send: impl FnOnce() -> io::Result<()>,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> Result<TrialOutcome, MonitorError> {
        let failed = |operation: &str| {
            let operation = operation.to_owned();
            |source: io::Error| MonitorError::Kernel { operation, source }
        };
        let seen = || self.monitor.violations(self.port).of(reason);
        while self.receiver.receive(Duration::ZERO).map_err(failed("hear frames"))?.is_some() {}
        let before = seen();
        send().map_err(failed("send a frame"))?;
        let deadline = Instant::now() + WAIT;
        let mut arrived = false;
        while !arrived {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(frame) = self.receiver.receive(left).map_err(failed("hear frames"))? else { break };
            arrived = is_it(&frame);
        }
        Ok(TrialOutcome { seen: seen() - before, arrived })
    }
}

impl Case {
    /// Whether a bridge in this namespace forwards the frame, if nobody else stops it.
    #[must_use]
    pub fn passes_bridge(&self, host: &Namespace) -> bool {
        match self.forwarded {
            Forwarded::Always => true,
            Forwarded::Never => false,
            Forwarded::UnlessFiltered => {
                let is_v6 = matches!(self.reason, Reason::Ipv6Version | Reason::Ipv6PayloadLength);
                let family = if is_v6 { "ip6tables" } else { "iptables" };
                // Not there if the kernel has no such filter.
                let setting = sysctl::get(host, &format!("net.bridge.bridge-nf-call-{family}"));
                setting.map_or(true, |value| value.trim() == "0")
            }
        }
    }
}
