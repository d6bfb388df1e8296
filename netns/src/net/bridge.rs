//! `netns bridge`.

use super::cli::{BridgeArguments, BridgeCommand, FdbCommand, PORT, PortCommand};
use super::link::{port_identity, title};
use super::option::{self, Keys};
use super::{index, name_of, names, some};
use crate::failure::Failure;
use crate::output::{json_line, stdout};
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, Link};
use netns_core::neighbour::{self, FdbEntry};
use netns_core::{IfName, RouteSocket};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// `NTF_*`, and `NTF_EXT_*` eight bits higher, with the names and in the order of `bridge fdb`:
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/neighbour.h>.
const FLAGS: [(u32, &str); 7] = [
    (0x02, "self"),
    (0x80, "router"),
    (0x10, "extern_learn"),
    (0x20, "offload"),
    (0x04, "master"),
    (0x40, "sticky"),
    (0x200, "locked"),
];

pub(crate) fn bridge(arguments: BridgeArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    let json = arguments.common.json;
    match arguments.command {
        BridgeCommand::Link { command } => match command.unwrap_or(PortCommand::Show { dev: None }) {
            PortCommand::Show { dev } => show_ports(&mut socket, dev, json)?,
            PortCommand::Set(change) => {
                let index = index(&mut socket, change.dev)?;
                let mut options = PortOptions::NONE;
                option::set(&mut socket, &mut options, PORT, &change.options.settings)?;
                bridge::set_port(&mut socket, index, &options)?;
            }
        },
        BridgeCommand::Fdb { command } => match command.unwrap_or(FdbCommand::Show { br: None }) {
            FdbCommand::Show { br } => show_fdb(&mut socket, br, json)?,
            FdbCommand::Replace { mac, dev } => {
                let port = index(&mut socket, dev)?;
                neighbour::set_fdb(&mut socket, &FdbEntry::fixed(port, mac))?;
            }
            FdbCommand::Delete { mac, dev } => {
                let port = index(&mut socket, dev)?;
                neighbour::delete_fdb(&mut socket, port, mac)?;
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn show_ports(socket: &mut RouteSocket, dev: Option<IfName>, json: bool) -> Result<(), Failure> {
    let links = some(socket, dev)?;
    let all = link::list(socket)?;
    let names: BTreeMap<u32, String> = all.iter().map(|link| (link.index, link.name.to_string())).collect();
    let ports: Vec<(&Link, PortOptions)> = links.iter().filter_map(|link| Some((link, link.port?))).collect();
    let mut out = stdout();
    if json {
        let ports = ports.iter().map(|(link, options)| {
            let mut object = port_identity(link, &all);
            object.extend(option::json(options, &names, Keys::Bridge));
            Value::Object(object)
        });
        json_line(&mut out, &ports.collect())?;
        return Ok(());
    }
    for (link, options) in &ports {
        let master = name_of(&names, link.master.unwrap_or(0));
        write!(out, "{} mtu {} master {master}", title(link, &all), link.mtu)?;
        writeln!(out, "{}", option::text(options, &names))?;
    }
    Ok(())
}

fn show_fdb(socket: &mut RouteSocket, br: Option<IfName>, json: bool) -> Result<(), Failure> {
    let names = names(socket)?;
    let bridges = if let Some(name) = br {
        vec![index(socket, name)?]
    } else {
        let links = link::list(socket)?;
        links.iter().filter(|link| link.bridge().is_some()).map(|link| link.index).collect()
    };
    let mut entries = Vec::new();
    for bridge in bridges {
        entries.extend(neighbour::list_fdb(socket, bridge)?);
    }
    show_entries(&entries, &names, json)
}

fn show_entries(entries: &[FdbEntry], names: &BTreeMap<u32, String>, json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    if json {
        let entries = entries.iter().map(|entry| {
            let mut value = json!({
                "mac": entry.mac.to_string(), "ifname": name_of(names, entry.port), "state": state(entry),
                "flags": flags(entry).collect::<Vec<_>>(),
            });
            if let Some(vlan) = entry.vlan {
                value["vlan"] = vlan.into();
            }
            if let Some(bridge) = entry.bridge {
                value["master"] = name_of(names, bridge).into();
            }
            value
        });
        json_line(&mut out, &entries.collect::<Value>())?;
        return Ok(());
    }
    for entry in entries {
        write!(out, "{} dev {}", entry.mac, name_of(names, entry.port))?;
        if let Some(vlan) = entry.vlan {
            write!(out, " vlan {vlan}")?;
        }
        for flag in flags(entry) {
            write!(out, " {flag}")?;
        }
        if let Some(bridge) = entry.bridge {
            write!(out, " master {}", name_of(names, bridge))?;
        }
        writeln!(out, " {}", state(entry))?;
    }
    Ok(())
}

fn flags(entry: &FdbEntry) -> impl Iterator<Item = &'static str> {
    let flags = entry.flags;
    FLAGS.iter().filter(move |(bit, _)| flags & bit != 0).map(|&(_, name)| name)
}

/// As `bridge` has it: `NUD_PERMANENT`, `NUD_NOARP`; a learnt one has no word.
fn state(entry: &FdbEntry) -> &'static str {
    match entry.state {
        state if state & 0x80 != 0 => "permanent",
        state if state & 0x40 != 0 => "static",
        state if state & 0x04 != 0 => "stale",
        _ => "",
    }
}
