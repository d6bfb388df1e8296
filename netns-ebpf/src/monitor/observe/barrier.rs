//! The barrier behind the ports on which a policy is enforced, and that it is lost and restored.

use std::collections::{BTreeMap, BTreeSet};

use netns_core::barrier::{self, Barrier, BarrierPorts, FORWARDED};
use netns_core::{Error, ErrorKind, Namespace, RouteSocket};

use super::barred::{Barred, forwarding, learns, put_back, set_forwarding, set_learning};
use super::judge::Judging;
use super::kernel::Counts;
use super::trace::Journal;
use super::{ObservedPort, Observer, PortChange};
use crate::monitor::{Mode, Monitor, MonitorError};

/// What an observer has of its barrier.
#[derive(Debug)]
pub(super) struct Raised {
    barrier: Barrier,
    barred: Barred,
    host: Namespace,
}

impl Raised {
    /// Makes the barrier, if policies are given and the programs mark what they see. On record before it is made.
    pub(super) fn raise(
        counts: &Counts<'_>,
        judging: &Judging<'_>,
        host: &Namespace,
        socket: &mut RouteSocket,
        bridge: u32,
        journal: &mut dyn Journal,
        inherited: Option<Barred>,
    ) -> Result<Option<Self>, MonitorError> {
        let (Counts::Program(monitor), Judging::Given(_)) = (counts, judging) else { return Ok(None) };
        let Some(stamp) = monitor.stamp() else { return Ok(None) };
        let failed = MonitorError::Barrier;
        let host = host.try_clone().map_err(failed)?;
        let barred = if let Some(barred) = inherited {
            if let Some(mut barrier) = Barrier::open(&host, &barred.name, stamp).map_err(failed)? {
                // What it dropped while nobody looked is in no reading. If this is refused, so is the next look.
                let _ = barrier.unjudged();
                return Ok(Some(Self { barrier, barred, host }));
            }
            // Somebody took it away. What was changed with it is on record.
            barred
        } else {
            let noted = |source| MonitorError::Kernel { operation: "write down the barrier".into(), source };
            let has_learnt = learns(socket, bridge).map_err(failed)? == Some(true);
            let (name, stamp) = (barrier::unused_name(), Some(stamp));
            let barred = Barred { name, has_learnt, stamp, forwarding: BTreeMap::new() };
            journal.note_barrier(&barred).map_err(noted)?;
            barred
        };
        let create = |ports| Barrier::create(&host, &barred.name, ports, stamp);
        let made = match create(BarrierPorts::ListedAndNew) {
            // It may have rules for bridges and yet none that ask which bridge it is.
            Err(error) if error.kind() == ErrorKind::Unsupported => create(BarrierPorts::Listed),
            other => other,
        };
        let raised = made.and_then(|barrier| {
            if barred.has_learnt { set_learning(socket, bridge, false) } else { Ok(()) }.map(|()| barrier)
        });
        match raised {
            Ok(barrier) => Ok(Some(Self { barrier, barred, host })),
            Err(error) => {
                if barred.remove(&host, socket, bridge).is_ok() {
                    journal.forget_barrier();
                }
                Err(failed(error))
            }
        }
    }

    /// Puts ports behind it.
    fn add(
        &mut self,
        socket: &mut RouteSocket,
        bridge: u32,
        journal: &mut dyn Journal,
        ports: &[u32],
    ) -> Result<(), MonitorError> {
        let failed = MonitorError::Barrier;
        let mut changed = Vec::new();
        for &port in ports {
            let before = forwarding(socket, bridge, port).map_err(failed)?;
            changed.extend(before.filter(|mask| mask & FORWARDED != FORWARDED).map(|mask| (port, mask)));
        }
        if !changed.is_empty() {
            journal.note_forwarding(&changed).map_err(|source| MonitorError::Kernel {
                operation: "write down what ports forward".into(),
                source,
            })?;
            self.barred.forwarding.extend(changed.iter().copied());
            let set = |(port, before): (u32, u16)| set_forwarding(socket, port, before | FORWARDED);
            changed.into_iter().try_for_each(set).map_err(failed)?;
        }
        // Last: what is behind the barrier is done, and what is not is tried again.
        self.barrier.add(ports).map_err(failed)
    }

    /// Lets everything pass that comes in by a port on which nothing is enforced.
    fn pass(&mut self, socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<(), MonitorError> {
        let put_back = self.put_back(socket, bridge, port);
        put_back.and(self.barrier.pass(&[port])).map_err(MonitorError::Barrier)
    }

    /// Forgets a port that is about to lose its program.
    fn remove(&mut self, socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<(), MonitorError> {
        let put_back = self.put_back(socket, bridge, port);
        put_back.and(self.barrier.remove(port)).map_err(MonitorError::Barrier)
    }

    /// Lets a port forward as before.
    fn put_back(&mut self, socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<(), Error> {
        // What stays on record of it is looked for in vain.
        let before = self.barred.forwarding.remove(&port);
        before.map_or(Ok(()), |before| put_back(socket, bridge, port, before))
    }

    /// Forgets ports that are none of these.
    fn keep_only(
        &mut self,
        socket: &mut RouteSocket,
        bridge: u32,
        is_there: impl Fn(u32) -> bool,
    ) -> Result<(), MonitorError> {
        let forwarding = self.barred.forwarding.keys().copied();
        let known: BTreeSet<u32> = self.barrier.known_ports().chain(forwarding).collect();
        known
            .into_iter()
            .filter(|&port| !is_there(port))
            .try_for_each(|port| self.remove(socket, bridge, port))
    }

    /// Takes all of it away.
    fn lower(
        self,
        socket: &mut RouteSocket,
        bridge: u32,
        journal: &mut dyn Journal,
    ) -> Result<(), MonitorError> {
        self.barred.remove(&self.host, socket, bridge).map_err(MonitorError::Barrier)?;
        journal.forget_barrier();
        Ok(())
    }
}

impl Observer<'_> {
    /// Puts the barrier behind those ports on which a policy is enforced now, or was to be, and lets others pass that were
    /// looked at. Ports that come are closed until then, from the first call on. Restores it if somebody took it away.
    pub(super) fn keep_barrier(&mut self) -> Result<(), MonitorError> {
        let (Counts::Program(monitor), Some(raised)) = (&self.counts, &mut self.barrier) else {
            return Ok(());
        };
        let (failed, barrier) = (MonitorError::Barrier, &mut raised.barrier);
        if !barrier.is_whole().map_err(failed)? {
            barrier.restore().map_err(failed)?;
            self.lost_enforcement += 1;
            let what = "the barrier behind the ports".to_owned();
            self.news.push(PortChange::EnforcementLost { what, is_restored: true });
        }
        let is_enforced = |(&index, port): (&u32, &ObservedPort)| {
            (index, monitor.mode(port.info.slot) == Some(Mode::Enforce))
        };
        let refused = self.refused.iter().map(|(&index, &enforced)| (index, enforced));
        let closes_new = *barrier.ports() == BarrierPorts::ListedAndNew;
        let (mut to_add, mut to_pass) = (Vec::new(), Vec::new());
        for (index, is_enforced) in self.ports.iter().map(is_enforced).chain(refused) {
            let is_behind = barrier.is_behind(index);
            if is_enforced && !is_behind {
                to_add.push(index);
            } else if !is_enforced && (is_behind || closes_new && !barrier.is_open(index)) {
                to_pass.push(index);
            }
        }
        let (socket, bridge) = (&mut self.socket, self.bridge.index);
        to_pass.into_iter().try_for_each(|index| raised.pass(socket, bridge, index))?;
        raised.add(socket, bridge, &mut *self.journal, &to_add)?;
        if closes_new && raised.barrier.closed_bridge() != Some(self.bridge.name) {
            raised.barrier.close_new(self.bridge.name).map_err(failed)?;
        }
        Ok(())
    }

    /// Closes ports that come to the bridge by the name that it has now.
    pub(super) fn follow_name(&mut self) -> Result<(), MonitorError> {
        let Some(Raised { barrier, .. }) = &mut self.barrier else { return Ok(()) };
        match barrier.closed_bridge() {
            Some(before) if before != self.bridge.name => match barrier.close_new(self.bridge.name) {
                // Somebody took it away, which the next look at it finds out.
                Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
                other => other.map_err(MonitorError::Barrier),
            },
            _ => Ok(()),
        }
    }

    /// Whether a port that comes to the bridge is closed until it is attached to, so that no frame of it goes by unjudged:
    /// where policies are enforced with [`MonitorOptions::barrier`](crate::MonitorOptions::barrier), on a kernel with
    /// `CONFIG_NFT_BRIDGE_META`.
    #[must_use]
    pub fn closes_new_ports(&self) -> bool {
        let barrier = self.barrier.as_ref().map(|raised| raised.barrier.ports());
        barrier == Some(&BarrierPorts::ListedAndNew)
    }

    /// Takes the barrier away from ports that there are no more.
    pub(super) fn bar_only_present(&mut self) -> Result<(), MonitorError> {
        let Some(raised) = &mut self.barrier else { return Ok(()) };
        let is_there = |port| self.ports.contains_key(&port) || self.refused.contains_key(&port);
        raised.keep_only(&mut self.socket, self.bridge.index, is_there)
    }

    /// Takes the barrier away from a port that is about to lose its program.
    pub(super) fn unbar(&mut self, index: u32) -> Result<(), MonitorError> {
        match &mut self.barrier {
            Some(raised) => raised.remove(&mut self.socket, self.bridge.index, index),
            None => Ok(()),
        }
    }

    /// Counts what the barrier has dropped.
    pub(super) fn read_barrier(&mut self, monitor: &Monitor) -> Result<(), MonitorError> {
        let Some(Raised { barrier, .. }) = &mut self.barrier else { return Ok(()) };
        match barrier.unjudged() {
            Ok(found) => monitor.count_unjudged(&found),
            // It is gone, which the next look at it finds out.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(MonitorError::Barrier(error)),
        }
        Ok(())
    }

    /// Takes the barrier away before the programs.
    pub(super) fn lower_barrier(&mut self) -> Result<(), MonitorError> {
        match self.barrier.take() {
            Some(raised) => raised.lower(&mut self.socket, self.bridge.index, &mut *self.journal),
            None => Ok(()),
        }
    }
}
