//! `--attack`: one frame of each kind that no honest host sends, by raw socket from the first namespace to the second.

use super::lab::{Member, RunLab};
use super::outcomes::Attacked;
use super::plan::{MESH, RunPlan};
use super::report::RunReport;
use crate::cli::{RunArguments, RunShape};
use crate::failure::Failure;
use netns_core::{IfName, RouteSocket, link};
use netns_ebpf::attack::{Case, FrameSocket, Party, Trial, TrialOutcome, cases, checksum_cases};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Mode, Policy};
use std::collections::HashSet;

/// The receiver's group while it is sent a frame that it may not get.
const APART: u8 = 1;

/// Whether the arguments allow an attack.
pub(crate) fn check(arguments: &RunArguments, plan: &RunPlan) -> Result<(), Failure> {
    if !arguments.attack {
        return Ok(());
    }
    if !(2..=MESH).contains(&plan.members.len()) {
        return Err(Failure::usage(format!("--attack takes 2 to {MESH} namespaces")));
    }
    if plan.topology == RunShape::Pair {
        // A raw socket receives a frame before the program at the same end of the cable drops it.
        return Err(Failure::usage("--attack takes a bridge between the namespaces"));
    }
    Ok(())
}

/// Sends the frames; returns whether every outcome was the expected one.
pub(crate) fn attack(lab: &RunLab<'_>, report: &mut RunReport) -> Result<bool, Failure> {
    let (Some(monitor), [attacker, victim, ..]) = (lab.monitor(), lab.members()) else {
        return Err(Failure::usage("--attack takes the eBPF program, and that takes root"));
    };
    let (Some(port), Some(to)) = (attacker.slot, victim.slot) else {
        return Err(Failure::usage("--attack takes ports with the eBPF program"));
    };
    let trial = Trial { monitor, port, sender: open(attacker)?, receiver: open(victim)? };
    let [us, them] = [attacker, victim].map(|member| Party::new(member.mac, &member.addresses));
    let (host, mode) = (lab.host()?, lab.mode());
    report.attack(&attacker.name, &victim.name)?;
    let mut note = |reason: Reason, outcome: TrialOutcome, passes_bridge: bool| -> Result<bool, Failure> {
        let result = Attacked { reason, outcome, expected: mode == Mode::Observe && passes_bridge, mode };
        report.attacked(&result)?;
        Ok(result.is_ok())
    };
    let mut all = true;
    let mut done = HashSet::new();
    let cases = cases(&us, &them);
    for case in cases.iter().filter(|case| done.insert(case.reason)) {
        all &= note(case.reason, trial.send(case)?, case.passes_bridge(&host))?;
    }

    // Two bytes that the sender chooses, written after the frame was judged.
    let unsummed = checksum_cases(&us, &them).into_iter().find(|case| !case.is_honest);
    if let Some(case) = unsummed {
        all &= note(Reason::ChecksumPlace, trial.send_unsummed(&case)?, true)?;
    }
    // An honest frame, to a group that its sender may not talk to.
    if let (Some(honest), Some(policy)) = (cases.first(), monitor.policy(to)) {
        monitor.set_policy(to, &Policy { group: APART, ..policy })?;
        monitor.set_group_pair(0, APART, false)?;
        let case = Case { reason: Reason::Group, frame: honest.near.clone(), ..honest.clone() };
        all &= note(case.reason, trial.send(&case)?, true)?;
        monitor.set_group_pair(0, APART, true)?;
        monitor.set_policy(to, &policy)?;
    }
    Ok(all)
}

/// A raw socket on a namespace's `eth0`.
pub(super) fn open(member: &Member) -> Result<FrameSocket, Failure> {
    let eth0 = link::get(&mut RouteSocket::open_in(&member.namespace)?, IfName::new("eth0")?)?.index;
    let socket = member.namespace.enter(|| FrameSocket::open(eth0))?;
    socket.map_err(|error| Failure::Kernel(format!("open a raw socket in {}: {error}", member.name)))
}
