//! Attaching and detaching with a journal: what is going to be done to a port is on record before it is done.

use netns_core::link::Link;
use netns_core::{RouteSocket, tc};

use super::trace::{Clsact, Journal, Trace};
use crate::monitor::{Attachment, Monitor, MonitorError, Policy};

/// Attaches to a port, on which there may be something of before. If that fails, nothing stays on it that is not on record.
pub(super) fn attach(
    monitor: &Monitor,
    socket: &mut RouteSocket,
    journal: &mut dyn Journal,
    link: (&Link, Option<&Trace>),
    policy: Option<&Policy>,
) -> Result<Attachment, MonitorError> {
    let index = link.0.index;
    attach_by(monitor, socket, journal, link, |socket| monitor.attach_with(socket, index, policy))
}

/// Attaches to a bridge itself, in the same way.
pub(super) fn attach_host(
    monitor: &Monitor,
    socket: &mut RouteSocket,
    journal: &mut dyn Journal,
    bridge: (&Link, Option<&Trace>),
) -> Result<Attachment, MonitorError> {
    let index = bridge.0.index;
    attach_by(monitor, socket, journal, bridge, |socket| monitor.attach_host(socket, index))
}

fn attach_by(
    monitor: &Monitor,
    socket: &mut RouteSocket,
    journal: &mut dyn Journal,
    (link, inherited): (&Link, Option<&Trace>),
    attach: impl FnOnce(&mut RouteSocket) -> Result<Attachment, MonitorError>,
) -> Result<Attachment, MonitorError> {
    let port = |source| MonitorError::Port { operation: "attach to", ifindex: link.index, source };
    let noted = |source| MonitorError::Kernel { operation: "write down what is attached".into(), source };
    let has_clsact = tc::has_clsact(socket, link.index).map_err(port)?;
    let clsact = match inherited {
        _ if !has_clsact => Clsact::Unsure,
        Some(trace) if trace.has_clsact(socket, monitor.predecessors()).map_err(port)? => Clsact::Ours,
        _ => Clsact::NotOurs,
    };
    let mut trace = Trace { ifindex: link.index, name: link.name, mac: link.mac, clsact };
    journal.note(&trace).map_err(noted)?;
    let mut attachment = match attach(socket) {
        Ok(attachment) => attachment,
        Err(error) => {
            // The kernel may have done what it did not answer for: a qdisc that was not there before is ours then.
            let mut programs = monitor.predecessors().iter().copied().chain([monitor.program_ids()]);
            match programs.try_for_each(|programs| trace.remove(socket, programs).map(drop)) {
                Ok(()) => journal.forget(link.index),
                Err(left) => log::warn!("{} could not be left as it was: {left}", link.name),
            }
            return Err(error);
        }
    };
    if clsact == Clsact::Ours {
        attachment.keep_clsact();
    }
    if clsact == Clsact::Unsure {
        trace.clsact = if attachment.made_clsact() { Clsact::Ours } else { Clsact::NotOurs };
        if let Err(error) = journal.note(&trace) {
            detach(monitor, socket, journal, link, &attachment)?;
            return Err(noted(error));
        }
    }
    Ok(attachment)
}

/// Puts back what somebody took off a port.
pub(super) fn restore(
    monitor: &Monitor,
    socket: &mut RouteSocket,
    journal: &mut dyn Journal,
    port: impl Into<Trace>,
    attachment: &mut Attachment,
) -> Result<(), MonitorError> {
    let noted = |source| MonitorError::Kernel { operation: "write down what is attached".into(), source };
    // A qdisc that is made now is ours, even if somebody else made the one before.
    let mut trace = Trace { clsact: Clsact::Unsure, ..port.into() };
    let has_clsact = tc::has_clsact(socket, attachment.ifindex()).map_err(|source| MonitorError::Port {
        operation: "look at",
        ifindex: attachment.ifindex(),
        source,
    })?;
    if !has_clsact {
        journal.note(&trace).map_err(noted)?;
    }
    monitor.restore(socket, attachment)?;
    trace.clsact = if attachment.made_clsact() { Clsact::Ours } else { Clsact::NotOurs };
    journal.note(&trace).map_err(noted)
}

/// Detaches from a port.
pub(super) fn detach(
    monitor: &Monitor,
    socket: &mut RouteSocket,
    journal: &mut dyn Journal,
    port: impl Into<Trace>,
    attachment: &Attachment,
) -> Result<(), MonitorError> {
    if attachment.made_clsact() {
        let trace = Trace { clsact: Clsact::Leaving, ..port.into() };
        // Taking down needs no space. Without this line an empty qdisc would stay if we were killed right before it went.
        let _ = journal.note(&trace);
    }
    monitor.detach(socket, attachment)?;
    journal.forget(attachment.ifindex());
    Ok(())
}

impl From<&Link> for Trace {
    fn from(link: &Link) -> Self {
        Self { ifindex: link.index, name: link.name, mac: link.mac, clsact: Clsact::Unsure }
    }
}

impl From<&crate::monitor::PortIdentity> for Trace {
    fn from(port: &crate::monitor::PortIdentity) -> Self {
        Self { ifindex: port.ifindex, name: port.name, mac: port.mac, clsact: Clsact::Unsure }
    }
}
