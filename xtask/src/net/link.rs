//! `cargo xtask link`.

use super::cli::{LinkAdd, LinkArguments, LinkCommand, LinkSet, LinkType};
use super::{index, some};
use crate::failure::Failure;
use crate::output::{human, json_line, stdout};
use netns_core::bridge::{self, Bridge};
use netns_core::link::{Link, LinkChange, LinkStats, OperationalState};
use netns_core::veth::{self, Veth};
use netns_core::{MacAddress, Namespace, RouteSocket, link as links};
use serde_json::{Map, Value, json};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

pub(crate) fn link(arguments: LinkArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(LinkCommand::Show { name: None }) {
        LinkCommand::Show { name } => show(&some(&mut socket, name)?, arguments.common.json)?,
        LinkCommand::Add(new) => add(&mut socket, &new)?,
        LinkCommand::Set(change) => set(&mut socket, &change)?,
        LinkCommand::Delete { name } => links::delete(&mut socket, name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add(socket: &mut RouteSocket, new: &LinkAdd) -> Result<(), Failure> {
    if let (LinkType::Veth, Some(peer)) = (new.kind, new.peer) {
        let inside = new.into.as_deref().map(Namespace::open).transpose()?;
        let peer_namespace = inside.as_ref().map(AsFd::as_fd);
        let pair = Veth { mac: new.address, mtu: new.mtu, peer_namespace, ..Veth::new(new.name, peer) };
        return Ok(veth::create(socket, &pair)?);
    }
    // A bridge without a MAC address of its own would change it as ports come and go.
    let mac = new.address.unwrap_or_else(any_mac);
    Ok(bridge::create(socket, &Bridge { mtu: new.mtu, ..Bridge::new(new.name, mac) })?)
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

fn show(found: &[Link], json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    if json {
        json_line(&mut out, &Value::Array(found.iter().map(|link| describe(link, found)).collect()))?;
        return Ok(());
    }
    for link in found {
        write!(out, "{}: {}", link.index, link.name)?;
        if let Some(peer) = link.peer {
            match found.iter().find(|other| other.index == peer && link.peer_namespace_id.is_none()) {
                Some(other) => write!(out, "@{}", other.name)?,
                None => write!(out, "@if{peer}")?,
            }
        }
        write!(out, ": <{}> mtu {} state {}", flags(link).join(","), link.mtu, state(link.state))?;
        if let Some(master) = link.master {
            write!(out, " master {}", name_of(master, found))?;
        }
        if link.group != 0 {
            write!(out, " group {}", link.group)?;
        }
        writeln!(out)?;
        let kind = link.kind.as_deref().unwrap_or("-");
        let mac = link.mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
        writeln!(out, "    {kind} {mac}")?;
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

fn name_of(index: u32, found: &[Link]) -> String {
    let link = found.iter().find(|link| link.index == index);
    link.map_or_else(|| format!("if{index}"), |link| link.name.to_string())
}

/// With the keys of `ip -json -details -statistics link`.
fn describe(link: &Link, found: &[Link]) -> Value {
    let mut object = identity(link, found);
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    if let Some(kind) = &link.kind {
        put("linkinfo", json!({ "info_kind": kind }));
    }
    put("num_tx_queues", link.tx_queues.into());
    put("num_rx_queues", link.rx_queues.into());
    put("stats64", stats64(&link.stats));
    Value::Object(object)
}

/// What `ip -json` tells of a link wherever it names one.
pub(super) fn identity(link: &Link, found: &[Link]) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("ifindex", link.index.into());
    put("ifname", link.name.as_str().into());
    put("flags", flags(link).into());
    put("mtu", link.mtu.into());
    put("operstate", state(link.state).into());
    // Other groups have names in a file of iproute2's only; as a text they are told by their number.
    put("group", if link.group == 0 { "default".into() } else { link.group.to_string().into() });
    if let Some(master) = link.master {
        put("master", name_of(master, found).into());
    }
    if let Some(peer) = link.peer {
        put("link_index", peer.into());
    }
    if let Some(id) = link.peer_namespace_id {
        put("link_netnsid", id.into());
    }
    if let Some(mac) = link.mac {
        put("address", mac.to_string().into());
    }
    object
}

/// With the keys of `ip -json -statistics link`.
pub(super) fn stats64(stats: &LinkStats) -> Value {
    json!({
        "rx": { "bytes": stats.rx_bytes, "packets": stats.rx_packets, "errors": stats.rx_errors,
                "dropped": stats.rx_dropped, "multicast": stats.multicast },
        "tx": { "bytes": stats.tx_bytes, "packets": stats.tx_packets, "errors": stats.tx_errors,
                "dropped": stats.tx_dropped },
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

/// The flags that `ip link` prints, in its order: `IFF_*` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if.h>.
fn flags(link: &Link) -> Vec<&'static str> {
    const UP: u32 = 1 << 0;
    const RUNNING: u32 = 1 << 6;
    const NAMES: [(u32, &str); 10] = [
        (1 << 3, "LOOPBACK"),
        (1 << 1, "BROADCAST"),
        (1 << 4, "POINTOPOINT"),
        (1 << 12, "MULTICAST"),
        (1 << 7, "NOARP"),
        (1 << 9, "ALLMULTI"),
        (1 << 8, "PROMISC"),
        (1 << 11, "SLAVE"),
        (UP, "UP"),
        (1 << 16, "LOWER_UP"),
    ];
    let carrier = (link.flags & UP != 0 && link.flags & RUNNING == 0).then_some("NO-CARRIER");
    let set = NAMES.iter().filter(|(bit, _)| link.flags & bit != 0).map(|&(_, name)| name);
    carrier.into_iter().chain(set).collect()
}
