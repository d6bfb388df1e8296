//! `netns run`.

mod attack;
mod counters;
mod interference;
mod lab;
mod leftovers;
mod obstacle;
mod outcomes;
mod pings;
mod plan;
pub(crate) mod preflight;
mod report;
mod source;
mod steps;
mod traffic;
mod trunk;
mod ways;

use crate::cli::{RunArguments, RunShape};
use crate::counting::{self, Counting};
use crate::failure::{self, Failure};
use crate::messages::say;
use crate::output::stream;
use crate::signals::Stop;
use crate::watch::{self, Reporter, metrics::Metrics};
use counters::verify;
use lab::RunLab;
use leftovers::Before;
use netns_core::{IpNet, Namespace, RouteSocket};
use netns_ebpf::packet::TrafficScope;
use netns_ebpf::{Mode, Monitor, MonitorOptions};
use outcomes::Unseen;
use plan::RunPlan;
use preflight::Privilege;
use report::{RunReport, RunSummary};
use source::SourcePorts;
use std::process::ExitCode;
use std::time::Instant;
use steps::BuildSteps;
use traffic::RunTraffic;

/// Checks what can be checked before anything is made; then builds, proves, watches, sums up, and takes down. On an error
/// everything that was made is taken down.
pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let plan = RunPlan::new(arguments)?;
    attack::check(arguments, &plan)?;
    let privilege = preflight::privilege(arguments)?;
    let host = match privilege {
        Privilege::Root if arguments.isolated => Namespace::anonymous()?,
        Privilege::Root | Privilege::Nobody | Privilege::RootOfUserNamespace => Namespace::current()?,
    };
    let private = arguments.isolated || privilege != Privilege::Root;
    if private && plan.has_way_out() {
        return Err(Failure::usage(
            "--masquerade, --publish and --redirect are of the machine's own network, which takes its root",
        ));
    }
    if !private {
        plan.check_against(&mut RouteSocket::open_in(&host)?)?;
    }
    let stop = Stop::on_signals()?;
    // Before anything is made: the address may be in use.
    let metrics = arguments.watch.metrics(&plan.network())?;
    let mut report = RunReport::new(stream(), arguments.watch.json, plan.members.len());

    let mut probe = preflight::check_kernel()?;
    // Two namespaces joined by a cable have no bridge.
    let judges = arguments.enforce && plan.topology == RunShape::Bridge;
    let barrier = judges && counting::can_bar(Some(&probe));
    let started = Instant::now();
    let (slots, pairs) = (plan.ports(), plan.pairs());
    let options = MonitorOptions {
        slots,
        pairs,
        egress: u16::from(plan.egress.is_some()),
        limits: arguments.limit.is_some(),
        scopes: arguments.watch.scopes,
        verdicts: arguments.watch.verdict_room(),
        barrier,
        ..MonitorOptions::default()
    };
    let counting = Counting::decide(&options, needs_program(arguments), Some(&mut probe))?;
    if counting.monitor().is_some() {
        report.step("load the eBPF program", started.elapsed());
    }
    drop(probe);
    tell_what_is_less(privilege, &counting);

    if arguments.watch.scopes
        && let Some(monitor) = counting.monitor()
    {
        say_scopes(monitor, &host, &plan)?;
    }
    let before = Before::observe(&host)?;
    let mode = if arguments.enforce { Mode::Enforce } else { Mode::Observe };
    let mut lab = RunLab::begin(host, &plan, counting.monitor(), mode, private)?;
    let outcome = prove(arguments, &plan, &mut lab, &mut report, &stop, metrics.as_ref());
    // Taken down here on every path except a panic, where its `drop` does it.
    if arguments.keep && outcome.is_ok() {
        let mut summary = outcome?;
        summary.kept = lab.keep();
        report.summary(&summary)?;
        return summary.exit_code();
    }
    let host = lab.host()?;
    report.taking_down();
    let taken_down = Instant::now();
    let result = lab.take_down();
    report.step("take everything down", taken_down.elapsed());
    let mut summary = outcome?;
    result?;
    summary.leftovers = before.leftovers(&host, &plan)?;
    report.summary(&summary)?;
    summary.exit_code()
}

/// The first option given that needs the eBPF program.
fn needs_program(arguments: &RunArguments) -> Option<&'static str> {
    let options = [
        (arguments.enforce, "--enforce"),
        (arguments.attack, "--attack"),
        (arguments.egress.is_some(), "--egress"),
        (arguments.limit.is_some(), "--limit"),
        (arguments.watch.pcap.is_some(), "--pcap"),
        (arguments.watch.scopes, "--scopes"),
        (arguments.watch.verdicts.is_some(), "--verdicts"),
    ];
    options.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
}

/// Sets the scopes of the host's and the namespaces' addresses before there are any.
fn say_scopes(monitor: &Monitor, host: &Namespace, plan: &RunPlan) -> Result<(), Failure> {
    // There is no bridge yet.
    let own = netns_ebpf::scopes_of(&mut RouteSocket::open_in(host)?, 0)?;
    let host = plan.subnets.iter().map(|subnet| (IpNet::single(subnet.host), TrafficScope::Host));
    let subnets = plan.subnets.iter().map(|subnet| (subnet.net, TrafficScope::Sandboxes));
    for (net, scope) in own.into_iter().chain(host.filter(|_| plan.has_host())).chain(subnets) {
        monitor.set_scope(net, scope)?;
    }
    Ok(())
}

/// Prints in one line what differs from a run by the machine's root on a kernel that accepts the program.
fn tell_what_is_less(privilege: Privilege, counting: &Counting) {
    let instead = Counting::INSTEAD;
    match (privilege.place(), counting) {
        (None, Counting::Program(_)) => {}
        (None, Counting::Kernel { why }) => say(format_args!("{instead}: {why}")),
        (Some(place), Counting::Program(_)) => say(format_args!("{place}")),
        // The root of a user namespace can load no program; that needs no explanation.
        (Some(place), Counting::Kernel { .. }) => say(format_args!("{place}, with {instead}")),
    }
}

/// Builds, pings, watches until the end, and compares the program's counters with the kernel's.
fn prove(
    arguments: &RunArguments,
    plan: &RunPlan,
    lab: &mut RunLab<'_>,
    report: &mut RunReport,
    stop: &Stop,
    metrics: Option<&Metrics>,
) -> Result<RunSummary, Failure> {
    lab.build(plan, report, stop)?;
    report.setup(plan)?;
    if let Some(metrics) = metrics {
        report.namespace_times().iter().for_each(|&time| metrics.set_up(time));
    }

    let (mut pings, mut pings_ok, mut lost) = (0, 0, Vec::new());
    let routes = pings::routes(lab, plan)?;
    let total = routes.len();
    for route in routes {
        if stop.requested() {
            break;
        }
        let outcome = route.ping();
        pings += 1;
        pings_ok += usize::from(outcome.is_ok());
        report.ping(&route, &outcome, [pings, total])?;
        if !outcome.is_ok() {
            lost.push(route);
        }
    }
    report.pings_done(pings, pings_ok)?;

    let reporter = Reporter::new(arguments.watch.pcap.as_deref())?;
    let counts_destinations = arguments.watch.scopes || arguments.watch.verdicts.is_some();
    let attack = if arguments.attack { Some(attack::attack(lab, report)?) } else { None };
    let (attack, unseen) = match attack {
        Some(as_it_should_be) => {
            let (all_stopped, unseen) = ways::ways(lab, report, counts_destinations)?;
            (Some(as_it_should_be && all_stopped), unseen)
        }
        None => (None, Unseen::default()),
    };
    let traffic = RunTraffic::start(lab.members());
    let traffic_failed = traffic.failed().to_vec();
    let mut ports = SourcePorts::of(lab, plan.network(), reporter);
    watch::watch(&mut ports, &arguments.watch, stop, report.out(), metrics)?;
    traffic.stop()?;
    let changed = interference::found(&lab.host()?, plan)?;
    let verdict = verify(lab, unseen)?;
    lab.flush_log();
    lab.read_barrier()?;
    let violations = lab.monitor().map(|monitor| monitor.snapshot().violations());
    // A host namespace of our own has no firewall rules.
    let hint = if lab.is_private() { None } else { obstacle::hint(&lab.host()?, plan, &lost) };
    Ok(RunSummary {
        pings,
        pings_ok,
        traffic: traffic_failed,
        hint,
        changed,
        attack,
        violations,
        verdict,
        lost_enforcement: lab.lost_enforcement(),
        leftovers: Vec::new(),
        kept: Vec::new(),
    })
}

impl RunSummary {
    /// 0 only if all is as it should be.
    fn exit_code(&self) -> Result<ExitCode, Failure> {
        // An attack causes violations; any other run must have none.
        let as_it_should_be = self.attack.unwrap_or(true);
        if self.pings_ok == self.pings
            && self.traffic.is_empty()
            && self.changed.is_empty()
            && as_it_should_be
            && self.verdict.exact() != Some(false)
            && self.leftovers.is_empty()
            && self.lost_enforcement == 0
        {
            Ok(ExitCode::from(failure::FINE))
        } else {
            Err(Failure::Verdict)
        }
    }
}
