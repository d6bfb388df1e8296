//! What was decided of what interfaces sent, by destination.

use super::Lab;
use crate::error::Result;
use crate::topology::LinkName;
use netns_ebpf::{DestinationVerdict, Monitor, MonitorError, Slot};
use std::collections::BTreeMap;

impl Lab {
    /// What was decided of the frames that interfaces sent, by destination, each with the name of its port, since the policy was
    /// set up; of those whose policy counts it ([`PortPolicy::verdicts`](crate::PortPolicy::verdicts)) and of others that have
    /// the same programs. In no order. Nothing if the topology is not up.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn verdicts(&self) -> Result<Vec<(LinkName, DestinationVerdict)>> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (place, programs) in &record.programs {
            let monitor = match programs.last().map(|&programs| Monitor::reopen(programs)) {
                None | Some(Err(MonitorError::Gone { .. } | MonitorError::OtherLayout { .. })) => continue,
                Some(monitor) => monitor?,
            };
            if !monitor.has_verdicts() {
                continue;
            }
            let ends = record.cables.iter().flatten().filter(|end| end.place == *place);
            let ports = ends.filter_map(|end| Some((monitor.slot(end.index?)?, end.link()?)));
            let ports: BTreeMap<Slot, LinkName> = ports.collect();
            let named = |verdict: DestinationVerdict| Some((ports.get(&verdict.from)?.clone(), verdict));
            found.extend(monitor.verdicts().into_iter().filter_map(named));
        }
        Ok(found)
    }
}
