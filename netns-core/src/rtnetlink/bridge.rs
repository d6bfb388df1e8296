//! Bridges and their ports: `ip link add br0 type bridge`, `ip link set A master br0`, `bridge link set`.

use super::link::{self, LinkChange, LinkId, LinkKind, NewLink};
pub use super::link::{BridgeOptions, PortOptions, PortState};
use super::socket::RouteSocket;
use crate::wire::{Batch, IfInfoMsg};
use crate::{IfName, MacAddress, Result};

/// How many ports a bridge takes (`BR_MAX_PORTS` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_private.h>); one more is refused with `EXFULL`.
pub const MAX_PORTS: u32 = 1023;

/// A bridge to be made.
///
/// ```
/// use netns_core::bridge::{self, Bridge};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// let name = IfName::new("br0")?;
/// bridge::create(&mut socket, &Bridge { up: true, ..Bridge::new(name, MacAddress::local(1)) })?;
/// assert_eq!(link::get(&mut socket, name)?.mac, Some(MacAddress::local(1)));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bridge {
    /// Its name.
    pub name: IfName,
    /// Its MAC address. A bridge that is given none takes the lowest of its ports' and changes it as ports come and
    /// go, which breaks what neighbours have learnt; so it is not optional.
    pub mac: MacAddress,
    /// Its index; `None` lets the kernel choose.
    pub index: Option<u32>,
    /// MTU in bytes; `None` follows the ports'.
    pub mtu: Option<u32>,
    /// Its options.
    pub options: BridgeOptions,
    /// Whether it is set up.
    pub up: bool,
}

impl Bridge {
    /// A bridge without STP, down.
    #[must_use]
    pub const fn new(name: IfName, mac: MacAddress) -> Self {
        let options = BridgeOptions { stp_state: Some(false), ..BridgeOptions::NONE };
        Self { name, mac, index: None, mtu: None, options, up: false }
    }
}

/// Options of a bridge that speaks neither the spanning tree protocol nor to multicast listeners.
pub(crate) const SILENT: BridgeOptions =
    BridgeOptions { stp_state: Some(false), mcast_snooping: Some(false), ..BridgeOptions::NONE };

/// Appends the creation of a bridge.
#[doc(alias = "RTM_NEWLINK")]
pub fn encode_create(batch: &mut Batch, bridge: &Bridge) {
    let new = NewLink {
        index: bridge.index,
        mac: Some(bridge.mac),
        mtu: bridge.mtu,
        up: bridge.up,
        ..NewLink::new(bridge.name, LinkKind::Bridge(bridge.options))
    };
    link::encode_create(batch, &new);
}

/// Makes a bridge.
///
/// # Errors
/// `EEXIST` if the name is taken: an existing bridge is never adopted. Else the kernel's reason.
#[doc(alias = "RTM_NEWLINK")]
pub fn create(socket: &mut RouteSocket, bridge: &Bridge) -> Result<()> {
    let mut batch = Batch::new();
    encode_create(&mut batch, bridge);
    socket.execute(&mut batch)
}

/// Appends a change of a bridge's options.
pub fn encode_set(batch: &mut Batch, bridge: impl Into<LinkId>, options: &BridgeOptions) {
    link::encode_set_options(batch, bridge, &LinkKind::Bridge(*options));
}

/// Changes a bridge's options: `ip link set br0 type bridge stp_state 1`.
///
/// # Errors
/// `ENODEV` if there is no such link, `EOPNOTSUPP` if it is no bridge.
///
/// ```
/// use netns_core::bridge::{self, Bridge, BridgeOptions};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// let name = IfName::new("br0")?;
/// bridge::create(&mut socket, &Bridge::new(name, MacAddress::local(1)))?;
/// let quiet = BridgeOptions { mcast_snooping: Some(false), ..BridgeOptions::default() };
/// bridge::set(&mut socket, name, &quiet)?;
/// let options = link::get(&mut socket, name)?.bridge().unwrap();
/// assert_eq!((options.stp_state, options.mcast_snooping), (Some(false), Some(false)));
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn set(socket: &mut RouteSocket, bridge: impl Into<LinkId>, options: &BridgeOptions) -> Result<()> {
    let mut batch = Batch::new();
    encode_set(&mut batch, bridge, options);
    socket.execute(&mut batch)
}

/// Makes a link a port of the bridge with this index. One that is a port of another bridge leaves that first (`do_set_master` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>), and is a port of neither if this one refuses it.
///
/// # Errors
/// `EXFULL` if the bridge has [`MAX_PORTS`], `ELOOP` if it would make a loop of bridges, `EBUSY` if somebody else receives
/// what comes in by the link (a macvlan on it).
///
/// ```
/// use netns_core::bridge::{self, Bridge};
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// bridge::create(&mut socket, &Bridge { index: Some(10), ..Bridge::new(IfName::new("br0")?, MacAddress::local(1)) })?;
/// let (a, b) = (IfName::new("a")?, IfName::new("b")?);
/// veth::create(&mut socket, &Veth::new(a, b))?;
/// bridge::attach(&mut socket, a, 10)?;
/// assert_eq!(link::list_ports(&mut socket, 10)?[0].name, a);
/// bridge::detach(&mut socket, a)?;
/// assert_eq!(link::get(&mut socket, a)?.master, None);
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "IFLA_MASTER")]
pub fn attach(socket: &mut RouteSocket, port: impl Into<LinkId>, bridge: u32) -> Result<()> {
    link::set(socket, port, &LinkChange { master: Some(bridge), ..LinkChange::default() })
}

/// Takes a port off its bridge.
///
/// # Errors
/// `ENODEV` if there is no such link.
pub fn detach(socket: &mut RouteSocket, port: impl Into<LinkId>) -> Result<()> {
    attach(socket, port, 0)
}

/// Appends a change of a port's options. The port must be known by index.
pub fn encode_set_port(batch: &mut Batch, port: u32, options: &PortOptions) {
    let header = IfInfoMsg { family: libc::AF_BRIDGE as u8, index: port, ..IfInfoMsg::default() };
    batch.message(libc::RTM_SETLINK, 0, &header, |attributes| {
        attributes.nest(libc::IFLA_PROTINFO | libc::NLA_F_NESTED as u16, |info| {
            options.write(info);
        });
    });
}

/// Appends a change of a port's options and then the raising of the port, in one request: the kernel changes what is the
/// bridge's first (`__rtnl_newlink` in <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>).
pub(crate) fn encode_raise_port(batch: &mut Batch, port: u32, options: PortOptions) {
    let up = libc::IFF_UP as u32;
    let header = IfInfoMsg { index: port, flags: up, change: up, ..IfInfoMsg::default() };
    batch.message(libc::RTM_NEWLINK, 0, &header, |attributes| {
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_SLAVE_KIND, "bridge");
            info.nest(libc::IFLA_INFO_SLAVE_DATA, |data| options.write(data));
        });
    });
}

/// Changes a port's options.
///
/// # Errors
/// `ENODEV` if there is no such link, `EINVAL` or `EOPNOTSUPP` if it is not a port of a bridge.
///
/// ```
/// use netns_core::bridge::{self, Bridge, PortOptions};
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// bridge::create(&mut socket, &Bridge { index: Some(10), ..Bridge::new(IfName::new("br0")?, MacAddress::local(1)) })?;
/// let port = Veth { index: Some(11), bridge: Some(10), ..Veth::new(IfName::new("a")?, IfName::new("b")?) };
/// veth::create(&mut socket, &port)?;
/// bridge::set_port(&mut socket, 11, &PortOptions { isolated: Some(true), ..PortOptions::default() })?;
/// let options = link::get(&mut socket, 11)?.port.unwrap();
/// assert_eq!((options.isolated, options.flood), (Some(true), Some(true)));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_SETLINK")]
pub fn set_port(socket: &mut RouteSocket, port: u32, options: &PortOptions) -> Result<()> {
    let mut batch = Batch::new();
    encode_set_port(&mut batch, port, options);
    socket.execute(&mut batch)
}
