//! A run's lab as a topology.

use super::super::plan::{PlannedMember, RunPlan};
use crate::failure::Failure;
use netns_core::barrier::FORWARDED;
use netns_core::bridge::{BridgeOptions, PortOptions};
use netns_core::{IfName, IpNet};
use netns_ebpf::Mode;
use netns_ebpf::packet::Permissions;
use netns_topology::{
    AddressSpec, BridgeSpec, Cable, CableEnd, DEFAULT_MTU, LinkName, Place, PortPolicy, PortSpec, RouteSpec,
    Sysctl, Topology, WayOutSpec,
};

pub(super) const IP_FORWARD: &str = "net/ipv4/ip_forward";

/// The settings of a run's ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortWishes {
    /// What happens to violations; `None` where there is no program.
    pub(super) mode: Option<Mode>,
    /// Whether the port forwards what must reach a barrier.
    pub(super) is_barred: bool,
}

/// Namespaces on a bridge of the host; the host has an address on it. With `forwards` the host routes for them.
pub(super) fn of_bridge(plan: &RunPlan, wishes: PortWishes, forwards: bool) -> Result<Topology, Failure> {
    let bridge = LinkName { place: Place::Host, name: plan.bridge };
    let mut topology = Topology { namespaces: names(plan), ..Topology::default() };
    topology.bridges.push(BridgeSpec {
        link: bridge.clone(),
        mac: Some(plan.bridge_mac),
        mtu: DEFAULT_MTU,
        // The bridge learns from whatever reaches it, so that an attack shows what the guard keeps from it.
        options: BridgeOptions {
            stp_state: Some(false),
            no_linklocal_learn: Some(false),
            ..BridgeOptions::NONE
        },
    });
    for subnet in &plan.subnets {
        let net = IpNet::new(subnet.host, subnet.net.prefix())?;
        topology.addresses.push(AddressSpec { link: bridge.clone(), net });
    }
    if plan.has_way_out() {
        topology.ways_out.push(WayOutSpec {
            bridge: bridge.clone(),
            subnets: plan.subnets.iter().map(|subnet| subnet.net).collect(),
            masquerade: plan.masquerade,
            uplinks: None,
            loopback: false,
            open_forward_chains: false,
            connection_limit: None,
            resolvers: plan.resolvers.clone(),
            redirects: plan.redirects.clone(),
            published: plan.published.clone(),
        });
    }
    if forwards {
        let (place, key, value) = (Place::Host, IP_FORWARD.to_owned(), "1".to_owned());
        topology.sysctls.push(Sysctl { place, key, value });
    }
    let options = PortOptions {
        // With many namespaces, multicast goes only to ports with a listener: otherwise the membership reports of every
        // interface would be copied to all.
        mcast_flood: plan.is_large().then_some(false),
        group_fwd_mask: wishes.is_barred.then_some(FORWARDED),
        ..PortOptions::NONE
    };
    for planned in &plan.members {
        let mut inside = end(plan, planned)?;
        let hosts = plan.subnets.iter().map(|subnet| (subnet.host, plan.bridge_mac));
        inside.neighbours.splice(..0, hosts);
        let port = CableEnd {
            link: LinkName { place: Place::Host, name: planned.port },
            mac: Some(planned.port_mac),
            mtu: DEFAULT_MTU,
            port: Some(PortSpec { bridge: plan.bridge, options }),
            neighbours: Vec::new(),
        };
        let policy = wishes.mode.map(|mode| PortPolicy {
            mode,
            networks: planned.addresses.iter().map(|address| IpNet::single(*address)).collect(),
            permissions: Permissions::DHCP_CLIENT,
            egress: plan.egress.clone(),
            limits: plan.limits,
            ..PortPolicy::default()
        });
        topology.cables.push(Cable { ends: [port, inside], policy, is_known: true });
        topology.addresses.extend(addresses(plan, planned)?);
        topology.routes.extend(plan.subnets.iter().map(|subnet| RouteSpec {
            place: place(planned),
            to: IpNet::everything(subnet.host),
            via: Some(subnet.host),
            dev: None,
            metric: None,
            onlink: false,
        }));
    }
    Ok(topology)
}

/// Two namespaces and a cable, without addresses: see [`with_addresses`].
pub(super) fn of_pair(plan: &RunPlan) -> Result<Topology, Failure> {
    let mut topology = Topology { namespaces: names(plan), ..Topology::default() };
    if let [first, second] = &plan.members[..] {
        let ends = [end(plan, first)?, end(plan, second)?];
        topology.cables.push(Cable { ends, policy: None, is_known: false });
    }
    Ok(topology)
}

/// The pair with its addresses, which are added once both ends carry packets and are counted. A new IPv6 address announces
/// itself at once (an MLD report); what an interface sends without a carrier meets the program and then `noop_qdisc`, which
/// drops it uncounted (`dev_activate` in <https://github.com/torvalds/linux/blob/v6.12/net/sched/sch_generic.c>).
pub(super) fn with_addresses(plan: &RunPlan, mut pair: Topology) -> Result<Topology, Failure> {
    for planned in &plan.members {
        pair.addresses.extend(addresses(plan, planned)?);
    }
    Ok(pair)
}

fn names(plan: &RunPlan) -> Vec<String> {
    plan.members.iter().map(|planned| planned.name.clone()).collect()
}

pub(super) fn place(planned: &PlannedMember) -> Place {
    Place::Namespace(planned.name.clone())
}

/// The link inside a namespace.
pub(super) fn inside(planned: &PlannedMember) -> Result<LinkName, Failure> {
    Ok(LinkName { place: place(planned), name: IfName::new("eth0")? })
}

fn end(plan: &RunPlan, planned: &PlannedMember) -> Result<CableEnd, Failure> {
    let others = plan.talks_with(planned);
    let known = |other: &&PlannedMember| {
        other.addresses.iter().map(|address| (*address, other.mac)).collect::<Vec<_>>()
    };
    Ok(CableEnd {
        link: inside(planned)?,
        mac: Some(planned.mac),
        mtu: DEFAULT_MTU,
        port: None,
        neighbours: others.iter().flat_map(known).collect(),
    })
}

fn addresses(plan: &RunPlan, planned: &PlannedMember) -> Result<Vec<AddressSpec>, Failure> {
    let link = inside(planned)?;
    let nets = plan.subnets.iter().zip(&planned.addresses);
    let nets = nets.map(|(subnet, address)| IpNet::new(*address, subnet.net.prefix()));
    nets.map(|net| Ok(AddressSpec { link: link.clone(), net: net? })).collect()
}
