//! How a network is to be.

use super::program::PortProgram;
use crate::nat::Redirect;
use crate::{IfName, IpNet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where networks are on record unless somebody asks for another folder.
pub(super) const DEFAULT_FOLDER: &str = "/run/netns-networks";

/// How a network is to be. [`NetworkOptions::new`] has what most want.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, with a name")]
pub struct NetworkOptions {
    /// The name of the bridge, at most nine bytes. Ports are called by it, a `p` and a number; further bridges and
    /// what joins them likewise, with `b`, `d` and `u`, and `r0` for the responder's port.
    pub name: IfName,
    /// The IPv4 subnet. Its first address is the host's.
    pub subnet_v4: Option<IpNet>,
    /// The IPv6 subnet. Its first address is the host's.
    pub subnet_v6: Option<IpNet>,
    /// How many sandboxes there can be at once, if the subnets do not set a lower limit; at most 64,512.
    pub maximum: u32,
    /// How many sandboxes share a bridge. The kernel allows 1,023 ports, but the time to join a bridge grows with the
    /// ports it has, by half a microsecond each.
    pub per_bridge: u32,
    /// MTU of all links in bytes; `None` is the kernel's 1,500.
    pub mtu: Option<u32>,
    /// Whether sandboxes have default routes to the host. What the host then does with the packets is the user's
    /// affair, unless [`NetworkOptions::masquerade`] says so: no forwarding is switched on.
    pub default_route: bool,
    /// Whether sandboxes are let out under the host's addresses, of IPv4 and IPv6, and ports of the host can be published
    /// for them ([`super::Network::publish`]): see [`crate::nat`]. It makes one table of nftables, and switches forwarding on
    /// for the bridge and for [`NetworkOptions::uplinks`] ([`crate::nat::Forwarding`]), so it takes a record: see
    /// [`NetworkOptions::record`].
    pub masquerade: bool,
    /// The links that lead elsewhere; `None` for those that have a default route when the network is made.
    pub uplinks: Option<Vec<IfName>>,
    /// Whether published IPv4 ports are reached at 127.0.0.1, too: [`crate::nat::NatOptions::loopback`].
    pub publish_on_loopback: bool,
    /// Whether rules of ours are put into chains of others that drop what the host forwards: [`crate::nat::Nat::open_blocks`].
    pub open_forward_chains: bool,
    /// How many connections a sandbox may have at once: [`crate::nat::NatOptions::connection_limit`].
    pub connection_limit: Option<u32>,
    /// Who answers the sandboxes' questions for names. With [`NetworkOptions::masquerade`], whomever they ask:
    /// [`crate::nat::NatOptions::resolvers`]. In any case commands that [`super::Sandbox::spawn_resolving`] starts ask these.
    pub resolvers: Vec<IpAddr>,
    /// Ports that lead to a proxy of the host whatever address sandboxes send to: [`crate::nat::NatOptions::redirects`].
    pub redirects: Vec<Redirect>,
    /// Whether sandboxes reach the host only, and not each other.
    pub isolated: bool,
    /// Whether sandboxes receive the broadcasts and multicasts of others. Address resolution does not need it, and
    /// each one costs as much as there are sandboxes.
    pub broadcast: bool,
    /// Whether sandboxes give themselves IPv6 link-local addresses. It makes each say half a dozen things at its birth.
    pub ipv6_link_local: bool,
    /// Whether host and sandboxes know each other's MAC addresses from the beginning.
    pub permanent_neighbours: bool,
    /// Settings of each new sandbox, with their values: `net.ipv4.ping_group_range`, `net.ipv4.ip_unprivileged_port_start`,
    /// those of `lo` and `eth0`. Each takes three system calls a sandbox. A namespace that somebody else has made keeps
    /// its own.
    pub sysctls: Vec<(String, String)>,
    /// How long making a sandbox may wait for the kernel to reclaim dropped ones, if all numbers or namespaces are
    /// used up or more than [`NetworkOptions::reclaim_backlog`] wait; zero makes it an error at once.
    pub patience: Duration,
    /// How many dropped sandboxes may wait for the kernel before making another one waits too.
    pub reclaim_backlog: u32,
    /// A program on every port.
    pub program: Option<Arc<dyn PortProgram>>,
    /// Where the network is on record.
    pub record: RecordPlace,
}

/// Where a network is on record, so that what its process leaves should it be killed can be taken over or removed: see
/// [`super::RecordedNetwork`]. One file a network is written when it is made, and none for a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPlace {
    /// In [`super::RecordedNetwork::FOLDER`]; nowhere, if this process may not write there:
    /// [`super::Network::is_recorded`].
    Default,
    /// In this folder, which is made if need be and removed when it is empty. If that cannot be, there is no network.
    Folder(PathBuf),
    /// Nowhere.
    Nowhere,
}

impl RecordPlace {
    /// The folder, if there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Default => Some(Path::new(DEFAULT_FOLDER)),
            Self::Folder(folder) => Some(folder),
            Self::Nowhere => None,
        }
    }
}

impl NetworkOptions {
    /// Whether ports hand back what came in by them. Where `br_netfilter` is loaded, the bridge itself passes on what a sandbox
    /// sends to a published port that leads to it (`br_nf_pre_routing_finish` in
    /// <https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_netfilter_hooks.c>). Broadcasts would come back, too.
    pub(super) const fn has_hairpins(&self) -> bool {
        self.masquerade && !self.broadcast
    }

    /// A network without subnets yet.
    #[must_use]
    pub const fn new(name: IfName) -> Self {
        Self {
            name,
            subnet_v4: None,
            subnet_v6: None,
            maximum: u32::MAX,
            per_bridge: 256,
            mtu: None,
            default_route: true,
            masquerade: false,
            uplinks: None,
            publish_on_loopback: false,
            open_forward_chains: false,
            connection_limit: None,
            resolvers: Vec::new(),
            redirects: Vec::new(),
            isolated: false,
            broadcast: false,
            ipv6_link_local: false,
            permanent_neighbours: true,
            sysctls: Vec::new(),
            patience: Duration::from_secs(5),
            reclaim_backlog: 4096,
            program: None,
            record: RecordPlace::Default,
        }
    }
}
