//! A bridge where it is: its namespace, a socket there, the kernel's notices of its ports, and the barrier behind them.

use super::plan::Plan;
use super::reclaim::Reclaim;
use crate::barrier::{self, Barrier};
use crate::{Namespace, Result, RouteSocket};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A bridge, where it is.
#[derive(Debug)]
pub(super) struct BridgePlace {
    /// The namespace of the bridge and its ports.
    pub(super) namespace: Namespace,
    socket: Mutex<RouteSocket>,
    /// Its ports that are gone.
    pub(super) reclaim: Reclaim,
    /// Behind its ports, if the program marks what it sees.
    pub(super) barrier: OnceLock<Mutex<Barrier>>,
}

impl BridgePlace {
    pub(super) fn new(namespace: Namespace, plan: &Plan) -> Result<Self> {
        let reclaim = namespace.enter(|| Reclaim::open(plan.root()))??;
        let socket = Mutex::new(RouteSocket::open_in(&namespace)?);
        Ok(Self { socket, reclaim, barrier: OnceLock::new(), namespace })
    }

    /// Puts a barrier behind its ports against what does not carry `stamp`.
    pub(super) fn raise_barrier(&self, plan: &Plan, stamp: u32) -> Result<()> {
        let ports = barrier::BarrierPorts::Indexes(plan.ports());
        let barrier = Barrier::create(&self.namespace, &barrier_name(plan), ports, stamp)?;
        self.barrier.get_or_init(|| Mutex::new(barrier));
        Ok(())
    }

    /// The same, in place of the one that a process which is gone left; without a stamp, there is none then.
    pub(super) fn replace_barrier(&self, plan: &Plan, stamp: Option<u32>) -> Result<()> {
        let Some(stamp) = stamp else {
            return barrier::remove(&self.namespace, &barrier_name(plan)).map(drop);
        };
        let ports = barrier::BarrierPorts::Indexes(plan.ports());
        let barrier = Barrier::replace(&self.namespace, &barrier_name(plan), ports, stamp)?;
        self.barrier.get_or_init(|| Mutex::new(barrier));
        Ok(())
    }

    pub(super) fn socket(&self) -> MutexGuard<'_, RouteSocket> {
        // A panic in the middle of an exchange leaves answers behind that the next one recognises as not its own.
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a network's barriers: no other network of the namespace has its window, and a later one of the same window
/// has another MAC address.
pub(super) fn barrier_name(plan: &Plan) -> String {
    let mac: String = plan.host_mac().to_string().split(':').collect();
    format!("netns-barrier-{mac}")
}
