//! What a topology is: plain data, checked, without a trace of the file that it came from.

pub use crate::group::Group;
pub use crate::policy::PortPolicy;
use netns_core::bridge::{BridgeOptions, PortOptions};
use netns_core::link::LinkKind;
use netns_core::nat::{Publication, Redirect};
use netns_core::{IfName, IpNet, MacAddress};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// The MTU of a link that is given none.
pub const DEFAULT_MTU: u32 = 1500;
/// How long a bridge remembers an address: the kernel's default.
pub const DEFAULT_AGEING: Duration = Duration::from_mins(5);

/// Where something is: in the namespace that the topology is brought up from, or in one that is made for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Place {
    /// The namespace that the topology is brought up from. It is there already, and of it only that is touched which
    /// the topology names.
    Host,
    /// A named namespace. None has the name `host`.
    Namespace(String),
}

impl Place {
    /// The name that stands for [`Place::Host`].
    pub const HOST: &'static str = "host";

    /// Whether this is the host.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        matches!(self, Self::Host)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Host => Self::HOST,
            Self::Namespace(name) => name,
        })
    }
}

impl From<String> for Place {
    fn from(name: String) -> Self {
        if name == Self::HOST { Self::Host } else { Self::Namespace(name) }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(Self::from(name.to_owned()))
    }
}

/// A link by place and name: `ns1/eth0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName {
    /// The namespace that it is in.
    pub place: Place,
    /// Its name there.
    pub name: IfName,
}

impl fmt::Display for LinkName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.place, self.name)
    }
}

/// Everything that is to be there. Made by [`crate::parse`], or by hand; the empty one is what `down` aims for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Named namespaces.
    pub namespaces: Vec<String>,
    /// Bridges.
    pub bridges: Vec<BridgeSpec>,
    /// Veth pairs.
    pub cables: Vec<Cable>,
    /// Links of other kinds: dummies, macvlans, VLANs, VXLANs.
    pub links: Vec<SingleLink>,
    /// Addresses of links.
    pub addresses: Vec<AddressSpec>,
    /// Routes.
    pub routes: Vec<RouteSpec>,
    /// Kernel settings.
    pub sysctls: Vec<Sysctl>,
    /// Commands that run in namespaces.
    pub commands: Vec<ShellCommand>,
    /// Groups whose ports do not talk to each other, neither way.
    pub apart: Vec<[Group; 2]>,
    /// What of bridges is let out of the host, and in.
    pub ways_out: Vec<WayOutSpec>,
}

impl Topology {
    /// The groups that it speaks of.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> + Clone {
        let of_ports = self.cables.iter().filter_map(|cable| cable.policy.as_ref());
        of_ports.map(|policy| &policy.group).chain(self.apart.iter().flatten())
    }
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Where it is, and its name.
    pub link: LinkName,
    /// Its MAC address; `None` is one made up.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its options; those without a value are as the kernel has them.
    pub options: BridgeOptions,
}

/// A veth pair. If one end is a port of a bridge, it is the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cable {
    /// Its ends.
    pub ends: [CableEnd; 2],
    /// What the second end may send, if the first is a port of a bridge; `None`: it is not judged.
    pub policy: Option<PortPolicy>,
    /// Whether the bridge has a fixed entry that the second end is at the first, and its own link permanent neighbours for
    /// the addresses which the second end is given together with the cable. They are entered when the cable is made, and not
    /// looked after. No file says it.
    pub is_known: bool,
}

/// An end of a veth pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CableEnd {
    /// Where it is, and its name.
    pub link: LinkName,
    /// Its MAC address; `None` is one made up.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The bridge that it is a port of, in the same place.
    pub port: Option<PortSpec>,
    /// Those of its neighbours that it knows for good, which it never asks for: entered when the cable is made, and not looked
    /// after. No file says it.
    pub neighbours: Vec<(IpAddr, MacAddress)>,
}

/// A link of a kind that has one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleLink {
    /// Where it is, and its name.
    pub link: LinkName,
    /// What it is, and its options; those without a value are as the kernel has them.
    pub kind: LinkKind,
    /// The link that it is on, in the same place.
    pub on: Option<IfName>,
    /// Its MAC address; `None` is one made up.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes; `None` is the kernel's choice.
    pub mtu: Option<u32>,
}

/// How a link is a port of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSpec {
    /// The bridge.
    pub bridge: IfName,
    /// Its options as a port; those without a value are as the kernel has them.
    pub options: PortOptions,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressSpec {
    /// The link.
    pub link: LinkName,
    /// The address and the length of its prefix.
    pub net: IpNet,
}

/// A route in the main table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteSpec {
    /// The namespace that it is in.
    pub place: Place,
    /// Where it leads.
    pub to: IpNet,
    /// The router; `None` if the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The link that packets leave by; `None` is that which the router is on.
    pub dev: Option<IfName>,
    /// The lower, the more it is preferred; `None` is the kernel's default.
    pub metric: Option<u32>,
    /// Whether the router is taken to be on the link `dev`, whatever networks that has addresses of.
    pub onlink: bool,
}

impl fmt::Display for RouteSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to.prefix() {
            0 => formatter.write_str("default")?,
            _ => write!(formatter, "{}", self.to)?,
        }
        if let Some(via) = self.via {
            write!(formatter, " via {via}")?;
        }
        if let Some(dev) = self.dev {
            write!(formatter, " dev {dev}")?;
        }
        if let Some(metric) = self.metric {
            write!(formatter, " metric {metric}")?;
        }
        formatter.write_str(if self.onlink { " onlink" } else { "" })
    }
}

/// The way out and in of the namespaces on a bridge of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayOutSpec {
    /// The bridge.
    pub bridge: LinkName,
    /// Its networks, by its addresses.
    pub subnets: Vec<IpNet>,
    /// Whether they are let out, under the host's addresses.
    pub masquerade: bool,
    /// The links that lead elsewhere; `None` for those with a default route, whichever those are.
    pub uplinks: Option<Vec<IfName>>,
    /// Whether published ports are reached at 127.0.0.1, too.
    pub loopback: bool,
    /// Whether rules are put into chains of others that drop what the host forwards.
    pub open_forward_chains: bool,
    /// How many connections each may have at once.
    pub connection_limit: Option<u32>,
    /// Who answers questions for names.
    pub resolvers: Vec<IpAddr>,
    /// Ports that lead to a proxy of the host, whatever address they are sent to.
    pub redirects: Vec<Redirect>,
    /// Ports of the host that are published.
    pub published: Vec<Publication>,
}

/// A kernel setting of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysctl {
    /// The namespace.
    pub place: Place,
    /// Its name with slashes: `net/ipv4/ip_forward`.
    pub key: String,
    /// Its value, words divided by one space.
    pub value: String,
}

impl Sysctl {
    /// Which part of the name of an interface's setting is the interface.
    pub(crate) const INTERFACE: usize = 3;

    /// Whether it is one of an interface: `net/ipv4/conf/eth0/rp_filter`, not `net/ipv4/conf/all/rp_filter`.
    pub(crate) fn is_of_interface(&self) -> bool {
        let mut parts = self.key.split('/').skip(Self::INTERFACE - 1);
        matches!(parts.next(), Some("conf" | "neigh"))
            && !matches!(parts.next(), Some("all" | "default") | None)
    }

    /// Whether others may need it too: one of the host's, and not of an interface.
    pub(crate) fn is_shared(&self) -> bool {
        self.place.is_host() && !self.is_of_interface()
    }
}

/// A command that runs in a namespace, started by `/bin/sh -c`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShellCommand {
    /// The namespace.
    pub namespace: String,
    /// What the shell is given.
    pub command: String,
}
