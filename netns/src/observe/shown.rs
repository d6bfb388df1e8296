//! The ports of an observed bridge as they are shown: with the names of containers and pods.

use crate::containers::{self, Attachments};
use netns_core::Namespace;
use netns_ebpf::{Behind, PortChange, PortIdentity, Reading};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The shortest and the longest time between two searches for the same names: an engine makes the network before the
/// container, and may write the container's name at any time.
const SOON: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(30);

/// Ports that are shown by another name than the observer's.
#[derive(Debug)]
pub(super) struct ShownPorts {
    /// By the port's index: the port as observed, and as shown.
    renamed: HashMap<u32, [Arc<PortIdentity>; 2]>,
    next: Instant,
    pause: Duration,
}

impl ShownPorts {
    pub(super) fn new() -> Self {
        Self { renamed: HashMap::new(), next: Instant::now(), pause: SOON }
    }

    /// How a port is shown.
    pub(super) fn of<'a>(&'a self, port: &'a Arc<PortIdentity>) -> &'a Arc<PortIdentity> {
        match self.renamed.get(&port.ifindex) {
            Some([observed, shown]) if Arc::ptr_eq(observed, port) => shown,
            _ => port,
        }
    }

    /// Replaces the ports of a reading by the ports as they are shown.
    pub(super) fn rename(&self, reading: &mut Reading) {
        if !self.renamed.is_empty() {
            for port in &mut reading.ports {
                port.info = Arc::clone(self.of(&port.info));
            }
        }
    }

    /// Takes note of changes, and replaces their ports by the ports as they are shown.
    pub(super) fn changed(&mut self, change: &mut PortChange) {
        match change {
            PortChange::Came(port) | PortChange::Known(port) => {
                (self.pause, self.next) = (SOON, Instant::now());
                *port = Arc::clone(self.of(port));
            }
            PortChange::Left(last) => {
                last.info = Arc::clone(self.of(&last.info));
                self.renamed.remove(&last.info.ifindex);
            }
            PortChange::Unjudged(port) | PortChange::Closed(port) => *port = Arc::clone(self.of(port)),
            _ => {}
        }
    }

    /// Searches for the containers of ports for which none is known, if it is time; returns those that were found.
    pub(super) fn search<'p>(
        &mut self,
        ports: impl Iterator<Item = &'p Arc<PortIdentity>>,
    ) -> Vec<Arc<PortIdentity>> {
        let now = Instant::now();
        if now < self.next {
            return Vec::new();
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(SELDOM);
        let open: Vec<&Arc<PortIdentity>> =
            ports.filter(|port| may_be_container(&port.behind) && Arc::ptr_eq(self.of(port), port)).collect();
        if open.is_empty() {
            return Vec::new();
        }
        let inode = |port: &PortIdentity| match &port.behind {
            Behind::Named(name) => containers::inode(&Namespace::path(name).ok()?),
            _ => None,
        };
        let inodes: Vec<Option<u64>> = open.iter().map(|port| inode(port)).collect();
        let processes = containers::processes(&inodes.iter().copied().flatten().collect::<Vec<_>>());
        let mut attachments = None;
        let mut found = Vec::new();
        for (port, inode) in open.into_iter().zip(inodes) {
            let name = match &port.behind {
                Behind::Process { pid, .. } => containers::of_process(*pid),
                _ => inode.and_then(|inode| {
                    processes.get(&inode)?.iter().find_map(|&pid| containers::of_process(pid))
                }),
            };
            let on_record = || {
                let attachments = attachments.get_or_insert_with(Attachments::read);
                attachments.of(port.name.as_str())
            };
            if let Some(name) = name.or_else(on_record) {
                let behind = Behind::Container { name, inside: Box::new(port.behind.clone()) };
                let shown = Arc::new(PortIdentity { behind, ..PortIdentity::clone(port) });
                self.renamed.insert(port.ifindex, [Arc::clone(port), Arc::clone(&shown)]);
                found.push(shown);
            }
        }
        found
    }
}

/// A namespace that a person named keeps that name, and one that was moved stays what it was.
fn may_be_container(behind: &Behind) -> bool {
    match behind {
        Behind::Process { .. } | Behind::Id(_) => true,
        Behind::Named(name) => containers::is_engines(name),
        _ => false,
    }
}
