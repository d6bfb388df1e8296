//! What `ip` and `bridge` do, in their words: `link`, `addr`, `route`, `neigh`, `netns`, `tuntap`, `bridge`; and `stats`.

mod addr;
mod addr_change;
mod bridge;
mod fdb;
pub(crate) mod help;
mod line;
mod link;
mod manner;
mod neigh;
mod netns;
mod object;
mod option;
mod request;
mod route;
mod route_change;
mod route_get;
mod route_show;
mod route_values;
mod stats;
mod thing;
mod tuntap;
mod words;

pub(crate) use object::{Understood, understand};

use crate::failure::Failure;
use netns_core::link::Link;
use netns_core::{ErrorKind, RouteSocket, link as links};
use std::collections::BTreeMap;

/// `ip`'s name for the options of a bridge port.
const PORT: &str = "bridge_slave";

/// The index of a link, by its name, an alternative name, or `if` and the index, as in iproute2.
fn index(socket: &mut RouteSocket, name: &str) -> Result<u32, Failure> {
    match links::get_named(socket, name) {
        Ok(link) => Ok(link.index),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let digits =
                name.strip_prefix("if").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Names of links by index.
fn names_of(links: &[Link]) -> BTreeMap<u32, String> {
    links.iter().map(|link| (link.index, link.name.to_string())).collect()
}

/// Names of links by index.
fn names(socket: &mut RouteSocket) -> Result<BTreeMap<u32, String>, Failure> {
    Ok(names_of(&links::list(socket)?))
}

/// The name of the link with this index.
fn name_of(names: &BTreeMap<u32, String>, index: u32) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
}
