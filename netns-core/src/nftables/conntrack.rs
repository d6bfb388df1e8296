//! Connections that the kernel keeps track of: listed, and forgotten.
//!
//! Rules of [`super::Base::nat`] are asked when a connection begins, and what they said holds for as long as packets of it
//! come. Of TCP a connection ends; of UDP one that somebody goes on sending has no end, and keeps going where the rules sent it
//! when it began. So it has to be forgotten when those change.

use super::constants::{IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_NEW};
use super::socket::NftSocket;
use super::{Family, header};
use crate::Result;
use crate::dump::dump;
use crate::wire::{Attribute, Attributes, Batch, Message, NfGenMsg};
use std::net::{IpAddr, SocketAddr};

/// The attributes, of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nfnetlink_conntrack.h>.
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackedConnection {
    /// Its family, [`Family::Ip`] or [`Family::Ip6`].
    pub family: Family,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Where its first packet came from, and where that was sent to. Ports of protocols without any are 0.
    pub original: [SocketAddr; 2],
    /// Where replies come from, and where they are sent to: the other way round, unless it was changed.
    pub reply: [SocketAddr; 2],
    /// The attributes that name it to the kernel.
    tuple: Vec<u8>,
    id: Option<u32>,
}

/// Lists the connections of a family, [`Family::Ip`] or [`Family::Ip6`], that are `wanted`.
///
/// # Errors
/// [`crate::ErrorKind::Unsupported`] or [`crate::ErrorKind::Invalid`] if the kernel has no conntrack over netlink; if it
/// refuses.
pub fn list(
    socket: &mut NftSocket,
    family: Family,
    mut wanted: impl FnMut(&TrackedConnection) -> bool,
) -> Result<Vec<TrackedConnection>> {
    let mut batch = Batch::new();
    batch.message(IPCTNL_MSG_CT_GET, libc::NLM_F_DUMP, &header(family), |_| {});
    dump(socket, &mut batch, |message, connections| {
        connections.extend(parse(message, family).filter(&mut wanted));
        Ok(())
    })
}

/// Lets the kernel forget a connection: the next packet of it is asked for by the rules as a first one. One that ended meanwhile
/// is no error.
///
/// # Errors
/// If the kernel refuses.
pub fn forget(socket: &mut NftSocket, connection: &TrackedConnection) -> Result<()> {
    let mut batch = Batch::new();
    batch.message(IPCTNL_MSG_CT_DELETE, 0, &header(connection.family), |attributes| {
        attributes.bytes(CTA_TUPLE_ORIG | libc::NLA_F_NESTED as u16, &connection.tuple);
        attributes.optional(CTA_ID, connection.id);
    });
    match socket.execute(&mut batch) {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn parse(message: &Message<'_>, family: Family) -> Option<TrackedConnection> {
    if message.header.kind != IPCTNL_MSG_CT_NEW {
        return None;
    }
    let attributes = message.attributes_after::<NfGenMsg>();
    let (original, reply) = (attributes.find(CTA_TUPLE_ORIG)?, attributes.find(CTA_TUPLE_REPLY)?);
    let proto = original.nested().find(CTA_TUPLE_PROTO)?.nested();
    Some(TrackedConnection {
        family,
        protocol: proto.find(CTA_PROTO_NUM)?.value()?,
        original: ends(&original.nested())?,
        reply: ends(&reply.nested())?,
        tuple: original.bytes.to_vec(),
        id: attributes.find(CTA_ID).and_then(|id| id.value()),
    })
}

/// Source and destination.
fn ends(tuple: &Attributes<'_>) -> Option<[SocketAddr; 2]> {
    let (ip, proto) = (tuple.find(CTA_TUPLE_IP)?.nested(), tuple.find(CTA_TUPLE_PROTO)?.nested());
    let address = |v4, v6| -> Option<IpAddr> { ip.find(v4).or_else(|| ip.find(v6))?.ip() };
    let port = |kind| {
        let port = proto.find(kind).and_then(|port: Attribute<'_>| port.value::<u16>());
        port.map_or(0, u16::from_be)
    };
    Some([
        SocketAddr::new(address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?, port(CTA_PROTO_SRC_PORT)),
        SocketAddr::new(address(CTA_IP_V4_DST, CTA_IP_V6_DST)?, port(CTA_PROTO_DST_PORT)),
    ])
}
