//! `netns route`.

use super::cli::{RouteArguments, RouteChange, RouteCommand};
use super::{index, name_of, names};
use crate::failure::Failure;
use crate::output::{json_line, stdout};
use netns_core::route::{self, Protocol, Route, RouteKind, Scope};
use netns_core::{IpNet, RouteSocket};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;
/// `RTNH_F_*` and `RTM_F_*` with the names that `ip` has for them, in its order:
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
const FLAGS: [(u32, &str); 11] = [
    (1 << 0, "dead"),
    (1 << 2, "onlink"),
    (1 << 1, "pervasive"),
    (1 << 3, "offload"),
    (1 << 6, "trap"),
    (0x100, "notify"),
    (1 << 4, "linkdown"),
    (1 << 5, "unresolved"),
    (0x4000, "rt_offload"),
    (0x8000, "rt_trap"),
    (0x2000_0000, "rt_offload_failed"),
];

pub(crate) fn route(arguments: RouteArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(RouteCommand::Show) {
        RouteCommand::Show => {
            let mut routes = route::list_all(&mut socket)?;
            routes.retain(|route| {
                route.table == MAIN && route.destination.address().is_ipv6() == arguments.six
            });
            show(&routes, &names(&mut socket)?, arguments.common.json)?;
        }
        RouteCommand::Add(change) => {
            let route = read(&mut socket, &change, arguments.six)?;
            route::add(&mut socket, &route)?;
        }
        RouteCommand::Delete(change) => {
            let route = read(&mut socket, &change, arguments.six)?;
            route::delete(&mut socket, &route)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(socket: &mut RouteSocket, change: &RouteChange, six: bool) -> Result<Route, Failure> {
    let any: IpAddr = if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let to = match change.to.as_str() {
        "default" => IpNet::everything(change.via.unwrap_or(any)),
        to => to.parse()?,
    };
    let index = change.dev.map(|dev| index(socket, dev)).transpose()?;
    Ok(Route { metric: change.metric, ..Route::new(to, change.via, index) })
}

fn show(routes: &[Route], names: &BTreeMap<u32, String>, json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    if json {
        let routes = routes.iter().map(|route| describe(route, names));
        json_line(&mut out, &routes.collect())?;
        return Ok(());
    }
    for route in routes {
        if route.kind != RouteKind::UNICAST {
            write!(out, "{} ", route.kind)?;
        }
        write!(out, "{}", destination(route))?;
        if let Some(gateway) = route.gateway {
            write!(out, " via {gateway}")?;
        }
        if let Some(via) = route.via {
            write!(out, " via inet6 {via}")?;
        }
        if let Some(index) = route.index {
            write!(out, " dev {}", name_of(names, index))?;
        }
        if route.protocol != Protocol::BOOT {
            write!(out, " proto {}", route.protocol)?;
        }
        if route.scope != Scope::GLOBAL {
            write!(out, " scope {}", route.scope)?;
        }
        if let Some(source) = route.source {
            write!(out, " src {source}")?;
        }
        if let Some(metric) = route.metric {
            write!(out, " metric {metric}")?;
        }
        for flag in flags(route) {
            write!(out, " {flag}")?;
        }
        if let Some(left) = route.expires {
            write!(out, " expires {}sec", left.as_secs())?;
        }
        if let Some(preference) = route.preference {
            write!(out, " pref {preference}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// As `ip` prints it: a single address has no prefix length.
fn destination(route: &Route) -> String {
    let net = route.destination;
    match net.prefix() {
        0 => "default".to_owned(),
        _ if net == IpNet::single(net.address()) => net.address().to_string(),
        _ => net.to_string(),
    }
}

fn flags(route: &Route) -> impl Iterator<Item = &'static str> {
    let flags = route.flags;
    FLAGS.iter().filter(move |(bit, _)| flags & bit != 0).map(|&(_, name)| name)
}

/// With the keys of `ip -json route`, which leaves out what goes without saying.
fn describe(route: &Route, names: &BTreeMap<u32, String>) -> Value {
    let mut value = json!({ "dst": destination(route), "flags": flags(route).collect::<Vec<_>>() });
    let mut put = |key: &str, said: bool, other: Value| {
        if said {
            value[key] = other;
        }
    };
    put("type", route.kind != RouteKind::UNICAST, route.kind.to_string().into());
    put("protocol", route.protocol != Protocol::BOOT, route.protocol.to_string().into());
    put("scope", route.scope != Scope::GLOBAL, route.scope.to_string().into());
    if let Some(gateway) = route.gateway {
        put("gateway", true, gateway.to_string().into());
    }
    if let Some(via) = route.via {
        put("via", true, json!({ "family": "inet6", "host": via.to_string() }));
    }
    if let Some(index) = route.index {
        put("dev", true, name_of(names, index).into());
    }
    if let Some(source) = route.source {
        put("prefsrc", true, source.to_string().into());
    }
    if let Some(metric) = route.metric {
        put("metric", true, metric.into());
    }
    if let Some(left) = route.expires {
        put("expires", true, left.as_secs().into());
    }
    if let Some(preference) = route.preference {
        put("pref", true, preference.to_string().into());
    }
    value
}
