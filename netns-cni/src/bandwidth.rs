//! `bandwidth`: how fast frames may pass the host's end of a container's interface.
//!
//! The token buckets are the guard's: they drop what exceeds a rate, where the reference queues it. A port without a guard
//! gets the programs only for this, and is not judged. A bridge holds them for its ports; an end that is on no bridge, as after
//! `ptp`, holds its own.

use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::keys::{ConfigKeys, wrong};
use crate::request::PluginRequest;
use crate::{attachments, container, held};
use netns_core::link::{self, Link};
use netns_core::record::RecordFile;
use netns_core::wire::Batch;
use netns_core::{ErrorKind, IfName, RouteSocket, tc};
use netns_ebpf::{HeldMonitor, Limits, MonitorError, PortRate};

/// The name of the records here, for ports that have the programs only for this.
const PLUGIN: &str = "bandwidth";

/// What the configuration asks for; `None` if nothing. The configuration's own keys take precedence over the capability's, as
/// with the reference.
fn read(request: &PluginRequest) -> Outcome<Option<Limits>> {
    const KEYS: [&str; 6] =
        ["ingressRate", "ingressBurst", "egressRate", "egressBurst", "unshapedSubnets", "shapedSubnets"];
    let own = request.keys();
    let has_own = KEYS.iter().any(|key| own.get(key).is_some());
    let keys = if has_own { own } else { own.inside("runtimeConfig")?.inside("bandwidth")? };
    for key in ["unshapedSubnets", "shapedSubnets"] {
        if !keys.list(key)?.is_empty() {
            let value = keys.get(key).cloned().unwrap_or_default();
            let why = "what passes is limited wherever it comes from and goes to";
            return Err(CniFailure::unsupported(&keys.path(key), &value, why));
        }
    }
    let limits = Limits {
        outgoing: rate(&keys, "egressRate", "egressBurst")?,
        incoming: rate(&keys, "ingressRate", "ingressBurst")?,
        ..Limits::NONE
    };
    Ok((!limits.is_none()).then_some(limits))
}

/// Both are in bits.
fn rate(keys: &ConfigKeys<'_>, rate: &str, burst: &str) -> Outcome<PortRate> {
    let number = |key: &str| match keys.get(key) {
        None => Ok(0),
        Some(value) => value.as_u64().ok_or_else(|| wrong(&keys.path(key), value, "a whole number")),
    };
    let refused = |why: &str| CniFailure::new(FailureCode::InvalidConfig, why);
    let (rate_path, burst_path) = (keys.path(rate), keys.path(burst));
    match (number(rate)?, number(burst)?) {
        (0, 0) => Ok(PortRate::default()),
        // In the reference's words.
        (_, 0) => Err(refused("if rate is set, burst must also be set")
            .with_details(format!("{rate_path} is set, and {burst_path} is not"))),
        (0, _) => Err(refused("if burst is set, rate must also be set")
            .with_details(format!("{burst_path} is set, and {rate_path} is not"))),
        (_, bits) if bits / 8 >= u32::MAX.into() => {
            Err(refused(&format!("{burst_path} is {bits}: it is 4 GB or more")))
        }
        (rate, bits) => Ok(PortRate::bits(rate).with_burst((bits / 8).max(1))),
    }
}

/// The host's end of the container's interface.
fn port(request: &PluginRequest, socket: &mut RouteSocket) -> Outcome<Link> {
    let previous = request.previous().ok_or_else(|| {
        let why = "bandwidth comes after other plugins: the key \"prevResult\" is missing";
        CniFailure::new(FailureCode::InvalidConfig, why)
    })?;
    let result = AttachmentResult::read("prevResult", previous)?;
    let inside = container::open(request)?;
    let name = container::interface(request)?;
    let Some(interface) = container::find_link(&mut RouteSocket::open_in(&inside)?, name)? else {
        return Err(CniFailure::new(
            FailureCode::InvalidConfig,
            format!("the container has no interface {name}"),
        ));
    };
    for on_host in result.interfaces.iter().filter(|interface| interface.sandbox.is_empty()) {
        let Ok(name) = IfName::new(&on_host.name) else { continue };
        let link = container::find_link(socket, name)?;
        let is_its = |link: &Link| Some(link.index) == interface.peer && link.peer == Some(interface.index);
        if let Some(link) = link.filter(is_its) {
            return Ok(link);
        }
    }
    let why = format!("prevResult has no interface of the host that is the other end of {name}");
    Err(CniFailure::new(FailureCode::InvalidConfig, why))
}

/// What holds the programs of a port: its bridge, or the port itself if it is on none.
fn holder(socket: &mut RouteSocket, port: &Link) -> Outcome<Link> {
    let bridge = match port.master {
        None => None,
        Some(index) => Some(link::get(socket, index)?).filter(|link| link.bridge().is_some()),
    };
    Ok(bridge.unwrap_or_else(|| port.clone()))
}

pub(crate) fn add(request: &PluginRequest) -> Outcome<()> {
    let Some(limits) = read(request)? else { return Ok(()) };
    let mut socket = RouteSocket::open()?;
    let port = port(request, &mut socket)?;
    let holder = holder(&mut socket, &port)?;
    if holder.index == port.index {
        return add_alone(request, &mut socket, &port, &limits);
    }
    let place = holder.name.as_str();
    attachments::with_bridge(place, |record| limit(request, &mut socket, (&port, &holder), record, &limits))
}

/// Limits a port of a bridge, whose record this is.
fn limit(
    request: &PluginRequest,
    socket: &mut RouteSocket,
    (port, bridge): (&Link, &Link),
    of_bridge: &mut RecordFile,
    limits: &Limits,
) -> Outcome<()> {
    let monitor = held::hold(socket, bridge, of_bridge, held::ProgramNeeds::default())?;
    if let Some(slot) = monitor.slot(port.index) {
        // It is guarded.
        let now = monitor.limits(slot).map_err(|error| held::failed(&error))?;
        if !now.is_none() && now != limits.chosen() {
            let why = format!("{} has limits already, by the key limit: {now}", port.name);
            return Err(CniFailure::new(FailureCode::InvalidConfig, why));
        }
        return monitor.set_limits(slot, limits).map_err(|error| held::failed(&error));
    }
    let mut record = attachments::begin(request, PLUGIN)?;
    let made = record
        .append(&[held::line(port.index, bridge.index)])
        .map_err(CniFailure::from)
        .and_then(|()| put_on(socket, monitor, port.index, limits));
    undone(request, socket, record, made)
}

/// For a port that holds the programs itself. A second `ADD` sets its limits anew.
fn add_alone(request: &PluginRequest, socket: &mut RouteSocket, port: &Link, limits: &Limits) -> Outcome<()> {
    if let Some(monitor) = held::find(socket, port.index)?
        && let Some(slot) = monitor.slot(port.index)
    {
        return monitor.set_limits(slot, limits).map_err(|error| held::failed(&error));
    }
    let mut record = attachments::begin(request, PLUGIN)?;
    let made = record
        .append(&[held::line(port.index, port.index)])
        .map_err(CniFailure::from)
        .and_then(|()| held::hold_alone(socket, port, &mut record))
        .and_then(|monitor| put_on(socket, monitor, port.index, limits));
    undone(request, socket, record, made)
}

fn put_on(socket: &mut RouteSocket, mut monitor: HeldMonitor, port: u32, limits: &Limits) -> Outcome<()> {
    let failed = |error: MonitorError| held::failed(&error);
    let slot = monitor.claim(port, None).map_err(failed)?;
    monitor.set_limits(slot, limits).map_err(failed)?;
    let mut batch = Batch::new();
    monitor.encode_filters(&mut batch, port, slot, held::NAME);
    match socket.execute(&mut batch) {
        // The qdisc, without which a port cannot hold them. The filters are there, too, unless somebody else's are in their way.
        Err(error) if error.kind() == ErrorKind::Exists && monitor.is_on(socket, port).map_err(failed)? => {
            Ok(())
        }
        other => Ok(other?),
    }
}

fn undone(
    request: &PluginRequest,
    socket: &mut RouteSocket,
    record: RecordFile,
    made: Outcome<()>,
) -> Outcome<()> {
    made.map_err(|failure| failure.with_others(undo(request, socket, record).err().into_iter().collect()))
}

/// Takes the programs off a port that has them only for its limits.
fn undo(request: &PluginRequest, socket: &mut RouteSocket, record: RecordFile) -> Outcome<()> {
    let line = held::read(record.lines());
    match line {
        Some((port, holder)) if port == holder => {
            held::let_go_alone(socket, port)?;
            take_off(socket, port, held::made_clsact(record.lines(), port))?;
        }
        Some((port, _)) => take_off(socket, port, true)?,
        None => {}
    }
    held::release(socket, line.as_slice())?;
    record.remove()?;
    attachments::tidy(&request.network);
    Ok(())
}

/// Removes the filters of a port, and its qdisc if that was made for them.
fn take_off(socket: &mut RouteSocket, port: u32, is_made: bool) -> Outcome<()> {
    let mut others = 0;
    for direction in tc::Direction::BOTH {
        let filters = match tc::list_filters(socket, port, direction) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for filter in filters {
            if filter.name.as_deref() == Some(held::NAME) {
                match tc::delete_filter(socket, port, direction, filter.priority, filter.handle) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            } else {
                others += 1;
            }
        }
    }
    if !is_made {
        return Ok(());
    }
    match tc::has_clsact(socket, port) {
        Ok(true) if others == 0 => Ok(tc::delete_clsact(socket, port)?),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

pub(crate) fn del(request: &PluginRequest) -> Outcome<()> {
    let mut socket = RouteSocket::open()?;
    if let Some(record) = attachments::find(request, PLUGIN)? {
        return undo(request, &mut socket, record);
    }
    // A guarded port's go with its slot; until then it has none.
    if request.previous().is_some()
        && read(request).is_ok_and(|limits| limits.is_some())
        && let Ok(port) = port(request, &mut socket)
        && let Some(bridge) = port.master
        && let Some(monitor) = held::find(&mut socket, bridge)?
        && let Some(slot) = monitor.slot(port.index)
    {
        monitor.set_limits(slot, &Limits::NONE).map_err(|error| held::failed(&error))?;
    }
    attachments::tidy(&request.network);
    Ok(())
}

pub(crate) fn check(request: &PluginRequest) -> Outcome<()> {
    let Some(limits) = read(request)? else { return Ok(()) };
    let mut socket = RouteSocket::open()?;
    let port = port(request, &mut socket)?;
    let damaged = |why: String| Err(CniFailure::new(FailureCode::Damaged, why));
    let holder = holder(&mut socket, &port)?;
    let Some(monitor) = held::find(&mut socket, holder.index)? else {
        return damaged(format!("{} does not hold the program of the port {}", holder.name, port.name));
    };
    let is_on = monitor.is_on(&mut socket, port.index).map_err(|error| held::failed(&error))?;
    let Some(slot) = monitor.slot(port.index).filter(|_| is_on) else {
        return damaged(format!("the program at the port {} is missing", port.name));
    };
    let now = monitor.limits(slot).map_err(|error| held::failed(&error))?;
    if now == limits.chosen() {
        Ok(())
    } else {
        damaged(format!("the port {} has other limits: {now}", port.name))
    }
}

pub(crate) fn collect(request: &PluginRequest) -> Outcome<()> {
    let valid = request.valid_attachments()?;
    let mut socket = RouteSocket::open()?;
    let mut failures = Vec::new();
    for record in attachments::stale(request, PLUGIN, &valid)? {
        failures.extend(record.and_then(|record| undo(request, &mut socket, record)).err());
    }
    attachments::tidy(&request.network);
    CniFailure::all(failures)
}
