//! Who has this address? The answers, from one place.
//!
//! On an ordinary bridge, a question for an address goes to every port: with a thousand sandboxes, a thousand of them
//! look at it, and the first connection between any two costs as much as there are. Here it goes to one port, behind
//! which a second bridge, in a namespace of its own, knows every address of the network and answers itself.
//!
//! It is the kernel that does it: a bridge answers ARP requests and IPv6 neighbour solicitations on behalf of ports
//! that are marked so (`neigh_suppress`, Linux 4.15) for addresses that it has as neighbours, if it knows the port
//! that their MAC address is behind (`br_do_proxy_suppress_arp` and `br_do_suppress_nd` in
//! <https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_arp_nd_proxy.c>). The marked port leads nowhere: only
//! questions come here, and frames for the addresses themselves never do.
//!
//! Its answers are the plan's, for every number of a bridge's at once, whether there is such a sandbox at the moment or
//! not. They are never wrong, since an address has one MAC address; that nobody is there, a caller learns by silence.

use super::chunks::Chunks;
use super::limit::explain_limit;
use super::plan::Plan;
use super::settings::{WITHOUT_IPV6, silent};
use crate::bridge::{self, Bridge, PortOptions};
use crate::link::{self, AddrGenMode, LinkChange};
use crate::neighbour::{self, FdbEntry, Neighbour};
use crate::veth::{self, Veth};
use crate::wire::Batch;
use crate::{IfName, Namespace, Result, RouteSocket, sysctl};
use std::os::fd::AsFd;

const BRIDGE: u32 = 10;
/// Where questions come in.
const DOOR: u32 = 11;
/// The marked port, and its other end.
const MARKED: u32 = 12;
const NOWHERE: u32 = 13;

/// The namespace with the answers. It goes when it is dropped, and its port on the network's bridge with it.
#[derive(Debug)]
pub(super) struct Responder {
    socket: RouteSocket,
}

impl Responder {
    /// Makes it, and its port on the first bridge of the network that `host` is a socket of.
    pub(super) fn create(host: &mut RouteSocket, plan: &Plan, mtu: Option<u32>, ipv6: bool) -> Result<Self> {
        let namespace = Namespace::anonymous().map_err(explain_limit)?;
        let mut socket = RouteSocket::open_in(&namespace)?;
        let quiet = |up| LinkChange {
            addrgenmode: ipv6.then_some(AddrGenMode::None),
            up: Some(up),
            ..LinkChange::default()
        };
        if ipv6 && plan.v6.is_some() {
            // What sandboxes advertise as routers comes here too. Where that cannot be switched off nothing breaks: what
            // the bridge here sends itself goes nowhere, since no port is flooded.
            let _ = sysctl::set_own(&namespace, "net/ipv6/conf/default/accept_ra", "0");
        }

        let door = Veth {
            index: Some(plan.responder()),
            peer_index: Some(DOOR),
            mac: Some(plan.trunk_mac(0)),
            mtu,
            peer_namespace: Some(namespace.as_fd()),
            ..Veth::new(plan.link_name('r', 0), IfName::new("door")?)
        };
        veth::create(host, &door)?;
        // Now it is known whose link has this index.
        let mut outside = Batch::new();
        link::encode_set(&mut outside, plan.responder(), &quiet(false));
        let join = LinkChange {
            master: Some(plan.root()),
            up: Some(true),
            group: Some(plan.fabric_group()),
            ..LinkChange::default()
        };
        link::encode_set(&mut outside, plan.responder(), &join);
        // The one port that questions are sent to; and no other frames without a known destination.
        let port = PortOptions { mcast_flood: Some(true), bcast_flood: Some(true), ..silent() };
        bridge::encode_set_port(&mut outside, plan.responder(), &port);
        host.execute(&mut outside)?;

        let mut inside = Batch::new();
        let name = IfName::new("answers")?;
        let answers = Bridge {
            index: Some(BRIDGE),
            mtu,
            options: bridge::SILENT,
            ..Bridge::new(name, plan.leaf_mac(0))
        };
        bridge::encode_create(&mut inside, &answers);
        let marked = Veth {
            index: Some(MARKED),
            peer_index: Some(NOWHERE),
            mtu,
            ..Veth::new(IfName::new("marked")?, IfName::new("nowhere")?)
        };
        veth::encode_create(&mut inside, &marked);
        for index in [DOOR, MARKED, NOWHERE] {
            link::encode_set(&mut inside, index, &quiet(false));
        }
        if plan.v6.is_some() {
            link::encode_set(&mut inside, BRIDGE, &quiet(false));
        } else if ipv6 {
            link::encode_set(&mut inside, BRIDGE, &WITHOUT_IPV6);
        }
        for index in [DOOR, MARKED] {
            let join = LinkChange { master: Some(BRIDGE), ..LinkChange::default() };
            link::encode_set(&mut inside, index, &join);
        }
        bridge::encode_set_port(&mut inside, DOOR, &silent());
        bridge::encode_set_port(&mut inside, MARKED, &PortOptions { neigh_suppress: Some(true), ..silent() });
        for index in [BRIDGE, DOOR, MARKED, NOWHERE] {
            link::encode_set(&mut inside, index, &LinkChange { up: Some(true), ..LinkChange::default() });
        }
        socket.execute(&mut inside)?;
        // So that both ends forward from now on.
        link::get(&mut socket, DOOR)?;
        link::get(host, plan.responder())?;
        // This was the bridge's first port, so the bridge has its carrier only now; what the host sends by it would be
        // dropped until the kernel's linkwatch has run for the bridge as well.
        link::get(host, plan.root())?;
        Ok(Self { socket })
    }

    #[cfg(test)]
    pub(super) fn namespace(&self) -> Result<Namespace> {
        self.socket.namespace()
    }

    #[cfg(test)]
    pub(super) fn socket(&mut self) -> &mut RouteSocket {
        &mut self.socket
    }

    /// Learns the answers for the sandboxes of a bridge.
    pub(super) fn learn(&mut self, plan: &Plan, shard: u32) -> Result<()> {
        let mut requests = Chunks::new(&mut self.socket);
        for number in plan.numbers_of(shard) {
            requests.add(|batch| {
                neighbour::encode_set_fdb(batch, &FdbEntry::fixed(MARKED, plan.mac(number)));
                for net in plan.addresses(number) {
                    let neighbour = Neighbour::permanent(BRIDGE, net.address(), plan.mac(number));
                    neighbour::encode_set(batch, &neighbour);
                }
            })?;
        }
        requests.flush()
    }
}
