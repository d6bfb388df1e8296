//! The barrier behind the ports on which a policy is enforced, and that it is lost and restored.

use std::collections::BTreeMap;

use netns_core::barrier::{self, Barrier, BarrierPorts, FORWARDED};
use netns_core::{Namespace, RouteSocket};

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
    ) -> Result<Option<Self>, MonitorError> {
        let (Counts::Program(monitor), Judging::Given(_)) = (counts, judging) else { return Ok(None) };
        let Some(stamp) = monitor.stamp() else { return Ok(None) };
        let failed = MonitorError::Barrier;
        let host = host.try_clone().map_err(failed)?;
        let has_learnt = learns(socket, bridge).map_err(failed)? == Some(true);
        let barred = Barred { name: barrier::unused_name(), has_learnt, forwarding: BTreeMap::new() };
        journal
            .note_barrier(&barred)
            .map_err(|source| MonitorError::Kernel { operation: "write down the barrier".into(), source })?;
        let raised = Barrier::create(&host, &barred.name, BarrierPorts::Listed, stamp).and_then(|barrier| {
            if has_learnt { set_learning(socket, bridge, false) } else { Ok(()) }.map(|()| barrier)
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

    /// Puts it behind ports too.
    fn add(
        &mut self,
        socket: &mut RouteSocket,
        bridge: u32,
        journal: &mut dyn Journal,
        ports: &[u32],
    ) -> Result<(), MonitorError> {
        let failed = MonitorError::Barrier;
        self.barrier.add(ports).map_err(failed)?;
        let mut changed = Vec::new();
        for &port in ports {
            let before = forwarding(socket, bridge, port).map_err(failed)?;
            changed.extend(before.filter(|mask| mask & FORWARDED != FORWARDED).map(|mask| (port, mask)));
        }
        if changed.is_empty() {
            return Ok(());
        }
        journal.note_forwarding(&changed).map_err(|source| MonitorError::Kernel {
            operation: "write down what ports forward".into(),
            source,
        })?;
        self.barred.forwarding.extend(changed.iter().copied());
        let set = |(port, before): (u32, u16)| set_forwarding(socket, port, before | FORWARDED);
        changed.into_iter().try_for_each(set).map_err(failed)
    }

    /// Takes it away from a port.
    fn remove(&mut self, socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<(), MonitorError> {
        // What stays on record of it is looked for in vain.
        let before = self.barred.forwarding.remove(&port);
        let put_back = before.map_or(Ok(()), |before| put_back(socket, bridge, port, before));
        put_back.and(self.barrier.remove(port)).map_err(MonitorError::Barrier)
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
    /// Puts the barrier behind those ports on which a policy is enforced now, or was to be, and behind no others. Restores
    /// it if somebody took it away.
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
        let (mut to_add, mut to_remove) = (Vec::new(), Vec::new());
        for (index, is_enforced) in self.ports.iter().map(is_enforced).chain(refused) {
            match (is_enforced, barrier.is_behind(index)) {
                (true, false) => to_add.push(index),
                (false, true) => to_remove.push(index),
                _ => {}
            }
        }
        let (socket, bridge) = (&mut self.socket, self.bridge.index);
        to_remove.into_iter().try_for_each(|index| raised.remove(socket, bridge, index))?;
        raised.add(socket, bridge, &mut *self.journal, &to_add)
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
