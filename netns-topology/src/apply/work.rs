//! What changing a topology takes, of a file or of a process.

use crate::error::{Error, Result};
use crate::plan::Change;
use crate::record::{Record, Store};
use crate::scope::{OpenNamespaces, Scope};
use crate::topology::{Place, Topology};
use netns_core::barrier::Barrier;
use netns_core::record::Removal;
use netns_ebpf::Monitor;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// How far it is with changes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The change that was just made.
    pub change: &'a Change,
    /// How many of this round were made.
    pub done: usize,
    /// How many this round has. Some changes take others with them, which come back in another round.
    pub total: usize,
    /// How long it took. Of changes that were made together, the first has the time of all, and the others have none.
    pub took: Duration,
}

/// Is called after each change, and says whether to go on.
pub(crate) type ProgressReport<'w> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'w;

/// What a change takes, and what it leaves for the next one.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Work<'w> {
    pub(crate) store: &'w Store,
    /// The programs that judge ports of the host; `None` loads some where a port is judged.
    pub(crate) monitor: Option<&'w Monitor>,
    /// Whether programs that are loaded here are to know limits, and to count what was decided by destination.
    pub(crate) limits: bool,
    pub(crate) verdicts: bool,
    /// Namespaces that are open. Those of a topology without a record are found here alone.
    pub(crate) held: OpenNamespaces,
    /// What keeps frames from getting past the programs.
    pub(crate) barriers: BTreeMap<Place, Barrier>,
    /// What others have put in the place of something that was to go, in words.
    pub(crate) left: Vec<String>,
    /// Whether nothing more is to be made.
    pub(crate) is_stopped: bool,
    /// Whether all of it is to go: then every step is tried, whatever becomes of those before it.
    pub(crate) is_undoing: bool,
    /// Whether only policies were made to be as wanted, since something inside is in the way of the rest.
    pub(crate) is_hindered: bool,
    failures: Vec<Error>,
    report: &'w mut ProgressReport<'w>,
}

impl<'w> Work<'w> {
    pub(crate) fn new(store: &'w Store, report: &'w mut ProgressReport<'w>) -> Self {
        Self {
            store,
            monitor: None,
            limits: false,
            verdicts: false,
            held: OpenNamespaces::new(),
            barriers: BTreeMap::new(),
            left: Vec::new(),
            is_stopped: false,
            is_undoing: false,
            is_hindered: false,
            failures: Vec::new(),
            report,
        }
    }

    /// Notes what programs that are loaded for this topology are to be able to do.
    pub(crate) fn expect(&mut self, topology: &Topology) {
        let policies = || topology.cables.iter().filter_map(|cable| cable.policy.as_ref());
        self.limits = policies().any(|policy| !policy.limits.is_none());
        self.verdicts = policies().any(|policy| policy.verdicts);
    }

    /// Where to look for what is there.
    pub(crate) fn scope(&self, record: &Record) -> Scope<'_> {
        Scope {
            unnamed: self.store.is_nowhere().then_some(&self.held),
            claimant: self.store.claimant(record),
            has_commands: self.store.is_of_file(),
        }
    }

    pub(super) fn report(&mut self, progress: &Progress<'_>) {
        self.is_stopped |= (self.report)(progress).is_break();
    }

    /// Keeps a failure until all else is undone, if that is what is done.
    pub(crate) fn attempt(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(failure) if self.is_undoing => {
                self.failures.push(failure);
                Ok(())
            }
            other => other,
        }
    }

    /// The failures that were kept.
    pub(crate) fn outcome(&mut self) -> Result<()> {
        let mut failures = std::mem::take(&mut self.failures);
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Error::Undoing(failures)),
        }
    }

    /// Notes what was left alone.
    pub(crate) fn leave(&mut self, removal: Removal) {
        if let Removal::Left(why) = removal {
            self.left.push(why);
        }
    }
}
