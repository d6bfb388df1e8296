//! Neighbours (`ip neigh`: which MAC address an IP address has) and the forwarding database of a bridge
//! (`bridge fdb`: behind which port a MAC address is).

use super::socket::RouteSocket;
pub use super::words::Protocol;
use crate::error::Operation;
use crate::net::family;
use crate::wire::{Attributes, Batch, Message, NDA_FLAGS_EXT, NDA_MASTER, NDA_PROTOCOL, NdMsg};
use crate::{Cause, Error, MacAddress, Result};
use std::net::IpAddr;

/// A neighbour of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface's index.
    pub index: u32,
    /// The neighbour's IP address.
    pub address: IpAddr,
    /// Its MAC address; in descriptions `None` while the kernel is still asking for it.
    pub mac: Option<MacAddress>,
    /// `NUD_*`: whether it was made by hand, is fresh, stale, being asked for.
    pub state: u16,
    /// `NTF_*`, and `NTF_EXT_*` eight bits higher, as the kernel keeps them: whether it is a router; only in
    /// descriptions.
    pub flags: u32,
    /// What made it, if it is known; only in descriptions.
    pub protocol: Protocol,
}

impl Neighbour {
    /// A neighbour that the kernel neither asks for nor forgets (`NUD_PERMANENT`).
    #[must_use]
    pub const fn permanent(index: u32, address: IpAddr, mac: MacAddress) -> Self {
        Self {
            index,
            address,
            mac: Some(mac),
            state: libc::NUD_PERMANENT,
            flags: 0,
            protocol: Protocol::UNSPEC,
        }
    }
}

/// Appends the addition of a neighbour, or its replacement if there is one with this address.
#[doc(alias = "RTM_NEWNEIGH")]
pub fn encode_set(batch: &mut Batch, neighbour: &Neighbour) {
    let header = NdMsg {
        family: family(neighbour.address),
        index: neighbour.index,
        state: neighbour.state,
        ..NdMsg::default()
    };
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    batch.message(libc::RTM_NEWNEIGH, flags, &header, |attributes| {
        attributes.ip(libc::NDA_DST, neighbour.address);
        if let Some(mac) = neighbour.mac {
            attributes.mac(libc::NDA_LLADDR, mac);
        }
    });
}

/// Adds a neighbour, or replaces the one with this address.
///
/// # Errors
/// `ENODEV` if there is no such interface, `EINVAL` if it is one without neighbours.
///
/// ```
/// use netns_core::neighbour::{self, Neighbour};
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// veth::create(&mut socket, &Veth { index: Some(7), ..Veth::new(IfName::new("a")?, IfName::new("b")?) })?;
/// link::set_up(&mut socket, 7)?;
/// let neighbour = Neighbour::permanent(7, "10.1.1.2".parse().unwrap(), MacAddress::local(2));
/// neighbour::set(&mut socket, &neighbour)?;
/// assert!(neighbour::list(&mut socket)?.contains(&neighbour));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_NEWNEIGH")]
pub fn set(socket: &mut RouteSocket, neighbour: &Neighbour) -> Result<()> {
    let mut batch = Batch::new();
    encode_set(&mut batch, neighbour);
    socket.execute(&mut batch)
}

/// Appends the deletion of a neighbour.
pub fn encode_delete(batch: &mut Batch, index: u32, address: IpAddr) {
    let header = NdMsg { family: family(address), index, ..NdMsg::default() };
    batch.message(libc::RTM_DELNEIGH, 0, &header, |attributes| attributes.ip(libc::NDA_DST, address));
}

/// Deletes a neighbour.
///
/// # Errors
/// `ENOENT` if there is none.
#[doc(alias = "RTM_DELNEIGH")]
pub fn delete(socket: &mut RouteSocket, index: u32, address: IpAddr) -> Result<()> {
    let mut batch = Batch::new();
    encode_delete(&mut batch, index, address);
    socket.execute(&mut batch)
}

/// Appends the request for a list of neighbours.
pub(crate) fn encode_list(batch: &mut Batch) {
    batch.message(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &NdMsg::default(), |_| {});
}

/// Lists the neighbours of the socket's namespace.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETNEIGH")]
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Neighbour>> {
    let mut batch = Batch::new();
    encode_list(&mut batch);
    socket.dump(&mut batch, |message| Ok(parse(message)))
}

/// Lists the addresses that the links of the socket's namespace answer for in place of others (`NTF_PROXY`).
///
/// # Errors
/// As [`list`].
pub fn list_proxies(socket: &mut RouteSocket) -> Result<Vec<Neighbour>> {
    let mut batch = Batch::new();
    let header = NdMsg { flags: libc::NTF_PROXY, ..NdMsg::default() };
    batch.message(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &header, |_| {});
    socket.dump(&mut batch, |message| Ok(parse(message)))
}

/// Describes the neighbour with this address.
///
/// # Errors
/// `ENOENT` if there is none.
#[doc(alias = "RTM_GETNEIGH")]
pub fn get(socket: &mut RouteSocket, index: u32, address: IpAddr, is_proxy: bool) -> Result<Neighbour> {
    let mut batch = Batch::new();
    let flags = if is_proxy { libc::NTF_PROXY } else { 0 };
    let header = NdMsg { family: family(address), index, flags, ..NdMsg::default() };
    batch.message(libc::RTM_GETNEIGH, 0, &header, |attributes| attributes.ip(libc::NDA_DST, address));
    socket.query(&mut batch, |message| {
        parse(message).ok_or_else(|| {
            Error::new(Operation::GetNeighbour, "", Cause::Reply("the kernel's answer is malformed".into()))
        })
    })
}

pub(super) fn parse(message: &Message<'_>) -> Option<Neighbour> {
    let header: NdMsg = message.family_header()?;
    let attributes = message.attributes_after::<NdMsg>();
    Some(Neighbour {
        index: header.index,
        address: attributes.find(libc::NDA_DST)?.ip()?,
        mac: attributes.find(libc::NDA_LLADDR).and_then(|mac| mac.mac()),
        state: header.state,
        flags: flags(&header, &attributes),
        protocol: Protocol(
            attributes.find(NDA_PROTOCOL).and_then(|protocol| protocol.value()).unwrap_or_default(),
        ),
    })
}

/// `NTF_*`, and above them `NTF_EXT_*` (`NTF_EXT_SHIFT` in
/// <https://github.com/torvalds/linux/blob/v6.12/include/net/neighbour.h>).
fn flags(header: &NdMsg, attributes: &Attributes<'_>) -> u32 {
    let extended = attributes.find(NDA_FLAGS_EXT).and_then(|flags| flags.value::<u32>());
    u32::from(header.flags) | extended.unwrap_or_default() << 8
}

/// An entry of a bridge's forwarding database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbEntry {
    /// The index of the port that the address is behind.
    pub port: u32,
    /// The address.
    pub mac: MacAddress,
    /// `NUD_*`: `NUD_PERMANENT` is an address of the host itself, `NUD_NOARP` one made by hand, `NUD_REACHABLE` a
    /// learnt one.
    pub state: u16,
    /// The index of the bridge; only in descriptions.
    pub bridge: Option<u32>,
    /// The VLAN that the address is in. A kernel whose bridges know VLANs, as that of every distribution, has an entry for
    /// each: a request with `None` makes one that is in no VLAN, which is used while the bridge does not filter
    /// ([`BridgeOptions::vlan_filtering`](crate::bridge::BridgeOptions::vlan_filtering)), and one in every VLAN that the
    /// port is in at that time, which is VLAN 1 by default.
    pub vlan: Option<u16>,
    /// The host that a VXLAN has the address behind; only in descriptions.
    pub destination: Option<IpAddr>,
    /// As [`Neighbour::flags`]: `NTF_SELF` is an address that the link itself listens to; only in descriptions.
    pub flags: u32,
}

impl FdbEntry {
    /// An address that stays behind this port (`bridge fdb add MAC dev PORT master static`).
    #[must_use]
    pub const fn fixed(port: u32, mac: MacAddress) -> Self {
        Self { port, mac, state: libc::NUD_NOARP, bridge: None, vlan: None, destination: None, flags: 0 }
    }

    fn header(&self) -> NdMsg {
        NdMsg {
            family: libc::AF_BRIDGE as u8,
            index: self.port,
            state: self.state,
            flags: libc::NTF_MASTER,
            ..NdMsg::default()
        }
    }
}

/// Appends the addition of a forwarding entry, or its replacement if there is one with this address.
pub fn encode_set_fdb(batch: &mut Batch, entry: &FdbEntry) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    batch.message(libc::RTM_NEWNEIGH, flags, &entry.header(), |attributes| {
        attributes.mac(libc::NDA_LLADDR, entry.mac);
        attributes.optional(libc::NDA_VLAN, entry.vlan);
    });
}

/// Adds a forwarding entry, or replaces the one with this address.
///
/// # Errors
/// `EOPNOTSUPP` if the link is not a port of a bridge, `EINVAL` if the port is not in the entry's VLAN.
///
/// ```
/// use netns_core::bridge::{self, Bridge};
/// use netns_core::neighbour::{self, FdbEntry};
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// bridge::create(&mut socket, &Bridge { index: Some(10), ..Bridge::new(IfName::new("br0")?, MacAddress::local(1)) })?;
/// let port = Veth { index: Some(11), bridge: Some(10), ..Veth::new(IfName::new("a")?, IfName::new("b")?) };
/// veth::create(&mut socket, &port)?;
/// neighbour::set_fdb(&mut socket, &FdbEntry::fixed(11, MacAddress::local(5)))?;
/// let entries = neighbour::list_fdb(&mut socket, 10)?;
/// assert!(entries.iter().any(|entry| entry.mac == MacAddress::local(5) && entry.port == 11));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "NTF_MASTER")]
pub fn set_fdb(socket: &mut RouteSocket, entry: &FdbEntry) -> Result<()> {
    let mut batch = Batch::new();
    encode_set_fdb(&mut batch, entry);
    socket.execute(&mut batch)
}

/// Appends the deletion of a forwarding entry, in every VLAN of the port and in none.
pub fn encode_delete_fdb(batch: &mut Batch, port: u32, mac: MacAddress) {
    let header = NdMsg { state: 0, ..FdbEntry::fixed(port, mac).header() };
    batch.message(libc::RTM_DELNEIGH, 0, &header, |attributes| attributes.mac(libc::NDA_LLADDR, mac));
}

/// Deletes a forwarding entry, in every VLAN of the port and in none.
///
/// # Errors
/// `ENOENT` if there is none.
pub fn delete_fdb(socket: &mut RouteSocket, port: u32, mac: MacAddress) -> Result<()> {
    let mut batch = Batch::new();
    encode_delete_fdb(&mut batch, port, mac);
    socket.execute(&mut batch)
}

/// Appends the request for a list of a bridge's forwarding entries.
pub(crate) fn encode_list_fdb(batch: &mut Batch, bridge: u32) {
    let header = NdMsg { family: libc::AF_BRIDGE as u8, ..NdMsg::default() };
    batch.message(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &header, |attributes| {
        attributes.value(NDA_MASTER, bridge);
    });
}

/// Lists the forwarding entries of the bridge with this index. An address is in the list once for each VLAN that it is
/// in; see [`FdbEntry::vlan`].
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETNEIGH")]
pub fn list_fdb(socket: &mut RouteSocket, bridge: u32) -> Result<Vec<FdbEntry>> {
    let mut batch = Batch::new();
    encode_list_fdb(&mut batch, bridge);
    let mut entries = socket.dump(&mut batch, |message| Ok(parse_fdb(message)))?;
    // The bridge's own addresses are described with its own index, and a kernel may ignore the filter.
    entries.retain(|entry| entry.bridge.unwrap_or(entry.port) == bridge);
    Ok(entries)
}

/// Lists the forwarding entries of all bridges, those of the links themselves (`NTF_SELF`) included, as `bridge fdb show`
/// has them.
///
/// # Errors
/// As [`list_fdb`].
#[doc(alias = "RTM_GETNEIGH")]
pub fn list_fdb_all(socket: &mut RouteSocket) -> Result<Vec<FdbEntry>> {
    let mut batch = Batch::new();
    let header = NdMsg { family: libc::AF_BRIDGE as u8, ..NdMsg::default() };
    batch.message(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &header, |_| {});
    socket.dump(&mut batch, |message| Ok(parse_fdb(message)))
}

pub(super) fn parse_fdb(message: &Message<'_>) -> Option<FdbEntry> {
    let header: NdMsg = message.family_header()?;
    let attributes = message.attributes_after::<NdMsg>();
    Some(FdbEntry {
        port: header.index,
        mac: attributes.find(libc::NDA_LLADDR)?.mac()?,
        state: header.state,
        bridge: attributes.find(NDA_MASTER).and_then(|bridge| bridge.value()),
        vlan: attributes.find(libc::NDA_VLAN).and_then(|vlan| vlan.value()),
        destination: attributes.find(libc::NDA_DST).and_then(|host| host.ip()),
        flags: flags(&header, &attributes),
    })
}
