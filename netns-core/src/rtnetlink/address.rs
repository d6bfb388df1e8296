//! Addresses of interfaces: `ip addr`.

use super::socket::RouteSocket;
pub use super::words::Scope;
use crate::wire::{Batch, IFA_RT_PRIORITY, IfAddrMsg, IfaCacheInfo, Message, RtMsg};
use crate::{IpNet, Result};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// An address of an interface, to be added or as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address and the prefix of its network, to which the kernel makes a route.
    pub net: IpNet,
    /// Whether an IPv6 address is used at once, without asking the network for a second or two whether somebody else
    /// has it (duplicate address detection). IPv4 has none.
    pub nodad: bool,
    /// Whether it is not usable yet, because that question is open (`IFA_F_TENTATIVE`); only in descriptions.
    pub tentative: bool,
    /// The other side of a point-to-point address, whose network `net`'s prefix is then; only in descriptions.
    pub peer: Option<IpAddr>,
    /// The IPv4 address that all on the link listen to; only in descriptions: of a new one it follows from `net`.
    pub broadcast: Option<IpAddr>,
    /// How far it is known; only in descriptions: a new one is of the host if it is a loopback address, else global.
    pub scope: Scope,
    /// The name that an IPv4 address goes by, by default its interface's; only in descriptions.
    pub label: Option<Label>,
    /// `IFA_F_*`, those with a field of their own included; only in descriptions.
    pub flags: u32,
    /// How much longer it is valid, in whole seconds, `None` for ever; only in descriptions.
    pub valid: Option<Duration>,
    /// How much longer new connections may use it, likewise.
    pub preferred: Option<Duration>,
    /// The metric of the route to its network; `None` is the kernel's default. Only in descriptions.
    pub metric: Option<u32>,
}

impl Address {
    /// `net` on the interface with this index; an IPv6 address is used at once.
    #[must_use]
    pub const fn new(index: u32, net: IpNet) -> Self {
        Self {
            index,
            net,
            nodad: true,
            tentative: false,
            peer: None,
            broadcast: None,
            scope: scope(net.address()),
            label: None,
            flags: 0,
            valid: None,
            preferred: None,
            metric: None,
        }
    }

    fn header(&self) -> IfAddrMsg {
        let nodad = self.nodad && self.net.address().is_ipv6();
        IfAddrMsg {
            family: self.net.family(),
            prefix: self.net.prefix(),
            flags: if nodad { libc::IFA_F_NODAD as u8 } else { 0 },
            scope: scope(self.net.address()).0,
            index: self.index,
        }
    }
}

/// A loopback address is of the host, everything else of the world, as `ip addr add` has it.
const fn scope(address: IpAddr) -> Scope {
    if address.is_loopback() { Scope::HOST } else { Scope::GLOBAL }
}

/// The name of an IPv4 address: up to fifteen bytes, which the kernel does not look into. `ifconfig` took addresses
/// with labels such as `eth0:1` for interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    bytes: [u8; libc::IFNAMSIZ],
}

impl Label {
    /// Reads `IFA_LABEL`; `None` if it is not UTF-8, or too long for a label.
    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        bytes[..libc::IFNAMSIZ - 1].get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes })
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(self.bytes.len());
        // It was made from a `&str`, so this cannot be `""` by mistake.
        std::str::from_utf8(&self.bytes[..end]).unwrap_or_default()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

/// Appends the addition of an address.
#[doc(alias = "RTM_NEWADDR")]
pub fn encode_add(batch: &mut Batch, address: &Address) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.message(libc::RTM_NEWADDR, flags, &address.header(), |attributes| {
        attributes.ip(libc::IFA_LOCAL, address.net.address());
        attributes.ip(libc::IFA_ADDRESS, address.net.address());
        // The kernel does not work out the broadcast address by itself, and `/31` has none.
        if address.net.address().is_ipv4() && address.net.prefix() < 31 {
            attributes.ip(libc::IFA_BROADCAST, address.net.last());
        }
    });
}

/// Appends the route by which the kernel recognises an IPv6 address as its own. It makes one itself, but only when a
/// kernel thread comes to it (`addrconf_dad_work` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/addrconf.c>, duplicate address detection or not), and until
/// then it drops what is sent to the address. The kernel's own has a better metric, so that the two do not clash; ours
/// goes with the address's interface. Nothing is appended for an IPv4 address, which works at once.
pub fn encode_local_route(batch: &mut Batch, index: u32, address: IpAddr) {
    if address.is_ipv4() {
        return;
    }
    let header = RtMsg {
        family: libc::AF_INET6 as u8,
        destination_prefix: 128,
        table: libc::RT_TABLE_LOCAL,
        protocol: libc::RTPROT_KERNEL,
        kind: libc::RTN_LOCAL,
        ..RtMsg::default()
    };
    batch.message(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &header, |attributes| {
        attributes.ip(libc::RTA_DST, address);
        attributes.value(libc::RTA_OIF, index);
    });
}

/// Adds an address.
///
/// # Errors
/// `EEXIST` if the interface has it, `ENODEV` if there is no such interface.
///
/// ```
/// use netns_core::address::{self, Address};
/// use netns_core::{Namespace, RouteSocket};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// address::add(&mut socket, &Address::new(1, "10.1.1.1/24".parse()?))?;
/// assert!(address::list(&mut socket)?.iter().any(|known| known.net.to_string() == "10.1.1.1/24"));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_NEWADDR")]
pub fn add(socket: &mut RouteSocket, address: &Address) -> Result<()> {
    let mut batch = Batch::new();
    encode_add(&mut batch, address);
    socket.execute(&mut batch)
}

/// Appends the deletion of an address.
#[doc(alias = "RTM_DELADDR")]
pub fn encode_delete(batch: &mut Batch, index: u32, net: IpNet) {
    let header = Address { nodad: false, ..Address::new(index, net) }.header();
    batch.message(libc::RTM_DELADDR, 0, &header, |attributes| {
        attributes.ip(libc::IFA_LOCAL, net.address());
        attributes.ip(libc::IFA_ADDRESS, net.address());
    });
}

/// Deletes an address.
///
/// # Errors
/// `EADDRNOTAVAIL` if the interface does not have it.
#[doc(alias = "RTM_DELADDR")]
pub fn delete(socket: &mut RouteSocket, index: u32, net: IpNet) -> Result<()> {
    let mut batch = Batch::new();
    encode_delete(&mut batch, index, net);
    socket.execute(&mut batch)
}

/// Appends the request for a list of addresses.
pub(crate) fn encode_list(batch: &mut Batch) {
    batch.message(libc::RTM_GETADDR, libc::NLM_F_DUMP, &IfAddrMsg::default(), |_| {});
}

/// Lists the addresses of one interface, IPv4 first. The kernel picks them, from Linux 4.20 on, so that a list of few does not
/// grow with the namespace
/// (`inet_dump_ifaddr` of <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c>).
///
/// # Errors
/// `ENODEV` if there is no such interface, or as [`list`].
///
/// ```
/// use netns_core::{Namespace, RouteSocket, address, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// link::set_up(&mut socket, 1)?;
/// assert_eq!(address::list_of(&mut socket, 1)?[0].net.to_string(), "127.0.0.1/8");
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_GETADDR")]
pub fn list_of(socket: &mut RouteSocket, index: u32) -> Result<Vec<Address>> {
    let mut batch = Batch::new();
    let header = IfAddrMsg { index, ..IfAddrMsg::default() };
    batch.message(libc::RTM_GETADDR, libc::NLM_F_DUMP, &header, |_| {});
    // Older kernels ignore what is not the family, and list all.
    socket.dump(&mut batch, |message| Ok(parse(message).filter(|address| address.index == index)))
}

/// Lists the addresses of the socket's namespace, IPv4 first.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETADDR")]
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Address>> {
    let mut batch = Batch::new();
    encode_list(&mut batch);
    socket.dump(&mut batch, |message| Ok(parse(message)))
}

/// Reads an `RTM_NEWADDR` or `RTM_DELADDR`; `None` if it is something else.
pub(crate) fn parse(message: &Message<'_>) -> Option<Address> {
    if !matches!(message.header.kind, libc::RTM_NEWADDR | libc::RTM_DELADDR) {
        return None;
    }
    let header: IfAddrMsg = message.family_header()?;
    let attributes = message.attributes_after::<IfAddrMsg>();
    let ip = |kind| attributes.find(kind).and_then(|address| address.ip());
    // On a point-to-point link IFA_ADDRESS is the other side's; IFA_LOCAL, where there is one, is always ours.
    let local = ip(libc::IFA_LOCAL).or_else(|| ip(libc::IFA_ADDRESS))?;
    let flags = attributes.find(libc::IFA_FLAGS).and_then(|flags| flags.value());
    let flags: u32 = flags.unwrap_or(header.flags.into());
    let lifetimes = attributes.find(libc::IFA_CACHEINFO).and_then(|info| info.prefix::<IfaCacheInfo>());
    let label = attributes.find(libc::IFA_LABEL).and_then(|label| label.text());
    Some(Address {
        index: header.index,
        net: IpNet::new(local, header.prefix).ok()?,
        nodad: flags & libc::IFA_F_NODAD != 0,
        tentative: flags & libc::IFA_F_TENTATIVE != 0,
        peer: ip(libc::IFA_ADDRESS).filter(|&address| address != local),
        broadcast: ip(libc::IFA_BROADCAST),
        scope: Scope(header.scope),
        label: label.and_then(Label::new),
        flags,
        valid: lifetimes.and_then(|lifetimes| lifetime(lifetimes.valid)),
        preferred: lifetimes.and_then(|lifetimes| lifetime(lifetimes.preferred)),
        metric: attributes
            .find(IFA_RT_PRIORITY)
            .and_then(|metric| metric.value())
            .filter(|&metric| metric != 0),
    })
}

/// `INFINITY_LIFE_TIME` of <https://github.com/torvalds/linux/blob/v6.12/include/net/addrconf.h> is no time.
fn lifetime(seconds: u32) -> Option<Duration> {
    (seconds != u32::MAX).then(|| Duration::from_secs(seconds.into()))
}
