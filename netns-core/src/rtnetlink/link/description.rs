//! Links as the kernel describes them: one, all, a bridge's; and deleting them.

use super::addrgenmode::AddrGenMode;
use super::kind::{BridgeOptions, LinkKind};
use super::port::PortOptions;
use crate::error::Operation;
use crate::rtnetlink::socket::RouteSocket;
use crate::rtnetlink::words::{LinkMode, LinkType};
use crate::wire::{
    AttributeWriter, Attributes, Batch, IFLA_INET6_ADDR_GEN_MODE, IfInfoMsg, LinkStats64, Message,
    RTEXT_FILTER_SKIP_STATS,
};
use crate::{IfName, MacAddress, Result};

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its index, unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: IfName,
    /// Its other names (`ip link property add dev NAME altname ...`), by which [`get_named`] finds it too.
    pub alternative_names: Vec<String>,
    /// What somebody wrote beside it (`ip link set NAME alias TEXT`).
    pub alias: Option<String>,
    /// What it is: "veth", "bridge"; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// What kind of hardware it is, or looks like.
    pub link_type: LinkType,
    /// `IFF_*`.
    pub flags: u32,
    /// Its MAC address, if it has one of six bytes.
    pub mac: Option<MacAddress>,
    /// The address that all on the link listen to, if it has six bytes; on a point-to-point link the other side's.
    pub broadcast: Option<MacAddress>,
    /// Largest packet in bytes, Ethernet header excluded.
    pub mtu: u32,
    /// Whether it carries packets.
    pub state: OperationalState,
    /// What raises `state`.
    pub mode: LinkMode,
    /// The index of the bridge it is a port of.
    pub master: Option<u32>,
    /// What `ip` writes behind the `@` (`IFLA_LINK`): the index of a veth's other end, or of the link that a VLAN, a
    /// macvlan or a tunnel is on, in the namespace of that one; [`Link::is_pair`] says which.
    pub peer: Option<u32>,
    /// The id by which this namespace knows the one that `peer` is in; `None` if it is in this one. A tunnel has it without
    /// `peer`.
    pub peer_namespace_id: Option<i32>,
    /// How it comes by its IPv6 link-local address; `None` where there is no IPv6.
    pub addrgenmode: Option<AddrGenMode>,
    /// Its group; 0 is the default one.
    pub group: u32,
    /// Its queueing discipline: "noqueue", "fq", "noop" before it is first raised.
    pub qdisc: Option<String>,
    /// How many packets a queue may hold, for disciplines that go by it.
    pub tx_queue_length: u32,
    /// Transmit queues.
    pub tx_queues: u32,
    /// Receive queues.
    pub rx_queues: u32,
    /// Its options as a port, if it is one of a bridge.
    pub port: Option<PortOptions>,
    /// What it is, with its options, if it is of a kind that this crate knows.
    pub details: Option<LinkKind>,
    /// Its counters.
    pub stats: LinkStats,
}

impl Link {
    /// Whether it was raised (`IFF_UP`); whether it works is [`Link::state`].
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// Its options as a bridge, if it is one.
    #[must_use]
    pub const fn bridge(&self) -> Option<BridgeOptions> {
        if let Some(LinkKind::Bridge(options)) = self.details { Some(options) } else { None }
    }

    /// Whether it is one end of a pair, which brings out at one end what goes in at the other (veth, netkit).
    #[must_use]
    pub fn is_pair(&self) -> bool {
        matches!(self.kind.as_deref(), Some("veth" | "netkit"))
    }
}

/// 64-bit link counters, of the link's own point of view: on a bridge port, `rx` is what came from the namespace.
pub type LinkStats = LinkStats64;

/// RFC 2863 operational state, `IF_OPER_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum OperationalState {
    /// Not known; a loopback stays so.
    #[default]
    Unknown,
    /// Hardware is absent.
    NotPresent,
    /// Does not carry packets.
    Down,
    /// A link below it is down.
    LowerLayerDown,
    /// Under test.
    Testing,
    /// Waits for an external event.
    Dormant,
    /// Carries packets.
    Up,
}

impl OperationalState {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }
}

/// A link by index, which needs no look-up, or by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkId {
    /// By index.
    Index(u32),
    /// By name.
    Name(IfName),
}

impl From<u32> for LinkId {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl From<IfName> for LinkId {
    fn from(name: IfName) -> Self {
        Self::Name(name)
    }
}

impl LinkId {
    pub(crate) fn header(self) -> IfInfoMsg {
        match self {
            // The kernel's indexes are positive `int`s.
            Self::Index(index) => IfInfoMsg { index, ..IfInfoMsg::default() },
            Self::Name(_) => IfInfoMsg::default(),
        }
    }

    pub(crate) fn write(self, attributes: &mut AttributeWriter<'_>) {
        if let Self::Name(name) = self {
            attributes.name(libc::IFLA_IFNAME, name);
        }
    }
}

/// Appends the request for one link's description. It also makes the kernel catch up on the link's operational state
/// at once (`linkwatch_sync_dev` in `rtnl_getlink`, Linux 6.8,
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>), so that a port forwards from now on.
#[doc(alias = "RTM_GETLINK")]
pub fn encode_get(batch: &mut Batch, link: impl Into<LinkId>, with_stats: bool) {
    let link = link.into();
    batch.message(libc::RTM_GETLINK, 0, &link.header(), |attributes| {
        link.write(attributes);
        if !with_stats {
            attributes.value(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        }
    });
}

/// Describes a link.
///
/// # Errors
/// `ENODEV` if there is none.
///
/// ```
/// use netns_core::{IfName, RouteSocket, link};
///
/// let mut socket = RouteSocket::open()?;
/// let lo = link::get(&mut socket, IfName::new("lo")?)?;
/// assert_eq!(lo.index, 1);
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_GETLINK")]
pub fn get(socket: &mut RouteSocket, link: impl Into<LinkId>) -> Result<Link> {
    let mut batch = Batch::new();
    encode_get(&mut batch, link, true);
    socket.query(&mut batch, |message| parse(message).ok_or_else(|| malformed(Operation::GetLink)))
}

/// Describes the link of this name or alternative name (`ip link property add dev NAME altname ...`, Linux 5.5), which
/// may have up to 127 bytes. Its own name is [`Link::name`].
///
/// # Errors
/// `ENODEV` if there is none; if it is no name that a link can have.
pub fn get_named(socket: &mut RouteSocket, name: &str) -> Result<Link> {
    // The kernel looks among names and alternative names alike (`netdev_name_node_lookup`), but takes no more than
    // fifteen bytes of a name: `IFLA_IFNAME` in
    // <https://github.com/torvalds/linux/blob/v6.12/net/core/rtnetlink.c>.
    if let Ok(name) = IfName::new(name) {
        return get(socket, name);
    }
    if name.is_empty() || name.len() >= ALTERNATIVE_NAME || name.contains('\0') {
        return Err(crate::Error::invalid(
            Operation::GetLink,
            format!("{name:?}"),
            "no link can have this name",
        ));
    }
    let mut batch = Batch::new();
    batch.message(libc::RTM_GETLINK, 0, &IfInfoMsg::default(), |attributes| {
        attributes.text(libc::IFLA_ALT_IFNAME, name);
    });
    socket.query(&mut batch, |message| parse(message).ok_or_else(|| malformed(Operation::GetLink)))
}

/// `ALTIFNAMSIZ`: an alternative name and the NUL that ends it.
const ALTERNATIVE_NAME: usize = 128;

/// Lists the links of the socket's namespace.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETLINK")]
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Link>> {
    list_where(socket, |_| {})
}

/// Lists the ports of the bridge with this index.
///
/// # Errors
/// As [`list`].
pub fn list_ports(socket: &mut RouteSocket, bridge: u32) -> Result<Vec<Link>> {
    let mut links = list_where(socket, |attributes| attributes.value(libc::IFLA_MASTER, bridge))?;
    // Kernels that do not check dump requests strictly ignore the filter.
    links.retain(|link| link.master == Some(bridge));
    Ok(links)
}

/// Appends the request for a list of links.
pub(crate) fn encode_list(batch: &mut Batch, filter: impl FnOnce(&mut AttributeWriter<'_>)) {
    batch.message(libc::RTM_GETLINK, libc::NLM_F_DUMP, &IfInfoMsg::default(), filter);
}

fn list_where(socket: &mut RouteSocket, filter: impl FnOnce(&mut AttributeWriter<'_>)) -> Result<Vec<Link>> {
    let mut batch = Batch::new();
    encode_list(&mut batch, filter);
    socket.dump(&mut batch, |message| Ok(parse(message)))
}

/// The counters of a link.
///
/// # Errors
/// `ENODEV` if there is none.
pub fn stats(socket: &mut RouteSocket, link: impl Into<LinkId>) -> Result<LinkStats> {
    get(socket, link).map(|link| link.stats)
}

/// Appends the deletion of a link.
#[doc(alias = "RTM_DELLINK")]
pub fn encode_delete(batch: &mut Batch, link: impl Into<LinkId>) {
    let link = link.into();
    batch.message(libc::RTM_DELLINK, 0, &link.header(), |attributes| link.write(attributes));
}

/// Deletes a link; of a veth pair, both ends go. It takes the kernel milliseconds: to drop many namespaces, close
/// them instead, or use [`delete_group`].
///
/// # Errors
/// `ENODEV` if there is none, `EOPNOTSUPP` if it is not one that can be deleted.
///
/// ```
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// let (a, b) = (IfName::new("a")?, IfName::new("b")?);
/// veth::create(&mut socket, &Veth::new(a, b))?;
/// link::delete(&mut socket, a)?;
/// assert!(link::get(&mut socket, b).is_err());
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_DELLINK")]
pub fn delete(socket: &mut RouteSocket, link: impl Into<LinkId>) -> Result<()> {
    let mut batch = Batch::new();
    encode_delete(&mut batch, link);
    socket.execute(&mut batch)
}

/// Appends the deletion of a group, which must not be 0.
pub(crate) fn encode_delete_group(batch: &mut Batch, group: u32) {
    batch.message(libc::RTM_DELLINK, 0, &IfInfoMsg::default(), |attributes| {
        attributes.value(libc::IFLA_GROUP, group);
    });
}

/// Deletes all links of a group at once, which costs the kernel far less than one by one.
///
/// # Errors
/// `ENODEV` if the group is empty. Group 0, where every link is by default, is refused here.
#[doc(alias = "IFLA_GROUP")]
pub fn delete_group(socket: &mut RouteSocket, group: u32) -> Result<()> {
    if group == 0 {
        return Err(crate::Error::invalid(
            Operation::DeleteLink,
            "group 0",
            "that is every link of the namespace",
        ));
    }
    let mut batch = Batch::new();
    encode_delete_group(&mut batch, group);
    socket.execute(&mut batch)
}

/// Reads an `RTM_NEWLINK` or `RTM_DELLINK`; `None` if it is something else, or has no name.
///
/// A bridge sends such notices of its ports too, as `AF_BRIDGE`, with a few of a link's attributes, and `RTM_DELLINK` of a
/// port that only leaves it (`br_info_notify` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_netlink.c>): those do not describe a link.
pub(crate) fn parse(message: &Message<'_>) -> Option<Link> {
    if !matches!(message.header.kind, libc::RTM_NEWLINK | libc::RTM_DELLINK) {
        return None;
    }
    let header: IfInfoMsg = message.family_header()?;
    if i32::from(header.family) != libc::AF_UNSPEC {
        return None;
    }
    let mut name = None;
    let mut link = Link {
        index: header.index,
        name: IfName::new("lo").ok()?,
        alternative_names: Vec::new(),
        alias: None,
        kind: None,
        link_type: LinkType(header.link_type),
        flags: header.flags,
        mac: None,
        broadcast: None,
        mtu: 0,
        state: OperationalState::Unknown,
        mode: LinkMode::DEFAULT,
        master: None,
        peer: None,
        peer_namespace_id: None,
        addrgenmode: None,
        group: 0,
        qdisc: None,
        tx_queue_length: 0,
        tx_queues: 0,
        rx_queues: 0,
        port: None,
        details: None,
        stats: LinkStats::default(),
    };
    for attribute in message.attributes_after::<IfInfoMsg>() {
        match attribute.kind {
            libc::IFLA_IFNAME => name = attribute.name(),
            libc::IFLA_ADDRESS => link.mac = attribute.mac(),
            libc::IFLA_BROADCAST => link.broadcast = attribute.mac(),
            libc::IFLA_MTU => link.mtu = attribute.value()?,
            libc::IFLA_OPERSTATE => link.state = OperationalState::from_number(attribute.value()?),
            libc::IFLA_LINKMODE => link.mode = LinkMode(attribute.value()?),
            libc::IFLA_MASTER => link.master = attribute.value(),
            libc::IFLA_LINK => link.peer = attribute.value().filter(|&index| index != 0),
            libc::IFLA_LINK_NETNSID => link.peer_namespace_id = attribute.value().filter(|&id: &i32| id >= 0),
            libc::IFLA_GROUP => link.group = attribute.value()?,
            libc::IFLA_QDISC => link.qdisc = attribute.text().map(str::to_owned),
            libc::IFLA_TXQLEN => link.tx_queue_length = attribute.value()?,
            libc::IFLA_NUM_TX_QUEUES => link.tx_queues = attribute.value()?,
            libc::IFLA_NUM_RX_QUEUES => link.rx_queues = attribute.value()?,
            libc::IFLA_AF_SPEC => link.addrgenmode = parse_addrgenmode(&attribute.nested()),
            libc::IFLA_STATS64 => link.stats = attribute.prefix()?,
            libc::IFLA_LINKINFO => parse_info(&mut link, &attribute.nested()),
            libc::IFLA_IFALIAS => link.alias = attribute.text().map(str::to_owned),
            libc::IFLA_PROP_LIST => {
                let names = attribute.nested().filter(|property| property.kind == libc::IFLA_ALT_IFNAME);
                link.alternative_names = names.filter_map(|name| name.text().map(str::to_owned)).collect();
            }
            _ => {}
        }
    }
    link.name = name?;
    Some(link)
}

fn parse_info(link: &mut Link, info: &Attributes<'_>) {
    link.kind = info.find(libc::IFLA_INFO_KIND).and_then(|kind| kind.text()).map(str::to_owned);
    let data = info.find(libc::IFLA_INFO_DATA).map_or(Attributes::new(&[]), |data| data.nested());
    link.details = link.kind.as_deref().and_then(LinkKind::named).map(|kind| kind.parse(data));
    let slave = info.find(libc::IFLA_INFO_SLAVE_KIND).and_then(|kind| kind.text());
    if slave == Some("bridge") {
        let data = info.find(libc::IFLA_INFO_SLAVE_DATA);
        link.port = data.map(|data| PortOptions::parse(data.nested()));
    }
}

fn parse_addrgenmode(families: &Attributes<'_>) -> Option<AddrGenMode> {
    let inet6 = families.find(libc::AF_INET6 as u16)?.nested();
    AddrGenMode::from_number(inet6.find(IFLA_INET6_ADDR_GEN_MODE)?.value()?)
}

fn malformed(operation: Operation) -> crate::Error {
    crate::Error::new(operation, "", crate::Cause::Reply("the kernel's answer is malformed".into()))
}
