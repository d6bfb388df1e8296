//! A monitor as the program of a [`netns_core::network::Network`].

use std::os::fd::BorrowedFd;

use netns_core::barrier::Unjudged;
use netns_core::network::{PortInfo, PortProgram};
use netns_core::{Cause, Error, Result};

use super::{Monitor, MonitorError, Slot};

/// Counts what passes the ports of a network; [`NetworkGuard`](super::NetworkGuard) judges it, too.
///
/// ```no_run
/// use netns_core::network::{Network, NetworkOptions};
/// use netns_ebpf::{Monitor, MonitorOptions, Slot};
/// use std::sync::Arc;
///
/// let monitor = Arc::new(Monitor::load(&MonitorOptions::default())?);
/// let network = Network::create(&NetworkOptions {
///     subnet_v4: Some("10.99.0.0/16".parse()?),
///     program: Some(monitor.clone()),
///     ..NetworkOptions::new("sandboxes".parse()?)
/// })?;
/// let sandbox = network.create_sandbox()?;
/// let slot = sandbox.slot().and_then(Slot::new).expect("the network has a program");
/// println!("{} packets from the sandbox", monitor.counters(slot).rx.packets);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An enforcement that somebody took away: [`Network::take_unjudged`](netns_core::network::Network::take_unjudged) restores
/// the barrier and says how often that was necessary. While there is a barrier, what a port without its programs sends is
/// dropped. [`Monitor::ahead`] finds programs that are missing, or that others have put something before, and
/// [`Monitor::restore`] puts them back:
///
/// ```no_run
/// # use netns_core::RouteSocket;
/// # use netns_ebpf::{Monitor, MonitorError};
/// # fn keep(monitor: &Monitor, socket: &mut RouteSocket) -> Result<(), MonitorError> {
/// for (slot, ifindex) in monitor.ports() {
///     if monitor.ahead(socket, ifindex)?.is_none_or(|ahead| !ahead.is_empty()) {
///         monitor.restore(socket, &mut Monitor::attachment_of(ifindex, slot))?;
///         println!("somebody took away what judges the port {ifindex}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// The ports of further bridges are in namespaces of their own, with indexes that no other port of the network has; so
/// one monitor serves all of them. A second network on the same monitor must be in the same namespace, which makes the
/// two choose different indexes.
///
/// [`Monitor::pairs`] and groups know the sender of a frame on whichever bridge of the network it is: from one bridge
/// to another a frame passes into another namespace, where the kernel forgets the port that it first came in by, so it
/// carries its port's slot. What the host sends, or forwards, is from nobody: its pair is `(None, to)`.
impl PortProgram for Monitor {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.ingress_program()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.egress_program()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        Self::assign(self, port.index).map(Slot::get).map_err(|error| {
            let cause = match error {
                MonitorError::SlotsExhausted { .. } => Cause::Exhausted(error.to_string().into()),
                other => Cause::Program(other.into()),
            };
            Error::new("assign a slot to port", port.name.to_string(), cause)
        })
    }

    fn stamp(&self) -> Option<u32> {
        Self::stamp(self)
    }

    fn unjudged(&self, found: &[Unjudged]) {
        self.count_unjudged(found);
    }

    fn join(&self, ends: [u32; 2]) -> Result<Option<BorrowedFd<'_>>> {
        let name = || format!("{} and {}", ends[0], ends[1]);
        Self::join(self, ends)
            .map(Some)
            .map_err(|error| Error::new("know the trunk of links", name(), Cause::Program(error.into())))
    }

    fn part(&self, ends: [u32; 2]) {
        Self::part(self, ends);
    }

    fn release(&self, slot: u16) {
        let Some(slot) = Slot::new(slot) else { return };
        // The kernel reports a link's end when no packet is on its way through it any more (`unregister_netdevice_many_notify`).
        if let Err(error) = self.release_gone(slot) {
            // Nobody is there to hear of it: the sandbox was dropped some time ago.
            log::warn!("the slot of a port that is gone is not free: {error}");
        }
    }
}
