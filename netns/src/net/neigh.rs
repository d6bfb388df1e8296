//! `netns neigh`.

use super::line::WordLine;
use super::manner::Manner;
use super::route_values::protocol;
use super::words::{IpFamily, Keyword, Phrase, Takes, mac, other, short, whole};
use super::{index, name_of, names};
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::neighbour::{self, Neighbour, Protocol};
use netns_core::wire::{Batch, NDA_FLAGS_EXT, NDA_PROTOCOL, NdMsg};
use netns_core::{IpNet, RouteSocket, link as links};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;

/// `NUD_*`, in the order of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/neighbour.h>.
const STATES: [(u16, &str); 8] = [
    (0x01, "INCOMPLETE"),
    (0x02, "REACHABLE"),
    (0x04, "STALE"),
    (0x08, "DELAY"),
    (0x10, "PROBE"),
    (0x20, "FAILED"),
    (NOARP, "NOARP"),
    (0x80, "PERMANENT"),
];
/// `NTF_*`, and `NTF_EXT_*` eight bits higher, with the names and in the order of `ip`.
const FLAGS: [(u32, &str); 5] =
    [(0x80, "router"), (0x08, "proxy"), (0x10, "extern_learn"), (0x20, "offload"), (0x100, "managed")];
/// Multicast and other fixed entries, which `ip neigh` leaves out too.
const NOARP: u16 = 0x40;

/// The default: nothing is known yet.
const NONE: u16 = 0;
const PROXY: u8 = libc::NTF_PROXY;
const ROUTER: u8 = libc::NTF_ROUTER;
/// `NTF_USE` and `NTF_EXT_LEARNED`, and `NTF_EXT_MANAGED` of `NDA_FLAGS_EXT`.
const USE: u8 = 0x01;
const LEARNED: u8 = 0x10;
const MANAGED: u32 = 0x01;

/// What a command line does with neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NeighVerb {
    Add,
    Change,
    Replace,
    Delete,
    Get,
    Show,
    Flush,
}

pub(super) const VERBS: &[Keyword<NeighVerb>] = &[
    short("add", Takes::Nothing, NeighVerb::Add),
    short("change", Takes::Nothing, NeighVerb::Change),
    whole("chg", Takes::Nothing, NeighVerb::Change),
    short("replace", Takes::Nothing, NeighVerb::Replace),
    short("delete", Takes::Nothing, NeighVerb::Delete),
    short("get", Takes::Nothing, NeighVerb::Get),
    short("show", Takes::Nothing, NeighVerb::Show),
    short("lst", Takes::Nothing, NeighVerb::Show),
    short("list", Takes::Nothing, NeighVerb::Show),
    short("flush", Takes::Nothing, NeighVerb::Flush),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NeighWord {
    Mac,
    State,
    Proxy,
    /// `NTF_*`.
    Flag(u8),
    Managed,
    Dev,
    Protocol,
    To,
    Master,
    NoMaster,
    Refused,
}

/// In the order of `ipneigh_modify`.
pub(super) const NEIGH_WORDS: &[Keyword<NeighWord>] = &[
    short("lladdr", Takes::Value, NeighWord::Mac),
    whole("nud", Takes::Value, NeighWord::State),
    short("proxy", Takes::Value, NeighWord::Proxy),
    whole("router", Takes::Nothing, NeighWord::Flag(ROUTER)),
    whole("use", Takes::Nothing, NeighWord::Flag(USE)),
    whole("managed", Takes::Nothing, NeighWord::Managed),
    short("extern_learn", Takes::Nothing, NeighWord::Flag(LEARNED)),
    whole("dev", Takes::Value, NeighWord::Dev),
    short("protocol", Takes::Value, NeighWord::Protocol),
    whole("to", Takes::Value, NeighWord::To),
    other(Takes::Value, NeighWord::To),
];

/// In the order of `ipneigh_get`.
pub(super) const GET: &[Keyword<NeighWord>] = &[
    whole("dev", Takes::Value, NeighWord::Dev),
    short("proxy", Takes::Value, NeighWord::Proxy),
    whole("to", Takes::Value, NeighWord::To),
    other(Takes::Value, NeighWord::To),
];

/// In the order of `do_show_or_flush`.
pub(super) const SHOW: &[Keyword<NeighWord>] = &[
    whole("dev", Takes::Value, NeighWord::Dev),
    whole("master", Takes::Value, NeighWord::Master),
    whole("vrf", Takes::Refused, NeighWord::Refused),
    whole("nomaster", Takes::Nothing, NeighWord::NoMaster),
    whole("unused", Takes::Refused, NeighWord::Refused),
    whole("nud", Takes::Values, NeighWord::State),
    whole("proxy", Takes::Nothing, NeighWord::Proxy),
    short("protocol", Takes::Value, NeighWord::Protocol),
    whole("to", Takes::Value, NeighWord::To),
    other(Takes::Value, NeighWord::To),
];

pub(super) fn neigh(line: &mut WordLine) -> Result<(), Failure> {
    match line.verb(VERBS, NeighVerb::Show)? {
        NeighVerb::Show => {
            let phrases = line.phrases(SHOW)?;
            let mut socket = line.manner.open()?;
            let wanted = WantedNeighbours::read(line, &mut socket, &phrases, false)?;
            let found = wanted.list(&mut socket)?;
            show(&line.manner, &found, &names(&mut socket)?, wanted.index.is_some())
        }
        NeighVerb::Flush => flush(line),
        NeighVerb::Get => {
            let phrases = line.phrases(GET)?;
            let mut socket = line.manner.open()?;
            let request = NeighRequest::read(line, &mut socket, &phrases)?;
            let (index_of, address) = (request.header.index, request.address);
            let is_proxy = request.header.flags & PROXY != 0;
            let found = neighbour::get(&mut socket, index_of, address, is_proxy)?;
            show(&line.manner, &[found], &names(&mut socket)?, false)
        }
        verb => change(line, verb),
    }
}

fn flush(line: &mut WordLine) -> Result<(), Failure> {
    let phrases = line.phrases(SHOW)?;
    if phrases.is_empty() {
        return Err(Failure::Usage(format!("`{}`: of which link, or which neighbours?", line.about)));
    }
    let mut socket = line.manner.open()?;
    let wanted = WantedNeighbours::read(line, &mut socket, &phrases, true)?;
    // An entry that is in use becomes a failed one first, and goes later.
    for neighbour in wanted.list(&mut socket)? {
        let flags = if wanted.is_proxy { PROXY } else { 0 };
        let family = IpFamily::of(neighbour.address).number();
        let header = NdMsg { family, index: neighbour.index, flags, ..NdMsg::default() };
        let mut batch = Batch::new();
        batch.message(libc::RTM_DELNEIGH, 0, &header, |attributes| {
            attributes.ip(libc::NDA_DST, neighbour.address);
        });
        match socket.execute(&mut batch) {
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// A request, with its address.
struct NeighRequest {
    header: NdMsg,
    address: IpAddr,
}

impl NeighRequest {
    fn read(
        line: &WordLine,
        socket: &mut RouteSocket,
        phrases: &[Phrase<NeighWord>],
    ) -> Result<Self, Failure> {
        let (mut address, mut has_dev) = (None, false);
        let mut header = NdMsg { state: libc::NUD_PERMANENT, ..NdMsg::default() };
        for phrase in phrases {
            match phrase.act {
                NeighWord::Proxy | NeighWord::To if address.is_some() => {
                    return Err(Failure::Usage(format!("{:?} is one address too many", phrase.value())));
                }
                NeighWord::Proxy => {
                    address = Some(phrase.address(line.manner.family)?);
                    header.flags |= PROXY;
                    has_dev = true;
                }
                NeighWord::To => address = Some(phrase.address(line.manner.family)?),
                NeighWord::State => header.state = state(phrase)?,
                NeighWord::Flag(flag) => header.flags |= flag,
                NeighWord::Managed => header.state = NONE,
                NeighWord::Dev => {
                    header.index = index(socket, phrase.value())?;
                    has_dev = true;
                }
                _ => {}
            }
        }
        let Some(address) = address.filter(|_| has_dev) else {
            return Err(Failure::Usage(format!("`{}`: an address, `dev` and a link are needed", line.about)));
        };
        header.family = IpFamily::of(address).number();
        Ok(Self { header, address })
    }
}

fn change(line: &mut WordLine, verb: NeighVerb) -> Result<(), Failure> {
    let phrases = line.phrases(NEIGH_WORDS)?;
    let mut socket = line.manner.open()?;
    let request = NeighRequest::read(line, &mut socket, &phrases)?;
    let find = |act: NeighWord| phrases.iter().find(|phrase| phrase.act == act);
    let lladdr = match find(NeighWord::Mac) {
        Some(phrase) if phrase.value() != "null" => {
            Some(mac(phrase.value()).ok_or_else(|| phrase.wrong("not a MAC address"))?)
        }
        _ => None,
    };
    let maker = find(NeighWord::Protocol).map(protocol).transpose()?;
    let (message, flags) = match verb {
        NeighVerb::Add => (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
        NeighVerb::Change => (libc::RTM_NEWNEIGH, libc::NLM_F_REPLACE),
        NeighVerb::Replace => (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE),
        _ => (libc::RTM_DELNEIGH, 0),
    };
    let mut batch = Batch::new();
    batch.message(message, flags, &request.header, |attributes| {
        attributes.ip(libc::NDA_DST, request.address);
        attributes.optional(NDA_PROTOCOL, maker.map(|maker| maker.0));
        attributes.optional(NDA_FLAGS_EXT, find(NeighWord::Managed).map(|_| MANAGED));
        if let Some(lladdr) = lladdr {
            attributes.mac(libc::NDA_LLADDR, lladdr);
        }
    });
    Ok(socket.execute(&mut batch)?)
}

/// A state by its name (some may be shortened), or by its number, a single bit.
fn state(phrase: &Phrase<NeighWord>) -> Result<u16, Failure> {
    const NAMES: &[Keyword<u16>] = &[
        short("permanent", Takes::Nothing, 0x80),
        short("reachable", Takes::Nothing, 0x02),
        whole("noarp", Takes::Nothing, NOARP),
        whole("none", Takes::Nothing, NONE),
        whole("stale", Takes::Nothing, 0x04),
        whole("incomplete", Takes::Nothing, 0x01),
        whole("delay", Takes::Nothing, 0x08),
        whole("probe", Takes::Nothing, 0x10),
        short("failed", Takes::Nothing, 0x20),
    ];
    if let Some(row) = super::words::find(NAMES, phrase.value()) {
        return Ok(row.act);
    }
    let number = phrase.number(0xFF)?;
    u16::try_from(number)
        .ok()
        .filter(|number| number.count_ones() < 2)
        .ok_or_else(|| phrase.wrong("not a state"))
}

/// Which neighbours are meant.
struct WantedNeighbours {
    family: Option<IpFamily>,
    index: Option<u32>,
    to: Option<IpNet>,
    /// `NUD_*`; 0x100 includes entries with none of them.
    states: u16,
    protocol: Option<Protocol>,
    is_proxy: bool,
    /// The links that count.
    links: Option<Vec<u32>>,
}

impl WantedNeighbours {
    fn read(
        line: &WordLine,
        socket: &mut RouteSocket,
        phrases: &[Phrase<NeighWord>],
        is_flush: bool,
    ) -> Result<Self, Failure> {
        // Entries of which nothing is known go too.
        let states = if is_flush { 0x1FF & !(0x80 | NOARP) } else { 0xFF & !NOARP };
        let family = line.manner.family;
        let mut wanted =
            Self { family, index: None, to: None, states, protocol: None, is_proxy: false, links: None };
        if phrases.iter().any(|phrase| phrase.act == NeighWord::State) {
            wanted.states = 0;
        }
        for phrase in phrases {
            match phrase.act {
                NeighWord::Dev => wanted.index = Some(index(socket, phrase.value())?),
                NeighWord::Master => {
                    let master = index(socket, phrase.value())?;
                    wanted.links = Some(ports(socket, Some(master))?);
                }
                NeighWord::NoMaster => wanted.links = Some(ports(socket, None)?),
                NeighWord::State if phrase.value() == "all" => {
                    wanted.states |= if is_flush { 0x1FF & !NOARP } else { 0x1FF };
                }
                NeighWord::State => {
                    let state = state(phrase)?;
                    wanted.states |= if state == NONE { 0x100 } else { state };
                }
                NeighWord::Proxy => wanted.is_proxy = true,
                NeighWord::Protocol if phrase.value() == "all" => {}
                NeighWord::Protocol => wanted.protocol = Some(protocol(phrase)?),
                NeighWord::To => {
                    let net = phrase.net(family)?;
                    wanted.family = Some(IpFamily::of(net.address()));
                    wanted.to = Some(net);
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    fn list(&self, socket: &mut RouteSocket) -> Result<Vec<Neighbour>, Failure> {
        let mut found =
            if self.is_proxy { neighbour::list_proxies(socket)? } else { neighbour::list(socket)? };
        found.retain(|neighbour| self.lets(neighbour));
        Ok(found)
    }

    fn lets(&self, neighbour: &Neighbour) -> bool {
        let (state, index) = (neighbour.state, neighbour.index);
        let is_shown = neighbour.flags & u32::from(PROXY | LEARNED) != 0;
        (state & self.states != 0 || is_shown || state == NONE && self.states & 0x100 != 0)
            && self.family.is_none_or(|family| family.is_of(neighbour.address))
            && self.index.is_none_or(|wanted| wanted == index)
            && self.to.is_none_or(|net| net.contains(neighbour.address))
            && self.protocol.is_none_or(|protocol| protocol == neighbour.protocol)
            && self.links.as_ref().is_none_or(|links| links.contains(&index))
    }
}

/// The links that are ports of this one; with `None`, those that are ports of none.
fn ports(socket: &mut RouteSocket, master: Option<u32>) -> Result<Vec<u32>, Failure> {
    let mut links = links::list(socket)?;
    links.retain(|link| link.master == master);
    Ok(links.into_iter().map(|link| link.index).collect())
}

/// Where a link was asked for, `ip` leaves it out.
fn show(
    manner: &Manner,
    neighbours: &[Neighbour],
    names: &BTreeMap<u32, String>,
    is_of_link: bool,
) -> Result<(), Failure> {
    let mut out = stdout();
    if manner.json {
        let neighbours = neighbours.iter().map(|neighbour| {
            let mut value = json!({ "dst": neighbour.address.to_string() });
            // Some proxies are for all links.
            if !is_of_link && neighbour.index != 0 {
                value["dev"] = name_of(names, neighbour.index).into();
            }
            // A proxy has none, nor has an entry of which nothing is known.
            if neighbour.state != NONE && !manner.brief {
                value["state"] = states(neighbour).into();
            }
            if let Some(mac) = neighbour.mac {
                value["lladdr"] = mac.to_string().into();
            }
            for flag in flags(neighbour).filter(|_| !manner.brief) {
                // As in `ip`: the key alone says it.
                value[flag] = Value::Null;
            }
            if neighbour.protocol != Protocol::UNSPEC && !manner.brief {
                value["protocol"] = neighbour.protocol.to_string().into();
            }
            value
        });
        return manner.print_json(&mut out, &neighbours.collect::<Value>());
    }
    for neighbour in neighbours {
        let lladdr = neighbour.mac.map_or_else(String::new, |mac| mac.to_string());
        if manner.brief {
            let (address, dev) = (neighbour.address.to_string(), name_of(names, neighbour.index));
            writeln!(out, "{address:<39} {dev:<16} {lladdr} ")?;
            continue;
        }
        write!(out, "{}", neighbour.address)?;
        if !is_of_link && neighbour.index != 0 {
            write!(out, " dev {}", name_of(names, neighbour.index))?;
        }
        if !lladdr.is_empty() {
            write!(out, " lladdr {lladdr}")?;
        }
        for word in flags(neighbour).chain(states(neighbour)) {
            write!(out, " {word}")?;
        }
        if neighbour.protocol != Protocol::UNSPEC {
            write!(out, " proto {}", neighbour.protocol)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn flags(neighbour: &Neighbour) -> impl Iterator<Item = &'static str> {
    let flags = neighbour.flags;
    FLAGS.iter().filter(move |(bit, _)| flags & bit != 0).map(|&(_, name)| name)
}

fn states(neighbour: &Neighbour) -> Vec<&'static str> {
    STATES.iter().filter(|(bit, _)| neighbour.state & bit != 0).map(|&(_, name)| name).collect()
}
