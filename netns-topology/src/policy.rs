//! What an interface may send.

use crate::egress::PortEgress;
use crate::group::Group;
use netns_core::{IpNet, MacAddress};
use netns_ebpf::packet::{HostAccess, Permissions, Rules, RulesFull, Service};
use netns_ebpf::{Limits, Mode, Policy};
use std::fmt;
use std::net::IpAddr;

/// The permissions that a file can name.
pub(crate) const PERMISSIONS: [(&str, Permissions); 7] = [
    ("vlan", Permissions::VLAN),
    ("router", Permissions::ROUTER),
    ("dhcp-server", Permissions::DHCP_SERVER),
    ("dhcp-client", Permissions::DHCP_CLIENT),
    ("dhcp-relay", Permissions::DHCP_RELAY),
    ("icmp-errors", Permissions::ICMP_ERRORS),
    ("multicast-router", Permissions::MULTICAST_ROUTER),
];

/// What of the host a file can name, beside its services.
pub(crate) const HOST_ACCESS: [(&str, HostAccess); 3] = [
    ("everything", HostAccess::Everything),
    ("neighbours", HostAccess::Neighbours),
    (NOTHING, HostAccess::Nothing),
];
pub(crate) const NOTHING: &str = "nothing";

/// What an interface may send, before it is known which MAC address it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortPolicy {
    /// What is done about other frames.
    pub mode: Mode,
    /// The networks that it may send from: its own addresses, each by itself, and others that it is given.
    pub networks: Vec<IpNet>,
    /// What it may send beside what every interface may.
    pub permissions: Permissions,
    /// Ether types beside IPv4, ARP and IPv6.
    pub ether_types: Vec<u16>,
    /// Whether it may send no IPv6 at all, not from its link-local address either.
    pub no_ipv6: bool,
    /// What it may send to the host.
    pub host: HostAccess,
    /// The services of the host that are within its reach, where [`HostAccess::Services`] are.
    pub services: Vec<Service>,
    /// Whether the host is not to pass on what it sends.
    pub no_forward: bool,
    /// The group that its port is in.
    pub group: Group,
    /// Where it may send to; `None` for everywhere.
    pub egress: Option<PortEgress>,
    /// How much may pass its port, both ways, whatever the mode.
    pub limits: Limits,
    /// Whether it is counted what was decided of what it sends, by destination ([`Lab::verdicts`](crate::Lab::verdicts)).
    pub verdicts: bool,
}

impl PortPolicy {
    /// That of an interface that may send from these networks, and is observed.
    pub(crate) fn of_networks(networks: Vec<IpNet>) -> Self {
        Self { networks, ..Self::default() }
    }

    /// The policy of an interface with this MAC address, whose group has this number. It may send from the link-local
    /// address that is made of the MAC address too, unless it may send no IPv6 at all.
    ///
    /// # Errors
    /// If it has more networks or ether types than a port can have.
    pub fn of(&self, mac: MacAddress, group: u8) -> Result<Policy, RulesFull> {
        let mut rules = Rules::new(mac.0).permitting(self.permissions);
        if self.no_ipv6 {
            rules = rules.without_ipv6();
        }
        for net in &self.networks {
            rules = match net.address() {
                IpAddr::V4(address) => rules.with_ipv4(address, net.prefix())?,
                IpAddr::V6(address) => rules.with_ipv6(address, net.prefix())?,
            };
        }
        for &ether_type in &self.ether_types {
            rules = rules.with_ether_type(ether_type)?;
        }
        rules = rules.with_host(self.host);
        for &service in &self.services {
            rules = rules.with_service(service)?;
        }
        if self.no_forward {
            rules = rules.without_forwarding();
        }
        let limits = self.limits.chosen();
        Ok(Policy { mode: self.mode, group, limits, ..Policy::new(rules) })
    }

    /// Whether the host is not wholly within reach, or is not to pass everything on.
    pub(crate) fn restricts_host(&self) -> bool {
        self.no_forward || self.host != HostAccess::Everything
    }

    /// The word for what is done about other frames.
    #[must_use]
    pub const fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        }
    }
}

impl PortPolicy {
    /// As a picture has it: `enforce`, or `enforce red` of one in a group.
    pub(crate) fn label(&self) -> String {
        let mode = self.mode_name();
        if self.group == Group::default() { mode.to_owned() } else { format!("{mode} {}", self.group) }
    }
}

/// As a line of a diff has it: `enforce 10.1.1.1 fd00::/64 router group red`.
impl fmt::Display for PortPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mode_name())?;
        for net in &self.networks {
            if *net == IpNet::single(net.address()) {
                write!(f, " {}", net.address())?;
            } else {
                write!(f, " {net}")?;
            }
        }
        let permitted = PERMISSIONS.iter().filter(|(_, permission)| self.permissions.contains(*permission));
        for (name, _) in permitted {
            write!(f, " {name}")?;
        }
        self.ether_types.iter().try_for_each(|ether_type| write!(f, " {ether_type:#06x}"))?;
        f.write_str(if self.no_ipv6 { " no-ipv6" } else { "" })?;
        match self.host {
            HostAccess::Services => {
                let services: Vec<String> = self.services.iter().map(ToString::to_string).collect();
                write!(f, " host [{}]", services.join(" "))?;
            }
            access => {
                let word =
                    HOST_ACCESS.iter().find(|(_, known)| *known == access && access != HostAccess::default());
                if let Some((word, _)) = word {
                    write!(f, " host {word}")?;
                }
            }
        }
        f.write_str(if self.no_forward { " no-forward" } else { "" })?;
        self.egress.iter().try_for_each(|egress| write!(f, " egress {egress}"))?;
        if self.group != Group::default() {
            write!(f, " group {}", self.group)?;
        }
        if !self.limits.is_none() {
            write!(f, " limit {}", self.limits)?;
        }
        f.write_str(if self.verdicts { " verdicts" } else { "" })
    }
}

/// The addresses of an interface, each by itself.
pub(crate) fn own(addresses: impl Iterator<Item = IpNet>) -> Vec<IpNet> {
    addresses.map(|net| IpNet::single(net.address())).collect()
}
