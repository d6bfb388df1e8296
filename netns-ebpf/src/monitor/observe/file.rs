//! What an observer puts onto ports, written into a file before it does, so that what a killed one left can be removed.
//!
//! One file a bridge, locked for as long as its observer lives. Its first line says where, every other one what was done
//! to a port; the last of a port counts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use netns_core::{IfName, Namespace, NamespaceId, RouteSocket};

use super::super::MonitorError;
use super::trace::{Clsact, Journal, Trace};

const PREFIX: &str = "netns-observe-";

/// Where an observer is, and what its filters are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace of the bridge.
    pub namespace: NamespaceId,
    /// The bridge.
    pub bridge: IfName,
    /// The programs: [`Monitor::program_ids`](crate::Monitor::program_ids).
    pub programs: [u32; 2],
    /// The namespace's name, if it was opened by one, to find it by.
    pub name: Option<String>,
}

impl Place {
    /// The namespace, if it is the calling thread's own or still has its name.
    #[must_use]
    pub fn find(&self) -> Option<Namespace> {
        let named = || Namespace::open(self.name.as_deref()?).ok();
        let is_it = |namespace: &Namespace| namespace.id().is_ok_and(|id| id == self.namespace);
        Namespace::current().ok().filter(is_it).or_else(|| named().filter(is_it))
    }

    /// The first line: the name comes last, since it may have blanks in it. One with a line's end in it is left out.
    fn line(&self) -> String {
        let Self { namespace: NamespaceId { device, inode }, bridge, programs: [ingress, egress], name } =
            self;
        let name = name.as_deref().filter(|name| !name.contains('\n')).unwrap_or_default();
        format!("{device} {inode} {bridge} {ingress} {egress} {name}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let [device, inode, bridge, ingress, egress, name] = words[..] else { return None };
        Some(Self {
            namespace: NamespaceId { device: device.parse().ok()?, inode: inode.parse().ok()? },
            bridge: IfName::new(bridge).ok()?,
            programs: [ingress.parse().ok()?, egress.parse().ok()?],
            name: (!name.is_empty()).then(|| name.to_owned()),
        })
    }
}

impl Trace {
    /// A line of a port.
    fn line(&self) -> String {
        let clsact = match self.clsact {
            Clsact::Unsure => "unsure",
            Clsact::Ours => "ours",
            Clsact::NotOurs => "others",
        };
        format!("{} {clsact} {}\n", self.ifindex, self.name)
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [ifindex, clsact, name] = words[..] else { return None };
        let clsact = match clsact {
            "unsure" => Clsact::Unsure,
            "ours" => Clsact::Ours,
            "others" => Clsact::NotOurs,
            _ => return None,
        };
        Some(Self { ifindex: ifindex.parse().ok()?, name: IfName::new(name).ok()?, clsact })
    }
}

/// A journal that outlives its observer, in a file that is locked for as long as this lives.
///
/// ```no_run
/// use netns_core::{IfName, Namespace};
/// use netns_ebpf::{JournalFile, Monitor, Observer, Place};
/// use std::path::Path;
///
/// let monitor = Monitor::load(&Default::default())?;
/// let (host, bridge) = (Namespace::current().unwrap(), IfName::new("docker0").unwrap());
/// let place =
///     Place { namespace: host.id().unwrap(), bridge, programs: monitor.program_ids(), name: None };
/// // What an observer of this bridge left that was killed is removed now.
/// let journal = JournalFile::begin(Path::new(JournalFile::FOLDER), &host, &place)?;
/// let observer = Observer::start(&monitor, &host, bridge, &journal)?;
/// // ...
/// observer.stop()?;
/// journal.end()?;
/// # Ok::<(), netns_ebpf::MonitorError>(())
/// ```
///
/// Whatever was killed is found by anybody later:
///
/// ```no_run
/// # use netns_ebpf::{JournalFile, MonitorError};
/// # use std::path::Path;
/// for path in JournalFile::list(Path::new(JournalFile::FOLDER), None)? {
///     // An error if its observer lives.
///     let journal = JournalFile::open(path)?;
///     if let Some(host) = journal.place()?.and_then(|place| place.find()) {
///         println!("removed the filters from {:?}", journal.clean(&host)?);
///         journal.end()?;
///     }
/// }
/// # Ok::<(), MonitorError>(())
/// ```
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
}

impl JournalFile {
    /// A folder for them that is empty after a restart, as the ports are.
    pub const FOLDER: &str = "/run";

    /// The journals that there are in a folder, of bridges of this name or of all.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if the folder cannot be read.
    pub fn list(folder: &Path, bridge: Option<IfName>) -> Result<Vec<PathBuf>, MonitorError> {
        let entries = fs::read_dir(folder).map_err(|error| failed("read", folder, error))?;
        let end = bridge.map_or_else(String::new, |bridge| format!("-{bridge}"));
        let is_ours = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(&end))
        };
        Ok(entries.flatten().map(|entry| entry.path()).filter(is_ours).collect())
    }

    /// Begins the journal of a bridge in `host`. If there is one of an observer that was killed, what that left is removed
    /// first.
    ///
    /// # Errors
    /// [`MonitorError::Observed`] if the bridge is being observed, [`MonitorError::Kernel`] if the file cannot be written;
    /// as [`Self::clean`].
    pub fn begin(folder: &Path, host: &Namespace, place: &Place) -> Result<Self, MonitorError> {
        let path = folder.join(format!("{PREFIX}{}-{}", place.namespace.inode, place.bridge));
        let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let mut journal = Self::lock(path.clone(), open())?;
        // Whoever had it locked may have removed it in the end.
        while !journal.is_there() {
            journal = Self::lock(path.clone(), open())?;
        }
        // The number of a namespace that is gone may be another's by now.
        if journal.place()?.is_some_and(|earlier| earlier.namespace == place.namespace) {
            journal.clean(host)?;
        }
        journal.file.set_len(0).map_err(|error| failed("empty", &journal.path, error))?;
        journal.append(&place.line()).map_err(|error| failed("write", &journal.path, error))?;
        Ok(journal)
    }

    /// Opens one that is there.
    ///
    /// # Errors
    /// [`MonitorError::Observed`] if its observer lives, [`MonitorError::Kernel`] if it cannot be opened.
    pub fn open(path: PathBuf) -> Result<Self, MonitorError> {
        let file = OpenOptions::new().read(true).append(true).open(&path);
        Self::lock(path, file)
    }

    fn lock(path: PathBuf, file: io::Result<File>) -> Result<Self, MonitorError> {
        let file = file.map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(MonitorError::Observed { journal: path }),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
        }
    }

    /// Whether the file is still the one of its path.
    fn is_there(&self) -> bool {
        let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = self.file.metadata().map(inode);
        fs::metadata(&self.path).map(inode).is_ok_and(|there| ours.is_ok_and(|ours| ours == there))
    }

    /// Where it is of; `None` if its observer was killed before it had written that down, and so had done nothing.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if it cannot be read, or somebody else wrote into it.
    pub fn place(&self) -> Result<Option<Place>, MonitorError> {
        let text = self.read()?;
        let Some(line) = text.lines().next() else { return Ok(None) };
        let unknown =
            || failed("read", &self.path, io::Error::new(ErrorKind::InvalidData, "this is no journal"));
        Place::parse(line).map(Some).ok_or_else(unknown)
    }

    /// Removes what is left of what it says, in the namespace that it is of; the names of the ports on which there was
    /// something.
    ///
    /// # Errors
    /// [`MonitorError::Left`] with what the kernel refused, and as [`Self::place`].
    pub fn clean(&self, host: &Namespace) -> Result<Vec<IfName>, MonitorError> {
        let Some(place) = self.place()? else { return Ok(Vec::new()) };
        let refused = |source| MonitorError::Left { bridge: place.bridge, source };
        let text = self.read()?;
        let traces = text.lines().skip(1).filter_map(Trace::parse);
        let last: BTreeMap<u32, Trace> = traces.map(|trace| (trace.ifindex, trace)).collect();
        let mut socket = RouteSocket::open_in(host).map_err(refused)?;
        let mut removed = Vec::new();
        for trace in last.into_values() {
            if trace.remove(&mut socket, place.programs).map_err(refused)? {
                removed.push(trace.name);
            }
        }
        Ok(removed)
    }

    /// Ends it, by removing the file: nothing is left of what it says.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if the file cannot be removed.
    pub fn end(&self) -> Result<(), MonitorError> {
        fs::remove_file(&self.path).map_err(|error| failed("remove", &self.path, error))
    }

    /// The lines that were written in full. One that was being written when its writer was killed is about something that
    /// was not done yet.
    fn read(&self) -> Result<String, MonitorError> {
        let mut text = fs::read_to_string(&self.path).map_err(|error| failed("read", &self.path, error))?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        Ok(text)
    }

    /// One line, in one system call.
    fn append(&self, line: &str) -> io::Result<()> {
        (&self.file).write_all(line.as_bytes())
    }
}

impl Journal for &JournalFile {
    fn note(&mut self, trace: &Trace) -> io::Result<()> {
        self.append(&trace.line())
    }
}

fn failed(operation: impl Display, path: &Path, source: io::Error) -> MonitorError {
    MonitorError::Kernel { operation: format!("{operation} {}", path.display()), source }
}

#[cfg(test)]
mod tests;
