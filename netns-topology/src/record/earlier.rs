//! The record that version 0.1.0 wrote, in JSON, so that what it brought up can be changed and taken down.

use super::{LinkEntry, Record, RecordedCommand, RecordedName, RecordedRoute, SysctlEntry};
use crate::error::{Error, Result};
use crate::group::GroupNumbers;
use crate::topology::Place;
use netns_core::record::NamespaceIdentity;
use netns_core::{Folder, NamespaceId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What it says. A link is a place, a name and a MAC address there as here.
#[derive(Deserialize)]
struct EarlierEntry {
    file: PathBuf,
    applied: Option<String>,
    folder: (bool, bool),
    namespaces: BTreeMap<String, u64>,
    bridges: Vec<EarlierLink>,
    cables: Vec<[EarlierLink; 2]>,
    addresses: Vec<(EarlierName, String)>,
    routes: Vec<EarlierRoute>,
    sysctls: Vec<EarlierSysctl>,
    commands: Vec<Started>,
    #[serde(default)]
    programs: BTreeMap<Place, [u32; 2]>,
    #[serde(default)]
    groups: GroupNumbers,
}

#[derive(Deserialize)]
struct EarlierLink {
    place: Place,
    name: String,
    mac: String,
}

#[derive(Deserialize)]
struct EarlierName {
    place: Place,
    name: String,
}

#[derive(Deserialize)]
struct EarlierRoute {
    place: Place,
    to: String,
    via: Option<String>,
    dev: Option<String>,
    metric: Option<u32>,
}

#[derive(Deserialize)]
struct EarlierSysctl {
    place: Place,
    key: String,
    value: String,
    before: String,
    interfaces: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Started {
    namespace: String,
    command: String,
    group: u32,
}

impl From<EarlierLink> for LinkEntry {
    fn from(EarlierLink { place, name, mac }: EarlierLink) -> Self {
        Self { place, name, mac, index: None }
    }
}

/// The record in this file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Record>> {
    let failed = || Error::system(format!("read {}", path.display()));
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed())?,
    };
    let said: EarlierEntry = serde_json::from_str(&text).map_err(|error| failed()(error.into()))?;
    // It had no inodes, and ran on kernels with cookies alone.
    let identity =
        |cookie| NamespaceIdentity { cookie: Some(cookie), id: NamespaceId { device: 0, inode: 0 } };
    let name = |EarlierName { place, name }: EarlierName| RecordedName { place, name };
    Ok(Some(Record {
        file: said.file,
        first_file: None,
        applied: said.applied,
        folder: Folder { existed: said.folder.0, mounted: said.folder.1 },
        namespaces: said.namespaces.into_iter().map(|(name, cookie)| (name, identity(cookie))).collect(),
        bridges: said.bridges.into_iter().map(LinkEntry::from).collect(),
        links: Vec::new(),
        cables: said.cables.into_iter().map(|ends| ends.map(LinkEntry::from)).collect(),
        addresses: said.addresses.into_iter().map(|(link, net)| (name(link), net)).collect(),
        routes: said
            .routes
            .into_iter()
            .map(|EarlierRoute { place, to, via, dev, metric }| RecordedRoute { place, to, via, dev, metric })
            .collect(),
        sysctls: said
            .sysctls
            .into_iter()
            .map(|EarlierSysctl { place, key, value, before, interfaces }| SysctlEntry {
                place,
                key,
                value,
                before,
                interfaces,
            })
            .collect(),
        commands: said
            .commands
            .into_iter()
            .map(|Started { namespace, command, group }| RecordedCommand { namespace, command, group })
            .collect(),
        programs: said.programs.into_iter().map(|(place, ids)| (place, vec![ids])).collect(),
        barriers: BTreeMap::new(),
        groups: said.groups,
        ways_out: Vec::new(),
    }))
}
