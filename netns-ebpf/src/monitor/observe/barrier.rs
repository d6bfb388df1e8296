//! The barrier behind the ports on which a policy is enforced, and that it is lost and restored.

use netns_core::barrier::{self, Barrier, Ports};
use netns_core::bridge::{self, BridgeOptions};
use netns_core::record::{Line, Removal};
use netns_core::{Error, Namespace, RouteSocket, link};

use super::judge::Judging;
use super::kernel::Counts;
use super::trace::Journal;
use super::{Observed, Observer, PortChange, noted};
use crate::monitor::{Mode, Monitor, MonitorError};

/// A barrier on record: its table's name, and what was changed of the bridge with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// The name of its table, which no other has.
    pub name: String,
    /// Whether the bridge learnt from frames to the addresses that bridges keep for themselves, and does not now: LLDP, and
    /// STP where it is on, pass no chain of nftables.
    pub has_learnt: bool,
}

impl Barred {
    pub(super) const KEY: &'static str = "barrier";

    pub(super) fn line(&self) -> Line {
        Line::new(Self::KEY).with(&self.name).with(self.has_learnt)
    }

    pub(super) fn read(line: &Line) -> Option<Self> {
        Some(Self { name: line.parse(0)?, has_learnt: line.parse(1)? })
    }

    /// Takes the barrier away, and lets the bridge with this index learn as before; whether there was a barrier.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&self, host: &Namespace, socket: &mut RouteSocket, bridge: u32) -> Result<Removal, Error> {
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
        let barred = Barred { name: barrier::unused_name(), has_learnt };
        journal
            .note_barrier(&barred)
            .map_err(|source| MonitorError::Kernel { operation: "write down the barrier".into(), source })?;
        let raised = Barrier::create(&host, &barred.name, Ports::Listed, stamp).and_then(|barrier| {
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

    /// Takes it away.
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
        let (Counts::Program(monitor), Some(Raised { barrier, .. })) = (&self.counts, &mut self.barrier)
        else {
            return Ok(());
        };
        let failed = MonitorError::Barrier;
        if !barrier.is_whole().map_err(failed)? {
            barrier.restore().map_err(failed)?;
            self.lost_enforcement += 1;
            self.news.push(PortChange::EnforcementLost { what: "the barrier behind the ports".to_owned() });
        }
        let is_enforced =
            |(&index, port): (&u32, &Observed)| (index, monitor.mode(port.info.slot) == Some(Mode::Enforce));
        let refused = self.refused.iter().map(|(&index, &enforced)| (index, enforced));
        let (mut to_add, mut to_remove) = (Vec::new(), Vec::new());
        for (index, is_enforced) in self.ports.iter().map(is_enforced).chain(refused) {
            match (is_enforced, barrier.is_behind(index)) {
                (true, false) => to_add.push(index),
                (false, true) => to_remove.push(index),
                _ => {}
            }
        }
        to_remove.into_iter().try_for_each(|index| barrier.remove(index)).map_err(failed)?;
        barrier.add(&to_add).map_err(failed)
    }

    /// Puts the programs back onto ports off which somebody took them.
    pub(super) fn keep_programs(&mut self) -> Result<(), MonitorError> {
        let touched = std::mem::take(&mut self.touched);
        let Counts::Program(monitor) = self.counts else { return Ok(()) };
        for index in touched {
            if index == self.bridge.index {
                self.keep_host()?;
            }
            let Some(Observed { attachment: Some(attachment), info, .. }) = self.ports.get_mut(&index) else {
                continue;
            };
            // A port that goes takes its filters with it.
            match monitor.attached(&mut self.socket, index) {
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(error) if error.errno() == Some(libc::ENODEV) => continue,
                Err(error) => return Err(error),
            }
            match noted::restore(monitor, &mut self.socket, &mut *self.journal, &**info, attachment) {
                Ok(()) => {}
                Err(error) if error.errno() == Some(libc::ENODEV) => continue,
                Err(error) => return Err(error),
            }
            if monitor.mode(info.slot) == Some(Mode::Enforce) {
                self.lost_enforcement += 1;
            }
            self.news.push(PortChange::EnforcementLost { what: format!("the programs on {}", info.name) });
        }
        Ok(())
    }

    /// Takes the barrier away from a port that is about to lose its program.
    pub(super) fn unbar(&mut self, index: u32) -> Result<(), MonitorError> {
        match &mut self.barrier {
            Some(raised) => raised.barrier.remove(index).map_err(MonitorError::Barrier),
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

    /// How often an enforcement was found to have been taken away by somebody else. It was restored each time.
    #[must_use]
    pub const fn lost_enforcement(&self) -> u64 {
        self.lost_enforcement
    }
}
