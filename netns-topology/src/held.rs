//! A topology that a process holds: made of what it says and not of a file, and at hand until it is taken down.

mod keep;

use crate::apply::{Progress, ProgressReport, Work};
use crate::converge::{converge, finish};
use crate::error::{Error, Result};
use crate::lab::Done;
use crate::plan::Change;
use crate::record::{Record, Store};
use crate::scope::OpenNamespaces;
use crate::topology::{LinkName, Place, Topology, WayOutSpec};
use netns_core::Namespace;
use netns_core::barrier::Barrier;
use netns_core::record::RecordFile;
use netns_ebpf::Monitor;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use keep::WayOutNotices;

/// A topology that this process has brought up and holds, on the namespace of the calling thread, which is to be the same in
/// each call.
///
/// With a record it is as a [`Lab`](crate::Lab): its namespaces have names, and a process that comes after can take it down
/// ([`HeldLab::left_by`]). The record is locked for as long as this lives. Without one nothing has a name or is written down:
/// the namespaces go with this process, and what else is made on a host that goes with it too, as one in a namespace of its own.
///
/// What the kernel acknowledges is taken to be there: unlike [`Lab::up`](crate::Lab::up) it does not look again. It starts no
/// commands, and does not wait for spanning trees.
///
/// Dropping it leaves everything as it is, and lets the record go. It can be sent to another thread; a fork's copy is not to be
/// used.
#[derive(Debug)]
pub struct HeldLab<'m> {
    store: Store,
    record: Record,
    monitor: Option<&'m Monitor>,
    held: OpenNamespaces,
    barriers: BTreeMap<Place, Barrier>,
    /// The ways out that it has, and notices of changes since they were last found whole.
    ways_out: Vec<WayOutSpec>,
    way_out_notices: Option<WayOutNotices>,
}

impl<'m> HeldLab<'m> {
    /// Brings a topology up. `monitor` judges the ports of the host, in place of one that is loaded for that; its other ports
    /// are left alone. After each change `report` is called, in the calling thread, and says whether to go on: if not,
    /// what is made by then stays, and the rest is not made.
    ///
    /// What fails is undone, and the record is removed.
    ///
    /// # Errors
    /// [`Error::Conflict`] if something is in the way, or the topology has commands; [`Error::RolledBack`] if the kernel
    /// refuses a change.
    pub fn up(
        topology: &Topology,
        record: Option<RecordFile>,
        monitor: Option<&'m Monitor>,
        report: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Self> {
        let entry = refuse_commands(topology).and_then(|()| match &record {
            Some(file) => Record::of_process(file.path()),
            None => Ok(Record::empty(Path::new("/").to_owned())),
        });
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                record.map_or(Ok(()), RecordFile::remove)?;
                return Err(error);
            }
        };
        if let Some(monitor) = monitor.filter(|_| topology.cables.iter().any(|cable| cable.policy.is_some()))
        {
            entry.programs.insert(Place::Host, vec![monitor.program_ids()]);
        }
        let store = record.map_or_else(Store::nowhere, Store::held);
        let mut lab = Self::new(store, entry, monitor);
        let mut changes = Vec::new();
        let Err(error) = lab.work(topology, &mut changes, report).map(drop) else { return Ok(lab) };
        if changes.is_empty() {
            // Refused before anything was made.
            lab.store.remove(&lab.record)?;
            return Err(error);
        }
        if !lab.store.is_nowhere() {
            // They are found by their names, and there may be no descriptor left to look at them with.
            lab.held.clear();
        }
        Err(match lab.down(&mut |_| ControlFlow::Continue(())) {
            Ok(_) => Error::RolledBack(Box::new(error)),
            Err(rollback) => Error::NotRolledBack { why: Box::new(error), rollback: Box::new(rollback) },
        })
    }

    /// What a process that is gone has left, by its record; `None` if that says nothing.
    ///
    /// # Errors
    /// If the record makes no sense.
    pub fn left_by(record: RecordFile) -> Result<Option<Self>> {
        let path = record.path().to_owned();
        let entry = Record::of_lines(record.lines()).map_err(|why| {
            let error = io::Error::new(io::ErrorKind::InvalidData, why);
            Error::system(format!("read record {}", path.display()))(error)
        })?;
        let store = Store::held(record);
        Ok(entry.map(|record| Self::new(store, record, None)))
    }

    const fn new(store: Store, record: Record, monitor: Option<&'m Monitor>) -> Self {
        Self {
            store,
            record,
            monitor,
            held: OpenNamespaces::new(),
            barriers: BTreeMap::new(),
            ways_out: Vec::new(),
            way_out_notices: None,
        }
    }

    /// Makes it what another topology says, as [`Lab::up`](crate::Lab::up) does after an edit; what was changed. If that fails,
    /// all of it can still be taken down.
    ///
    /// # Errors
    /// As [`Self::up`], but nothing is undone.
    pub fn change(
        &mut self,
        topology: &Topology,
        report: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Change>> {
        refuse_commands(topology)?;
        let mut changes = Vec::new();
        self.work(topology, &mut changes, report)?;
        Ok(changes)
    }

    /// Takes all of it down; what was done, and what was left because something of somebody else is in its place. Every step is
    /// tried, whatever becomes of those before it.
    ///
    /// # Errors
    /// What the kernel refused; what is left stays on record.
    pub fn down(mut self, report: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>) -> Result<Done> {
        let mut changes = Vec::new();
        let ports = self.record.cables.iter().flatten().filter(|end| end.place.is_host());
        let ports: Vec<u32> = ports.filter_map(|end| end.index).collect();
        let nothing = Topology::default();
        let mut taken = self.work(&nothing, &mut changes, report);
        if let Err(failure) = &taken {
            // What was refused for a moment must not stay for good: few look for it once this process is gone.
            log::warn!("take down: {failure}; trying again");
            taken = self.work(&nothing, &mut changes, report);
        }
        let done = Done { changes, was_up: true, left: taken? };
        if !self.store.is_nowhere() {
            finish(self.store, &self.record)?;
        }
        if let Some(monitor) = self.monitor {
            for slot in ports.into_iter().filter_map(|index| monitor.slot(index)) {
                monitor.release(slot)?;
            }
        }
        Ok(done)
    }

    fn work(
        &mut self,
        topology: &Topology,
        changes: &mut Vec<Change>,
        report: &mut ProgressReport<'_>,
    ) -> Result<Vec<String>> {
        let mut work = Work::new(&self.store, report);
        work.monitor = self.monitor;
        work.held = std::mem::take(&mut self.held);
        work.barriers = std::mem::take(&mut self.barriers);
        let outcome = converge(&mut work, topology, &mut self.record, changes);
        let left = std::mem::take(&mut work.left);
        (self.held, self.barriers) = (work.held, work.barriers);
        self.ways_out.clone_from(&topology.ways_out);
        self.way_out_notices = None;
        outcome.map(|()| left)
    }

    /// A namespace of this name that was made; `None` if there is none.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.held.get(&Place::Namespace(name.to_owned()))
    }

    /// The indexes of its bridges and of the ends of its cables.
    #[must_use]
    pub fn indexes(&self) -> BTreeMap<LinkName, u32> {
        self.record.every_link().filter_map(|known| Some((known.link()?, known.index?))).collect()
    }

    /// The barrier behind the host's ports, if a policy is enforced at one.
    pub fn barrier(&mut self) -> Option<&mut Barrier> {
        self.barriers.get_mut(&Place::Host)
    }
}

/// Commands are found again by the record of a file.
fn refuse_commands(topology: &Topology) -> Result<()> {
    match topology.commands.first() {
        Some(command) => Err(Error::Conflict(vec![format!(
            "{}: run {}: only the topology of a file runs commands",
            command.namespace, command.command
        )])),
        None => Ok(()),
    }
}
