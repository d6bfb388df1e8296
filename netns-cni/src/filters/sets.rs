//! The tables' sets and their elements.

use netns_core::MacAddress;
use netns_core::nftables::{KeyType, MapData, Set, SetOptions, Table};
use std::net::{IpAddr, SocketAddr};

use KeyType::{EthernetAddress, InterfaceIndex, InternetProtocol, Ipv4Address, Ipv6Address, Mark, Port};

/// A set or a map of one of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedSet {
    pub(super) name: &'static str,
    id: u32,
    key: KeyType,
    data: Option<KeyType>,
    /// Whether a new element of the same network replaces an existing one: its address was assigned anew. A port is not
    /// replaced.
    pub(super) replaces: bool,
}

const fn named(name: &'static str, id: u32, key: &'static [KeyType]) -> NamedSet {
    NamedSet { name, id, key: KeyType::Concatenation(key), data: None, replaces: true }
}

const fn ports(name: &'static str, id: u32, key: &'static [KeyType], data: &'static [KeyType]) -> NamedSet {
    NamedSet { data: Some(KeyType::Concatenation(data)), replaces: false, ..named(name, id, key) }
}

/// A set for each family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetPair {
    pub(crate) v4: NamedSet,
    pub(crate) v6: NamedSet,
}

impl SetPair {
    pub(crate) const fn of(&self, address: IpAddr) -> NamedSet {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }

    pub(super) const fn both(&self) -> [NamedSet; 2] {
        [self.v4, self.v6]
    }
}

/// Ports at any address of the host, and their destinations.
pub(crate) const PORTS: SetPair = SetPair {
    v4: ports("ports4", 1, &[InternetProtocol, Port], &[Ipv4Address, Port]),
    v6: ports("ports6", 2, &[InternetProtocol, Port], &[Ipv6Address, Port]),
};
/// Ports at one address of the host.
pub(crate) const ADDRESSED: SetPair = SetPair {
    v4: ports("addressed4", 3, &[Ipv4Address, InternetProtocol, Port], &[Ipv4Address, Port]),
    v6: ports("addressed6", 4, &[Ipv6Address, InternetProtocol, Port], &[Ipv6Address, Port]),
};
/// Containers whose packets leave the host under the host's address.
pub(crate) const HIDDEN: SetPair = SetPair {
    v4: NamedSet { key: Ipv4Address, ..named("hidden4", 5, &[]) },
    v6: NamedSet { key: Ipv6Address, ..named("hidden6", 6, &[]) },
};
/// Each of them with the link to its own network: packets that leave by it keep their source.
pub(crate) const NEAR: SetPair = SetPair {
    v4: named("near4", 7, &[Ipv4Address, InterfaceIndex]),
    v6: named("near6", 8, &[Ipv6Address, InterfaceIndex]),
};
/// Pairs of source and destination of published ports for which the source must become the host's.
pub(crate) const HAIRPIN: SetPair = SetPair {
    v4: named("hairpin4", 9, &[Ipv4Address, Ipv4Address]),
    v6: named("hairpin6", 10, &[Ipv6Address, Ipv6Address]),
};
/// Destinations of published ports for which every source must become the host's.
pub(crate) const VEILED: SetPair = SetPair {
    v4: NamedSet { key: Ipv4Address, ..named("veiled4", 11, &[]) },
    v6: NamedSet { key: Ipv6Address, ..named("veiled6", 12, &[]) },
};
/// Links by which the host sends packets from 127.0.0.0/8; packets to it may not come in by them.
pub(crate) const LOCALNET: NamedSet = NamedSet { key: InterfaceIndex, ..named("localnet", 13, &[]) };
/// Containers whose network has an `ingressPolicy` of `firewall`, each with the link to it. No rule looks here: several
/// containers share a link's entry in [`KEPT`] and [`PARTED`], and these elements say how long it is needed.
pub(crate) const WALLED: SetPair = SetPair {
    v4: named("walled4", 14, &[Ipv4Address, InterfaceIndex]),
    v6: named("walled6", 15, &[Ipv6Address, InterfaceIndex]),
};
/// Links of networks between which nothing passes.
pub(crate) const KEPT: NamedSet = NamedSet { key: InterfaceIndex, ..named("kept", 16, &[]) };
/// Links of networks in which nothing passes from one container to another.
pub(crate) const PARTED: NamedSet = named("parted", 17, &[InterfaceIndex, InterfaceIndex]);
/// Each of [`KEPT`] with itself: what comes in by a network and leaves by it.
pub(crate) const SAME: NamedSet = named("same", 18, &[InterfaceIndex, InterfaceIndex]);
/// Ports of bridges between which nothing passes.
pub(crate) const APART: NamedSet = NamedSet { key: InterfaceIndex, ..named("apart", 3, &[]) };
/// Ports of bridges whose frames are checked, and the source addresses that these may have.
pub(crate) const CHECKED: NamedSet = NamedSet { key: InterfaceIndex, ..named("checked", 1, &[]) };
/// Ports of bridges whose frames are dropped unless the program at the port has marked them.
pub(crate) const BARRED: NamedSet = NamedSet { key: InterfaceIndex, ..named("barred", 4, &[]) };
/// Each of them with the mark, which the frames have as their priority.
pub(crate) const JUDGED: NamedSet = named("judged", 5, &[InterfaceIndex, Mark]);
/// See [`CHECKED`].
pub(crate) const ALLOWED: NamedSet = named("allowed", 2, &[InterfaceIndex, EthernetAddress]);

impl NamedSet {
    /// The set's definition for the kernel.
    pub(super) const fn set<'t>(&self, table: Table<'t>) -> Set<'t> {
        Set { table, name: self.name, id: self.id, key: self.key, size: None, is_dynamic: false }
    }

    pub(super) fn options(&self) -> SetOptions {
        SetOptions { data: self.data.map(MapData::Value), ..SetOptions::default() }
    }
}

/// The bytes of a key or of data, each part padded to four.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts(Vec<u8>);

impl Parts {
    pub(crate) fn address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.0.extend(address.octets()),
            IpAddr::V6(address) => self.0.extend(address.octets()),
        }
        self
    }

    pub(crate) fn protocol(mut self, protocol: u8) -> Self {
        self.0.extend([protocol, 0, 0, 0]);
        self
    }

    pub(crate) fn port(mut self, port: u16) -> Self {
        self.0.extend(port.to_be_bytes());
        self.0.extend([0; 2]);
        self
    }

    pub(crate) fn index(mut self, index: u32) -> Self {
        self.0.extend(index.to_ne_bytes());
        self
    }

    pub(crate) fn mac(mut self, mac: MacAddress) -> Self {
        self.0.extend(mac.0);
        self.0.extend([0; 2]);
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An element, with its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetEntry {
    pub(super) set: NamedSet,
    pub(super) key: Parts,
    pub(super) data: Option<Parts>,
    pub(crate) words: String,
}

impl SetEntry {
    /// A port of the host that leads to a container.
    pub(crate) fn port(protocol: u8, name: &str, host: (Option<IpAddr>, u16), container: SocketAddr) -> Self {
        let (address, port) = host;
        let data = Some(Parts::default().address(container.ip()).port(container.port()));
        match address {
            None => Self {
                set: PORTS.of(container.ip()),
                key: Parts::default().protocol(protocol).port(port),
                data,
                words: format!("the host's port {port}/{name}"),
            },
            Some(address) => Self {
                set: ADDRESSED.of(container.ip()),
                key: Parts::default().address(address).protocol(protocol).port(port),
                data,
                words: format!("the host's port {port}/{name} of {address}"),
            },
        }
    }

    /// A container's address, of a set of addresses.
    pub(crate) fn address(sets: SetPair, address: IpAddr) -> Self {
        let key = Parts::default().address(address);
        Self { set: sets.of(address), key, data: None, words: format!("the address {address}") }
    }

    /// A container's address and the link to its network.
    pub(crate) fn near(address: IpAddr, link: u32) -> Self {
        let key = Parts::default().address(address).index(link);
        Self { set: NEAR.of(address), key, data: None, words: format!("the address {address}") }
    }

    /// A container's address and the link to its network, whose `ingressPolicy` holds.
    pub(crate) fn walled(address: IpAddr, link: u32) -> Self {
        let key = Parts::default().address(address).index(link);
        Self { set: WALLED.of(address), key, data: None, words: format!("the address {address}") }
    }

    /// A link twice, of a set of pairs of links.
    pub(crate) fn pair(set: NamedSet, index: u32) -> Self {
        let key = Parts::default().index(index).index(index);
        Self { set, key, data: None, words: format!("the link {index}") }
    }

    /// A source and a destination.
    pub(crate) fn hairpin(source: IpAddr, destination: IpAddr) -> Self {
        let key = Parts::default().address(source).address(destination);
        Self { set: HAIRPIN.of(source), key, data: None, words: format!("{source} to {destination}") }
    }

    /// A link, of a set of links.
    pub(crate) fn link(set: NamedSet, index: u32) -> Self {
        Self { set, key: Parts::default().index(index), data: None, words: format!("the link {index}") }
    }

    /// A port of a bridge and the mark of its frames.
    pub(crate) fn judged(port: u32, stamp: u32) -> Self {
        let key = Parts::default().index(port).index(stamp);
        Self { set: JUDGED, key, data: None, words: format!("the link {port}") }
    }

    /// A port of a bridge and the source address of its frames.
    pub(crate) fn source(port: u32, mac: MacAddress) -> Self {
        let key = Parts::default().index(port).mac(mac);
        Self { set: ALLOWED, key, data: None, words: format!("the MAC address {mac}") }
    }
}
