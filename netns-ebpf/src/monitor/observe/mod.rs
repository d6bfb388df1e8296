//! Observing a bridge that is there: its ports as they come and go, who is behind them, and no trace in the end.

mod behind;
mod file;
mod judge;
mod station;
mod trace;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use netns_core::events::{Event, Events};
use netns_core::link::{self, Link};
use netns_core::{Error, IfName, Namespace, RouteSocket, tc};
use std::net::IpAddr;

pub use file::{JournalFile, Place};
pub use judge::{Judging, PolicyOf};
pub use station::{Station, stations};
pub use trace::{Clsact, Journal, Trace};

use super::reading::{Behind, PortInfo, PortReading, Reading};
use super::{Attachment, Monitor, MonitorError};
use crate::layout::PortCounters;
use behind::Search;
use judge::{Clock, Learnt};
use station::Stations;

/// How many events are taken at once: a reader that others keep busy gets its turn.
const MOST_EVENTS: usize = 4096;

/// What became of a bridge's ports.
#[derive(Debug)]
#[non_exhaustive]
pub enum PortChange {
    /// A port came, and is counted from now on.
    Came(Arc<PortInfo>),
    /// A port got another name, or it was found out who is behind it.
    Known(Arc<PortInfo>),
    /// A port is gone or left the bridge.
    Left(Box<PortReading>),
    /// A port came and cannot be counted.
    Refused {
        /// Its name.
        name: IfName,
        /// Why.
        error: MonitorError,
    },
    /// The bridge itself is gone.
    BridgeGone,
}

/// Counts on every port of a bridge that somebody else made, until it is stopped or dropped; then nothing of it is left
/// on any port.
///
/// ```no_run
/// use netns_core::{IfName, Namespace};
/// use netns_ebpf::{Monitor, Observer};
/// use std::time::Duration;
///
/// let monitor = Monitor::load(&Default::default())?;
/// let host = Namespace::current().unwrap();
/// let mut observer = Observer::start(&monitor, &host, IfName::new("docker0").unwrap(), ())?;
/// let earlier = observer.read();
/// for change in observer.changes(Duration::from_secs(1))? {
///     println!("{change:?}");
/// }
/// let now = observer.read();
/// for (port, rates) in now.ports.iter().zip(now.rates(&earlier)) {
///     println!("{} {}: {} bit/s", port.info.name, port.info.behind.label(), rates.rx.bits);
/// }
/// observer.stop()?;
/// # Ok::<(), netns_ebpf::MonitorError>(())
/// ```
pub struct Observer<'m> {
    monitor: &'m Monitor,
    socket: RouteSocket,
    events: Events,
    bridge: Link,
    ports: BTreeMap<u32, Observed>,
    /// Ports that could not be attached to, so that it is tried once.
    refused: HashSet<u32>,
    search: Search,
    journal: Box<dyn Journal + 'm>,
    judging: Judging<'m>,
    clock: Clock,
    /// What has not been told yet.
    news: Vec<PortChange>,
    lost: u64,
}

struct Observed {
    attachment: Attachment,
    learnt: Learnt,
    info: Arc<PortInfo>,
}

impl<'m> Observer<'m> {
    /// Attaches to every port of a bridge in `host`. A port that cannot be attached to is told by
    /// [`Self::changes`]; the others are counted.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if there is no such bridge, or the kernel does not tell of it.
    pub fn start(
        monitor: &'m Monitor,
        host: &Namespace,
        bridge: IfName,
        journal: impl Journal + 'm,
    ) -> Result<Self, MonitorError> {
        Self::start_judging(monitor, host, bridge, journal, Judging::Nothing)
    }

    /// As [`Self::start`], and judges what comes in by the ports.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_judging(
        monitor: &'m Monitor,
        host: &Namespace,
        bridge: IfName,
        journal: impl Journal + 'm,
        judging: Judging<'m>,
    ) -> Result<Self, MonitorError> {
        let failed = |source| MonitorError::Bridge { bridge, source };
        // Before the first look, so that no port is missed in between.
        let events = Events::open_in(host).map_err(failed)?;
        let mut socket = RouteSocket::open_in(host).map_err(failed)?;
        let bridge = link::get(&mut socket, bridge).map_err(failed)?;
        if bridge.kind.as_deref() != Some("bridge") {
            let error = Error::invalid("observe", bridge.name.to_string(), "this is no bridge");
            return Err(failed(error));
        }
        let mut observer = Self {
            monitor,
            socket,
            events,
            bridge,
            ports: BTreeMap::new(),
            refused: HashSet::new(),
            search: Search::new(),
            journal: Box::new(journal),
            judging,
            clock: Clock::new(),
            news: Vec::new(),
            lost: 0,
        };
        observer.look_at_all()?;
        observer.identify();
        Ok(observer)
    }

    /// The bridge.
    #[must_use]
    pub fn bridge(&self) -> &Link {
        &self.bridge
    }

    /// The ports, by ifindex.
    pub fn ports(&self) -> impl Iterator<Item = &Arc<PortInfo>> {
        self.ports.values().map(|port| &port.info)
    }

    /// How often the kernel's events came faster than they were read. Everything was looked at anew then, so that only
    /// ports that came and went in between are unknown.
    #[must_use]
    pub const fn lost_events(&self) -> u64 {
        self.lost
    }

    /// Waits for at most `limit` until something becomes of the ports, attaches to those that came, detaches from those
    /// that left the bridge, and tells of them.
    ///
    /// Whoever wants to know who sent the frames of [`Monitor::events`] asks for those first, while [`Self::ports`] still
    /// has the ports that left.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the kernel does not tell.
    pub fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, MonitorError> {
        let mut limit = if self.news.is_empty() { limit } else { Duration::ZERO };
        for _ in 0..MOST_EVENTS {
            let event = self.events.next(limit).map_err(|source| self.failed(source))?;
            limit = Duration::ZERO;
            match event {
                Some(Event::Link(link)) => self.look_at(&link)?,
                Some(Event::LinkGone(link)) if link.index == self.bridge.index => {
                    self.news.push(PortChange::BridgeGone);
                }
                Some(Event::LinkGone(link)) => {
                    self.refused.remove(&link.index);
                    self.leave(link.index)?;
                    // It may have left another bridge for ours, or be another link of the same index by now.
                    self.look_again(link.index)?;
                }
                Some(Event::Lost) => {
                    self.lost += 1;
                    self.look_at_all()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        self.identify();
        self.learn()?;
        Ok(std::mem::take(&mut self.news))
    }

    /// All counters now, ports in the order of their ifindex.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.monitor.read(self.ports())
    }

    /// The addresses behind a port, as far as the bridge and the host have learnt them.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the kernel does not tell.
    pub fn stations(&mut self, port: u32) -> Result<Vec<Station>, MonitorError> {
        stations(&mut self.socket, self.bridge.index, port).map_err(|source| self.failed(source))
    }

    /// Detaches from every port.
    ///
    /// # Errors
    /// The first failure; every port is tried.
    pub fn stop(mut self) -> Result<(), MonitorError> {
        self.detach_all()
    }

    fn failed(&self, source: Error) -> MonitorError {
        MonitorError::Bridge { bridge: self.bridge.name, source }
    }

    /// Compares what we know with what is there.
    fn look_at_all(&mut self) -> Result<(), MonitorError> {
        let links =
            link::list_ports(&mut self.socket, self.bridge.index).map_err(|source| self.failed(source))?;
        let there: HashSet<u32> = links.iter().map(|link| link.index).collect();
        let gone: Vec<u32> = self.ports.keys().filter(|index| !there.contains(index)).copied().collect();
        for index in gone {
            self.leave(index)?;
        }
        self.refused.retain(|index| there.contains(index));
        let found = self.find_out(&links);
        for link in links {
            self.look_at_known(&link, &found)?;
        }
        Ok(())
    }

    /// Who is behind those of these links that are new, if judging asks for that; all at once, since it takes a look at
    /// every namespace.
    fn find_out(&mut self, links: &[Link]) -> HashMap<i32, Behind> {
        if !self.judging.asks_who() {
            return HashMap::new();
        }
        let is_new =
            |link: &&Link| link.master == Some(self.bridge.index) && !self.ports.contains_key(&link.index);
        let wanted: HashSet<i32> =
            links.iter().filter(is_new).filter_map(|link| link.peer_namespace_id).collect();
        if wanted.is_empty() { HashMap::new() } else { behind::find(&mut self.socket, wanted) }
    }

    /// Asks for a link as it is now, and looks at it.
    fn look_again(&mut self, index: u32) -> Result<(), MonitorError> {
        match link::get(&mut self.socket, index) {
            Ok(link) => self.look_at(&link),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Looks at a link that came or changed. What an event tells may be past: it is attached to all the same, and fails,
    /// or a later event tells that it left.
    fn look_at(&mut self, link: &Link) -> Result<(), MonitorError> {
        let found = self.find_out(std::slice::from_ref(link));
        self.look_at_known(link, &found)
    }

    /// As [`Self::look_at`], where it was found out who is behind some namespaces' ids.
    fn look_at_known(&mut self, link: &Link, found: &HashMap<i32, Behind>) -> Result<(), MonitorError> {
        let is_port = link.master == Some(self.bridge.index);
        let Some(port) = self.ports.get_mut(&link.index) else {
            if is_port {
                let behind = link.peer_namespace_id.and_then(|id| found.get(&id)).cloned();
                self.come(link, behind.unwrap_or_else(|| behind::of_link(link)));
            }
            return Ok(());
        };
        if !is_port {
            // Some events of a port do not name its bridge.
            let now = link::get(&mut self.socket, link.index);
            if now.is_ok_and(|now| now.master == Some(self.bridge.index)) {
                return Ok(());
            }
            return self.leave(link.index);
        }
        if port.info.name != link.name {
            port.info = Arc::new(PortInfo { name: link.name, ..PortInfo::clone(&port.info) });
            self.judging.apply(self.monitor, &port.info);
            self.news.push(PortChange::Known(Arc::clone(&port.info)));
        }
        Ok(())
    }

    /// Attaches to a port, unless that failed before.
    fn come(&mut self, link: &Link, behind: Behind) {
        if self.refused.contains(&link.index) {
            return;
        }
        match self.attach(link, &behind) {
            Ok(attachment) => {
                let info = Arc::new(PortInfo {
                    ifindex: link.index,
                    slot: attachment.slot(),
                    name: link.name,
                    mac: link.mac,
                    behind,
                });
                self.search.hasten();
                self.news.push(PortChange::Came(Arc::clone(&info)));
                self.ports.insert(link.index, Observed { attachment, info, learnt: Learnt::default() });
            }
            // It is gone again.
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                self.refused.insert(link.index);
                self.news.push(PortChange::Refused { name: link.name, error });
            }
        }
    }

    fn attach(&mut self, link: &Link, behind: &Behind) -> Result<Attachment, MonitorError> {
        let port = |source| MonitorError::Port { operation: "attach to", ifindex: link.index, source };
        let qdiscs = tc::list_qdiscs(&mut self.socket, link.index).map_err(port)?;
        let clsact = if qdiscs.iter().any(tc::Qdisc::is_clsact) { Clsact::NotOurs } else { Clsact::Unsure };
        let mut trace = Trace { ifindex: link.index, name: link.name, clsact };
        let noted = |source| MonitorError::Kernel { operation: "write down what is attached".into(), source };
        self.journal.note(&trace).map_err(noted)?;
        let policy = |monitor: &Monitor| {
            // Its slot is not known yet, and no part of who it is.
            let slot = monitor.slot(link.index).or(super::Slot::new(1))?;
            let behind = behind.clone();
            let info = PortInfo { ifindex: link.index, slot, name: link.name, mac: link.mac, behind };
            self.judging.given(&info)
        };
        let policy = policy(self.monitor);
        let attachment = self.monitor.attach_with(&mut self.socket, link.index, policy.as_ref());
        if trace.clsact == Clsact::Unsure {
            let ours = attachment.as_ref().is_ok_and(Attachment::made_clsact);
            trace.clsact = if ours { Clsact::Ours } else { Clsact::NotOurs };
            if let Err(error) = self.journal.note(&trace) {
                if let Ok(attachment) = attachment {
                    self.monitor.detach(&mut self.socket, &attachment)?;
                }
                return Err(noted(error));
            }
        }
        attachment
    }

    /// Detaches from a port, if it was one.
    fn leave(&mut self, index: u32) -> Result<(), MonitorError> {
        let Some(port) = self.ports.remove(&index) else { return Ok(()) };
        let last = self.monitor.read_port(&port.info);
        if let Err(error) = self.monitor.detach(&mut self.socket, &port.attachment) {
            // It is tried again in the end.
            self.ports.insert(index, port);
            return Err(error);
        }
        self.news.push(PortChange::Left(Box::new(last)));
        Ok(())
    }

    /// Finds out who is behind ports of which only an id is known.
    fn identify(&mut self) {
        let id = |port: &Observed| match port.info.behind {
            Behind::Id(id) => Some(id),
            _ => None,
        };
        let wanted: HashSet<i32> = self.ports.values().filter_map(id).collect();
        if wanted.is_empty() || !self.search.is_due() {
            return;
        }
        let found = behind::find(&mut self.socket, wanted);
        for port in self.ports.values_mut() {
            if let Some(behind) = id(port).and_then(|id| found.get(&id)) {
                port.info = Arc::new(PortInfo { behind: behind.clone(), ..PortInfo::clone(&port.info) });
                self.judging.apply(self.monitor, &port.info);
                self.news.push(PortChange::Known(Arc::clone(&port.info)));
            }
        }
    }

    /// Judges ports by what the bridge and the host have learnt of them.
    fn learn(&mut self) -> Result<(), MonitorError> {
        if !matches!(self.judging, Judging::Learnt) || !self.clock.is_due() {
            return Ok(());
        }
        let stations = Stations::look(&mut self.socket, self.bridge.index);
        let stations = stations.map_err(|source| self.failed(source))?;
        let mut taken: HashSet<IpAddr> =
            self.ports.values().flat_map(|port| port.learnt.addresses()).copied().collect();
        for (&index, port) in &mut self.ports {
            if let Some(policy) = port.learnt.learn(&stations.of(index), &mut taken) {
                self.monitor.set_policy(port.info.slot, &policy)?;
            }
        }
        Ok(())
    }

    fn detach_all(&mut self) -> Result<(), MonitorError> {
        let mut outcome = Ok(());
        for (_, port) in std::mem::take(&mut self.ports) {
            let detached = self.monitor.detach(&mut self.socket, &port.attachment);
            outcome = outcome.and(detached);
        }
        outcome
    }

    /// The last counters of a port that is still there.
    #[must_use]
    pub fn counters(&self, ifindex: u32) -> Option<PortCounters> {
        self.ports.get(&ifindex).map(|port| self.monitor.counters(port.info.slot))
    }
}

impl Drop for Observer<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.detach_all() {
            log::warn!("bridge {} could not be left as it was: {error}", self.bridge.name);
        }
    }
}

impl fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("bridge", &self.bridge.name)
            .field("ports", &self.ports.len())
            .finish_non_exhaustive()
    }
}

impl AsFd for Observer<'_> {
    /// Readable when [`Observer::changes`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

fn is_gone(error: &MonitorError) -> bool {
    matches!(error, MonitorError::Port { source, .. } if source.errno() == Some(libc::ENODEV))
}
