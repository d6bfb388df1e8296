//! The bridges that act as one.
//!
//! The first bridge is the host's: it has the addresses of the host, the responder, and the first sandboxes. When
//! their number outgrows it, further bridges are made, each joined to the first by a trunk, a veth pair. So it is a
//! star, and no loop can be. Every bridge knows the MAC addresses of its own sandboxes by fixed entries and sends
//! everything else up its trunk; the first one knows the addresses behind every trunk, and sends what it does not know
//! nowhere. So nothing has to be learnt, and nothing is flooded but questions on their way to the responder.
//!
//! Each further bridge, with its ports, is in a namespace of its own. Not to hide it: several things that the kernel
//! does for each change of a link take as long as there are links in its namespace or namespaces that it knows
//! (`__peernet2id` in <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>, a walk of the IPv6
//! routes in <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/route.c>), so that with all ports in one, the
//! 4,000th sandbox takes half as long again as the first.

use super::chunks::Chunks;
use super::limit::explain_limit;
use super::options::NetworkOptions;
use super::place::BridgePlace;
use super::plan::Plan;
use super::recorded::NetworkRecord;
use super::requests::encode_trunk_program;
use super::responder::Responder;
use super::root::{self, LOOK_AGAIN};
use super::settings::{UP, WITHOUT_IPV6, silent};
use crate::bridge::{self, Bridge, PortOptions};
use crate::error::Operation;
use crate::link::{self, AddrGenMode, Link, LinkChange};
use crate::neighbour::{self, FdbEntry, Neighbour};
use crate::record::undo_twice;
use crate::sys::deadline::Deadline;
use crate::veth::{self, Veth};
use crate::wire::Batch;
use crate::{Error, Namespace, Result, RouteSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How long to wait at least, when a network is taken over, for what the kernel has to reclaim of the process before.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// What further bridges are made with.
#[derive(Debug)]
pub(super) struct Fabric {
    /// In the namespace of the first bridge.
    socket: RouteSocket,
    responder: Responder,
    options: FabricOptions,
}

#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, with a name")]
struct FabricOptions {
    mtu: Option<u32>,
    ipv6: bool,
    broadcast: bool,
    hairpins: bool,
    isolated: bool,
    permanent_neighbours: bool,
    /// What the program marks frames with.
    stamp: Option<u32>,
}

impl Fabric {
    /// Makes the first bridge and the responder in the namespace of the calling thread. Nothing is left of a failure.
    pub(super) fn create(
        home: Namespace,
        options: &NetworkOptions,
        record: Option<&mut NetworkRecord>,
    ) -> Result<(Self, Plan, BridgePlace)> {
        let mut socket = RouteSocket::open()?;
        let plan = root::create(&mut socket, options, record)?;
        let made = Self::furnish(socket, home, &plan, options);
        if made.is_err() {
            // The reason that matters is the first one.
            let _ = undo_twice(RouteSocket::open)
                .and_then(|mut socket| root::undo(&mut socket, plan.root(), plan.host_mac()));
        }
        made.map(|(fabric, place)| (fabric, plan, place))
    }

    /// Whether its links have IPv6, wanted or not.
    pub(super) const fn has_ipv6(&self) -> bool {
        self.options.ipv6
    }

    fn furnish(
        mut socket: RouteSocket,
        home: Namespace,
        plan: &Plan,
        options: &NetworkOptions,
    ) -> Result<(Self, BridgePlace)> {
        // A link has IPv6 if the kernel does, and its MTU is not below 1,280. The kernel itself says so best: `/proc` may
        // be hidden.
        let ipv6 = link::get(&mut socket, plan.root())?.addrgenmode.is_some();
        if let Some(subnet) = plan.v6.filter(|_| !ipv6) {
            let why =
                format!("its bridge has no IPv6 for {subnet}: the kernel has none, or the MTU is below 1280");
            return Err(Error::invalid(Operation::CreateNetwork, plan.name.to_string(), why));
        }
        root::raise(&mut socket, &home, plan, ipv6)?;
        let (fabric, place) = Self::complete(socket, home, plan, options, ipv6)?;
        // The last of what can fail: a barrier of a namespace that is not ours would stay.
        if let Some(stamp) = fabric.options.stamp {
            place.raise_barrier(plan, stamp)?;
        }
        Ok((fabric, place))
    }

    /// Takes over the first bridge that a process which is gone made in the namespace of the calling thread, but not yet its
    /// barrier. What that process alone held, the responder and the further bridges, is made anew when the kernel has
    /// reclaimed it.
    pub(super) fn reopen(
        home: Namespace,
        plan: &Plan,
        options: &NetworkOptions,
    ) -> Result<(Self, BridgePlace)> {
        let mut socket = RouteSocket::open()?;
        let root = link::get(&mut socket, plan.root())?;
        if root.mac != Some(plan.host_mac()) {
            let why = format!("{} is not its bridge: remove it", root.name);
            return Err(Error::invalid(Operation::OpenNetwork, plan.name.to_string(), why));
        }
        let mut deadline = Deadline::new(options.patience.max(LEAST_PATIENCE));
        loop {
            let links = link::list(&mut socket)?;
            let of_fabric = |link: &&Link| plan.is_fabric(link.index);
            let Some(left) = links.iter().find(of_fabric) else { break };
            if !deadline.sleep(LOOK_AGAIN) {
                let why = format!("the kernel has not reclaimed {}: who holds its other end?", left.name);
                return Err(Error::invalid(Operation::OpenNetwork, plan.name.to_string(), why));
            }
        }
        Self::complete(socket, home, plan, options, root.addrgenmode.is_some())
    }

    /// The rest, with the first bridge there.
    fn complete(
        mut socket: RouteSocket,
        home: Namespace,
        plan: &Plan,
        options: &NetworkOptions,
        ipv6: bool,
    ) -> Result<(Self, BridgePlace)> {
        let responder = Responder::create(&mut socket, plan, options.mtu, ipv6)?;
        let stamp = options.program.as_ref().and_then(|program| program.stamp());
        let options = FabricOptions {
            mtu: options.mtu,
            ipv6,
            broadcast: options.broadcast,
            hairpins: options.has_hairpins(),
            isolated: options.isolated,
            permanent_neighbours: options.permanent_neighbours,
            stamp,
        };
        let mut fabric = Self { socket, responder, options };
        fabric.learn(plan, 0)?;
        Ok((fabric, BridgePlace::new(home, plan)?))
    }

    /// Makes a further bridge, with a program for what passes its trunk. Nothing is left of a failure.
    pub(super) fn create_place(
        &mut self,
        plan: &Plan,
        shard: u32,
        program: Option<BorrowedFd<'_>>,
    ) -> Result<BridgePlace> {
        let place = BridgePlace::new(Namespace::anonymous().map_err(explain_limit)?, plan)?;
        let made = self.create_trunk(plan, shard, &place).and_then(|()| {
            if let Some(stamp) = self.options.stamp {
                place.raise_barrier(plan, stamp)?;
            }
            self.join_trunk(plan, shard, program)?;
            self.create_leaf(plan, shard, &place, program)?;
            // So that both ends of the trunk forward from now on.
            link::get(&mut self.socket, plan.leaf(shard).down)?;
            link::get(&mut place.socket(), plan.leaf(shard).up)?;
            self.learn(plan, shard)
        });
        if made.is_err() {
            // It would go with the namespace, but later, and be in the way of the next attempt. The reason that matters
            // is the first one.
            let _ = root::undo(&mut self.socket, plan.leaf(shard).down, plan.trunk_mac(shard));
        }
        made.map(|()| place)
    }

    /// Makes the trunk of a further bridge.
    fn create_trunk(&mut self, plan: &Plan, shard: u32, place: &BridgePlace) -> Result<()> {
        let trunk = Veth {
            index: Some(plan.leaf(shard).down),
            mac: Some(plan.trunk_mac(shard)),
            peer_index: Some(plan.leaf(shard).up),
            mtu: self.options.mtu,
            group: plan.fabric_group(),
            peer_namespace: Some(place.namespace.as_fd()),
            ..Veth::new(plan.link_name('d', shard), plan.link_name('u', shard))
        };
        veth::create(&mut self.socket, &trunk)
    }

    /// Joins a trunk, which is known to be ours, to the first bridge.
    fn join_trunk(&mut self, plan: &Plan, shard: u32, program: Option<BorrowedFd<'_>>) -> Result<()> {
        let down = plan.leaf(shard).down;
        let mut batch = Batch::new();
        if let Some(program) = program {
            encode_trunk_program(&mut batch, down, program);
        }
        let join = LinkChange {
            addrgenmode: self.options.ipv6.then_some(AddrGenMode::None),
            master: Some(plan.root()),
            ..LinkChange::default()
        };
        link::encode_set(&mut batch, down, &join);
        let broadcast = Some(self.options.broadcast);
        // Isolated sandboxes are isolated from those on other bridges by the trunks, which are so on the first one.
        let isolated = self.options.isolated.then_some(true);
        let hairpin = self.options.hairpins.then_some(true);
        let port =
            PortOptions { mcast_flood: broadcast, bcast_flood: broadcast, hairpin, isolated, ..silent() };
        bridge::encode_set_port(&mut batch, down, &port);
        link::encode_set(&mut batch, down, &UP);
        self.socket.execute(&mut batch)
    }

    /// Makes the bridge at the end of a trunk.
    fn create_leaf(
        &self,
        plan: &Plan,
        shard: u32,
        place: &BridgePlace,
        program: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let leaf = plan.leaf(shard);
        let mut batch = Batch::new();
        let bridge = Bridge {
            index: Some(leaf.bridge),
            mtu: self.options.mtu,
            options: bridge::SILENT,
            ..Bridge::new(plan.link_name('b', shard), plan.leaf_mac(shard))
        };
        bridge::encode_create(&mut batch, &bridge);
        if self.options.ipv6 {
            link::encode_set(&mut batch, leaf.bridge, &WITHOUT_IPV6);
        }
        link::encode_set(&mut batch, leaf.bridge, &UP);
        if let Some(program) = program {
            encode_trunk_program(&mut batch, leaf.up, program);
        }
        let join = LinkChange {
            addrgenmode: self.options.ipv6.then_some(AddrGenMode::None),
            master: Some(leaf.bridge),
            ..LinkChange::default()
        };
        link::encode_set(&mut batch, leaf.up, &join);
        let port = PortOptions { learning: Some(false), ..PortOptions::default() };
        bridge::encode_set_port(&mut batch, leaf.up, &port);
        link::encode_set(&mut batch, leaf.up, &UP);
        place.socket().execute(&mut batch)
    }

    /// Tells the responder, the first bridge and the host what does not change about the sandboxes of a bridge.
    fn learn(&mut self, plan: &Plan, shard: u32) -> Result<()> {
        self.responder.learn(plan, shard)?;
        let neighbours = self.options.permanent_neighbours;
        let mut requests = Chunks::new(&mut self.socket);
        for number in plan.numbers_of(shard) {
            let mac = plan.mac(number);
            requests.add(|batch| {
                if shard > 0 {
                    neighbour::encode_set_fdb(batch, &FdbEntry::fixed(plan.leaf(shard).down, mac));
                }
                for net in plan.addresses(number).filter(|_| neighbours) {
                    let neighbour = Neighbour::permanent(plan.root(), net.address(), mac);
                    neighbour::encode_set(batch, &neighbour);
                }
            })?;
        }
        requests.flush()
    }

    /// Deletes the first bridge and all trunks at once. The other bridges go with their namespaces.
    pub(super) fn delete(&mut self, plan: &Plan) {
        // A caller who drops a network cannot do anything about a failure, and the likely one is that the links are gone.
        let _ = undo_twice(|| link::delete_group(&mut self.socket, plan.fabric_group()));
    }

    /// Ends the network's record, if the first bridge is gone.
    pub(super) fn end(&mut self, record: NetworkRecord) -> Result<()> {
        record.end(&mut self.socket)
    }
}

#[cfg(test)]
mod tests;
