//! `netns observe`: what passes over a bridge that somebody else made.

mod cleanup;
mod judge;
mod labs;
mod shown;

use crate::cli::{ObserveArguments, Unmatched};
use crate::counting::{self, Counting};
use crate::failure::Failure;
use crate::messages::say;
use crate::namespace::NamespaceWord;
use crate::notify;
use crate::output::{json_line, stream};
use crate::require;
use crate::signals::Stop;
use crate::watch::metrics::Metrics;
use crate::watch::{self, Losses, Reporter, Source};
use labs::LabPrograms;
use netns_core::bridge::MAX_PORTS;
use netns_core::link::{self, Link};
use netns_core::{IfName, Namespace, RouteSocket};
use netns_ebpf::{
    HeldMonitor, JournalFile, JournalPlace, Mode, Monitor, MonitorOptions, Observer, PortChange,
    PortIdentity, Predecessors, Reading, Violation, scopes_of,
};
use netns_topology::Policies;
use serde_json::{Value, json};
use shown::ShownPorts;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// For a kernel on which a port cannot be closed before it is known.
const OPEN_AT_FIRST: &str = "rules of this kernel cannot ask for a frame's bridge (CONFIG_NFT_BRIDGE_META): what a port sends \
    that comes later is judged once the port is attached to, some milliseconds after it came";

pub(crate) fn observe(arguments: &ObserveArguments) -> Result<ExitCode, Failure> {
    let bridge = match &arguments.bridge {
        Some(bridge) if !arguments.cleanup => bridge,
        bridge => {
            require::rights("observe --cleanup", &[require::NET_ADMIN, require::SYS_ADMIN])?;
            return cleanup::cleanup(bridge.as_deref(), arguments.netns.as_deref());
        }
    };
    let (word, host) = host(arguments.netns.as_deref())?;
    let policies = judge::policies(arguments)?;
    // The present namespace takes no capability.
    let socket = if arguments.netns.is_some() { RouteSocket::open_in(&host) } else { RouteSocket::open() };
    // From here on it is one bridge, whichever of its names was given.
    let mut socket = socket?;
    let found = find_bridge(&mut socket, bridge)?;
    let bridge = found.name;
    let stop = Stop::on_signals()?;
    let metrics = arguments.watch.metrics(bridge.as_str())?;
    // A bridge takes no more ports than that.
    let slots = u16::try_from(MAX_PORTS).unwrap_or(u16::MAX);
    // If there is none to try the program in, each port reports that.
    let mut probe = Namespace::anonymous().and_then(|namespace| RouteSocket::open_in(&namespace)).ok();
    let enforces = judge::enforces(policies.as_ref(), judge::unmatched(arguments));
    let labs = LabPrograms::find(&mut socket, &found)?;
    if enforces {
        refuse_held(&mut socket, &found, labs.enforcing)?;
    }
    let barrier = enforces && counting::can_bar(probe.as_ref());
    let predecessors = if barrier {
        JournalFile::predecessors(Path::new(JournalFile::FOLDER), &host, &found)
    } else {
        Predecessors::default()
    };
    let limits = judge::limits(policies.as_ref());
    let (egress, scopes) = (judge::egress(policies.as_ref()), arguments.watch.scopes);
    let verdicts = arguments.watch.verdict_room();
    let options = MonitorOptions {
        slots,
        limits,
        egress,
        scopes,
        verdicts,
        barrier,
        predecessors,
        beside: labs.programs,
        ..MonitorOptions::default()
    };
    let counting = Counting::decide(&options, needs_program(arguments), probe.as_mut())?;
    drop(probe);
    let reporter = Reporter::new(arguments.watch.pcap.as_deref())?;
    let name = word.and_then(|word| word.name().map(str::to_owned));
    let watching = Watching { arguments, stop, metrics, name };
    match &counting {
        Counting::Program(monitor) => {
            watching.with_program(monitor, &host, &found, policies.as_ref(), reporter)?;
        }
        Counting::Kernel { why } => {
            say(format_args!("{}: {why}", Counting::INSTEAD));
            let observer = Observer::start_without_program(&host, bridge)?;
            watching.watch(&mut ObservedBridge::new(bridge, observer, None, arguments, reporter))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The first option given that needs the eBPF program.
fn needs_program(arguments: &ObserveArguments) -> Option<&'static str> {
    let options = [
        (arguments.enforce, "--enforce"),
        (arguments.policy.is_some(), "--policy"),
        (arguments.watch.pcap.is_some(), "--pcap"),
        (arguments.watch.scopes, "--scopes"),
        (arguments.watch.verdicts.is_some(), "--verdicts"),
    ];
    options.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
}

/// The namespace that was named, or the present one.
fn host(netns: Option<&str>) -> Result<(Option<NamespaceWord>, Namespace), Failure> {
    Ok(match netns {
        Some(word) => {
            let (word, host) = NamespaceWord::open(word)?;
            (Some(word), host)
        }
        None => (None, Namespace::current()?),
    })
}

/// The bridge of this name or alternative name, before anything is loaded.
fn find_bridge(socket: &mut RouteSocket, name: &str) -> Result<Link, Failure> {
    let found = link::get_named(socket, name)?;
    if found.kind.as_deref() == Some("bridge") {
        return Ok(found);
    }
    let kind = found.kind.as_deref().unwrap_or("device");
    Err(Failure::usage(format!("{name} is not a bridge; it is a {kind}")))
}

/// Two programs that enforce would mark the same frames, and each one's barrier would drop what the other has marked.
fn refuse_held(socket: &mut RouteSocket, bridge: &Link, labs: Vec<String>) -> Result<(), Failure> {
    let mut holders = labs;
    holders.extend(HeldMonitor::holders(socket, bridge.index)?);
    if holders.is_empty() {
        return Ok(());
    }
    let (bridge, holders) = (bridge.name, holders.join(", "));
    Err(Failure::usage(format!(
        "{bridge} is guarded by {holders}, which enforces by itself: it can be observed alone"
    )))
}

/// How a bridge is watched.
struct Watching<'a> {
    arguments: &'a ObserveArguments,
    stop: Stop,
    metrics: Option<Metrics>,
    /// The namespace's name, if it was given by name.
    name: Option<String>,
}

impl Watching<'_> {
    /// Watches a bridge with the program on its ports, then restores the ports.
    fn with_program(
        &self,
        monitor: &Monitor,
        host: &Namespace,
        bridge: &Link,
        policies: Option<&Policies>,
        reporter: Reporter,
    ) -> Result<(), Failure> {
        if self.arguments.watch.scopes {
            for (net, scope) in scopes_of(&mut RouteSocket::open_in(host)?, bridge.index)? {
                monitor.set_scope(net, scope)?;
            }
        }
        let place = JournalPlace::of(host, bridge, monitor, self.name.clone())?;
        let folder = Path::new(JournalFile::FOLDER);
        if let Err(error) = JournalFile::tidy(folder, host) {
            // It belongs to another bridge.
            say(format_args!("warning: {error}"));
        }
        let unmatched = judge::unmatched(self.arguments);
        if unmatched == Unmatched::Refuse
            && JournalFile::is_there(folder, &place)
            && let Some(policies) = policies
        {
            judge::foresee(policies, bridge, host)?;
        }
        let ends_enforcement = !judge::enforces(policies, unmatched)
            && JournalFile::predecessors(folder, host, bridge).stamp.is_some();
        let journal = JournalFile::take_over(folder, host, &place, monitor)?;
        if ends_enforcement {
            say(format_args!(
                "warning: an observer that was killed enforced a policy on {}; this one does not, so nothing is enforced there \
                 any more",
                bridge.name
            ));
        }
        let judging = judge::judging(policies, unmatched, monitor, host, bridge.index)?;
        let observer = match Observer::start_judging(monitor, host, bridge.name, &journal, judging) {
            Ok(observer) => observer,
            Err(error) => {
                // What could not be undone is still there, and still in the journal.
                journal.clean(host)?;
                journal.end()?;
                return Err(error.into());
            }
        };
        if monitor.stamp().is_some() && !observer.closes_new_ports() {
            say(format_args!("warning: {OPEN_AT_FIRST}"));
        }
        let mut bridge = ObservedBridge::new(bridge.name, observer, Some(monitor), self.arguments, reporter);
        let matches = |policies| judge::check(policies, unmatched, &bridge.observer, monitor, host);
        let outcome = policies.map_or(Ok(()), matches).and_then(|()| self.watch(&mut bridge));
        bridge.lost = bridge.observer.lost_enforcement();
        // On every path except a panic: then `drop` detaches, and the journal names what may be left.
        bridge.observer.stop()?;
        journal.end()?;
        outcome?;
        match &bridge.unenforced[..] {
            [] if bridge.lost > 0 => Err(Failure::enforcement_lost(bridge.lost)),
            [] => Ok(()),
            ports => {
                let ports = ports.join(", ");
                Err(Failure::Kernel(format!("what the policy says was not enforced on {ports}")))
            }
        }
    }

    fn watch(&self, bridge: &mut ObservedBridge<'_>) -> Result<(), Failure> {
        let mut out = stream();
        if self.arguments.watch.json {
            let ports: Vec<Value> =
                bridge.observer.ports().map(|port| port.name.to_string().into()).collect();
            json_line(&mut out, &json!({ "type": "observe", "bridge": bridge.name, "ports": ports }))?;
        } else {
            let count = bridge.observer.ports().count();
            writeln!(out, "{}: {count} {}", bridge.name, if count == 1 { "port" } else { "ports" })?;
        }
        notify::ready();
        watch::watch(bridge, &self.arguments.watch, &self.stop, &mut out, self.metrics.as_ref())
    }
}

/// A bridge that is observed.
struct ObservedBridge<'m> {
    name: String,
    observer: Observer<'m>,
    shown: ShownPorts,
    /// `None` where the kernel alone counts.
    monitor: Option<&'m Monitor>,
    /// Whether a file says what ports may send, rather than what was learnt of them.
    is_given: bool,
    reporter: Reporter,
    /// Violations, of ports that may be gone by now.
    violations: Vec<Violation>,
    /// Ports on which a policy should have been enforced and was not.
    unenforced: Vec<String>,
    /// How often what enforces was found missing.
    lost: u64,
}

impl<'m> ObservedBridge<'m> {
    fn new(
        name: IfName,
        observer: Observer<'m>,
        monitor: Option<&'m Monitor>,
        arguments: &ObserveArguments,
        reporter: Reporter,
    ) -> Self {
        let is_given = arguments.policy.is_some();
        let name = name.to_string();
        let (violations, unenforced) = (Vec::new(), Vec::new());
        let mut shown = ShownPorts::new();
        shown.search(observer.ports());
        Self { name, observer, shown, monitor, is_given, reporter, violations, unenforced, lost: 0 }
    }

    /// Takes the program's reports while their ports are known.
    fn hear(&mut self) -> Result<(), Failure> {
        let Some(monitor) = self.monitor else { return Ok(()) };
        let (observer, shown) = (&self.observer, &self.shown);
        let port = |slot| observer.ports().find(|port| port.slot == slot).map(|port| shown.of(port));
        let violations = self.reporter.violations(monitor, port)?;
        self.violations.extend(violations);
        Ok(())
    }
}

impl Source for ObservedBridge<'_> {
    fn network(&self) -> &str {
        &self.name
    }

    fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, Failure> {
        self.hear()?;
        let mut changes = self.observer.changes(limit)?;
        if self.name != self.observer.bridge().name.as_str() {
            self.name = self.observer.bridge().name.to_string();
        }
        for change in &mut changes {
            self.shown.changed(change);
            match change {
                PortChange::Refused { name, enforced: true, .. } => self.unenforced.push(name.to_string()),
                // Its policy may be an enforced one.
                PortChange::Hidden { what, .. } if self.is_given => self.unenforced.push(what.clone()),
                _ => {}
            }
        }
        changes.extend(self.shown.search(self.observer.ports()).into_iter().map(PortChange::Known));
        Ok(changes)
    }

    fn read(&mut self) -> Result<Reading, Failure> {
        if let Some(monitor) = self.monitor {
            monitor.flush_log();
        }
        let mut reading = self.observer.read()?;
        self.shown.rename(&mut reading);
        Ok(reading)
    }

    fn violations(&mut self) -> Result<Vec<Violation>, Failure> {
        self.hear()?;
        Ok(std::mem::take(&mut self.violations))
    }

    fn policy(&mut self, port: &PortIdentity) -> Option<(&'static str, Mode)> {
        let policy = self.monitor?.policy(port.slot)?;
        let rules = match (policy.rules.is_closed(), self.is_given) {
            (true, _) => "nothing, as no entry of the policy file is its",
            (false, true) => "what the policy file says",
            (false, false) => "what was learnt of it",
        };
        Some((rules, policy.mode))
    }

    fn addresses(&mut self, port: &PortIdentity) -> Vec<String> {
        // They are only shown; a kernel that does not list them now may do so later.
        let stations = self.observer.stations(port.ifindex).unwrap_or_default();
        let line = |station: netns_ebpf::Station| {
            let addresses: Vec<String> = station.addresses.iter().map(ToString::to_string).collect();
            format!("{} {}", station.mac, addresses.join(" ")).trim_end().to_owned()
        };
        stations.into_iter().map(line).collect()
    }

    fn losses(&self) -> Losses {
        let observer = &self.observer;
        Losses { events: observer.lost_events(), enforcement: observer.lost_enforcement() }
    }
}
