//! The tables of nftables that let what is on a bridge out of the host, and in.

use crate::topology::WayOutSpec;
use netns_core::MacAddress;
use netns_core::nat::{ForwardingNeeds, NatOptions};

impl WayOutSpec {
    /// The options of its table, for a bridge with this index and MAC address.
    pub(crate) fn options(&self, index: u32, mac: MacAddress) -> NatOptions {
        NatOptions {
            masquerade: self.masquerade,
            loopback: self.loopback,
            connection_limit: self.connection_limit,
            resolvers: self.resolvers.clone(),
            redirects: self.redirects.clone(),
            ..NatOptions::new(index, mac, self.subnets.clone())
        }
    }

    /// What the host is to forward for it.
    pub(crate) fn needs(&self) -> ForwardingNeeds<'_> {
        let [ipv4, ipv6] = self.families();
        let (bridge, loopback) = (self.bridge.name, self.loopback);
        ForwardingNeeds { bridge, uplinks: self.uplinks.as_deref(), ipv4, ipv6, loopback }
    }

    /// Whether it has IPv4, and IPv6.
    fn families(&self) -> [bool; 2] {
        let has = |is_ipv4: bool| self.subnets.iter().any(|net| net.address().is_ipv4() == is_ipv4);
        [has(true), has(false)]
    }
}

/// Words by which a table with other options is distinguished: they go on record, and are compared.
pub(crate) fn fingerprint(options: &NatOptions) -> String {
    format!("{:016x}", crate::record::fnv1a(format!("{options:?}").as_bytes()))
}
