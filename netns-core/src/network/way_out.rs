//! What a network has that lets its sandboxes out.

use super::options::NetworkOptions;
use super::plan::Plan;
use crate::nat::{self, ForwardingNeeds, Nat, NatOptions};
use crate::route::RouteNotices;
use crate::{IfName, Namespace, Result};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What a network that lets its sandboxes out has beside others.
#[derive(Debug, Default)]
pub(super) struct WayOut {
    pub(super) nat: OnceLock<Mutex<Nat>>,
    /// Notices of the host's routes, once somebody has asked whether the way out is whole.
    pub(super) routes: Mutex<Option<RouteNotices>>,
    /// [`NetworkOptions::uplinks`] and [`NetworkOptions::publish_on_loopback`].
    pub(super) leads: OnceLock<(Option<Vec<IfName>>, bool)>,
    /// Whether rules of ours are put into chains of others.
    pub(super) opens: AtomicBool,
    /// Whether anything was ever published: a sandbox of which nothing was is dropped without a look.
    pub(super) used: AtomicBool,
    /// Sandboxes that are gone whose ports could not be withdrawn.
    left: Mutex<Vec<u32>>,
}

/// The name of a network's table, as its barriers have one.
pub(super) fn table_name(plan: &Plan) -> String {
    let mac: String = plan.host_mac().to_string().split(':').collect();
    nat::name_of(&mac)
}

/// What a network needs of the host.
pub(super) fn forwarding_needs(options: &NetworkOptions) -> ForwardingNeeds<'_> {
    ForwardingNeeds {
        bridge: options.name,
        uplinks: options.uplinks.as_deref(),
        ipv4: options.subnet_v4.is_some(),
        ipv6: options.subnet_v6.is_some(),
        loopback: options.publish_on_loopback,
    }
}

/// How the table of a network is.
pub(super) fn nat_options(plan: &Plan, options: &NetworkOptions) -> NatOptions {
    NatOptions {
        masquerade: options.masquerade,
        loopback: options.publish_on_loopback,
        connection_limit: options.connection_limit,
        resolvers: options.resolvers.clone(),
        redirects: options.redirects.clone(),
        ..NatOptions::new(plan.root(), plan.host_mac(), [plan.v4, plan.v6].into_iter().flatten().collect())
    }
}

impl WayOut {
    pub(super) fn nat(&self) -> Option<MutexGuard<'_, Nat>> {
        // No exchange with the kernel can stop in the middle: the next one recognises answers that are not its own.
        self.nat.get().map(|nat| nat.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Vec<u32>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away what a process that is gone left of a network's way out, in the calling thread's namespace.
pub(super) fn remove_left(plan: &Plan) -> Result<()> {
    nat::remove(&Namespace::current()?, &table_name(plan)).map(drop)
}
