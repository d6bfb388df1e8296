//! The requests that make one sandbox.
//!
//! Two batches, the first on a socket inside, the second on the bridge's. They are in this order because
//!
//! - the pair is made from inside, with the port born where the bridge is. If somebody else has a link of the port's index
//!   or name, the kernel refuses that, and nothing else of the first batch can meet a link that is not ours: the namespace
//!   is new and nobody knows it (in one of somebody else's, whose links are looked at before, the pair is made first). Only when the pair was made are requests sent to the port by its index, which is ours now;
//! - the programs are on the port before it joins the bridge and before it is raised, so that they see every frame, and it
//!   is kept from giving itself an IPv6 address before it has a carrier;
//! - the port is raised after `eth0`, so that it never takes part in the bridge without a carrier, and last, so that
//!   `eth0`, which drops what it sends until then, says nothing that its port is not ready for;
//! - asking for both ends makes the kernel's linkwatch run for them, so that `eth0` sends and the bridge forwards from then
//!   on. `eth0` is asked for from outside, which saves an exchange, by a namespace id. The kernel gives the new namespace
//!   an id where the port is when it first reports the port there; before it can, we choose it.

use super::options::NetworkOptions;
use super::plan::Plan;
use super::program::PortInfo;
use super::settings::{QUIET, UP, silent};
use crate::address::{self, Address};
use crate::barrier::FORWARDED;
use crate::bridge::{self, PortOptions};
use crate::link::{self, AddrGenMode, LinkChange};
use crate::neighbour::{self, FdbEntry, Neighbour};
use crate::nsid;
use crate::route::{self, Route};
use crate::sysctl::PreparedSysctl;
use crate::tc::{self, Direction, Filter};
use crate::veth::{self, Veth};
use crate::wire::{Batch, IfInfoMsg, RTEXT_FILTER_SKIP_STATS};
use crate::{IfName, IpNet, Result};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// `lo`, in every namespace.
const LOOPBACK: u32 = 1;
/// The index of `eth0`: one that no fallback device of the kernel has taken before, and different from the port's,
/// since the kernel handles the carrier of a link whose peer has the same index with less haste
/// (`linkwatch_urgent_event` in <https://github.com/torvalds/linux/blob/v6.12/net/core/link_watch.c>).
pub(super) const ETH0: u32 = 32;
/// The name of every sandbox's interface.
pub(super) const ETH0_NAME: &str = "eth0";
/// By which number a new namespace knows the one that the port is in: its first, and so 0, given when `eth0` is announced
/// there (`rtnl_fill_link_netnsid` in <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>).
pub(super) const OUTSIDE: i32 = 0;
/// Priority and handle of our filters.
const FILTER: (u16, u32) = (1, 1);

/// What is the same for every sandbox of a network.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, with a name")]
pub(super) struct Recipe {
    pub(super) plan: Plan,
    pub(super) eth0: IfName,
    pub(super) mtu: Option<u32>,
    pub(super) default_route: bool,
    pub(super) permanent_neighbours: bool,
    pub(super) port: PortOptions,
    /// Whether the kernel has IPv6 at all.
    pub(super) ipv6: bool,
    pub(super) ipv6_link_local: bool,
    /// The settings of a new sandbox.
    pub(super) sysctls: Box<[PreparedSysctl]>,
}

impl Recipe {
    /// What is known of a sandbox's port.
    pub(super) fn port_info(&self, number: u32) -> PortInfo {
        let plan = &self.plan;
        let v4 = plan.address_v4(number).and_then(|net| match net.address() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let v6 = plan.address_v6(number).and_then(|net| match net.address() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        PortInfo {
            index: plan.port(number),
            name: plan.port_name(number),
            mac: plan.mac(number),
            address_v4: v4,
            address_v6: v6,
        }
    }

    /// The settings of a new sandbox, whose names are checked.
    pub(super) fn sysctls(options: &NetworkOptions) -> Result<Box<[PreparedSysctl]>> {
        options.sysctls.iter().map(|(name, value)| PreparedSysctl::new(name, value)).collect()
    }

    pub(super) fn new(
        plan: Plan,
        options: &NetworkOptions,
        ipv6: bool,
        sysctls: Box<[PreparedSysctl]>,
    ) -> Self {
        let broadcast = Some(options.broadcast);
        let port = PortOptions {
            isolated: options.isolated.then_some(true),
            mcast_flood: broadcast,
            bcast_flood: broadcast,
            hairpin: options.has_hairpins().then_some(true),
            // There is a barrier then, which they are to pass.
            group_fwd_mask: options.program.as_ref().and_then(|program| program.stamp()).map(|_| FORWARDED),
            ..silent()
        };
        Self {
            plan,
            eth0: IfName::new(ETH0_NAME).expect("the name of an interface"),
            mtu: options.mtu,
            default_route: options.default_route,
            permanent_neighbours: options.permanent_neighbours,
            port,
            ipv6,
            ipv6_link_local: options.ipv6_link_local,
            sysctls,
        }
    }
}

/// A program pair and its slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Programs<'a> {
    pub(super) ingress: BorrowedFd<'a>,
    pub(super) egress: BorrowedFd<'a>,
    pub(super) slot: u16,
}

impl Recipe {
    /// The requests on the socket inside: the pair, with the index `eth0` and its port in the namespace `outside`; `lo`,
    /// and `eth0`. A port whose namespace is `lent` is known by its group.
    pub(super) fn encode_eth0(
        &self,
        batch: &mut Batch,
        (number, lent): (u32, bool),
        eth0: u32,
        outside: BorrowedFd<'_>,
    ) {
        let plan = &self.plan;
        let pair = Veth {
            index: Some(eth0),
            mac: Some(plan.mac(number)),
            peer_mac: Some(plan.port_mac(number)),
            mtu: self.mtu,
            peer_index: Some(plan.port(number)),
            peer_namespace: Some(outside),
            peer_group: if lent { plan.lent_group() } else { 0 },
            ..Veth::new(self.eth0, plan.port_name(number))
        };
        veth::encode_create(batch, &pair);
        if self.ipv6 && !self.ipv6_link_local {
            link::encode_set(batch, eth0, &QUIET);
        }
        link::encode_set(batch, LOOPBACK, &UP);
        link::encode_set(batch, eth0, &UP);
        for net in plan.addresses(number) {
            address::encode_add(batch, &Address::new(eth0, net));
            address::encode_local_route(batch, eth0, net.address());
        }
        for gateway in plan.gateways().map(|net| net.address()) {
            if self.permanent_neighbours {
                neighbour::encode_set(batch, &Neighbour::permanent(eth0, gateway, plan.host_mac()));
            }
            if self.default_route {
                let route = Route::new(IpNet::everything(gateway), Some(gateway), Some(eth0));
                route::encode_add(batch, &route);
            }
        }
    }

    /// The requests on the bridge's socket, to a port that this attempt has made: the port, and the questions for both
    /// ends. `thread` is in the namespace of `eth0`, which has this index.
    ///
    /// The places of those that may be refused: the choice of an id, if the kernel was quicker, and the question by it.
    pub(super) fn encode_port(
        &self,
        batch: &mut Batch,
        number: u32,
        (thread, eth0): (u32, u32),
        programs: Option<Programs<'_>>,
    ) -> [u32; 2] {
        let plan = &self.plan;
        let port = plan.port(number);
        // As unused as the index: another network of this namespace has other indexes.
        let inside = i32::from_ne_bytes(port.to_ne_bytes());
        nsid::encode_assign(batch, thread, inside);
        if let Some(programs) = programs {
            encode_programs(batch, port, programs, false);
        }
        let quiet = self.ipv6.then_some(AddrGenMode::None);
        let join = LinkChange {
            master: Some(plan.bridge(plan.shard(number))),
            addrgenmode: quiet,
            ..LinkChange::default()
        };
        link::encode_set(batch, port, &join);
        neighbour::encode_set_fdb(batch, &FdbEntry::fixed(port, plan.mac(number)));
        bridge::encode_raise_port(batch, port, self.port);
        let question = batch.messages();
        encode_question(batch, eth0, Some(inside));
        encode_question(batch, port, None);
        [0, question]
    }

    /// The questions for both ends, on the socket inside, where the port's namespace has the id `outside`.
    pub(super) fn encode_questions(&self, batch: &mut Batch, number: u32, eth0: u32, outside: i32) {
        encode_question(batch, eth0, None);
        encode_question(batch, self.plan.port(number), Some(outside));
    }
}

/// Asks for a link, in the namespace that the socket's knows by this id.
fn encode_question(batch: &mut Batch, index: u32, namespace: Option<i32>) {
    let link = IfInfoMsg { index, ..IfInfoMsg::default() };
    batch.message(libc::RTM_GETLINK, 0, &link, |attributes| {
        attributes.optional(libc::IFLA_TARGET_NETNSID, namespace);
        attributes.value(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    });
}

/// Appends the hooks of a port and the programs on them; or the programs alone, in place of those that are there.
pub(super) fn encode_programs(batch: &mut Batch, index: u32, programs: Programs<'_>, replace: bool) {
    if !replace {
        tc::encode_add_clsact(batch, index);
    }
    for direction in Direction::BOTH {
        let program = match direction {
            Direction::Ingress => programs.ingress,
            Direction::Egress => programs.egress,
        };
        let filter = Filter {
            index,
            direction,
            priority: FILTER.0,
            handle: FILTER.1,
            program,
            name: "sandbox",
            class_id: programs.slot,
        };
        if replace {
            tc::encode_replace_filter(batch, &filter);
        } else {
            tc::encode_add_filter(batch, &filter);
        }
    }
}

/// Appends the egress hook of a trunk and the program on it.
pub(super) fn encode_trunk_program(batch: &mut Batch, index: u32, program: BorrowedFd<'_>) {
    tc::encode_add_clsact(batch, index);
    let filter = Filter {
        index,
        direction: Direction::Egress,
        priority: FILTER.0,
        handle: FILTER.1,
        program,
        name: "trunk",
        class_id: 0,
    };
    tc::encode_add_filter(batch, &filter);
}
