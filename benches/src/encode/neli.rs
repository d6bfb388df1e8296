//! neli.

use super::{ADDRESS, BROADCAST, Encoder, GATEWAY, INDEX, NAMES, NAMESPACE, PREFIX, RouteRequest};
use neli::ToBytes;
use neli::consts::nl::NlmF;
use neli::consts::rtnl::{
    Ifa, Ifla, IflaInfo, IflaVlan, RtAddrFamily, RtScope, RtTable, Rta, RtaType, Rtm, Rtn, Rtprot,
};
use neli::err::SerError;
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::rtnl::{
    Ifaddrmsg, IfaddrmsgBuilder, Ifinfomsg, IfinfomsgBuilder, Rtattr, RtattrBuilder, Rtmsg, RtmsgBuilder,
};
use neli::types::{Buffer, RtBuffer};
use neli::{Size, consts::nl::NlType};
use std::error::Error;
use std::io::Cursor;
use std::net::Ipv4Addr;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// With a buffer that is used again.
#[derive(Debug, Default)]
pub struct Neli(Vec<u8>);

impl Encoder for Neli {
    fn name(&self) -> &'static str {
        "neli"
    }

    fn encode(&mut self, message: RouteRequest) -> &[u8] {
        let made = NlmF::CREATE | NlmF::EXCL;
        let written = match message {
            RouteRequest::CreateVeth => pair().and_then(|link| self.write(Rtm::Newlink, made, link)),
            RouteRequest::AddAddress => address().and_then(|address| self.write(Rtm::Newaddr, made, address)),
            RouteRequest::AddRoute => route().and_then(|route| self.write(Rtm::Newroute, made, route)),
            RouteRequest::GetLink => get().and_then(|link| self.write(Rtm::Getlink, NlmF::empty(), link)),
        };
        written.expect("neli writes the message");
        &self.0
    }
}

impl Neli {
    fn write<P: Size + ToBytes>(&mut self, kind: Rtm, flags: NlmF, payload: P) -> Result<()>
    where
        Rtm: NlType,
    {
        let message = NlmsghdrBuilder::default()
            .nl_type(kind)
            .nl_flags(flags | NlmF::REQUEST)
            .nl_payload(NlPayload::Payload(payload))
            .build()?;
        self.0.clear();
        let mut cursor = Cursor::new(std::mem::take(&mut self.0));
        let written: std::result::Result<(), SerError> = message.to_bytes(&mut cursor);
        self.0 = cursor.into_inner();
        Ok(written?)
    }
}

fn attribute<T: RtaType, P: Size + ToBytes>(kind: T, value: P) -> Result<Rtattr<T, Buffer>> {
    Ok(RtattrBuilder::default().rta_type(kind).rta_payload(value).build()?)
}

fn end(name: &str) -> Result<RtBuffer<Ifla, Buffer>> {
    let mut attributes = RtBuffer::new();
    attributes.push(attribute(Ifla::Ifname, name)?);
    attributes.push(attribute(Ifla::NumTxQueues, 1_u32)?);
    attributes.push(attribute(Ifla::NumRxQueues, 1_u32)?);
    Ok(attributes)
}

fn pair() -> Result<Ifinfomsg> {
    let mut inside = end(NAMES[1])?;
    inside.push(attribute(Ifla::NetNsFd, NAMESPACE)?);
    let inside = IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified).rtattrs(inside).build()?;
    // neli has no name for `VETH_INFO_PEER`, which is 1 as well.
    let mut data = RtBuffer::<IflaVlan, Buffer>::new();
    data.push(attribute(IflaVlan::Id, inside)?);
    let mut info = RtBuffer::<IflaInfo, Buffer>::new();
    info.push(attribute(IflaInfo::Kind, "veth")?);
    info.push(attribute(IflaInfo::Data, data)?);
    let mut attributes = end(NAMES[0])?;
    attributes.push(attribute(Ifla::Linkinfo, info)?);
    Ok(IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified).rtattrs(attributes).build()?)
}

fn address() -> Result<Ifaddrmsg> {
    let bytes = |address: Ipv4Addr| u32::from_ne_bytes(address.octets());
    let mut attributes = RtBuffer::new();
    attributes.push(attribute(Ifa::Local, bytes(ADDRESS))?);
    attributes.push(attribute(Ifa::Address, bytes(ADDRESS))?);
    attributes.push(attribute(Ifa::Broadcast, bytes(BROADCAST))?);
    Ok(IfaddrmsgBuilder::default()
        .ifa_family(RtAddrFamily::Inet)
        .ifa_prefixlen(PREFIX)
        .ifa_scope(RtScope::Universe)
        .ifa_index(INDEX)
        .rtattrs(attributes)
        .build()?)
}

fn route() -> Result<Rtmsg> {
    let mut attributes = RtBuffer::new();
    attributes.push(attribute(Rta::Gateway, u32::from_ne_bytes(GATEWAY.octets()))?);
    attributes.push(attribute(Rta::Oif, INDEX)?);
    Ok(RtmsgBuilder::default()
        .rtm_family(RtAddrFamily::Inet)
        .rtm_dst_len(0)
        .rtm_src_len(0)
        .rtm_tos(0)
        .rtm_table(RtTable::Main)
        .rtm_protocol(Rtprot::Boot)
        .rtm_scope(RtScope::Universe)
        .rtm_type(Rtn::Unicast)
        .rtattrs(attributes)
        .build()?)
}

fn get() -> Result<Ifinfomsg> {
    let index = i32::try_from(INDEX)?;
    Ok(IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified).ifi_index(index).build()?)
}
