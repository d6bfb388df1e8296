//! What the n-th sandbox of a network has: its addresses, its MAC address, the index and name of its port, its bridge.
//!
//! All of it is arithmetic on the number, so making a sandbox asks the kernel for nothing. And it is the same
//! whenever the number is used: an address has one MAC address for as long as the network lives, so no neighbour's
//! memory of it can become wrong.

use crate::error::Operation;
use crate::{Error, IfName, IpNet, MacAddress, Result};
use std::fmt::Write;

/// Interface indexes are handed to networks in windows of this many.
pub(super) const WINDOW: u32 = 1 << 16;
/// The windows that networks choose from, by number: indexes from 2^30 on, where the kernel, which counts up from 1, is not
/// on any machine that makes fewer than a billion links.
pub(super) const WINDOWS: std::ops::Range<u32> = 1 << 14..1 << 15;
/// In a window, the indexes from here on are the sandboxes' ports; those before are the bridges' and what joins them.
const FIRST_PORT: u32 = 1024;
/// The indexes of the second bridge and its trunk begin here, those of each further one three later.
const FIRST_LEAF: u32 = 8;
const INDEXES_OF_LEAF: u32 = 3;
/// How many bridges a window has indexes for.
const MAX_BRIDGES: u32 = (FIRST_PORT - FIRST_LEAF) / INDEXES_OF_LEAF + 1;
/// The host's own number in the subnets: their first address.
const HOST: u32 = 1;
/// The number in the subnets of the first sandbox.
const FIRST_SANDBOX: u32 = 2;
/// The number of a bridge beside the first, as an owner of a MAC address: above those of all sandboxes.
const FIRST_LEAF_MAC: u32 = 1 << 16;
/// That of a trunk, likewise.
const FIRST_TRUNK_MAC: u32 = FIRST_LEAF_MAC + (1 << 10);
/// That of the first sandbox's port, likewise.
const FIRST_PORT_MAC: u32 = 1 << 17;
/// How many bits of a MAC address name its owner in a network.
const OWNER_BITS: u32 = 18;
/// How many bits name the window: windows are numbered below 2^15, and those that networks choose from 2^14 on.
const WINDOW_BITS: u32 = 14;
/// How many bits there are for a random number: a MAC address has 46 that say nothing of its kind.
pub(super) const SALT_BITS: u32 = 46 - OWNER_BITS - WINDOW_BITS;
/// How long the name of a network can be, so that `NAMEp65535` is one of an interface.
pub(super) const MAX_NAME: usize = 9;

/// The arithmetic of a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) name: IfName,
    pub(super) v4: Option<IpNet>,
    pub(super) v6: Option<IpNet>,
    /// The first interface index of the network's window.
    pub(super) window: u32,
    /// A random number of [`SALT_BITS`] bits.
    pub(super) salt: u32,
    /// How many sandboxes share a bridge.
    pub(super) per_bridge: u32,
    /// How many sandboxes there can be at once.
    pub(super) capacity: u32,
}

/// The links of a bridge beside the first: itself, and the two ends of the trunk that joins it to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) bridge: u32,
    /// The trunk's end on the first bridge.
    pub(super) down: u32,
    /// The trunk's end on this bridge.
    pub(super) up: u32,
}

impl Leaf {
    /// The trunk, its end on the first bridge first.
    pub(super) const fn ends(self) -> [u32; 2] {
        [self.down, self.up]
    }
}

impl Plan {
    /// A plan for at most `maximum` sandboxes.
    pub(super) fn new(
        name: IfName,
        v4: Option<IpNet>,
        v6: Option<IpNet>,
        per_bridge: u32,
        maximum: u32,
        window: u32,
        salt: u32,
    ) -> Result<Self> {
        let fault = |why: String| Error::invalid(Operation::PlanNetwork, name.to_string(), why);
        if name.as_str().len() > MAX_NAME {
            return Err(fault(format!("the name has more than {MAX_NAME} bytes")));
        }
        if v4.is_none() && v6.is_none() {
            return Err(fault("it has no subnet".to_owned()));
        }
        if v4.is_some_and(|net| net.address().is_ipv6()) || v6.is_some_and(|net| net.address().is_ipv4()) {
            return Err(fault("a subnet is of the other family".to_owned()));
        }
        // The first bridge has the trunks of the others as well, and one more port.
        if !(1..=crate::bridge::MAX_PORTS - MAX_BRIDGES).contains(&per_bridge) {
            let most = crate::bridge::MAX_PORTS - MAX_BRIDGES;
            return Err(fault(format!("{per_bridge} sandboxes on a bridge are not between 1 and {most}")));
        }
        let mut capacity = maximum.min(WINDOW - FIRST_PORT).min(MAX_BRIDGES * per_bridge);
        for net in [v4, v6].into_iter().flatten() {
            let hosts = u32::try_from(net.hosts()).unwrap_or(u32::MAX);
            capacity = capacity.min(hosts.saturating_sub(HOST));
        }
        if capacity == 0 {
            return Err(fault("the subnet has no address for a sandbox".to_owned()));
        }
        let network = |net: IpNet| net.network();
        Ok(Self { name, v4: v4.map(network), v6: v6.map(network), window, salt, per_bridge, capacity })
    }

    /// Which of the bridges a sandbox is on.
    pub(super) const fn shard(&self, number: u32) -> u32 {
        number / self.per_bridge
    }

    /// How many bridges there can be.
    pub(super) const fn shards(&self) -> u32 {
        self.capacity.div_ceil(self.per_bridge)
    }

    /// The sandboxes of a bridge.
    pub(super) fn numbers_of(&self, shard: u32) -> std::ops::Range<u32> {
        let first = shard * self.per_bridge;
        first..(first + self.per_bridge).min(self.capacity)
    }

    /// The index of the first bridge, where the host is.
    pub(super) const fn root(&self) -> u32 {
        self.window
    }

    /// The index of the first bridge's port that leads to the responder.
    pub(super) const fn responder(&self) -> u32 {
        self.window + 1
    }

    /// The links of a bridge beside the first.
    pub(super) const fn leaf(&self, shard: u32) -> Leaf {
        let first = self.window + FIRST_LEAF + (shard - 1) * INDEXES_OF_LEAF;
        Leaf { bridge: first, down: first + 1, up: first + 2 }
    }

    /// The index of a bridge.
    pub(super) const fn bridge(&self, shard: u32) -> u32 {
        if shard == 0 { self.root() } else { self.leaf(shard).bridge }
    }

    /// Whether this is the index of what joins the first bridge to something of its process alone: the responder's port
    /// or a trunk.
    pub(super) fn is_fabric(&self, index: u32) -> bool {
        index == self.responder() || (self.window + FIRST_LEAF..self.window + FIRST_PORT).contains(&index)
    }

    /// The group that the network's bridges and trunks are in; sandboxes' ports are not.
    pub(super) const fn fabric_group(&self) -> u32 {
        self.window + 1
    }

    /// The group that ports are in that are about to be deleted.
    pub(super) const fn condemned_group(&self) -> u32 {
        self.window + 2
    }

    /// The group that the ports are in of sandboxes whose namespace somebody else made.
    pub(super) const fn lent_group(&self) -> u32 {
        self.window + 3
    }

    /// The index of a sandbox's port.
    pub(super) const fn port(&self, number: u32) -> u32 {
        self.window + FIRST_PORT + number
    }

    /// The indexes of the ports of all sandboxes.
    pub(super) const fn ports(&self) -> std::ops::RangeInclusive<u32> {
        self.window + FIRST_PORT..=self.window + WINDOW - 1
    }

    /// The sandbox whose port has this index.
    pub(super) fn number(&self, port: u32) -> Option<u32> {
        port.checked_sub(self.window + FIRST_PORT).filter(|&number| number < self.capacity)
    }

    /// The name of a sandbox's port: the network's, `p`, and the number.
    pub(super) fn port_name(&self, number: u32) -> IfName {
        self.link_name('p', number)
    }

    /// The network's name, a letter and a number, without heap.
    pub(super) fn link_name(&self, letter: char, number: u32) -> IfName {
        let mut text = ShortText::default();
        // It has room: the network's name was checked.
        let _ = write!(text, "{}{letter}{number}", self.name);
        IfName::new(text.as_str()).unwrap_or(self.name)
    }

    /// An address of a subnet with its prefix. The number is one that the subnet has.
    fn address(net: IpNet, host: u32) -> IpNet {
        let address = net.host(host.into()).unwrap_or(net.address());
        IpNet::new(address, net.prefix()).unwrap_or(net)
    }

    /// The host's addresses.
    pub(super) fn gateways(&self) -> impl Iterator<Item = IpNet> {
        [self.v4, self.v6].into_iter().flatten().map(|net| Self::address(net, HOST))
    }

    /// A sandbox's IPv4 address.
    pub(super) fn address_v4(&self, number: u32) -> Option<IpNet> {
        self.v4.map(|net| Self::address(net, FIRST_SANDBOX + number))
    }

    /// A sandbox's IPv6 address.
    pub(super) fn address_v6(&self, number: u32) -> Option<IpNet> {
        self.v6.map(|net| Self::address(net, FIRST_SANDBOX + number))
    }

    /// A sandbox's addresses.
    pub(super) fn addresses(&self, number: u32) -> impl Iterator<Item = IpNet> {
        [self.address_v4(number), self.address_v6(number)].into_iter().flatten()
    }

    /// The MAC address of a member of the network. No other network of the same namespace has it, since no two have the
    /// same window. Of two in different namespaces, whose bridges somebody may join, only one in 2^28 pairs shares both
    /// window and salt.
    fn mac_of(&self, owner: u32) -> MacAddress {
        let window = self.window / WINDOW % (1 << WINDOW_BITS);
        let network = u64::from(self.salt % (1 << SALT_BITS)) << WINDOW_BITS | u64::from(window);
        let bits = network << OWNER_BITS | u64::from(owner);
        let mut mac = MacAddress::local(bits);
        // The lower two bits of the first byte say that the address is chosen here, and of one interface.
        mac.0[0] |= ((bits >> 40) as u8) << 2;
        mac
    }

    /// The MAC address of the first bridge, which is the host's.
    pub(super) fn host_mac(&self) -> MacAddress {
        self.mac_of(HOST)
    }

    /// The MAC address of a bridge beside the first. No sandbox has so high a number.
    pub(super) fn leaf_mac(&self, shard: u32) -> MacAddress {
        self.mac_of(FIRST_LEAF_MAC + shard)
    }

    /// The MAC address of a trunk's end on the first bridge, and of the responder's port, the trunk of no bridge.
    pub(super) fn trunk_mac(&self, shard: u32) -> MacAddress {
        self.mac_of(FIRST_TRUNK_MAC + shard)
    }

    /// The MAC address of a sandbox's port: one that was chosen, which udev leaves alone. To a link with one that the
    /// kernel made up it gives another (`MACAddressPolicy=persistent`, in a request of its own).
    pub(super) fn port_mac(&self, number: u32) -> MacAddress {
        self.mac_of(FIRST_PORT_MAC + number)
    }

    /// A sandbox's MAC address.
    pub(super) fn mac(&self, number: u32) -> MacAddress {
        self.mac_of(FIRST_SANDBOX + number)
    }
}

/// Text of at most fifteen bytes.
#[derive(Default)]
struct ShortText {
    bytes: [u8; 15],
    length: usize,
}

impl ShortText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
