//! Giving slots to ports and bridges, and taking them back.

use std::os::fd::BorrowedFd;
use std::sync::MutexGuard;

use aya::maps::MapError;

use super::slots::Slots;
use super::{AttachedPorts, Limits, Monitor, MonitorError, Slot};
use crate::layout;

/// `BPF_NOEXIST`: insert, and refuse to replace.
const NO_EXIST: u64 = 1;

/// What a slot is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Port,
    /// A bridge, at which the host receives.
    Host,
}

impl Monitor {
    /// Gives a port a slot, with counters at zero. The port need not exist yet; if its first frame is to be counted
    /// for the right pair, it must not.
    ///
    /// # Errors
    /// [`MonitorError::SlotsExhausted`] names the limit; [`MonitorError::Assigned`] if the port has a slot.
    pub fn assign(&self, ifindex: u32) -> Result<Slot, MonitorError> {
        self.give_slot(ifindex, Owner::Port)
    }

    /// Gives a port or a bridge a slot.
    pub(super) fn give_slot(&self, ifindex: u32, owner: Owner) -> Result<Slot, MonitorError> {
        let (mut ports, slot, stale) = self.next_slot(ifindex)?;
        if stale && let Some(pairs) = &self.pairs {
            pairs.sweep(&ports.slots);
            ports.slots.cleared();
        }
        for line in self.lines(slot) {
            self.counters.zero(line);
        }
        self.validation.reset(slot);
        if let Some(destinations) = &self.destinations {
            destinations.reset(slot);
        }
        if let Some(meters) = &self.meters {
            meters.reset(slot);
        }
        if let Some(scopes) = &self.scopes {
            self.lines(slot).for_each(|line| scopes.counters.zero(line));
        }
        if let Some(verdicts) = &self.verdicts {
            verdicts.begin(slot, &ports.slots);
        }
        let mark = if owner == Owner::Host { layout::OF_HOST } else { 0 };
        match ports.map.insert(ifindex, u32::from(slot.get()) | mark, NO_EXIST) {
            Ok(()) => ports.slots.take(ifindex),
            Err(error) => return Err(assign_error(&ports.slots, ifindex, error)),
        };
        if let Some(pairs) = &self.pairs {
            pairs.forget_lost_of(slot.get().into());
            pairs.share(ports.slots.count());
        }
        if let Some(verdicts) = &self.verdicts {
            verdicts.share(ports.slots.count());
        }
        match owner {
            Owner::Port => {
                ports.set_near(ifindex, Some(slot));
                self.validation.set_port(slot, Some(ifindex));
            }
            // A frame's sender is looked for by neither.
            Owner::Host => self.validation.judge_for_host(slot),
        }
        Ok(slot)
    }

    /// The next slot for a port, whose rules nobody reads any more that would be written.
    fn next_slot(&self, ifindex: u32) -> Result<(MutexGuard<'_, AttachedPorts>, Slot, bool), MonitorError> {
        let mut writable = None;
        loop {
            let ports = match writable {
                None => self.lock(),
                Some(slot) => self.lock_to_write(slot, &Limits::NONE)?,
            };
            let Some((slot, stale)) = ports.slots.next(ifindex) else {
                return Err(MonitorError::SlotsExhausted { limit: ports.limit });
            };
            if self.validation.table().is_free(slot.get().into()) {
                return Ok((ports, slot, stale));
            }
            writable = Some(slot.get().into());
        }
    }

    /// Takes a slot back as [`Self::release`] does, whose port is gone: no program runs for it.
    pub(super) fn release_gone(&self, slot: Slot) -> Result<(), MonitorError> {
        self.release(slot)?;
        let ports = self.lock();
        // Unless somebody has it again.
        if ports.slots.port(slot).is_none() {
            self.validation.table().forget_readers(slot.get().into());
        }
        Ok(())
    }

    /// Takes a slot back, when its port is gone or carries our programs no more.
    ///
    /// Its counters can still be read until the slot is given out again, which is as late as possible: slots are reused
    /// first in, first out. Its pairs are gone from [`Self::pairs`] at once.
    ///
    /// # Errors
    /// [`MonitorError::NotAssigned`] if the slot is not in use.
    pub fn release(&self, slot: Slot) -> Result<(), MonitorError> {
        let mut ports = self.lock();
        let ifindex = ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        // The kernel may have no memory for a moment.
        let removed = ports.map.remove(&ifindex).or_else(|_| ports.map.remove(&ifindex));
        removed.map_err(|error| MonitorError::Load {
            operation: format!("remove the port with ifindex {ifindex} from the map {}", layout::PORTS),
            source: error.into(),
        })?;
        self.validation.set_port(slot, None);
        ports.set_near(ifindex, None);
        ports.slots.release(slot);
        if let Some(pairs) = &self.pairs {
            pairs.share(ports.slots.count());
        }
        if let Some(verdicts) = &self.verdicts {
            verdicts.end(slot, &ports.slots);
            verdicts.share(ports.slots.count());
        }
        Ok(())
    }

    /// Knows a trunk, which joins two bridges of a network, by the ifindexes of its ends: who sent a frame that comes in
    /// by one of them the frame carries. The program for the egress hook of its end on the network's first bridge, where
    /// the host's own frames join the others.
    ///
    /// # Errors
    /// [`MonitorError::Load`] if the map has no more room, after some thousand trunks; or if this monitor was opened
    /// again ([`Self::reopen`]).
    pub fn join(&self, ends: [u32; 2]) -> Result<BorrowedFd<'_>, MonitorError> {
        let trunk = self.trunk.as_ref().ok_or_else(|| MonitorError::Load {
            operation: "join bridges".to_owned(),
            source: "the monitor was opened again, which does not find the program for trunks".into(),
        })?;
        let mut ports = self.lock();
        for ifindex in ends {
            ports.map.insert(ifindex, layout::BY_TRUNK, 0).map_err(|error| MonitorError::Load {
                operation: format!("enter the trunk with ifindex {ifindex} into the map {}", layout::PORTS),
                source: error.into(),
            })?;
        }
        Ok(trunk.fd())
    }

    /// Forgets a trunk, which is gone. One that is not known is no error.
    pub fn part(&self, ends: [u32; 2]) {
        let mut ports = self.lock();
        for ifindex in ends {
            // A link that is not in the map need not be removed.
            let _ = ports.map.remove(&ifindex);
        }
    }

    /// Whether any bridge is attached to. It is mostly the first that has a slot.
    pub(super) fn has_host(&self) -> bool {
        self.lock().slots.used().any(|(slot, _)| self.is_of_host(slot))
    }

    /// Whether a slot is a bridge's own.
    pub(super) fn is_of_host(&self, slot: Slot) -> bool {
        self.validation.is_of_host(slot)
    }

    /// The ports that have a slot, and the bridges that have one ([`Self::attach_host`]), with their ifindex, in the slots'
    /// order.
    #[must_use]
    pub fn ports(&self) -> Vec<(Slot, u32)> {
        self.lock().slots.used().collect()
    }

    /// The slot of a port, if it has one.
    #[must_use]
    pub fn slot(&self, ifindex: u32) -> Option<Slot> {
        self.lock().slots.of_port(ifindex)
    }
}

/// Why a port could not be entered into the map of ports.
fn assign_error(slots: &Slots, ifindex: u32, error: MapError) -> MonitorError {
    if let Some(slot) = slots.of_port(ifindex) {
        return MonitorError::Assigned { ifindex, slot };
    }
    MonitorError::Load {
        operation: format!("enter the port with ifindex {ifindex} into the map {}", layout::PORTS),
        source: error.into(),
    }
}
