//! What the ports of an observed bridge may send.

use crate::cli::ObserveArguments;
use crate::failure::Failure;
use netns_ebpf::{Behind, Judging, Mode, Monitor, Policy, PortInfo};
use netns_topology::Policies;

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
pub(super) fn judging(policies: Option<Policies>, monitor: &Monitor) -> Result<Judging<'_>, Failure> {
    let Some(policies) = policies else { return Ok(Judging::Learnt) };
    for &(one, other) in &policies.apart {
        monitor.set_group_pair(one, other, false)?;
        monitor.set_group_pair(other, one, false)?;
    }
    Ok(Judging::Given(Box::new(move |port| policy_of(&policies, port))))
}

/// By the port's own name, or that of the namespace behind it.
fn policy_of(policies: &Policies, port: &PortInfo) -> Option<Policy> {
    let behind = match &port.behind {
        Behind::Named(name) => policies.namespaces.get(name),
        _ => None,
    };
    policies.ports.get(port.name.as_str()).or(behind).copied()
}
