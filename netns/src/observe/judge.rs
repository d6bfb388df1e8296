//! What the ports of an observed bridge may send.

use crate::cli::{ObserveArguments, Unmatched};
use crate::failure::Failure;
use crate::messages::say;
use crate::watch;
use netns_core::link::{self, Link};
use netns_core::{Namespace, RouteSocket};
use netns_ebpf::{Behind, Judging, Mode, Monitor, Observer, Policy, PortIdentity};
use netns_topology::Policies;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// The policy file, if one is given; it is read before anything is loaded.
pub(super) fn policies(arguments: &ObserveArguments) -> Result<Option<Policies>, Failure> {
    let Some(path) = &arguments.policy else { return Ok(None) };
    let mut policies = Policies::open(path)?;
    if arguments.enforce {
        let all = policies.ports.values_mut().chain(policies.namespaces.values_mut());
        all.for_each(|policy| policy.mode = Mode::Enforce);
    }
    Ok(Some(policies))
}

/// What happens to ports for which the file has no policy.
pub(super) fn unmatched(arguments: &ObserveArguments) -> Unmatched {
    arguments.unmatched.unwrap_or(if arguments.enforce { Unmatched::Refuse } else { Unmatched::Pass })
}

/// Whether anything is to be dropped.
pub(super) fn enforces(policies: Option<&Policies>, unmatched: Unmatched) -> bool {
    let is_enforced = |policies: &Policies| {
        let mut all = policies.ports.values().chain(policies.namespaces.values());
        all.any(|policy| policy.mode == Mode::Enforce)
    };
    policies.is_some_and(|policies| unmatched != Unmatched::Pass || is_enforced(policies))
}

/// Whether any port is to have limits.
pub(super) fn limits(policies: Option<&Policies>) -> bool {
    policies.is_some_and(|policies| {
        policies.ports.values().chain(policies.namespaces.values()).any(|policy| !policy.limits.is_none())
    })
}

/// How many egress policies the program needs room for.
pub(super) fn egress(policies: Option<&Policies>) -> u16 {
    policies.map_or(0, |policies| u16::try_from(policies.egress.len()).unwrap_or(u16::MAX))
}

/// By the file, or by what is learnt.
pub(super) fn judging<'m>(
    policies: Option<&'m Policies>,
    unmatched: Unmatched,
    monitor: &'m Monitor,
    host: &Namespace,
    bridge: u32,
) -> Result<Judging<'m>, Failure> {
    let Some(policies) = policies else { return Ok(Judging::Learnt) };
    for &(one, other) in &policies.apart {
        monitor.set_group_pair(one, other, false)?;
        monitor.set_group_pair(other, one, false)?;
    }
    // They get the numbers by which the policies refer to them.
    for rules in &policies.egress {
        monitor.add_egress(rules)?;
    }
    let socket = RouteSocket::open_in(host)?;
    let entries = RefCell::new(Entries { policies, bridge, socket, taken: HashMap::new() });
    let otherwise = (unmatched != Unmatched::Pass).then_some(Policy::closed());
    Ok(Judging::Given(Box::new(move |port| entries.borrow_mut().policy_of(port).or(otherwise))))
}

/// The entries of a file, and which of them match a port.
struct Entries<'a> {
    policies: &'a Policies,
    bridge: u32,
    socket: RouteSocket,
    /// The port that leads to each namespace. Another port to the same namespace was moved there by somebody inside, or is
    /// a second interface, which the file does not mention.
    taken: HashMap<String, u32>,
}

impl Entries<'_> {
    /// By the port's own names, or that of the namespace behind it.
    fn policy_of(&mut self, port: &PortIdentity) -> Option<Policy> {
        self.taken.retain(|_, index| *index != port.ifindex);
        if let Some(policy) = self.policies.ports.get(&port.name.to_string()) {
            return Some(*policy);
        }
        // A port that is gone by now has no names.
        let others =
            link::get(&mut self.socket, port.ifindex).map(|link| link.alternative_names).unwrap_or_default();
        if let Some(policy) = others.iter().find_map(|name| self.policies.ports.get(name)) {
            return Some(*policy);
        }
        let Behind::Named(name) = &port.behind else { return None };
        let policy = self.policies.namespaces.get(name)?;
        if let Some(&other) = self.taken.get(name)
            && link::get(&mut self.socket, other).is_ok_and(|link| link.master == Some(self.bridge))
        {
            return None;
        }
        self.taken.insert(name.clone(), port.ifindex);
        Some(*policy)
    }
}

/// Compares the file with the bridge as it is now: what does not match is an error, or is reported.
pub(super) fn check(
    policies: &Policies,
    unmatched: Unmatched,
    observer: &Observer<'_>,
    monitor: &Monitor,
    host: &Namespace,
) -> Result<(), Failure> {
    let bridge = observer.bridge();
    let wrong = missing(policies, observer, host)?;
    if unmatched != Unmatched::Refuse {
        // They may come later; a misspelt name never does.
        for wrong in wrong {
            say(format_args!("warning: {wrong}"));
        }
        return Ok(());
    }
    let is_closed =
        |port: &&Arc<PortIdentity>| monitor.policy(port.slot).is_some_and(|policy| policy.rules.is_closed());
    refuse(wrong, observer.ports().filter(is_closed), bridge)
}

/// Refuses what [`check`] will refuse before anything is changed, while what a killed observer enforced still is enforced.
pub(super) fn foresee(policies: &Policies, bridge: &Link, host: &Namespace) -> Result<(), Failure> {
    let observer = Observer::start_without_program(host, bridge.name)?;
    let socket = RouteSocket::open_in(host)?;
    let mut entries = Entries { policies, bridge: bridge.index, socket, taken: HashMap::new() };
    let wrong = missing(policies, &observer, host)?;
    let unmatched: Vec<_> = observer.ports().filter(|port| entries.policy_of(port).is_none()).collect();
    refuse(wrong, unmatched.into_iter(), bridge)
}

/// An error that names what does not match, if there is anything.
fn refuse<'a>(
    mut wrong: Vec<String>,
    unmatched: impl Iterator<Item = &'a Arc<PortIdentity>>,
    bridge: &Link,
) -> Result<(), Failure> {
    wrong.extend(unmatched.map(|port| format!("{port}: {}", watch::unmatched(port))));
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong = wrong.join("; ");
    Err(Failure::usage(format!(
        "not every port of {} can be judged: {wrong} (--unmatched says what else is to become of such ports)",
        bridge.name
    )))
}

/// The entries of a file that match no port.
fn missing(policies: &Policies, observer: &Observer<'_>, host: &Namespace) -> Result<Vec<String>, Failure> {
    let bridge = observer.bridge();
    let ports = link::list_ports(&mut RouteSocket::open_in(host)?, bridge.index)?;
    let has_name = |port: &Link, name: &str| {
        port.name.to_string() == name || port.alternative_names.iter().any(|other| other == name)
    };
    let is_behind = |port: &Arc<PortIdentity>, name: &str| matches!(&port.behind, Behind::Named(behind) if behind == name);
    let names = policies.ports.keys().filter(|name| !ports.iter().any(|port| has_name(port, name)));
    let names =
        names.map(|name| format!("[port.{name}] of the policy file: {} has no such port now", bridge.name));
    let namespaces = policies.namespaces.keys();
    let namespaces = namespaces.filter(|name| !observer.ports().any(|port| is_behind(port, name)));
    let namespaces = namespaces.map(|name| {
        format!("[namespace.{name}] of the policy file: it is behind no port of {} now", bridge.name)
    });
    Ok(names.chain(namespaces).collect())
}
