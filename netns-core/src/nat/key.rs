//! Published ports as elements of maps: one for the ports of one address, and one for those of all, for each family.

use super::publication::{PortProtocol, Publication, Published};
use crate::nftables::element::{self, ElementInfo};
use crate::nftables::{Element, KeyType, MapData, Set, SetOptions, Table, Transaction};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A map of published ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortMap {
    pub(super) name: &'static str,
    /// Its number in the transaction that makes it.
    id: u32,
    pub(super) v4: bool,
    /// Whether its keys begin with an address.
    pub(super) addressed: bool,
}

/// All maps, in the order in which they are asked.
pub(super) const MAPS: [PortMap; 4] = [
    PortMap { name: "published4", id: 1, v4: true, addressed: true },
    PortMap { name: "published-any4", id: 2, v4: true, addressed: false },
    PortMap { name: "published6", id: 3, v4: false, addressed: true },
    PortMap { name: "published-any6", id: 4, v4: false, addressed: false },
];

const V4: KeyType = KeyType::Concatenation(&[KeyType::Ipv4Address, KeyType::Port]);
const V6: KeyType = KeyType::Concatenation(&[KeyType::Ipv6Address, KeyType::Port]);
const PORT: KeyType = KeyType::Concatenation(&[KeyType::InternetProtocol, KeyType::Port]);
const V4_PORT: KeyType =
    KeyType::Concatenation(&[KeyType::Ipv4Address, KeyType::InternetProtocol, KeyType::Port]);
const V6_PORT: KeyType =
    KeyType::Concatenation(&[KeyType::Ipv6Address, KeyType::InternetProtocol, KeyType::Port]);

impl PortMap {
    /// The map that a publication is in.
    pub(super) fn of(publication: &Publication) -> Self {
        let at = 2 * usize::from(publication.to.is_ipv6()) + usize::from(publication.address.is_none());
        MAPS[at]
    }

    pub(super) const fn set(self, table: Table<'_>) -> Set<'_> {
        let key = match (self.addressed, self.v4) {
            (false, _) => PORT,
            (true, true) => V4_PORT,
            (true, false) => V6_PORT,
        };
        Set { table, name: self.name, id: self.id, key, size: None, is_dynamic: false }
    }

    pub(super) fn options(self) -> SetOptions {
        let data = Some(MapData::Value(if self.v4 { V4 } else { V6 }));
        SetOptions { data, ..SetOptions::default() }
    }

    /// How many bytes an address has.
    const fn address(self) -> usize {
        if self.v4 { 4 } else { 16 }
    }

    /// What an element says; `None` if that makes no sense.
    pub(super) fn read(self, element: &ElementInfo) -> Option<Published> {
        let (address, rest) =
            element.key.split_at_checked(if self.addressed { self.address() } else { 0 })?;
        let &[protocol, _, _, _, a, b, _, _] = rest else { return None };
        let (to, &[c, d, _, _]) = element.data.as_ref()?.split_at_checked(self.address())? else {
            return None;
        };
        let publication = Publication {
            address: if self.addressed { Some(ip(address)?) } else { None },
            port: u16::from_be_bytes([a, b]),
            count: 1,
            protocol: PortProtocol::from_number(protocol)?,
            to: SocketAddr::new(ip(to)?, u16::from_be_bytes([c, d])),
        };
        Some(Published { publication, owner: element.comment.clone().unwrap_or_default() })
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
}

fn push(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
}

/// The key of one port.
pub(super) fn key(publication: &Publication) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    if let Some(address) = publication.address {
        push(&mut key, address);
    }
    let [a, b] = publication.port.to_be_bytes();
    key.extend([publication.protocol.number(), 0, 0, 0, a, b, 0, 0]);
    key
}

/// Where one port leads.
pub(super) fn data(publication: &Publication) -> Vec<u8> {
    let mut data = Vec::with_capacity(20);
    push(&mut data, publication.to.ip());
    let [a, b] = publication.to.port().to_be_bytes();
    data.extend([a, b, 0, 0]);
    data
}

/// Appends the element of one port; refused with `EEXIST` if the port is published.
pub(super) fn encode_create(transaction: &mut Transaction, table: Table<'_>, published: &Published) {
    let Published { publication, owner } = published;
    let (key, data) = (key(publication), data(publication));
    let element = Element { key: &key, data: Some(&data), comment: Some(owner), ..Element::default() };
    let map = PortMap::of(publication);
    element::encode_create(transaction, table, map.name, std::iter::once(element));
}

/// Appends the removal of the element of one port.
pub(super) fn encode_remove(transaction: &mut Transaction, table: Table<'_>, publication: &Publication) {
    let key = key(publication);
    element::encode_remove(transaction, table, PortMap::of(publication).name, std::iter::once(&key[..]));
}
