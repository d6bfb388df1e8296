//! What a run makes: names and addresses, checked before anything is made.

use crate::cli::{RunArguments, RunShape};
use crate::failure::Failure;
use crate::name;
use netns_core::nat::{NatOptions, Publication, Redirect};
use netns_core::{IfName, IpNet, MacAddress, Namespace, RouteSocket, address, bridge, link, route};
use netns_ebpf::Limits;
use netns_topology::{PortEgress, PublishedPorts, open_egress};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

/// Up to this many namespaces, each talks to each; with more, each talks to the next, in a ring.
pub(crate) const MESH: usize = 16;
/// Each takes some 90 bytes of kernel memory.
const MOST_PAIRS: u32 = 1 << 18;

/// What a run makes.
#[derive(Debug)]
pub(crate) struct RunPlan {
    pub(crate) topology: RunShape,
    pub(crate) members: Vec<PlannedMember>,
    pub(crate) bridge: IfName,
    pub(crate) bridge_mac: MacAddress,
    /// The IPv4 network, and the IPv6 one if asked for.
    pub(crate) subnets: Vec<Subnet>,
    /// Whether the namespaces may send beyond the host.
    pub(crate) masquerade: bool,
    /// The resolvers that answer the namespaces' DNS queries.
    pub(crate) resolvers: Vec<IpAddr>,
    /// Ports that lead to a proxy of the host.
    pub(crate) redirects: Vec<Redirect>,
    /// The published ports of the host.
    pub(crate) published: Vec<Publication>,
    /// Where the namespaces may send to; `None` for anywhere.
    pub(crate) egress: Option<PortEgress>,
    /// How much may pass each port.
    pub(crate) limits: Limits,
}

/// A network and the host's address in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) net: IpNet,
    pub(crate) host: IpAddr,
}

/// A namespace to be made.
#[derive(Debug)]
pub(crate) struct PlannedMember {
    pub(crate) name: String,
    /// The host's end of its cable; in the pair topology there is none, and this is the namespace's own end.
    pub(crate) port: IfName,
    pub(crate) mac: MacAddress,
    /// The MAC address of that end. We choose it, since udev leaves a chosen one alone.
    pub(crate) port_mac: MacAddress,
    /// One from each subnet, in the same order.
    pub(crate) addresses: Vec<IpAddr>,
}

impl RunPlan {
    /// Works everything out from the arguments alone.
    pub(crate) fn new(arguments: &RunArguments) -> Result<Self, Failure> {
        let count = arguments.namespaces;
        match arguments.topology {
            RunShape::Pair if count != 2 => {
                return Err(Failure::usage("--topology pair has two namespaces, no more and no fewer"));
            }
            RunShape::Bridge if count == 0 || count > bridge::MAX_PORTS as usize => {
                let most = bridge::MAX_PORTS;
                return Err(Failure::usage(format!("--namespaces {count}: a bridge has 1 to {most} ports")));
            }
            _ => {}
        }
        let has_host = arguments.topology == RunShape::Bridge;
        let subnet = |flag, net, host| subnet(flag, net, host, count, has_host);
        let mut subnets = vec![subnet("--subnet", arguments.subnet, arguments.host_address)?];
        if let Some(net) = arguments.subnet6 {
            subnets.push(subnet("--subnet6", net, None)?);
        }
        // Random, to distinguish our bridge from one that somebody else makes later, and our MACs from another run's.
        let random = RandomState::new().build_hasher().finish() & 0xFF_FFFF_0000;
        let mut members = Vec::with_capacity(count);
        for number in 1..=count {
            let port = match arguments.topology {
                RunShape::Bridge => format!("veth-ns{number}"),
                RunShape::Pair => "eth0".to_owned(),
            };
            members.push(PlannedMember {
                name: format!("ns{number}"),
                port: IfName::new(&port)?,
                mac: MacAddress::local(random + number as u64),
                port_mac: MacAddress::local(random + 0x8000 + number as u64),
                addresses: subnets.iter().filter_map(|subnet| nth(subnet.net, number as u128)).collect(),
            });
        }
        let (topology, bridge, masquerade) = (arguments.topology, arguments.bridge, arguments.masquerade);
        let published = published(&arguments.publish, &members)?;
        if !has_host && arguments.egress.is_some() {
            return Err(Failure::usage("--topology pair has no ports of a bridge, where --egress is judged"));
        }
        let egress = arguments.egress.as_ref().map(|path| {
            let own = subnets.iter().map(|subnet| subnet.net);
            Ok::<_, Failure>(PortEgress::new(path.display().to_string(), &open_egress(path)?, own))
        });
        let egress = egress.transpose()?;
        if let Some(Err(prefix)) = egress.as_ref().map(|egress| egress.rules().compile()) {
            let message = format!(
                "--egress: it says more than four things of {prefix}, those of wider networks included"
            );
            return Err(Failure::usage(message));
        }
        let (bridge_mac, limits) = (MacAddress::local(random), arguments.limit.unwrap_or_default());
        let plan = Self {
            topology,
            members,
            bridge,
            bridge_mac,
            subnets,
            masquerade,
            resolvers: arguments.resolver.clone(),
            redirects: arguments.redirect.clone(),
            published,
            egress,
            limits,
        };
        plan.check_way_out()?;
        Ok(plan)
    }

    /// Whether anything passes between the namespaces and the world beyond the host.
    pub(crate) fn has_way_out(&self) -> bool {
        self.masquerade || !self.published.is_empty() || !self.redirects.is_empty()
    }

    fn check_way_out(&self) -> Result<(), Failure> {
        if !self.has_host() && self.has_way_out() {
            return Err(Failure::usage(
                "--topology pair has no host, which alone can let anything out (--masquerade, --redirect) or in (--publish)",
            ));
        }
        if !self.has_way_out() && !self.resolvers.is_empty() {
            return Err(Failure::usage("--resolver takes --masquerade, --publish or --redirect"));
        }
        let options = NatOptions {
            resolvers: self.resolvers.clone(),
            redirects: self.redirects.clone(),
            ..NatOptions::new(0, self.bridge_mac, self.subnets.iter().map(|subnet| subnet.net).collect())
        };
        options.check().map_err(|error| Failure::usage(error.to_string()))
    }

    /// How many ports there will be.
    pub(crate) fn ports(&self) -> u16 {
        // At most as many as a bridge can have.
        u16::try_from(self.members.len()).unwrap_or(u16::MAX)
    }

    /// How many pairs of ports can see traffic, broadcasts included.
    pub(crate) fn pairs(&self) -> u32 {
        let ports = self.members.len() as u32;
        match self.topology {
            RunShape::Bridge => (ports * (ports + 1)).clamp(64, MOST_PAIRS),
            // Each end of a cable is its own pair.
            RunShape::Pair => 0,
        }
    }

    /// What the ports belong to.
    pub(crate) fn network(&self) -> String {
        match self.topology {
            RunShape::Bridge => self.bridge.to_string(),
            RunShape::Pair => "pair".to_owned(),
        }
    }

    /// Whether there is a bridge, and the host on it.
    pub(crate) fn has_host(&self) -> bool {
        self.topology == RunShape::Bridge
    }

    /// Whether there are so many that each talks only to the next, in a ring.
    pub(crate) fn is_large(&self) -> bool {
        self.members.len() > MESH
    }

    /// Those that one talks to. They get neighbour entries beforehand, as the host does: all namespaces of the machine share
    /// the kernel's table of learnt neighbours, which has room for 1,024 (`net.ipv4.neigh.default.gc_thresh3`); when it is
    /// full, no neighbour can be resolved any more.
    pub(crate) fn talks_with(&self, member: &PlannedMember) -> Vec<&PlannedMember> {
        let count = self.members.len();
        let Some(place) = self.members.iter().position(|other| other.name == member.name) else {
            return Vec::new();
        };
        if self.is_large() {
            return vec![&self.members[(place + 1) % count], &self.members[(place + count - 1) % count]];
        }
        self.members.iter().filter(|other| other.name != member.name).collect()
    }

    /// Looks for anything in the machine's own network that conflicts with the plan.
    pub(crate) fn check_against(&self, socket: &mut RouteSocket) -> Result<(), Failure> {
        let names = Namespace::list()?;
        if let Some(member) = self.members.iter().find(|member| names.contains(&member.name)) {
            let name = &member.name;
            return Err(Failure::usage(format!(
                "there is a namespace {name} already; if an earlier run left it: `{} clean`; or use --isolated",
                name::name()
            )));
        }
        if !self.has_host() {
            return Ok(());
        }
        let ours = self.members.iter().map(|member| member.port).chain([self.bridge]);
        let links = link::list(socket)?;
        for name in ours {
            if links.iter().any(|link| link.name == name) {
                return Err(Failure::usage(format!(
                    "there is a link {name} already; if an earlier run left it: `{} clean`; \
                     or choose another with --bridge, or use --isolated",
                    name::name()
                )));
            }
        }
        let routes = route::list(socket)?.into_iter().map(|route| ("route", route.destination));
        let addresses = address::list(socket)?.into_iter().map(|address| ("address", address.net));
        for (what, net) in routes.chain(addresses).filter(|(_, net)| !net.is_default()) {
            if let Some(subnet) = self.subnets.iter().find(|subnet| subnet.net.overlaps(&net)) {
                return Err(Failure::usage(format!(
                    "{} overlaps the host's {what} {net}; choose another with --subnet, or use --isolated",
                    subnet.net
                )));
            }
        }
        Ok(())
    }
}

/// The ports of the host that are published for namespaces of the run.
fn published(all: &[PublishedPorts], members: &[PlannedMember]) -> Result<Vec<Publication>, Failure> {
    let mut published = Vec::new();
    for ports in all {
        let name = ports.namespace();
        let Some(member) = members.iter().find(|member| member.name == name) else {
            let count = members.len();
            return Err(Failure::usage(format!(
                "--publish: there is no {name}; the namespaces are ns1 to ns{count}"
            )));
        };
        let some = ports.publications(&member.addresses);
        published.extend(some.map_err(|why| Failure::usage(format!("--publish: {why}")))?);
    }
    Ok(published)
}

fn subnet(
    flag: &str,
    net: IpNet,
    host: Option<IpAddr>,
    namespaces: usize,
    has_host: bool,
) -> Result<Subnet, Failure> {
    let v4 = flag == "--subnet";
    if net.address().is_ipv4() != v4 {
        let family = if v4 { "IPv4" } else { "IPv6" };
        return Err(Failure::usage(format!("{flag} {net}: this is not an {family} network")));
    }
    if net.network() != net {
        return Err(Failure::usage(format!(
            "{flag} {net}: this is an address in a network; did you mean {}?",
            net.network()
        )));
    }
    if let Some(what) = no_hosts(net) {
        return Err(Failure::usage(format!(
            "{flag} {net}: its addresses are {what}, which no host can have"
        )));
    }
    let room = room(net);
    if room < namespaces as u128 + u128::from(has_host) {
        let and_the_host = if has_host { " and the host" } else { "" };
        return Err(Failure::usage(format!(
            "{flag} {net}: its {room} addresses are too few for {namespaces} namespaces{and_the_host}"
        )));
    }
    // Between two namespaces joined by a cable nobody has it.
    let host = match host {
        None if !has_host => return Ok(Subnet { net, host: net.last() }),
        Some(host) => host,
        None => nth(net, room).ok_or_else(|| Failure::usage(format!("{flag} {net}: it has no addresses")))?,
    };
    let ours = (1..=namespaces).any(|number| nth(net, number as u128) == Some(host));
    let reserved = !is_point_to_point(net) && (host == net.address() || (v4 && host == net.last()));
    if !net.contains(host) || reserved || ours {
        let why = if ours { "is one of the namespaces'" } else { "is not a host address in it" };
        return Err(Failure::usage(format!("--host-address {host}: with {flag} {net} it {why}")));
    }
    Ok(Subnet { net, host })
}

/// Whether a network has two addresses that are both a host's: RFC 3021 for IPv4, RFC 6164 for IPv6.
fn is_point_to_point(net: IpNet) -> bool {
    net.prefix() + 1 == IpNet::single(net.address()).prefix()
}

/// How many hosts there can be in a network.
fn room(net: IpNet) -> u128 {
    if is_point_to_point(net) { 2 } else { net.hosts() }
}

/// The address of the `number`th host, from 1.
fn nth(net: IpNet, number: u128) -> Option<IpAddr> {
    match number {
        1 if is_point_to_point(net) => Some(net.network().address()),
        2 if is_point_to_point(net) => Some(net.last()),
        _ if is_point_to_point(net) => None,
        _ => net.host(number),
    }
}

/// What a network's addresses are, if the kernel assigns them to no host or routes nothing to them.
fn no_hosts(net: IpNet) -> Option<&'static str> {
    const KINDS: [(&str, &str); 7] = [
        ("0.0.0.0/8", "of this network (RFC 791)"),
        ("127.0.0.0/8", "loopback addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("::/128", "unspecified"),
        ("::1/128", "the loopback address"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    ];
    let kind = |text: &str| text.parse::<IpNet>().ok();
    KINDS.iter().find(|(text, _)| kind(text).is_some_and(|kind| kind.overlaps(&net))).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests;
