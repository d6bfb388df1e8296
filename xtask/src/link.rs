//! `cargo xtask link`.

use crate::cli::LinkCommand;
use crate::failure::Failure;
use crate::output::{human, json_line, stdout};
use netns_core::link::{Link, OperationalState};
use netns_core::{Namespace, RouteSocket, link as links};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn link(command: LinkCommand) -> Result<ExitCode, Failure> {
    match command {
        LinkCommand::Show { name, netns, json } => {
            let mut socket = open(netns.as_deref())?;
            let found = match name {
                Some(name) => vec![links::get(&mut socket, name)?],
                None => links::list(&mut socket)?,
            };
            show(&found, json)?;
        }
        LinkCommand::Delete { name, netns } => links::delete(&mut open(netns.as_deref())?, name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A socket in a named namespace, or in our own.
fn open(netns: Option<&str>) -> Result<RouteSocket, Failure> {
    Ok(match netns {
        Some(name) => RouteSocket::open_in(&Namespace::open(name)?)?,
        None => RouteSocket::open()?,
    })
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
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("ifindex", link.index.into());
    put("ifname", link.name.as_str().into());
    put("flags", flags(link).into());
    put("mtu", link.mtu.into());
    put("operstate", state(link.state).into());
    put("group", link.group.into());
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
    if let Some(kind) = &link.kind {
        put("linkinfo", json!({ "info_kind": kind }));
    }
    put("num_tx_queues", link.tx_queues.into());
    put("num_rx_queues", link.rx_queues.into());
    let stats = &link.stats;
    put(
        "stats64",
        json!({
            "rx": { "bytes": stats.rx_bytes, "packets": stats.rx_packets, "errors": stats.rx_errors,
                    "dropped": stats.rx_dropped, "multicast": stats.multicast },
            "tx": { "bytes": stats.tx_bytes, "packets": stats.tx_packets, "errors": stats.tx_errors,
                    "dropped": stats.tx_dropped },
        }),
    );
    Value::Object(object)
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
