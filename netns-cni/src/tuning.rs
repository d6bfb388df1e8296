//! `tuning`: settings of the container's namespace and interface, after a plugin that made the interface.

use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::keys::{ConfigKeys, wrong};
use crate::request::PluginRequest;
use crate::version::SpecVersion;
use crate::{attachments, container};
use netns_core::link::{self, Link, LinkChange};
use netns_core::record::{Line, RecordFile, RecordedSysctl};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, sysctl};
use serde_json::Value;
use std::collections::BTreeMap;

const PLUGIN: &str = "tuning";
/// `IFF_PROMISC` and `IFF_ALLMULTI`.
const PROMISCUOUS: u32 = 0x100;
const ALL_MULTICAST: u32 = 0x200;

/// What the configuration asks for; `None` leaves a value as it is.
#[derive(Debug, Default)]
struct TuningConfig {
    settings: BTreeMap<String, String>,
    mac: Option<MacAddress>,
    mtu: Option<u32>,
    promiscuous: Option<bool>,
    all_multicast: Option<bool>,
}

impl TuningConfig {
    /// From the configuration, `CNI_ARGS`, the capability `mac` and `args.cni`; the last one counts.
    fn read(request: &PluginRequest) -> Outcome<Self> {
        let keys = request.keys();
        let mut config = Self::default();
        config.read_keys(request, &keys)?;
        if let Some(text) = request.arguments()?.mac.filter(|text| !text.is_empty()) {
            let refused = |error| {
                CniFailure::new(FailureCode::InvalidConfig, format!("MAC in CNI_ARGS is {text:?}: {error}"))
            };
            config.mac = Some(text.parse().map_err(refused)?);
        }
        config.mac = keys.inside("runtimeConfig")?.parse("mac")?.or(config.mac);
        config.read_keys(request, &keys.inside("args")?.inside("cni")?)?;
        Ok(config)
    }

    fn read_keys(&mut self, request: &PluginRequest, keys: &ConfigKeys<'_>) -> Outcome<()> {
        if let Some(value) = keys.get("txQLen") {
            let why = "lengths of queues are not supported";
            return Err(CniFailure::unsupported(&keys.path("txQLen"), value, why));
        }
        if let Some(settings) = keys.get("sysctl") {
            let path = keys.path("sysctl");
            for (name, value) in settings.as_object().ok_or_else(|| wrong(&path, settings, "an object"))? {
                let value =
                    value.as_str().ok_or_else(|| wrong(&format!("{path}.{name}"), value, "a text"))?;
                // With dots between its parts, or slashes where a part has dots.
                let name = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
                let name = name.replace("IFNAME", &request.invocation.interface);
                let is_clean = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
                if !name.starts_with("net/") || !is_clean {
                    let why = "only settings of the network can be a container's";
                    return Err(CniFailure::unsupported(&format!("{path}.{name}"), &value.into(), why));
                }
                self.settings.insert(name, value.to_owned());
            }
        }
        self.mac = keys.parse("mac")?.or(self.mac);
        self.mtu = keys.number("mtu")?.filter(|&mtu| mtu != 0).or(self.mtu);
        // Off is the same as absent, as with the reference.
        self.promiscuous = keys.boolean("promisc")?.then_some(true).or(self.promiscuous);
        if keys.get("allmulti").is_some() {
            self.all_multicast = Some(keys.boolean("allmulti")?);
        }
        Ok(())
    }

    const fn change(&self) -> LinkChange<'static> {
        LinkChange {
            mac: self.mac,
            mtu: self.mtu,
            promiscuous: self.promiscuous,
            all_multicast: self.all_multicast,
            ..LinkChange::NONE
        }
    }

    const fn changes_link(&self) -> bool {
        self.mac.is_some() || self.mtu.is_some() || self.promiscuous.is_some() || self.all_multicast.is_some()
    }

    /// Compares an interface with the request: what it has, and what differs.
    fn fault(&self, link: &Link) -> Option<String> {
        let has = |flag: u32| link.flags & flag != 0;
        if self.mac.is_some_and(|mac| link.mac != Some(mac)) {
            return Some("mac".to_owned());
        }
        if self.mtu.is_some_and(|mtu| link.mtu != mtu) {
            return Some(format!("mtu: it is {}", link.mtu));
        }
        if self.promiscuous.is_some_and(|on| has(PROMISCUOUS) != on) {
            return Some("promisc".to_owned());
        }
        self.all_multicast.is_some_and(|on| has(ALL_MULTICAST) != on).then(|| "allmulti".to_owned())
    }
}

pub(crate) fn add(request: &PluginRequest) -> Outcome<Value> {
    let config = TuningConfig::read(request)?;
    let mut result = request.pass_on()?;
    let (inside, name) = (container::open(request)?, container::interface(request)?);
    if config.settings.is_empty() && !config.changes_link() {
        return Ok(result);
    }
    let mut record = attachments::begin(request, PLUGIN)?;
    match change(&config, &mut record, &inside, name) {
        Ok(None) => {}
        Ok(Some(link)) => describe(&mut result, request, &link),
        Err(failure) => {
            // What was done before the failure is put back: settings, and of the interface, since the kernel applies a request
            // step by step.
            let undone = [
                restore_settings(&inside, record.lines()).err(),
                restore(&inside, name, record.lines()).err(),
                record.remove().err().map(CniFailure::from),
            ];
            attachments::tidy(&request.network);
            return Err(failure.with_others(undone.into_iter().flatten().collect()));
        }
    }
    Ok(result)
}

/// Changes what is asked for, which is on record before; the interface as it is then, if it is changed.
fn change(
    config: &TuningConfig,
    record: &mut RecordFile,
    inside: &Namespace,
    name: IfName,
) -> Outcome<Option<Link>> {
    let mut lines = Vec::new();
    for (setting, value) in &config.settings {
        // One that cannot be read acts when it is written, and has nothing to be put back.
        if let Ok(before) = sysctl::get(inside, setting) {
            let (name, written) = (setting.clone(), value.clone());
            lines.push(RecordedSysctl { name, before, written }.line());
        }
    }
    let mut socket = RouteSocket::open_in(inside)?;
    let link = if config.changes_link() { Some(link::get(&mut socket, name)?) } else { None };
    lines.extend(link.iter().flat_map(|link| link_lines(config, link)));
    record.append(&lines)?;
    for (setting, value) in &config.settings {
        sysctl::set(inside, setting, value)?;
    }
    let Some(link) = link else { return Ok(None) };
    link::set(&mut socket, link.index, &config.change())?;
    Ok(Some(link::get(&mut socket, link.index)?))
}

/// Updates the interface in the result.
fn describe(result: &mut Value, request: &PluginRequest, link: &Link) {
    for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
        let is_inside = interface["sandbox"].as_str().is_some_and(|sandbox| !sandbox.is_empty());
        if is_inside && interface["name"] == link.name.as_str() {
            interface["mac"] = link.mac.map(|mac| mac.to_string()).unwrap_or_default().into();
            if request.version >= SpecVersion::V1_1_0 {
                interface["mtu"] = link.mtu.into();
            }
        }
    }
}

/// A line for each change of the interface: what is changed, its earlier value, and the new one.
fn link_lines(config: &TuningConfig, before: &Link) -> Vec<Line> {
    let number = |on: bool| u32::from(on);
    let flag = |flag: u32| u32::from(before.flags & flag != 0);
    let mut lines = Vec::new();
    if let (Some(mac), Some(was)) = (config.mac, before.mac) {
        lines.push(Line::new("mac").with(was).with(mac));
    }
    lines.extend(config.mtu.map(|mtu| Line::new("mtu").with(before.mtu).with(mtu)));
    lines.extend(config.promiscuous.map(|on| Line::new("promisc").with(flag(PROMISCUOUS)).with(number(on))));
    lines.extend(
        config.all_multicast.map(|on| Line::new("allmulti").with(flag(ALL_MULTICAST)).with(number(on))),
    );
    lines
}

/// Restores the settings that are still as they were written. `DEL` does not: as with the reference, they stay.
fn restore_settings(inside: &Namespace, lines: &[Line]) -> Outcome<()> {
    for setting in lines.iter().filter_map(RecordedSysctl::read) {
        setting.restore(inside)?;
    }
    Ok(())
}

/// Restores what of the interface is still as it was written.
fn restore(inside: &Namespace, name: IfName, lines: &[Line]) -> Outcome<()> {
    let mut socket = RouteSocket::open_in(inside)?;
    let Some(now) = container::find_link(&mut socket, name)? else { return Ok(()) };
    let has = |flag: u32| u32::from(now.flags & flag != 0);
    let mut change = LinkChange::NONE;
    for line in lines {
        let is_as_written = |now: u32| line.parse::<u32>(1) == Some(now);
        match line.key() {
            "mac" if line.parse(1) == now.mac => change.mac = line.parse(0),
            "mtu" if is_as_written(now.mtu) => change.mtu = line.parse(0),
            "promisc" if is_as_written(has(PROMISCUOUS)) => change.promiscuous = on(line),
            "allmulti" if is_as_written(has(ALL_MULTICAST)) => change.all_multicast = on(line),
            _ => {}
        }
    }
    Ok(link::set(&mut socket, now.index, &change)?)
}

fn on(line: &Line) -> Option<bool> {
    line.parse::<u32>(0).map(|number| number != 0)
}

/// Restores the interface, if it still exists.
pub(crate) fn del(request: &PluginRequest) -> Outcome<()> {
    let inside = container::find(request)?;
    let record = attachments::find(request, PLUGIN)?;
    if let (Some(inside), Some(record)) = (inside, &record) {
        restore(&inside, container::interface(request)?, record.lines())?;
    }
    if let Some(record) = record {
        record.remove()?;
    }
    attachments::tidy(&request.network);
    Ok(())
}

pub(crate) fn check(request: &PluginRequest) -> Outcome<()> {
    let config = TuningConfig::read(request)?;
    if request.previous().is_none() {
        let why = "CHECK without the key \"prevResult\"";
        return Err(CniFailure::new(FailureCode::InvalidConfig, why));
    }
    let inside = container::open(request)?;
    let damaged = |why: String| Err(CniFailure::new(FailureCode::Damaged, why));
    for (setting, wanted) in &config.settings {
        let now = sysctl::get(&inside, setting)?;
        if !now.split_whitespace().eq(wanted.split_whitespace()) {
            return damaged(format!("{setting} is {now}, not {wanted}"));
        }
    }
    let name = container::interface(request)?;
    let Some(link) = container::find_link(&mut RouteSocket::open_in(&inside)?, name)? else {
        return damaged(format!("the container's {name} is gone"));
    };
    match config.fault(&link) {
        Some(key) => damaged(format!("the container's {name} is not as asked for by {key}")),
        None => Ok(()),
    }
}

/// Forgets records that belong to no attachment: their interfaces are gone.
pub(crate) fn collect(request: &PluginRequest) -> Outcome<()> {
    let valid = request.valid_attachments()?;
    let mut failures = Vec::new();
    for record in attachments::stale(request, PLUGIN, &valid)? {
        failures.extend(record.and_then(|record| Ok(record.remove()?)).err());
    }
    attachments::tidy(&request.network);
    CniFailure::all(failures)
}
