//! netlink-packet-route, which `rtnetlink` is made of.

use super::{ADDRESS, BROADCAST, Encoder, GATEWAY, INDEX, NAMES, NAMESPACE, PREFIX, RouteRequest};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

/// With a buffer that is used again.
#[derive(Debug, Default)]
pub struct PacketRoute(Vec<u8>);

impl Encoder for PacketRoute {
    fn name(&self) -> &'static str {
        "netlink-packet-route"
    }

    fn encode(&mut self, message: RouteRequest) -> &[u8] {
        let (payload, flags) = match message {
            RouteRequest::CreateVeth => (RouteNetlinkMessage::NewLink(pair()), NLM_F_CREATE | NLM_F_EXCL),
            RouteRequest::AddAddress => {
                (RouteNetlinkMessage::NewAddress(address()), NLM_F_CREATE | NLM_F_EXCL)
            }
            RouteRequest::AddRoute => (RouteNetlinkMessage::NewRoute(route()), NLM_F_CREATE | NLM_F_EXCL),
            RouteRequest::GetLink => {
                let mut link = LinkMessage::default();
                link.header.index = INDEX;
                (RouteNetlinkMessage::GetLink(link), 0)
            }
        };
        let mut message = NetlinkMessage::from(payload);
        message.header.flags = flags | NLM_F_REQUEST;
        message.finalize();
        self.0.clear();
        self.0.resize(message.buffer_len(), 0);
        message.serialize(&mut self.0);
        &self.0
    }
}

fn pair() -> LinkMessage {
    let end = |name: &str| {
        let name = LinkAttribute::IfName(name.to_owned());
        vec![name, LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]
    };
    let mut peer = LinkMessage::default();
    peer.attributes = end(NAMES[1]);
    peer.attributes.push(LinkAttribute::NetNsFd(NAMESPACE));
    let mut link = LinkMessage::default();
    link.attributes = end(NAMES[0]);
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    link
}

fn address() -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = PREFIX;
    message.header.scope = AddressScope::Universe;
    message.header.index = INDEX;
    message.attributes = vec![
        AddressAttribute::Local(ADDRESS.into()),
        AddressAttribute::Address(ADDRESS.into()),
        AddressAttribute::Broadcast(BROADCAST),
    ];
    message
}

fn route() -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Gateway(RouteAddress::Inet(GATEWAY)), RouteAttribute::Oif(INDEX)];
    message
}
