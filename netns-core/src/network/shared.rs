//! What a network and its sandboxes share.

use super::fabric::{Fabric, Place};
use super::ledger::Ledger;
use super::options::NetworkOptions;
use super::program::PortProgram;
use super::requests::Recipe;
use crate::namespace::NamespaceId;
use crate::{Error, Namespace, Result};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The state of a network.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) recipe: Recipe,
    pub(super) home_id: NamespaceId,
    pub(super) program: Option<Arc<dyn PortProgram>>,
    pub(super) patience: Duration,
    pub(super) backlog: u32,
    ledger: Mutex<Ledger>,
    /// The bridges, the first of which is always there. One lock for each, so that threads seldom meet.
    pub(super) places: Box<[OnceLock<Place>]>,
    fabric: Mutex<Fabric>,
    /// Whether the folder of named namespaces was made ready.
    pub(super) names: OnceLock<()>,
}

impl Shared {
    pub(super) fn create(home: Namespace, options: &NetworkOptions) -> Result<Self> {
        let home_id = home.id()?;
        let (fabric, plan, first) = Fabric::create(home, options)?;
        let places: Box<[OnceLock<Place>]> = (0..plan.shards()).map(|_| OnceLock::new()).collect();
        places[0].get_or_init(|| first);
        Ok(Self {
            recipe: Recipe::new(plan, options, fabric.has_ipv6())?,
            home_id,
            program: options.program.clone(),
            patience: options.patience,
            backlog: options.reclaim_backlog,
            ledger: Mutex::new(Ledger::new(&plan)),
            places,
            fabric: Mutex::new(fabric),
            names: OnceLock::new(),
        })
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

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No change of the numbers can stop in the middle.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // As with the places' sockets.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let plan = self.recipe.plan;
        self.fabric().delete(&plan);
        if let Some(program) = &self.program {
            let further = (0..).zip(&self.places).skip(1).filter(|(_, place)| place.get().is_some());
            further.for_each(|(shard, _)| program.part(plan.leaf(shard).ends()));
        }
    }
}
