//! Networks of sandboxes: namespaces with an `eth0`, addresses and a bridge port, made and dropped at the kernel's
//! own speed.
//!
//! ```
//! use netns_core::network::{Network, NetworkOptions};
//! use netns_core::ping::{Ping, ping};
//! use netns_core::{IfName, Namespace};
//!
//! # if !netns_core::is_privileged() { return Ok(()); }
//! # Namespace::anonymous()?.enter(|| {
//! let options = NetworkOptions {
//!     subnet_v4: Some("10.99.0.0/16".parse()?),
//!     ..NetworkOptions::new(IfName::new("sandboxes")?)
//! };
//! let network = Network::create(&options)?;
//! let (one, two) = (network.create_sandbox()?, network.create_sandbox()?);
//! let report = ping(one.namespace()?, &Ping::new(two.address_v4().unwrap().address()))?;
//! assert!(report.all_received());
//! drop(one);
//! # Ok::<(), netns_core::Error>(())
//! # })??;
//! # Ok::<(), netns_core::Error>(())
//! ```
//!
//! # How sandboxes reach each other
//!
//! They are on one subnet, at layer 2. Frames go where they are addressed, and nowhere else: no port learns or floods.
//! Who has an address is answered by the kernel, in one place, so that asking costs the same with ten sandboxes and
//! with ten thousand. Broadcasts and multicasts reach the host; other sandboxes only if
//! [`NetworkOptions::broadcast`] says so. An address that a sandbox gives itself beside its own is not reachable.
//!
//! # What is given back when
//!
//! Dropping a [`Sandbox`] only closes it. The kernel reclaims it some milliseconds later, together with others, and
//! says so; only then is its number, with its address, MAC address, port name and slot, given out again.
//! [`Network::reclaiming`] and [`Network::wait_reclaimed`] say so; [`Network::delete`] does not leave it to the kernel.
//!
//! A process that is killed leaves the first bridge, the names of named sandboxes, and the sandboxes that processes or
//! names hold. [`RecordedNetwork`] lists such networks, takes them over ([`RecordedNetwork::open`]) or removes them.
//!
//! # Limits
//!
//! 64,512 sandboxes a network by the interface indexes it reserves; beyond that, the kernel's
//! `user.max_net_namespaces`, a descriptor for each sandbox (`RLIMIT_NOFILE`), and memory. Sandboxes that talk to
//! each other, and not only to the host, fill the kernel's neighbour table, which all namespaces share:
//! `net.ipv4.neigh.default.gc_thresh3`, 1,024 unless raised, limits how many such acquaintances there are at once.
#![forbid(unsafe_code)]

mod adopt;
mod attempt;
mod books;
mod chunks;
mod claim;
mod fabric;
mod ledger;
mod limit;
mod names;
mod notices;
mod options;
mod place;
mod plan;
mod pool;
mod program;
mod publish;
mod reclaim;
mod recorded;
mod requests;
mod responder;
mod root;
mod sandbox;
mod settings;
mod shared;
mod way_out;

pub use options::{NetworkOptions, RecordPlace};
pub use pool::{Pool, PoolOptions};
pub use program::{PortInfo, PortProgram};
pub use recorded::RecordedNetwork;
pub use sandbox::Sandbox;

use crate::barrier::Unjudged;
use crate::error::{Cause, Operation};
use crate::link::{self, LinkChange};
use crate::sys::deadline::Deadline;
use crate::wire::{Batch, IfInfoMsg};
use crate::{Error, IpNet, MacAddress, Namespace, Result, RouteSocket, route};
use attempt::Where;
use shared::Shared;
use std::sync::Arc;
use std::time::Duration;

/// How many ports are deleted in one request. The kernel makes nobody else a link meanwhile.
const DELETED_AT_ONCE: usize = 64;

/// A network of sandboxes. Cloning it gives another handle on the same one.
///
/// The bridges go when the last handle and the last [`Sandbox`] have been dropped.
///
/// It may be shared between threads, which make sandboxes at once. It belongs to the process that made it: in a fork,
/// everything that would change it is an error, dropping it or a sandbox closes the fork's descriptors and nothing else,
/// and a sandbox can still be entered. A fork that goes on without executing another program keeps the sandboxes that
/// it has descriptors of alive.
#[derive(Debug, Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

impl Network {
    /// Makes a network in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the options contradict themselves; if a subnet overlaps with a route of the host, or the name is taken:
    /// nothing that exists is adopted or shadowed. Else the kernel's reason. Nothing is left then.
    pub fn create(options: &NetworkOptions) -> Result<Self> {
        Shared::create(Namespace::current()?, options).map(|shared| Self { shared: Arc::new(shared) })
    }

    /// Whether it is on record: see [`RecordPlace`].
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.shared.is_recorded()
    }

    /// Makes a sandbox in an anonymous namespace. The calling thread, whichever namespace it is in, stays there.
    ///
    /// What it returns works: the first packet to any other sandbox or the host goes through at once.
    ///
    /// Whether the kernel will let the thread back into its own namespace is tried before it leaves: a process that has
    /// entered a user namespace gets an error. The main thread tries it for every sandbox, others for their first one,
    /// since only the main thread can enter a user namespace.
    ///
    /// # Errors
    /// `EPERM` if the thread could not return to its own namespace;
    /// [`Cause::Exhausted`] if a limit is reached and [`NetworkOptions::patience`] is over; else the request that the
    /// kernel refused, and why. Nothing is left then.
    pub fn create_sandbox(&self) -> Result<Sandbox> {
        Shared::create_sandbox(&self.shared, Where::New(None))
    }

    /// Makes a sandbox in a named namespace, as [`Namespace::create`] and `ip netns add` make them. The name goes
    /// with the sandbox.
    ///
    /// A process that is killed while it makes or drops one may leave the name without a namespace, an empty file that is
    /// not a mount: `EEXIST` until [`Namespace::delete`] removes it. A name that stands for a sandbox is found by
    /// [`RecordedNetwork`].
    ///
    /// # Errors
    /// As [`Network::create_sandbox`]; `EEXIST` if the name is taken.
    pub fn create_named_sandbox(&self, name: &str) -> Result<Sandbox> {
        Shared::create_sandbox(&self.shared, Where::New(Some(name)))
    }

    /// Makes a sandbox of a namespace that somebody else has made: a container runtime, or a job in a user namespace of its
    /// own. It gets an `eth0` with an address and a port like any other; `lo` is brought up. The calling thread, whichever
    /// namespace it is in, stays there.
    ///
    /// Dropping the sandbox gives the namespace back: it deletes the port, which takes `eth0` with it and takes the kernel
    /// some 16 ms, and leaves the namespace, its processes and its other interfaces alone. If the deletion fails,
    /// [`Network::reclaiming`] and [`Network::wait_reclaimed`] try again and return the error.
    ///
    /// ```
    /// use netns_core::network::{Network, NetworkOptions};
    /// use netns_core::{IfName, Namespace};
    ///
    /// # if !netns_core::is_privileged() { return Ok(()); }
    /// # Namespace::anonymous()?.enter(|| {
    /// let subnet_v4 = Some("10.99.0.0/16".parse()?);
    /// let network = Network::create(&NetworkOptions { subnet_v4, ..NetworkOptions::new(IfName::new("sandboxes")?) })?;
    /// let container = Namespace::anonymous()?; // or `Namespace::of_pid(pid)?`
    /// let sandbox = network.create_sandbox_in(&container)?;
    /// assert_eq!(sandbox.namespace()?.id()?, container.id()?);
    /// # Ok::<(), netns_core::Error>(())
    /// # })??;
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Network::create_sandbox`]; if it is the network's own namespace, or has an `eth0`, or a default route where
    /// [`NetworkOptions::default_route`] asks for one. Nothing is left then, but that `lo` may be up.
    pub fn create_sandbox_in(&self, namespace: &Namespace) -> Result<Sandbox> {
        if namespace.id()? == self.shared.home_id {
            let why = "it is the namespace of the network's bridge";
            return Err(Error::invalid(
                Operation::CreateSandbox,
                self.shared.recipe.plan.name.to_string(),
                why,
            ));
        }
        Shared::create_sandbox(&self.shared, Where::Lent(namespace))
    }

    /// The index of the first bridge.
    #[must_use]
    pub fn bridge(&self) -> u32 {
        self.shared.recipe.plan.root()
    }

    /// The host's MAC address on the network.
    #[must_use]
    pub fn mac(&self) -> MacAddress {
        self.shared.recipe.plan.host_mac()
    }

    /// The host's addresses on the network, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpNet> {
        self.shared.recipe.plan.gateways()
    }

    /// How many sandboxes there can be at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.shared.recipe.plan.capacity
    }

    /// How many sandboxes there are; in a fork, none.
    #[must_use]
    pub fn sandboxes(&self) -> u32 {
        if !self.shared.is_ours() {
            return 0;
        }
        self.shared.books().ledger.used()
    }

    /// What the network's barriers have dropped since the last call: what came in by a sandbox's port and had got past the
    /// program there ([`PortProgram::stamp`]). The program is given it, too. Of a network without barriers, nothing.
    ///
    /// One dump of a set for each bridge, and one question before it whether the barrier is still there; a barrier that
    /// somebody took away is made again, and counted in [`BarrierReport::lost_barriers`]. While it was away, what it is there to
    /// stop has passed.
    ///
    /// # Errors
    /// If the kernel refuses. What the barriers of other bridges have dropped the program is given all the same.
    pub fn take_unjudged(&self) -> Result<BarrierReport> {
        self.shared.check_process(Operation::ReadBarriers)?;
        let (unjudged, lost_barriers) = self.shared.take_unjudged()?;
        Ok(BarrierReport { unjudged, lost_barriers })
    }

    /// How many dropped sandboxes the kernel has not reclaimed yet.
    ///
    /// # Errors
    /// If the kernel's notices cannot be read, or the name or the port of a dropped sandbox cannot be removed.
    pub fn reclaiming(&self) -> Result<u32> {
        self.shared.check_process(Operation::ReclaimSandboxes)?;
        self.shared.remove_left_names()?;
        self.shared.unplug_left()?;
        self.shared.withdraw_left()?;
        self.shared.read_notices()?;
        Ok(self.shared.books().coming())
    }

    /// Waits until the kernel has reclaimed all dropped sandboxes.
    ///
    /// # Errors
    /// [`Cause::TimedOut`] if it has not within `limit`: a process or a descriptor may hold one of them. As
    /// [`Network::reclaiming`].
    pub fn wait_reclaimed(&self, limit: Duration) -> Result<()> {
        let mut deadline = Deadline::new(limit);
        while self.reclaiming()? > 0 {
            if deadline.left().is_zero() {
                let object = self.shared.recipe.plan.name.to_string();
                return Err(Error::new(Operation::ReclaimSandboxes, object, Cause::TimedOut(limit)));
            }
            self.shared.wait_notice(&mut deadline)?;
        }
        Ok(())
    }

    /// Deletes sandboxes and waits until it is done, in requests of 64 ports each: dearer than dropping them, but
    /// their addresses and slots are free when it returns, and whatever still runs in them has lost its network.
    ///
    /// # Errors
    /// If one of them is another network's, and then none is deleted; if the kernel refuses. All the sandboxes are
    /// dropped then all the same.
    pub fn delete(&self, sandboxes: impl IntoIterator<Item = Sandbox>) -> Result<()> {
        self.shared.check_process(Operation::DeleteSandboxes)?;
        let plan = &self.shared.recipe.plan;
        let mut sandboxes: Vec<Sandbox> = sandboxes.into_iter().collect();
        if let Some(foreign) = sandboxes.iter().find(|one| !Arc::ptr_eq(one.claim.shared(), &self.shared)) {
            let theirs = foreign.claim.shared().recipe.plan.name;
            let why = format!("one of them is of the network {theirs}; none was deleted");
            return Err(Error::invalid(Operation::DeleteSandboxes, plan.name.to_string(), why));
        }
        // A port that somebody deleted is not there; what has its index now is not ours.
        self.shared.read_all_notices()?;
        let shared = &self.shared;
        let (dead, mut sandboxes): (Vec<_>, Vec<_>) =
            sandboxes.drain(..).partition(|one| shared.books().ledger.is_dead(one.claim.ticket));
        drop(dead);
        sandboxes.sort_unstable_by_key(Sandbox::number);
        let mut outcome = Ok(());
        for bridge in sandboxes.chunk_by(|a, b| plan.shard(a.number()) == plan.shard(b.number())) {
            for some in bridge.chunks(DELETED_AT_ONCE) {
                outcome = outcome.and(self.shared.delete_ports(some));
            }
        }
        drop(sandboxes);
        outcome.and_then(|()| self.shared.read_notices())
    }
}

/// What a network's barriers have done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierReport {
    /// What they dropped, by port.
    pub unjudged: Vec<Unjudged>,
    /// How many of them somebody had taken away.
    pub lost_barriers: u32,
}

/// Refuses subnets of which the host has a part already.
fn check_routes(options: &NetworkOptions) -> Result<()> {
    let routes = route::list(&mut RouteSocket::open()?)?;
    for subnet in [options.subnet_v4, options.subnet_v6].into_iter().flatten() {
        let overlap = routes
            .iter()
            .find(|route| !route.destination.is_default() && route.destination.overlaps(&subnet));
        if let Some(route) = overlap {
            let why = format!("the host has a route to {}", route.destination);
            return Err(Error::invalid(Operation::UseSubnet, subnet.to_string(), why));
        }
    }
    Ok(())
}

impl Shared {
    /// Deletes ports of one bridge by putting them in a group and deleting the group.
    fn delete_ports(&self, sandboxes: &[Sandbox]) -> Result<()> {
        let plan = &self.recipe.plan;
        let mut batch = Batch::new();
        let condemn = LinkChange { group: Some(plan.condemned_group()), ..LinkChange::default() };
        for sandbox in sandboxes {
            link::encode_set(&mut batch, plan.port(sandbox.number()), &condemn);
        }
        batch.message(libc::RTM_DELLINK, 0, &IfInfoMsg::default(), |attributes| {
            attributes.value(libc::IFLA_GROUP, plan.condemned_group());
        });
        let Some(first) = sandboxes.first() else { return Ok(()) };
        match self.place(first.number())?.socket().execute(&mut batch) {
            // Somebody else deleted one of them; the others are gone now, too.
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }
}
