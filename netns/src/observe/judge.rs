//! What the ports of an observed bridge may send.

use crate::cli::ObserveArguments;
use crate::failure::Failure;
use netns_core::link::{self, Link};
use netns_core::{Namespace, RouteSocket};
use netns_ebpf::{Behind, Judging, Mode, Monitor, Policy, PortIdentity};
use netns_topology::Policies;
use std::cell::RefCell;

/// What a file says, if one is given; it is read before anything is loaded.
pub(super) fn policies(arguments: &ObserveArguments) -> Result<Option<Policies>, Failure> {
    let Some(path) = &arguments.policy else { return Ok(None) };
    let mut policies = Policies::open(path)?;
    if arguments.enforce {
        let all = policies.ports.values_mut().chain(policies.namespaces.values_mut());
        all.for_each(|policy| policy.mode = Mode::Enforce);
    }
    Ok(Some(policies))
}

/// By the file, or by what is learnt.
pub(super) fn judging<'m>(
    policies: Option<Policies>,
    monitor: &'m Monitor,
    host: &Namespace,
) -> Result<Judging<'m>, Failure> {
    let Some(policies) = policies else { return Ok(Judging::Learnt) };
    for &(one, other) in &policies.apart {
        monitor.set_group_pair(one, other, false)?;
        monitor.set_group_pair(other, one, false)?;
    }
    let socket = RefCell::new(RouteSocket::open_in(host)?);
    Ok(Judging::Given(Box::new(move |port| policy_of(&policies, port, &mut socket.borrow_mut()))))
}

/// Those ports of a file that the bridge does not have, as far as names tell: they may come later, and a name that was
/// misspelt never does.
pub(super) fn missing(named: &[String], host: &Namespace, bridge: &Link) -> Result<Vec<String>, Failure> {
    let ports = link::list_ports(&mut RouteSocket::open_in(host)?, bridge.index)?;
    let is_there = |name: &&String| ports.iter().any(|port| has_name(port, name));
    Ok(named.iter().filter(|name| !is_there(name)).cloned().collect())
}

fn has_name(port: &Link, name: &str) -> bool {
    port.name.as_str() == name || port.alternative_names.iter().any(|other| other == name)
}

/// By the port's own names, or that of the namespace behind it.
fn policy_of(policies: &Policies, port: &PortIdentity, socket: &mut RouteSocket) -> Option<Policy> {
    let behind = match &port.behind {
        Behind::Named(name) => policies.namespaces.get(name),
        _ => None,
    };
    if let Some(policy) = policies.ports.get(port.name.as_str()) {
        return Some(*policy);
    }
    // One that is gone by now has no names.
    let others = link::get(socket, port.ifindex).map(|link| link.alternative_names).unwrap_or_default();
    others.iter().find_map(|name| policies.ports.get(name)).or(behind).copied()
}
