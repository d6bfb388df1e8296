//! Who pings whom, and whether they are answered.

use super::lab::RunLab;
use super::plan::RunPlan;
use crate::failure::Failure;
use netns_core::Namespace;
use netns_core::ping::{Ping, PingOutcome, ping};
use std::net::IpAddr;

/// The host's name among the namespaces.
pub(crate) const HOST: &str = "host";

/// One ping to be sent.
#[derive(Debug)]
pub(crate) struct PingRoute {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) address: IpAddr,
    namespace: Namespace,
}

impl PingRoute {
    pub(crate) fn ping(&self) -> PingResult {
        let report = match ping(&self.namespace, &Ping::new(self.address)) {
            Ok(report) => report,
            // No route is a result too: not reached.
            Err(error) => return PingResult { rtt: None, why: error.to_string() },
        };
        match report.outcomes.into_iter().next() {
            Some(PingOutcome::Reply(rtt)) => PingResult { rtt: Some(rtt), why: String::new() },
            Some(PingOutcome::Unreachable(why)) => PingResult { rtt: None, why: why.to_string() },
            Some(PingOutcome::TimedOut) | None => PingResult { rtt: None, why: "no answer".to_owned() },
        }
    }
}

/// Its outcome.
#[derive(Debug)]
pub(crate) struct PingResult {
    pub(crate) rtt: Option<std::time::Duration>,
    pub(crate) why: String,
}

impl PingResult {
    pub(crate) const fn is_ok(&self) -> bool {
        self.rtt.is_some()
    }
}

/// Every ordered pair of namespaces, or a ring if there are many; and the host with each, both ways. Once per subnet.
pub(crate) fn routes(lab: &RunLab<'_>, plan: &RunPlan) -> Result<Vec<PingRoute>, Failure> {
    let members = lab.members();
    let mut routes = Vec::new();
    for (family, subnet) in plan.subnets.iter().enumerate() {
        for (from, member) in members.iter().enumerate() {
            for (to, other) in members.iter().enumerate() {
                let wanted = if plan.is_large() { (from + 1) % members.len() == to } else { from != to };
                if wanted {
                    routes.push(PingRoute {
                        from: member.name.clone(),
                        to: other.name.clone(),
                        address: other.addresses[family],
                        namespace: member.namespace.try_clone()?,
                    });
                }
            }
        }
        for member in members.iter().filter(|_| plan.has_host()) {
            routes.push(PingRoute {
                from: HOST.to_owned(),
                to: member.name.clone(),
                address: member.addresses[family],
                namespace: lab.host()?,
            });
            routes.push(PingRoute {
                from: member.name.clone(),
                to: HOST.to_owned(),
                address: subnet.host,
                namespace: member.namespace.try_clone()?,
            });
        }
    }
    Ok(routes)
}
