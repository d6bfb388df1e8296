//! Who pings whom, and whether they are answered.

use super::lab::RunLab;
use super::plan::RunPlan;
use super::results::PingRoute;
use crate::failure::Failure;

/// What the host is called beside the namespaces.
pub(crate) const HOST: &str = "host";

/// Every ordered pair of namespaces, of many a ring; and the host with each, both ways. Once for each subnet.
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
