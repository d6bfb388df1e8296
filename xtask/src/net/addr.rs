//! `cargo xtask addr`.

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
            write!(out, " {}{}", address.net, if address.tentative { " (tentative)" } else { "" })?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// With the keys of `ip -json addr`: flags are there if they are set.
fn describe(address: &Address) -> Value {
    let ip = address.net.address();
    let mut value = json!({
        "family": if ip.is_ipv4() { "inet" } else { "inet6" },
        "local": ip.to_string(), "prefixlen": address.net.prefix(),
    });
    for (flag, set) in [("tentative", address.tentative), ("nodad", address.nodad)] {
        if set {
            value[flag] = true.into();
        }
    }
    value
}
