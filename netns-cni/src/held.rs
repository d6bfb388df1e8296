//! The ports' eBPF programs, which a bridge holds between calls; `guard` and `bandwidth` share them.
//!
//! A bridge's first container loads them, and they end with the bridge ([`HeldMonitor`]).

use crate::attachments;
use crate::failure::{CniFailure, FailureCode, Outcome};
use netns_core::link::{self, Link};
use netns_core::record::{Line, RecordFile};
use netns_core::{ErrorKind, IfName, RouteSocket, tc};
use netns_ebpf::{HeldMonitor, Monitor, MonitorError, MonitorOptions};
use std::collections::BTreeSet;

/// The filters' name in `tc filter show`.
pub(crate) const NAME: &str = "netns-cni";
/// The line of a port that has a slot, of an attachment's record: the indexes of the port and of its bridge.
const PORT: &str = "guard";
/// The line of a clsact qdisc that was made for the programs, of a bridge's record: the bridge's index.
const CLSACT: &str = "clsact";
/// A quarter more than a bridge has ports: slots of ports that vanished without `DEL` are free only after `GC`.
const SLOTS: u16 = 1279;
/// One for each network of a bridge, and more if a network's containers have different subnets.
const EGRESS_POLICIES: u16 = 64;

/// What the programs must be able to do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProgramNeeds {
    /// Enforce something.
    pub(crate) enforces: bool,
    /// Give ports egress policies.
    pub(crate) egress: bool,
}

impl ProgramNeeds {
    fn are_met(self, held: &HeldMonitor) -> bool {
        (held.can_enforce() || !self.enforces) && (held.egress_limit() > 0 || !self.egress)
    }

    /// Of programs that ports have, whose counters and limits would go with them.
    fn unmet(self, held: &HeldMonitor, bridge: IfName) -> CniFailure {
        if self.enforces && !held.can_enforce() {
            return cannot_enforce();
        }
        let why = format!(
            "egress: the program of {bridge} was loaded for containers without it: detach them (DEL), and the next ADD loads \
             another one"
        );
        CniFailure::new(FailureCode::Unavailable, why)
    }
}

/// The programs; the bridge, whose record this is, holds them from now on if it did not before. As long as the record is locked,
/// it does not let go of them: until the port has its slot.
///
/// # Errors
/// Code 2 if something must be enforced and the kernel does not let the programs see enough for that. Then they are not held:
/// the next time may be different. 50 if they are held, and have no room for egress policies.
pub(crate) fn hold(
    socket: &mut RouteSocket,
    bridge: &Link,
    record: &mut RecordFile,
    needs: ProgramNeeds,
) -> Outcome<HeldMonitor> {
    if let Some(held) = find(socket, bridge.index)? {
        if needs.are_met(&held) {
            return Ok(held);
        }
        if !held.ports().is_empty() {
            return Err(needs.unmet(&held, bridge.name));
        }
    }
    load(socket, bridge, record, needs, &of_bridge(needs))
}

/// The line of a port that gets a slot.
pub(crate) fn line(port: u32, bridge: u32) -> Line {
    Line::new(PORT).with(port).with(bridge)
}

pub(crate) fn find(socket: &mut RouteSocket, bridge: u32) -> Outcome<Option<HeldMonitor>> {
    HeldMonitor::open(socket, bridge, NAME).map_err(|error| failed(&error))
}

/// For all ports of a bridge.
fn of_bridge(needs: ProgramNeeds) -> MonitorOptions {
    MonitorOptions {
        slots: SLOTS,
        pairs: 0,
        barrier: true,
        limits: true,
        egress: if needs.egress { EGRESS_POLICIES } else { 0 },
        ..MonitorOptions::default()
    }
}

/// The programs of a port that is on no bridge, for its limits alone: it holds them itself. What that takes is on `record`.
pub(crate) fn hold_alone(
    socket: &mut RouteSocket,
    port: &Link,
    record: &mut RecordFile,
) -> Outcome<HeldMonitor> {
    let options = MonitorOptions { slots: 1, pairs: 0, limits: true, ..MonitorOptions::default() };
    load(socket, port, record, ProgramNeeds::default(), &options)
}

/// Ends the holding of a port, which may be gone.
pub(crate) fn let_go_alone(socket: &mut RouteSocket, port: u32) -> Outcome<()> {
    match HeldMonitor::let_go(socket, port, NAME) {
        Err(MonitorError::Port { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| failed(&error)),
    }
}

/// Whether a record says that a link's clsact qdisc was made for the programs.
pub(crate) fn made_clsact(lines: &[Line], index: u32) -> bool {
    lines.iter().any(|line| line.key() == CLSACT && line.parse(0) == Some(index))
}

fn load(
    socket: &mut RouteSocket,
    bridge: &Link,
    record: &mut RecordFile,
    needs: ProgramNeeds,
    options: &MonitorOptions,
) -> Outcome<HeldMonitor> {
    if needs.enforces && !Monitor::can_enforce() {
        return Err(cannot_enforce());
    }
    let monitor = Monitor::load(options).map_err(|error| failed(&error))?;
    if !tc::has_clsact(socket, bridge.index)? {
        record.append(&[Line::new(CLSACT).with(bridge.index)])?;
        match tc::add_clsact(socket, bridge.index) {
            Err(error) if error.kind() != ErrorKind::Exists => return Err(error.into()),
            _ => {}
        }
    }
    monitor.hold(socket, bridge.index, NAME).map_err(|error| failed(&error))?;
    find(socket, bridge.index)?.ok_or_else(|| {
        let why = format!("somebody took the programs off {} at once", bridge.name);
        CniFailure::new(FailureCode::TryLater, why)
    })
}

fn cannot_enforce() -> CniFailure {
    let why = "the kernel does not let the program see where checksums are written (kernel types, CAP_PERFMON, no \
               confidentiality lockdown)";
    CniFailure::unsupported("guard", &"enforce".into(), why)
}

/// The indexes of a port that has a slot, and of its bridge.
pub(crate) fn read(lines: &[Line]) -> Option<(u32, u32)> {
    let line = lines.iter().find(|line| line.key() == PORT)?;
    Some((line.parse(0)?, line.parse(1)?))
}

/// Takes back the slots of ports that are gone.
pub(crate) fn release(socket: &mut RouteSocket, ports: &[(u32, u32)]) -> Outcome<()> {
    let bridges: BTreeSet<u32> = ports.iter().map(|&(_, bridge)| bridge).collect();
    for bridge in bridges {
        let held = match HeldMonitor::open(socket, bridge, NAME) {
            // This version cannot write into what another version holds. That ends with the bridge.
            Err(MonitorError::OtherLayout { .. } | MonitorError::Gone { .. }) => continue,
            Err(MonitorError::Port { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|error| failed(&error))?,
        };
        let Some(mut held) = held else { continue };
        for &(port, _) in ports.iter().filter(|(_, other)| *other == bridge) {
            held.release(port).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

/// Takes back the slots of all ports that are gone; if none is left and none is expected, the bridge releases the programs.
pub(crate) fn collect(socket: &mut RouteSocket, name: IfName, is_last: bool) -> Outcome<()> {
    let Some(bridge) = crate::container::find_link(socket, name)? else { return Ok(()) };
    if !is_last {
        return release_gone(socket, bridge.index).map(drop);
    }
    // Nobody gets a slot meanwhile.
    attachments::with_bridge(name.as_str(), |record| {
        if !release_gone(socket, bridge.index)? {
            return Ok(());
        }
        HeldMonitor::let_go(socket, bridge.index, NAME).map_err(|error| failed(&error))?;
        let is_idle = tc::has_clsact(socket, bridge.index)? && has_no_filters(socket, bridge.index)?;
        if is_idle && made_clsact(record.lines(), bridge.index) {
            tc::delete_clsact(socket, bridge.index)?;
        }
        Ok(())
    })
}

/// Takes back the slots of ports that are gone; whether no port has one any more. One that is on another bridge or on none
/// carries the programs with its slot.
fn release_gone(socket: &mut RouteSocket, bridge: u32) -> Outcome<bool> {
    let mut is_unused = true;
    match HeldMonitor::open(socket, bridge, NAME) {
        Ok(None) => {}
        Ok(Some(mut held)) => {
            // Before the links: a slot is claimed for a port that is there.
            let slots = held.ports();
            let links: BTreeSet<u32> = link::list(socket)?.iter().map(|link| link.index).collect();
            for (_, port) in slots {
                if links.contains(&port) {
                    is_unused = false;
                } else {
                    held.release(port).map_err(|error| failed(&error))?;
                }
            }
        }
        Err(MonitorError::OtherLayout { .. }) => {
            is_unused = link::list_ports(socket, bridge)?.is_empty();
        }
        Err(error) => return Err(failed(&error)),
    }
    Ok(is_unused)
}

fn has_no_filters(socket: &mut RouteSocket, index: u32) -> Outcome<bool> {
    for direction in tc::Direction::BOTH {
        if !tc::list_filters(socket, index, direction)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn failed(error: &MonitorError) -> CniFailure {
    let code = match error {
        MonitorError::SlotsExhausted { .. } => FailureCode::Unavailable,
        _ if error.is_refusal() => FailureCode::Unavailable,
        _ => FailureCode::Internal,
    };
    let failure = CniFailure::new(code, error.to_string());
    match error {
        MonitorError::OtherLayout { .. } => failure.with_details(
            "detach the containers of this bridge (DEL), and let GC remove what it holds, before this version is used",
        ),
        _ => failure,
    }
}
