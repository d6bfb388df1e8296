//! Records of what was made for a container: a file for each attachment and plugin, so that containers do not wait for each
//! other.
//!
//! The file exists, with identities, before the object that it describes is made, and is removed after that. It is locked
//! while a command works on the attachment.

use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::request::PluginRequest;
use netns_core::record::{Line, RecordFile, make_folder};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const FOLDER: &str = "/run/netns-cni";
const KIND: &str = "cni";
/// How long another call may work on the same attachment or bridge.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(1);
/// Of a file's name, with room for what [`RecordFile`] appends while it replaces one.
const LONGEST: usize = 250;

fn folder(network: &str) -> PathBuf {
    Path::new(FOLDER).join("networks").join(network)
}

/// Neither part has a `:`.
fn path(request: &PluginRequest, plugin: &str) -> Outcome<PathBuf> {
    let invocation = &request.invocation;
    let name = format!("{}:{}.{plugin}", invocation.container, invocation.interface);
    if name.len() > LONGEST {
        let why = format!("CNI_CONTAINERID is too long: its record would be the file {name:?}");
        return Err(CniFailure::new(FailureCode::InvalidEnvironment, why));
    }
    Ok(folder(&request.network).join(name))
}

/// Begins an attachment's record, and locks it.
///
/// # Errors
/// Code 100 if there already is one: the container has this attachment, or one that failed and was not deleted. 11 if another
/// call is working on it.
pub(crate) fn begin(request: &PluginRequest, plugin: &str) -> Outcome<RecordFile> {
    let path = path(request, plugin)?;
    let record = loop {
        make(path.parent().unwrap_or(Path::new(FOLDER)))?;
        match RecordFile::create(&path, KIND) {
            Err(error) if RecordFile::is_held(&error) => {
                let why = format!("another call works on this attachment: {} is locked", path.display());
                return Err(CniFailure::new(FailureCode::TryLater, why));
            }
            // The network's last attachment has just gone, and the folder with it.
            Err(error) if error.kind() == netns_core::ErrorKind::NotFound => {}
            Err(error) => {
                tidy(&request.network);
                return Err(error.into());
            }
            Ok(record) => break record,
        }
    };
    if record.lines().is_empty() {
        return Ok(record);
    }
    let invocation = &request.invocation;
    let why = format!(
        "{} is attached to the network {} by {} already",
        invocation.container, request.network, invocation.interface
    );
    Err(CniFailure::new(FailureCode::Exists, why).with_details("call DEL first"))
}

/// An attachment's record, locked; `None` if there is none. Waits for a call that works on it.
pub(crate) fn find(request: &PluginRequest, plugin: &str) -> Outcome<Option<RecordFile>> {
    open(&path(request, plugin)?)
}

/// The record of a plugin that comes after others, which may be called again for the same attachment, locked.
///
/// # Errors
/// Code 11 if another call is working on it for long.
pub(crate) fn resume(request: &PluginRequest, plugin: &str) -> Outcome<RecordFile> {
    let path = path(request, plugin)?;
    loop {
        make(path.parent().unwrap_or(Path::new(FOLDER)))?;
        match patiently(|| match RecordFile::create(&path, KIND) {
            // The network's last attachment has just gone, and the folder with it.
            Err(error) if error.kind() == netns_core::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        })? {
            None => {}
            Some(record) => return Ok(record),
        }
    }
}

/// Removes an attachment's record, if there is one, and what is empty then.
pub(crate) fn remove(request: &PluginRequest, record: Option<RecordFile>) -> Outcome<()> {
    let removed = record.map(RecordFile::remove).transpose();
    // Even without a record: a kill may have come between making the folder and the record.
    tidy(&request.network);
    Ok(removed.map(drop)?)
}

/// Removes this plugin's records of attachments that are not listed.
pub(crate) fn remove_stale(
    request: &PluginRequest,
    plugin: &str,
    valid: &BTreeSet<(String, String)>,
) -> Outcome<()> {
    let mut failures = Vec::new();
    for record in stale(request, plugin, valid)? {
        failures.extend(record.and_then(|record| Ok(record.remove()?)).err());
    }
    tidy(&request.network);
    CniFailure::all(failures)
}

/// Removes a network's folder if it is empty: its last record has gone.
pub(crate) fn tidy(network: &str) {
    // It stays if there are others, or if it was not there.
    let _ = fs::remove_dir(folder(network));
}

/// The attachments to the network that this plugin has on record, each a container and its interface.
fn list(network: &str, plugin: &str) -> Outcome<Vec<(String, String)>> {
    let names = names(&folder(network))?.into_iter();
    let parts = names.filter_map(|name| {
        let (container, rest) = name.split_once(':')?;
        let interface = rest.strip_suffix(plugin)?.strip_suffix('.')?;
        Some((container.to_owned(), interface.to_owned()))
    });
    Ok(parts.collect())
}

/// What is in a folder; nothing if there is none.
fn names(folder: &Path) -> Outcome<Vec<String>> {
    let failed = |error: std::io::Error| CniFailure::of_file("read", folder, &error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Whether any network's record of this plugin has a line that is meant, or cannot be read.
pub(crate) fn any_has(plugin: &str, is_meant: impl Fn(&Line) -> bool) -> Outcome<bool> {
    for network in names(&Path::new(FOLDER).join("networks"))? {
        for name in names(&folder(&network))?.iter().filter(|name| name.ends_with(&format!(".{plugin}"))) {
            let has = match RecordFile::peek(folder(&network).join(name), KIND) {
                Ok(lines) => lines.iter().flatten().any(&is_meant),
                Err(_) => true,
            };
            if has {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// This plugin's records for the request's network that belong to none of these attachments, each locked while it is held.
pub(crate) fn stale(
    request: &PluginRequest,
    plugin: &str,
    valid: &BTreeSet<(String, String)>,
) -> Outcome<impl Iterator<Item = Outcome<RecordFile>>> {
    let all = list(&request.network, plugin)?.into_iter();
    Ok(all.filter(|attachment| !valid.contains(attachment)).filter_map(move |(container, interface)| {
        find(&request.about(container, interface), plugin).transpose()
    }))
}

/// The record of a bridge that was made for networks, or of a link of which they need something.
pub(crate) fn path_of_bridge(bridge: &str) -> PathBuf {
    Path::new(FOLDER).join("bridges").join(format!("{bridge}.record"))
}

/// A bridge's record, without waiting for anybody.
pub(crate) fn peek_bridge(bridge: &str) -> Outcome<Vec<Line>> {
    Ok(RecordFile::peek(path_of_bridge(bridge), KIND)?.unwrap_or_default())
}

/// The record of a bridge, begun if there is none, and locked. Waits for a call that works on it.
pub(crate) fn begin_bridge(bridge: &str) -> Outcome<RecordFile> {
    let path = path_of_bridge(bridge);
    make(path.parent().unwrap_or(Path::new(FOLDER)))?;
    patiently(|| RecordFile::create(&path, KIND))
}

/// Works on a bridge, or on what it holds, while no other call makes or removes either. Waits for one that does. A record that
/// says nothing afterwards goes.
pub(crate) fn with_bridge<T>(bridge: &str, work: impl FnOnce(&mut RecordFile) -> Outcome<T>) -> Outcome<T> {
    let mut record = begin_bridge(bridge)?;
    let outcome = work(&mut record);
    let removed = if record.lines().is_empty() { record.remove() } else { Ok(()) };
    outcome.and_then(|made| Ok(removed.map(|()| made)?))
}

/// The bridges that have a record, by name.
pub(crate) fn bridges() -> Outcome<Vec<String>> {
    let folder = Path::new(FOLDER).join("bridges");
    let names = names(&folder)?.into_iter();
    Ok(names.filter_map(|name| Some(name.strip_suffix(".record")?.to_owned())).collect())
}

/// The record of a bridge, if there is one, likewise.
pub(crate) fn find_bridge(bridge: &str) -> Outcome<Option<RecordFile>> {
    open(&path_of_bridge(bridge))
}

fn open(path: &Path) -> Outcome<Option<RecordFile>> {
    patiently(|| RecordFile::open(path, KIND))
}

fn patiently<T>(mut open: impl FnMut() -> netns_core::Result<T>) -> Outcome<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match open() {
            Err(error) if RecordFile::is_held(&error) => {
                if Instant::now() > deadline {
                    let why = format!("{error}; it was locked for {} seconds", PATIENCE.as_secs());
                    return Err(CniFailure::new(FailureCode::TryLater, why));
                }
                thread::sleep(TICK);
            }
            other => return Ok(other?),
        }
    }
}

fn make(folder: &Path) -> Outcome<()> {
    make_folder(folder).map_err(|error| CniFailure::new(FailureCode::InputOutput, error.to_string()))
}
