//! The barrier behind the ports on which a policy is enforced, and that it is lost and restored.

use std::collections::BTreeMap;

use netns_core::barrier::{self, Barrier, BarrierPorts, FORWARDED};
use netns_core::bridge::{self, BridgeOptions, PortOptions};
use netns_core::record::{Line, Removal};
use netns_core::{Error, Namespace, RouteSocket, link};

use super::judge::Judging;
use super::kernel::Counts;
use super::trace::Journal;
use super::{ObservedPort, Observer, PortChange};
use crate::monitor::{Mode, Monitor, MonitorError};

/// A barrier on record: its table's name, and what was changed of the bridge with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// The name of its table, which no other has.
    pub name: String,
    /// Whether the bridge learnt from frames to the addresses that bridges keep for themselves, and does not now: LLDP, and
    /// STP where it is on, pass no chain of nftables.
    pub has_learnt: bool,
    /// Which frames to reserved addresses its ports forwarded (`group_fwd_mask`), of those ports that forward LLDP and BPDUs
    /// now, by their index. Where these are not to be forwarded they pass no chain of nftables.
    pub forwarding: BTreeMap<u32, u16>,
}

impl Barred {
    pub(super) const KEY: &'static str = "barrier";

    pub(super) const FORWARDING: &'static str = "forwarding";

    pub(super) fn lines(&self) -> impl Iterator<Item = Line> {
        let first = Line::new(Self::KEY).with(&self.name).with(self.has_learnt);
        let forwarding = self.forwarding.iter().map(|(&port, &before)| (port, before));
        std::iter::once(first).chain(forwarding.map(Self::forwarding_line))
    }

    pub(super) fn forwarding_line((port, before): (u32, u16)) -> Line {
        Line::new(Self::FORWARDING).with(port).with(before)
    }

    pub(super) fn read(line: &Line) -> Option<Self> {
        Some(Self { name: line.parse(0)?, has_learnt: line.parse(1)?, forwarding: BTreeMap::new() })
    }

    /// Takes the barrier away, and lets the bridge with this index learn and its ports forward as before; whether there was a
    /// barrier.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&self, host: &Namespace, socket: &mut RouteSocket, bridge: u32) -> Result<Removal, Error> {
        // First, so that nothing is forwarded that the host had, and no barrier stops.
        self.forwarding.iter().try_for_each(|(&port, &before)| put_back(socket, bridge, port, before))?;
        let removed = barrier::remove(host, &self.name)?;
        if self.has_learnt {
            match learns(socket, bridge) {
                Ok(Some(false)) => set_learning(socket, bridge, true)?,
                // Somebody else has switched it on again, or the bridge is gone.
                Ok(_) => {}
                Err(error) if error.errno() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(if removed { Removal::Removed } else { Removal::Gone })
    }
}

fn learns(socket: &mut RouteSocket, bridge: u32) -> Result<Option<bool>, Error> {
    Ok(link::get(socket, bridge)?.bridge().and_then(|options| options.no_linklocal_learn).map(|deaf| !deaf))
}

fn set_learning(socket: &mut RouteSocket, bridge: u32, learns: bool) -> Result<(), Error> {
    let options = BridgeOptions { no_linklocal_learn: Some(!learns), ..BridgeOptions::default() };
    bridge::set(socket, bridge, &options)
}

/// Which frames to reserved addresses a port of this bridge forwards; `None` if it is none any more.
fn forwarding(socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<Option<u16>, Error> {
    match link::get(socket, port) {
        Ok(link) if link.master == Some(bridge) => Ok(link.port.and_then(|options| options.group_fwd_mask)),
        Ok(_) => Ok(None),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn set_forwarding(socket: &mut RouteSocket, port: u32, mask: u16) -> Result<(), Error> {
    let options = PortOptions { group_fwd_mask: Some(mask), ..PortOptions::NONE };
    match bridge::set_port(socket, port, &options) {
        // It left the bridge, or is gone.
        Err(error) if matches!(error.errno(), Some(libc::ENODEV | libc::EINVAL | libc::EOPNOTSUPP)) => Ok(()),
        other => other,
    }
}

/// Lets a port forward as before, unless somebody else has changed that since.
fn put_back(socket: &mut RouteSocket, bridge: u32, port: u32, before: u16) -> Result<(), Error> {
    match forwarding(socket, bridge, port)? {
        Some(now) if now == before | FORWARDED => set_forwarding(socket, port, before),
        _ => Ok(()),
    }
}

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
