//! `cargo xtask observe`: what passes over a bridge that somebody else made.

mod cleanup;
mod judge;

use crate::cli::ObserveArguments;
use crate::failure::Failure;
use crate::messages::say;
use crate::output::{json_line, stdout};
use crate::run::preflight;
use crate::signals::Stop;
use crate::watch::metrics::Metrics;
use crate::watch::{self, Source, Teller};
use netns_core::link::{self, Link};
use netns_core::{Namespace, RouteSocket};
use netns_ebpf::{
    JournalFile, Mode, Monitor, MonitorOptions, Observer, Place, PortChange, PortInfo, Reading, Violation,
};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn observe(arguments: &ObserveArguments) -> Result<ExitCode, Failure> {
    preflight::require_root("observe")?;
    let bridge = match &arguments.bridge {
        Some(bridge) if !arguments.cleanup => bridge,
        bridge => return cleanup::cleanup(bridge.as_deref(), arguments.netns.as_deref()),
    };
    let host = host(arguments.netns.as_deref())?;
    let policies = judge::policies(arguments)?;
    // By whichever name it was given, it is one bridge from here on.
    let found = find_bridge(&host, bridge)?;
    let bridge = found.name;
    let stop = Stop::on_signals()?;
    let metrics = arguments.watch.metrics(bridge.as_str())?;
    let teller = Teller::new(arguments.watch.pcap.as_deref())?;
    let monitor = Monitor::load(&MonitorOptions::default())?;
    let place = Place::of(&host, &found, &monitor, arguments.netns.clone())?;
    let journal = JournalFile::begin(Path::new(JournalFile::FOLDER), &host, &place)?;
    let named: Vec<String> = policies.iter().flat_map(|policies| policies.ports.keys()).cloned().collect();
    for name in judge::missing(&named, &host, &found)? {
        say(format_args!("warning: [port.{name}] of the policy file: {bridge} has no such port now"));
    }
    let judging = judge::judging(policies, &monitor, &host)?;
    let observer = match Observer::start_judging(&monitor, &host, bridge, &journal, judging) {
        Ok(observer) => observer,
        Err(error) => {
            // What could not be undone is still there, and the journal with it.
            journal.clean(&host)?;
            journal.end()?;
            return Err(error.into());
        }
    };
    let is_given = arguments.policy.is_some();
    let name = bridge.to_string();
    let mut bridge = Bridge {
        name,
        observer,
        monitor: &monitor,
        is_given,
        teller,
        told: Vec::new(),
        unenforced: Vec::new(),
    };
    let outcome = bridge.watch(arguments, &stop, metrics.as_ref());
    // On every path but a panic, on which `drop` detaches and the journal says what may be left.
    bridge.observer.stop()?;
    journal.end()?;
    outcome?;
    match &bridge.unenforced[..] {
        [] => Ok(ExitCode::SUCCESS),
        ports => {
            Err(Failure::Kernel(format!("what the policy says was not enforced on {}", ports.join(", "))))
        }
    }
}

/// The namespace of this name, or the present one.
fn host(netns: Option<&str>) -> Result<Namespace, Failure> {
    Ok(match netns {
        Some(name) => Namespace::open(name)?,
        None => Namespace::current()?,
    })
}

/// The bridge of this name or alternative name, before anything is loaded.
fn find_bridge(host: &Namespace, name: &str) -> Result<Link, Failure> {
    match link::get_named(&mut RouteSocket::open_in(host)?, name) {
        Ok(found) if found.kind.as_deref() == Some("bridge") => Ok(found),
        Ok(found) => {
            let kind = found.kind.as_deref().unwrap_or("a device");
            Err(Failure::usage(format!("{name} is no bridge; it is {kind}")))
        }
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}

/// A bridge that is observed.
struct Bridge<'m> {
    name: String,
    observer: Observer<'m>,
    monitor: &'m Monitor,
    /// Whether a file says what ports may send, and not what was learnt of them.
    is_given: bool,
    teller: Teller,
    /// What was told of ports that may be gone by now.
    told: Vec<Violation>,
    /// Ports on which something was to be enforced and was not.
    unenforced: Vec<String>,
}

impl Bridge<'_> {
    /// Takes what was told, as long as its ports are known.
    fn hear(&mut self) -> Result<(), Failure> {
        let observer = &self.observer;
        let told = self.teller.tell(self.monitor, |slot| observer.ports().find(|port| port.slot == slot))?;
        self.told.extend(told);
        Ok(())
    }

    fn watch(
        &mut self,
        arguments: &ObserveArguments,
        stop: &Stop,
        metrics: Option<&Metrics>,
    ) -> Result<(), Failure> {
        let mut out = stdout();
        if arguments.watch.json {
            let ports: Vec<Value> = self.observer.ports().map(|port| port.name.as_str().into()).collect();
            json_line(&mut out, &json!({ "type": "observe", "bridge": self.name, "ports": ports }))?;
        } else {
            let count = self.observer.ports().count();
            writeln!(out, "{}: {count} {}", self.name, if count == 1 { "port" } else { "ports" })?;
        }
        watch::watch(self, &arguments.watch, stop, &mut out, metrics)
    }
}

impl Source for Bridge<'_> {
    fn network(&self) -> &str {
        &self.name
    }

    fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, Failure> {
        self.hear()?;
        let changes = self.observer.changes(limit)?;
        if self.name != self.observer.bridge().name.as_str() {
            self.name = self.observer.bridge().name.to_string();
        }
        for change in &changes {
            if let PortChange::Refused { name, enforced: true, .. } = change {
                self.unenforced.push(name.to_string());
            }
        }
        Ok(changes)
    }

    fn read(&mut self) -> Result<Reading, Failure> {
        self.monitor.flush_log();
        Ok(self.observer.read())
    }

    fn violations(&mut self) -> Result<Vec<Violation>, Failure> {
        self.hear()?;
        Ok(std::mem::take(&mut self.told))
    }

    fn policy(&mut self, port: &PortInfo) -> Option<(&'static str, Mode)> {
        let rules = if self.is_given { "what the policy file says" } else { "what was learnt of it" };
        Some((rules, self.monitor.mode(port.slot)?))
    }

    fn addresses(&mut self, port: &PortInfo) -> Vec<String> {
        // They are for show; a kernel that does not tell them now may later.
        let stations = self.observer.stations(port.ifindex).unwrap_or_default();
        let line = |station: netns_ebpf::Station| {
            let addresses: Vec<String> = station.addresses.iter().map(ToString::to_string).collect();
            format!("{} {}", station.mac, addresses.join(" ")).trim_end().to_owned()
        };
        stations.into_iter().map(line).collect()
    }

    fn lost_events(&self) -> u64 {
        self.observer.lost_events()
    }
}
