//! The program on the bridge itself, where the host receives: put there as soon as a policy says what may be sent to the
//! host.

use super::kernel::Counts;
use super::trace::Trace;
use super::{Observer, PortChange, noted};
use crate::monitor::{MonitorError, Policy};

impl Observer<'_> {
    /// Puts the program on the bridge if this policy takes it, before the policy is any port's.
    pub(super) fn watch_host(&mut self, policy: Option<&Policy>) -> Result<(), MonitorError> {
        let Counts::Program(monitor) = self.counts else { return Ok(()) };
        if self.host.is_none() && policy.is_some_and(|policy| policy.rules.restricts_host()) {
            let bridge = (&self.bridge, self.inherited.get(&self.bridge.index));
            let attachment = noted::attach_host(monitor, &mut self.socket, &mut *self.journal, bridge)?;
            self.host = Some(attachment);
        }
        Ok(())
    }

    /// Puts the program back onto the bridge, if somebody took it off.
    pub(super) fn keep_host(&mut self) -> Result<(), MonitorError> {
        let (Counts::Program(monitor), Some(attachment)) = (&self.counts, &mut self.host) else {
            return Ok(());
        };
        match monitor.attached(&mut self.socket, self.bridge.index) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(()),
            Err(error) => return Err(error),
        }
        let trace = Trace::from(&self.bridge);
        match noted::restore(monitor, &mut self.socket, &mut *self.journal, trace, attachment) {
            Ok(()) => {}
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.lost_enforcement += 1;
        let what = format!("the program on {}", self.bridge.name);
        self.news.push(PortChange::EnforcementLost { what, is_restored: true });
        Ok(())
    }

    /// Takes the program off the bridge.
    pub(super) fn leave_host(&mut self) -> Result<(), MonitorError> {
        let (Counts::Program(monitor), Some(attachment)) = (&self.counts, self.host.take()) else {
            return Ok(());
        };
        let trace = Trace::from(&self.bridge);
        noted::detach(monitor, &mut self.socket, &mut *self.journal, trace, &attachment)
    }
}
