//! What a network and its sandboxes share.

use super::fabric::{Fabric, Place, barrier_name};
use super::names::LeftName;
use super::notices::Books;
use super::options::NetworkOptions;
use super::program::PortProgram;
use super::requests::Recipe;
use crate::barrier::{self, Barrier, Unjudged};
use crate::namespace::{NamespaceId, this_process};
use crate::{Error, Namespace, Result};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The state of a network.
#[derive(Debug)]
pub(super) struct Shared {
    /// The process that made it.
    process: Option<u64>,
    pub(super) recipe: Recipe,
    pub(super) home_id: NamespaceId,
    pub(super) program: Option<Arc<dyn PortProgram>>,
    pub(super) patience: Duration,
    pub(super) backlog: u32,
    books: Mutex<Books>,
    /// The bridges, the first of which is always there. One lock for each, so that threads seldom meet.
    pub(super) places: Box<[OnceLock<Place>]>,
    fabric: Mutex<Fabric>,
    /// Whether the folder of named namespaces was made ready.
    pub(super) names: OnceLock<()>,
    /// Names of dropped sandboxes that could not be removed.
    pub(super) left_names: Mutex<Vec<LeftName>>,
}

impl Shared {
    pub(super) fn create(home: Namespace, options: &NetworkOptions) -> Result<Self> {
        let home_id = home.id()?;
        let (fabric, plan, first) = Fabric::create(home, options)?;
        let places: Box<[OnceLock<Place>]> = (0..plan.shards()).map(|_| OnceLock::new()).collect();
        places[0].get_or_init(|| first);
        Ok(Self {
            process: this_process(),
            recipe: Recipe::new(plan, options, fabric.has_ipv6())?,
            home_id,
            program: options.program.clone(),
            patience: options.patience,
            backlog: options.reclaim_backlog,
            books: Mutex::new(Books::new(plan.capacity, plan.per_bridge)),
            places,
            fabric: Mutex::new(fabric),
            names: OnceLock::new(),
            left_names: Mutex::default(),
        })
    }

    /// Whether this is the process that made it. A fork has a copy of everything, and shares the sockets; what it did with
    /// them would happen to its parent, which takes the answers, or the forks would take each other's. So it does nothing,
    /// and takes no lock, which another thread may have held when the fork was made.
    pub(super) fn is_ours(&self) -> bool {
        self.process == this_process()
    }

    /// An error in a fork.
    pub(super) fn check_process(&self, operation: &'static str) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let why = "the network belongs to the process that this one was forked from";
        Err(Error::invalid(operation, self.recipe.plan.name.to_string(), why))
    }

    /// The bridge of a sandbox, made if it is not there yet.
    pub(super) fn place(&self, number: u32) -> Result<&Place> {
        let plan = &self.recipe.plan;
        let shard = plan.shard(number);
        let place = &self.places[shard as usize];
        if let Some(place) = place.get() {
            return Ok(place);
        }
        let mut fabric = self.fabric();
        // Somebody else may have made it meanwhile.
        if place.get().is_none() {
            let ends = plan.leaf(shard).ends();
            let program = self.program.as_ref().map(|program| program.join(ends)).transpose()?.flatten();
            let made = fabric.create_place(plan, shard, program);
            if let (Err(_), Some(program)) = (&made, &self.program) {
                program.part(ends);
            }
            let made = made?;
            place.get_or_init(|| made);
        }
        drop(fabric);
        place.get().ok_or_else(|| Error::invalid("create sandbox", plan.name.to_string(), "it has no bridge"))
    }

    /// The namespace that the network was made in, and the first bridge is in.
    pub(super) fn home(&self) -> &Namespace {
        let first = self.places[0].get().expect("a network is made with its first bridge");
        &first.namespace
    }

    fn home_barrier(&self) -> Option<&Mutex<Barrier>> {
        self.places[0].get().and_then(|place| place.barrier.as_ref())
    }

    /// What the barriers dropped since the last call; made anew where somebody took one away, and how many those were.
    pub(super) fn take_unjudged(&self) -> Result<(Vec<Unjudged>, u32)> {
        let (mut found, mut lost) = (Vec::new(), 0);
        for barrier in self.places.iter().filter_map(OnceLock::get).filter_map(|place| place.barrier.as_ref())
        {
            let mut barrier = barrier.lock().unwrap_or_else(PoisonError::into_inner);
            if !barrier.is_whole()? {
                barrier.restore()?;
                lost += 1;
            }
            found.extend(barrier.unjudged()?);
        }
        if let Some(program) = &self.program {
            program.unjudged(&found);
        }
        Ok((found, lost))
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        // No change of the numbers can stop in the middle.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // As with the places' sockets.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // What cannot be removed now is left.
        let _ = self.remove_left_names();
        let plan = self.recipe.plan;
        self.fabric().delete(&plan);
        // Those of further bridges go with their namespaces. Nothing passes this one any more.
        if self.home_barrier().is_some() {
            let _ = barrier::remove(self.home(), &barrier_name(&plan));
        }
        if let Some(program) = &self.program {
            let further = (0..).zip(&self.places).skip(1).filter(|(_, place)| place.get().is_some());
            further.for_each(|(shard, _)| program.part(plan.leaf(shard).ends()));
        }
    }
}
