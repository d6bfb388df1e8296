//! `route get`: where a packet would go.

use super::index;
use super::line::WordLine;
use super::route_values::tos;
use super::words::{IpFamily, Keyword, Phrase, Takes, other, short, whole};
use crate::failure::Failure;
use netns_core::wire::{Batch, RTA_UID, RtMsg};
use netns_core::{IpNet, RouteSocket};

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GetWord {
    Tos,
    From,
    In,
    Mark,
    Out,
    User,
    FibMatch,
    To,
    Refused,
}

/// In the order of `iproute_get`.
pub(super) const GET_WORDS: &[Keyword<GetWord>] = &[
    whole("tos", Takes::Value, GetWord::Tos),
    short("dsfield", Takes::Value, GetWord::Tos),
    short("from", Takes::Value, GetWord::From),
    short("iif", Takes::Value, GetWord::In),
    short("mark", Takes::Value, GetWord::Mark),
    short("oif", Takes::Value, GetWord::Out),
    whole("dev", Takes::Value, GetWord::Out),
    short("notify", Takes::Refused, GetWord::Refused),
    short("connected", Takes::Refused, GetWord::Refused),
    short("vrf", Takes::Refused, GetWord::Refused),
    short("uid", Takes::Value, GetWord::User),
    short("fibmatch", Takes::Nothing, GetWord::FibMatch),
    whole("as", Takes::Refused, GetWord::Refused),
    short("sport", Takes::Refused, GetWord::Refused),
    short("dport", Takes::Refused, GetWord::Refused),
    short("ipproto", Takes::Refused, GetWord::Refused),
    whole("to", Takes::Value, GetWord::To),
    other(Takes::Value, GetWord::To),
];

/// `RTM_F_LOOKUP_TABLE` and `RTM_F_FIB_MATCH`.
const LOOKUP_TABLE: u32 = 0x1000;
const FIB_MATCH: u32 = 0x2000;
const RTA_MARK: u16 = 16;

/// The request for the route of a packet.
pub(super) fn get(
    line: &WordLine,
    socket: &mut RouteSocket,
    phrases: &[Phrase<GetWord>],
) -> Result<Batch, Failure> {
    let (mut family, mut to, mut from) = (line.manner.family, None, None);
    let mut header = RtMsg::default();
    let mut numbers = Vec::new();
    for phrase in phrases {
        match phrase.act {
            GetWord::Tos => header.tos = tos(phrase)?,
            GetWord::From | GetWord::To => {
                let net = phrase.net(family)?;
                family = Some(IpFamily::of(net.address()));
                // `ip` warns, and asks for just the address.
                if net != IpNet::single(net.address()) {
                    return Err(phrase.wrong("not a single address"));
                }
                if phrase.act == GetWord::To { to = Some(net) } else { from = Some(net) }
            }
            GetWord::In => numbers.push((libc::RTA_IIF, index(socket, phrase.value())?)),
            GetWord::Out => numbers.push((libc::RTA_OIF, index(socket, phrase.value())?)),
            GetWord::Mark => numbers.push((RTA_MARK, phrase.number32()?)),
            GetWord::User => numbers.push((RTA_UID, phrase.number32()?)),
            GetWord::FibMatch => header.flags |= FIB_MATCH,
            GetWord::Refused => {}
        }
    }
    let Some(to) = to else {
        return Err(Failure::Usage(format!("`{}`: the destination is missing", line.about)));
    };
    let family = family.unwrap_or(IpFamily::Inet);
    header.family = family.number();
    header.destination_prefix = to.prefix();
    header.source_prefix = from.map_or(0, |from: IpNet| from.prefix());
    if family == IpFamily::Inet {
        header.flags |= LOOKUP_TABLE;
    }
    let mut batch = Batch::new();
    batch.message(libc::RTM_GETROUTE, 0, &header, |attributes| {
        attributes.ip(libc::RTA_DST, to.address());
        if let Some(from) = from {
            attributes.ip(libc::RTA_SRC, from.address());
        }
        for (kind, number) in numbers {
            attributes.value(kind, number);
        }
    });
    Ok(batch)
}
