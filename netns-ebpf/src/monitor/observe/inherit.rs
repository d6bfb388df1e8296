//! Taking over from an observer that was killed: each port is judged by that one's programs or by ours at any moment, and
//! all that is left of it is on record until it is gone.

use super::kernel::Counts;
use super::{Observer, behind};
use crate::monitor::MonitorError;

impl Observer<'_> {
    /// Puts our programs in the place of those before, at the ports that have such. Before the first, the policies of all are
    /// known. Ports that came later are attached to after that: programs that do not know them judge no pairs with them.
    pub(super) fn take_over(&mut self) -> Result<(), MonitorError> {
        let Counts::Program(monitor) = self.counts else { return Ok(()) };
        if self.inherited.is_empty() {
            return Ok(());
        }
        let found = self.find_out();
        let unseen = std::mem::take(&mut self.unseen);
        let (known, new): (Vec<_>, Vec<_>) =
            unseen.into_iter().partition(|link| self.inherited.contains_key(&link.index));
        for link in &known {
            let behind = behind::id_of_link(link).and_then(|id| found.get(&id)).cloned();
            let policy = self.given(link, &behind.unwrap_or_else(|| behind::of_link(link)));
            // What is refused here is refused, and reported, when it is attached to.
            let _ = monitor.prepare(link.index, policy.as_ref());
        }
        self.unseen = known.into();
        self.look_at_unseen(None)?;
        monitor.end_reservations();
        self.unseen.extend(new);
        Ok(())
    }

    /// Removes what is left of programs before: from ports that are none any more, or cannot be attached to.
    pub(super) fn settle(&mut self) -> Result<(), MonitorError> {
        let Counts::Program(monitor) = self.counts else { return Ok(()) };
        if monitor.predecessors().is_empty() {
            return Ok(());
        }
        let bridge = self.bridge.name;
        let left = |source| MonitorError::Left { bridge, source };
        for (index, trace) in std::mem::take(&mut self.inherited) {
            for &programs in monitor.predecessors() {
                trace.remove(&mut self.socket, programs).map_err(left)?;
            }
            let is_host = index == self.bridge.index && self.host.is_some();
            if !is_host && !self.ports.contains_key(&index) {
                self.journal.forget(index);
            }
        }
        monitor.end_preparations()?;
        self.bar_only_present()?;
        self.journal.settle();
        Ok(())
    }
}
