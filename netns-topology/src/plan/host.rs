//! What comes to the host is judged at its bridges, wherever a policy says something of it.

use super::{Change, Planner};
use crate::topology::{BridgeSpec, PortPolicy};

impl Planner<'_> {
    /// Judges it where that is wanted, before a port has such a policy.
    pub(super) fn judge_hosts(&mut self) {
        for bridge in &self.topology.bridges {
            if self.is_host_judged(bridge) && self.at_host(bridge) != Some(true) {
                self.changes.push(Change::JudgeHost { bridge: bridge.link.clone() });
            }
        }
    }

    /// Leaves it alone where no port has such a policy any more.
    pub(super) fn leave_hosts(&mut self) {
        for bridge in &self.topology.bridges {
            if !self.is_host_judged(bridge) && self.at_host(bridge).is_some() {
                self.changes.push(Change::LeaveHost { bridge: bridge.link.clone() });
            }
        }
    }

    fn is_host_judged(&self, bridge: &BridgeSpec) -> bool {
        self.topology.cables.iter().any(|cable| {
            let [near, _] = &cable.ends;
            near.link.place == bridge.link.place
                && near.port.is_some_and(|port| port.bridge == bridge.link.name)
                && cable.policy.as_ref().is_some_and(PortPolicy::restricts_host)
        })
    }

    /// Whether the program that is on a bridge, if it is to stay, is the present one; `None` if there is none.
    fn at_host(&self, bridge: &BridgeSpec) -> Option<bool> {
        self.observed.hosts.get(&bridge.link).copied().filter(|_| self.keeps_bridge(bridge))
    }
}
