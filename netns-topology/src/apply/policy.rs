//! Judging what interfaces send, at their ports.

use super::Executor;
use super::egress::MOST_POLICIES;
use crate::error::{Error, Result};
use crate::topology::{LinkName, Place, PortPolicy};
use netns_core::barrier::{self, Barrier, BarrierPorts};
use netns_core::{ErrorKind, RouteSocket, link};
use netns_ebpf::layout::DEFAULT_VERDICTS;
use netns_ebpf::{Clsact, Mode, Monitor, MonitorError, MonitorOptions, Policy, Predecessors, Trace};

impl Executor<'_, '_> {
    pub(super) fn set_policy(
        &mut self,
        port: &LinkName,
        inside: &LinkName,
        policy: &PortPolicy,
    ) -> Result<()> {
        let mac = link::get(self.socket(&inside.place)?, inside.name)?.mac.unwrap_or_default();
        // It has a number: see `Record::groups`.
        let group = policy.group.number(&self.record.groups).unwrap_or_default();
        let index = self.index(port)?;
        self.wants_egress |= policy.egress.is_some();
        let egress = self.egress(&port.place, policy)?;
        let policy = policy.of(mac, group);
        let policy = policy.map_err(|full| Error::Conflict(vec![format!("{inside}: {full}")]))?;
        let policy = Policy { egress, ..policy };
        self.judge(port, index, &policy)?;
        if policy.mode == Mode::Enforce {
            return self.bar(&port.place, &[index]);
        }
        self.unbar(&port.place, index)
    }

    /// Puts the programs on a port, with a policy.
    fn judge(&mut self, port: &LinkName, index: u32, policy: &Policy) -> Result<()> {
        let (monitor, _) = self.monitor(&port.place)?;
        let present = monitor.program_ids();
        // Filters of earlier programs judge by earlier rules, whatever the present ones do.
        self.take_off(port, index, |ids| ids != present)?;
        let (monitor, socket) = self.monitor(&port.place)?;
        if let Some(slot) = monitor.attached(socket, index)? {
            return Ok(monitor.set_policy(slot, policy)?);
        }
        // Half of it may be there: somebody took a filter away.
        self.take_off(port, index, |ids| ids == present)?;
        let (monitor, socket) = self.monitor(&port.place)?;
        release(monitor, index)?;
        let _ = monitor.attach_with(socket, index, Some(policy))?;
        Ok(())
    }

    pub(super) fn remove_policy(&mut self, port: &LinkName) -> Result<()> {
        let index = self.index(port)?;
        self.unbar(&port.place, index)?;
        self.strip(port, index)
    }

    /// Puts the program onto a bridge, where the host receives.
    pub(super) fn judge_host(&mut self, bridge: &LinkName) -> Result<()> {
        let index = self.index(bridge)?;
        let (monitor, _) = self.monitor(&bridge.place)?;
        let present = monitor.program_ids();
        // Earlier programs know the ports by other slots.
        self.take_off(bridge, index, |ids| ids != present)?;
        let (monitor, socket) = self.monitor(&bridge.place)?;
        if monitor.attached(socket, index)?.is_none() {
            release(monitor, index)?;
            let _ = monitor.attach_host(socket, index)?;
        }
        Ok(())
    }

    /// Takes it off the bridge.
    pub(super) fn leave_host(&mut self, bridge: &LinkName) -> Result<()> {
        let index = self.index(bridge)?;
        self.strip(bridge, index)
    }

    /// Takes all programs off a link, and its slot back.
    fn strip(&mut self, port: &LinkName, index: u32) -> Result<()> {
        self.take_off(port, index, |_| true)?;
        // Its slot is given back where there is a program to give it back to.
        let present = self.record.programs.get(&port.place).and_then(|programs| programs.last());
        match present.map(|&programs| Monitor::reopen(programs)) {
            None | Some(Err(MonitorError::Gone { .. } | MonitorError::OtherLayout { .. })) => Ok(()),
            Some(monitor) => release(&monitor?, index),
        }
    }

    /// Puts the barrier of a place behind ports, from which frames are to get no further unless the programs have seen
    /// them. It is written down before it is made.
    pub(super) fn bar(&mut self, place: &Place, indexes: &[u32]) -> Result<()> {
        let (monitor, _) = self.monitor(place)?;
        // Programs of a version before there were barriers.
        let Some(stamp) = monitor.stamp() else { return Ok(()) };
        if !self.barriers.contains_key(place) {
            let namespace = self.entry(place)?.0.try_clone()?;
            let known = self.record.barriers.get(place).cloned();
            let found = match &known {
                Some(name) => Barrier::open(&namespace, name, stamp)?,
                None => None,
            };
            let barrier = if let Some(found) = found {
                found
            } else {
                let name = known.unwrap_or_else(barrier::unused_name);
                self.record.barriers.insert(place.clone(), name.clone());
                self.work.store.write(self.record)?;
                Barrier::create(&namespace, &name, BarrierPorts::Listed, stamp)?
            };
            self.barriers.insert(place.clone(), barrier);
        }
        let Some(barrier) = self.barriers.get_mut(place) else { return Ok(()) };
        if self.whole.insert(place.clone()) && !barrier.is_whole()? {
            barrier.restore()?;
        }
        let missing: Vec<u32> = indexes.iter().copied().filter(|index| !barrier.is_behind(*index)).collect();
        Ok(barrier.add(&missing)?)
    }

    /// Takes the barrier of a place away from a port. Where all goes, the barrier goes as a whole, in the end.
    pub(super) fn unbar(&mut self, place: &Place, index: u32) -> Result<()> {
        if self.work.is_undoing {
            return Ok(());
        }
        if let Some(barrier) = self.barriers.get_mut(place) {
            return Ok(barrier.remove(index)?);
        }
        let Some(name) = self.record.barriers.get(place).cloned() else { return Ok(()) };
        Ok(barrier::remove_port(self.entry(place)?.0, &name, index)?)
    }

    /// Takes the filters of those of our programs that are meant off a port. The qdisc was made for them, and goes if
    /// it is empty.
    fn take_off(&mut self, port: &LinkName, index: u32, meant: impl Fn([u32; 2]) -> bool) -> Result<()> {
        let programs = self.record.programs.get(&port.place).cloned().unwrap_or_default();
        let trace = Trace { ifindex: index, name: port.name, mac: None, clsact: Clsact::Ours };
        let socket = self.socket(&port.place)?;
        for programs in programs.into_iter().filter(|programs| meant(*programs)) {
            trace.remove(socket, programs)?;
        }
        Ok(())
    }

    /// Says whether ports of two groups may send to each other.
    pub(super) fn set_groups(&mut self, place: &Place, [one, other]: [u8; 2], may: bool) -> Result<()> {
        let (monitor, _) = self.monitor(place)?;
        monitor.set_group_pair(one, other, may)?;
        Ok(monitor.set_group_pair(other, one, may)?)
    }

    /// The programs of a place: those that its ports' filters hold, or new ones, which are written down before any
    /// port has them.
    pub(super) fn monitor(&mut self, place: &Place) -> Result<(&Monitor, &mut RouteSocket)> {
        let lent = self.work.monitor.filter(|_| place.is_host());
        if lent.is_none() && !self.monitors.contains_key(place) {
            let present = self.record.programs.get(place).and_then(|programs| programs.last());
            let held = present.map(|&programs| Monitor::reopen(programs));
            let (limits, wants_egress) = (self.work.limits, self.wants_egress);
            let wants_verdicts = self.work.verdicts;
            // Those that know no limits, look for no egress policies, or do not count by destination, are left to the ports
            // that have them, until those are judged anew by others that do.
            let is_less = |held: &Monitor| {
                (limits && !held.has_limits())
                    || (wants_egress && !held.has_egress())
                    || (wants_verdicts && !held.has_verdicts())
            };
            let monitor = match held.filter(|held| !held.as_ref().is_ok_and(is_less)) {
                None | Some(Err(MonitorError::Gone { .. } | MonitorError::OtherLayout { .. })) => {
                    self.load_monitor(place)?
                }
                Some(held) => {
                    let monitor = held?;
                    release_gone(&monitor, self.socket(place)?)?;
                    monitor
                }
            };
            self.monitors.insert(place.clone(), monitor);
        }
        self.entry(place)?;
        let missing = || Error::system(format!("open {place}"))(std::io::ErrorKind::NotFound.into());
        let monitor = match lent {
            Some(lent) => lent,
            None => self.monitors.get(place).ok_or_else(missing)?,
        };
        Ok((monitor, self.sockets.get_mut(place).ok_or_else(missing)?))
    }

    /// Loads new programs for a place, and writes them down.
    fn load_monitor(&mut self, place: &Place) -> Result<Monitor> {
        let barrier = barrier::is_supported()?;
        if !barrier {
            log::warn!(
                "the kernel has no nftables for bridges (CONFIG_NF_TABLES_BRIDGE): where a policy is enforced, root inside \
                 who makes an ifb device there sends what is never judged"
            );
        }
        // With the mark of those before, so that the barrier is one for ports of both: each port stays behind it until the last
        // has these.
        let mut earlier = self.record.programs.get(place).into_iter().flatten().rev();
        let stamp = earlier.find_map(|&programs| Monitor::reopen(programs).ok()?.stamp());
        let options = MonitorOptions {
            // Pairs are nobody's to read here.
            pairs: 0,
            egress: if self.wants_egress { MOST_POLICIES } else { 0 },
            limits: self.work.limits,
            verdicts: if self.work.verdicts { DEFAULT_VERDICTS } else { 0 },
            barrier,
            predecessors: Predecessors { stamp, ..Predecessors::default() },
            ..MonitorOptions::default()
        };
        let monitor = Monitor::load(&options)?;
        if let (None, Some(stamp), Some(name)) =
            (stamp, monitor.stamp(), self.record.barriers.get(place).cloned())
            && let Some(mut found) = Barrier::open(self.entry(place)?.0, &name, stamp)?
        {
            // The mark of those before is not known. Until a port has these, what it sends is dropped.
            found.restore()?;
            self.barriers.insert(place.clone(), found);
        }
        // Beside those before: one of their filters may be left.
        self.record.programs.entry(place.clone()).or_default().push(monitor.program_ids());
        self.work.store.write(self.record)?;
        Ok(monitor)
    }
}

/// Takes a port's slot back.
pub(super) fn release(monitor: &Monitor, index: u32) -> Result<()> {
    match monitor.slot(index) {
        Some(slot) => Ok(monitor.release(slot)?),
        None => Ok(()),
    }
}

/// Takes the slots of ports back that are gone: their links went without us.
fn release_gone(monitor: &Monitor, socket: &mut RouteSocket) -> Result<()> {
    for (slot, index) in monitor.ports() {
        match link::get(socket, index) {
            Err(error) if error.kind() == ErrorKind::NotFound => monitor.release(slot)?,
            other => drop(other?),
        }
    }
    Ok(())
}
