//! Networks on record: what a process that was killed left, and how it is removed.
//!
//! A network is written down once, before its bridge is made, and its sandboxes follow from that by arithmetic: which
//! links are the network's is known by index and MAC address, and which named namespaces are by the id that the kernel
//! gives the other end of such a port. Neither can be changed from inside a sandbox.

mod lines;

use super::options::{DEFAULT_FOLDER, NetworkOptions, RecordPlace};
use super::place::barrier_name;
use super::plan::{Plan, WINDOW};
use super::way_out;
use crate::barrier;
use crate::link::{self, Link};
use crate::nat::{Forwarding, ForwardingNeeds};
use crate::record::{
    Found, Line, NamespaceIdentity, RecordFile, RecordedLink, Removal, make_folder, remove_links, undo_twice,
};
use crate::{
    Cause, Error, ErrorKind, IfName, IpNet, Namespace, Operation, Result, RouteSocket, SystemCall, nsid,
};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The kind of these records.
const KIND: &str = "network";
/// How often to make the folder anew, should others remove it, which they do when it is empty.
const ATTEMPTS: usize = 16;

/// The record of a network that this process has.
#[derive(Debug)]
pub(super) struct NetworkRecord {
    namespace: NamespaceIdentity,
    /// Locked while what is set on the host changes.
    state: Mutex<RecordState>,
}

#[derive(Debug)]
struct RecordState {
    file: RecordFile,
    /// What is set on the host for it.
    forwarding: Forwarding,
}

impl NetworkRecord {
    /// Begins the record of a network in the namespace `home`, which is the calling thread's; `None` if there is to be
    /// none, or it cannot be where it would be by default.
    ///
    /// # Errors
    /// If a process has a network of this name, or one that is gone left one. If a folder was asked for and the record
    /// cannot be there.
    pub(super) fn begin(home: &Namespace, options: &NetworkOptions) -> Result<Option<Self>> {
        let refused = |cause| Error::new(Operation::CreateNetwork, options.name.to_string(), cause);
        let unrecorded = || {
            if options.masquerade {
                let why = "a way out changes settings of the host, which have to be on record";
                return Err(refused(Cause::Invalid(why.into())));
            }
            Ok(None)
        };
        let Some(folder) = options.record.folder() else { return unrecorded() };
        let namespace = NamespaceIdentity::of(home)?;
        let path = path_of(folder, options.name, &namespace);
        let file = match begin_file(folder, &path) {
            Err(error) if RecordFile::is_held(&error) => {
                let why = "a process that is alive has a network of this name";
                return Err(refused(Cause::Busy(why.into())));
            }
            Err(error) if matches!(options.record, RecordPlace::Default) && is_unwritable(&error) => {
                return unrecorded();
            }
            other => other?,
        };
        if !file.lines().is_empty() {
            let left = RecordedNetwork::parse(path, file.lines())?;
            let mut socket = RouteSocket::open()?;
            if left.has_bridge(&mut socket)? || left.has_names(&mut socket)? {
                let why = "a process that is gone left a network of this name: RecordedNetwork::open takes it over, \
                           RecordedNetwork::remove removes it";
                return Err(refused(Cause::Exists(why.into())));
            }
            // A kill between the end of its bridge and that of its barrier.
            barrier::remove(home, &barrier_name(&left.plan))?;
            left.close_way_out(&file)?;
        }
        let forwarding = if options.masquerade {
            match Forwarding::plan(home, &way_out::forwarding_needs(options), file.path()) {
                Ok(forwarding) => forwarding,
                Err(error) => {
                    // What it says, if anything, is gone.
                    let _ = remove_file(file);
                    return Err(error);
                }
            }
        } else {
            Forwarding::default()
        };
        Ok(Some(Self { namespace, state: Mutex::new(RecordState { file, forwarding }) }))
    }

    /// Claims what is set on the host for it.
    pub(super) fn claim_forwarding(&self, home: &Namespace) -> Result<()> {
        let state = self.state();
        state.forwarding.claim(home, state.file.path())
    }

    /// Claims what it takes besides, by the routes that the host has now; whether anything was missing. What is claimed already
    /// stays so until the network ends, since connections by it may go on.
    pub(super) fn follow_routes(&self, home: &Namespace, needs: &ForwardingNeeds<'_>) -> Result<bool> {
        let mut state = self.state();
        let path = state.file.path().to_owned();
        let needed = Forwarding::plan(home, needs, &path)?;
        if state.forwarding.covers(&needed) && state.forwarding.is_on(home)? {
            return Ok(false);
        }
        let mut forwarding = state.forwarding.clone();
        forwarding.forget_gone(home, &path)?;
        forwarding.extend(needed);
        let others = state.file.lines().iter().filter(|line| line.key() != Forwarding::KEY);
        let lines = others.cloned().chain(forwarding.lines()).collect();
        // Before it is set.
        state.file.replace(lines)?;
        state.forwarding = forwarding;
        state.forwarding.claim(home, &path).map(|()| true)
    }

    fn state(&self) -> MutexGuard<'_, RecordState> {
        // What is half done is on record, and done again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts it back. What somebody else has set since is left.
    pub(super) fn release_forwarding(&self, home: &Namespace) -> Result<()> {
        let state = self.state();
        state.forwarding.release(home, state.file.path()).map(drop)
    }

    /// The record of a network that is taken over.
    pub(super) fn of(file: RecordFile, namespace: NamespaceIdentity) -> Self {
        let forwarding = Forwarding::read(file.lines());
        Self { namespace, state: Mutex::new(RecordState { file, forwarding }) }
    }

    /// Writes down what is going to be made.
    pub(super) fn write(&mut self, plan: &Plan, options: &NetworkOptions) -> Result<()> {
        let mut lines = lines::lines(plan, options, &self.namespace);
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        lines.extend(state.forwarding.lines());
        state.file.replace(lines)
    }

    /// Ends the record, if the first bridge is gone. The kernel may still have ports: those go by themselves.
    pub(super) fn end(self, socket: &mut RouteSocket) -> Result<()> {
        let RecordState { file, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let path = file.path().to_owned();
        let nothing = file.lines().is_empty();
        if !nothing {
            let left = RecordedNetwork::parse(path, file.lines())?;
            if undo_twice(|| left.has_bridge(socket))? {
                return Ok(());
            }
        }
        remove_file(file)
    }
}

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

/// The records in a folder, which need not be there.
fn records(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| {
        Error::system(Operation::ListNetworks, folder.display().to_string(), SystemCall::Readdir)(error)
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "record") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Where the record of a network is. A bridge's name is one of its namespace only.
fn path_of(folder: &Path, name: IfName, namespace: &NamespaceIdentity) -> PathBuf {
    let place = match namespace.cookie {
        Some(cookie) => cookie.to_string(),
        None => format!("inode{}", namespace.id.inode),
    };
    folder.join(format!("{name}.{place}.record"))
}

fn begin_file(folder: &Path, path: &Path) -> Result<RecordFile> {
    let mut outcome = None;
    for _ in 0..ATTEMPTS {
        make_folder(folder)?;
        match RecordFile::create(path, KIND) {
            // The folder was removed meanwhile.
            Err(error) if error.errno() == Some(libc::ENOENT) => outcome = Some(Err(error)),
            Err(error) => {
                // Others' records are in it, or will be, or it was made for nothing.
                let _ = fs::remove_dir(folder);
                return Err(error);
            }
            Ok(file) => return Ok(file),
        }
    }
    outcome.unwrap_or_else(|| {
        Err(Error::invalid(Operation::MakeFolder, folder.display().to_string(), "it vanishes"))
    })
}

/// Removes a record, and its folder if that is empty then.
fn remove_file(file: RecordFile) -> Result<()> {
    let folder = file.path().parent().map(Path::to_owned);
    file.remove()?;
    if let Some(folder) = folder {
        // Others' records are in it, or will be.
        let removed = || {
            fs::remove_dir(&folder).map_err(Error::system(
                Operation::RemoveRecord,
                "",
                SystemCall::Other("rmdir"),
            ))
        };
        let _ = undo_twice(removed);
    }
    Ok(())
}

/// Whether a file cannot be there because of where this process runs, and not for want of anything.
fn is_unwritable(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::ENOENT | libc::ENOTDIR))
}
