//! Carrying out a plan. What is going to be made is written down first, with the identity that it is going to have,
//! so that after a kill at any moment all of it is found again.

mod announce;
mod links;
mod mac;
mod note;
mod policy;
mod remove;
mod together;
mod way_out;

use self::remove::Leaving;
use crate::error::{Error, Result};
use crate::observe::Observed;
use crate::plan::Change;
use crate::processes;
use crate::record::{Record, RecordedCommand, Store};
use crate::topology::{LinkName, Place, RouteSpec, ShellCommand, Sysctl};
use netns_core::address::{self, Address};
use netns_core::barrier::Barrier;
use netns_core::link::LinkChange;
use netns_core::record::{RecordedNamespace, SharedSetting};
use netns_core::{Namespace, RouteSocket, link, route, sysctl};
use netns_ebpf::Monitor;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// Carries out changes, and holds what that takes.
pub(crate) struct Executor<'a> {
    store: &'a Store,
    record: &'a mut Record,
    /// Namespaces that were opened or made, with a socket in each.
    open: BTreeMap<Place, (Namespace, RouteSocket)>,
    /// Of links that were asked for.
    indexes: BTreeMap<LinkName, u32>,
    /// Names of those that were made and do not have them yet: see `note`.
    unnamed: BTreeSet<String>,
    /// Whether the kernel has IPv6.
    has_ipv6: bool,
    /// The programs that judge the ports of a place.
    monitors: BTreeMap<Place, Monitor>,
    /// What keeps frames from getting past those; `None` where the kernel has no such thing.
    barriers: BTreeMap<Place, Barrier>,
    /// Commands that were started, with the files of how they end.
    started: Vec<(ShellCommand, PathBuf)>,
    /// Hears of each change that was made.
    tell: &'a mut dyn FnMut(&Progress<'_>),
}

/// How far it is with changes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The change that was just made.
    pub change: &'a Change,
    /// How many of this round were made.
    pub done: usize,
    /// How many this round has. Some changes take others with them, which come back in another round.
    pub total: usize,
}

impl<'a> Executor<'a> {
    pub(crate) const fn new(
        store: &'a Store,
        record: &'a mut Record,
        tell: &'a mut dyn FnMut(&Progress<'_>),
    ) -> Self {
        Self {
            store,
            record,
            open: BTreeMap::new(),
            indexes: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            has_ipv6: true,
            monitors: BTreeMap::new(),
            barriers: BTreeMap::new(),
            started: Vec::new(),
            tell,
        }
    }

    /// Carries out a plan for what was observed.
    pub(crate) fn execute(&mut self, changes: &[Change], observed: &Observed) -> Result<()> {
        // What is gone leaves first: a namespace that is made anew has none of what the old one had.
        let stopped: BTreeSet<&ShellCommand> = changes
            .iter()
            .filter_map(|change| if let Change::Stop(command) = change { Some(command) } else { None })
            .collect();
        if !stopped.is_empty() {
            processes::stop(&self.record.mark(), self.record, &stopped)?;
        }
        // `lo` has it, if there is any.
        let lo = observed.inside(&Place::Host).and_then(|inside| inside.links.get("lo"));
        self.has_ipv6 = lo.is_some_and(|lo| lo.addrgenmode.is_some());
        let changes = self.note(changes, observed)?;
        let total = changes.len();
        let (mut leaving, mut done) = (Leaving::of(&changes), 0);
        let mut rest = &changes[..];
        while let Some(change) = rest.first() {
            if !remove::removes(change) {
                self.finish_leaving(&mut leaving)?;
            }
            let together = together::count(rest);
            if together > 1 {
                self.make_together(&rest[..together])?;
            } else if !leaving.takes(change, observed, self.record) {
                self.make(change)?;
            }
            for change in &rest[..together] {
                done += 1;
                (self.tell)(&Progress { change, done, total });
            }
            rest = &rest[together..];
        }
        self.finish_leaving(&mut leaving)?;
        self.announce(&changes, observed)?;
        self.look_at_started()
    }

    /// A command that ends at once, and not well, was not started.
    fn look_at_started(&self) -> Result<()> {
        let Some((ShellCommand { namespace, command }, code)) = processes::ends_at_once(&self.started) else {
            return Ok(());
        };
        let output = fs::read(Store::output(&self.record.file).join(namespace)).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let last = output.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned);
        Err(Error::Command { namespace: namespace.clone(), command: command.clone(), code, last })
    }

    fn make(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Stop(_) => {}
            Change::RemoveRoute(route) => {
                let request = self.request(route)?;
                gone(route::delete(self.socket(&route.place)?, &request))?;
            }
            Change::RemoveAddress(crate::topology::AddressSpec { link, net }) => {
                let index = self.index(link)?;
                gone(address::delete(self.socket(&link.place)?, index, *net))?;
            }
            Change::RestoreSysctl { sysctl, before } => self.restore_sysctl(sysctl, before)?,
            Change::RemoveLink { link, index, .. } | Change::RemoveSingle { link, index } => {
                self.indexes.clear();
                gone(link::delete(self.socket(&link.place)?, *index))?;
                // A later link may have its index.
                self.unbar(&link.place, *index)?;
            }
            Change::RemoveNamespace(name) => {
                self.indexes.clear();
                // What is to have the name next is open already.
                if !self.unnamed.contains(name) {
                    let place = Place::Namespace(name.clone());
                    self.open.remove(&place);
                    self.barriers.remove(&place);
                }
                self.remove_name(name)?;
            }
            Change::AddNamespace(name) => {
                let place = Place::Namespace(name.clone());
                let (namespace, socket) = self.entry(&place)?;
                namespace.bind(name)?;
                link::set_up(socket, LO)?;
                self.unnamed.remove(name);
            }
            Change::AddBridge(bridge) => self.add_bridge(bridge)?,
            Change::AddSingle(single) => self.add_single(single)?,
            Change::AddCable(cable) => self.add_cable(cable)?,
            Change::Rename { link, index, .. } => {
                self.indexes.clear();
                self.rename(link, *index)?;
            }
            Change::SetMac { link, to, .. } => {
                let change = LinkChange { mac: Some(*to), ..LinkChange::NONE };
                link::set(self.socket(&link.place)?, link.name, &change)?;
            }
            Change::Raise(link) => link::set_up(self.socket(&link.place)?, link.name)?,
            Change::Silence { link, .. } => {
                links::silence(self.socket(&link.place)?, link.name, &LinkChange::NONE)?;
            }
            Change::SetMtu { link, to, .. } => self.set_mtu(link, *to)?,
            Change::SetBridge { link, options } => {
                netns_core::bridge::set(self.socket(&link.place)?, link.name, options)?;
            }
            Change::Attach { link, bridge } => self.attach(link, *bridge)?,
            Change::SetPort { link, options } => {
                let index = self.index(link)?;
                netns_core::bridge::set_port(self.socket(&link.place)?, index, options)?;
            }
            Change::AddAddress(crate::topology::AddressSpec { link, net }) => {
                let index = self.index(link)?;
                address::add(self.socket(&link.place)?, &Address::new(index, *net))?;
            }
            Change::SetPolicy { port, inside, policy, .. } => self.set_policy(port, inside, policy)?,
            Change::RemovePolicy { port } => self.remove_policy(port)?,
            Change::JudgeHost { bridge } => self.judge_host(bridge)?,
            Change::LeaveHost { bridge } => self.leave_host(bridge)?,
            Change::PartGroups { place, numbers, .. } => self.set_groups(place, *numbers, false)?,
            Change::JoinGroups { place, numbers, .. } => self.set_groups(place, *numbers, true)?,
            Change::AddLinkLocal(link) => self.add_link_local(link)?,
            Change::SetSysctl { sysctl, .. } if sysctl.is_shared() => {
                let claimant = Store::path(&self.record.file);
                let namespace = &self.entry(&Place::Host)?.0;
                SharedSetting { namespace, name: &sysctl.key, claimant: &claimant }.claim(&sysctl.value)?;
            }
            Change::SetSysctl { sysctl, .. } => {
                sysctl::set(&self.entry(&sysctl.place)?.0, &sysctl.key, &sysctl.value)?;
            }
            Change::OpenWayOut { .. }
            | Change::CloseWayOut { .. }
            | Change::Publish { .. }
            | Change::Withdraw { .. } => self.make_way_out(change)?,
            Change::AddRoute(route) => {
                let request = self.request(route)?;
                route::add(self.socket(&route.place)?, &request)?;
            }
            Change::Start(command) => self.start(command)?,
        }
        Ok(())
    }

    /// A place that is there, or was made.
    fn entry(&mut self, place: &Place) -> Result<&mut (Namespace, RouteSocket)> {
        if !self.open.contains_key(place) {
            let namespace = match place {
                Place::Host => Namespace::current()?,
                Place::Namespace(name) => Namespace::open(name)?,
            };
            self.enter(place.clone(), namespace)?;
        }
        let missing = || Error::system(format!("open {place}"))(std::io::ErrorKind::NotFound.into());
        self.open.get_mut(place).ok_or_else(missing)
    }

    fn enter(&mut self, place: Place, namespace: Namespace) -> Result<()> {
        let socket = RouteSocket::open_in(&namespace)?;
        self.open.insert(place, (namespace, socket));
        Ok(())
    }

    /// Takes a name away that is ours, or that stands for no namespace. What has it by now, and was not there when the
    /// plan was made, is somebody else's: it stays.
    fn remove_name(&self, name: &str) -> Result<()> {
        let Some(&identity) = self.record.namespaces.get(name) else { return Ok(()) };
        RecordedNamespace { name: name.to_owned(), identity }.remove()?;
        Ok(())
    }

    fn socket(&mut self, place: &Place) -> Result<&mut RouteSocket> {
        Ok(&mut self.entry(place)?.1)
    }

    /// Asked for once a round: within that, what is removed is forgotten here.
    fn index(&mut self, link: &LinkName) -> Result<u32> {
        if let Some(&index) = self.indexes.get(link) {
            return Ok(index);
        }
        let index = link::get(self.socket(&link.place)?, link.name)?.index;
        self.indexes.insert(link.clone(), index);
        Ok(index)
    }

    fn request(&mut self, route: &RouteSpec) -> Result<netns_core::route::Route> {
        let index = match route.dev {
            Some(name) => Some(self.index(&LinkName { place: route.place.clone(), name })?),
            None => None,
        };
        Ok(netns_core::route::Route {
            metric: route.metric,
            flags: if route.onlink { netns_core::route::ONLINK } else { 0 },
            ..netns_core::route::Route::new(route.to, route.via, index)
        })
    }

    fn restore_sysctl(&mut self, sysctl: &Sysctl, before: &str) -> Result<()> {
        let recorded = self.record.sysctl(sysctl).cloned();
        let claimant = Store::path(&self.record.file);
        let namespace = &self.entry(&sysctl.place)?.0;
        if let Some(recorded) = recorded.as_ref().filter(|_| sysctl.is_shared()) {
            let setting = SharedSetting { namespace, name: &sysctl.key, claimant: &claimant };
            drop(setting.release(&recorded.before(), &recorded.value)?);
            return Ok(());
        }
        let forwarding = recorded.and_then(|recorded| recorded.forwarding());
        match forwarding {
            Some(forwarding) => drop(forwarding.restore(namespace)?),
            None => sysctl::set(namespace, &sysctl.key, before)?,
        }
        Ok(())
    }

    fn start(&mut self, command: &ShellCommand) -> Result<()> {
        let folder = Store::output(&self.record.file);
        for folder in [&folder, &Store::exits(&self.record.file)] {
            fs::create_dir_all(folder).map_err(Error::system(format!("make {}", folder.display())))?;
        }
        let output = folder.join(&command.namespace);
        let exit = Store::exit(&self.record.file, &command.namespace, &command.command);
        let group = processes::start(&self.record.mark(), command, &output, &exit)?;
        self.started.push((command.clone(), exit));
        let ShellCommand { namespace, command } = command.clone();
        self.record.commands.push(RecordedCommand { namespace, command, group });
        self.store.write(self.record)
    }
}

/// `lo` has the first index of every namespace.
const LO: u32 = 1;

/// Of a removal: that something is gone already is no failure.
fn gone(result: netns_core::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != netns_core::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
