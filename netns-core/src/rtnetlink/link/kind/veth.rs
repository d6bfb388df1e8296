//! Veth pairs: `ip link add A type veth peer name B`.

use crate::rtnetlink::link::names::LINK;
use crate::rtnetlink::option::table::options;
use crate::rtnetlink::socket::RouteSocket;
use crate::wire::{AttributeWriter, Batch, IfInfoMsg, Name, VETH_INFO_PEER};
use crate::{IfName, MacAddress, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

options! {
    /// A veth has no options that could be changed: what it is made with is [`Veth`].
    VethOptions {}
    and Name {
        kind: VETH_INFO_PEER,
        text: "VETH_INFO_PEER",
        header: size_of::<IfInfoMsg>(),
        inside: LINK,
    }
}

/// A veth pair to be made: a near end, in the namespace of the socket, and its peer.
///
/// One request makes all of it: the peer is born in its namespace, which avoids the kernel's slow move between
/// namespaces (moving also works: [`crate::link::set`]), and the near end is attached to its bridge and raised.
///
/// ```
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket, link};
/// use std::os::fd::AsFd;
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let host = Namespace::anonymous()?;
/// let inside = Namespace::anonymous()?;
/// let mut socket = RouteSocket::open_in(&host)?;
/// let veth = Veth { peer_namespace: Some(inside.as_fd()), ..Veth::new(IfName::new("port1")?, IfName::new("eth0")?) };
/// veth::create(&mut socket, &veth)?;
///
/// let eth0 = link::get(&mut RouteSocket::open_in(&inside)?, IfName::new("eth0")?)?;
/// assert_eq!(eth0.kind.as_deref(), Some("veth"));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// The near end's name.
    pub name: IfName,
    /// The peer's name.
    pub peer_name: IfName,
    /// The near end's index; `None` lets the kernel choose. With both indexes chosen no look-up is needed afterwards.
    /// With this one alone chosen and the peer in the same namespace, the kernel may give the peer, which it makes
    /// first, that very index, and then refuses with `EBUSY`.
    pub index: Option<u32>,
    /// The peer's index, in its own namespace; the kernel heeds it only if `index` is given too.
    pub peer_index: Option<u32>,
    /// The near end's MAC address; the kernel's choice is random.
    pub mac: Option<MacAddress>,
    /// The peer's MAC address.
    pub peer_mac: Option<MacAddress>,
    /// MTU of both ends in bytes; the kernel's default is 1500.
    pub mtu: Option<u32>,
    /// Transmit and receive queues of both ends. The kernel's default, `None`, is one for every possible CPU (a
    /// single one before Linux 5.15), and a fifth and more of the time it takes to make a pair goes into them.
    pub queues: Option<u32>,
    /// The index of the bridge that the near end becomes a port of.
    pub bridge: Option<u32>,
    /// The near end's group; 0 is the default one.
    pub group: u32,
    /// The peer's group.
    pub peer_group: u32,
    /// Whether the near end is raised. The peer cannot be: raise it from inside.
    pub up: bool,
    /// Where the near end is born; `None` is the socket's own namespace. `bridge` and `index` are of that one then.
    pub namespace: Option<BorrowedFd<'a>>,
    /// Where the peer is born; `None` is the socket's own namespace.
    pub peer_namespace: Option<BorrowedFd<'a>>,
    /// The process or thread in whose namespace the peer is born, if `peer_namespace` does not say it. Ids are used
    /// again: it must be known to be alive, as the caller itself is.
    pub peer_pid: Option<u32>,
}

impl Veth<'_> {
    /// A pair with one queue, both ends down and in the socket's namespace.
    #[must_use]
    pub const fn new(name: IfName, peer_name: IfName) -> Self {
        Self {
            name,
            peer_name,
            index: None,
            peer_index: None,
            mac: None,
            peer_mac: None,
            mtu: None,
            queues: Some(1),
            bridge: None,
            group: 0,
            peer_group: 0,
            up: false,
            namespace: None,
            peer_namespace: None,
            peer_pid: None,
        }
    }

    /// What both ends have.
    fn write_common(&self, attributes: &mut AttributeWriter<'_>) {
        attributes.optional(libc::IFLA_MTU, self.mtu);
        attributes.optional(libc::IFLA_NUM_TX_QUEUES, self.queues);
        attributes.optional(libc::IFLA_NUM_RX_QUEUES, self.queues);
    }
}

/// Appends the creation of a pair.
///
/// The kernel's side is `veth_newlink` in <https://github.com/torvalds/linux/blob/v6.12/drivers/net/veth.c>, and
/// `rtnl_newlink_create` in <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>, which attaches the
/// near end and raises it.
#[doc(alias = "RTM_NEWLINK")]
pub fn encode_create(batch: &mut Batch, veth: &Veth<'_>) {
    let up = if veth.up { libc::IFF_UP as u32 } else { 0 };
    let header = IfInfoMsg { index: veth.index.unwrap_or(0), flags: up, change: up, ..IfInfoMsg::default() };
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.message(libc::RTM_NEWLINK, flags, &header, |attributes| {
        attributes.name(libc::IFLA_IFNAME, veth.name);
        if let Some(mac) = veth.mac {
            attributes.mac(libc::IFLA_ADDRESS, mac);
        }
        veth.write_common(attributes);
        attributes.optional(libc::IFLA_MASTER, veth.bridge);
        attributes.optional(libc::IFLA_GROUP, (veth.group != 0).then_some(veth.group));
        attributes.optional(libc::IFLA_NET_NS_FD, veth.namespace.map(|fd| fd.as_raw_fd()));
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                let header = IfInfoMsg { index: veth.peer_index.unwrap_or(0), ..IfInfoMsg::default() };
                data.nest_after(VETH_INFO_PEER, &header, |peer| {
                    peer.name(libc::IFLA_IFNAME, veth.peer_name);
                    if let Some(mac) = veth.peer_mac {
                        peer.mac(libc::IFLA_ADDRESS, mac);
                    }
                    veth.write_common(peer);
                    peer.optional(libc::IFLA_GROUP, (veth.peer_group != 0).then_some(veth.peer_group));
                    peer.optional(libc::IFLA_NET_NS_FD, veth.peer_namespace.map(|fd| fd.as_raw_fd()));
                    // The kernel heeds the process first if both are there.
                    let pid = veth.peer_pid.filter(|_| veth.peer_namespace.is_none());
                    peer.optional(libc::IFLA_NET_NS_PID, pid);
                });
            });
        });
    });
}

/// Makes a pair.
///
/// # Errors
/// `EEXIST` if a name or an index is taken; `EXFULL` if the bridge has its 1,023 ports; else the kernel's reason.
/// Nothing is left then.
#[doc(alias = "VETH_INFO_PEER")]
pub fn create(socket: &mut RouteSocket, veth: &Veth<'_>) -> Result<()> {
    let mut batch = Batch::new();
    encode_create(&mut batch, veth);
    socket.execute(&mut batch)
}
