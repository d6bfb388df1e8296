//! `netns bridge`.

use super::line::{WordLine, unsupported};
use super::link::{port_identity, title};
use super::option::{self, Keys};
use super::words::{Keyword, Takes, find, short, whole};
use super::{PORT, fdb, index, name_of, names_of};
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, Link};
use netns_core::wire::{Batch, IfInfoMsg};
use serde_json::Value;
use std::io::Write;

/// Which of `bridge`'s objects a command line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BridgeThing {
    Link,
    Fdb,
}

/// In the order of `bridge`.
pub(super) const THINGS: &[Keyword<BridgeThing>] = &[
    short("link", Takes::Nothing, BridgeThing::Link),
    short("fdb", Takes::Nothing, BridgeThing::Fdb),
    short("mdb", Takes::Refused, BridgeThing::Fdb),
    short("vlan", Takes::Refused, BridgeThing::Fdb),
    short("vni", Takes::Refused, BridgeThing::Fdb),
    short("monitor", Takes::Refused, BridgeThing::Fdb),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortVerb {
    Set,
    Show,
}

pub(super) const PORT_VERBS: &[Keyword<PortVerb>] = &[
    short("set", Takes::Nothing, PortVerb::Set),
    short("change", Takes::Nothing, PortVerb::Set),
    short("show", Takes::Nothing, PortVerb::Show),
    short("lst", Takes::Nothing, PortVerb::Show),
    short("list", Takes::Nothing, PortVerb::Show),
];

/// Which port is shown.
pub(super) const SHOW: &[Keyword<()>] = &[whole("dev", Takes::Value, ())];

/// What `bridge link set` knows beside the options of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortWord {
    Dev,
    /// `BRIDGE_FLAGS_*`.
    Which(u16),
    NoBackupPort,
    Refused,
}

/// Beside the names of port options, which must be written out too.
pub(super) const PORT_WORDS: &[Keyword<PortWord>] = &[
    whole("dev", Takes::Value, PortWord::Dev),
    whole("learning_sync", Takes::Refused, PortWord::Refused),
    whole("hwmode", Takes::Refused, PortWord::Refused),
    whole("self", Takes::Nothing, PortWord::Which(2)),
    whole("master", Takes::Nothing, PortWord::Which(1)),
    whole("nobackup_port", Takes::Nothing, PortWord::NoBackupPort),
];

/// In `IFLA_AF_SPEC`: `IFLA_BRIDGE_FLAGS` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_bridge.h>.
const IFLA_BRIDGE_FLAGS: u16 = 0;

pub(super) fn bridge(line: &mut WordLine) -> Result<(), Failure> {
    let Some(word) = line.next()? else {
        return Err(Failure::usage("`bridge`: `link` or `fdb` is missing"));
    };
    let thing = find(THINGS, &word).filter(|row| !row.is_refused());
    let Some(thing) = thing else {
        return Err(Failure::Usage(format!("`bridge {word}` is not supported; expected link or fdb")));
    };
    line.about = format!("bridge {}", thing.name);
    if thing.act == BridgeThing::Fdb {
        return fdb::fdb(line);
    }
    match line.verb(PORT_VERBS, PortVerb::Show)? {
        PortVerb::Show => show_ports(line),
        PortVerb::Set => set_port(line),
    }
}

fn set_port(line: &mut WordLine) -> Result<(), Failure> {
    let (mut dev, mut which, mut settings) = (None, 0, Vec::new());
    let mut has_no_backup = false;
    while let Some(word) = line.next()? {
        match find(PORT_WORDS, &word) {
            Some(row) if row.is_refused() => {
                return Err(unsupported(&line.about, row.name));
            }
            Some(row) => match row.act {
                PortWord::Dev => dev = Some(line.value(&word)?),
                PortWord::Which(flag) => which |= flag,
                PortWord::NoBackupPort => has_no_backup = true,
                PortWord::Refused => {}
            },
            None if PortOptions::ROWS.iter().any(|row| row.name == word) => {
                let value = line.value(&word)?;
                settings.push((word, value));
            }
            None => return Err(option::unknown(&line.about, &word, PortOptions::ROWS)),
        }
    }
    let Some(dev) = dev else {
        return Err(Failure::Usage(format!("`{}`: `dev PORT` is missing", line.about)));
    };
    let mut socket = line.manner.open()?;
    let mut options = PortOptions::NONE;
    option::set(&mut socket, &mut options, PORT, &settings)?;
    if has_no_backup {
        options.backup_port = Some(0);
    }
    let index = index(&mut socket, &dev)?;
    if which == 0 {
        return Ok(bridge::set_port(&mut socket, index, &options)?);
    }
    let header = IfInfoMsg { family: libc::AF_BRIDGE as u8, index, ..IfInfoMsg::default() };
    let mut batch = Batch::new();
    batch.message(libc::RTM_SETLINK, 0, &header, |attributes| {
        attributes.nest(libc::IFLA_PROTINFO | libc::NLA_F_NESTED as u16, |info| options.write(info));
        attributes.nest(libc::IFLA_AF_SPEC, |spec| spec.value(IFLA_BRIDGE_FLAGS, which));
    });
    Ok(socket.execute(&mut batch)?)
}

fn show_ports(line: &mut WordLine) -> Result<(), Failure> {
    let phrases = line.phrases(SHOW)?;
    let mut socket = line.manner.open()?;
    let only = phrases.first().map(|phrase| index(&mut socket, phrase.value())).transpose()?;
    let all = link::list(&mut socket)?;
    let names = names_of(&all);
    let ports: Vec<(&Link, PortOptions)> = all
        .iter()
        .filter(|link| only.is_none_or(|only| only == link.index))
        .filter_map(|link| Some((link, link.port?)))
        .collect();
    let mut out = stdout();
    if line.manner.json {
        let ports = ports.iter().map(|(link, options)| {
            let mut object = port_identity(link, &all);
            object.extend(option::json(options, &names, Keys::Bridge));
            Value::Object(object)
        });
        return line.manner.print_json(&mut out, &ports.collect());
    }
    for (link, options) in &ports {
        let master = name_of(&names, link.master.unwrap_or(0));
        write!(out, "{} mtu {} master {master}", title(link, &all), link.mtu)?;
        writeln!(out, "{}", option::text(options, &names))?;
    }
    Ok(())
}
