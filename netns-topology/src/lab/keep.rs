//! Putting back what keeps others out and apart, where somebody took it away.

use super::Lab;
use crate::apply::{Executor, Progress, Work};
use crate::error::Result;
use crate::file;
use crate::observe::Observed;
use crate::plan::{Change, plan_around};
use crate::record::{Record, Store};
use crate::topology::Topology;
use std::ops::ControlFlow;

impl Lab {
    /// Puts back what judges interfaces of the topology that is up, where somebody took it away or changed it: programs at
    /// ports and bridges, barriers, groups that are kept apart; and the rules of its ways out, which say what its host passes
    /// on. It becomes as it was brought up last, whatever the file says by now; nothing else is changed. What was put back, or `None` if the topology is not up.
    ///
    /// Where all is there nothing is locked. Where it is not, this waits until nobody else changes the topology, and looks
    /// again.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) if something is in the way, such as a filter of somebody else's before
    /// ours; if the kernel refuses.
    pub fn keep_policies(&self) -> Result<Option<Vec<Change>>> {
        let Some(record) = self.record()? else { return Ok(None) };
        if self.lost(&record)?.2.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let store = self.lock()?;
        let Some(mut record) = Store::read(&self.path)? else { return Ok(None) };
        let (topology, observed, lost) = self.lost(&record)?;
        if !lost.is_empty() {
            let report = &mut |_: &Progress<'_>| ControlFlow::Continue(());
            let mut work = Work::new(&store, report);
            work.expect(&topology);
            Executor::new(&mut work, &mut record).execute(&lost, &observed)?;
            store.write(&record)?;
        }
        Ok(Some(lost))
    }

    /// What was brought up last, what there is, and what of the policies is not as it was.
    fn lost(&self, record: &Record) -> Result<(Topology, Observed, Vec<Change>)> {
        // Of one that is half up nothing is known to be lost.
        let Some(applied) = &record.applied else { return Ok(Default::default()) };
        let topology = file::parse(&self.path, applied)?;
        let observed = Observed::look(&topology, record)?;
        // What a guest has put in the way inside is no matter of what judges it.
        let mut plan = plan_around(&topology, record, &observed)?;
        plan.keep_policies(record, &observed);
        Ok((topology, observed, plan.changes))
    }
}
