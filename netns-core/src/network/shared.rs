//! What a network and its sandboxes share.

use super::books::Books;
use super::fabric::Fabric;
use super::ledger::Ticket;
use super::names::{self, LeftName};
use super::options::NetworkOptions;
use super::place::{BridgePlace, barrier_name};
use super::program::PortProgram;
use super::recorded::NetworkRecord;
use super::requests::Recipe;
use super::way_out::WayOut;
use crate::barrier::{self, Barrier, Unjudged};
use crate::error::Operation;
use crate::namespace::{NamespaceId, this_process};
use crate::record::undo_twice;
use crate::{Error, Namespace, Result, RouteSocket};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The state of a network.
#[derive(Debug)]
pub(super) struct Shared {
    /// The process that made it.
    process: Option<u64>,
    /// Whether it is this process's to change: not until it is taken over as a whole.
    owned: AtomicBool,
    record: Option<NetworkRecord>,
    pub(super) recipe: Recipe,
    pub(super) home_id: NamespaceId,
    pub(super) program: Option<Arc<dyn PortProgram>>,
    pub(super) patience: Duration,
    pub(super) backlog: u32,
    books: Mutex<Books>,
    /// The bridges, the first of which is always there. One lock for each, so that threads seldom meet.
    pub(super) places: Box<[OnceLock<BridgePlace>]>,
    fabric: Mutex<Fabric>,
    /// Whether the folder of named namespaces was made ready.
    pub(super) names: OnceLock<()>,
    /// Names of dropped sandboxes that could not be removed.
    pub(super) left_names: Mutex<Vec<LeftName>>,
    /// Dropped sandboxes, of namespaces that somebody else made, whose ports could not be deleted.
    left_ports: Mutex<Vec<Ticket>>,
    /// Of a network that lets them out.
    pub(super) way_out: WayOut,
    /// [`NetworkOptions::resolvers`].
    pub(super) resolvers: Box<[IpAddr]>,
}

impl Shared {
    pub(super) fn create(home: Namespace, options: &NetworkOptions) -> Result<Self> {
        // What is wrong with the options is found before anything is made.
        let sysctls = Recipe::sysctls(options)?;
        let mut record = NetworkRecord::begin(&home, options)?;
        let made = super::check_routes(options).and_then(|()| {
            let home_id = home.id()?;
            Fabric::create(home, options, record.as_mut()).map(|made| (home_id, made))
        });
        match made {
            Ok((home_id, (fabric, plan, first))) => {
                let recipe = Recipe::new(plan, options, fabric.has_ipv6(), sysctls);
                let shared = Self::assemble(home_id, options, recipe, (fabric, first), record, true);
                shared.introduce_bridge()?;
                shared.open_way_out(options)?;
                Ok(shared)
            }
            Err(error) => {
                // The reason that matters is the first one.
                let end = |record: NetworkRecord| record.end(&mut undo_twice(RouteSocket::open)?);
                let _ = record.map(end).transpose();
                Err(error)
            }
        }
    }

    /// Puts together what a network consists of. Of one that is not `owned` nothing is removed when it is dropped.
    pub(super) fn assemble(
        home_id: NamespaceId,
        options: &NetworkOptions,
        recipe: Recipe,
        (fabric, first): (Fabric, BridgePlace),
        record: Option<NetworkRecord>,
        owned: bool,
    ) -> Self {
        let plan = recipe.plan;
        let places: Box<[OnceLock<BridgePlace>]> = (0..plan.shards()).map(|_| OnceLock::new()).collect();
        places[0].get_or_init(|| first);
        Self {
            process: this_process(),
            owned: AtomicBool::new(owned),
            record,
            recipe,
            home_id,
            program: options.program.clone(),
            patience: options.patience,
            resolvers: options.resolvers.clone().into(),
            backlog: options.reclaim_backlog,
            books: Mutex::new(Books::new(plan.capacity, plan.per_bridge, options.program.is_some())),
            places,
            fabric: Mutex::new(fabric),
            names: OnceLock::new(),
            left_names: Mutex::default(),
            left_ports: Mutex::default(),
            way_out: WayOut::default(),
        }
    }

    /// Lets the program know the first bridge.
    pub(super) fn introduce_bridge(&self) -> Result<()> {
        match &self.program {
            Some(program) => program.bridge(self.home(), self.recipe.plan.root()),
            None => Ok(()),
        }
    }

    pub(super) const fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    pub(super) const fn record(&self) -> Option<&NetworkRecord> {
        self.record.as_ref()
    }

    /// From now on, what is dropped is removed.
    pub(super) fn own(&self) {
        self.owned.store(true, Ordering::Relaxed);
    }

    /// Whether it is this process's. A fork has a copy of everything, and shares the sockets; what it did with
    /// them would happen to its parent, which takes the answers, or the forks would take each other's. So it does nothing,
    /// and takes no lock, which another thread may have held when the fork was made.
    pub(super) fn is_ours(&self) -> bool {
        self.process == this_process() && self.owned.load(Ordering::Relaxed)
    }

    /// An error in a fork.
    pub(super) fn check_process(&self, operation: Operation) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let why = "the network belongs to the process that this one was forked from";
        Err(Error::invalid(operation, self.recipe.plan.name.to_string(), why))
    }

    /// The bridge of a sandbox, made if it is not there yet.
    pub(super) fn place(&self, number: u32) -> Result<&BridgePlace> {
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
        place.get().ok_or_else(|| {
            Error::invalid(Operation::CreateSandbox, plan.name.to_string(), "it has no bridge")
        })
    }

    /// The namespace that the network was made in, and the first bridge is in.
    pub(super) fn home(&self) -> &Namespace {
        let first = self.places[0].get().expect("a network is made with its first bridge");
        &first.namespace
    }

    fn home_barrier(&self) -> Option<&Mutex<Barrier>> {
        self.places[0].get().and_then(|place| place.barrier.get())
    }

    /// What the barriers dropped since the last call; made anew where somebody took one away, and how many those were.
    pub(super) fn take_unjudged(&self) -> Result<(Vec<Unjudged>, u32)> {
        let (mut found, mut lost, mut outcome) = (Vec::new(), 0, Ok(()));
        for barrier in self.places.iter().filter_map(OnceLock::get).filter_map(|place| place.barrier.get()) {
            let mut barrier = barrier.lock().unwrap_or_else(PoisonError::into_inner);
            let mut take = || -> Result<Vec<Unjudged>> {
                if !barrier.is_whole()? {
                    barrier.restore()?;
                    lost += 1;
                }
                barrier.unjudged()
            };
            // What the others have counted they do not report again.
            match take() {
                Ok(dropped) => found.extend(dropped),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        if let Some(program) = &self.program {
            program.unjudged(&found);
        }
        outcome.map(|()| (found, lost))
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        // No change of the numbers can stop in the middle.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn left_ports(&self) -> MutexGuard<'_, Vec<Ticket>> {
        self.left_ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // As with the places' sockets.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Removes the name of the namespace that `socket` is in, or remembers to do so later.
    pub(super) fn remove_name(&self, name: Box<str>, socket: RouteSocket) {
        if !self.is_ours() {
            return;
        }
        if let Err(error) = names::remove(&name, socket.as_fd()) {
            let left = LeftName::new(name, socket, &error);
            self.left_names.lock().unwrap_or_else(PoisonError::into_inner).push(left);
        }
    }

    /// Tries again to remove names that could not be removed.
    ///
    /// # Errors
    /// Why one of them cannot be removed now.
    pub(super) fn remove_left_names(&self) -> Result<()> {
        let mut outcome = Ok(());
        let mut left = self.left_names.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain_mut(|name| {
            let removed = name.remove();
            let remains = removed.is_err();
            if outcome.is_ok() {
                outcome = removed;
            }
            remains
        });
        outcome
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // What cannot be removed now is left, and stays on record.
        let (names, ports) = (self.remove_left_names(), self.unplug_left());
        let plan = self.recipe.plan;
        let way_out = self.close_way_out();
        self.fabric().delete(&plan);
        // Those of further bridges go with their namespaces. Nothing passes this one any more.
        let barrier = match self.home_barrier() {
            Some(_) => undo_twice(|| barrier::remove(self.home(), &barrier_name(&plan))).map(drop),
            None => Ok(()),
        };
        let gone = names.and(ports).and(barrier).and(way_out);
        if let (Ok(()), Some(record)) = (gone, self.record.take()) {
            let _ = self.fabric().end(record);
        }
        if let Some(program) = &self.program {
            let further = (0..).zip(&self.places).skip(1).filter(|(_, place)| place.get().is_some());
            further.for_each(|(shard, _)| program.part(plan.leaf(shard).ends()));
            program.bridge_gone(plan.root());
        }
    }
}
