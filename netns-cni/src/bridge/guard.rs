//! `guard`: an eBPF program at the container's port, which judges what the container sends from its first frame on.
//!
//! The bridge holds the program between calls ([`HeldMonitor`]), so that it is loaded by the first container of a bridge alone,
//! and goes with the bridge. What gets past it is dropped by rules of the plugin's table.

use super::config::{BridgeConfig, Ipam};
use crate::attachment_result::AttachmentResult;
use crate::attachments;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{BARRED, ElementOwner, FilterTable, JUDGED, NamedSet, SetEntry};
use crate::request::PluginRequest;
use netns_core::barrier::FORWARDED;
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, Link};
use netns_core::record::{Line, RecordFile};
use netns_core::wire::Batch;
use netns_core::{ErrorKind, MacAddress, RouteSocket, tc};
use netns_ebpf::packet::{Permissions, Rules};
use netns_ebpf::{HeldMonitor, Mode, Monitor, MonitorError, MonitorOptions, Policy, Slot};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What `tc filter show` calls the filters.
const NAME: &str = "netns-cni";
/// The line of a port that has a slot, of an attachment's record: the indexes of the port and of its bridge.
const PORT: &str = "guard";
/// The line of a clsact qdisc that was made for the programs, of a bridge's record: the bridge's index.
const CLSACT: &str = "clsact";
/// A quarter more than a bridge has ports: those of ports that went without `DEL` are free after `GC`.
const SLOTS: u16 = 1279;
/// The sets of the bridges' table that a guarded port is in.
pub(super) const SETS: [NamedSet; 2] = [JUDGED, BARRED];

/// A port that is judged.
pub(super) struct GuardedPort {
    held: HeldMonitor,
    slot: Slot,
    mode: Mode,
    mac: MacAddress,
    is_dhcp: bool,
}

/// The programs, which the bridge holds from now on if it did not.
pub(super) fn hold(socket: &mut RouteSocket, bridge: &Link, mode: Mode) -> Outcome<HeldMonitor> {
    let held = match find(socket, bridge.index)? {
        Some(held) => held,
        None => load(socket, bridge)?,
    };
    if mode == Mode::Enforce && !held.can_enforce() {
        let why = "the kernel does not let the program see where checksums are written (kernel types, CAP_PERFMON, no \
                   confidentiality lockdown)";
        return Err(CniFailure::unsupported("guard", &"enforce".into(), why));
    }
    Ok(held)
}

fn find(socket: &mut RouteSocket, bridge: u32) -> Outcome<Option<HeldMonitor>> {
    HeldMonitor::open(socket, bridge, NAME).map_err(|error| failed(&error))
}

fn load(socket: &mut RouteSocket, bridge: &Link) -> Outcome<HeldMonitor> {
    let mut record = attachments::begin_bridge(bridge.name.as_str())?;
    // Another call may have loaded them before we got the lock.
    if let Some(held) = find(socket, bridge.index)? {
        return Ok(held);
    }
    let loaded = load_locked(socket, bridge, &mut record);
    if loaded.is_err() && record.lines().is_empty() {
        record.remove()?;
    }
    loaded
}

fn load_locked(socket: &mut RouteSocket, bridge: &Link, record: &mut RecordFile) -> Outcome<HeldMonitor> {
    let options = MonitorOptions { slots: SLOTS, pairs: 0, barrier: true, ..MonitorOptions::default() };
    let monitor = Monitor::load(&options).map_err(|error| failed(&error))?;
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

impl GuardedPort {
    /// Puts the programs onto a port that is down, and brings it up. Until [`Self::allow`] it may send nothing but from its MAC
    /// address, and as a DHCP client if another plugin gives addresses.
    pub(super) fn make(
        request: &PluginRequest,
        config: &BridgeConfig,
        mut held: HeldMonitor,
        socket: &mut RouteSocket,
        record: &mut RecordFile,
        (port, mode, mac): (&Link, Mode, MacAddress),
    ) -> Outcome<Self> {
        let line = Line::new(PORT).with(port.index).with(port.master.unwrap_or(0));
        record.append(&[line])?;
        let is_dhcp = matches!(&config.ipam, Ipam::Foreign(plugin) if plugin == "dhcp");
        let first = Policy { mode, ..Policy::new(rules(mac, is_dhcp)) };
        let slot = held.claim(port.index, &first).map_err(|error| failed(&error))?;
        let mut batch = Batch::new();
        held.encode_filters(&mut batch, port.index, slot, NAME);
        socket.execute(&mut batch)?;
        if mode == Mode::Enforce {
            let entries = barred(&held, port.index)?;
            FilterTable::Bridge.add(&ElementOwner::of(request), &request.network, &entries)?;
            let options = PortOptions { group_fwd_mask: Some(FORWARDED), ..PortOptions::default() };
            bridge::set_port(socket, port.index, &options)?;
        }
        link::set_up(socket, port.index)?;
        Ok(Self { held, slot, mode, mac, is_dhcp })
    }

    /// Lets the container send from these addresses.
    pub(super) fn allow(&self, result: &AttachmentResult) -> Outcome<()> {
        let policy = policy(self.mode, self.mac, self.is_dhcp, result)?;
        self.held.set_policy(self.slot, &policy);
        Ok(())
    }
}

fn rules(mac: MacAddress, is_dhcp: bool) -> Rules {
    let rules = Rules::new(mac.0);
    if is_dhcp { rules.permitting(Permissions::DHCP_CLIENT) } else { rules }
}

fn policy(mode: Mode, mac: MacAddress, is_dhcp: bool, result: &AttachmentResult) -> Outcome<Policy> {
    let mut rules = rules(mac, is_dhcp);
    for ip in &result.ips {
        let with = match ip.address.address() {
            IpAddr::V4(address) => rules.with_ipv4(address, 32),
            IpAddr::V6(address) => rules.with_ipv6(address, 128),
        };
        rules = with.map_err(|full| CniFailure::new(FailureCode::InvalidConfig, format!("guard: {full}")))?;
    }
    Ok(Policy { mode, ..Policy::new(rules) })
}

fn barred(held: &HeldMonitor, port: u32) -> Outcome<[SetEntry; 2]> {
    let stamp = held.stamp().ok_or_else(|| {
        CniFailure::new(FailureCode::Internal, "the programs that the bridge holds mark no frames")
    })?;
    Ok([SetEntry::judged(port, stamp), SetEntry::link(BARRED, port)])
}

/// The words of what is missing of it.
pub(super) fn missing(
    request: &PluginRequest,
    config: &BridgeConfig,
    socket: &mut RouteSocket,
    (bridge, port): (u32, &Link),
    mac: Option<MacAddress>,
    result: &AttachmentResult,
) -> Outcome<Option<String>> {
    let Some(mode) = config.guard else { return Ok(None) };
    let Some(held) = find(socket, bridge)? else {
        return Ok(Some(format!("the program that {} holds", config.bridge)));
    };
    let there = held.is_on(socket, port.index).map_err(|error| failed(&error))?;
    let Some(slot) = held.slot(port.index).filter(|_| there) else {
        return Ok(Some(format!("the program at the port {}", port.name)));
    };
    let is_dhcp = matches!(&config.ipam, Ipam::Foreign(plugin) if plugin == "dhcp");
    if let Some(mac) = mac
        && held.policy(slot) != Some(policy(mode, mac, is_dhcp, result)?)
    {
        return Ok(Some(format!("the policy of the port {}", port.name)));
    }
    if mode == Mode::Enforce {
        let entries = barred(&held, port.index)?;
        let words = FilterTable::Bridge.missing(&ElementOwner::of(request), &entries)?;
        return Ok(words.map(|words| format!("the barrier of {words}")));
    }
    Ok(None)
}

/// The indexes of a port that has a slot, and of its bridge.
pub(super) fn read(lines: &[Line]) -> Option<(u32, u32)> {
    let line = lines.iter().find(|line| line.key() == PORT)?;
    Some((line.parse(0)?, line.parse(1)?))
}

/// Takes the slots of ports back that are gone.
pub(super) fn release(socket: &mut RouteSocket, ports: &[(u32, u32)]) -> Outcome<()> {
    let bridges: BTreeSet<u32> = ports.iter().map(|&(_, bridge)| bridge).collect();
    for bridge in bridges {
        let held = match HeldMonitor::open(socket, bridge, NAME) {
            // What another version holds, this one cannot write into. It goes with the bridge.
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

/// Takes the slots of all ports back that are not on the bridge any more; if that is all and nobody is to come, the bridge
/// lets the programs go.
pub(super) fn collect(socket: &mut RouteSocket, name: netns_core::IfName, is_last: bool) -> Outcome<()> {
    let Some(bridge) = crate::container::find_link(socket, name)? else { return Ok(()) };
    let mut is_unused = true;
    match HeldMonitor::open(socket, bridge.index, NAME) {
        Ok(None) => {}
        Ok(Some(mut held)) => {
            // Before the ports: a slot is claimed for a port that is there.
            let slots = held.ports();
            let ports: BTreeSet<u32> =
                link::list_ports(socket, bridge.index)?.iter().map(|port| port.index).collect();
            for (_, port) in slots {
                if ports.contains(&port) {
                    is_unused = false;
                } else {
                    held.release(port).map_err(|error| failed(&error))?;
                }
            }
        }
        Err(MonitorError::OtherLayout { .. }) => {
            is_unused = link::list_ports(socket, bridge.index)?.is_empty();
        }
        Err(error) => return Err(failed(&error)),
    }
    if !(is_last && is_unused) {
        return Ok(());
    }
    let record = attachments::find_bridge(name.as_str())?;
    HeldMonitor::let_go(socket, bridge.index, NAME).map_err(|error| failed(&error))?;
    let Some(record) = record else { return Ok(()) };
    let is_ours = |line: &Line| line.key() == CLSACT && line.parse(0) == Some(bridge.index);
    let is_idle = tc::has_clsact(socket, bridge.index)? && has_no_filters(socket, bridge.index)?;
    if is_idle && record.lines().iter().any(is_ours) {
        tc::delete_clsact(socket, bridge.index)?;
    }
    Ok(())
}

fn has_no_filters(socket: &mut RouteSocket, index: u32) -> Outcome<bool> {
    for direction in tc::Direction::BOTH {
        if !tc::list_filters(socket, index, direction)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn failed(error: &MonitorError) -> CniFailure {
    let code = match error {
        MonitorError::SlotsExhausted { .. } => FailureCode::Unavailable,
        _ if error.is_refusal() => FailureCode::Unavailable,
        _ => FailureCode::Internal,
    };
    let failure = CniFailure::new(code, format!("guard: {error}"));
    match error {
        MonitorError::OtherLayout { .. } => failure.with_details(
            "detach the containers of this bridge (DEL), and let GC remove what it holds, before this version is used",
        ),
        _ => failure,
    }
}
