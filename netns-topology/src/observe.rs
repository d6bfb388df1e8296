//! What is there: the kernel's state, as far as a topology or its record speaks of it.

use crate::barred;
use crate::error::Result;
use crate::processes;
use crate::record::{LinkEntry, Record, RecordedWayOut, Store};
use crate::scope::Scope;
use crate::topology::{LinkName, Place, Topology, WayOutSpec};
use crate::way_out::fingerprint;
use netns_core::barrier::Barrier;
use netns_core::link::Link;
use netns_core::nat::{ForwardBlock, Forwarding, Nat, Publication};
use netns_core::record::{NamespaceIdentity, SharedSetting};
use netns_core::{ErrorKind, Namespace, RouteSocket, address, link, route, sysctl};
use netns_ebpf::layout::Violations;
use netns_ebpf::packet::Reason;
use netns_ebpf::{
    Ahead, Clsact, EgressPolicy, EgressTable, Mode, Monitor, MonitorError, OverLimits, Policy, Trace,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What is there.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Named namespaces that the topology or its record speaks of; `None` of a name that stands for no namespace.
    pub namespaces: BTreeMap<String, Option<NamespaceIdentity>>,
    /// What is in the host, and in those namespaces that are ours.
    pub places: BTreeMap<Place, ObservedInside>,
    /// Ports that are judged by our program.
    pub judged: BTreeMap<LinkName, JudgedPort>,
    /// Ports that carry filters of ours which do not judge them as they are to be: of earlier programs, or only one of
    /// the two.
    pub stale: BTreeSet<LinkName>,
    /// Filters and TCX programs of others that run before ours, port by port: a frame that one of them decides on is not judged.
    pub ahead: BTreeMap<LinkName, Vec<Ahead>>,
    /// Bridges that carry a program of ours, which judges what comes to the host: whether it is the one that judges the
    /// ports.
    pub hosts: BTreeMap<LinkName, bool>,
    /// Of the places of those ports: the numbers of groups that may not send to others, senders first.
    pub apart: BTreeMap<Place, BTreeSet<(u8, u8)>>,
    /// The ways out of bridges of the host that are on record and wanted.
    pub ways_out: BTreeMap<LinkName, ObservedWayOut>,
    /// The records of other topologies, if there is something in the way that may be one's.
    pub others: Vec<Record>,
    /// What others need settings of the host to be, of those that are on record.
    pub needed_by_others: BTreeMap<String, String>,
    /// Commands of the topology that run, by namespace and text.
    pub running: BTreeSet<(String, String)>,
}

/// A port that is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedPort {
    /// By what.
    pub policy: Policy,
    /// Where it may send to: what its egress policy says, if it has one.
    pub egress: Option<EgressTable>,
    /// What was found wrong.
    pub violations: Violations,
    /// What was over its limits.
    pub over: OverLimits,
    /// Whether what it sends is counted by destination.
    pub counts_verdicts: bool,
}

/// A way out of a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedWayOut {
    /// Whether its rules are those that are wanted.
    pub has_rules: bool,
    /// Whether they are, the host forwards for it, and no chain is closed that is to be open.
    pub is_whole: bool,
    /// What is published, each port by itself.
    pub published: Vec<Publication>,
}

/// What is in a namespace.
#[derive(Debug, Clone, Default)]
pub struct ObservedInside {
    /// Its links, by name: those of the topology by the name that they were made with, whatever they are called now.
    pub links: BTreeMap<String, Link>,
    /// Its addresses.
    pub addresses: Vec<address::Address>,
    /// Its routes.
    pub routes: Vec<route::Route>,
    /// Those settings that are spoken of; `None` if there is no such setting now.
    pub sysctls: BTreeMap<String, Option<String>>,
}

impl Observed {
    /// Looks. Nothing is changed.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn look(topology: &Topology, record: &Record) -> Result<Self> {
        let scope = Scope::of_file(record);
        let mut observed = Self::look_at(topology, record, &scope)?;
        observed.look_at_policies(record)?;
        observed.look_at_commands(record, &scope)?;
        Ok(observed)
    }

    /// As [`Self::look`], as far as a change asks for it: what is judged does not matter where all is taken down,
    /// and nothing is where nothing was made.
    pub(crate) fn look_for(topology: &Topology, record: &Record, scope: &Scope<'_>) -> Result<Self> {
        let mut observed = Self::look_at(topology, record, scope)?;
        if !topology.cables.is_empty() && record.has_links() {
            observed.look_at_policies(record)?;
        }
        observed.look_at_commands(record, scope)?;
        Ok(observed)
    }

    fn look_at_commands(&mut self, record: &Record, scope: &Scope<'_>) -> Result<()> {
        if !scope.has_commands {
            return Ok(());
        }
        let running = processes::running(&record.mark(), record)?;
        self.running = running.into_iter().map(|process| (process.namespace, process.command)).collect();
        Ok(())
    }

    fn look_at(topology: &Topology, record: &Record, scope: &Scope<'_>) -> Result<Self> {
        let unnamed = scope.unnamed;
        let mut observed = Self::default();
        let host = Namespace::current()?;
        let mut socket = RouteSocket::open_in(&host)?;
        let inside = look_inside(&host, &mut socket, &Place::Host, topology, record)?;
        observed.places.insert(Place::Host, inside);
        let names: BTreeSet<&String> = topology.namespaces.iter().chain(record.namespaces.keys()).collect();
        let present = if unnamed.is_none() { Namespace::list()? } else { Vec::new() };
        for name in names {
            let place = Place::Namespace(name.clone());
            let namespace = match unnamed.map(|held| held.get(&place)) {
                Some(Some(namespace)) => Arc::clone(namespace),
                Some(None) => continue,
                None if present.binary_search(name).is_err() => continue,
                None => match Namespace::open(name) {
                    // Somebody has taken it away meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    // A name without a namespace was left by somebody who was killed while making it.
                    Err(error) if error.kind() == ErrorKind::Invalid => {
                        observed.namespaces.insert(name.clone(), None);
                        continue;
                    }
                    // Whatever else: what is there must not be taken for what is not.
                    other => Arc::new(other?),
                },
            };
            let mut socket = RouteSocket::open_in(&namespace)?;
            // Nobody inside is to keep the others of the topology from being looked at.
            socket.take_changing_lists(true);
            let identity = NamespaceIdentity::with_socket(&namespace, &mut socket)?;
            observed.namespaces.insert(name.clone(), Some(identity));
            // Where all goes, what is inside goes along; of a file the changes say what that is.
            let goes_unseen = !scope.has_commands && topology.namespaces.is_empty();
            if !goes_unseen && record.namespaces.get(name).is_some_and(|ours| ours.is(&identity)) {
                let inside = look_inside(&namespace, &mut socket, &place, topology, record)?;
                observed.places.insert(place, inside);
            }
        }
        if observed.has_others(topology, record) {
            // One that cannot be read owns nothing as far as anybody knows.
            observed.others = Store::all()?.into_iter().flatten().collect();
            observed.others.retain(|other| other.file != record.file);
        }
        observed.look_at_ways_out(&host, topology, record, scope)?;
        for sysctl in record.sysctls.iter().filter(|sysctl| sysctl.is_shared() && unnamed.is_none()) {
            let setting = SharedSetting { namespace: &host, name: &sysctl.key, claimant: &scope.claimant };
            let needed = setting.needed_by_others()?.map(|needed| (sysctl.key.clone(), needed));
            observed.needed_by_others.extend(needed);
        }
        Ok(observed)
    }

    /// The links of the host, and its ways out, alone.
    pub(crate) fn look_for_ways_out(topology: &Topology, record: &Record, scope: &Scope<'_>) -> Result<Self> {
        let mut observed = Self::default();
        let host = Namespace::current()?;
        let inside = look_inside(&host, &mut RouteSocket::open_in(&host)?, &Place::Host, topology, record)?;
        observed.places.insert(Place::Host, inside);
        observed.look_at_ways_out(&host, topology, record, scope)?;
        Ok(observed)
    }

    fn look_at_ways_out(
        &mut self,
        host: &Namespace,
        topology: &Topology,
        record: &Record,
        scope: &Scope<'_>,
    ) -> Result<()> {
        for spec in &topology.ways_out {
            if let Some(known) = record.ways_out.iter().find(|known| known.is(spec.bridge.name)) {
                let way = self.look_at_way_out(host, spec, known, &scope.claimant)?;
                self.ways_out.insert(spec.bridge.clone(), way);
            }
        }
        Ok(())
    }

    fn look_at_way_out(
        &self,
        host: &Namespace,
        spec: &WayOutSpec,
        known: &RecordedWayOut,
        claimant: &Path,
    ) -> Result<ObservedWayOut> {
        let Some(bridge) = self.link(&spec.bridge) else { return Ok(ObservedWayOut::default()) };
        let options = spec.options(bridge.index, bridge.mac.unwrap_or_default());
        if known.fingerprint.as_ref() != Some(&fingerprint(&options)) {
            return Ok(ObservedWayOut::default());
        }
        let Some(mut nat) = Nat::open(host, &known.table, options)? else {
            return Ok(ObservedWayOut::default());
        };
        let is_closed = || -> Result<bool> {
            let mut nat =
                Nat::open(host, &known.table, spec.options(bridge.index, bridge.mac.unwrap_or_default()))?;
            let blocks = nat.as_mut().map_or_else(|| Ok(Vec::new()), |nat| nat.blocks(spec.bridge.name))?;
            Ok(blocks.iter().any(ForwardBlock::can_be_opened))
        };
        // A link that has become the way out since, such as a VPN's, does not forward yet.
        let forwards = || -> Result<bool> {
            let needed = Forwarding::plan(host, &spec.needs(), claimant)?;
            Ok(known.forwarding.is_on(host)? && known.forwarding.covers(&needed))
        };
        let has_rules = nat.is_whole()?;
        let is_whole = has_rules && forwards()? && !(spec.open_forward_chains && is_closed()?);
        let published = nat.published().or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(error),
        })?;
        let published = published.into_iter().map(|one| one.publication).collect();
        Ok(ObservedWayOut { has_rules, is_whole, published })
    }

    /// Whether anything has a name that the topology speaks of and is not on record.
    fn has_others(&self, topology: &Topology, record: &Record) -> bool {
        let is_ours = |name: &String, there: &NamespaceIdentity| {
            record.namespaces.get(name).is_some_and(|ours| ours.is(there))
        };
        let mut namespaces = topology.namespaces.iter().filter_map(|name| {
            self.namespaces.get(name).copied().flatten().map(|there| is_ours(name, &there))
        });
        let recorded =
            |link: &LinkName| record.every_link().any(|known| known.is(link) && self.ours(known).is_some());
        let ends = topology.cables.iter().flat_map(|cable| &cable.ends).map(|end| &end.link);
        let singles = topology.links.iter().map(|single| &single.link);
        let mut links = ends.chain(topology.bridges.iter().map(|bridge| &bridge.link)).chain(singles);
        namespaces.any(|ours| !ours) || links.any(|link| self.link(link).is_some() && !recorded(link))
    }

    /// Which ports carry the program that is on record, and what it knows of them.
    fn look_at_policies(&mut self, record: &Record) -> Result<()> {
        for (place, programs) in &record.programs {
            let (true, Some((&present, earlier))) = (self.places.contains_key(place), programs.split_last())
            else {
                continue;
            };
            let namespace = match place {
                Place::Host => Namespace::current()?,
                Place::Namespace(name) => Namespace::open(name)?,
            };
            let mut socket = RouteSocket::open_in(&namespace)?;
            let ends = record.cables.iter().flatten().filter(|end| end.place == *place);
            let ports: Vec<_> = ends.filter_map(|end| Some((end.link()?, self.ours(end)?.index))).collect();
            let monitor = match Monitor::reopen(present) {
                Err(MonitorError::Gone { .. } | MonitorError::OtherLayout { .. }) => None,
                other => Some(other?),
            };
            if let Some(monitor) = &monitor {
                self.apart.insert(place.clone(), monitor.groups_apart().into_iter().collect());
            }
            let stamp = monitor.as_ref().and_then(Monitor::stamp);
            let mut barrier = match (record.barriers.get(place), stamp) {
                (Some(name), Some(stamp)) => Barrier::open(&namespace, name, stamp)?,
                _ => None,
            };
            let is_whole = match &mut barrier {
                Some(barrier) => barrier.is_whole()?,
                None => false,
            };
            let unjudged = match &mut barrier {
                Some(barrier) if is_whole => barrier.unjudged()?,
                _ => Vec::new(),
            };
            let bridges = record.bridges.iter().filter(|bridge| bridge.place == *place);
            let bridges: Vec<_> =
                bridges.filter_map(|bridge| Some((bridge.link()?, self.ours(bridge)?.index))).collect();
            for (name, index) in bridges {
                let is_present = match &monitor {
                    Some(monitor) => monitor.attached(&mut socket, index)?.is_some(),
                    None => false,
                };
                let trace = Trace { ifindex: index, name: name.name, mac: None, clsact: Clsact::Ours };
                let mut carries = is_present;
                for programs in programs.iter().filter(|_| !is_present) {
                    carries |= trace.carries(&mut socket, *programs)?;
                }
                if carries {
                    self.hosts.insert(name, is_present);
                }
            }
            let mut tables = BTreeMap::new();
            for (name, index) in ports {
                let (mut judged, ahead) = match &monitor {
                    Some(monitor) => judged(monitor, &mut tables, &mut socket, index)?,
                    None => (None, Vec::new()),
                };
                if !ahead.is_empty() {
                    self.ahead.insert(name.clone(), ahead);
                }
                if let Some(JudgedPort { policy, violations, .. }) = &mut judged {
                    let dropped = unjudged.iter().filter(|one| one.port == index).map(|one| one.packets);
                    violations.packets[usize::from(Reason::Unjudged.code())] += dropped.sum::<u64>();
                    // What is enforced takes both the programs and the barrier.
                    let is_barred =
                        is_whole && barrier.as_ref().is_some_and(|barrier| barrier.is_behind(index));
                    if policy.mode == Mode::Enforce && stamp.is_some() && !is_barred {
                        judged = None;
                    }
                }
                let mut of_no_use = earlier.to_vec();
                match judged {
                    Some(judged) => {
                        self.judged.insert(name.clone(), judged);
                    }
                    // One of the two may be there without the other.
                    None => of_no_use.push(present),
                }
                let trace = Trace { ifindex: index, name: name.name, mac: None, clsact: Clsact::Ours };
                for programs in of_no_use {
                    if trace.carries(&mut socket, programs)? {
                        self.stale.insert(name.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// What is in a place; `None` if it is not there, or not ours.
    pub(crate) fn inside(&self, place: &Place) -> Option<&ObservedInside> {
        self.places.get(place)
    }

    /// A link, ours or not.
    pub(crate) fn link(&self, link: &LinkName) -> Option<&Link> {
        self.inside(&link.place)?.links.get(link.name.as_str())
    }

    /// A link that the record speaks of, if it is that one and no later one of its name. Somebody may have given it
    /// another MAC address, or another name: see [`ObservedInside::links`].
    pub(crate) fn ours(&self, recorded: &LinkEntry) -> Option<&Link> {
        let links = &self.inside(&recorded.place)?.links;
        let has_index = |link: &&Link| recorded.index == Some(link.index);
        let named = links.get(&recorded.name).filter(|link| recorded.has_mac(link.mac) || has_index(link));
        // Another link may have its name by now.
        let renamed = || links.values().find(|link| has_index(link) && recorded.has_mac(link.mac));
        named.or_else(|| recorded.index.and_then(|_| renamed()))
    }
}

/// What a monitor knows of a port, if that carries both of its programs, and what runs before them.
fn judged(
    monitor: &Monitor,
    tables: &mut BTreeMap<EgressPolicy, EgressTable>,
    socket: &mut RouteSocket,
    index: u32,
) -> Result<(Option<JudgedPort>, Vec<Ahead>)> {
    let (Some(slot), Some(ahead)) = (monitor.slot(index), monitor.ahead(socket, index)?) else {
        return Ok((None, Vec::new()));
    };
    let Some(policy) = monitor.policy(slot) else { return Ok((None, ahead)) };
    let egress = match policy.egress {
        Some(egress) => {
            // Many ports share one.
            Some(match tables.get(&egress) {
                Some(table) => table.clone(),
                None => tables.entry(egress).insert_entry(monitor.egress_table(egress)?).get().clone(),
            })
        }
        None => None,
    };
    let (violations, over) = (monitor.violations(slot), monitor.over_limits(slot));
    let counts_verdicts = monitor.has_verdicts();
    Ok((Some(JudgedPort { policy, egress, violations, over, counts_verdicts }), ahead))
}

/// Links by their names; one of ours that somebody has given another name, which is known by its index and its MAC
/// address then, by the one that it was made with, if no other link has that.
fn by_name<'a>(links: Vec<Link>, ours: impl Iterator<Item = &'a LinkEntry>) -> BTreeMap<String, Link> {
    let mut links: BTreeMap<String, Link> =
        links.into_iter().map(|link| (link.name.to_string(), link)).collect();
    for known in ours.filter(|known| known.index.is_some()) {
        if links.contains_key(&known.name) {
            continue;
        }
        let is_it = |link: &&Link| Some(link.index) == known.index && known.has_mac(link.mac);
        let name = links.values().find(is_it).map(|link| link.name.to_string());
        if let Some(link) = name.and_then(|name| links.remove(&name)) {
            links.insert(known.name.clone(), link);
        }
    }
    links
}

fn look_inside(
    namespace: &Namespace,
    socket: &mut RouteSocket,
    place: &Place,
    topology: &Topology,
    record: &Record,
) -> Result<ObservedInside> {
    let mut links = link::list(socket)?;
    if !record.barriers.contains_key(place) {
        barred::overlook(namespace, &mut links)?;
    }
    let mut inside = ObservedInside {
        links: by_name(links, record.every_link().filter(|known| known.place == *place)),
        addresses: address::list(socket)?,
        routes: route::list(socket)?,
        sysctls: BTreeMap::new(),
    };
    let wanted = topology.sysctls.iter().filter(|sysctl| sysctl.place == *place).map(|sysctl| &sysctl.key);
    let recorded = record.sysctls.iter().filter(|sysctl| sysctl.place == *place).map(|sysctl| &sysctl.key);
    for key in wanted.chain(recorded) {
        let value = match sysctl::get(namespace, key) {
            Ok(value) => Some(crate::words(&value)),
            // Of an interface that is not there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        inside.sysctls.insert(key.clone(), value);
    }
    Ok(inside)
}
