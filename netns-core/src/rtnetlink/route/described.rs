//! Routes with all that the kernel says of them.

use super::{Route, parse, parse_via};
use crate::error::Operation;
use crate::rtnetlink::socket::RouteSocket;
use crate::wire::{Attributes, Batch, Message, RTA_ENCAP_TYPE, RTA_NH_ID, RTA_UID, RTA_VIA, RtMsg, align};
use crate::{Cause, Error, IpNet, Result};
use bytemuck::pod_read_unaligned;
use std::net::{IpAddr, Ipv6Addr};

/// A route with what [`Route`] has no room for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribedRoute {
    /// What all routes have.
    pub route: Route,
    /// The packets that it is for, by their `IP_TOS`; 0 is all.
    pub tos: u8,
    /// Where packets have to come from to take it.
    pub from: Option<IpNet>,
    /// Its realms (`RTA_FLOW`): that of the source in the upper 16 bits, and of the destination.
    pub realms: Option<u32>,
    /// The next-hop object that it goes by (`ip nexthop`).
    pub next_hop_id: Option<u32>,
    /// How packets are wrapped, `LWTUNNEL_ENCAP_*`.
    pub encapsulation: Option<u16>,
    /// The user that the answer of [`find`] is for.
    pub user: Option<u32>,
    /// Its limits by their numbers, `RTAX_*`: 2 is the MTU.
    pub metrics: Vec<(u16, u32)>,
    /// The routers that it is spread over.
    pub next_hops: Vec<NextHop>,
}

/// One of several routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextHop {
    /// Its address; `None` if the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// As [`Route::via`].
    pub via: Option<Ipv6Addr>,
    /// The index of the interface.
    pub index: u32,
    /// Its share, 1 to 256.
    pub weight: u16,
    /// `RTNH_F_*`.
    pub flags: u32,
    /// As [`DescribedRoute::realms`].
    pub realms: Option<u32>,
}

/// `struct rtnexthop` of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
const NEXT_HOP: usize = 8;

/// Lists the routes of the socket's namespace, of all tables and kinds, the local one included.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETROUTE")]
pub fn list_described(socket: &mut RouteSocket) -> Result<Vec<DescribedRoute>> {
    let mut batch = Batch::new();
    super::encode_list(&mut batch);
    socket.dump(&mut batch, |message| Ok(describe(message)))
}

/// Sends a request for the route that a packet would take (`RTM_GETROUTE`), and reads the answer.
///
/// # Errors
/// `ENETUNREACH` if there is none, and what the kernel says of routes that refuse.
///
/// ```
/// use netns_core::wire::{Batch, RtMsg};
/// use netns_core::{Namespace, RouteSocket, link, route};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// link::set_up(&mut socket, 1)?;
/// let mut request = Batch::new();
/// let header = RtMsg { family: libc::AF_INET as u8, destination_prefix: 32, ..RtMsg::default() };
/// request.message(libc::RTM_GETROUTE, 0, &header, |attributes| {
///     attributes.ip(libc::RTA_DST, [127, 0, 0, 1].into());
/// });
/// assert_eq!(route::find(&mut socket, &mut request)?.route.index, Some(1));
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn find(socket: &mut RouteSocket, request: &mut Batch) -> Result<DescribedRoute> {
    socket.query(request, |message| {
        describe(message).ok_or_else(|| {
            Error::new(Operation::GetRoute, "", Cause::Reply("the kernel's answer is malformed".into()))
        })
    })
}

/// The route that a packet of the host's own to this address takes: `ip route get`. One request, however many routes there are.
///
/// # Errors
/// `ENETUNREACH` if there is none, and what the kernel says of routes that refuse.
///
/// ```
/// use netns_core::{Namespace, RouteSocket, link, route};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// link::set_up(&mut socket, 1)?;
/// assert_eq!(route::lookup(&mut socket, [127, 0, 0, 1].into())?.index, Some(1));
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn lookup(socket: &mut RouteSocket, destination: IpAddr) -> Result<Route> {
    let net = IpNet::single(destination);
    let family = if destination.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let header = RtMsg { family: family as u8, destination_prefix: net.prefix(), ..RtMsg::default() };
    let mut request = Batch::new();
    request.message(libc::RTM_GETROUTE, 0, &header, |attributes| attributes.ip(libc::RTA_DST, destination));
    Ok(find(socket, &mut request)?.route)
}

fn describe(message: &Message<'_>) -> Option<DescribedRoute> {
    let route = parse(message)?;
    let header: RtMsg = message.family_header()?;
    let attributes = message.attributes_after::<RtMsg>();
    let number = |kind| attributes.find(kind).and_then(|number| number.value::<u32>());
    let from = attributes.find(libc::RTA_SRC).and_then(|from| from.ip());
    let metrics = attributes.find(libc::RTA_METRICS).map_or(Attributes::new(&[]), |metrics| metrics.nested());
    let hops = attributes.find(libc::RTA_MULTIPATH).map_or(&[][..], |hops| hops.bytes);
    Some(DescribedRoute {
        tos: header.tos,
        from: from.and_then(|from| IpNet::new(from, header.source_prefix).ok()),
        realms: number(libc::RTA_FLOW),
        next_hop_id: number(RTA_NH_ID),
        encapsulation: attributes.find(RTA_ENCAP_TYPE).and_then(|kind| kind.value()),
        user: number(RTA_UID),
        metrics: metrics.filter_map(|metric| Some((metric.kind, metric.value()?))).collect(),
        next_hops: next_hops(hops),
        route,
    })
}

/// It ends at the end, or at the first one that is shorter than its header or longer than what is left.
fn next_hops(mut bytes: &[u8]) -> Vec<NextHop> {
    let mut hops = Vec::new();
    while let Some(header) = bytes.first_chunk::<NEXT_HOP>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let Some(attributes) = bytes.get(NEXT_HOP..length) else { break };
        let attributes = Attributes::new(attributes);
        hops.push(NextHop {
            gateway: attributes.find(libc::RTA_GATEWAY).and_then(|gateway| gateway.ip()),
            via: attributes.find(RTA_VIA).and_then(|via| parse_via(via.bytes)),
            index: pod_read_unaligned(&header[4..8]),
            weight: u16::from(header[3]) + 1,
            flags: header[2].into(),
            realms: attributes.find(libc::RTA_FLOW).and_then(|realms| realms.value()),
        });
        bytes = bytes.get(align(length)..).unwrap_or_default();
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::next_hops;

    #[test]
    fn hops_that_are_cut_off_end_the_list() {
        let hop = |length: u16, flags: u8, hops: u8, index: u32| {
            [&length.to_ne_bytes()[..], &[flags, hops], &index.to_ne_bytes()].concat()
        };
        let one = hop(8, 4, 9, 7);
        for (bytes, count) in [
            (&one[..], 1),
            (&one[..7], 0),
            (&[&*one, &hop(9, 0, 0, 1)].concat(), 1),
            (&[&*one, &*one].concat(), 2),
            (&hop(4, 0, 0, 1), 0),
        ] {
            let hops = next_hops(bytes);
            assert_eq!(hops.len(), count, "{bytes:?}");
            assert!(hops.iter().all(|hop| (hop.index, hop.weight, hop.flags) == (7, 10, 4)));
        }
    }
}
