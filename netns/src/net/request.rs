//! Requests built from words: `link add`, `set`, `replace`, `delete`.

use super::line::WordLine;
use super::option;
use super::words::{Keyword, Phrase, Takes, other, short, whole};
use super::{PORT, index};
use crate::failure::Failure;
use netns_core::bridge::PortOptions;
use netns_core::link::LinkKind;
use netns_core::option::Options;
use netns_core::wire::{AttributeWriter, Batch, IFLA_INET6_ADDR_GEN_MODE, IfInfoMsg, VETH_INFO_PEER};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkWord {
    Up,
    Down,
    Name,
    Index,
    Link,
    Mac(u16),
    Number(u16),
    Netns,
    /// `on` or `off`, for this `IFF_*`; whether `off` sets it.
    Flag(i32, bool),
    Switch(u16),
    Master,
    NoMaster,
    Kind,
    Alias,
    Group,
    Mode,
    State,
    AddrGenMode,
    Dev,
    Refused,
}

/// `IFLA_GSO_MAX_SIZE` and its like, of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
const IFLA_GSO_MAX_SEGS: u16 = 40;
const IFLA_GSO_MAX_SIZE: u16 = 41;
const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_PROTO_DOWN: u16 = 39;
const IFLA_NEW_IFINDEX: u16 = 49;

/// The words of `link add`, `set` and `delete`, in the order of `iplink_parse`.
pub(super) const LINK_WORDS: &[Keyword<LinkWord>] = &[
    whole("up", Takes::Nothing, LinkWord::Up),
    whole("down", Takes::Nothing, LinkWord::Down),
    whole("name", Takes::Value, LinkWord::Name),
    whole("index", Takes::Value, LinkWord::Index),
    short("link", Takes::Value, LinkWord::Link),
    short("address", Takes::Value, LinkWord::Mac(libc::IFLA_ADDRESS)),
    short("broadcast", Takes::Value, LinkWord::Mac(libc::IFLA_BROADCAST)),
    whole("brd", Takes::Value, LinkWord::Mac(libc::IFLA_BROADCAST)),
    short("txqueuelen", Takes::Value, LinkWord::Number(libc::IFLA_TXQLEN)),
    whole("qlen", Takes::Value, LinkWord::Number(libc::IFLA_TXQLEN)),
    short("txqlen", Takes::Value, LinkWord::Number(libc::IFLA_TXQLEN)),
    whole("mtu", Takes::Value, LinkWord::Number(libc::IFLA_MTU)),
    whole("xdpgeneric", Takes::Refused, LinkWord::Refused),
    whole("xdpdrv", Takes::Refused, LinkWord::Refused),
    whole("xdpoffload", Takes::Refused, LinkWord::Refused),
    whole("xdp", Takes::Refused, LinkWord::Refused),
    whole("netns", Takes::Value, LinkWord::Netns),
    whole("multicast", Takes::Value, LinkWord::Flag(libc::IFF_MULTICAST, false)),
    whole("allmulticast", Takes::Value, LinkWord::Flag(libc::IFF_ALLMULTI, false)),
    whole("promisc", Takes::Value, LinkWord::Flag(libc::IFF_PROMISC, false)),
    whole("trailers", Takes::Value, LinkWord::Flag(libc::IFF_NOTRAILERS, true)),
    whole("arp", Takes::Value, LinkWord::Flag(libc::IFF_NOARP, true)),
    whole("carrier", Takes::Value, LinkWord::Switch(libc::IFLA_CARRIER)),
    whole("vf", Takes::Refused, LinkWord::Refused),
    short("master", Takes::Value, LinkWord::Master),
    whole("vrf", Takes::Refused, LinkWord::Refused),
    short("nomaster", Takes::Nothing, LinkWord::NoMaster),
    short("dynamic", Takes::Value, LinkWord::Flag(libc::IFF_DYNAMIC, false)),
    short("type", Takes::Rest, LinkWord::Kind),
    short("alias", Takes::Value, LinkWord::Alias),
    whole("group", Takes::Value, LinkWord::Group),
    whole("mode", Takes::Value, LinkWord::Mode),
    whole("state", Takes::Value, LinkWord::State),
    short("numtxqueues", Takes::Value, LinkWord::Number(libc::IFLA_NUM_TX_QUEUES)),
    short("numrxqueues", Takes::Value, LinkWord::Number(libc::IFLA_NUM_RX_QUEUES)),
    short("addrgenmode", Takes::Value, LinkWord::AddrGenMode),
    short("link-netns", Takes::Refused, LinkWord::Refused),
    short("link-netnsid", Takes::Refused, LinkWord::Refused),
    whole("protodown", Takes::Value, LinkWord::Switch(IFLA_PROTO_DOWN)),
    whole("protodown_reason", Takes::Refused, LinkWord::Refused),
    whole("gso_max_size", Takes::Value, LinkWord::Number(IFLA_GSO_MAX_SIZE)),
    whole("gso_max_segs", Takes::Value, LinkWord::Number(IFLA_GSO_MAX_SEGS)),
    whole("gro_max_size", Takes::Value, LinkWord::Number(IFLA_GRO_MAX_SIZE)),
    whole("parentdev", Takes::Refused, LinkWord::Refused),
    whole("dev", Takes::Value, LinkWord::Dev),
    other(Takes::Value, LinkWord::Dev),
];

/// What a request for a link does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkVerb {
    Add,
    Set,
    Replace,
    Delete,
    Show,
}

impl LinkVerb {
    const fn request(self) -> (u16, i32) {
        match self {
            Self::Add => (libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
            Self::Replace => (libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_REPLACE),
            Self::Delete => (libc::RTM_DELLINK, 0),
            Self::Set | Self::Show => (libc::RTM_NEWLINK, 0),
        }
    }

    const fn creates(self) -> bool {
        matches!(self, Self::Add | Self::Replace)
    }
}

/// What follows `type`, as words.
enum KindWords {
    Plain,
    Peer(Vec<Phrase<LinkWord>>),
    /// The name of an option and its value.
    Options(Vec<(String, String)>),
}

/// One end of a link, as it should be.
#[derive(Default)]
struct LinkEnd {
    dev: Option<String>,
    name: Option<IfName>,
    link: Option<String>,
    index: u32,
    group: Option<u32>,
    flags: u32,
    change: u32,
    kind: Option<String>,
    macs: Vec<(u16, MacAddress)>,
    numbers: Vec<(u16, u32)>,
    bytes: Vec<(u16, u8)>,
    alias: Option<String>,
    addrgenmode: Option<u8>,
    namespace: Option<Namespace>,
}

/// Parses the rest of a line, sends the request, and prints nothing.
pub(super) fn change(line: &mut WordLine, verb: LinkVerb) -> Result<(), Failure> {
    let phrases = line.phrases(LINK_WORDS)?;
    let (kind, words) = match phrases.last().filter(|phrase| phrase.act == LinkWord::Kind) {
        Some(phrase) => kind_words(line, phrase)?,
        None => (None, KindWords::Plain),
    };
    if kind.is_none() && verb.creates() {
        return Err(Failure::Usage(format!("`{}`: `type KIND` is missing", line.about)));
    }
    let mut socket = line.manner.open()?;
    let mut end = LinkEnd::read(&mut socket, &phrases)?;
    let name = end.settle(&mut socket, verb, &line.about)?;
    let below = match &end.link {
        Some(name) if verb.creates() => Some(index(&mut socket, name)?),
        _ => None,
    };
    let peer = match &words {
        KindWords::Peer(phrases) => {
            let mut peer = LinkEnd::read(&mut socket, phrases)?;
            let name = peer.settle(&mut socket, verb, &line.about)?;
            Some((peer, name))
        }
        _ => None,
    };
    let (mut known, mut port) = (kind.as_deref().and_then(LinkKind::named), None);
    if let (KindWords::Options(settings), Some(kind)) = (&words, kind.as_deref()) {
        let missing = || Failure::Usage(format!("`type {kind}` takes no options here"));
        let options: &mut dyn Options =
            if kind == PORT { port.insert(PortOptions::NONE) } else { known.as_mut().ok_or_else(missing)? };
        option::set(&mut socket, options, kind, settings)?;
    }
    if let (Some(LinkKind::Vxlan(options)), true) = (&known, verb.creates())
        && options.id.is_none()
    {
        return Err(Failure::usage("vxlan: its `id` is missing"));
    }
    let mut batch = Batch::new();
    let (message, flags) = verb.request();
    let header = end.header();
    batch.message(message, flags, &header, |attributes| {
        end.write(attributes, name);
        attributes.optional(libc::IFLA_LINK, below);
        let Some(kind) = &kind else { return };
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, kind);
            match (&peer, &port, &known) {
                (Some((peer, name)), ..) => info.nest(libc::IFLA_INFO_DATA, |data| {
                    data.nest_after(VETH_INFO_PEER, &peer.header(), |attributes| {
                        peer.write(attributes, *name);
                    });
                }),
                (_, Some(port), _) => info.nest(libc::IFLA_INFO_SLAVE_DATA, |data| port.write(data)),
                (_, _, Some(known)) if matches!(words, KindWords::Options(_)) => {
                    info.nest(libc::IFLA_INFO_DATA, |data| known.write(data));
                }
                _ => {}
            }
        });
    });
    Ok(socket.execute(&mut batch)?)
}

/// Parses what follows `type`.
fn kind_words(
    line: &mut WordLine,
    phrase: &Phrase<LinkWord>,
) -> Result<(Option<String>, KindWords), Failure> {
    line.resume(phrase.values.clone());
    let Some(kind) = line.next()? else {
        return Err(Failure::Usage(format!("`{}`: a kind is missing after \"type\"", line.about)));
    };
    let Some(first) = line.next()? else { return Ok((Some(kind), KindWords::Plain)) };
    if kind == "veth" {
        if first != "peer" {
            return Err(Failure::Usage(format!("`type veth`: expected `peer`, not {first:?}")));
        }
        let phrases = line.phrases(LINK_WORDS)?;
        if phrases.iter().any(|phrase| phrase.act == LinkWord::Kind) {
            return Err(Failure::usage("`peer`: its type is always veth; leave `type` out"));
        }
        return Ok((Some(kind), KindWords::Peer(phrases)));
    }
    let rows = match LinkKind::named(&kind) {
        _ if kind == PORT => PortOptions::ROWS,
        Some(known) => known.rows(),
        None => {
            return Err(Failure::Usage(format!(
                "`type {kind}`: {first:?} is too much: its options are not here"
            )));
        }
    };
    let (mut settings, mut word) = (Vec::new(), Some(first));
    while let Some(name) = word {
        let Some((row, value)) = option::named(rows, &name) else {
            return Err(option::unknown(&kind, &name, rows));
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None => line.value(&name)?,
        };
        if settings.iter().any(|(other, _)| other == row.name) {
            return Err(Failure::Usage(format!("`type {kind}`: {name:?} is one too many")));
        }
        settings.push((if row.name == name { name } else { option::spelt(row, &name) }, value));
        word = line.next()?;
    }
    Ok((Some(kind), KindWords::Options(settings)))
}

impl LinkEnd {
    fn read(socket: &mut RouteSocket, phrases: &[Phrase<LinkWord>]) -> Result<Self, Failure> {
        let mut end = Self::default();
        for phrase in phrases {
            match phrase.act {
                LinkWord::Up => end.flag(libc::IFF_UP, true),
                LinkWord::Down => end.flag(libc::IFF_UP, false),
                LinkWord::Name => {
                    let name: IfName = phrase.value().parse()?;
                    end.name = Some(name);
                    end.dev.get_or_insert_with(|| name.to_string());
                }
                LinkWord::Index => {
                    end.index = phrase.number32()?;
                    if end.index == 0 || i32::try_from(end.index).is_err() {
                        return Err(phrase.wrong("not an index"));
                    }
                }
                LinkWord::Link => end.link = Some(phrase.value().to_owned()),
                LinkWord::Mac(kind) => end.macs.push((kind, phrase.mac()?)),
                LinkWord::Number(kind) => {
                    let number = phrase.number(i32::MAX as u64)?;
                    end.numbers.push((kind, u32::try_from(number).unwrap_or(u32::MAX)));
                }
                LinkWord::Netns => end.enter(phrase)?,
                LinkWord::Flag(flag, is_inverse) => end.flag(flag, phrase.is_on()? != is_inverse),
                LinkWord::Switch(kind) => end.bytes.push((kind, phrase.is_on()?.into())),
                LinkWord::Master => {
                    end.numbers.push((libc::IFLA_MASTER, index(socket, phrase.value())?));
                }
                LinkWord::NoMaster => end.numbers.push((libc::IFLA_MASTER, 0)),
                LinkWord::Kind => end.kind = phrase.values.first().cloned(),
                LinkWord::Alias => end.alias = Some(phrase.value().to_owned()),
                LinkWord::Group => {
                    let group = group(phrase)?;
                    end.group = Some(group);
                    end.numbers.push((libc::IFLA_GROUP, group));
                }
                LinkWord::Mode => {
                    end.bytes.push((libc::IFLA_LINKMODE, word_number(phrase, &["default", "dormant"])?));
                }
                LinkWord::State => {
                    let states =
                        ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];
                    end.bytes.push((libc::IFLA_OPERSTATE, word_number(phrase, &states)?));
                }
                LinkWord::AddrGenMode => {
                    let modes = ["eui64", "none", "stable_secret", "random"];
                    end.addrgenmode = Some(word_number(phrase, &modes)?);
                }
                LinkWord::Dev
                    if end.name.is_some() && end.dev.as_deref() != end.name.as_ref().map(IfName::as_str) =>
                {
                    return Err(Failure::Usage(format!("{:?} is one name too many", phrase.value())));
                }
                LinkWord::Dev => end.dev = Some(phrase.value().to_owned()),
                LinkWord::Refused => {}
            }
        }
        Ok(end)
    }

    fn flag(&mut self, flag: i32, is_on: bool) {
        let flag = flag as u32;
        self.change |= flag;
        self.flags = if is_on { self.flags | flag } else { self.flags & !flag };
    }

    /// A namespace by name, by path, or by the number of a process in it.
    fn enter(&mut self, phrase: &Phrase<LinkWord>) -> Result<(), Failure> {
        let name = phrase.value();
        let named =
            if name.contains('/') { Namespace::of_path(Path::new(name)) } else { Namespace::open(name) };
        match (named, name.parse()) {
            (Ok(namespace), _) => self.namespace = Some(namespace),
            (Err(_), Ok(process)) => self.namespace = Some(Namespace::of_pid(process)?),
            (Err(error), Err(_)) => return Err(error.into()),
        }
        Ok(())
    }

    /// Finds the link, or the name of a new one; returns the name to write.
    fn settle(
        &mut self,
        socket: &mut RouteSocket,
        verb: LinkVerb,
        about: &str,
    ) -> Result<Option<IfName>, Failure> {
        let new = match (self.name, &self.dev) {
            (Some(name), Some(dev)) if name.as_str() != dev => Some(name),
            _ => None,
        };
        if verb.creates() {
            if new.is_some() {
                return Err(Failure::Usage(format!("`{about}`: two names for one link")));
            }
            return Ok(self.dev.as_deref().map(str::parse).transpose()?);
        }
        if self.index != 0 {
            if self.namespace.is_none() {
                return Err(Failure::Usage(format!(
                    "`{about}`: a link has its index unless it moves to a namespace"
                )));
            }
            self.numbers.push((IFLA_NEW_IFINDEX, self.index));
        }
        match &self.dev {
            Some(dev) => self.index = index(socket, dev)?,
            None if self.group.is_some() && self.kind.is_none() => self.index = 0,
            None => return Err(Failure::Usage(format!("`{about}`: the link is missing"))),
        }
        Ok(new)
    }

    fn header(&self) -> IfInfoMsg {
        IfInfoMsg { index: self.index, flags: self.flags, change: self.change, ..IfInfoMsg::default() }
    }

    fn write(&self, attributes: &mut AttributeWriter<'_>, name: Option<IfName>) {
        if let Some(name) = name {
            attributes.name(libc::IFLA_IFNAME, name);
        }
        for (kind, mac) in &self.macs {
            attributes.mac(*kind, *mac);
        }
        for (kind, number) in &self.numbers {
            attributes.value(*kind, *number);
        }
        for (kind, byte) in &self.bytes {
            attributes.value(*kind, *byte);
        }
        if let Some(alias) = &self.alias {
            attributes.bytes(libc::IFLA_IFALIAS, alias.as_bytes());
        }
        if let Some(mode) = self.addrgenmode {
            attributes.nest(libc::IFLA_AF_SPEC, |families| {
                families.nest(libc::AF_INET6 as u16, |inet6| inet6.value(IFLA_INET6_ADDR_GEN_MODE, mode));
            });
        }
        attributes
            .optional(libc::IFLA_NET_NS_FD, self.namespace.as_ref().map(|space| space.as_fd().as_raw_fd()));
    }
}

/// Which of these words the value is.
fn word_number(phrase: &Phrase<LinkWord>, words: &[&str]) -> Result<u8, Failure> {
    let value = phrase.value();
    let number = words.iter().position(|word| word.eq_ignore_ascii_case(value));
    let number = number.and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| phrase.wrong(&format!("not one of {}", words.join(", "))))
}

/// A group by number; names of groups are in one of iproute2's files, except this one.
pub(super) fn group<A>(phrase: &Phrase<A>) -> Result<u32, Failure> {
    if phrase.value() == "default" { Ok(0) } else { phrase.number32() }
}
