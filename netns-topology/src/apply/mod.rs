//! Carrying out a plan. What is going to be made is written down first, with the identity that it is going to have,
//! so that after a kill at any moment all of it is found again.

mod announce;
mod carrier;
mod egress;
mod index;
mod links;
mod mac;
mod member;
mod note;
mod policy;
mod remove;
mod step;
mod together;
mod way_out;
mod work;

pub use self::work::Progress;
pub(crate) use self::work::{ProgressReport, Work};

use self::egress::KnownPolicy;
use self::remove::Leaving;
use self::step::{Step, StepKind, steps};
use crate::error::{Error, Result};
use crate::observe::Observed;
use crate::plan::{Change, ChangeNature};
use crate::processes;
use crate::record::{Record, RecordedCommand, Store};
use crate::scope::OpenNamespaces;
use crate::topology::{LinkName, Place, RouteSpec, ShellCommand, Sysctl};
use netns_core::address::{self, Address};
use netns_core::barrier::Barrier;
use netns_core::link::LinkChange;
use netns_core::record::{NamespaceIdentity, RecordedNamespace, Removal, SharedSetting, make_folder};
use netns_core::{Namespace, RouteSocket, link, route, sysctl};
use netns_ebpf::Monitor;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Carries out changes, and holds what that takes.
pub(crate) struct Executor<'a, 'w> {
    work: &'a mut Work<'w>,
    record: &'a mut Record,
    /// Namespaces that were opened or made.
    namespaces: OpenNamespaces,
    /// A socket in each of those that are at work.
    sockets: BTreeMap<Place, RouteSocket>,
    /// Of links that were asked for, or made.
    indexes: BTreeMap<LinkName, u32>,
    /// Those that links are going to have.
    chosen: BTreeMap<LinkName, u32>,
    /// Names of namespaces that were made in advance and do not have them yet: see `note`.
    unnamed: BTreeSet<String>,
    /// Whether the kernel has IPv6.
    has_ipv6: bool,
    /// The programs that judge the ports of a place.
    monitors: BTreeMap<Place, Monitor>,
    /// What keeps frames from getting past those; `None` where the kernel has no such thing.
    barriers: BTreeMap<Place, Barrier>,
    /// Of which of them it was asked in this round whether nothing is missing.
    whole: BTreeSet<Place>,
    /// Bridges that got ports, and links that did not carry packets yet when they were asked.
    new_ports: BTreeSet<(Place, u32)>,
    slow: Vec<(Place, u32)>,
    /// Commands that were started, with the files of how they end.
    started: Vec<(ShellCommand, PathBuf)>,
    /// Whether programs that are loaded are to look for egress policies, and those policies that were asked for.
    wants_egress: bool,
    known_egress: Vec<KnownPolicy>,
}

impl<'a, 'w> Executor<'a, 'w> {
    pub(crate) fn new(work: &'a mut Work<'w>, record: &'a mut Record) -> Self {
        let (namespaces, barriers) = (std::mem::take(&mut work.held), std::mem::take(&mut work.barriers));
        Self {
            work,
            record,
            namespaces,
            sockets: BTreeMap::new(),
            indexes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            has_ipv6: true,
            monitors: BTreeMap::new(),
            barriers,
            whole: BTreeSet::new(),
            new_ports: BTreeSet::new(),
            slow: Vec::new(),
            started: Vec::new(),
            wants_egress: false,
            known_egress: Vec::new(),
        }
    }

    /// Carries out a plan for what was observed. What it has opened and made is at hand afterwards, where a process holds it
    /// ([`Work::held`]); in a round after this one that of a file is looked for by its name.
    pub(crate) fn execute(mut self, changes: &[Change], observed: &Observed) -> Result<()> {
        let outcome = self.make_all(changes, observed);
        if !self.work.store.is_of_file() {
            (self.work.held, self.work.barriers) = (self.namespaces, self.barriers);
        }
        outcome
    }

    fn make_all(&mut self, changes: &[Change], observed: &Observed) -> Result<()> {
        // What is gone leaves first: a namespace that is made anew has none of what the old one had.
        let stopped: BTreeSet<&ShellCommand> = changes
            .iter()
            .filter_map(|change| if let Change::Stop(command) = change { Some(command) } else { None })
            .collect();
        if !stopped.is_empty() {
            let ended = processes::stop(&self.record.mark(), self.record, &stopped);
            self.work.attempt(ended)?;
        }
        // `lo` has it, if there is any.
        let lo = observed.inside(&Place::Host).and_then(|inside| inside.links.get("lo"));
        self.has_ipv6 = lo.is_some_and(|lo| lo.addrgenmode.is_some());
        let mut leaving = Leaving::of(changes, self.record);
        let changes = self.note(changes, observed)?;
        let (total, mut done) = (changes.len(), 0);
        let steps = steps(&changes);
        self.expect_egress(&steps);
        for step in &steps {
            let began = Instant::now();
            if !step.changes.iter().all(|change| change.nature() == ChangeNature::Removes) {
                self.finish_leaving(&mut leaving)?;
            }
            let made = self.make_step(step, &mut leaving, observed);
            self.work.attempt(made)?;
            let mut took = began.elapsed();
            for change in &step.changes {
                done += 1;
                self.work.report(&Progress { change, done, total, took });
                took = Duration::ZERO;
            }
            if self.work.is_stopped {
                break;
            }
        }
        self.finish_leaving(&mut leaving)?;
        Self::report_survivors(&leaving);
        self.wait_for_carriers()?;
        self.announce(&changes, observed)?;
        self.look_at_started()
    }

    fn make_step(&mut self, step: &Step<'_>, leaving: &mut Leaving, observed: &Observed) -> Result<()> {
        match (step.kind, &step.changes[..]) {
            (StepKind::Single, changes) => changes.iter().try_for_each(|change| {
                if leaving.takes(change, observed, self.record) { Ok(()) } else { self.make(change) }
            }),
            (StepKind::Together, changes) => self.make_together(changes),
            (StepKind::Bridge, changes) => self.make_bridge(changes),
            (StepKind::Member, changes) => self.make_member(changes),
        }
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
                    self.sockets.remove(&place);
                    self.namespaces.remove(&place);
                    self.barriers.remove(&place);
                }
                self.remove_name(name)?;
            }
            Change::AddNamespace(name) => {
                self.make_namespace(name)?;
                link::set_up(self.socket(&Place::Namespace(name.clone()))?, LO)?;
            }
            Change::AddBridge(_) => self.make_bridge(&[change])?,
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
            Change::SetSysctl { sysctl, .. } if self.is_shared(sysctl) => {
                let claimant = self.work.store.claimant(self.record);
                let namespace = self.entry(&Place::Host)?.0;
                SharedSetting { namespace, name: &sysctl.key, claimant: &claimant }.claim(&sysctl.value)?;
            }
            Change::SetSysctl { sysctl, .. } => {
                sysctl::set(self.entry(&sysctl.place)?.0, &sysctl.key, &sysctl.value)?;
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

    /// Whether others may need a setting too. Nobody else is where there is no record.
    fn is_shared(&self, sysctl: &Sysctl) -> bool {
        sysctl.is_shared() && !self.work.store.is_nowhere()
    }

    /// A place that is there, or was made, and a socket in it.
    fn entry(&mut self, place: &Place) -> Result<(&Arc<Namespace>, &mut RouteSocket)> {
        if !self.namespaces.contains_key(place) {
            let namespace = match place {
                Place::Host => Namespace::current()?,
                Place::Namespace(name) => Namespace::open(name)?,
            };
            self.namespaces.insert(place.clone(), Arc::new(namespace));
        }
        let missing = || Error::system(format!("open {place}"))(std::io::ErrorKind::NotFound.into());
        let namespace = self.namespaces.get(place).ok_or_else(missing)?;
        if !self.sockets.contains_key(place) {
            let mut socket = RouteSocket::open_in(namespace)?;
            socket.take_changing_lists(!place.is_host());
            self.sockets.insert(place.clone(), socket);
        }
        Ok((namespace, self.sockets.get_mut(place).ok_or_else(missing)?))
    }

    /// Makes a namespace, without a name and not yet on record; its identity.
    fn make_unnamed(&mut self, name: &str) -> Result<NamespaceIdentity> {
        let place = Place::Namespace(name.to_owned());
        self.namespaces.insert(place.clone(), Arc::new(Namespace::anonymous()?));
        self.sockets.remove(&place);
        let (namespace, socket) = self.entry(&place)?;
        let identity = NamespaceIdentity::of_new(namespace, socket)?;
        self.record.namespaces.insert(name.to_owned(), identity);
        self.unnamed.insert(name.to_owned());
        Ok(identity)
    }

    /// Makes a namespace, unless it was made in advance, and gives it its name.
    fn make_namespace(&mut self, name: &str) -> Result<()> {
        self.note_namespace(name)?;
        self.name_namespace(name)
    }

    /// Makes a namespace, unless it was made in advance. It is written down before it has a name: until then it goes with this
    /// process.
    fn note_namespace(&mut self, name: &str) -> Result<()> {
        if !self.unnamed.contains(name) {
            let identity = self.make_unnamed(name)?;
            self.work.store.append(RecordedNamespace { name: name.to_owned(), identity }.line())?;
        }
        Ok(())
    }

    /// Gives a namespace that was made its name, if there is a record from which that can be taken away again.
    fn name_namespace(&mut self, name: &str) -> Result<()> {
        if !self.work.store.is_nowhere() {
            self.entry(&Place::Namespace(name.to_owned()))?.0.bind(name)?;
        }
        self.unnamed.remove(name);
        Ok(())
    }

    /// Takes a name away that is ours, or that stands for no namespace. What has it by now, and was not there when the
    /// plan was made, is somebody else's: it stays.
    fn remove_name(&mut self, name: &str) -> Result<()> {
        let Some(&identity) = self.record.namespaces.get(name) else { return Ok(()) };
        if self.work.store.is_nowhere() {
            return Ok(());
        }
        let removal = RecordedNamespace { name: name.to_owned(), identity }.remove()?;
        self.work.leave(removal);
        Ok(())
    }

    fn socket(&mut self, place: &Place) -> Result<&mut RouteSocket> {
        Ok(self.entry(place)?.1)
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
        let (claimant, is_shared) = (self.work.store.claimant(self.record), self.is_shared(sysctl));
        let namespace = self.entry(&sysctl.place)?.0;
        let removal = if let Some(recorded) = recorded.as_ref().filter(|_| is_shared) {
            let setting = SharedSetting { namespace, name: &sysctl.key, claimant: &claimant };
            setting.release(&recorded.before(), &recorded.value)?
        } else if let Some(forwarding) = recorded.and_then(|recorded| recorded.forwarding()) {
            forwarding.restore(namespace)?
        } else {
            sysctl::set(namespace, &sysctl.key, before)?;
            Removal::Removed
        };
        self.work.leave(removal);
        Ok(())
    }

    fn start(&mut self, command: &ShellCommand) -> Result<()> {
        let folder = Store::output(&self.record.file);
        make_folder(&folder)?;
        make_folder(Store::exits(&self.record.file))?;
        let output = folder.join(&command.namespace);
        let exit = Store::exit(&self.record.file, &command.namespace, &command.command);
        let group = processes::start(&self.record.mark(), command, &output, &exit)?;
        self.started.push((command.clone(), exit));
        let ShellCommand { namespace, command } = command.clone();
        self.record.commands.push(RecordedCommand { namespace, command, group });
        self.work.store.write(self.record)
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
