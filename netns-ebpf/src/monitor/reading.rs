//! What was counted, with names and a time.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use netns_core::link::LinkStats;
use netns_core::{IfName, MacAddress};

use super::compare::kernel_counters;
use super::{DestinationVerdict, Limits, Lost, Monitor, OverLimits, Pair, Slot, Snapshot};
use crate::layout::{PortCounters, ScopeCounters, Violations};

/// Who is behind a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Behind {
    /// A namespace with a name.
    Named(String),
    /// A namespace without a name that this process is in: the one with the lowest number.
    Process {
        /// Its number.
        pid: u32,
        /// What it calls itself.
        command: String,
    },
    /// A container or a pod, by the name that its engine knows it by. The observer does not search for those: anyone who
    /// shows a port and knows its container says so by this.
    Container {
        /// Its name.
        name: String,
        /// Its namespace.
        inside: Box<Self>,
    },
    /// A namespace of which nothing is known but the id that the kernel gave it.
    Id(i32),
    /// Another namespace than the one that was behind it at first: the interface was moved there while the port was
    /// observed. Anyone who is root inside can do that, so where it is now says nothing of who it is, and it stays moved
    /// until the port leaves the bridge.
    Moved {
        /// Who was behind the port before.
        from: Box<Self>,
    },
    /// The port's own namespace: both ends of the cable are in it.
    Here,
    /// No namespace: a network card, a tunnel, a virtual machine's tap.
    Nothing,
}

impl Behind {
    /// A word for it; empty where there is no namespace to name.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Named(name) | Self::Container { name, .. } => name.clone(),
            Self::Process { pid, command } => format!("{command}/{pid}"),
            Self::Id(id) => format!("nsid {id}"),
            Self::Moved { from } => format!("moved from {}", from.label()),
            Self::Here | Self::Nothing => String::new(),
        }
    }

    /// The name of the container, if it is known to be one.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Container { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The namespace by itself, whichever container is in it.
    #[must_use]
    pub fn namespace(&self) -> &Self {
        match self {
            Self::Container { inside, .. } => inside,
            other => other,
        }
    }
}

/// In words, as the end of "behind it is".
impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "namespace {name}"),
            Self::Process { pid, command } => {
                write!(f, "a namespace without a name, of process {pid} ({command})")
            }
            Self::Container { name, inside } => write!(f, "container {name}, {inside}"),
            Self::Id(id) => write!(f, "a namespace of which only the kernel's id is known, {id}"),
            Self::Moved { from } => {
                write!(
                    f,
                    "another namespace than before; its interface was moved, and before that it was {from}"
                )
            }
            Self::Here => f.write_str("the other end is in this namespace"),
            Self::Nothing => f.write_str("no namespace"),
        }
    }
}

/// Who a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortIdentity {
    /// Its ifindex, in the monitor's namespace.
    pub ifindex: u32,
    /// Its slot.
    pub slot: Slot,
    /// Its name.
    pub name: IfName,
    /// Its own MAC address.
    pub mac: Option<MacAddress>,
    /// Who is behind it.
    pub behind: Behind,
}

/// Its name, with who is behind it if that is known: `veth1 (ns1)`.
impl fmt::Display for PortIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.behind.label();
        if label.is_empty() { self.name.fmt(f) } else { write!(f, "{} ({label})", self.name) }
    }
}

/// A port, and what was counted of it since it was assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortReading {
    /// Who it is. Shared with other readings, so that a reading of many ports copies no names.
    pub info: Arc<PortIdentity>,
    /// What was counted.
    pub counters: PortCounters,
    /// What was found wrong with the frames from its namespace, by reason; `None` where no program judges them and the
    /// kernel alone counts.
    pub violations: Option<Violations>,
    /// What it sent that is in no pair, because it has its share of the table of pairs or the table is full.
    pub lost: Lost,
    /// How much may pass it, and what was over that; `None` if it has no limits.
    pub limits: Option<(Limits, OverLimits)>,
    /// What passed it, by where it came from and went; `None` if that is not counted.
    pub scopes: Option<ScopeCounters>,
    /// What it sent that is in no line of [`Reading::verdicts`]; `None` if those are not counted.
    pub lost_verdicts: Option<Lost>,
}

/// What counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountedBy {
    /// The program on the ports, from when it was put there.
    Program,
    /// The kernel alone, from when the links were made. There are no pairs, and nothing is judged.
    Kernel,
}

impl CountedBy {
    /// The word for it in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Kernel => "kernel",
        }
    }
}

/// All counters at one time: a [`Snapshot`] with names and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub taken: Instant,
    /// What counted.
    pub counted_by: CountedBy,
    /// The ports, in an order of the reader's.
    pub ports: Vec<PortReading>,
    /// What passed between them.
    pub pairs: Vec<Pair>,
    /// What passed between them and is in no pair.
    pub lost: Lost,
    /// What was decided of the frames that the ports sent, by destination; nothing if that is not counted.
    pub verdicts: Vec<DestinationVerdict>,
}

impl Monitor {
    /// Everything now of these ports, in their order, with their names: a [`Snapshot`] for people. The pairs are those of
    /// all ports that have a slot.
    ///
    /// ```no_run
    /// use netns_core::IfName;
    /// use netns_ebpf::{Behind, Monitor, PortIdentity};
    /// use std::{sync::Arc, thread, time::Duration};
    ///
    /// let monitor = Monitor::load(&Default::default())?;
    /// let slot = monitor.assign(7)?;
    /// let (name, behind) = (IfName::new("veth-a").unwrap(), Behind::Named("a".into()));
    /// let ports = [Arc::new(PortIdentity { ifindex: 7, slot, name, mac: None, behind })];
    /// let earlier = monitor.read(&ports);
    /// thread::sleep(Duration::from_secs(1));
    /// let now = monitor.read(&ports);
    /// for (port, rates) in now.ports.iter().zip(now.rates(&earlier)) {
    ///     println!("{}: {} bit/s", port.info.title(), rates.rx.bits);
    /// }
    /// # Ok::<(), netns_ebpf::MonitorError>(())
    /// ```
    ///
    /// # Panics
    /// If a port's slot is not one of this monitor's.
    #[must_use]
    pub fn read<'p>(&self, ports: impl IntoIterator<Item = &'p Arc<PortIdentity>>) -> Reading {
        let ports = ports.into_iter().map(|port| self.read_port(port)).collect();
        let (taken, counted_by) = (Instant::now(), CountedBy::Program);
        let (pairs, lost, verdicts) = (self.pairs(), self.lost_pairs(), self.verdicts());
        Reading { taken, counted_by, ports, pairs, lost, verdicts }
    }

    /// One of the ports of [`Self::read`].
    pub(super) fn read_port(&self, port: &Arc<PortIdentity>) -> PortReading {
        PortReading {
            info: Arc::clone(port),
            counters: self.counters(port.slot),
            violations: Some(self.violations(port.slot)),
            lost: self.lost_pairs_of(Some(port.slot)),
            limits: self.limits_and_over(port.slot),
            scopes: self.scope_counters(port.slot),
            lost_verdicts: self.lost_verdicts_of(port.slot),
        }
    }
}

impl PortReading {
    /// What the kernel alone counted, where no program may be loaded.
    #[must_use]
    pub fn of_kernel(port: &Arc<PortIdentity>, stats: &LinkStats) -> Self {
        Self {
            info: Arc::clone(port),
            counters: kernel_counters(stats),
            violations: None,
            lost: Lost::default(),
            limits: None,
            scopes: None,
            lost_verdicts: None,
        }
    }
}

impl Reading {
    /// What the kernel alone counted, now, of these ports.
    #[must_use]
    pub fn of_kernel(ports: Vec<PortReading>) -> Self {
        let (taken, counted_by) = (Instant::now(), CountedBy::Kernel);
        let (pairs, lost, verdicts) = (Vec::new(), Lost::default(), Vec::new());
        Self { taken, counted_by, ports, pairs, lost, verdicts }
    }

    /// The port of a slot, if it is in the reading. Looks at one after the other; for many there is [`Self::ends`].
    #[must_use]
    pub fn port(&self, slot: Slot) -> Option<&PortReading> {
        self.ports.iter().find(|port| port.info.slot == slot)
    }

    /// What was found wrong at all ports together, by reason; `None` where no program judges.
    #[must_use]
    pub fn violations(&self) -> Option<Violations> {
        self.ports.iter().filter_map(|port| port.violations).reduce(|sum, port| sum.plus(&port))
    }
}

impl Snapshot {
    /// What was found wrong at all ports together, by reason.
    #[must_use]
    pub fn violations(&self) -> Violations {
        self.ports.iter().fold(Violations::default(), |sum, port| sum.plus(&port.violations))
    }
}

#[cfg(test)]
mod tests;
