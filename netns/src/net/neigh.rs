//! `netns neigh`.

use super::cli::{NeighArguments, NeighCommand};
use super::{index, name_of, names};
use crate::failure::Failure;
use crate::output::{json_line, stdout};
use netns_core::neighbour::{self, Neighbour, Protocol};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

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
/// Multicast and the like, which `ip neigh` leaves out too.
const NOARP: u16 = 0x40;

pub(crate) fn neigh(arguments: NeighArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(NeighCommand::Show { dev: None }) {
        NeighCommand::Show { dev } => {
            let dev = dev.map(|dev| index(&mut socket, dev)).transpose()?;
            let mut neighbours = neighbour::list(&mut socket)?;
            neighbours.retain(|neighbour| {
                neighbour.state & !NOARP != 0 && dev.is_none_or(|dev| dev == neighbour.index)
            });
            show(&neighbours, &names(&mut socket)?, arguments.common.json)?;
        }
        NeighCommand::Replace { address, lladdr, dev } => {
            let index = index(&mut socket, dev)?;
            neighbour::set(&mut socket, &Neighbour::permanent(index, address, lladdr))?;
        }
        NeighCommand::Delete { address, dev } => {
            let index = index(&mut socket, dev)?;
            neighbour::delete(&mut socket, index, address)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(neighbours: &[Neighbour], names: &BTreeMap<u32, String>, json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    if json {
        let neighbours = neighbours.iter().map(|neighbour| {
            let mut value = json!({
                "dst": neighbour.address.to_string(), "dev": name_of(names, neighbour.index),
                "state": states(neighbour),
            });
            if let Some(mac) = neighbour.mac {
                value["lladdr"] = mac.to_string().into();
            }
            for flag in flags(neighbour) {
                // As `ip` has it: the key says it all.
                value[flag] = Value::Null;
            }
            if neighbour.protocol != Protocol::UNSPEC {
                value["protocol"] = neighbour.protocol.to_string().into();
            }
            value
        });
        json_line(&mut out, &neighbours.collect::<Value>())?;
        return Ok(());
    }
    for neighbour in neighbours {
        write!(out, "{} dev {}", neighbour.address, name_of(names, neighbour.index))?;
        if let Some(mac) = neighbour.mac {
            write!(out, " lladdr {mac}")?;
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
