//! `cargo xtask observe`: what passes over a bridge that somebody else made.

mod cleanup;
mod judge;

use crate::cli::ObserveArguments;
use crate::counting::Counting;
use crate::failure::Failure;
use crate::messages::say;
use crate::output::{json_line, stdout};
use crate::rights;
use crate::signals::Stop;
use crate::watch::metrics::Metrics;
use crate::watch::{self, Source, Teller};
use netns_core::bridge::MAX_PORTS;
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::{
    JournalFile, Judging, Mode, Monitor, MonitorOptions, Observer, Place, PortChange, PortInfo, Reading,
    Violation,
};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn observe(arguments: &ObserveArguments) -> Result<ExitCode, Failure> {
    let bridge = match arguments.bridge {
        Some(bridge) if !arguments.cleanup => bridge,
        bridge => {
            rights::require("observe --cleanup", &[rights::NET_ADMIN, rights::SYS_ADMIN])?;
            return cleanup::cleanup(bridge);
        }
    };
    let host = match &arguments.netns {
        Some(name) => Namespace::open(name)?,
        None => Namespace::current()?,
    };
    let policies = judge::policies(arguments)?;
    // Where this process is already takes no capability.
    let socket = if arguments.netns.is_some() { RouteSocket::open_in(&host) } else { RouteSocket::open() };
    check_bridge(&mut socket?, bridge)?;
    let stop = Stop::on_signals()?;
    let metrics = arguments.watch.metrics(bridge.as_str())?;
    // A bridge does not take more ports than that.
    let slots = u16::try_from(MAX_PORTS).unwrap_or(u16::MAX);
    let options = MonitorOptions { slots, ..MonitorOptions::default() };
    // If there is none to try the program in, each port will say so.
    let mut probe = Namespace::anonymous().and_then(|namespace| RouteSocket::open_in(&namespace)).ok();
    let counting = Counting::decide(&options, needs_program(arguments), probe.as_mut())?;
    drop(probe);
    let teller = Teller::new(arguments.watch.pcap.as_deref())?;
    let watching = Watching { arguments, stop, metrics };
    match &counting {
        Counting::Program(monitor) => {
            watching.with_program(monitor, &host, bridge, judge::judging(policies, monitor)?, teller)?;
        }
        Counting::Kernel { why } => {
            say(format_args!("{}: {why}", Counting::INSTEAD));
            let observer = Observer::start_without_program(&host, bridge)?;
            watching.watch(&mut Bridge::new(bridge, observer, None, arguments, teller))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The option, of those that were given, that cannot be served without the eBPF program.
fn needs_program(arguments: &ObserveArguments) -> Option<&'static str> {
    let options = [
        (arguments.enforce, "--enforce"),
        (arguments.policy.is_some(), "--policy"),
        (arguments.watch.pcap.is_some(), "--pcap"),
    ];
    options.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
}
/// Whether there is such a bridge, before anything is loaded.
fn check_bridge(socket: &mut RouteSocket, name: IfName) -> Result<(), Failure> {
    match link::get(socket, name) {
        Ok(found) if found.kind.as_deref() == Some("bridge") => Ok(()),
        Ok(found) => {
            let kind = found.kind.as_deref().unwrap_or("a device");
            Err(Failure::usage(format!("{name} is no bridge; it is {kind}")))
        }
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}

/// How a bridge is watched.
struct Watching<'a> {
    arguments: &'a ObserveArguments,
    stop: Stop,
    metrics: Option<Metrics>,
}

impl Watching<'_> {
    /// Watches a bridge with the program on its ports; then they are as they were.
    fn with_program(
        &self,
        monitor: &Monitor,
        host: &Namespace,
        bridge: IfName,
        judging: Judging<'_>,
        teller: Teller,
    ) -> Result<(), Failure> {
        let place = Place {
            namespace: host.id()?,
            bridge,
            programs: monitor.program_ids(),
            name: self.arguments.netns.clone(),
        };
        let journal = JournalFile::begin(Path::new(JournalFile::FOLDER), host, &place)?;
        let observer = match Observer::start_judging(monitor, host, bridge, &journal, judging) {
            Ok(observer) => observer,
            Err(error) => {
                // What could not be undone is still there, and the journal with it.
                journal.clean(host)?;
                journal.end()?;
                return Err(error.into());
            }
        };
        let mut bridge = Bridge::new(bridge, observer, Some(monitor), self.arguments, teller);
        let outcome = self.watch(&mut bridge);
        // On every path but a panic, on which `drop` detaches and the journal says what may be left.
        bridge.observer.stop()?;
        journal.end()?;
        outcome
    }

    fn watch(&self, bridge: &mut Bridge<'_>) -> Result<(), Failure> {
        let mut out = stdout();
        if self.arguments.watch.json {
            let ports: Vec<Value> = bridge.observer.ports().map(|port| port.name.as_str().into()).collect();
            json_line(&mut out, &json!({ "type": "observe", "bridge": bridge.name, "ports": ports }))?;
        } else {
            let count = bridge.observer.ports().count();
            writeln!(out, "{}: {count} {}", bridge.name, if count == 1 { "port" } else { "ports" })?;
        }
        watch::watch(bridge, &self.arguments.watch, &self.stop, &mut out, self.metrics.as_ref())
    }
}

/// A bridge that is observed.
struct Bridge<'m> {
    name: String,
    observer: Observer<'m>,
    /// `None` where the kernel alone counts.
    monitor: Option<&'m Monitor>,
    /// Whether a file says what ports may send, and not what was learnt of them.
    is_given: bool,
    teller: Teller,
    /// What was told of ports that may be gone by now.
    told: Vec<Violation>,
}

impl<'m> Bridge<'m> {
    fn new(
        name: IfName,
        observer: Observer<'m>,
        monitor: Option<&'m Monitor>,
        arguments: &ObserveArguments,
        teller: Teller,
    ) -> Self {
        let is_given = arguments.policy.is_some();
        Self { name: name.to_string(), observer, monitor, is_given, teller, told: Vec::new() }
    }

    /// Takes what was told, as long as its ports are known.
    fn hear(&mut self) -> Result<(), Failure> {
        let Some(monitor) = self.monitor else { return Ok(()) };
        let observer = &self.observer;
        let told = self.teller.tell(monitor, |slot| observer.ports().find(|port| port.slot == slot))?;
        self.told.extend(told);
        Ok(())
    }
}

impl Source for Bridge<'_> {
    fn network(&self) -> &str {
        &self.name
    }

    fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, Failure> {
        self.hear()?;
        Ok(self.observer.changes(limit)?)
    }

    fn read(&mut self) -> Result<Reading, Failure> {
        if let Some(monitor) = self.monitor {
            monitor.flush_log();
        }
        Ok(self.observer.read()?)
    }

    fn violations(&mut self) -> Result<Vec<Violation>, Failure> {
        self.hear()?;
        Ok(std::mem::take(&mut self.told))
    }

    fn policy(&mut self, port: &PortInfo) -> Option<(&'static str, Mode)> {
        let rules = if self.is_given { "what the policy file says" } else { "what was learnt of it" };
        Some((rules, self.monitor?.mode(port.slot)?))
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
