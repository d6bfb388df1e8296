//! `cargo xtask route`.

use super::cli::{RouteArguments, RouteChange, RouteCommand};
use super::{index, name_of, names};
use crate::failure::Failure;
use crate::output::{json_line, stdout};
use netns_core::route::{self, Route};
use netns_core::{IpNet, RouteSocket};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

pub(crate) fn route(arguments: RouteArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(RouteCommand::Show) {
        RouteCommand::Show => {
            let mut routes = route::list(&mut socket)?;
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
        write!(out, "{}", destination(route))?;
        if let Some(gateway) = route.gateway {
            write!(out, " via {gateway}")?;
        }
        if let Some(index) = route.index {
            write!(out, " dev {}", name_of(names, index))?;
        }
        if let Some(metric) = route.metric {
            write!(out, " metric {metric}")?;
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

/// With the keys of `ip -json route`.
fn describe(route: &Route, names: &BTreeMap<u32, String>) -> Value {
    let mut value = json!({ "dst": destination(route) });
    if let Some(gateway) = route.gateway {
        value["gateway"] = gateway.to_string().into();
    }
    if let Some(index) = route.index {
        value["dev"] = name_of(names, index).into();
    }
    if let Some(metric) = route.metric {
        value["metric"] = metric.into();
    }
    value
}
