//! `netns bridge fdb`: which MAC address is behind which port.

use super::line::WordLine;
use super::words::{Keyword, Phrase, Takes, find, mac, other, short, whole};
use super::{index, name_of, names};
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::RouteSocket;
use netns_core::neighbour::{self, FdbEntry};
use netns_core::wire::{Batch, NdMsg};
use serde_json::{Value, json};
use std::io::Write;

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

/// What a command line does with entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FdbVerb {
    Add,
    Append,
    Replace,
    Delete,
    Show,
}

pub(super) const VERBS: &[Keyword<FdbVerb>] = &[
    short("add", Takes::Nothing, FdbVerb::Add),
    short("append", Takes::Nothing, FdbVerb::Append),
    short("replace", Takes::Nothing, FdbVerb::Replace),
    short("delete", Takes::Nothing, FdbVerb::Delete),
    short("get", Takes::Refused, FdbVerb::Show),
    short("show", Takes::Nothing, FdbVerb::Show),
    short("lst", Takes::Nothing, FdbVerb::Show),
    short("list", Takes::Nothing, FdbVerb::Show),
    whole("flush", Takes::Refused, FdbVerb::Show),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FdbWord {
    Dev,
    Destination,
    /// `NTF_*`.
    Flag(u8),
    /// The `NUD_*` that it sets, and those that it clears.
    State(u16, u16),
    Vlan,
    Mac,
    Bridge,
    ShownState,
    Dynamic,
    Refused,
}

const REACHABLE: u16 = 0x02;
const NOARP: u16 = 0x40;
const PERMANENT: u16 = 0x80;
const SELF: u8 = 0x02;
const MASTER: u8 = 0x04;

/// In the order of `fdb_modify`.
pub(super) const FDB_WORDS: &[Keyword<FdbWord>] = &[
    whole("dev", Takes::Value, FdbWord::Dev),
    whole("dst", Takes::Value, FdbWord::Destination),
    whole("nhid", Takes::Refused, FdbWord::Refused),
    whole("port", Takes::Refused, FdbWord::Refused),
    whole("vni", Takes::Refused, FdbWord::Refused),
    whole("src_vni", Takes::Refused, FdbWord::Refused),
    whole("via", Takes::Refused, FdbWord::Refused),
    whole("self", Takes::Nothing, FdbWord::Flag(SELF)),
    short("master", Takes::Nothing, FdbWord::Flag(MASTER)),
    short("router", Takes::Nothing, FdbWord::Flag(0x80)),
    short("local", Takes::Nothing, FdbWord::State(PERMANENT, 0)),
    short("permanent", Takes::Nothing, FdbWord::State(PERMANENT, 0)),
    short("temp", Takes::Nothing, FdbWord::State(REACHABLE, 0)),
    short("static", Takes::Nothing, FdbWord::State(REACHABLE, 0)),
    short("dynamic", Takes::Nothing, FdbWord::State(REACHABLE, NOARP)),
    short("vlan", Takes::Value, FdbWord::Vlan),
    short("use", Takes::Nothing, FdbWord::Flag(0x01)),
    short("extern_learn", Takes::Nothing, FdbWord::Flag(0x10)),
    short("sticky", Takes::Nothing, FdbWord::Flag(0x40)),
    whole("to", Takes::Value, FdbWord::Mac),
    other(Takes::Value, FdbWord::Mac),
];

/// In the order of `fdb_show`.
pub(super) const SHOW: &[Keyword<FdbWord>] = &[
    whole("brport", Takes::Value, FdbWord::Dev),
    whole("dev", Takes::Value, FdbWord::Dev),
    whole("br", Takes::Value, FdbWord::Bridge),
    whole("vlan", Takes::Value, FdbWord::Vlan),
    whole("state", Takes::Value, FdbWord::ShownState),
    whole("dynamic", Takes::Nothing, FdbWord::Dynamic),
];

pub(super) fn fdb(line: &mut WordLine) -> Result<(), Failure> {
    match line.verb(VERBS, FdbVerb::Show)? {
        FdbVerb::Show => list(line),
        verb => change(line, verb),
    }
}

fn change(line: &mut WordLine, verb: FdbVerb) -> Result<(), Failure> {
    let phrases = line.phrases(FDB_WORDS)?;
    let mut header = NdMsg { family: libc::AF_BRIDGE as u8, state: NOARP, ..NdMsg::default() };
    let (mut address, mut dev, mut destination, mut vlan) = (None, None, None, None);
    for phrase in &phrases {
        match phrase.act {
            FdbWord::Dev => dev = Some(phrase.value()),
            FdbWord::Destination => destination = Some(phrase.address(line.manner.family)?),
            FdbWord::Flag(flag) => header.flags |= flag,
            FdbWord::State(set, clear) => header.state = (header.state | set) & !clear,
            FdbWord::Vlan => {
                vlan = Some(u16::try_from(phrase.number(4095)?).unwrap_or(u16::MAX));
            }
            FdbWord::Mac if address.is_some() => {
                return Err(Failure::Usage(format!("{:?} is one address too many", phrase.value())));
            }
            FdbWord::Mac => {
                address = Some(mac(phrase.value()).ok_or_else(|| phrase.wrong("not a MAC address"))?);
            }
            _ => {}
        }
    }
    let (Some(address), Some(dev)) = (address, dev) else {
        return Err(Failure::Usage(format!("`{}`: an address, `dev` and a link are needed", line.about)));
    };
    if header.flags & (SELF | MASTER) == 0 {
        header.flags |= SELF;
    }
    if header.state & (PERMANENT | REACHABLE) == 0 {
        header.state |= PERMANENT;
    }
    let mut socket = line.manner.open()?;
    header.index = index(&mut socket, dev)?;
    let (message, flags) = match verb {
        FdbVerb::Add => (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
        FdbVerb::Append => (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_APPEND),
        FdbVerb::Replace => (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE),
        FdbVerb::Delete | FdbVerb::Show => (libc::RTM_DELNEIGH, 0),
    };
    let mut batch = Batch::new();
    batch.message(message, flags, &header, |attributes| {
        attributes.mac(libc::NDA_LLADDR, address);
        if let Some(destination) = destination {
            attributes.ip(libc::NDA_DST, destination);
        }
        attributes.optional(libc::NDA_VLAN, vlan);
    });
    Ok(socket.execute(&mut batch)?)
}

fn list(line: &mut WordLine) -> Result<(), Failure> {
    let phrases = line.phrases(SHOW)?;
    let mut socket = line.manner.open()?;
    let mut entries = neighbour::list_fdb_all(&mut socket)?;
    let mut is_of_link = false;
    for phrase in &phrases {
        is_of_link |= phrase.act == FdbWord::Dev;
        choose(&mut socket, &mut entries, phrase)?;
    }
    let names = names(&mut socket)?;
    let mut out = stdout();
    if line.manner.json {
        let entries = entries.iter().map(|entry| {
            let mut value = json!({
                "mac": entry.mac.to_string(), "state": state(entry), "flags": flags(entry).collect::<Vec<_>>(),
            });
            // Where a link was asked for, `bridge` leaves it out.
            if !is_of_link {
                value["ifname"] = name_of(&names, entry.port).into();
            }
            if let Some(host) = entry.destination {
                value["dst"] = host.to_string().into();
            }
            if let Some(vlan) = entry.vlan {
                value["vlan"] = vlan.into();
            }
            if let Some(bridge) = entry.bridge {
                value["master"] = name_of(&names, bridge).into();
            }
            value
        });
        return line.manner.print_json(&mut out, &entries.collect::<Value>());
    }
    for entry in &entries {
        write!(out, "{}", entry.mac)?;
        if !is_of_link {
            write!(out, " dev {}", name_of(&names, entry.port))?;
        }
        if let Some(host) = entry.destination {
            write!(out, " dst {host}")?;
        }
        if let Some(vlan) = entry.vlan {
            write!(out, " vlan {vlan}")?;
        }
        for flag in flags(entry) {
            write!(out, " {flag}")?;
        }
        if let Some(bridge) = entry.bridge {
            write!(out, " master {}", name_of(&names, bridge))?;
        }
        writeln!(out, " {}", state(entry))?;
    }
    Ok(())
}

/// Keeps the entries that a phrase chooses.
fn choose(
    socket: &mut RouteSocket,
    entries: &mut Vec<FdbEntry>,
    phrase: &Phrase<FdbWord>,
) -> Result<(), Failure> {
    match phrase.act {
        FdbWord::Dev => {
            let port = index(socket, phrase.value())?;
            entries.retain(|entry| entry.port == port);
        }
        FdbWord::Bridge => {
            let bridge = index(socket, phrase.value())?;
            let links = netns_core::link::list(socket)?;
            let is_in =
                |port: u32| links.iter().any(|link| link.index == port && link.master == Some(bridge));
            entries.retain(|entry| entry.port == bridge || entry.bridge == Some(bridge) || is_in(entry.port));
        }
        FdbWord::Vlan => {
            let vlan = phrase.number(4095)?;
            entries.retain(|entry| vlan == 0 || entry.vlan.map(u64::from) == Some(vlan));
        }
        FdbWord::ShownState => {
            const STATES: &[Keyword<u16>] = &[
                short("permanent", Takes::Nothing, PERMANENT),
                short("static", Takes::Nothing, NOARP),
                short("temp", Takes::Nothing, NOARP),
                short("stale", Takes::Nothing, 0x04),
                short("reachable", Takes::Nothing, REACHABLE),
            ];
            let wanted = find(STATES, phrase.value()).ok_or_else(|| phrase.wrong("not a state"))?.act;
            entries.retain(|entry| entry.state & wanted != 0);
        }
        FdbWord::Dynamic => entries.retain(|entry| entry.state & PERMANENT == 0),
        _ => {}
    }
    Ok(())
}

fn flags(entry: &FdbEntry) -> impl Iterator<Item = &'static str> {
    let flags = entry.flags;
    FLAGS.iter().filter(move |(bit, _)| flags & bit != 0).map(|&(_, name)| name)
}

/// As in `bridge`: `NUD_PERMANENT`, `NUD_NOARP`; a learnt entry has no word.
fn state(entry: &FdbEntry) -> &'static str {
    match entry.state {
        state if state & 0x80 != 0 => "permanent",
        state if state & 0x40 != 0 => "static",
        state if state & 0x04 != 0 => "stale",
        _ => "",
    }
}
