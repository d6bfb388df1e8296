//! Putting back the ways out of a topology that a process holds.

use super::HeldLab;
use crate::apply::{Executor, Progress, Work};
use crate::error::Result;
use crate::observe::Observed;
use crate::plan::{Change, plan_ways_out};
use crate::topology::Topology;
use netns_core::nftables::RuleNotices;
use netns_core::route::RouteNotices;
use std::ops::ControlFlow;

/// Notices of changes that ways out hang on, on the host.
#[derive(Debug)]
pub(super) struct WayOutNotices {
    rules: RuleNotices,
    routes: RouteNotices,
}

impl WayOutNotices {
    fn open() -> Result<Self> {
        Ok(Self { rules: RuleNotices::open()?, routes: RouteNotices::open()? })
    }

    /// Whether anybody has changed rules or routes since the last call.
    fn is_changed(&mut self) -> Result<bool> {
        // Both are read, so that neither is a reason to look again.
        let (rules, routes) = (self.rules.is_changed(None)?, self.routes.is_changed()?);
        Ok(rules || routes)
    }
}

impl HeldLab<'_> {
    /// Whether it lets anything out, or in.
    #[must_use]
    pub fn has_ways_out(&self) -> bool {
        !self.ways_out.is_empty()
    }

    /// Makes the rules of its ways out again, where somebody took them away or changed them (`nft flush ruleset`), and has the host
    /// forward for links that have become the way out since (a default route that moved, a VPN), unless
    /// [`WayOutSpec::uplinks`](crate::WayOutSpec::uplinks) names them; what was done. Unless somebody changed rules or routes of
    /// the host since the last call, this costs two system calls, and none where nothing is let out or in.
    ///
    /// # Errors
    /// If the kernel refuses. The next call tries again.
    pub fn keep_ways_out(&mut self) -> Result<Vec<Change>> {
        if self.ways_out.is_empty() {
            return Ok(Vec::new());
        }
        let mut kept = self.way_out_notices.take();
        if let Some(notices) = &mut kept
            && !notices.is_changed()?
        {
            self.way_out_notices = kept;
            return Ok(Vec::new());
        }
        // Before the look, so that no change is missed after it.
        let notices = kept.map_or_else(WayOutNotices::open, Ok)?;
        let topology = Topology { ways_out: self.ways_out.clone(), ..Topology::default() };
        let report = &mut |_: &Progress<'_>| ControlFlow::Continue(());
        let mut work = Work::new(&self.store, report);
        let observed = Observed::look_for_ways_out(&topology, &self.record, &work.scope(&self.record))?;
        let changes = plan_ways_out(&topology, &self.record, &observed)?;
        if !changes.is_empty() {
            (work.held, work.barriers) = (std::mem::take(&mut self.held), std::mem::take(&mut self.barriers));
            let made = Executor::new(&mut work, &mut self.record).execute(&changes, &observed);
            (self.held, self.barriers) = (work.held, work.barriers);
            made?;
            self.store.write(&self.record)?;
        }
        // Notices of these changes make the next call look once more: among them may be one of somebody else's.
        self.way_out_notices = Some(notices);
        Ok(changes)
    }
}
