//! What is there: the kernel's state, as far as a topology or its record speaks of it.

use crate::error::{Error, Result};
use crate::processes;
use crate::record::{Record, RecordedLink, Store};
use crate::topology::{LinkName, Place, Topology};
use netns_core::link::Link;
use netns_core::{Namespace, RouteSocket, address, link, route, sysctl};
use netns_ebpf::layout::Violations;
use netns_ebpf::{Monitor, MonitorError, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// `ENOPROTOOPT`: the kernel does not know a socket option.
const NO_SUCH_OPTION: i32 = 92;

/// The cookie of the namespace that a socket is in, which no later namespace has.
pub(crate) fn cookie(socket: &RouteSocket) -> Result<u64> {
    socket.namespace_cookie().map_err(|error| match error.errno() {
        Some(NO_SUCH_OPTION) => {
            Error::Missing { what: "cookies of network namespaces (SO_NETNS_COOKIE, Linux 5.14)", error }
        }
        _ => error.into(),
    })
}

/// What is there.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Named namespaces that the topology or its record speaks of, with their cookies.
    pub namespaces: BTreeMap<String, u64>,
    /// What is in the host, and in those namespaces that are ours.
    pub places: BTreeMap<Place, Inside>,
    /// Ports that are judged by our program.
    pub judged: BTreeMap<LinkName, Judged>,
    /// Of the places of those ports: the numbers of groups that may not send to others, senders first.
    pub apart: BTreeMap<Place, BTreeSet<(u8, u8)>>,
    /// Commands of the topology that run, by namespace and text.
    pub running: BTreeSet<(String, String)>,
}

/// A port that is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// By what.
    pub policy: Policy,
    /// What was found wrong.
    pub violations: Violations,
}

/// What is in a namespace.
#[derive(Debug, Clone, Default)]
pub struct Inside {
    /// Its links, by name.
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
    /// If the kernel does not tell.
    pub fn look(topology: &Topology, record: &Record) -> Result<Self> {
        let mut observed = Self::default();
        let host = Namespace::current()?;
        observed.places.insert(Place::Host, look_inside(&host, &Place::Host, topology, record)?);
        let names: BTreeSet<&String> = topology.namespaces.iter().chain(record.namespaces.keys()).collect();
        if !names.is_empty() {
            // Asked before anything is made: without cookies no namespace could be told from a later one of its name.
            cookie(&RouteSocket::open_in(&host)?)?;
        }
        let present = Namespace::list()?;
        for name in names.into_iter().filter(|name| present.contains(name)) {
            // A name without a namespace was left by somebody who was killed while making it.
            let Ok(namespace) = Namespace::open(name) else {
                observed.namespaces.insert(name.clone(), 0);
                continue;
            };
            let cookie = cookie(&RouteSocket::open_in(&namespace)?)?;
            observed.namespaces.insert(name.clone(), cookie);
            if record.namespaces.get(name) == Some(&cookie) {
                let place = Place::Namespace(name.clone());
                let inside = look_inside(&namespace, &place, topology, record)?;
                observed.places.insert(place, inside);
            }
        }
        observed.look_at_policies(record)?;
        observed.running = processes::running(&Store::path(&record.file), record)?
            .into_iter()
            .map(|process| (process.namespace, process.command))
            .collect();
        Ok(observed)
    }

    /// Which ports carry the program that is on record, and what it knows of them.
    fn look_at_policies(&mut self, record: &Record) -> Result<()> {
        for (place, &programs) in &record.programs {
            if !self.places.contains_key(place) {
                continue;
            }
            let monitor = match Monitor::reopen(programs) {
                Err(MonitorError::Gone { .. }) => continue,
                other => other?,
            };
            let namespace = match place {
                Place::Host => Namespace::current()?,
                Place::Namespace(name) => Namespace::open(name)?,
            };
            let mut socket = RouteSocket::open_in(&namespace)?;
            let ends = record.cables.iter().flatten().filter(|end| end.place == *place);
            let ports: Vec<_> = ends.filter_map(|end| Some((end.link()?, self.ours(end)?.index))).collect();
            self.apart.insert(place.clone(), monitor.groups_apart().into_iter().collect());
            for (name, link) in ports {
                let Some(slot) = monitor.attached(&mut socket, link)? else { continue };
                let Some(policy) = monitor.policy(slot) else { continue };
                self.judged.insert(name, Judged { policy, violations: monitor.violations(slot) });
            }
        }
        Ok(())
    }

    /// What is in a place; `None` if it is not there, or not ours.
    pub(crate) fn inside(&self, place: &Place) -> Option<&Inside> {
        self.places.get(place)
    }

    /// A link, whoever made it.
    pub(crate) fn link(&self, link: &LinkName) -> Option<&Link> {
        self.inside(&link.place)?.links.get(link.name.as_str())
    }

    /// A link that the record speaks of, if it is that one and no later one of its name.
    pub(crate) fn ours(&self, recorded: &RecordedLink) -> Option<&Link> {
        let link = self.inside(&recorded.place)?.links.get(&recorded.name)?;
        link.mac.is_some_and(|mac| mac.to_string() == recorded.mac).then_some(link)
    }
}

fn look_inside(namespace: &Namespace, place: &Place, topology: &Topology, record: &Record) -> Result<Inside> {
    let mut socket = RouteSocket::open_in(namespace)?;
    let links = link::list(&mut socket)?;
    let mut inside = Inside {
        links: links.into_iter().map(|link| (link.name.to_string(), link)).collect(),
        addresses: address::list(&mut socket)?,
        routes: route::list(&mut socket)?,
        sysctls: BTreeMap::new(),
    };
    let wanted = topology.sysctls.iter().filter(|sysctl| sysctl.place == *place).map(|sysctl| &sysctl.key);
    let recorded = record.sysctls.iter().filter(|sysctl| sysctl.place == *place).map(|sysctl| &sysctl.key);
    for key in wanted.chain(recorded) {
        let value = match sysctl::get(namespace, key) {
            Ok(value) => Some(crate::words(&value)),
            Err(error) if error.errno() == Some(NO_ENTRY) => None,
            Err(error) => return Err(error.into()),
        };
        inside.sysctls.insert(key.clone(), value);
    }
    Ok(inside)
}

/// `ENOENT`: of an interface that is not there yet.
const NO_ENTRY: i32 = 2;
