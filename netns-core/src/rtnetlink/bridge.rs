//! Bridges and their ports: `ip link add br0 type bridge`, `ip link set A master br0`, `bridge link set`.

use super::link::{self, LinkChange, LinkId};
use super::socket::RouteSocket;
pub use super::words::PortState;
use crate::wire::{
    Attributes, Batch, IFLA_BR_AGEING_TIME, IFLA_BR_MCAST_SNOOPING, IFLA_BR_MULTI_BOOLOPT, IFLA_BR_STP_STATE,
    IFLA_BR_VLAN_FILTERING, IFLA_BRPORT_BCAST_FLOOD, IFLA_BRPORT_COST, IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_LEARNING, IFLA_BRPORT_MCAST_FLOOD, IFLA_BRPORT_MODE, IFLA_BRPORT_NEIGH_SUPPRESS,
    IFLA_BRPORT_PRIORITY, IFLA_BRPORT_STATE, IFLA_BRPORT_UNICAST_FLOOD, IfInfoMsg,
};
use crate::{IfName, MacAddress, Result};
use std::time::Duration;

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
    /// Whether it speaks the spanning tree protocol, with which a new port waits 30 s before it forwards.
    pub stp: bool,
    /// How long an address that is no longer heard stays learnt; the kernel's default is 300 s, its resolution 10 ms.
    pub ageing: Option<Duration>,
    /// Whether it listens to IGMP and MLD to send multicast only where it is wanted; the kernel's default is that
    /// it does.
    pub multicast_snooping: Option<bool>,
    /// As [`BridgeOptions::link_local_learning`].
    pub link_local_learning: Option<bool>,
    /// Whether it is raised.
    pub up: bool,
}

impl Bridge {
    /// A bridge without STP, down.
    #[must_use]
    pub const fn new(name: IfName, mac: MacAddress) -> Self {
        Self {
            name,
            mac,
            index: None,
            mtu: None,
            stp: false,
            ageing: None,
            multicast_snooping: None,
            link_local_learning: None,
            up: false,
        }
    }
}

/// Appends the creation of a bridge.
pub fn encode_create(batch: &mut Batch, bridge: &Bridge) {
    let up = if bridge.up { libc::IFF_UP as u32 } else { 0 };
    let header =
        IfInfoMsg { index: bridge.index.unwrap_or(0), flags: up, change: up, ..IfInfoMsg::default() };
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.message(libc::RTM_NEWLINK, flags, &header, |attributes| {
        attributes.name(libc::IFLA_IFNAME, bridge.name);
        attributes.mac(libc::IFLA_ADDRESS, bridge.mac);
        attributes.optional(libc::IFLA_MTU, bridge.mtu);
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "bridge");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.value(IFLA_BR_STP_STATE, u32::from(bridge.stp));
                data.optional(IFLA_BR_AGEING_TIME, bridge.ageing.map(clock_ticks));
                data.optional(IFLA_BR_MCAST_SNOOPING, bridge.multicast_snooping.map(u8::from));
                data.optional(IFLA_BR_MULTI_BOOLOPT, bridge.link_local_learning.map(link_local_learning));
            });
        });
    });
}

/// The kernel's user-visible clock ticks, a hundred a second whatever its `HZ` is (`USER_HZ`).
fn clock_ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 10).unwrap_or(u32::MAX)
}

/// Makes a bridge.
///
/// # Errors
/// `EEXIST` if the name is taken: an existing bridge is never adopted. Else the kernel's reason.
pub fn create(socket: &mut RouteSocket, bridge: &Bridge) -> Result<()> {
    let mut batch = Batch::new();
    encode_create(&mut batch, bridge);
    socket.execute(&mut batch)
}

/// Options of a bridge that can be changed; in a request, what is `None` stays. The kernel's defaults are in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BridgeOptions {
    /// As [`Bridge::stp`] \[no\].
    pub stp: Option<bool>,
    /// As [`Bridge::ageing`] \[300 s\].
    pub ageing: Option<Duration>,
    /// As [`Bridge::multicast_snooping`] \[yes\].
    pub multicast_snooping: Option<bool>,
    /// Whether it tells VLANs apart, and lets a port send and receive in its VLANs only \[no\]. A kernel built without
    /// `CONFIG_BRIDGE_VLAN_FILTERING` refuses it with `EOPNOTSUPP`.
    pub vlan_filtering: Option<bool>,
    /// Whether it learns addresses from frames to 01:80:c2:00:00:00 to 0f (STP, LLDP) \[yes\]. Linux 5.0; before, it is
    /// `None` and cannot be changed.
    pub link_local_learning: Option<bool>,
}

/// `struct br_boolopt_multi`: values, and which of them are meant.
fn link_local_learning(learns: bool) -> [u32; 2] {
    [u32::from(!learns), NO_LINK_LOCAL_LEARNING]
}

/// `BR_BOOLOPT_NO_LL_LEARN` of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_bridge.h>, as a bit.
const NO_LINK_LOCAL_LEARNING: u32 = 1;

impl BridgeOptions {
    /// Reads `IFLA_INFO_DATA`.
    pub(crate) fn parse(attributes: &Attributes<'_>) -> Self {
        let find = |kind| attributes.find(kind);
        let ageing = find(IFLA_BR_AGEING_TIME).and_then(|ticks| ticks.value::<u32>());
        let switch = |kind| find(kind).and_then(|value| value.value::<u8>()).map(|value| value != 0);
        Self {
            stp: find(IFLA_BR_STP_STATE).and_then(|state| state.value::<u32>()).map(|state| state != 0),
            ageing: ageing.map(|ticks| Duration::from_millis(u64::from(ticks) * 10)),
            multicast_snooping: switch(IFLA_BR_MCAST_SNOOPING),
            vlan_filtering: switch(IFLA_BR_VLAN_FILTERING),
            link_local_learning: find(IFLA_BR_MULTI_BOOLOPT)
                .and_then(|options| options.value::<[u32; 2]>())
                .map(|[values, _]| values & NO_LINK_LOCAL_LEARNING == 0),
        }
    }
}

/// Appends a change of a bridge's options.
pub fn encode_set(batch: &mut Batch, bridge: impl Into<LinkId>, options: &BridgeOptions) {
    let bridge = bridge.into();
    batch.message(libc::RTM_NEWLINK, 0, &bridge.header(), |attributes| {
        bridge.write(attributes);
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "bridge");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.optional(IFLA_BR_STP_STATE, options.stp.map(u32::from));
                data.optional(IFLA_BR_AGEING_TIME, options.ageing.map(clock_ticks));
                data.optional(IFLA_BR_MCAST_SNOOPING, options.multicast_snooping.map(u8::from));
                data.optional(IFLA_BR_VLAN_FILTERING, options.vlan_filtering.map(u8::from));
                data.optional(IFLA_BR_MULTI_BOOLOPT, options.link_local_learning.map(link_local_learning));
            });
        });
    });
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
/// let quiet = BridgeOptions { multicast_snooping: Some(false), ..BridgeOptions::default() };
/// bridge::set(&mut socket, name, &quiet)?;
/// let options = link::get(&mut socket, name)?.bridge.unwrap();
/// assert_eq!((options.stp, options.multicast_snooping), (Some(false), Some(false)));
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn set(socket: &mut RouteSocket, bridge: impl Into<LinkId>, options: &BridgeOptions) -> Result<()> {
    let mut batch = Batch::new();
    encode_set(&mut batch, bridge, options);
    socket.execute(&mut batch)
}

/// Makes a link a port of the bridge with this index.
///
/// # Errors
/// `EXFULL` if the bridge has [`MAX_PORTS`], `ELOOP` if it would make a loop of bridges, `EBUSY` if the link is a
/// port already.
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

/// Options of a bridge port; in a request, what is `None` stays. The kernel's defaults are in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortOptions {
    /// Whether isolated ports cannot reach each other, only those that are not \[no\].
    pub isolated: Option<bool>,
    /// Whether a frame may leave by the port that it came in by \[no\].
    pub hairpin: Option<bool>,
    /// Whether source addresses are learnt \[yes\].
    pub learning: Option<bool>,
    /// Whether unicast frames to unknown addresses go out here \[yes\].
    pub flood: Option<bool>,
    /// Whether multicast frames without known listeners go out here \[yes\].
    pub mcast_flood: Option<bool>,
    /// Whether broadcast frames go out here \[yes\].
    pub bcast_flood: Option<bool>,
    /// Whether the bridge answers ARP and neighbour solicitations for addresses that it knows instead of sending them
    /// out here \[no\].
    pub neigh_suppress: Option<bool>,
}

impl PortOptions {
    /// Options with their attributes, as both the request and the kernel's description have them.
    fn fields(&mut self) -> [(u16, &mut Option<bool>); 7] {
        [
            (IFLA_BRPORT_MODE, &mut self.hairpin),
            (IFLA_BRPORT_LEARNING, &mut self.learning),
            (IFLA_BRPORT_UNICAST_FLOOD, &mut self.flood),
            (IFLA_BRPORT_MCAST_FLOOD, &mut self.mcast_flood),
            (IFLA_BRPORT_BCAST_FLOOD, &mut self.bcast_flood),
            (IFLA_BRPORT_NEIGH_SUPPRESS, &mut self.neigh_suppress),
            (IFLA_BRPORT_ISOLATED, &mut self.isolated),
        ]
    }

    /// Reads `IFLA_INFO_SLAVE_DATA`.
    pub(crate) fn parse(attributes: Attributes<'_>) -> Self {
        let mut options = Self::default();
        for attribute in attributes {
            for (kind, field) in options.fields() {
                if kind == attribute.kind {
                    *field = attribute.value::<u8>().map(|value| value != 0);
                }
            }
        }
        options
    }
}

/// A port's place in the spanning tree, as the kernel describes it, whether the bridge speaks the protocol or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PortStatus {
    /// Whether it forwards.
    pub state: PortState,
    /// Its priority among the bridge's ports, 0 to 63: the lower, the more it is preferred.
    pub priority: u16,
    /// What a way through it costs, by the link's speed: 2 for a veth's 10 Gbit/s.
    pub cost: u32,
}

impl PortStatus {
    /// Reads `IFLA_INFO_SLAVE_DATA`.
    pub(crate) fn parse(attributes: &Attributes<'_>) -> Self {
        let find = |kind| attributes.find(kind);
        Self {
            state: PortState(find(IFLA_BRPORT_STATE).and_then(|state| state.value()).unwrap_or_default()),
            priority: find(IFLA_BRPORT_PRIORITY).and_then(|priority| priority.value()).unwrap_or_default(),
            cost: find(IFLA_BRPORT_COST).and_then(|cost| cost.value()).unwrap_or_default(),
        }
    }
}

/// Appends a change of a port's options. The port must be known by index.
pub fn encode_set_port(batch: &mut Batch, port: u32, options: &PortOptions) {
    let header = IfInfoMsg { family: libc::AF_BRIDGE as u8, index: port, ..IfInfoMsg::default() };
    batch.message(libc::RTM_SETLINK, 0, &header, |attributes| {
        attributes.nest(libc::IFLA_PROTINFO | libc::NLA_F_NESTED as u16, |info| {
            let mut options = *options;
            for (kind, field) in options.fields() {
                info.optional(kind, field.map(u8::from));
            }
        });
    });
}

/// Appends a change of a port's options and then the raising of the port, in one request: the kernel changes what is the
/// bridge's first (`__rtnl_newlink` in <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>).
pub(crate) fn encode_raise_port(batch: &mut Batch, port: u32, mut options: PortOptions) {
    let up = libc::IFF_UP as u32;
    let header = IfInfoMsg { index: port, flags: up, change: up, ..IfInfoMsg::default() };
    batch.message(libc::RTM_NEWLINK, 0, &header, |attributes| {
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_SLAVE_KIND, "bridge");
            info.nest(libc::IFLA_INFO_SLAVE_DATA, |data| {
                for (kind, field) in options.fields() {
                    data.optional(kind, field.map(u8::from));
                }
            });
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
pub fn set_port(socket: &mut RouteSocket, port: u32, options: &PortOptions) -> Result<()> {
    let mut batch = Batch::new();
    encode_set_port(&mut batch, port, options);
    socket.execute(&mut batch)
}
