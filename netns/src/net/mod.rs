//! What `ip` and `bridge` do: `link`, `addr`, `route`, `neigh`, `bridge`, `stats`.

mod addr;
mod bridge;
pub(crate) mod cli;
pub(crate) mod keywords;
mod link;
mod neigh;
mod option;
mod route;
mod stats;
mod tuntap;

pub(crate) use addr::addr;
pub(crate) use bridge::bridge;
pub(crate) use link::link;
pub(crate) use neigh::neigh;
pub(crate) use route::route;
pub(crate) use stats::stats;
pub(crate) use tuntap::{TuntapArguments, tuntap};

use crate::failure::Failure;
use cli::Common;
use netns_core::link::Link;
use netns_core::{IfName, Namespace, RouteSocket, link as links};
use std::collections::BTreeMap;

impl Common {
    /// A socket in the named namespace, or in our own.
    fn open(&self) -> Result<RouteSocket, Failure> {
        Ok(match &self.netns {
            Some(name) => RouteSocket::open_in(&Namespace::open(name)?)?,
            None => RouteSocket::open()?,
        })
    }
}

/// The index of a link.
fn index(socket: &mut RouteSocket, name: IfName) -> Result<u32, Failure> {
    Ok(links::get(socket, name)?.index)
}

/// All links of a namespace, or one.
fn some(socket: &mut RouteSocket, name: Option<IfName>) -> Result<Vec<Link>, Failure> {
    Ok(match name {
        Some(name) => vec![links::get(socket, name)?],
        None => links::list(socket)?,
    })
}

/// Names of links by index.
fn names(socket: &mut RouteSocket) -> Result<BTreeMap<u32, String>, Failure> {
    let links = links::list(socket)?;
    Ok(links.into_iter().map(|link| (link.index, link.name.to_string())).collect())
}

/// The name of the link with this index.
fn name_of(names: &BTreeMap<u32, String>, index: u32) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
}
