//! The journal that version 0.1.0 wrote, so that what its observers left can be removed: lines without a version, the
//! first of them with the namespace's inode and the bridge's name, the others with a port's index and name.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use netns_core::record::NamespaceIdentity;
use netns_core::{IfName, NamespaceId};

use super::{JournalPlace, MonitorError};
use crate::monitor::observe::trace::{Clsact, Trace};

/// A journal of 0.1.0, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct EarlierJournal {
    file: File,
    text: String,
}

impl EarlierJournal {
    /// The text of a file that 0.1.0 may have written; `None` if it was written by this version, or is gone.
    pub(super) fn text(path: &Path) -> Result<Option<String>, MonitorError> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        text_of(&mut file).map_err(|error| failed("read", path, error))
    }

    pub(super) fn open(path: &Path) -> Result<Option<Self>, MonitorError> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(MonitorError::Observed { journal: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", path, error)),
        }
        let text = text_of(&mut file).map_err(|error| failed("read", path, error))?;
        Ok(text.map(|text| Self { file, text }))
    }

    pub(super) fn content(&self) -> &str {
        &self.text
    }

    /// What it says. Only lines that were written in full count.
    pub(super) fn read(
        path: &Path,
        text: &str,
    ) -> Result<(Option<JournalPlace>, BTreeMap<u32, Trace>), MonitorError> {
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..end].lines();
        let Some(first) = lines.next() else { return Ok((None, BTreeMap::new())) };
        let unknown = || failed("read", path, io::Error::new(ErrorKind::InvalidData, "this is no journal"));
        let place = place(first).ok_or_else(unknown)?;
        let traces = lines.filter_map(trace).map(|trace| (trace.ifindex, trace));
        Ok((Some(place), traces.collect()))
    }

    pub(super) fn remove(self, path: &Path) -> Result<(), MonitorError> {
        fs::remove_file(path).map_err(|error| failed("remove", path, error))?;
        // Unlocked only now.
        drop(self.file);
        Ok(())
    }
}

fn open(path: &Path) -> Result<Option<File>, MonitorError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(|error| failed("open", path, error)),
    }
}

fn text_of(file: &mut File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // What does not begin as a record does may be 0.1.0's; if it is not, it is refused as none.
    let is_record = b"netns-record ".starts_with(&bytes[..bytes.len().min(13)]);
    Ok((!is_record).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// `DEVICE INODE BRIDGE INGRESS EGRESS NAME`: the name comes last, since it may have blanks in it.
fn place(line: &str) -> Option<JournalPlace> {
    let words: Vec<&str> = line.splitn(6, ' ').collect();
    let [device, inode, bridge, ingress, egress, name] = words[..] else { return None };
    let id = NamespaceId { device: device.parse().ok()?, inode: inode.parse().ok()? };
    Some(JournalPlace {
        namespace: NamespaceIdentity { cookie: None, id },
        index: None,
        bridge: IfName::new(bridge).ok()?,
        programs: [ingress.parse().ok()?, egress.parse().ok()?],
        name: (!name.is_empty()).then(|| name.to_owned()),
    })
}

/// `IFINDEX CLSACT NAME`.
fn trace(line: &str) -> Option<Trace> {
    let words: Vec<&str> = line.split(' ').collect();
    let [ifindex, clsact, name] = words[..] else { return None };
    let clsact = match clsact {
        "unsure" => Clsact::Unsure,
        "ours" => Clsact::Ours,
        "others" => Clsact::NotOurs,
        _ => return None,
    };
    Some(Trace { ifindex: ifindex.parse().ok()?, name: IfName::new(name).ok()?, mac: None, clsact })
}

fn failed(operation: &str, path: &Path, source: io::Error) -> MonitorError {
    MonitorError::Kernel { operation: format!("{operation} {}", path.display()), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_0_1_0_wrote_is_read() {
        let text = "4 4026531840 br0 12 13 my lab\n7 unsure veth1\n8 others veth2\n7 ours veth1\n8 ours ve";
        let (place, traces) = EarlierJournal::read(Path::new("j"), text).unwrap();
        let place = place.unwrap();
        assert_eq!((place.bridge.as_str(), place.index, place.programs), ("br0", None, [12, 13]));
        assert_eq!((place.namespace.cookie, place.namespace.id.inode), (None, 4_026_531_840));
        assert_eq!(place.name.as_deref(), Some("my lab"));
        let traces: Vec<_> = traces.values().map(|trace| (trace.ifindex, trace.clsact)).collect();
        assert_eq!(traces, [(7, Clsact::Ours), (8, Clsact::NotOurs)]);
        assert_eq!(EarlierJournal::read(Path::new("j"), "4 40265").unwrap(), (None, BTreeMap::new()));
        for text in
            ["\n", "4 4026531840 br0 12\n", "4 4026531840 a/b 12 13 \n", "four 5 br0 12 13 \n", "{}\n"]
        {
            assert!(EarlierJournal::read(Path::new("j"), text).is_err(), "{text}");
        }
    }
}
