//! `netns link`.

use super::cli::{LinkAdd, LinkArguments, LinkCommand, LinkSet, PORT};
use super::option::{self, Keys};
use super::{index, some};
use crate::failure::Failure;
use crate::output::{human, json_line, stdout};
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{
    AddrGenMode, Link, LinkChange, LinkKind, LinkMode, LinkStats, NewLink, OperationalState,
};
use netns_core::veth::{self, Veth};
use netns_core::{MacAddress, Namespace, RouteSocket, link as links};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

pub(crate) fn link(arguments: LinkArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(LinkCommand::Show { name: None }) {
        LinkCommand::Show { name } => {
            let links = some(&mut socket, name)?;
            let how = How { json: arguments.common.json, details: arguments.details };
            show(&links, &links::list(&mut socket)?, how)?;
        }
        LinkCommand::Add(new) => add(&mut socket, &new)?,
        LinkCommand::Set(change) => set(&mut socket, &change)?,
        LinkCommand::Delete { name } => links::delete(&mut socket, name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add(socket: &mut RouteSocket, new: &LinkAdd) -> Result<(), Failure> {
    let LinkAdd { name, mut kind, peer, .. } = *new;
    let what = kind.name();
    if let (LinkKind::Veth(_), Some(peer)) = (kind, peer) {
        option::set(socket, &mut kind, what, &new.option)?;
        let inside = new.into.as_deref().map(Namespace::open).transpose()?;
        let peer_namespace = inside.as_ref().map(AsFd::as_fd);
        let pair = Veth { mac: new.address, mtu: new.mtu, peer_namespace, ..Veth::new(name, peer) };
        return Ok(veth::create(socket, &pair)?);
    }
    match (kind, peer, new.link) {
        (LinkKind::Veth(_), ..) => return Err(missing("--peer <PEER>", "veth")),
        (_, Some(_), _) => return Err(Failure::Usage(format!("a link of kind {what} has no peer"))),
        (_, None, None) if kind.needs_link() => return Err(missing("--link <LINK>", what)),
        _ => {}
    }
    option::set(socket, &mut kind, what, &new.option)?;
    let mac = match kind {
        // A bridge without a MAC address of its own would change it as ports come and go.
        LinkKind::Bridge(_) => Some(new.address.unwrap_or_else(any_mac)),
        _ => new.address,
    };
    let link = new.link.map(|link| index(socket, link)).transpose()?;
    Ok(links::create(socket, &NewLink { link, mac, mtu: new.mtu, ..NewLink::new(name, kind) })?)
}

fn missing(argument: &str, kind: &str) -> Failure {
    Failure::Usage(format!(
        "the following required arguments were not provided: {argument}, of a link of kind {kind}"
    ))
}

/// A MAC address that nobody else has, in all likelihood: 40 bits out of the standard library's source of randomness.
fn any_mac() -> MacAddress {
    MacAddress::local(RandomState::new().build_hasher().finish())
}

fn set(socket: &mut RouteSocket, change: &LinkSet) -> Result<(), Failure> {
    let target = change.into.as_deref().map(Namespace::open).transpose()?;
    let link = index(socket, change.name)?;
    let master = match change.master {
        Some(bridge) => Some(index(socket, bridge)?),
        None => change.nomaster.then_some(0),
    };
    if let Some(kind) = &change.kind {
        set_options(socket, link, kind, &change.option)?;
    }
    let change = LinkChange {
        up: match (change.up, change.down) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        name: change.rename,
        mac: change.address,
        mtu: change.mtu,
        master,
        namespace: target.as_ref().map(AsFd::as_fd),
        ..LinkChange::default()
    };
    Ok(links::set(socket, link, &change)?)
}

fn set_options(socket: &mut RouteSocket, link: u32, kind: &str, settings: &[String]) -> Result<(), Failure> {
    if kind == PORT {
        let mut options = PortOptions::NONE;
        option::set(socket, &mut options, kind, settings)?;
        return Ok(bridge::set_port(socket, link, &options)?);
    }
    let mut options = LinkKind::named(kind)
        .ok_or_else(|| Failure::Usage(format!("there is no kind of links {kind:?} here")))?;
    option::set(socket, &mut options, kind, settings)?;
    Ok(links::set_options(socket, link, &options)?)
}

/// How links are shown.
#[derive(Clone, Copy)]
struct How {
    json: bool,
    details: bool,
}

/// `all` are those that a link may name as its bridge or its other end.
fn show(links: &[Link], all: &[Link], how: How) -> Result<(), Failure> {
    let mut out = stdout();
    if how.json {
        json_line(&mut out, &links.iter().map(|link| describe(link, all)).collect())?;
        return Ok(());
    }
    for link in links {
        write!(out, "{} mtu {}", title(link, all), link.mtu)?;
        if let Some(qdisc) = &link.qdisc {
            write!(out, " qdisc {qdisc}")?;
        }
        if let Some(master) = link.master {
            write!(out, " master {}", name_of(master, all))?;
        }
        write!(out, " state {} mode {} group {}", state(link.state), link.mode, group(link))?;
        if link.tx_queue_length != 0 {
            write!(out, " qlen {}", link.tx_queue_length)?;
        }
        write!(out, "\n    link/{}", link.link_type)?;
        if let Some(mac) = link.mac {
            write!(out, " {mac}")?;
        }
        if let Some(broadcast) = link.broadcast {
            write!(out, " {} {broadcast}", if is_point_to_point(link) { "peer" } else { "brd" })?;
        }
        if let Some(id) = link.peer_namespace_id {
            write!(out, " link-netnsid {id}")?;
        }
        if let Some(kind) = &link.kind {
            write!(out, " type {kind}")?;
        }
        writeln!(out)?;
        if how.details {
            let names = names(all);
            if let (Some(kind), Some(details)) = (&link.kind, &link.details) {
                writeln!(out, "    {kind}{}", option::text(details, &names))?;
            }
            if let Some(port) = &link.port {
                writeln!(out, "    {PORT}{}", option::text(port, &names))?;
            }
        }
        let stats = &link.stats;
        writeln!(
            out,
            "    rx {} bytes {} packets, tx {} bytes {} packets",
            human(stats.rx_bytes),
            human(stats.rx_packets),
            human(stats.tx_bytes),
            human(stats.tx_packets),
        )?;
    }
    Ok(())
}

/// How a line about a link begins: `3: port@eth0: <BROADCAST,UP>`.
pub(super) fn title(link: &Link, all: &[Link]) -> String {
    let peer = match link.peer {
        Some(peer) if link.peer_namespace_id.is_some() => format!("@if{peer}"),
        Some(peer) => format!("@{}", name_of(peer, all)),
        None => String::new(),
    };
    format!("{}: {}{peer}: <{}>", link.index, link.name, flags(link, all).join(","))
}

/// Names of links by index.
fn names(all: &[Link]) -> BTreeMap<u32, String> {
    all.iter().map(|link| (link.index, link.name.to_string())).collect()
}

fn name_of(index: u32, all: &[Link]) -> String {
    let link = all.iter().find(|link| link.index == index);
    link.map_or_else(|| format!("if{index}"), |link| link.name.to_string())
}

/// Other groups than 0 have names in a file of iproute2's only; as a text they are told by their number.
fn group(link: &Link) -> String {
    if link.group == 0 { "default".to_owned() } else { link.group.to_string() }
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
    put("num_tx_queues", link.tx_queues.into());
    put("num_rx_queues", link.rx_queues.into());
    put("stats64", stats64(&link.stats));
    Value::Object(object)
}

/// What a link is, and what its bridge has it do.
fn info(link: &Link, all: &[Link]) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    if let Some(kind) = &link.kind {
        put("info_kind", kind.as_str().into());
    }
    let names = names(all);
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

/// What `ip -json` tells of a link wherever it names one.
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
    object
}

/// What `bridge -json link` tells of it too.
pub(super) fn port_identity(link: &Link, all: &[Link]) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("ifindex", link.index.into());
    put("ifname", link.name.as_str().into());
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

fn state(state: OperationalState) -> &'static str {
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
