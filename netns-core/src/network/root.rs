//! The first bridge, which is the host's.

use super::options::NetworkOptions;
use super::plan::{Plan, WINDOW, WINDOWS};
use super::recorded::NetworkRecord;
use crate::address::{self, Address};
use crate::bridge::{self, Bridge};
use crate::error::{Cause, Operation, SystemCall};
use crate::link::{self, AddrGenMode, Link, LinkChange};
use crate::record::undo_twice;
use crate::sys::deadline::Deadline;
use crate::wire::Batch;
use crate::{Error, IfName, MacAddress, Namespace, Result, RouteSocket, sysctl};
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::Duration;

/// How long to wait before looking again whether the kernel has reclaimed ports.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Makes the first bridge, down. Its index is also the claim on its window: two networks that choose the same one
/// cannot both make it.
pub(super) fn create(
    socket: &mut RouteSocket,
    options: &NetworkOptions,
    mut record: Option<&mut NetworkRecord>,
) -> Result<Plan> {
    // std seeds its hashers from the kernel's random numbers.
    let random = RandomState::new().build_hasher().finish();
    let plan = |window| {
        let NetworkOptions { name, subnet_v4, subnet_v6, per_bridge, maximum, .. } = *options;
        Plan::new(name, subnet_v4, subnet_v6, per_bridge, maximum, window * WINDOW, (random >> 32) as u32)
    };
    // What is wrong with the options is to be said first.
    plan(WINDOWS.start)?;
    let links = await_names(socket, options)?;
    let taken: HashSet<u32> = links.iter().map(|link| link.index / WINDOW).collect();
    // Any of them will do, but not the same for everybody.
    let first = random as u32 % WINDOWS.len() as u32;
    let all = WINDOWS.map(|window| WINDOWS.start + (window - WINDOWS.start + first) % WINDOWS.len() as u32);
    for window in all.filter(|window| !taken.contains(window)) {
        let plan = plan(window)?;
        if let Some(record) = &mut record {
            record.write(&plan, options)?;
        }
        let bridge = Bridge {
            index: Some(plan.root()),
            mtu: options.mtu,
            options: bridge::SILENT,
            ..Bridge::new(plan.name, plan.host_mac())
        };
        match bridge::create(socket, &bridge) {
            Ok(()) => return Ok(plan),
            Err(error) if error.errno() == Some(libc::EEXIST) && link::get(socket, options.name).is_err() => {
            }
            Err(error) => {
                // It may have been made, and the answer lost.
                let _ = undo(socket, plan.root(), plan.host_mac());
                return Err(error);
            }
        }
    }
    Err(Error::exhausted(
        Operation::CreateNetwork,
        options.name.to_string(),
        "every window of interface indexes is in use",
    ))
}

/// Deletes the link with this index if it has the MAC address that we chose for it, which nobody else's has.
pub(super) fn undo(socket: &mut RouteSocket, index: u32, mac: MacAddress) -> Result<()> {
    undo_twice(|| match link::get(socket, index) {
        Ok(link) if link.mac == Some(mac) => link::delete(socket, index),
        Ok(_) => Ok(()),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        Err(error) => Err(error),
    })
}

/// Waits until the ports of an earlier network of this name are gone, if there was one; all links.
fn await_names(socket: &mut RouteSocket, options: &NetworkOptions) -> Result<Vec<Link>> {
    let mut deadline = Deadline::new(options.patience);
    loop {
        let links = link::list(socket)?;
        let Some(ours) = links.iter().find(|link| is_name_of(options.name, link.name)) else {
            return Ok(links);
        };
        // A bridge does not go by itself.
        if ours.name == options.name || !deadline.sleep(LOOK_AGAIN) {
            let why = format!("there is an interface {}", ours.name);
            return Err(Error::invalid(Operation::CreateNetwork, options.name.to_string(), why));
        }
    }
}

/// Whether a link of a network of this name is called so.
fn is_name_of(network: IfName, link: IfName) -> bool {
    let Some(rest) = link.as_str().strip_prefix(network.as_str()) else { return false };
    let Some(number) = rest.strip_prefix(['p', 'b', 'd', 'u', 'r']) else { return rest.is_empty() };
    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// Keeps the host from believing what sandboxes advertise as routers. Netlink has no request for it.
fn distrust_routers(home: &Namespace, plan: &Plan) -> Result<()> {
    let setting = |name: &str| format!("net/ipv6/conf/{}/{name}", plan.name);
    let (name, value) = if plan.v6.is_some() { ("accept_ra", "0") } else { ("disable_ipv6", "1") };
    match sysctl::set_own(home, &setting(name), value) {
        // The host's addresses on the bridge are the network's own then, and no others come.
        Err(_) if sysctl::get(home, &setting("accept_ra")).is_ok_and(|value| value == "0") => Ok(()),
        Err(error) if error.missing_capability().is_some() => Err(error),
        Err(error) => {
            let object = format!(
                "{}; else what a sandbox advertises as a router would configure this host (where /proc/sys cannot be \
                 written, net.ipv6.conf.default.accept_ra=0 has to be set from outside)",
                plan.name
            );
            let errno = error.errno().unwrap_or(libc::EROFS);
            let cause =
                Cause::System { call: SystemCall::WriteSysctl, error: io::Error::from_raw_os_error(errno) };
            Err(Error::new(Operation::DistrustRouters, object, cause))
        }
        Ok(()) => Ok(()),
    }
}

/// Gives the first bridge the host's addresses and raises it.
pub(super) fn raise(socket: &mut RouteSocket, home: &Namespace, plan: &Plan, ipv6: bool) -> Result<()> {
    let mut batch = Batch::new();
    if ipv6 {
        distrust_routers(home, plan)?;
        if plan.v6.is_none() {
            // Even where IPv6 could not be switched off. Before it is up: with that comes the address.
            let quiet = LinkChange { addrgenmode: Some(AddrGenMode::None), ..LinkChange::default() };
            link::encode_set(&mut batch, plan.root(), &quiet);
        }
    }
    let up = LinkChange { up: Some(true), group: Some(plan.fabric_group()), ..LinkChange::default() };
    link::encode_set(&mut batch, plan.root(), &up);
    for net in plan.gateways() {
        address::encode_add(&mut batch, &Address::new(plan.root(), net));
        address::encode_local_route(&mut batch, plan.root(), net.address());
    }
    socket.execute(&mut batch)
}
