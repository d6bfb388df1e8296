//! Changing a link: what `ip link set` does.

use super::addrgenmode::AddrGenMode;
use super::description::LinkId;
use crate::rtnetlink::socket::RouteSocket;
use crate::wire::{Batch, IFLA_INET6_ADDR_GEN_MODE};
use crate::{IfName, MacAddress, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// What to change of a link; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkChange<'a> {
    /// Set it up, or take it down.
    pub up: Option<bool>,
    /// Whether it hands up frames for other MAC addresses too (`promisc on`).
    pub promiscuous: Option<bool>,
    /// Whether it hands up all multicast frames (`allmulticast on`).
    pub all_multicast: Option<bool>,
    /// A new name. The link must be known by index then; most kernels want it down (before 6.2).
    pub name: Option<IfName>,
    /// A new MAC address.
    pub mac: Option<MacAddress>,
    /// A new MTU, in bytes.
    pub mtu: Option<u32>,
    /// The index of the bridge to join; 0 takes it off the one that it is on.
    pub master: Option<u32>,
    /// A new group.
    pub group: Option<u32>,
    /// How it comes by its IPv6 link-local address: to be set before it is up and has a carrier, and so in a request
    /// before the one that raises it, of which the kernel does that part first. Nor does the kernel take it in the
    /// request that makes a link.
    pub addrgenmode: Option<AddrGenMode>,
    /// The namespace to move to. It loses addresses and routes on the way, and the kernel takes some 16 ms for it
    /// with the RTNL lock held; [`veth::create`](crate::veth::create) makes links where they belong instead.
    pub namespace: Option<BorrowedFd<'a>>,
}

impl LinkChange<'_> {
    /// No change: the default, for constants.
    pub const NONE: Self = Self {
        up: None,
        promiscuous: None,
        all_multicast: None,
        name: None,
        mac: None,
        mtu: None,
        master: None,
        group: None,
        addrgenmode: None,
        namespace: None,
    };
}

/// Appends a change of a link.
#[doc(alias = "RTM_SETLINK")]
pub fn encode_set(batch: &mut Batch, link: impl Into<LinkId>, change: &LinkChange<'_>) {
    let link = link.into();
    let mut header = link.header();
    for (flag, on) in [
        (libc::IFF_UP, change.up),
        (libc::IFF_PROMISC, change.promiscuous),
        (libc::IFF_ALLMULTI, change.all_multicast),
    ] {
        if let Some(on) = on {
            header.change |= flag as u32;
            header.flags |= if on { flag as u32 } else { 0 };
        }
    }
    batch.message(libc::RTM_NEWLINK, 0, &header, |attributes| {
        link.write(attributes);
        if let Some(name) = change.name {
            attributes.name(libc::IFLA_IFNAME, name);
        }
        if let Some(mac) = change.mac {
            attributes.mac(libc::IFLA_ADDRESS, mac);
        }
        attributes.optional(libc::IFLA_MTU, change.mtu);
        attributes.optional(libc::IFLA_MASTER, change.master);
        attributes.optional(libc::IFLA_GROUP, change.group);
        if let Some(mode) = change.addrgenmode {
            attributes.nest(libc::IFLA_AF_SPEC, |families| {
                families.nest(libc::AF_INET6 as u16, |inet6| {
                    inet6.value(IFLA_INET6_ADDR_GEN_MODE, mode as u8);
                });
            });
        }
        attributes.optional(libc::IFLA_NET_NS_FD, change.namespace.map(|fd| fd.as_raw_fd()));
    });
}

/// Changes a link: raises it, renames it, moves it to a namespace, attaches it to a bridge.
///
/// # Errors
/// `ENODEV` if there is none; else the kernel's reason.
///
/// ```
/// use netns_core::link::{self, LinkChange};
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket};
/// use std::os::fd::AsFd;
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let (here, there) = (Namespace::anonymous()?, Namespace::anonymous()?);
/// let mut socket = RouteSocket::open_in(&here)?;
/// let (a, b) = (IfName::new("a")?, IfName::new("b")?);
/// veth::create(&mut socket, &Veth::new(a, b))?;
/// link::set(&mut socket, a, &LinkChange { up: Some(true), ..LinkChange::default() })?;
/// // An end that exists is moved; `Veth::peer_namespace` makes it there in the first place.
/// link::set(&mut socket, b, &LinkChange { namespace: Some(there.as_fd()), ..LinkChange::default() })?;
///
/// assert!(link::get(&mut socket, a)?.is_up());
/// assert!(link::get(&mut RouteSocket::open_in(&there)?, b).is_ok());
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_SETLINK")]
pub fn set(socket: &mut RouteSocket, link: impl Into<LinkId>, change: &LinkChange<'_>) -> Result<()> {
    let mut batch = Batch::new();
    encode_set(&mut batch, link, change);
    socket.execute(&mut batch)
}

/// Raises a link.
///
/// # Errors
/// `ENODEV` if there is none.
pub fn set_up(socket: &mut RouteSocket, link: impl Into<LinkId>) -> Result<()> {
    set(socket, link, &LinkChange { up: Some(true), ..LinkChange::default() })
}
