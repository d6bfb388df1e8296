//! Making links of any kind: what `ip link add` does.

use super::description::LinkId;
use super::kind::LinkKind;
use crate::rtnetlink::option::Options;
use crate::rtnetlink::socket::RouteSocket;
use crate::wire::{Batch, IfInfoMsg};
use crate::{IfName, MacAddress, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A link to be made: one link of one kind. [`crate::veth`] makes pairs.
///
/// ```
/// use netns_core::link::{self, LinkKind, MacvlanMode, MacvlanOptions, NewLink};
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// let (a, b, m) = (IfName::new("a")?, IfName::new("b")?, IfName::new("m")?);
/// veth::create(&mut socket, &Veth { index: Some(10), peer_index: Some(11), ..Veth::new(a, b) })?;
/// let kind = LinkKind::Macvlan(MacvlanOptions { mode: Some(MacvlanMode::BRIDGE), ..MacvlanOptions::NONE });
/// # if link::create(&mut socket, &NewLink { link: Some(10), ..NewLink::new(m, kind) })
/// #     .is_err_and(|error| error.kind() == netns_core::ErrorKind::Unsupported) { return Ok(()); }
/// # link::delete(&mut socket, m)?;
/// link::create(&mut socket, &NewLink { link: Some(10), ..NewLink::new(m, kind) })?;
/// assert_eq!(link::get(&mut socket, m)?.peer, Some(10));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: IfName,
    /// What it is, and its options.
    pub kind: LinkKind,
    /// Its index; `None` lets the kernel choose.
    pub index: Option<u32>,
    /// The index of the link that it is on, for kinds that are on one: a VLAN's, a macvlan's.
    pub link: Option<u32>,
    /// Its MAC address; the kernel's choice is random, or that of the link below.
    pub mac: Option<MacAddress>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// The index of the bridge that it becomes a port of.
    pub master: Option<u32>,
    /// Its group; 0 is the default one.
    pub group: u32,
    /// Whether it is brought up.
    pub up: bool,
    /// Where it is made; `None` is the socket's own namespace, which `link` is in, whatever this says.
    pub namespace: Option<BorrowedFd<'a>>,
}

impl NewLink<'_> {
    /// A link that is down, in the socket's namespace.
    #[must_use]
    pub const fn new(name: IfName, kind: LinkKind) -> Self {
        Self {
            name,
            kind,
            index: None,
            link: None,
            mac: None,
            mtu: None,
            master: None,
            group: 0,
            up: false,
            namespace: None,
        }
    }
}

/// Appends the creation of a link.
#[doc(alias = "RTM_NEWLINK")]
pub fn encode_create(batch: &mut Batch, new: &NewLink<'_>) {
    let up = if new.up { libc::IFF_UP as u32 } else { 0 };
    let header = IfInfoMsg { index: new.index.unwrap_or(0), flags: up, change: up, ..IfInfoMsg::default() };
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.message(libc::RTM_NEWLINK, flags, &header, |attributes| {
        attributes.name(libc::IFLA_IFNAME, new.name);
        if let Some(mac) = new.mac {
            attributes.mac(libc::IFLA_ADDRESS, mac);
        }
        attributes.optional(libc::IFLA_MTU, new.mtu);
        attributes.optional(libc::IFLA_LINK, new.link);
        attributes.optional(libc::IFLA_MASTER, new.master);
        attributes.optional(libc::IFLA_GROUP, (new.group != 0).then_some(new.group));
        attributes.optional(libc::IFLA_NET_NS_FD, new.namespace.map(|fd| fd.as_raw_fd()));
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, new.kind.name());
            if !new.kind.rows().is_empty() {
                info.nest(libc::IFLA_INFO_DATA, |data| new.kind.write(data));
            }
        });
    });
}

/// Makes a link.
///
/// # Errors
/// [`Exists`](crate::ErrorKind::Exists) if the name or the index is taken,
/// [`Unsupported`](crate::ErrorKind::Unsupported) if the kernel has no links of this kind; else the kernel's reason.
/// Nothing is left then.
#[doc(alias = "RTM_NEWLINK")]
pub fn create(socket: &mut RouteSocket, new: &NewLink<'_>) -> Result<()> {
    let mut batch = Batch::new();
    encode_create(&mut batch, new);
    socket.execute(&mut batch)
}

/// Appends a change of the options that a link of this kind has.
pub fn encode_set_options(batch: &mut Batch, link: impl Into<LinkId>, options: &LinkKind) {
    let link = link.into();
    batch.message(libc::RTM_NEWLINK, 0, &link.header(), |attributes| {
        link.write(attributes);
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, options.name());
            info.nest(libc::IFLA_INFO_DATA, |data| options.write(data));
        });
    });
}

/// Changes the options that a link of this kind has; those without a value stay: `ip link set m0 type macvlan mode private`.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) if there is no such link, [`Unsupported`](crate::ErrorKind::Unsupported) if
/// it is of another kind, or the kernel changes no such option.
#[doc(alias = "IFLA_INFO_DATA")]
pub fn set_options(socket: &mut RouteSocket, link: impl Into<LinkId>, options: &LinkKind) -> Result<()> {
    let mut batch = Batch::new();
    encode_set_options(&mut batch, link, options);
    socket.execute(&mut batch)
}
