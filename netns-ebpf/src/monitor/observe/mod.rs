//! Observing a bridge that is there: its ports as they come and go, who is behind them, and no trace in the end.

mod barred;
mod barrier;
mod behind;
mod file;
mod host;
mod inherit;
mod judge;
mod kernel;
mod noted;
mod ports;
mod programs;
mod station;
mod stray;
mod tidy;
mod trace;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netns_core::events::{Event, Events};
use netns_core::link::{self, Link, LinkStats};
use netns_core::{Error, IfName, Namespace, RouteSocket};
use std::net::IpAddr;

pub use barred::Barred;
pub use file::{JournalClaims, JournalFile, JournalPlace};
pub use judge::{Judging, PolicyOf};
pub use station::{Station, stations};
pub use stray::{StrayFilter, StrayFilters, programs_of_processes};
pub use trace::{Clsact, Inheritance, Journal, Trace};

use super::reading::{Behind, PortIdentity, PortReading, Reading};
use super::{Attachment, CountedApart, Monitor, MonitorError};
use crate::layout::PortCounters;
use barrier::Raised;
use behind::Search;
use judge::{Clock, Learnt};
use kernel::Counts;
use programs::Others;
use station::Stations;

/// How long one round of [`Observer::changes`] takes events and attaches to ports, if there is no end of them: the
/// caller has other things to do, such as hearing a signal. What is left is for the next round.
const ROUND: Duration = Duration::from_millis(100);

/// What became of a bridge's ports.
#[derive(Debug)]
#[non_exhaustive]
pub enum PortChange {
    /// A port came, and is counted from now on.
    Came(Arc<PortIdentity>),
    /// A port came of which the kernel counts at another place than the program, as its offloads are now.
    CountedApart {
        /// The port.
        port: Arc<PortIdentity>,
        /// In which way.
        why: CountedApart,
    },
    /// A port got another name, or it was found out who is behind it.
    Known(Arc<PortIdentity>),
    /// A port is gone or left the bridge.
    Left(Box<PortReading>),
    /// A port that is not judged, though others are: [`Judging::Given`] has no policy for it. Its frames pass.
    Unjudged(Arc<PortIdentity>),
    /// A port that may send nothing from now on: its policy is [`Policy::closed`](super::Policy::closed).
    Closed(Arc<PortIdentity>),
    /// A port came and cannot be counted.
    Refused {
        /// Its name.
        name: IfName,
        /// Whether a policy was to be enforced on it, and is not.
        enforced: bool,
        /// Whether what it sends is dropped all the same, by the barrier behind the ports
        /// ([`MonitorOptions::barrier`](super::MonitorOptions::barrier)): a port on which a policy was to be enforced.
        closed: bool,
        /// Why.
        error: MonitorError,
    },
    /// It is not known who is behind some port, and one of those that it may be cannot be looked at: a policy for that
    /// namespace is not applied.
    Hidden {
        /// What cannot be looked at, in words.
        what: String,
        /// Why.
        error: Error,
    },
    /// Somebody took away what enforces the policies. What was sent meanwhile was not judged; a barrier
    /// ([`MonitorOptions::barrier`](crate::MonitorOptions::barrier)), where there still is one, has dropped that.
    EnforcementLost {
        /// What was taken away, in words.
        what: String,
        /// Whether it is there again. It is not where somebody else's program runs before ours and ours cannot be put first.
        is_restored: bool,
    },
    /// The bridge itself is gone.
    BridgeGone,
}

/// Counts on every port of a bridge that somebody else made, until it is stopped or dropped; then nothing of it is left
/// on any port. Where no program can be loaded, [`Self::start_without_program`] follows the ports all the same.
///
/// ```no_run
/// use netns_core::{IfName, Namespace};
/// use netns_ebpf::{Monitor, Observer};
/// use std::time::{Duration, Instant};
///
/// let monitor = Monitor::load(&Default::default())?;
/// let host = Namespace::current().unwrap();
/// let mut observer = Observer::start(&monitor, &host, IfName::new("docker0").unwrap(), ())?;
/// let earlier = observer.read()?;
/// for change in observer.changes(Duration::from_secs(1))? {
///     println!("{change:?}");
/// }
/// let now = observer.read()?;
/// for (port, rates) in now.ports.iter().zip(now.rates(&earlier)) {
///     println!("{} {}: {} bit/s", port.info.name, port.info.behind.label(), rates.rx.bits);
/// }
/// observer.stop()?;
/// # Ok::<(), netns_ebpf::MonitorError>(())
/// ```
pub struct Observer<'m> {
    counts: Counts<'m>,
    socket: RouteSocket,
    events: Events,
    bridge: Link,
    ports: BTreeMap<u32, ObservedPort>,
    /// Links that came or changed and were not looked at yet, in the order of the events: some events of a port say less of
    /// it than others.
    unseen: VecDeque<Link>,
    /// Ports that could not be attached to, so that it is tried once, and whether a policy was to be enforced there.
    refused: HashMap<u32, bool>,
    search: Search,
    /// What could not be looked at, so that it is reported once.
    hidden: HashSet<String>,
    journal: Box<dyn Journal + 'm>,
    judging: Judging<'m>,
    clock: Clock,
    /// What has not been reported yet.
    news: Vec<PortChange>,
    lost: u64,
    barrier: Option<Raised>,
    /// On the bridge itself.
    host: Option<Attachment>,
    others: Others,
    lost_enforcement: u64,
    /// Links of which a qdisc or a filter has changed.
    touched: HashSet<u32>,
    /// What a killed observer left on ports and the bridge, until all of it is taken over or removed.
    inherited: BTreeMap<u32, Trace>,
}

struct ObservedPort {
    /// The kernel's id of the namespace that the other end is in, as it was looked at last.
    peer_namespace: Option<i32>,
    /// `None` where the kernel alone counts.
    attachment: Option<Attachment>,
    learnt: Learnt,
    info: Arc<PortIdentity>,
    /// What the kernel said last, where it alone counts.
    stats: LinkStats,
}

impl<'m> Observer<'m> {
    /// Attaches to every port of a bridge in `host`. A port that cannot be attached to is reported by
    /// [`Self::changes`]; the others are counted.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if there is no such bridge, or the kernel does not know it.
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
        Self::begin(Counts::Program(monitor), host, bridge, Box::new(journal), judging)
    }

    fn begin(
        counts: Counts<'m>,
        host: &Namespace,
        bridge: IfName,
        mut journal: Box<dyn Journal + 'm>,
        judging: Judging<'m>,
    ) -> Result<Self, MonitorError> {
        let failed = |source| MonitorError::Bridge { bridge, source };
        // Before the first look, so that no port is missed in between.
        let open = match &counts {
            Counts::Program(_) => Events::open_with_traffic_control,
            Counts::Kernel(_) => Events::open,
        };
        let events = open_in(host, open).map_err(failed)?;
        let mut socket = open_in(host, RouteSocket::open).map_err(failed)?;
        let bridge = link::get(&mut socket, bridge).map_err(failed)?;
        if bridge.kind.as_deref() != Some("bridge") {
            let error = Error::invalid("observe", bridge.name.to_string(), "this is no bridge");
            return Err(failed(error));
        }
        let Inheritance { traces, barred } = journal.inheritance();
        let barrier =
            Raised::raise(&counts, &judging, host, &mut socket, bridge.index, &mut *journal, barred)?;
        let mut observer = Self {
            counts,
            socket,
            events,
            bridge,
            ports: BTreeMap::new(),
            unseen: VecDeque::new(),
            refused: HashMap::new(),
            search: Search::new(),
            hidden: HashSet::new(),
            journal,
            judging,
            clock: Clock::new(),
            news: Vec::new(),
            lost: 0,
            barrier,
            host: None,
            others: Others::new(host.try_clone().map_err(failed)?),
            lost_enforcement: 0,
            touched: HashSet::new(),
            inherited: traces.into_iter().map(|trace| (trace.ifindex, trace)).collect(),
        };
        observer.list_all()?;
        observer.take_over()?;
        observer.look_at_unseen(None)?;
        observer.settle()?;
        observer.identify()?;
        observer.keep_barrier()?;
        Ok(observer)
    }

    /// The bridge, as it was when it was found, by its present name.
    #[must_use]
    pub fn bridge(&self) -> &Link {
        &self.bridge
    }

    /// The ports, by ifindex.
    pub fn ports(&self) -> impl Iterator<Item = &Arc<PortIdentity>> {
        self.ports.values().map(|port| &port.info)
    }

    /// How often the kernel's events came faster than they were read. Everything was looked at anew then, so that only
    /// ports that came and went in between are unknown.
    #[must_use]
    pub const fn lost_events(&self) -> u64 {
        self.lost
    }

    /// Waits for at most `limit` until something becomes of the ports, attaches to those that came, detaches from those
    /// that left the bridge, and reports them. It ends after about a tenth of a second even if others keep it busy; the
    /// next call goes on, without a wait.
    ///
    /// To know who sent the frames of [`Monitor::events`], ask for those first, while [`Self::ports`] still has the ports
    /// that left.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the kernel does not say.
    pub fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, MonitorError> {
        let is_idle = self.news.is_empty() && self.unseen.is_empty();
        let mut limit = if is_idle { limit } else { Duration::ZERO };
        let mut round = None;
        loop {
            let event = self.events.next(limit).map_err(|source| self.failed(source))?;
            limit = Duration::ZERO;
            let Some(event) = event else { break };
            self.take_event(event)?;
            // It begins when there is something to do.
            if Instant::now() >= *round.get_or_insert_with(|| Instant::now() + ROUND) {
                break;
            }
        }
        self.look_at_unseen(Some(round.unwrap_or_else(|| Instant::now() + ROUND)))?;
        self.identify()?;
        self.learn()?;
        self.keep_programs()?;
        self.look_for_others()?;
        self.keep_barrier()?;
        Ok(std::mem::take(&mut self.news))
    }

    fn take_event(&mut self, event: Event) -> Result<(), MonitorError> {
        match event {
            Event::Link(link) if link.index == self.bridge.index => {
                self.bridge.name = link.name;
                self.follow_name()?;
            }
            Event::Link(link) => self.unseen.push_back(*link),
            Event::LinkGone(link) if link.index == self.bridge.index => {
                self.news.push(PortChange::BridgeGone);
            }
            Event::LinkGone(link) => {
                self.forget_refused(link.index)?;
                self.unseen.retain(|other| other.index != link.index);
                self.leave(link.index)?;
                // It may have left another bridge for ours, or be another link of the same index by now.
                self.list_one(link.index)?;
            }
            // What this observer did itself it knows.
            Event::TrafficControl { by, .. } if Some(by) == self.socket.port_id() => {}
            Event::TrafficControl { index, .. } => drop(self.touched.insert(index)),
            Event::Lost => {
                self.lost += 1;
                self.touched.extend(self.ports.keys());
                self.list_all()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// All counters now, ports in the order of their ifindex. Those of the program take no system call; what a barrier has
    /// dropped is asked for.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the kernel alone counts and gives no numbers.
    pub fn read(&mut self) -> Result<Reading, MonitorError> {
        match &self.counts {
            Counts::Program(monitor) => {
                let monitor = *monitor;
                self.read_barrier(monitor)?;
                Ok(monitor.read(self.ports()))
            }
            Counts::Kernel(_) => self.read_kernel(),
        }
    }

    /// The addresses behind a port, as far as the bridge and the host have learnt them.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the kernel gives no answer.
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

    /// Finds out who is behind ports of which only an id is known.
    fn identify(&mut self) -> Result<(), MonitorError> {
        let id = |port: &ObservedPort| match port.info.behind {
            Behind::Id(id) => Some(id),
            _ => None,
        };
        let wanted: HashSet<i32> = self.ports.values().filter_map(id).collect();
        if wanted.is_empty() || !self.search.is_due() {
            return Ok(());
        }
        let found = self.find_behind(wanted);
        let mut known = Vec::new();
        for port in self.ports.values_mut() {
            if let Some(behind) = id(port).and_then(|id| found.get(&id)) {
                port.info =
                    Arc::new(PortIdentity { behind: behind.clone(), ..PortIdentity::clone(&port.info) });
                known.push(Arc::clone(&port.info));
            }
        }
        known.iter().try_for_each(|port| self.judge_again(port))
    }

    /// Reports that a port is known better than before, and judges it by what is given for it now.
    fn judge_again(&mut self, port: &Arc<PortIdentity>) -> Result<(), MonitorError> {
        self.news.push(PortChange::Known(Arc::clone(port)));
        let policy = self.judging.given(port);
        self.watch_host(policy.as_ref())?;
        self.news.extend(self.counts.judge(&self.judging, policy.as_ref(), port));
        Ok(())
    }

    /// Searches for namespaces, and reports those that cannot be looked at once.
    fn find_behind(&mut self, wanted: HashSet<i32>) -> HashMap<i32, Behind> {
        let behind::FoundBehind { behind, hidden } = behind::find(&mut self.socket, wanted);
        for (what, error) in hidden {
            if self.hidden.insert(what.clone()) {
                self.news.push(PortChange::Hidden { what, error });
            }
        }
        behind
    }

    /// Judges ports by what the bridge and the host have learnt of them.
    fn learn(&mut self) -> Result<(), MonitorError> {
        let (Counts::Program(monitor), Judging::Learnt) = (&self.counts, &self.judging) else {
            return Ok(());
        };
        if !self.clock.is_due() {
            return Ok(());
        }
        let (monitor, began) = (*monitor, Instant::now());
        let stations = match Stations::look(&mut self.socket, self.bridge.index) {
            // The bridge has gone since the notices were read; one more will say so.
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(()),
            other => other.map_err(|source| self.failed(source))?,
        };
        let mut taken: HashSet<IpAddr> =
            self.ports.values().flat_map(|port| port.learnt.addresses()).copied().collect();
        for (&index, port) in &mut self.ports {
            if let Some(policy) = port.learnt.learn(stations.of(index), stations.filters_vlans, &mut taken) {
                monitor.set_policy(port.info.slot, &policy)?;
            }
        }
        self.clock.took(began.elapsed());
        Ok(())
    }

    fn detach_all(&mut self) -> Result<(), MonitorError> {
        let mut outcome = self.lower_barrier().and(self.leave_host());
        for port in std::mem::take(&mut self.ports).into_values() {
            outcome = outcome.and(self.counts.release(&mut self.socket, &mut *self.journal, &port));
        }
        outcome
    }

    /// The last counters of a port that is still there.
    #[must_use]
    pub fn counters(&self, ifindex: u32) -> Option<PortCounters> {
        self.ports.get(&ifindex).map(|port| self.counts.read(port).counters)
    }
}

/// Opens something in a namespace. In the caller's own that takes no capability, which entering a namespace does.
fn open_in<R>(host: &Namespace, open: fn() -> netns_core::Result<R>) -> netns_core::Result<R> {
    if Namespace::current()?.id()? == host.id()? { open() } else { host.enter(open)? }
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

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for Observer<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}
