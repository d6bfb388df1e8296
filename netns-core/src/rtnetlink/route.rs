//! Routes: `ip route`.

mod described;
mod notices;

use super::socket::RouteSocket;
pub use super::words::{Preference, Protocol, RouteKind, Scope};
use crate::error::Operation;
use crate::net::family;
use crate::wire::{Batch, Message, RTA_PREF, RTA_VIA, RtMsg, RtaCacheInfo};
use crate::{Error, IpNet, Result};
pub use described::{DescribedRoute, NextHop, find, list_described, lookup};
pub use notices::RouteNotices;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A unicast route, to be added, or any route as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads: a network, or `0.0.0.0/0` or `::/0` for the default route.
    pub destination: IpNet,
    /// The router that packets go to; `None` if the destination is on the link itself, and in descriptions where there
    /// are several.
    pub gateway: Option<IpAddr>,
    /// The index of the interface that packets leave by; `None` lets the kernel find it from the gateway.
    pub index: Option<u32>,
    /// The lower, the more it is preferred; `None` is the kernel's default: 0 for IPv4, 1024 for IPv6.
    pub metric: Option<u32>,
    /// The routing table; 254 is the main one.
    pub table: u32,
    /// What it does with packets; only in descriptions: a new one sends them on.
    pub kind: RouteKind,
    /// Who made it; only in descriptions: a new one says [`Protocol::BOOT`].
    pub protocol: Protocol,
    /// How far the destination is; only in descriptions: of a new IPv4 one that has no gateway it is on the link, else
    /// anywhere, as it always is for IPv6.
    pub scope: Scope,
    /// The router of an IPv4 route that is known by an IPv6 address (RFC 8950), in place of `gateway`; only in
    /// descriptions.
    pub via: Option<Ipv6Addr>,
    /// The address of this host that is preferred to send from; only in descriptions.
    pub source: Option<IpAddr>,
    /// `RTNH_F_*` and `RTM_F_*`: whether it is dead, on a link that is down; of a new one, [`ONLINK`] alone.
    pub flags: u32,
    /// Which of equal IPv6 routes is preferred; only in descriptions.
    pub preference: Option<Preference>,
    /// How much longer it is valid, `None` for ever; only in descriptions.
    pub expires: Option<Duration>,
}

impl Route {
    /// A route in the main table.
    #[must_use]
    pub const fn new(destination: IpNet, gateway: Option<IpAddr>, index: Option<u32>) -> Self {
        Self {
            destination,
            gateway,
            index,
            metric: None,
            table: libc::RT_TABLE_MAIN as u32,
            kind: RouteKind::UNICAST,
            protocol: Protocol::BOOT,
            scope: scope(destination, gateway),
            via: None,
            source: None,
            flags: 0,
            preference: None,
            expires: None,
        }
    }

    /// The default route of the gateway's family.
    #[must_use]
    pub const fn default_via(gateway: IpAddr) -> Self {
        Self::new(IpNet::everything(gateway), Some(gateway), None)
    }

    fn write(&self, batch: &mut Batch, kind: u16, flags: i32) {
        let deleting = kind == libc::RTM_DELROUTE;
        let header = RtMsg {
            family: family(self.destination.address()),
            destination_prefix: self.destination.prefix(),
            table: u8::try_from(self.table).unwrap_or(libc::RT_TABLE_UNSPEC),
            protocol: if deleting { libc::RTPROT_UNSPEC } else { libc::RTPROT_BOOT },
            scope: if deleting { Scope::NOWHERE.0 } else { scope(self.destination, self.gateway).0 },
            flags: self.flags & ONLINK,
            kind: if deleting { libc::RTN_UNSPEC } else { libc::RTN_UNICAST },
            ..RtMsg::default()
        };
        batch.message(kind, flags, &header, |attributes| {
            if self.destination.prefix() > 0 {
                attributes.ip(libc::RTA_DST, self.destination.network().address());
            }
            if let Some(gateway) = self.gateway {
                attributes.ip(libc::RTA_GATEWAY, gateway);
            }
            attributes.optional(libc::RTA_OIF, self.index);
            attributes.optional(libc::RTA_PRIORITY, self.metric);
            attributes.optional(libc::RTA_TABLE, (self.table > 255).then_some(self.table));
        });
    }
}

/// `RTNH_F_ONLINK`, of [`Route::flags`]: the gateway is taken to be on the link, whatever addresses that has.
pub const ONLINK: u32 = 4;

/// The scope of a new route, as `ip route add` has it.
const fn scope(destination: IpNet, gateway: Option<IpAddr>) -> Scope {
    if gateway.is_none() && destination.address().is_ipv4() { Scope::LINK } else { Scope::GLOBAL }
}

/// Appends the addition of a route.
#[doc(alias = "RTM_NEWROUTE")]
pub fn encode_add(batch: &mut Batch, route: &Route) {
    route.write(batch, libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
}

/// Adds a route.
///
/// # Errors
/// `EEXIST` if there is one, `ENETUNREACH` if the gateway is on none of the links, `ENETDOWN` if the interface is
/// down. One that is not unicast, as [`list_all`] has them, is refused here.
///
/// ```
/// use netns_core::address::{self, Address};
/// use netns_core::route::{self, Route};
/// use netns_core::{Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// link::set_up(&mut socket, 1)?;
/// address::add(&mut socket, &Address::new(1, "10.1.1.1/24".parse()?))?;
/// route::add(&mut socket, &Route::default_via("10.1.1.254".parse().unwrap()))?;
/// let routes = route::list(&mut socket)?;
/// assert!(routes.iter().any(|route| route.destination.prefix() == 0));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_NEWROUTE")]
pub fn add(socket: &mut RouteSocket, route: &Route) -> Result<()> {
    same_family(route)?;
    unicast(route)?;
    let mut batch = Batch::new();
    encode_add(&mut batch, route);
    socket.execute(&mut batch)
}

/// Adds a route beside one to the same destination, if there is one: `ip route prepend`. A new IPv4 route is looked at
/// first then; an IPv6 one is used in turn with those that are there.
///
/// # Errors
/// `EEXIST` if there is the very same route; else as [`add`].
///
/// ```
/// use netns_core::address::{self, Address};
/// use netns_core::route::{self, Route};
/// use netns_core::{Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// link::set_up(&mut socket, 1)?;
/// address::add(&mut socket, &Address::new(1, "10.1.1.1/24".parse()?))?;
/// route::add(&mut socket, &Route::default_via("10.1.1.254".parse().unwrap()))?;
/// assert!(route::add(&mut socket, &Route::default_via("10.1.1.253".parse().unwrap())).is_err());
/// route::prepend(&mut socket, &Route::default_via("10.1.1.253".parse().unwrap()))?;
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_NEWROUTE")]
pub fn prepend(socket: &mut RouteSocket, route: &Route) -> Result<()> {
    same_family(route)?;
    unicast(route)?;
    let mut batch = Batch::new();
    route.write(&mut batch, libc::RTM_NEWROUTE, libc::NLM_F_CREATE);
    socket.execute(&mut batch)
}

/// Appends the deletion of the route that matches in all that is given.
pub fn encode_delete(batch: &mut Batch, route: &Route) {
    route.write(batch, libc::RTM_DELROUTE, 0);
}

/// Deletes the route that matches in all that is given.
///
/// # Errors
/// `ESRCH` if there is none.
#[doc(alias = "RTM_DELROUTE")]
pub fn delete(socket: &mut RouteSocket, route: &Route) -> Result<()> {
    same_family(route)?;
    let mut batch = Batch::new();
    encode_delete(&mut batch, route);
    socket.execute(&mut batch)
}

fn unicast(route: &Route) -> Result<()> {
    if route.kind == RouteKind::UNICAST {
        return Ok(());
    }
    let object = format!("{} {}", route.kind, route.destination);
    Err(Error::invalid(Operation::UseRoute, object, "only unicast routes can be added"))
}

fn same_family(route: &Route) -> Result<()> {
    match route.gateway {
        Some(gateway) if gateway.is_ipv4() != route.destination.address().is_ipv4() => Err(Error::invalid(
            Operation::UseRoute,
            format!("{} via {gateway}", route.destination),
            "destination and gateway are of different families",
        )),
        _ => Ok(()),
    }
}

/// Appends the request for a list of routes.
pub(crate) fn encode_list(batch: &mut Batch) {
    batch.message(libc::RTM_GETROUTE, libc::NLM_F_DUMP, &RtMsg::default(), |_| {});
}

/// Lists the unicast routes of the socket's namespace, of all tables but the local one.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETROUTE")]
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Route>> {
    list_where(socket, |kind| kind == RouteKind::UNICAST)
}

/// Lists the routes of the socket's namespace, of all tables but the local one, those too that drop or refuse packets.
///
/// # Errors
/// As [`list`].
///
/// ```
/// use netns_core::{RouteSocket, route};
///
/// for route in route::list_all(&mut RouteSocket::open()?)? {
///     // In the words of `ip -details route`: "blackhole 10.0.0.0/8 proto dhcp scope global".
///     println!("{} {} proto {} scope {}", route.kind, route.destination, route.protocol, route.scope);
/// }
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn list_all(socket: &mut RouteSocket) -> Result<Vec<Route>> {
    list_where(socket, |_| true)
}

fn list_where(socket: &mut RouteSocket, wanted: impl Fn(RouteKind) -> bool) -> Result<Vec<Route>> {
    let mut batch = Batch::new();
    encode_list(&mut batch);
    let is_local = |route: &Route| route.table == u32::from(libc::RT_TABLE_LOCAL);
    socket
        .dump(&mut batch, |message| Ok(parse(message).filter(|route| !is_local(route) && wanted(route.kind))))
}

/// Reads an `RTM_NEWROUTE`; `None` if it is something else, or neither IPv4 nor IPv6.
fn parse(message: &Message<'_>) -> Option<Route> {
    let header: RtMsg = message.family_header()?;
    if message.header.kind != libc::RTM_NEWROUTE {
        return None;
    }
    let attributes = message.attributes_after::<RtMsg>();
    // The list has those of other families too, if the kernel knows any: of MPLS, of multicast routers.
    let any = match i32::from(header.family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let destination = attributes.find(libc::RTA_DST).map_or(Some(any), |destination| destination.ip())?;
    let table = attributes.find(libc::RTA_TABLE).and_then(|table| table.value());
    let table = table.unwrap_or(header.table.into());
    let info = attributes.find(libc::RTA_CACHEINFO).and_then(|info| info.prefix::<RtaCacheInfo>());
    Some(Route {
        destination: IpNet::new(destination, header.destination_prefix).ok()?,
        gateway: attributes.find(libc::RTA_GATEWAY).and_then(|gateway| gateway.ip()),
        index: attributes.find(libc::RTA_OIF).and_then(|index| index.value()),
        metric: attributes.find(libc::RTA_PRIORITY).and_then(|metric| metric.value()),
        table,
        kind: RouteKind(header.kind),
        protocol: Protocol(header.protocol),
        scope: Scope(header.scope),
        via: attributes.find(RTA_VIA).and_then(|via| parse_via(via.bytes)),
        source: attributes.find(libc::RTA_PREFSRC).and_then(|source| source.ip()),
        flags: header.flags,
        preference: attributes.find(RTA_PREF).and_then(|pref| pref.value()).map(Preference),
        expires: info.and_then(|info| expiry(info.expires)),
    })
}

/// The address in a `struct rtvia`, behind its family, of two bytes.
fn parse_via(via: &[u8]) -> Option<Ipv6Addr> {
    let (_, address) = via.split_first_chunk::<2>()?;
    <[u8; 16]>::try_from(address).ok().map(Ipv6Addr::from)
}

/// From clock ticks, a hundred a second (`USER_HZ`). What is over already is so until the kernel comes to it.
fn expiry(ticks: i32) -> Option<Duration> {
    (ticks != 0).then(|| Duration::from_millis(u64::try_from(ticks).unwrap_or(0) * 10))
}
