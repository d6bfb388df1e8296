//! What was made for a topology, written down before it is made, so that what is ours can be told from what is not,
//! and all of it found again after a kill.
//!
//! A record is a file in [`FOLDER`], one for each topology file, and goes with `down`, or with the machine's next
//! start. An entry says that something of this name *and identity*, if it is there, was made by us: a namespace by its
//! cookie, a link by its MAC address.

use crate::error::{Error, Result};
use crate::group::Numbers;
use crate::topology::{Address, LinkName, Place, Route, Sysctl};
use netns_core::{Folder, IfName, MacAddress, sysctl::Ipv4Forwarding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the records are.
pub const FOLDER: &str = "/run/netns-topology";

/// What was made for the topology of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The file, by its full path.
    pub file: PathBuf,
    /// The text that was brought up last, to which a failed change goes back.
    pub applied: Option<String>,
    /// How the folder of named namespaces was found: whether it was there, whether it was mounted.
    folder: (bool, bool),
    /// Namespaces, with their cookies.
    pub(crate) namespaces: BTreeMap<String, u64>,
    /// Bridges.
    pub(crate) bridges: Vec<RecordedLink>,
    /// Both ends of veth pairs.
    pub(crate) cables: Vec<[RecordedLink; 2]>,
    /// Addresses, each of a link.
    pub(crate) addresses: Vec<(RecordedName, String)>,
    /// Routes.
    pub(crate) routes: Vec<RecordedRoute>,
    /// Settings.
    pub(crate) sysctls: Vec<RecordedSysctl>,
    /// Commands that were started.
    pub(crate) commands: Vec<RecordedCommand>,
    /// The programs that judge ports, by the ids that the kernel gave them; those of a place share maps.
    #[serde(default)]
    pub(crate) programs: BTreeMap<Place, [u32; 2]>,
    /// The numbers of groups that have names.
    #[serde(default)]
    pub(crate) groups: Numbers,
}

/// A link by place and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedName {
    pub(crate) place: Place,
    pub(crate) name: String,
}

/// A link, and the MAC address that tells it from a later one of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedLink {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) mac: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedRoute {
    pub(crate) place: Place,
    to: String,
    via: Option<String>,
    dev: Option<String>,
    metric: Option<u32>,
}

/// A setting, what it was set to, and what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedSysctl {
    pub(crate) place: Place,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) before: String,
    /// Of `ip_forward`: the interfaces that forwarded before.
    pub(crate) interfaces: Option<Vec<String>>,
}

/// A command, and the process group that it was started in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedCommand {
    pub(crate) namespace: String,
    pub(crate) command: String,
    pub(crate) group: u32,
}

impl RecordedName {
    pub(crate) fn new(link: &LinkName) -> Self {
        Self { place: link.place.clone(), name: link.name.to_string() }
    }

    pub(crate) fn is(&self, link: &LinkName) -> bool {
        self.place == link.place && self.name == link.name.as_str()
    }
}

impl RecordedLink {
    pub(crate) fn new(link: &LinkName, mac: MacAddress) -> Self {
        Self { place: link.place.clone(), name: link.name.to_string(), mac: mac.to_string() }
    }

    pub(crate) fn is(&self, link: &LinkName) -> bool {
        self.place == link.place && self.name == link.name.as_str()
    }

    /// Its place and name; `None` if the record was tampered with.
    pub(crate) fn link(&self) -> Option<LinkName> {
        Some(LinkName { place: self.place.clone(), name: IfName::new(&self.name).ok()? })
    }
}

impl RecordedRoute {
    pub(crate) fn new(route: &Route) -> Self {
        Self {
            place: route.place.clone(),
            to: route.to.to_string(),
            via: route.via.map(|via| via.to_string()),
            dev: route.dev.map(|dev| dev.to_string()),
            metric: route.metric,
        }
    }

    /// The route; `None` if the record was tampered with.
    pub(crate) fn route(&self) -> Option<Route> {
        Some(Route {
            place: self.place.clone(),
            to: self.to.parse().ok()?,
            via: self.via.as_ref().map(|via| via.parse()).transpose().ok()?,
            dev: self.dev.as_ref().map(|dev| dev.parse()).transpose().ok()?,
            metric: self.metric,
        })
    }
}

impl RecordedSysctl {
    pub(crate) fn is(&self, sysctl: &Sysctl) -> bool {
        self.place == sysctl.place && self.key == sysctl.key
    }
}

impl Record {
    /// An empty record.
    pub(crate) fn new(file: &Path) -> Result<Self> {
        let folder = Folder::observe()?;
        Ok(Self {
            file: file.to_owned(),
            applied: None,
            folder: (folder.existed, folder.mounted),
            namespaces: BTreeMap::new(),
            bridges: Vec::new(),
            cables: Vec::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            sysctls: Vec::new(),
            commands: Vec::new(),
            programs: BTreeMap::new(),
            groups: Numbers::new(),
        })
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder { existed: self.folder.0, mounted: self.folder.1 }
    }

    pub(crate) fn has_address(&self, address: &Address) -> bool {
        let net = address.net.to_string();
        self.addresses.iter().any(|(link, known)| link.is(&address.link) && *known == net)
    }

    pub(crate) fn has_route(&self, route: &Route) -> bool {
        self.routes.contains(&RecordedRoute::new(route))
    }

    pub(crate) fn sysctl(&self, sysctl: &Sysctl) -> Option<&RecordedSysctl> {
        self.sysctls.iter().find(|recorded| recorded.is(sysctl))
    }
}

impl RecordedSysctl {
    pub(crate) fn forwarding(&self) -> Option<Ipv4Forwarding> {
        self.interfaces.clone().map(|interfaces| Ipv4Forwarding { interfaces: Some(interfaces) })
    }
}

/// The folder of records, locked for as long as this is held: only one topology is changed at a time.
#[derive(Debug)]
pub(crate) struct Store {
    /// Held for its lock, which goes with the process, even by SIGKILL.
    folder: File,
}

impl Store {
    /// Waits for the lock; makes the folder if it is not there.
    pub(crate) fn lock() -> Result<Self> {
        let failed = || Error::system(format!("lock {FOLDER}"));
        loop {
            fs::create_dir_all(FOLDER).map_err(failed())?;
            let folder = match File::open(FOLDER) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed())?,
            };
            folder.lock().map_err(failed())?;
            // While we waited, its last user may have removed it.
            let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let locked = folder.metadata().map(inode).map_err(failed())?;
            if fs::metadata(FOLDER).is_ok_and(|now| inode(now) == locked) {
                return Ok(Self { folder });
            }
        }
    }

    /// The record of a file; `None` if its topology is not up.
    pub(crate) fn read(file: &Path) -> Result<Option<Record>> {
        let path = Self::path(file);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::system(format!("read {}", path.display())))?,
        };
        let record: Record = serde_json::from_str(&text)
            .map_err(|error| Error::system(format!("read {}", path.display()))(error.into()))?;
        Ok(Some(record))
    }

    /// Replaces a record, by one step that either happens or does not.
    #[expect(clippy::unused_self, reason = "only who holds the lock may write")]
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let path = Self::path(&record.file);
        let failed = || Error::system(format!("write {}", path.display()));
        let text = serde_json::to_string(record).map_err(|error| failed()(error.into()))?;
        let new = path.with_extension("new");
        fs::write(&new, text).map_err(failed())?;
        fs::rename(&new, &path).map_err(failed())
    }

    /// Removes a record, the output of its commands, and the folder if that was the last.
    pub(crate) fn remove(self, record: &Record) -> Result<()> {
        let path = Self::path(&record.file);
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        gone(fs::remove_dir_all(Self::output(&record.file)))
            .and_then(|()| gone(fs::remove_file(&path)))
            .map_err(Error::system(format!("remove {}", path.display())))?;
        self.tidy();
        Ok(())
    }

    /// Removes the folder if it is empty.
    pub(crate) fn tidy(self) {
        // Others may have their records in it.
        let _ = fs::remove_dir(FOLDER);
        drop(self.folder);
    }

    /// The record of a file: its name for people, and a hash of its full path to tell it from others of that name.
    pub(crate) fn path(file: &Path) -> PathBuf {
        let stem: String = file.file_stem().unwrap_or_default().to_string_lossy().chars().take(64).collect();
        let hash = fnv1a(file.as_os_str().as_encoded_bytes());
        Path::new(FOLDER).join(format!("{stem}-{hash:016x}.json"))
    }

    /// The folder of what the commands of a file wrote.
    pub(crate) fn output(file: &Path) -> PathBuf {
        Self::path(file).with_extension("output")
    }
}

/// FNV-1a, <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>: the standard library's hash may differ from
/// release to release.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
