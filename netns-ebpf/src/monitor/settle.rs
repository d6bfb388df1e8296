//! Waiting, before a slot's rules or limits are written, until no program reads what they replace: see [`super::turn`].

use std::io;
use std::sync::{MutexGuard, PoisonError};

use super::meter::Meters;
use super::{AttachedPorts, Limits, Monitor, MonitorError};

impl Monitor {
    /// Locks the slots when new rules, and these limits, can be written to one.
    ///
    /// # Errors
    /// What the kernel refuses to those who have to wait for that.
    pub(super) fn lock_to_write(
        &self,
        slot: usize,
        limits: &Limits,
    ) -> Result<MutexGuard<'_, AttachedPorts>, MonitorError> {
        loop {
            let ports = self.lock();
            let is_free = |meters: &Meters| meters.is_free(slot, limits);
            let is_there = slot <= usize::from(ports.limit);
            if !is_there || self.validation.table().is_free(slot) && self.meters.as_ref().is_none_or(is_free)
            {
                return Ok(ports);
            }
            drop(ports);
            self.settle()?;
        }
    }

    fn settle(&self) -> Result<(), MonitorError> {
        let _settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let meters = self.meters.as_ref().map_or(Ok(()), Meters::settle);
        meters.and_then(|()| self.validation.table().settle()).map_err(unsettled)
    }
}

pub(super) fn unsettled(source: io::Error) -> MonitorError {
    MonitorError::Kernel { operation: "wait until no program reads the rules of before".to_owned(), source }
}
