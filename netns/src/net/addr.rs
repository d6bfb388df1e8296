//! `netns addr`.

use super::cli::{AddrArguments, AddrChange, AddrCommand};
use super::link::identity;
use super::{index, some};
use crate::failure::Failure;
use crate::output::{json_line, stdout};
use netns_core::address::{self, Address};
use netns_core::link::{self, Link};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// `IFA_F_*` in the order of `ip`: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_addr.h>.
const FLAGS: [(u32, &str); 11] = [
    (0x001, "secondary"),
    (0x002, "nodad"),
    (0x004, "optimistic"),
    (0x008, "dadfailed"),
    (0x010, "home"),
    (0x020, "deprecated"),
    (0x040, "tentative"),
    (0x100, "mngtmpaddr"),
    (0x200, "noprefixroute"),
    (0x400, "autojoin"),
    (0x800, "stable-privacy"),
];
/// The flag that `ip` tells the lack of, as "dynamic".
const PERMANENT: u32 = 0x080;

pub(crate) fn addr(arguments: AddrArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(AddrCommand::Show { name: None, dev: None }) {
        AddrCommand::Show { name, dev } => {
            let links = some(&mut socket, name.or(dev))?;
            let all = link::list(&mut socket)?;
            show(&links, &all, &address::list(&mut socket)?, arguments.common.json)?;
        }
        AddrCommand::Add(AddrChange { address, dev }) => {
            let index = index(&mut socket, dev)?;
            // What the user adds is checked for duplicates, as by `ip`.
            address::add(&mut socket, &Address { nodad: false, ..Address::new(index, address) })?;
        }
        AddrCommand::Delete(AddrChange { address, dev }) => {
            let index = index(&mut socket, dev)?;
            address::delete(&mut socket, index, address)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `all` are those that a link may name as its bridge.
fn show(links: &[Link], all: &[Link], addresses: &[Address], json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    let of = |link: &Link| {
        let index = link.index;
        addresses.iter().filter(move |address| address.index == index)
    };
    if json {
        let links = links.iter().map(|link| {
            let addresses: Vec<Value> = of(link).map(describe).collect();
            let mut object = identity(link, all);
            object.insert("addr_info".to_owned(), addresses.into());
            Value::Object(object)
        });
        json_line(&mut out, &links.collect())?;
        return Ok(());
    }
    for link in links {
        write!(out, "{:<15}", link.name)?;
        for address in of(link) {
            let net = match address.peer {
                Some(peer) => format!("{} peer {peer}/{}", address.net.address(), address.net.prefix()),
                None => address.net.to_string(),
            };
            let noted: Vec<String> = notes(address).collect();
            let noted = if noted.is_empty() { String::new() } else { format!(" ({})", noted.join(", ")) };
            write!(out, " {net}{noted}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What a reader of a short list has to know: that an address is not for use, or not for ever.
fn notes(address: &Address) -> impl Iterator<Item = String> {
    let odd = flags(address).filter(|flag| matches!(*flag, "dadfailed" | "deprecated" | "tentative"));
    let left = address.valid.map(|left| format!("valid_lft {}sec", left.as_secs()));
    odd.map(str::to_owned).chain(left)
}

/// The names of the flags that are set.
fn flags(address: &Address) -> impl Iterator<Item = &'static str> {
    let (flags, six) = (address.flags, address.net.address().is_ipv6());
    let set = FLAGS.iter().filter(move |(bit, _)| flags & bit != 0).map(move |&(_, name)| match name {
        // IPv6 has no secondary addresses, and gives the bit to those that it makes up for privacy.
        "secondary" if six => "temporary",
        name => name,
    });
    set.chain((flags & PERMANENT == 0).then_some("dynamic"))
}

/// With the keys of `ip -json addr`: flags are there if they are set.
fn describe(address: &Address) -> Value {
    let ip = address.net.address();
    let mut value = json!({
        "family": if ip.is_ipv4() { "inet" } else { "inet6" },
        "local": ip.to_string(), "prefixlen": address.net.prefix(), "scope": address.scope.to_string(),
        "valid_life_time": seconds(address.valid), "preferred_life_time": seconds(address.preferred),
    });
    for (key, address) in [("address", address.peer), ("broadcast", address.broadcast)] {
        if let Some(address) = address {
            value[key] = address.to_string().into();
        }
    }
    if let Some(label) = address.label {
        value["label"] = label.as_str().into();
    }
    for flag in flags(address) {
        value[flag] = true.into();
    }
    let known = FLAGS.iter().fold(PERMANENT, |known, (bit, _)| known | bit);
    if address.flags & !known != 0 {
        value["ifa_flags"] = format!("{:02x}", address.flags & !known).into();
    }
    value
}

/// As `ip` prints a lifetime: all ones is for ever.
fn seconds(left: Option<Duration>) -> u64 {
    left.map_or(u32::MAX.into(), |left| left.as_secs())
}
