//! What an observer puts onto ports, written down before it does, so that what a killed one left can be removed.
//!
//! One file a bridge, in `/run`, which is empty after a restart, as are the ports. It is locked for as long as its
//! observer lives. Its first line says where, every other one what was done to a port; the last of a port counts.

use crate::failure::Failure;
use netns_core::{IfName, Namespace, RouteSocket};
use netns_ebpf::{Clsact, Journal, Trace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/run";
const PREFIX: &str = "netns-observe-";

/// Where: the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The name of the namespace, as it was given.
    pub(super) netns: Option<String>,
    /// Device and inode of the namespace.
    pub(super) namespace: (u64, u64),
    /// The bridge.
    pub(super) bridge: String,
    /// Our programs.
    pub(super) programs: [u32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Qdisc {
    Unsure,
    Ours,
    NotOurs,
}

/// What was done to a port: every other line.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    ifindex: u32,
    name: String,
    clsact: Qdisc,
}

/// The file of one bridge, locked.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    file: File,
}

impl Record {
    /// The files there are, of this bridge or of all.
    pub(super) fn list(bridge: Option<IfName>) -> Result<Vec<PathBuf>, Failure> {
        let entries = fs::read_dir(FOLDER).map_err(|error| failed("read", Path::new(FOLDER), &error))?;
        let end = bridge.map_or_else(String::new, |bridge| format!("-{bridge}"));
        let is_ours = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(&end))
        };
        Ok(entries.flatten().map(|entry| entry.path()).filter(is_ours).collect())
    }

    /// Begins a record of a bridge. If there is one of an observer that was killed, what that left is removed first.
    pub(super) fn begin(host: &Namespace, place: &Place) -> Result<Self, Failure> {
        let path = Path::new(FOLDER).join(format!("{PREFIX}{}-{}", place.namespace.1, place.bridge));
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&path);
        let mut record = Self::lock(path, file)?;
        if let Some(earlier) = record.place()? {
            if earlier.namespace == place.namespace {
                record.remove_traces(&mut RouteSocket::open_in(host)?, &earlier)?;
            }
            record.file.set_len(0).map_err(|error| failed("empty", &record.path, &error))?;
        }
        append(&mut record.file, place).map_err(|error| failed("write", &record.path, &error))?;
        Ok(record)
    }

    /// Opens one that is there.
    pub(super) fn open(path: PathBuf) -> Result<Self, Failure> {
        let file = OpenOptions::new().read(true).append(true).open(&path);
        Self::lock(path, file)
    }

    fn lock(path: PathBuf, file: io::Result<File>) -> Result<Self, Failure> {
        let file = file.map_err(|error| failed("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::usage(format!("{}: this bridge is being observed already", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
        }
    }

    /// Another handle, for the observer to write to.
    pub(super) fn journal(&self) -> Result<Lines, Failure> {
        let file = self.file.try_clone().map_err(|error| failed("open", &self.path, &error))?;
        Ok(Lines(file))
    }

    /// The first line; `None` if there is none.
    pub(super) fn place(&self) -> Result<Option<Place>, Failure> {
        let line = self.lines()?.into_iter().next();
        line.map(|line| self.parse(&line)).transpose()
    }

    /// Removes what is left of what was done; the names of the ports on which there was something.
    pub(super) fn remove_traces(
        &self,
        socket: &mut RouteSocket,
        place: &Place,
    ) -> Result<Vec<String>, Failure> {
        let mut last = BTreeMap::new();
        for line in self.lines()?.iter().skip(1) {
            // A line that was being written when its writer was killed was about something not done yet.
            let Ok(entry) = self.parse::<Entry>(line) else { continue };
            last.insert(entry.ifindex, entry);
        }
        let mut removed = Vec::new();
        for (ifindex, entry) in last {
            let clsact = match entry.clsact {
                Qdisc::Unsure => Clsact::Unsure,
                Qdisc::Ours => Clsact::Ours,
                Qdisc::NotOurs => Clsact::NotOurs,
            };
            let trace = Trace { ifindex, name: IfName::new(&entry.name)?, clsact };
            if trace.remove(socket, place.programs)? {
                removed.push(entry.name);
            }
        }
        Ok(removed)
    }

    /// Ends the record: nothing is left of what it says.
    pub(super) fn end(self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(|error| failed("remove", &self.path, &error))
    }

    fn lines(&self) -> Result<Vec<String>, Failure> {
        let lines = File::open(&self.path).and_then(|file| BufReader::new(file).lines().collect());
        lines.map_err(|error| failed("read", &self.path, &error))
    }

    fn parse<T: for<'a> Deserialize<'a>>(&self, line: &str) -> Result<T, Failure> {
        serde_json::from_str(line).map_err(|error| failed("read", &self.path, &error.into()))
    }
}

/// The record as the observer writes it.
#[derive(Debug)]
pub(super) struct Lines(File);

impl Journal for Lines {
    fn note(&mut self, trace: &Trace) -> io::Result<()> {
        let clsact = match trace.clsact {
            Clsact::Unsure => Qdisc::Unsure,
            Clsact::Ours => Qdisc::Ours,
            Clsact::NotOurs => Qdisc::NotOurs,
        };
        append(&mut self.0, &Entry { ifindex: trace.ifindex, name: trace.name.to_string(), clsact })
    }
}

/// One line, in one system call.
fn append(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn failed(operation: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Kernel(format!("{operation} {}: {error}", path.display()))
}
