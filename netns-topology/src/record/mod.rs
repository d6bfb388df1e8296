//! What was made for a topology, written down before it is made, so that what is ours can be distinguished from what is
//! not, and all of it found again after a kill.
//!
//! A record is a file in [`FOLDER`], one for each topology file, and goes with `down`, or with the machine's next
//! start. An entry says that something of this name *and identity*, if it is there, was made by us: a namespace by its
//! cookie, a link by its MAC address.

mod earlier;
mod lines;
mod store;

use crate::error::Result;
use crate::group::GroupNumbers;
use crate::topology::{AddressSpec, LinkName, Place, RouteSpec, Sysctl};
use netns_core::nat::Forwarding;
use netns_core::record::{
    Line, NamespaceIdentity, RecordFile, RecordedFolder, RecordedForwarding, RecordedLink, SettingBefore,
};
use netns_core::{Folder, IfName, MacAddress};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
pub(crate) use store::{Store, fnv1a};

/// Where the records are.
pub const FOLDER: &str = "/run/netns-topology";

/// The record of `netns run`, by the name that version 0.1.0 gave it: it is to be found after an upgrade.
pub const RUN_RECORD: &str = "/run/netns-xtask.record";

/// What kind of record that is, as [`RecordFile`] has it.
pub const RUN_RECORD_KIND: &str = "run";

/// What was made for the topology of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The file, by its full path.
    pub file: PathBuf,
    /// Of a file that was moved: the path that it had first, by which commands that it has started are known.
    pub(crate) first_file: Option<PathBuf>,
    /// The text that was brought up last, to which a failed change goes back.
    pub applied: Option<String>,
    /// How the folder of named namespaces was found: whether it was there, whether it was mounted.
    pub(crate) folder: Folder,
    /// Namespaces, with what distinguishes each from a later one of its name.
    pub(crate) namespaces: BTreeMap<String, NamespaceIdentity>,
    /// Bridges.
    pub(crate) bridges: Vec<LinkEntry>,
    /// Links of other kinds.
    pub(crate) links: Vec<LinkEntry>,
    /// Both ends of veth pairs.
    pub(crate) cables: Vec<[LinkEntry; 2]>,
    /// Addresses, each of a link.
    pub(crate) addresses: Vec<(RecordedName, String)>,
    /// Routes.
    pub(crate) routes: Vec<RecordedRoute>,
    /// Settings.
    pub(crate) sysctls: Vec<SysctlEntry>,
    /// Commands that were started.
    pub(crate) commands: Vec<RecordedCommand>,
    /// The programs that judge ports, by the ids that the kernel gave them; those of a place share maps. The last of a
    /// place are those that judge; the others are known until no filter holds them any more.
    pub(crate) programs: BTreeMap<Place, Vec<[u32; 2]>>,
    /// The names of the barriers behind ports on which a policy is enforced.
    pub(crate) barriers: BTreeMap<Place, String>,
    /// The numbers of groups that have names.
    pub(crate) groups: GroupNumbers,
    /// The ways out of bridges of the host.
    pub(crate) ways_out: Vec<RecordedWayOut>,
}

/// A way out of a bridge, and of which settings the host forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedWayOut {
    pub(crate) bridge: String,
    /// The name of its table, which no other has.
    pub(crate) table: String,
    /// Of the options that the table was made with.
    pub(crate) fingerprint: Option<String>,
    pub(crate) forwarding: Forwarding,
}

/// A link by place and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedName {
    pub(crate) place: Place,
    pub(crate) name: String,
}

/// A link, and what distinguishes it from a later one of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkEntry {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) mac: String,
    /// The index that it was made with, which is a random one of a large range, or that the kernel gave it, once all is up. It
    /// finds a link that somebody has given another name or another MAC address since: the kernel, for its part, counts on and
    /// gives none twice (`dev_index_reserve` in <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c>), nor any of that
    /// range.
    pub(crate) index: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedRoute {
    pub(crate) place: Place,
    to: String,
    via: Option<String>,
    dev: Option<String>,
    metric: Option<u32>,
}

/// A setting, what it was set to, and what it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SysctlEntry {
    pub(crate) place: Place,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) before: String,
    /// Of `ip_forward`: the interfaces that forwarded before.
    pub(crate) interfaces: Option<Vec<String>>,
}

/// A command, and the process group that it was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedCommand {
    pub(crate) namespace: String,
    pub(crate) command: String,
    pub(crate) group: u32,
}

impl RecordedWayOut {
    pub(crate) fn is(&self, bridge: IfName) -> bool {
        self.bridge == bridge.as_str()
    }

    /// The bridge; `None` if the record was tampered with.
    pub(crate) fn name(&self) -> Option<IfName> {
        IfName::new(&self.bridge).ok()
    }
}

impl RecordedName {
    pub(crate) fn new(link: &LinkName) -> Self {
        Self { place: link.place.clone(), name: link.name.to_string() }
    }

    pub(crate) fn is(&self, link: &LinkName) -> bool {
        self.place == link.place && self.name == link.name.as_str()
    }
}

impl LinkEntry {
    pub(crate) fn new(link: &LinkName, mac: MacAddress) -> Self {
        Self { place: link.place.clone(), name: link.name.to_string(), mac: mac.to_string(), index: None }
    }

    pub(crate) fn is(&self, link: &LinkName) -> bool {
        self.place == link.place && self.name == link.name.as_str()
    }

    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        self.place == other.place && self.name == other.name
    }

    /// Whether both are of one link: one that is made again has another index, and is the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.has_name_of(other) && self.mac == other.mac
    }

    pub(crate) fn has_mac(&self, mac: Option<MacAddress>) -> bool {
        mac.is_some_and(|mac| mac.to_string() == self.mac)
    }

    /// What distinguishes it from others of its place; `None` if the record was tampered with.
    pub(crate) fn recorded(&self) -> Option<RecordedLink> {
        let (name, mac) = (IfName::new(&self.name).ok()?, self.mac.parse().ok()?);
        Some(RecordedLink { name, index: self.index, mac })
    }

    /// Its place and name; `None` if the record was tampered with.
    pub(crate) fn link(&self) -> Option<LinkName> {
        Some(LinkName { place: self.place.clone(), name: IfName::new(&self.name).ok()? })
    }
}

impl RecordedRoute {
    pub(crate) fn new(route: &RouteSpec) -> Self {
        Self {
            place: route.place.clone(),
            to: route.to.to_string(),
            via: route.via.map(|via| via.to_string()),
            dev: route.dev.map(|dev| dev.to_string()),
            metric: route.metric,
        }
    }

    /// The route; `None` if the record was tampered with.
    pub(crate) fn route(&self) -> Option<RouteSpec> {
        Some(RouteSpec {
            place: self.place.clone(),
            to: self.to.parse().ok()?,
            via: self.via.as_ref().map(|via| via.parse()).transpose().ok()?,
            dev: self.dev.as_ref().map(|dev| dev.parse()).transpose().ok()?,
            metric: self.metric,
            // The kernel knows a route by the rest.
            onlink: false,
        })
    }
}

impl SysctlEntry {
    pub(crate) fn is(&self, sysctl: &Sysctl) -> bool {
        self.place == sysctl.place && self.key == sysctl.key
    }
}

impl Record {
    /// An empty record of a topology that a process holds.
    pub(crate) fn of_process(path: &Path) -> Result<Self> {
        let topologies = Store::all()?.into_iter().flatten().map(|other| RecordedFolder(other.folder));
        let RecordedFolder(folder) = RecordedFolder(Folder::observe()?).of_first(topologies);
        Ok(Self { folder, ..Self::empty(path.to_owned()) })
    }

    /// Reads the record of a [`HeldLab`](crate::HeldLab); `None` if it says nothing.
    ///
    /// # Errors
    /// Which line makes no sense.
    pub fn of_lines(lines: &[Line]) -> Result<Option<Self>, String> {
        if lines.is_empty() {
            return Ok(None);
        }
        let unknown = |line: Option<&Line>| {
            line.map_or_else(|| "it names no file".to_owned(), |line| format!("this makes no sense: {line}"))
        };
        Self::read(lines).map(Some).map_err(unknown)
    }

    /// An empty record.
    pub(crate) fn new(file: &Path) -> Result<Self> {
        // A `run` may be going on, or have been killed.
        let run = RecordFile::peek(RUN_RECORD, RUN_RECORD_KIND).ok().flatten().unwrap_or_default();
        let others = Store::all()?.into_iter().flatten().map(|other| RecordedFolder(other.folder));
        let others = others.chain(run.iter().filter_map(RecordedFolder::read));
        let RecordedFolder(folder) = RecordedFolder(Folder::observe()?).of_first(others);
        Ok(Self { folder, ..Self::empty(file.to_owned()) })
    }

    /// How the folder of named namespaces was found.
    #[must_use]
    pub const fn folder(&self) -> RecordedFolder {
        RecordedFolder(self.folder)
    }

    /// What its commands are known by.
    pub(crate) fn mark(&self) -> PathBuf {
        Store::mark(self.first_file.as_ref().unwrap_or(&self.file))
    }

    /// The same record, of a file that has this path by now.
    pub(crate) fn moved_to(mut self, file: &Path) -> Self {
        if self.file != file {
            let before = std::mem::replace(&mut self.file, file.to_owned());
            self.first_file = self.first_file.or(Some(before)).filter(|first| first != file);
        }
        self
    }

    /// Whether all of it is up; not so if `up` was killed, or could not undo what it had done.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.applied.is_some()
    }

    /// The names of the namespaces that were made.
    pub fn namespace_names(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    /// The bridges that were made.
    pub fn bridge_names(&self) -> impl Iterator<Item = LinkName> {
        self.bridges.iter().filter_map(LinkEntry::link)
    }

    /// The programs that may be on its ports, as `Monitor::program_ids` of netns-ebpf.
    pub fn programs(&self) -> impl Iterator<Item = [u32; 2]> {
        self.programs.values().flatten().copied()
    }

    /// The names of the barriers behind its ports.
    pub fn barriers(&self) -> impl Iterator<Item = &str> {
        self.barriers.values().map(String::as_str)
    }

    pub(crate) fn empty(file: PathBuf) -> Self {
        Self {
            file,
            first_file: None,
            applied: None,
            folder: Folder { existed: true, mounted: true },
            namespaces: BTreeMap::new(),
            bridges: Vec::new(),
            links: Vec::new(),
            cables: Vec::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            sysctls: Vec::new(),
            commands: Vec::new(),
            programs: BTreeMap::new(),
            barriers: BTreeMap::new(),
            groups: GroupNumbers::new(),
            ways_out: Vec::new(),
        }
    }

    /// Whether there are links.
    pub(crate) fn has_links(&self) -> bool {
        self.every_link().next().is_some()
    }

    /// All links.
    pub(crate) fn every_link(&self) -> impl Iterator<Item = &LinkEntry> {
        self.cables.iter().flatten().chain(&self.bridges).chain(&self.links)
    }

    pub(crate) fn every_link_mut(&mut self) -> impl Iterator<Item = &mut LinkEntry> {
        self.cables.iter_mut().flatten().chain(&mut self.bridges).chain(&mut self.links)
    }

    pub(crate) fn has_address(&self, address: &AddressSpec) -> bool {
        let net = address.net.to_string();
        self.addresses.iter().any(|(link, known)| link.is(&address.link) && *known == net)
    }

    pub(crate) fn has_route(&self, route: &RouteSpec) -> bool {
        self.routes.contains(&RecordedRoute::new(route))
    }

    pub(crate) fn way_out_mut(&mut self, bridge: IfName) -> Option<&mut RecordedWayOut> {
        self.ways_out.iter_mut().find(|way| way.is(bridge))
    }

    pub(crate) fn sysctl(&self, sysctl: &Sysctl) -> Option<&SysctlEntry> {
        self.sysctls.iter().find(|recorded| recorded.is(sysctl))
    }
}

impl SysctlEntry {
    pub(crate) fn shared(sysctl: &Sysctl, before: SettingBefore) -> Self {
        Self {
            place: sysctl.place.clone(),
            key: sysctl.key.clone(),
            value: sysctl.value.clone(),
            before: before.value,
            interfaces: before.interfaces,
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.sysctl().is_shared()
    }

    /// The setting, with the value that it was given.
    pub(crate) fn sysctl(&self) -> Sysctl {
        Sysctl { place: self.place.clone(), key: self.key.clone(), value: self.value.clone() }
    }

    pub(crate) fn before(&self) -> SettingBefore {
        SettingBefore { value: self.before.clone(), interfaces: self.interfaces.clone() }
    }

    pub(crate) fn forwarding(&self) -> Option<RecordedForwarding> {
        self.interfaces.clone().map(|interfaces| RecordedForwarding { interfaces })
    }
}
