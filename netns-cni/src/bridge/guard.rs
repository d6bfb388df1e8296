//! `guard`: an eBPF program at the container's port, which judges what the container sends from its first frame on.
//!
//! Rules in the plugin's table drop what gets past it.

use super::config::{BridgeConfig, Ipam};
use super::egress::NetworkEgress;
use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{BARRED, ElementOwner, FilterTable, JUDGED, NamedSet, SetEntry, note_elements};
use crate::held::{self, ProgramNeeds};
use crate::request::PluginRequest;
use netns_core::barrier::FORWARDED;
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, Link};
use netns_core::record::RecordFile;
use netns_core::wire::Batch;
use netns_core::{MacAddress, RouteSocket};
use netns_ebpf::packet::{Permissions, Rules};
use netns_ebpf::{HeldMonitor, Mode, Policy, Slot};
use std::net::IpAddr;

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

/// The programs, which the bridge, whose record this is, holds from now on if it did not.
pub(super) fn hold(
    socket: &mut RouteSocket,
    bridge: &Link,
    record: &mut RecordFile,
    mode: Mode,
    config: &BridgeConfig,
) -> Outcome<HeldMonitor> {
    let needs = ProgramNeeds { enforces: mode == Mode::Enforce, egress: config.egress.is_some() };
    held::hold(socket, bridge, record, needs)
}

impl GuardedPort {
    /// Attaches the programs to a port that is down, and brings it up. Until [`Self::allow`] it may send only from its MAC
    /// address, and as a DHCP client if another plugin assigns addresses.
    pub(super) fn make(
        request: &PluginRequest,
        config: &BridgeConfig,
        mut monitor: HeldMonitor,
        socket: &mut RouteSocket,
        record: &mut RecordFile,
        (port, mode, mac): (&Link, Mode, MacAddress),
    ) -> Outcome<Self> {
        record.append(&[held::line(port.index, port.master.unwrap_or(0))])?;
        let is_dhcp = matches!(&config.ipam, Ipam::Foreign(plugin) if plugin == "dhcp");
        let first = Policy { mode, ..Policy::new(rules(mac, is_dhcp)) };
        let slot = monitor.claim(port.index, Some(&first)).map_err(|error| held::failed(&error))?;
        if !config.limits.is_none() {
            monitor.set_limits(slot, &config.limits).map_err(|error| held::failed(&error))?;
        }
        let mut batch = Batch::new();
        monitor.encode_filters(&mut batch, port.index, slot, held::NAME);
        socket.execute(&mut batch)?;
        if mode == Mode::Enforce {
            let entries = barred(&monitor, port.index)?;
            note_elements(record, FilterTable::Bridge, &entries)?;
            FilterTable::Bridge.add(&ElementOwner::of(request), &request.network, &entries)?;
            let options = PortOptions { group_fwd_mask: Some(FORWARDED), ..PortOptions::default() };
            bridge::set_port(socket, port.index, &options)?;
        }
        link::set_up(socket, port.index)?;
        Ok(Self { held: monitor, slot, mode, mac, is_dhcp })
    }

    /// Lets the container send from these addresses, and where its network's policy lets it.
    pub(super) fn allow(
        mut self,
        request: &PluginRequest,
        config: &BridgeConfig,
        egress: Option<&NetworkEgress>,
        result: &AttachmentResult,
    ) -> Outcome<()> {
        if let Some(egress) = egress {
            let places = (config.bridge.as_str(), &*request.network);
            egress.give(&mut self.held, places, (self.slot, self.mode), result)?;
        }
        let policy = policy(self.mode, self.mac, self.is_dhcp, result)?;
        self.held.set_policy(self.slot, &policy).map_err(|error| held::failed(&error))
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

/// The description of what is missing.
pub(super) fn missing(
    request: &PluginRequest,
    config: &BridgeConfig,
    socket: &mut RouteSocket,
    (bridge, port): (u32, &Link),
    mac: Option<MacAddress>,
    result: &AttachmentResult,
) -> Outcome<Option<String>> {
    let Some(mode) = config.guard else { return Ok(None) };
    let Some(monitor) = held::find(socket, bridge)? else {
        return Ok(Some(format!("the program that {} holds", config.bridge)));
    };
    let there = monitor.is_on(socket, port.index).map_err(|error| held::failed(&error))?;
    let Some(slot) = monitor.slot(port.index).filter(|_| there) else {
        return Ok(Some(format!("the program at the port {}", port.name)));
    };
    let is_dhcp = matches!(&config.ipam, Ipam::Foreign(plugin) if plugin == "dhcp");
    if let Some(mac) = mac
        && monitor.policy(slot) != Some(policy(mode, mac, is_dhcp, result)?)
    {
        return Ok(Some(format!("the policy of the port {}", port.name)));
    }
    if !config.limits.is_none() {
        let now = monitor.limits(slot).map_err(|error| held::failed(&error))?;
        if now != config.limits.chosen() {
            return Ok(Some(format!("the limit of the port {}, which has {now},", port.name)));
        }
    }
    if let Some(egress) = NetworkEgress::read(config)?
        && !egress.is_given(&monitor, slot, mode, result)?
    {
        return Ok(Some(format!("the egress policy of the port {}", port.name)));
    }
    if mode == Mode::Enforce {
        let entries = barred(&monitor, port.index)?;
        let words = FilterTable::Bridge.missing(&ElementOwner::of(request), &entries)?;
        return Ok(words.map(|words| format!("the barrier of {words}")));
    }
    Ok(None)
}
