//! Requests built from words: `route add`, `change`, `replace`, `prepend`, `append`, `delete`.

use super::index;
use super::line::WordLine;
use super::route_values::{gateway, protocol, realms, scope, table, tos, via};
use super::words::{IpFamily, Keyword, Phrase, Takes, kind_of_routes, other, short, whole};
use crate::failure::Failure;
use netns_core::route::{DescribedRoute, ONLINK, Preference, Protocol, RouteKind, Scope};
use netns_core::wire::{AttributeWriter, Batch, RTA_NH_ID, RTA_PREF, RtMsg};
use netns_core::{IpNet, RouteSocket};
use std::net::IpAddr;

/// What a command line does with routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteVerb {
    Add,
    Change,
    Replace,
    Prepend,
    Append,
    Test,
    Delete,
    Show,
    Get,
    Flush,
}

impl RouteVerb {
    const fn flags(self) -> i32 {
        match self {
            Self::Add => libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            Self::Change => libc::NLM_F_REPLACE,
            Self::Replace => libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            Self::Prepend => libc::NLM_F_CREATE,
            Self::Append => libc::NLM_F_CREATE | libc::NLM_F_APPEND,
            Self::Test => libc::NLM_F_EXCL,
            Self::Delete | Self::Show | Self::Get | Self::Flush => 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteWord {
    Source,
    Via,
    From,
    Tos,
    Expires,
    Priority,
    Scope,
    /// `RTAX_*`.
    Metric(u16),
    Realms,
    OnLink,
    NextHop,
    NextHopId,
    Protocol,
    Table,
    Dev,
    Preference,
    To,
    Refused,
}

/// `RTA_EXPIRES`, of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
const RTA_EXPIRES: u16 = 23;
/// `RTAX_LOCK` and the others, of the same file.
const RTAX_LOCK: u16 = 1;
const RTAX_HOPLIMIT: u16 = 10;
const RTAX_QUICKACK: u16 = 15;
const RTAX_FASTOPEN_NO_COOKIE: u16 = 17;

/// In the order of `iproute_modify`.
pub(super) const ROUTE_WORDS: &[Keyword<RouteWord>] = &[
    whole("src", Takes::Value, RouteWord::Source),
    whole("as", Takes::Refused, RouteWord::Refused),
    whole("via", Takes::Via, RouteWord::Via),
    whole("from", Takes::Value, RouteWord::From),
    whole("tos", Takes::Value, RouteWord::Tos),
    short("dsfield", Takes::Value, RouteWord::Tos),
    whole("expires", Takes::Value, RouteWord::Expires),
    short("metric", Takes::Value, RouteWord::Priority),
    short("priority", Takes::Value, RouteWord::Priority),
    whole("preference", Takes::Value, RouteWord::Priority),
    whole("scope", Takes::Value, RouteWord::Scope),
    whole("mtu", Takes::Lockable, RouteWord::Metric(2)),
    whole("hoplimit", Takes::Lockable, RouteWord::Metric(RTAX_HOPLIMIT)),
    whole("advmss", Takes::Lockable, RouteWord::Metric(8)),
    short("reordering", Takes::Lockable, RouteWord::Metric(9)),
    whole("rtt", Takes::Refused, RouteWord::Refused),
    whole("rto_min", Takes::Refused, RouteWord::Refused),
    short("window", Takes::Lockable, RouteWord::Metric(3)),
    short("cwnd", Takes::Lockable, RouteWord::Metric(7)),
    short("initcwnd", Takes::Lockable, RouteWord::Metric(11)),
    short("initrwnd", Takes::Lockable, RouteWord::Metric(14)),
    short("features", Takes::Refused, RouteWord::Refused),
    short("quickack", Takes::Value, RouteWord::Metric(RTAX_QUICKACK)),
    short("congctl", Takes::Refused, RouteWord::Refused),
    short("rttvar", Takes::Refused, RouteWord::Refused),
    short("ssthresh", Takes::Lockable, RouteWord::Metric(6)),
    short("realms", Takes::Value, RouteWord::Realms),
    whole("onlink", Takes::Nothing, RouteWord::OnLink),
    whole("nexthop", Takes::Rest, RouteWord::NextHop),
    whole("nhid", Takes::Value, RouteWord::NextHopId),
    short("protocol", Takes::Value, RouteWord::Protocol),
    short("table", Takes::Value, RouteWord::Table),
    short("vrf", Takes::Refused, RouteWord::Refused),
    whole("dev", Takes::Value, RouteWord::Dev),
    whole("oif", Takes::Value, RouteWord::Dev),
    short("pref", Takes::Value, RouteWord::Preference),
    whole("encap", Takes::Refused, RouteWord::Refused),
    whole("ttl-propagate", Takes::Refused, RouteWord::Refused),
    short("fastopen_no_cookie", Takes::Value, RouteWord::Metric(RTAX_FASTOPEN_NO_COOKIE)),
    whole("to", Takes::Typed, RouteWord::To),
    other(Takes::Typed, RouteWord::To),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HopWord {
    Via,
    Dev,
    Weight,
    OnLink,
    Realms,
    NextHop,
    Refused,
}

/// In the order of `parse_one_nh`; another `nexthop` begins the next one.
pub(super) const HOP_WORDS: &[Keyword<HopWord>] = &[
    whole("via", Takes::Via, HopWord::Via),
    whole("dev", Takes::Value, HopWord::Dev),
    whole("weight", Takes::Value, HopWord::Weight),
    whole("onlink", Takes::Nothing, HopWord::OnLink),
    short("realms", Takes::Value, HopWord::Realms),
    whole("encap", Takes::Refused, HopWord::Refused),
    whole("as", Takes::Refused, HopWord::Refused),
    whole("nexthop", Takes::Rest, HopWord::NextHop),
];

/// What the words say.
#[derive(Default)]
struct RouteWords {
    family: Option<IpFamily>,
    to: Option<IpNet>,
    /// Whether the destination is everything.
    is_default: bool,
    kind: Option<RouteKind>,
    source: Option<IpAddr>,
    via: Option<IpAddr>,
    from: Option<IpNet>,
    tos: u8,
    priority: Option<u32>,
    scope: Option<Scope>,
    metrics: Vec<(u16, u32)>,
    locked: u32,
    numbers: Vec<(u16, u32)>,
    is_onlink: bool,
    has_next_hop_id: bool,
    protocol: Option<Protocol>,
    table: Option<u32>,
    preference: Option<Preference>,
    /// `RTA_MULTIPATH`.
    hops: Vec<u8>,
}

pub(super) fn change(line: &mut WordLine, verb: RouteVerb) -> Result<(), Failure> {
    let phrases = line.phrases(ROUTE_WORDS)?;
    let mut hops = Vec::new();
    if let Some(phrase) = phrases.last().filter(|phrase| phrase.act == RouteWord::NextHop) {
        let mut words = phrase.values.clone();
        loop {
            line.resume(words);
            let mut hop = line.phrases(HOP_WORDS)?;
            let more = hop.pop_if(|phrase| phrase.act == HopWord::NextHop);
            hops.push(hop);
            let Some(more) = more else { break };
            words = more.values;
        }
    }
    if !phrases.iter().any(|phrase| phrase.act == RouteWord::To) {
        return Err(Failure::Usage(format!("`{}`: the destination is missing", line.about)));
    }
    let mut socket = line.manner.open()?;
    let mut request = RouteWords { family: line.manner.family, ..RouteWords::default() };
    for phrase in &phrases {
        request.read(&mut socket, phrase)?;
    }
    for hop in &hops {
        request.hop(&mut socket, hop)?;
    }
    let mut batch = Batch::new();
    request.write(&mut batch, verb);
    Ok(socket.execute(&mut batch)?)
}

/// Deletes a route that was listed.
pub(super) fn delete(socket: &mut RouteSocket, described: &DescribedRoute) -> Result<(), Failure> {
    let route = &described.route;
    let request = RouteWords {
        family: Some(IpFamily::of(route.destination.address())),
        to: Some(route.destination).filter(|to| to.prefix() > 0),
        kind: Some(route.kind),
        source: route.source,
        from: described.from,
        via: route.gateway.or(route.via.map(IpAddr::from)),
        tos: described.tos,
        priority: route.metric,
        scope: Some(route.scope),
        numbers: route.index.map(|index| (libc::RTA_OIF, index)).into_iter().collect(),
        protocol: Some(route.protocol),
        table: Some(route.table),
        ..RouteWords::default()
    };
    let mut batch = Batch::new();
    request.write(&mut batch, RouteVerb::Delete);
    match socket.execute(&mut batch) {
        Err(error) if error.errno() == Some(libc::ESRCH) => Ok(()),
        other => Ok(other?),
    }
}

impl RouteWords {
    fn read(&mut self, socket: &mut RouteSocket, phrase: &Phrase<RouteWord>) -> Result<(), Failure> {
        match phrase.act {
            RouteWord::To => {
                if let [kind, _] = &phrase.values[..] {
                    self.kind = kind_of_routes(kind);
                }
                if self.to.is_some() || self.is_default {
                    return Err(Failure::Usage(format!("{:?} is one destination too many", phrase.value())));
                }
                if phrase.value() == "default" {
                    self.is_default = true;
                } else {
                    let net = phrase.net(self.family)?;
                    self.family = Some(IpFamily::of(net.address()));
                    self.to = Some(net);
                }
            }
            RouteWord::Source => {
                let address = self.address(phrase)?;
                self.source = Some(address);
            }
            RouteWord::Via => {
                let via = via(phrase, self.family)?;
                self.family.get_or_insert(IpFamily::of(via));
                self.via = Some(via);
            }
            RouteWord::From => {
                let net = phrase.net(self.family)?;
                self.family = Some(IpFamily::of(net.address()));
                self.from = Some(net);
            }
            RouteWord::Tos => self.tos = tos(phrase)?,
            RouteWord::Expires => self.numbers.push((RTA_EXPIRES, phrase.number32()?)),
            RouteWord::Priority => self.priority = Some(phrase.number32()?),
            RouteWord::Scope => self.scope = Some(scope(phrase)?),
            RouteWord::Metric(metric) => {
                let most = match metric {
                    RTAX_HOPLIMIT => 255,
                    RTAX_QUICKACK | RTAX_FASTOPEN_NO_COOKIE => 1,
                    _ => u32::MAX.into(),
                };
                let value = phrase.number(most)?;
                self.metrics.push((metric, u32::try_from(value).unwrap_or(u32::MAX)));
                if phrase.values.len() > 1 {
                    self.locked |= 1 << metric;
                }
            }
            RouteWord::Realms => self.numbers.push((libc::RTA_FLOW, realms(phrase)?)),
            RouteWord::OnLink => self.is_onlink = true,
            RouteWord::NextHopId => {
                self.has_next_hop_id = true;
                self.numbers.push((RTA_NH_ID, phrase.number32()?));
            }
            RouteWord::Protocol => self.protocol = Some(protocol(phrase)?),
            RouteWord::Table => self.table = Some(table(phrase)?),
            RouteWord::Dev => self.numbers.push((libc::RTA_OIF, index(socket, phrase.value())?)),
            RouteWord::Preference => {
                let named = Preference::named(phrase.value());
                self.preference = Some(named.map_or_else(|| phrase.number8().map(Preference), Ok)?);
            }
            RouteWord::NextHop | RouteWord::Refused => {}
        }
        Ok(())
    }

    fn address(&mut self, phrase: &Phrase<RouteWord>) -> Result<IpAddr, Failure> {
        let address = phrase.address(self.family)?;
        self.family = Some(IpFamily::of(address));
        Ok(address)
    }

    /// Adds a `struct rtnexthop` with its attributes.
    fn hop(&mut self, socket: &mut RouteSocket, phrases: &[Phrase<HopWord>]) -> Result<(), Failure> {
        let start = self.hops.len();
        let (mut index_of, mut weight, mut flags) = (0, 1, 0_u8);
        self.hops.extend([0; 8]);
        for phrase in phrases {
            match phrase.act {
                HopWord::Via => {
                    let via = via(phrase, self.family)?;
                    let family = *self.family.get_or_insert(IpFamily::of(via));
                    let bytes = gateway(family, via);
                    self.attribute(bytes.0, &bytes.1);
                }
                HopWord::Dev => index_of = index(socket, phrase.value())?,
                HopWord::Weight => {
                    weight = phrase.number(256)?;
                    if weight == 0 {
                        return Err(phrase.wrong("not 1 to 256"));
                    }
                }
                HopWord::OnLink => flags |= u8::try_from(ONLINK).unwrap_or_default(),
                HopWord::Realms => {
                    let realms = realms(phrase)?;
                    self.attribute(libc::RTA_FLOW, &realms.to_ne_bytes());
                }
                HopWord::NextHop | HopWord::Refused => {}
            }
        }
        let length = u16::try_from(self.hops.len() - start).unwrap_or(u16::MAX).to_ne_bytes();
        let weight = u8::try_from(weight - 1).unwrap_or(u8::MAX);
        let [a, b, c, d] = index_of.to_ne_bytes();
        self.hops[start..start + 8].copy_from_slice(&[length[0], length[1], flags, weight, a, b, c, d]);
        Ok(())
    }

    fn attribute(&mut self, kind: u16, bytes: &[u8]) {
        let length = u16::try_from(bytes.len() + 4).unwrap_or(u16::MAX);
        self.hops.extend(length.to_ne_bytes());
        self.hops.extend(kind.to_ne_bytes());
        self.hops.extend(bytes);
        self.hops.resize(self.hops.len().next_multiple_of(4), 0);
    }

    fn write(&self, batch: &mut Batch, verb: RouteVerb) {
        let is_deleting = verb == RouteVerb::Delete;
        let family = self.family.unwrap_or(IpFamily::Inet);
        let unsaid = if is_deleting { RouteKind::UNSPEC } else { RouteKind::UNICAST };
        let kind = self.kind.unwrap_or(unsaid);
        let table = self.table.unwrap_or(u32::from(match kind {
            RouteKind::LOCAL | RouteKind::BROADCAST | RouteKind::NAT | RouteKind::ANYCAST => {
                libc::RT_TABLE_LOCAL
            }
            _ => libc::RT_TABLE_MAIN,
        }));
        let header = RtMsg {
            family: family.number(),
            destination_prefix: self.to.map_or(0, |to| to.prefix()),
            source_prefix: self.from.map_or(0, |from| from.prefix()),
            tos: self.tos,
            table: u8::try_from(table).unwrap_or(libc::RT_TABLE_UNSPEC),
            protocol: self.protocol.unwrap_or(if is_deleting { Protocol::UNSPEC } else { Protocol::BOOT }).0,
            scope: self.scope.unwrap_or_else(|| self.default_scope(family, kind, is_deleting)).0,
            kind: kind.0,
            flags: if self.is_onlink { ONLINK } else { 0 },
        };
        let message = if is_deleting { libc::RTM_DELROUTE } else { libc::RTM_NEWROUTE };
        batch.message(message, verb.flags(), &header, |attributes| {
            if let Some(to) = self.to {
                attributes.ip(libc::RTA_DST, to.address());
            }
            if let Some(from) = self.from {
                attributes.ip(libc::RTA_SRC, from.address());
            }
            if let Some(via) = self.via {
                let (kind, bytes) = gateway(family, via);
                attributes.bytes(kind, &bytes);
            }
            if let Some(source) = self.source {
                attributes.ip(libc::RTA_PREFSRC, source);
            }
            attributes.optional(libc::RTA_PRIORITY, self.priority);
            attributes.optional(libc::RTA_TABLE, (table > 255).then_some(table));
            attributes.optional(RTA_PREF, self.preference.map(|preference| preference.0));
            for (kind, number) in &self.numbers {
                attributes.value(*kind, *number);
            }
            self.write_metrics(attributes);
            if !self.hops.is_empty() {
                attributes.bytes(libc::RTA_MULTIPATH, &self.hops);
            }
        });
    }

    fn write_metrics(&self, attributes: &mut AttributeWriter<'_>) {
        if self.metrics.is_empty() {
            return;
        }
        attributes.nest(libc::RTA_METRICS, |metrics| {
            for (kind, number) in &self.metrics {
                metrics.value(*kind, *number);
            }
            if self.locked != 0 {
                metrics.value(RTAX_LOCK, self.locked);
            }
        });
    }

    /// The scope of the destination, if it was not given.
    fn default_scope(&self, family: IpFamily, kind: RouteKind, is_deleting: bool) -> Scope {
        match kind {
            _ if family == IpFamily::Inet6 => Scope::GLOBAL,
            RouteKind::LOCAL | RouteKind::NAT => Scope::HOST,
            RouteKind::BROADCAST | RouteKind::MULTICAST | RouteKind::ANYCAST => Scope::LINK,
            _ if is_deleting => Scope::NOWHERE,
            RouteKind::UNICAST | RouteKind::UNSPEC
                if self.via.is_none() && self.hops.is_empty() && !self.has_next_hop_id =>
            {
                Scope::LINK
            }
            _ => Scope::GLOBAL,
        }
    }
}
