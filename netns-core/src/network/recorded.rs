//! Networks on record: what a process that was killed left, and how it is removed.
//!
//! A network is written down once, before its bridge is made, and its sandboxes follow from that by arithmetic: which
//! links are the network's is known by index and MAC address, and which named namespaces are by the id that the kernel
//! gives the other end of such a port. Neither can be changed from inside a sandbox.

mod files;
mod lines;
mod living;

pub(super) use living::NetworkRecord;

use self::files::{KIND, records, remove_file};
use super::options::{DEFAULT_FOLDER, NetworkOptions};
use super::place::barrier_name;
use super::plan::{Plan, WINDOW};
use super::way_out;
use crate::barrier;
use crate::link::{self, Link};
use crate::nat::Forwarding;
use crate::record::{Found, Line, NamespaceIdentity, RecordFile, RecordedLink, Removal, remove_links};
use crate::{Cause, Error, ErrorKind, IfName, IpNet, Namespace, Operation, Result, RouteSocket, nsid};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A network that is on record, whether or not the process that made it is alive.
///
/// It is a description and holds nothing. It may be sent to other threads; a fork may use its copy.
///
/// ```
/// use netns_core::network::{Network, NetworkOptions, RecordPlace, RecordedNetwork};
/// use netns_core::{IfName, Namespace};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// # let folder = std::env::temp_dir().join(format!("netns-networks-{}", std::process::id()));
/// # Namespace::anonymous()?.enter(|| {
/// let options = NetworkOptions {
///     subnet_v4: Some("10.99.0.0/16".parse()?),
///     record: RecordPlace::Folder(folder.clone()),
///     ..NetworkOptions::new(IfName::new("sandboxes")?)
/// };
/// let network = Network::create(&options)?;
/// let recorded = RecordedNetwork::list(&folder)?;
/// assert_eq!(recorded[0].name().as_str(), "sandboxes");
/// // Somebody is at work with it.
/// assert!(recorded[0].remove().is_err());
/// drop(network);
/// assert!(RecordedNetwork::list(&folder)?.is_empty());
/// # Ok::<(), netns_core::Error>(())
/// # })??;
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RecordedNetwork {
    path: PathBuf,
    pub(super) namespace: NamespaceIdentity,
    pub(super) plan: Plan,
    /// Without its program, which went with the process.
    pub(super) options: NetworkOptions,
    pub(super) has_program: bool,
}

impl RecordedNetwork {
    /// The folder that records are in by default.
    pub const FOLDER: &'static str = DEFAULT_FOLDER;

    /// The networks that are on record in a folder, those of other namespaces than the calling thread's included.
    ///
    /// # Errors
    /// If a record cannot be read or makes no sense.
    pub fn list(folder: impl AsRef<Path>) -> Result<Vec<Self>> {
        let mut networks = Vec::new();
        for path in records(folder.as_ref())? {
            let lines = RecordFile::peek(&path, KIND)?.filter(|lines| !lines.is_empty());
            networks.extend(lines.map(|lines| Self::parse(path, &lines)).transpose()?);
        }
        networks.sort_by_key(|network| network.plan.name);
        Ok(networks)
    }

    /// Its name, which is its first bridge's.
    #[must_use]
    pub const fn name(&self) -> IfName {
        self.plan.name
    }

    /// The subnets, IPv4 first.
    pub fn subnets(&self) -> impl Iterator<Item = IpNet> {
        [self.plan.v4, self.plan.v6].into_iter().flatten()
    }

    /// The namespace that its first bridge is in.
    #[must_use]
    pub const fn namespace(&self) -> NamespaceIdentity {
        self.namespace
    }

    /// Whether a process that is alive has it. To find out, its record is locked for an instant.
    ///
    /// # Errors
    /// If the record cannot be opened.
    pub fn is_held(&self) -> Result<bool> {
        match RecordFile::open(&self.path, KIND) {
            Err(error) if RecordFile::is_held(&error) => Ok(true),
            other => other.map(|_| false),
        }
    }

    /// Removes what a process that is gone left of it: bridges, trunks, the ports of sandboxes that are still held by
    /// processes or names, which so lose their network, and those names. Returns a sentence for each thing in its place
    /// that is not the network's, and was left alone.
    ///
    /// To be called in the namespace that the network is in. May be repeated should it fail.
    ///
    /// # Errors
    /// If a process that is alive has it, it is in another namespace, or the kernel refuses.
    pub fn remove(&self) -> Result<Vec<String>> {
        self.lock(Operation::RemoveNetwork)?.map_or_else(|| Ok(Vec::new()), |file| self.remove_locked(file))
    }

    fn remove_locked(&self, file: RecordFile) -> Result<Vec<String>> {
        let mut socket = RouteSocket::open()?;
        let links = link::list(&mut socket)?;
        let mut left = Vec::new();
        // Names first: what they stand for is known by the ports.
        for (port, namespace, name) in named_sandboxes(&mut socket, &self.ports_by_id(&links))? {
            // The name of a namespace that somebody else made is theirs.
            if !port.lent && !namespace.unbind(&name)? {
                left.push(format!("{name} is another namespace by now"));
            }
        }
        let ours: Vec<RecordedLink> = links.iter().filter_map(|link| self.link_at(link.index)).collect();
        for removal in remove_links(&mut socket, &ours)? {
            if let Removal::Left(why) = removal {
                left.push(why);
            }
        }
        barrier::remove(&Namespace::current()?, &barrier_name(&self.plan))?;
        left.extend(self.close_way_out(&file)?);
        remove_file(file)?;
        Ok(left)
    }

    /// Puts back what was set on the host for it, and takes its rules away.
    fn close_way_out(&self, file: &RecordFile) -> Result<Vec<String>> {
        let left = Forwarding::read(file.lines()).release(&Namespace::current()?, file.path())?;
        way_out::remove_left(&self.plan)?;
        Ok(left)
    }

    /// Removes what processes that are gone left: every network of the calling thread's namespace that is on record in the
    /// folder ([`RecordedNetwork::remove`]), and, whichever namespace they are of, records that were begun and never
    /// written, as a process leaves that is killed before it makes its bridge. Networks that a living process has, and
    /// those of other namespaces, are left alone. Returns a sentence for each thing in the place of a network's that is not
    /// the network's.
    ///
    /// # Errors
    /// Of several the first; everything else is removed all the same. May be repeated.
    pub fn remove_all(folder: impl AsRef<Path>) -> Result<Vec<String>> {
        let here = NamespaceIdentity::of(&Namespace::current()?)?;
        let mut left = Vec::new();
        let mut outcome = Ok(());
        for path in records(folder.as_ref())? {
            match Self::remove_at(&path, &here) {
                Ok(sentences) => left.extend(sentences),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        // A process that was killed before it began its record leaves the folder.
        let _ = fs::remove_dir(folder.as_ref());
        outcome.map(|()| left)
    }

    /// Removes the network whose record is at `path`, if it is of the namespace `here` and no process has it.
    fn remove_at(path: &Path, here: &NamespaceIdentity) -> Result<Vec<String>> {
        let file = match RecordFile::open(path, KIND) {
            Err(error) if RecordFile::is_held(&error) => return Ok(Vec::new()),
            other => other?,
        };
        let Some(file) = file else { return Ok(Vec::new()) };
        if file.lines().is_empty() {
            return remove_file(file).map(|()| Vec::new());
        }
        let network = Self::parse(path.to_owned(), file.lines())?;
        if !here.is(&network.namespace) {
            return Ok(Vec::new());
        }
        network.remove_locked(file)
    }

    /// Locks the record of a network that no process has; `None` if there is nothing on record any more.
    pub(super) fn lock(&self, operation: Operation) -> Result<Option<RecordFile>> {
        let refused = |cause| Error::new(operation, self.plan.name.to_string(), cause);
        let other = |why: &'static str| refused(Cause::Invalid(why.into()));
        let file = match RecordFile::open(&self.path, KIND) {
            Err(error) if RecordFile::is_held(&error) => {
                return Err(refused(Cause::Busy("a process that is alive has it".into())));
            }
            other => other?,
        };
        let Some(file) = file.filter(|file| !file.lines().is_empty()) else { return Ok(None) };
        let now = Self::parse(self.path.clone(), file.lines())?;
        if now.plan.window != self.plan.window || now.plan.host_mac() != self.plan.host_mac() {
            return Err(other("another network of this name is on record since"));
        }
        if !NamespaceIdentity::of(&Namespace::current()?)?.is(&self.namespace) {
            return Err(other("it is in another network namespace"));
        }
        Ok(Some(file))
    }

    /// Whether its first bridge is there.
    fn has_bridge(&self, socket: &mut RouteSocket) -> Result<bool> {
        let (index, mac) = (Some(self.plan.root()), self.plan.host_mac());
        let found = RecordedLink { name: self.plan.name, index, mac }.find(socket)?;
        Ok(matches!(found, Found::Ours(_)))
    }

    /// Whether a sandbox that is there has a name.
    fn has_names(&self, socket: &mut RouteSocket) -> Result<bool> {
        let ports = self.ports_by_id(&link::list(socket)?);
        Ok(!ports.is_empty() && !named_sandboxes(socket, &ports)?.is_empty())
    }

    /// The network's link of this index in its first namespace, if the index is one of its.
    fn link_at(&self, index: u32) -> Option<RecordedLink> {
        if index / WINDOW != self.plan.window / WINDOW {
            return None;
        }
        let plan = &self.plan;
        let (name, mac) = match plan.number(index) {
            Some(number) => (plan.port_name(number), plan.port_mac(number)),
            None if index == plan.root() => (plan.name, plan.host_mac()),
            None if index == plan.responder() => (plan.link_name('r', 0), plan.trunk_mac(0)),
            None => {
                let shard = (1..plan.shards()).find(|&shard| plan.leaf(shard).down == index)?;
                (plan.link_name('d', shard), plan.trunk_mac(shard))
            }
        };
        Some(RecordedLink { name, index: Some(index), mac })
    }

    /// The sandboxes whose ports are there, by the id of their namespace.
    pub(super) fn ports_by_id(&self, links: &[Link]) -> HashMap<i32, RecordedPort> {
        let sandbox = |link: &Link| {
            let number = self.plan.number(link.index)?;
            let port = RecordedPort { number, lent: link.group == self.plan.lent_group() };
            self.link_at(link.index)?.is(link).then_some((link.peer_namespace_id?, port))
        };
        links.iter().filter_map(sandbox).collect()
    }

    fn parse(path: PathBuf, lines: &[Line]) -> Result<Self> {
        let object = path.display().to_string();
        let described = path.parent().and_then(|folder| lines::read(folder, lines));
        let described = described
            .ok_or_else(|| Error::invalid(Operation::ReadRecord, object, "it does not describe a network"))?;
        let lines::DescribedNetwork { namespace, plan, options, has_program } = described;
        Ok(Self { path, namespace, plan, options, has_program })
    }
}

/// The port of a sandbox that was made by a process which is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordedPort {
    pub(super) number: u32,
    /// Whether somebody else made the namespace.
    pub(super) lent: bool,
}

/// The named namespaces that are sandboxes: port, namespace and name.
pub(super) fn named_sandboxes(
    home: &mut RouteSocket,
    ports: &HashMap<i32, RecordedPort>,
) -> Result<Vec<(RecordedPort, Namespace, String)>> {
    let mut found = Vec::new();
    for name in Namespace::list()? {
        let namespace = match Namespace::open(&name) {
            // A name may stand for nothing any more.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => continue,
            other => other?,
        };
        let port = nsid::get(home, &namespace)?.and_then(|id| ports.get(&id));
        found.extend(port.map(|&port| (port, namespace, name)));
    }
    Ok(found)
}
