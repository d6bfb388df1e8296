//! The topologies whose own programs are on a bridge that is observed.

use crate::failure::Failure;
use crate::state;
use netns_core::link::{self, Link};
use netns_core::tc::{self, Direction};
use netns_core::{ErrorKind, RouteSocket};
use netns_ebpf::{Mode, Monitor};
use netns_topology::{Lab, Record};
use std::collections::HashSet;

/// What topologies that are up have on the ports of a bridge.
#[derive(Debug, Default)]
pub(super) struct LabPrograms {
    pub(super) programs: Vec<[u32; 2]>,
    /// Those of them that enforce, in words.
    pub(super) enforcing: Vec<String>,
}

impl LabPrograms {
    /// By the records of this machine; one that cannot be read counts as none.
    pub(super) fn find(socket: &mut RouteSocket, bridge: &Link) -> Result<Self, Failure> {
        let labs = Lab::all().unwrap_or_default().into_iter().flatten();
        let mut records: Vec<(String, Record)> =
            labs.map(|record| (format!("the lab {}", record.file.display()), record)).collect();
        let run = state::peek().and_then(|run| Record::of_lines(&run).ok().flatten());
        records.extend(run.map(|record| ("netns run".to_owned(), record)));
        records.retain(|(_, record)| record.programs().next().is_some());
        let mut found = Self::default();
        if records.is_empty() {
            return Ok(found);
        }
        let ports: Vec<u32> =
            link::list_ports(socket, bridge.index)?.into_iter().map(|port| port.index).collect();
        let mut there = HashSet::new();
        for &port in &ports {
            match tc::list_filters(socket, port, Direction::Ingress) {
                // It is gone by now.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                filters => there.extend(filters?.into_iter().filter_map(|filter| filter.program_id)),
            }
        }
        for (name, record) in records {
            for programs in record.programs().filter(|[ingress, _]| there.contains(ingress)) {
                found.programs.push(programs);
                let monitor = Monitor::reopen(programs);
                let is_enforced = |port: &u32| match &monitor {
                    Ok(monitor) => {
                        monitor.slot(*port).and_then(|slot| monitor.mode(slot)) == Some(Mode::Enforce)
                    }
                    // What cannot be asked may enforce.
                    Err(_) => true,
                };
                if !found.enforcing.contains(&name) && ports.iter().any(is_enforced) {
                    found.enforcing.push(name.clone());
                }
            }
        }
        Ok(found)
    }
}
