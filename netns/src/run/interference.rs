//! Whether somebody else changed what a run made while it ran: a network manager that claims every link takes ports and
//! addresses off the bridge, and the counters still equal the kernel's.

use super::plan::RunPlan;
use crate::failure::Failure;
use netns_core::{Namespace, RouteSocket, address, link};

/// What is no longer as it was built, in words.
pub(crate) fn found(host: &Namespace, plan: &RunPlan) -> Result<Vec<String>, Failure> {
    let mut changed = Vec::new();
    if !plan.has_host() {
        return Ok(changed);
    }
    let mut socket = RouteSocket::open_in(host)?;
    let links = link::list(&mut socket)?;
    let Some(bridge) = links.iter().find(|link| link.name == plan.bridge) else {
        return Ok(vec![format!("{} is gone", plan.bridge)]);
    };
    for member in &plan.members {
        // A run that was stopped has not made all ports.
        let port = links.iter().find(|link| link.name == member.port);
        if port.is_some_and(|port| port.master != Some(bridge.index)) {
            changed.push(format!("{} is not on {} any more", member.port, plan.bridge));
        }
    }
    let addresses = address::list(&mut socket)?;
    for subnet in &plan.subnets {
        let held = |held: &address::Address| held.index == bridge.index && held.net.address() == subnet.host;
        if !addresses.iter().any(held) {
            changed.push(format!("{} has lost {}", plan.bridge, subnet.host));
        }
    }
    Ok(changed)
}
