//! Routes: `ip route`.

use super::socket::RouteSocket;
use crate::net::family;
use crate::wire::{Batch, Message, RtMsg};
use crate::{Error, IpNet, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A unicast route, to be added or as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads: a network, or `0.0.0.0/0` or `::/0` for the default route.
    pub destination: IpNet,
    /// The router that packets go to; `None` if the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The index of the interface that packets leave by; `None` lets the kernel find it from the gateway.
    pub index: Option<u32>,
    /// The lower, the more it is preferred; `None` is the kernel's default: 0 for IPv4, 1024 for IPv6.
    pub metric: Option<u32>,
    /// The routing table; 254 is the main one.
    pub table: u32,
}

impl Route {
    /// A route in the main table.
    #[must_use]
    pub const fn new(destination: IpNet, gateway: Option<IpAddr>, index: Option<u32>) -> Self {
        Self { destination, gateway, index, metric: None, table: libc::RT_TABLE_MAIN as u32 }
    }

    /// The default route of the gateway's family.
    #[must_use]
    pub const fn default_via(gateway: IpAddr) -> Self {
        Self::new(IpNet::everything(gateway), Some(gateway), None)
    }

    fn write(&self, batch: &mut Batch, kind: u16, flags: i32) {
        let deleting = kind == libc::RTM_DELROUTE;
        let on_link = self.gateway.is_none() && self.destination.address().is_ipv4();
        let header = RtMsg {
            family: family(self.destination.address()),
            destination_prefix: self.destination.prefix(),
            table: u8::try_from(self.table).unwrap_or(libc::RT_TABLE_UNSPEC),
            protocol: if deleting { libc::RTPROT_UNSPEC } else { libc::RTPROT_BOOT },
            scope: match (deleting, on_link) {
                (true, _) => libc::RT_SCOPE_NOWHERE,
                (false, true) => libc::RT_SCOPE_LINK,
                (false, false) => libc::RT_SCOPE_UNIVERSE,
            },
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

/// Appends the addition of a route.
pub fn encode_add(batch: &mut Batch, route: &Route) {
    route.write(batch, libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
}

/// Adds a route.
///
/// # Errors
/// `EEXIST` if there is one, `ENETUNREACH` if the gateway is on none of the links, `ENETDOWN` if the interface is
/// down.
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
pub fn add(socket: &mut RouteSocket, route: &Route) -> Result<()> {
    same_family(route)?;
    let mut batch = Batch::new();
    encode_add(&mut batch, route);
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
pub fn delete(socket: &mut RouteSocket, route: &Route) -> Result<()> {
    same_family(route)?;
    let mut batch = Batch::new();
    encode_delete(&mut batch, route);
    socket.execute(&mut batch)
}

fn same_family(route: &Route) -> Result<()> {
    match route.gateway {
        Some(gateway) if gateway.is_ipv4() != route.destination.address().is_ipv4() => Err(Error::invalid(
            "use route",
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
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Route>> {
    let mut batch = Batch::new();
    encode_list(&mut batch);
    socket.dump(&mut batch, |message| Ok(parse(message)))
}

/// Reads an `RTM_NEWROUTE`; `None` if it is something else, or no unicast route.
fn parse(message: &Message<'_>) -> Option<Route> {
    let header: RtMsg = message.family_header()?;
    if message.header.kind != libc::RTM_NEWROUTE || header.kind != libc::RTN_UNICAST {
        return None;
    }
    let attributes = message.attributes_after::<RtMsg>();
    let destination = match attributes.find(libc::RTA_DST) {
        Some(destination) => destination.ip()?,
        None if i32::from(header.family) == libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        None if i32::from(header.family) == libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        None => return None,
    };
    let table = attributes.find(libc::RTA_TABLE).and_then(|table| table.value());
    let table = table.unwrap_or(header.table.into());
    (table != u32::from(libc::RT_TABLE_LOCAL)).then_some(())?;
    Some(Route {
        destination: IpNet::new(destination, header.destination_prefix).ok()?,
        gateway: attributes.find(libc::RTA_GATEWAY).and_then(|gateway| gateway.ip()),
        index: attributes.find(libc::RTA_OIF).and_then(|index| index.value()),
        metric: attributes.find(libc::RTA_PRIORITY).and_then(|metric| metric.value()),
        table,
    })
}
