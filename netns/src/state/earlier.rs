//! The record that version 0.1.0 wrote, so that what it left can be removed.
//!
//! It has names, and an identity of the bridge only. The rest is recognised by what 0.1.0 made together: a port by its
//! bridge, a namespace by the MAC address of its `eth0`: the first four bytes were chosen at random for the run and are the
//! bridge's too, the last two are the namespace's number. What does not fit is reported and left.

use crate::failure::Failure;
use crate::name;
use netns_core::link::{self, Link};
use netns_core::record::{RecordedForwarding, RecordedLink};
use netns_core::{Folder, IfName, MacAddress, Namespace, RouteSocket};
use serde::Deserialize;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};

const PATH: &str = "/run/netns-xtask.json";

/// The record's content.
#[derive(Debug, Clone, Deserialize)]
struct EarlierRun {
    namespaces: Vec<String>,
    ports: Vec<String>,
    /// Its name and MAC address.
    bridge: Option<(String, String)>,
    folder: (bool, bool),
    forwarding: Option<Vec<String>>,
}

/// Locked for as long as this is held.
#[derive(Debug)]
pub(crate) struct EarlierState {
    file: File,
    said: Option<EarlierRun>,
}

/// What there is to remove.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    pub(crate) links: Vec<RecordedLink>,
    pub(crate) namespaces: Vec<(String, Namespace)>,
    /// What cannot be proven to be ours, in words.
    pub(crate) left: Vec<String>,
}

impl EarlierState {
    /// Opens the record, if there is one and it is not empty.
    pub(crate) fn open() -> Result<Option<Self>, Failure> {
        let failed = |what: &str, error: std::io::Error| Failure::Kernel(format!("{what} {PATH}: {error}"));
        let mut file = match File::open(PATH) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| failed("open", error))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::usage(format!("another `{} run` is going on", name::name())));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| failed("read", error))?;
        // A run that was killed while writing left the end of the previous text, or only a part of this one.
        if text.is_empty() {
            // The run was begun, and nothing was made.
            return remove().map(|()| None);
        }
        // A run that was killed while writing a shorter text left the end of the longer one.
        let said = serde_json::Deserializer::from_str(&text).into_iter().next().and_then(Result::ok);
        Ok(Some(Self { file, said }))
    }

    /// What of it still exists.
    pub(crate) fn find(&self, socket: &mut RouteSocket) -> Result<Ours, Failure> {
        let mut ours = Ours::default();
        let Some(said) = &self.said else {
            ours.left.push(format!("{PATH} was not written to its end: what it speaks of is not known"));
            return Ok(ours);
        };
        let links = link::list(socket)?;
        let of_name = |name: &str| links.iter().find(|link| link.name.as_str() == name);
        let bridge = said.bridge.as_ref().and_then(|(name, mac)| {
            of_name(name).filter(|link| link.mac.is_some_and(|found| found.to_string() == *mac))
        });
        for name in &said.ports {
            let Some(port) = of_name(name) else { continue };
            if port.kind.as_deref() == Some("veth") && bridge.is_some_and(|of| port.master == Some(of.index))
            {
                ours.links.extend(recorded(port));
            } else {
                ours.left.push(format!("{name} is not a port of the bridge that was made with it"));
            }
        }
        ours.links.extend(bridge.and_then(recorded));
        let present = Namespace::list()?;
        let mut prefix =
            bridge.and_then(|bridge| bridge.mac).map(|mac| [mac.0[0], mac.0[1], mac.0[2], mac.0[3]]);
        for (number, name) in (1_u16..).zip(&said.namespaces).filter(|(_, name)| present.contains(name)) {
            let namespace = Namespace::open(name).ok();
            let inside = namespace.as_ref().and_then(mac_inside);
            match (namespace, inside) {
                (Some(namespace), Some(MacAddress([a, b, c, d, high, low])))
                    if u16::from_be_bytes([high, low]) == number
                        && *prefix.get_or_insert([a, b, c, d]) == [a, b, c, d] =>
                {
                    ours.namespaces.push((name.clone(), namespace));
                }
                _ => ours
                    .left
                    .push(format!("nothing in the namespace {name} proves that it was made by a run")),
            }
        }
        Ok(ours)
    }

    pub(crate) fn folder(&self) -> Option<Folder> {
        self.said.as_ref().map(|said| Folder { existed: said.folder.0, mounted: said.folder.1 })
    }

    pub(crate) fn forwarding(&self) -> Option<RecordedForwarding> {
        let interfaces = self.said.as_ref()?.forwarding.clone()?;
        Some(RecordedForwarding { interfaces })
    }

    /// Ends the record.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        remove()?;
        // Unlocked only now.
        drop(self.file);
        Ok(())
    }
}

fn remove() -> Result<(), Failure> {
    fs::remove_file(PATH).map_err(|error| Failure::Kernel(format!("remove {PATH}: {error}")))
}

/// The MAC address of a namespace's `eth0`.
fn mac_inside(namespace: &Namespace) -> Option<MacAddress> {
    let mut socket = RouteSocket::open_in(namespace).ok()?;
    link::get(&mut socket, IfName::new("eth0").ok()?).ok()?.mac
}

fn recorded(link: &Link) -> Option<RecordedLink> {
    Some(RecordedLink { name: link.name, index: Some(link.index), mac: link.mac? })
}
