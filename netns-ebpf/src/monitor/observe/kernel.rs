//! Observing a bridge where no program can be loaded: the kernel's own counters of its ports.

use std::collections::HashMap;
use std::sync::Arc;

use netns_core::link::{self, LinkStats};
use netns_core::{IfName, Namespace, RouteSocket};

use super::judge::Judging;
use super::trace::Journal;
use super::{ObservedPort, Observer, PortChange, noted};
use crate::layout::DEFAULT_SLOTS;
use crate::monitor::reading::{PortIdentity, PortReading, Reading};
use crate::monitor::slots::Slots;
use crate::monitor::{Monitor, MonitorError, Policy, Slot};

/// What counts on the ports of a bridge.
pub(super) enum Counts<'m> {
    Program(&'m Monitor),
    /// The kernel alone. Ports have a number all the same, which they are known by.
    Kernel(Numbers),
}

impl Counts<'_> {
    /// Judges a port by this policy, which is given for it now, if there is a program that can; what is to be said of it.
    pub(super) fn judge(
        &self,
        judging: &Judging<'_>,
        policy: Option<&Policy>,
        port: &Arc<PortIdentity>,
    ) -> Option<PortChange> {
        match self {
            Self::Program(monitor) => judging.apply(monitor, policy, port),
            Self::Kernel(_) => None,
        }
    }

    /// The last counters of a port.
    pub(super) fn read(&self, port: &ObservedPort) -> PortReading {
        match self {
            Self::Program(monitor) => monitor.read_port(&port.info),
            Self::Kernel(_) => PortReading::of_kernel(&port.info, &port.stats),
        }
    }

    /// Leaves a port as it was, and takes its slot back.
    pub(super) fn release(
        &mut self,
        socket: &mut RouteSocket,
        journal: &mut dyn Journal,
        port: &ObservedPort,
    ) -> Result<(), MonitorError> {
        match (self, &port.attachment) {
            (Self::Program(monitor), Some(attachment)) => {
                noted::detach(monitor, socket, journal, &*port.info, attachment)
            }
            (Self::Program(_), None) => Ok(()),
            (Self::Kernel(numbers), _) => {
                numbers.0.release(port.info.slot);
                Ok(())
            }
        }
    }
}

/// The numbers of ports that no program counts. There are more than a bridge takes ports.
pub(super) struct Numbers(Slots);

impl Numbers {
    pub(super) fn give(&mut self, ifindex: u32) -> Result<Slot, MonitorError> {
        self.0.take(ifindex).ok_or(MonitorError::SlotsExhausted { limit: DEFAULT_SLOTS })
    }
}

impl Observer<'static> {
    /// Follows the ports of a bridge in `host` without a program: [`Self::read`] has the kernel's own counters (`stats64`),
    /// from when the links were made. Nothing is put onto any port, there are no pairs, and nothing is judged.
    ///
    /// It takes no capability, except for what is in other processes' namespaces: who is behind a port may stay unknown.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if there is no such bridge, or the kernel does not know it.
    pub fn start_without_program(host: &Namespace, bridge: IfName) -> Result<Self, MonitorError> {
        let numbers = Numbers(Slots::new(DEFAULT_SLOTS));
        Self::begin(Counts::Kernel(numbers), host, bridge, Box::new(()), Judging::Nothing)
    }
}

impl Observer<'_> {
    /// The kernel's counters of every port now. Of a port that has just gone, they are the last ones.
    pub(super) fn read_kernel(&mut self) -> Result<Reading, MonitorError> {
        let links = link::list_ports(&mut self.socket, self.bridge.index);
        let links = links.map_err(|source| self.failed(source))?;
        let stats: HashMap<u32, LinkStats> = links.into_iter().map(|link| (link.index, link.stats)).collect();
        let ports = self.ports.iter_mut().map(|(index, port)| {
            port.stats = stats.get(index).copied().unwrap_or(port.stats);
            PortReading::of_kernel(&port.info, &port.stats)
        });
        Ok(Reading::of_kernel(ports.collect()))
    }
}
