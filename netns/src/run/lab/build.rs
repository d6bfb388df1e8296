//! Building: brings a topology up, and reports each step.

use super::super::plan::{PlannedMember, RunPlan};
use super::super::steps::BuildSteps;
use super::topology::{self, IP_FORWARD, PortWishes};
use super::{Member, RunLab};
use crate::cli::RunShape;
use crate::failure::Failure;
use crate::messages::say;
use crate::signals::Stop;
use crate::state;
use netns_core::{Operation, RouteSocket};
use netns_ebpf::Monitor;
use netns_topology::{Change, Error, HeldLab, LinkName, Place, Progress, Topology};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl<'a> RunLab<'a> {
    /// Makes everything, and reports each step.
    pub(crate) fn build(
        &mut self,
        plan: &RunPlan,
        report: &mut dyn BuildSteps,
        stop: &Stop,
    ) -> Result<(), Failure> {
        match plan.topology {
            RunShape::Bridge => self.build_bridge(plan, report, stop),
            RunShape::Pair => self.build_pair(plan, report),
        }
    }

    fn build_bridge(
        &mut self,
        plan: &RunPlan,
        report: &mut dyn BuildSteps,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let wishes = PortWishes {
            mode: self.monitor.map(|_| self.mode),
            is_barred: self.monitor.and_then(Monitor::stamp).is_some(),
        };
        let mut steps = StepReport {
            plan,
            report,
            began: Instant::now(),
            noted: Duration::ZERO,
            made: 0,
            spent: Duration::ZERO,
        };
        let mut bring_up = |forwards: bool| -> Result<_, Failure> {
            let topology = topology::of_bridge(plan, wishes, forwards)?;
            self.bring_up(&topology, &mut |progress| {
                steps.take(progress);
                // Between two namespaces: by then everything that they need exists.
                let is_between = matches!(progress.change, Change::AddCable(_));
                if is_between && stop.requested() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        };
        let lab = match bring_up(true)? {
            // No ping of a run is routed; forwarding is for what a user tries meanwhile. So where `/proc/sys` is read-only,
            // as in a container, the run goes on without it.
            Err(Error::RolledBack(ref why)) if let Some(why) = of_setting(why) => {
                say(format_args!("warning: ip_forward stays off; the host routes nothing for them: {why}"));
                bring_up(false)??
            }
            lab => lab?,
        };
        let made = steps.made;
        let indexes = lab.indexes();
        let index = |name| indexes.get(&LinkName { place: Place::Host, name }).copied();
        self.bridge = index(plan.bridge).map(|index| (index, plan.bridge_mac));
        // A run that was stopped has not made all namespaces.
        for planned in plan.members.iter().take(made) {
            self.take_in(planned, &lab, index(planned.port));
        }
        self.lab = Some(lab);
        Ok(())
    }

    /// Two namespaces and a cable. No end is on the host, so each namespace's port is the far end of its cable, the other's
    /// `eth0`: what that receives is what the namespace sent.
    fn build_pair(&mut self, plan: &RunPlan, report: &mut dyn BuildSteps) -> Result<(), Failure> {
        let (mut namespaces, mut cable) = (Duration::ZERO, Duration::ZERO);
        let mut take = |progress: &Progress<'_>| {
            let spent =
                if matches!(progress.change, Change::AddNamespace(_)) { &mut namespaces } else { &mut cable };
            *spent += progress.took;
            ControlFlow::Continue(())
        };
        let pair = topology::of_pair(plan)?;
        let lab = self.bring_up(&pair, &mut take)??;
        let indexes = lab.indexes();
        for (planned, far) in plan.members.iter().zip(plan.members.iter().rev()) {
            self.take_in(planned, &lab, indexes.get(&topology::inside(far)?).copied());
        }
        // From here on it is taken down with everything else, whatever happens next.
        self.lab = Some(lab);
        let began = Instant::now();
        if let Some(monitor) = self.monitor {
            let far: Vec<_> = self.members.iter().rev().map(|far| Arc::clone(&far.namespace)).collect();
            for (number, far) in far.iter().enumerate() {
                let member = &self.members[number];
                let policy = self.policy(member.mac, &member.addresses)?;
                let mut socket = RouteSocket::open_in(far)?;
                let attachment = monitor.attach_with(&mut socket, member.port_index, Some(&policy))?;
                self.members[number].slot = Some(attachment.slot());
            }
        }
        let attached = began.elapsed();
        let with_addresses = topology::with_addresses(plan, pair)?;
        if let Some(lab) = &mut self.lab {
            self.host.enter(|| lab.change(&with_addresses, &mut take))??;
        }
        report.step("two namespaces", namespaces);
        report.step("the cable between them", cable + attached);
        Ok(())
    }

    /// Brings a topology up on the host of the run, on record unless all is private.
    fn bring_up(
        &self,
        topology: &Topology,
        on_progress: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Result<HeldLab<'a>, Error>, Failure> {
        let record = if self.private { None } else { Some(state::begin()?) };
        Ok(self.host.enter(|| HeldLab::up(topology, record, self.monitor, on_progress))?)
    }

    /// Adds a namespace to the members.
    fn take_in(&mut self, planned: &PlannedMember, lab: &HeldLab<'_>, port_index: Option<u32>) {
        let (Some(namespace), Some(port_index)) = (lab.namespace(&planned.name), port_index) else { return };
        self.members.push(Member {
            name: planned.name.clone(),
            namespace: Arc::clone(namespace),
            port: planned.port,
            port_index,
            slot: self.monitor.and_then(|monitor| monitor.slot(port_index)),
            mac: planned.mac,
            addresses: planned.addresses.clone(),
        });
    }
}

/// The refusal of a setting, if that was the error.
fn of_setting(why: &Error) -> Option<&netns_core::Error> {
    let Error::Kernel(why) = why else { return None };
    matches!(why.operation(), Operation::ReadSysctl | Operation::WriteSysctl).then_some(why)
}

/// Reports the steps of a bridge and its namespaces.
struct StepReport<'r> {
    plan: &'r RunPlan,
    report: &'r mut dyn BuildSteps,
    began: Instant,
    /// What has been reported so far.
    noted: Duration,
    /// How many namespaces were made.
    made: usize,
    /// How long the present namespace has taken.
    spent: Duration,
}

impl StepReport<'_> {
    fn take(&mut self, progress: &Progress<'_>) {
        if self.noted.is_zero() {
            // Before the first change: reading what is there, planning, and writing the record.
            let before = self.began.elapsed().saturating_sub(progress.took);
            self.report.step("look, plan and note", before);
            self.noted += before;
        }
        match progress.change {
            Change::AddBridge(bridge) => {
                self.report.step(&format!("bridge {}", bridge.link.name), progress.took);
            }
            Change::SetSysctl { sysctl, .. } if sysctl.key == IP_FORWARD => {
                self.report.step("ip_forward on", progress.took);
            }
            Change::OpenWayOut { .. } => self.report.step("the way out", progress.took),
            Change::Publish { publication, .. } => {
                self.report.step(&format!("publish {publication}"), progress.took);
            }
            Change::AddNamespace(_) => self.spent = progress.took,
            Change::AddCable(_) => {
                if let Some(planned) = self.plan.members.get(self.made) {
                    self.report.namespace(planned, self.spent + progress.took);
                }
                self.made += 1;
            }
            _ => {}
        }
    }
}
