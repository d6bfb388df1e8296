//! Namespaces leave, and take their links along.
//!
//! Removing a veth pair on a bridge keeps a caller for 16 ms; when the last reference to a namespace is dropped the
//! kernel removes all of its links by itself, and those of many namespaces at once (`cleanup_net` in
//! <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>). So the cables of namespaces that go are left
//! to them; then we wait until they are gone, and bridges go last, with as few ports as possible.

use super::{Executor, gone};
use crate::error::Result;
use crate::observe::Observed;
use crate::plan::Change;
use crate::processes;
use crate::record::Record;
use crate::topology::{LinkName, Place};
use netns_core::{ErrorKind, IfName, NamespaceId, link};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take from one link to the next, if no process is in the namespace. Then its cable is removed by
/// itself: somebody may have the namespace open.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long we look for such a process.
const LOOK: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(2);

/// What goes without being removed by us.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    namespaces: BTreeSet<Place>,
    /// The ends, in places that stay, of cables into those that go, which are the last.
    ends: Vec<(LinkName, u32, Place)>,
    /// Bridges, which are removed after those.
    bridges: Vec<(LinkName, u32)>,
    /// Those in which commands were started, until it is known whether a process is left in them.
    with_commands: BTreeMap<Place, NamespaceId>,
}

impl Leaving {
    /// Those that go by these changes. The record is that of before: the next of a name has no commands yet.
    pub(super) fn of(changes: &[Change], record: &Record) -> Self {
        let removed = |change: &Change| match change {
            Change::RemoveNamespace(name) => Some(Place::Namespace(name.clone())),
            _ => None,
        };
        let namespaces: BTreeSet<Place> = changes.iter().filter_map(removed).collect();
        let started = record.commands.iter().filter_map(|started| {
            let place = Place::Namespace(started.namespace.clone());
            let id = record.namespaces.get(&started.namespace)?.id;
            namespaces.contains(&place).then_some((place, id))
        });
        let with_commands = started.collect();
        Self { namespaces, with_commands, ..Self::default() }
    }

    /// Whether a change makes itself, or is made later.
    pub(super) fn takes(&mut self, change: &Change, observed: &Observed, record: &Record) -> bool {
        match change {
            Change::RemoveLink { link, other, .. } if self.namespaces.contains(&link.place) => {
                let other = other.as_ref().filter(|other| !self.namespaces.contains(&other.place));
                let end = other.and_then(|other| {
                    let now = record.every_link().find(|known| known.is(other));
                    let now = observed.ours(now?)?;
                    Some((as_called(other, now.name), now.index, link.place.clone()))
                });
                self.ends.extend(end);
                true
            }
            Change::RemoveLink { link, index, other: Some(other) } => {
                let goes = self.namespaces.contains(&other.place);
                if goes {
                    let links =
                        observed.inside(&link.place).into_iter().flat_map(|inside| inside.links.values());
                    let now = links.into_iter().find(|now| now.index == *index);
                    let name = now.map_or(link.name, |now| now.name);
                    self.ends.push((as_called(link, name), *index, other.place.clone()));
                }
                goes
            }
            Change::RemoveLink { link, index, other: None } => {
                self.bridges.push((link.clone(), *index));
                true
            }
            Change::RemoveSingle { link, .. } => self.namespaces.contains(&link.place),
            _ => false,
        }
    }
}

/// A link by the name that it has now.
fn as_called(link: &LinkName, name: IfName) -> LinkName {
    LinkName { place: link.place.clone(), name }
}

impl Executor<'_, '_> {
    /// Waits until what leaves with its namespaces has left, and removes the bridges.
    pub(super) fn finish_leaving(&mut self, leaving: &mut Leaving) -> Result<()> {
        let mut progress = Instant::now();
        for (end, index, namespace) in leaving.ends.drain(..) {
            let left = self.see_off(&end, index, &namespace, progress, &mut leaving.with_commands);
            self.work.attempt(left)?;
            if progress.elapsed() < PATIENCE {
                progress = Instant::now();
            }
            // A later link may have its index.
            self.unbar(&end.place, index)?;
        }
        for (bridge, index) in leaving.bridges.drain(..) {
            let removed = self.socket(&bridge.place).and_then(|socket| gone(link::delete(socket, index)));
            self.work.attempt(removed)?;
        }
        Ok(())
    }

    /// Waits until a cable has left with its namespace; removes it where that lives on.
    fn see_off(
        &mut self,
        end: &LinkName,
        index: u32,
        namespace: &Place,
        progress: Instant,
        with_commands: &mut BTreeMap<Place, NamespaceId>,
    ) -> Result<()> {
        let (began, mut looked) = (Instant::now(), false);
        while self.is_there(end, index)? {
            let mut holder = None;
            if !looked && began.elapsed() >= LOOK {
                (looked, holder) = (true, self.holder(namespace));
            }
            if let Some(pid) = holder {
                // Once is enough.
                with_commands.remove(namespace);
                log::warn!(
                    "namespace {namespace} lives on without its name: process {pid} is in it; its cable to {end} is \
                     removed"
                );
            }
            if holder.is_some() || progress.elapsed() >= PATIENCE {
                return gone(link::delete(self.socket(&end.place)?, index));
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Reports what commands have started and nobody has ended: a process that left its group and has no mark any more
    /// (`setsid env -i`) keeps its namespace, and where no cable leads out of that nothing else shows it.
    pub(super) fn report_survivors(leaving: &Leaving) {
        for (namespace, id) in &leaving.with_commands {
            if let Some(pid) = processes::inside(*id) {
                log::warn!("namespace {namespace} lives on without its name: process {pid} is in it");
            }
        }
    }

    /// A process in a namespace that has lost its name.
    fn holder(&self, namespace: &Place) -> Option<u32> {
        let Place::Namespace(name) = namespace else { return None };
        processes::inside(self.record.namespaces.get(name)?.id)
    }

    fn is_there(&mut self, end: &LinkName, index: u32) -> Result<bool> {
        match link::get(self.socket(&end.place)?, index) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            // A later link may have its index already.
            other => Ok(other?.name == end.name),
        }
    }
}
