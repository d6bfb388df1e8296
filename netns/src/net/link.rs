//! `netns link`.

use super::line::WordLine;
use super::option::{self, Keys};
use super::request::{self, LinkVerb};
use super::words::{Keyword, Phrase, Takes, other, short, whole};
use super::{PORT, index, names_of};
use crate::failure::Failure;
use crate::output::{human, stdout};
use netns_core::link::{AddrGenMode, Link, LinkMode, LinkStats, OperationalState};
use netns_core::{RouteSocket, link as links};
use serde_json::{Map, Value, json};
use std::io::Write;

pub(super) const VERBS: &[Keyword<LinkVerb>] = &[
    short("add", Takes::Nothing, LinkVerb::Add),
    short("set", Takes::Nothing, LinkVerb::Set),
    short("change", Takes::Nothing, LinkVerb::Set),
    short("replace", Takes::Nothing, LinkVerb::Replace),
    short("delete", Takes::Nothing, LinkVerb::Delete),
    short("show", Takes::Nothing, LinkVerb::Show),
    short("lst", Takes::Nothing, LinkVerb::Show),
    short("list", Takes::Nothing, LinkVerb::Show),
    short("xstats", Takes::Refused, LinkVerb::Show),
    short("afstats", Takes::Refused, LinkVerb::Show),
    short("property", Takes::Refused, LinkVerb::Show),
];

/// Which links are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkFilter {
    Up,
    Group,
    Master,
    NoMaster,
    Kind,
    Dev,
}

pub(super) const SHOW: &[Keyword<LinkFilter>] = &[
    whole("up", Takes::Nothing, LinkFilter::Up),
    whole("group", Takes::Value, LinkFilter::Group),
    whole("master", Takes::Value, LinkFilter::Master),
    whole("vrf", Takes::Refused, LinkFilter::Master),
    whole("nomaster", Takes::Nothing, LinkFilter::NoMaster),
    whole("type", Takes::Value, LinkFilter::Kind),
    whole("dev", Takes::Value, LinkFilter::Dev),
    other(Takes::Value, LinkFilter::Dev),
];

pub(super) fn link(line: &mut WordLine) -> Result<(), Failure> {
    match line.verb(VERBS, LinkVerb::Show)? {
        LinkVerb::Show => {
            let phrases = line.phrases(SHOW)?;
            let mut socket = line.manner.open()?;
            let shown = select(&mut socket, &phrases)?;
            show(line, &shown, &links::list(&mut socket)?)
        }
        verb => request::change(line, verb),
    }
}

/// The links that pass a filter.
pub(super) fn select(socket: &mut RouteSocket, phrases: &[Phrase<LinkFilter>]) -> Result<Vec<Link>, Failure> {
    let mut chosen = None;
    for phrase in phrases.iter().filter(|phrase| phrase.act == LinkFilter::Dev) {
        if chosen.is_some() {
            return Err(Failure::Usage(format!("{:?} is one name too many", phrase.value())));
        }
        let index = index(socket, phrase.value())?;
        chosen = Some(links::get(socket, index)?);
    }
    let mut links = match chosen {
        Some(link) => vec![link],
        None => links::list(socket)?,
    };
    for phrase in phrases {
        match phrase.act {
            LinkFilter::Up => links.retain(Link::is_up),
            LinkFilter::Group => {
                let group = request::group(phrase)?;
                links.retain(|link| link.group == group);
            }
            LinkFilter::Master => {
                let master = index(socket, phrase.value())?;
                links.retain(|link| link.master == Some(master));
            }
            LinkFilter::NoMaster => links.retain(|link| link.master.is_none()),
            LinkFilter::Kind => {
                let kind = phrase.value();
                match kind.strip_suffix("_slave") {
                    Some("bridge") => links.retain(|link| link.port.is_some()),
                    Some(_) => return Err(phrase.wrong("not a supported kind of port; use ip")),
                    None => links.retain(|link| link.kind.as_deref() == Some(kind)),
                }
            }
            LinkFilter::Dev => {}
        }
    }
    Ok(links)
}

/// `all` are the links that a link may name as its bridge or its other end.
fn show(line: &WordLine, links: &[Link], all: &[Link]) -> Result<(), Failure> {
    let mut out = stdout();
    let manner = &line.manner;
    if manner.json {
        let describe = |link| if manner.brief { describe_briefly(link, all) } else { describe(link, all) };
        return manner.print_json(&mut out, &links.iter().map(describe).collect());
    }
    for link in links {
        if manner.brief {
            let mac = link.mac.map_or_else(String::new, |mac| format!("{mac} "));
            let flags = flags(link, all).join(",");
            writeln!(out, "{:<16} {:<14} {mac}<{flags}> ", name_and_peer(link, all), state(link.state))?;
            continue;
        }
        let text = text(link, all, manner.details);
        if manner.oneline {
            writeln!(out, "{}", text.trim_end().replace('\n', "\\"))?;
        } else {
            write!(out, "{text}")?;
        }
    }
    Ok(())
}

fn text(link: &Link, all: &[Link], details: bool) -> String {
    let mut text = format!("{} mtu {}", title(link, all), link.mtu);
    let mut put = |more: String| text += &more;
    if let Some(qdisc) = &link.qdisc {
        put(format!(" qdisc {qdisc}"));
    }
    if let Some(master) = link.master {
        put(format!(" master {}", name_of(master, all)));
    }
    put(format!(" state {} mode {} group {}", state(link.state), link.mode, group(link)));
    if link.tx_queue_length != 0 {
        put(format!(" qlen {}", link.tx_queue_length));
    }
    put(format!("\n    link/{}", link.link_type));
    if let Some(mac) = link.mac {
        put(format!(" {mac}"));
    }
    if let Some(broadcast) = link.broadcast {
        put(format!(" {} {broadcast}", if is_point_to_point(link) { "peer" } else { "brd" }));
    }
    if let Some(id) = link.peer_namespace_id {
        put(format!(" link-netnsid {id}"));
    }
    if let Some(kind) = &link.kind {
        put(format!(" type {kind}"));
    }
    put("\n".to_owned());
    if let Some(alias) = &link.alias {
        put(format!("    alias {alias}\n"));
    }
    for name in &link.alternative_names {
        put(format!("    altname {name}\n"));
    }
    if details {
        let names = names_of(all);
        if let (Some(kind), Some(details)) = (&link.kind, &link.details) {
            put(format!("    {kind}{}\n", option::text(details, &names)));
        }
        if let Some(port) = &link.port {
            put(format!("    {PORT}{}\n", option::text(port, &names)));
        }
    }
    let stats = &link.stats;
    put(format!(
        "    rx {} bytes {} packets, tx {} bytes {} packets\n",
        human(stats.rx_bytes),
        human(stats.rx_packets),
        human(stats.tx_bytes),
        human(stats.tx_packets),
    ));
    text
}

/// How a line about a link begins: `3: port@eth0: <BROADCAST,UP>`.
pub(super) fn title(link: &Link, all: &[Link]) -> String {
    format!("{}: {}: <{}>", link.index, name_and_peer(link, all), flags(link, all).join(","))
}

pub(super) fn name_and_peer(link: &Link, all: &[Link]) -> String {
    let peer = match link.peer {
        Some(peer) if link.peer_namespace_id.is_some() => format!("@if{peer}"),
        Some(peer) => format!("@{}", name_of(peer, all)),
        None => String::new(),
    };
    format!("{}{peer}", link.name)
}

fn name_of(index: u32, all: &[Link]) -> String {
    let link = all.iter().find(|link| link.index == index);
    link.map_or_else(|| format!("if{index}"), |link| link.name.to_string())
}

/// Groups other than 0 have names only in one of iproute2's files; as text they are numbers.
fn group(link: &Link) -> String {
    if link.group == 0 { "default".to_owned() } else { link.group.to_string() }
}

/// With the keys of `ip -json -brief link`.
fn describe_briefly(link: &Link, all: &[Link]) -> Value {
    let mut object = brief_identity(link, all);
    let mac = link.mac.map(|mac| mac.to_string().into());
    object.extend(mac.map(|mac| ("address".to_owned(), mac)));
    object.insert("flags".to_owned(), flags(link, all).into());
    Value::Object(object)
}

/// What `ip -json -brief` says of a link.
pub(super) fn brief_identity(link: &Link, all: &[Link]) -> Map<String, Value> {
    let mut object = identity(link, all);
    object.retain(|key, _| matches!(key.as_str(), "ifname" | "link" | "link_index" | "operstate"));
    object
}

/// With the keys of `ip -json -statistics link`, and some of `-details`.
fn describe(link: &Link, all: &[Link]) -> Value {
    let mut object = identity(link, all);
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    match link.mode {
        LinkMode(number) if link.mode.word().is_none() => put("linkmode_index", number.into()),
        mode => put("linkmode", mode.to_string().into()),
    };
    if let Some(mode) = link.addrgenmode {
        put("inet6_addr_gen_mode", addrgenmode(mode).into());
    }
    let info = info(link, all);
    if !info.is_empty() {
        put("linkinfo", info.into());
    }
    if let Some(alias) = &link.alias {
        put("ifalias", alias.as_str().into());
    }
    put("num_tx_queues", link.tx_queues.into());
    put("num_rx_queues", link.rx_queues.into());
    put("stats64", stats64(&link.stats));
    Value::Object(object)
}

/// What a link is, and its options as a bridge port.
fn info(link: &Link, all: &[Link]) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    if let Some(kind) = &link.kind {
        put("info_kind", kind.as_str().into());
    }
    let names = names_of(all);
    if let Some(details) = &link.details {
        let data = option::json(details, &names, Keys::Ip);
        if !data.is_empty() {
            put("info_data", data.into());
        }
    }
    if let Some(options) = &link.port {
        put("info_slave_kind", "bridge".into());
        put("info_slave_data", option::json(options, &names, Keys::Ip).into());
    }
    object
}

/// What `ip -json` says of a link wherever it names one.
pub(super) fn identity(link: &Link, all: &[Link]) -> Map<String, Value> {
    let mut object = port_identity(link, all);
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("operstate", state(link.state).into());
    put("group", group(link).into());
    put("link_type", link.link_type.to_string().into());
    if let Some(qdisc) = &link.qdisc {
        put("qdisc", qdisc.as_str().into());
    }
    if link.tx_queue_length != 0 {
        put("txqlen", link.tx_queue_length.into());
    }
    if let Some(mac) = link.mac {
        put("address", mac.to_string().into());
    }
    if let Some(broadcast) = link.broadcast {
        put("broadcast", broadcast.to_string().into());
        if is_point_to_point(link) {
            put("link_pointtopoint", true.into());
        }
    }
    if !link.alternative_names.is_empty() {
        put("altnames", link.alternative_names.iter().map(String::as_str).collect());
    }
    object
}

/// What `bridge -json link` says of it too.
pub(super) fn port_identity(link: &Link, all: &[Link]) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("ifindex", link.index.into());
    put("ifname", link.name.to_string().into());
    put("flags", flags(link, all).into());
    put("mtu", link.mtu.into());
    if let Some(master) = link.master {
        put("master", name_of(master, all).into());
    }
    match (link.peer, link.peer_namespace_id) {
        (Some(peer), None) => drop(put("link", name_of(peer, all).into())),
        (Some(peer), Some(_)) => drop(put("link_index", peer.into())),
        (None, _) => {}
    }
    if let Some(id) = link.peer_namespace_id {
        put("link_netnsid", id.into());
    }
    object
}

/// With the keys of `ip -json -statistics link`.
pub(super) fn stats64(stats: &LinkStats) -> Value {
    json!({
        "rx": { "bytes": stats.rx_bytes, "packets": stats.rx_packets, "errors": stats.rx_errors,
                "dropped": stats.rx_dropped, "over_errors": stats.rx_over_errors, "multicast": stats.multicast },
        "tx": { "bytes": stats.tx_bytes, "packets": stats.tx_packets, "errors": stats.tx_errors,
                "dropped": stats.tx_dropped, "carrier_errors": stats.tx_carrier_errors,
                "collisions": stats.collisions },
    })
}

pub(super) fn state(state: OperationalState) -> &'static str {
    match state {
        OperationalState::NotPresent => "NOTPRESENT",
        OperationalState::Down => "DOWN",
        OperationalState::LowerLayerDown => "LOWERLAYERDOWN",
        OperationalState::Testing => "TESTING",
        OperationalState::Dormant => "DORMANT",
        OperationalState::Up => "UP",
        OperationalState::Unknown => "UNKNOWN",
    }
}

/// `IFF_POINTOPOINT`.
const POINT_TO_POINT: u32 = 1 << 4;

fn is_point_to_point(link: &Link) -> bool {
    link.flags & POINT_TO_POINT != 0
}

const fn addrgenmode(mode: AddrGenMode) -> &'static str {
    match mode {
        AddrGenMode::Eui64 => "eui64",
        AddrGenMode::None => "none",
        AddrGenMode::StablePrivacy => "stable_secret",
        AddrGenMode::Random => "random",
    }
}

/// The flags that `ip link` prints, in its order: `IFF_*` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if.h>, and whether the other end here is down.
fn flags(link: &Link, all: &[Link]) -> Vec<&'static str> {
    const UP: u32 = 1 << 0;
    const RUNNING: u32 = 1 << 6;
    const NAMES: [(u32, &str); 18] = [
        (1 << 3, "LOOPBACK"),
        (1 << 1, "BROADCAST"),
        (POINT_TO_POINT, "POINTOPOINT"),
        (1 << 12, "MULTICAST"),
        (1 << 7, "NOARP"),
        (1 << 9, "ALLMULTI"),
        (1 << 8, "PROMISC"),
        (1 << 10, "MASTER"),
        (1 << 11, "SLAVE"),
        (1 << 2, "DEBUG"),
        (1 << 15, "DYNAMIC"),
        (1 << 14, "AUTOMEDIA"),
        (1 << 13, "PORTSEL"),
        (1 << 5, "NOTRAILERS"),
        (UP, "UP"),
        (1 << 16, "LOWER_UP"),
        (1 << 17, "DORMANT"),
        (1 << 18, "ECHO"),
    ];
    let carrier = (link.flags & UP != 0 && link.flags & RUNNING == 0).then_some("NO-CARRIER");
    let set = NAMES.iter().filter(|(bit, _)| link.flags & bit != 0).map(|&(_, name)| name);
    let peer = link.peer.filter(|_| link.peer_namespace_id.is_none());
    let is_down = |index| !all.iter().any(|other| other.index == index && other.is_up());
    let below = peer.is_some_and(is_down).then_some("M-DOWN");
    carrier.into_iter().chain(set).chain(below).collect()
}
