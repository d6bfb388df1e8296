//! Where an interface may send to.

use netns_core::IpNet;
use netns_ebpf::EgressRules;
use netns_ebpf::packet::{EgressPrefix, EgressRule};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The egress policy of an interface: one that a file gives a name, and the networks of the interface's own link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortEgress {
    name: String,
    rules: Arc<EgressRules>,
}

impl PortEgress {
    /// The policy of this name, for an interface whose link has these networks. They are allowed, unless a rule says otherwise
    /// of one of them: what may be sent to neighbours and to the host is the business of groups and of `host`.
    #[must_use]
    pub fn new(name: String, rules: &EgressRules, link: impl IntoIterator<Item = IpNet>) -> Self {
        let mut networks: Vec<IpNet> = link.into_iter().map(|net| net.network()).collect();
        // The same ones make the same policy, in whichever order.
        networks.sort_unstable();
        networks.dedup();
        let allow = |net: IpNet| {
            EgressRule::allow(match net.address() {
                IpAddr::V4(address) => EgressPrefix::v4(address, net.prefix()),
                IpAddr::V6(address) => EgressPrefix::new(address, net.prefix()),
            })
        };
        Self { name, rules: Arc::new(rules.clone().with_all(networks.into_iter().map(allow))) }
    }

    /// All that it says, the link's networks included.
    #[must_use]
    pub fn rules(&self) -> &EgressRules {
        &self.rules
    }
}

/// As a line of a diff has it.
impl fmt::Display for PortEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
