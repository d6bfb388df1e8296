//! What an observer puts onto ports, written into a record before it does, so that what a killed one left can be
//! removed.
//!
//! One record a bridge, locked for as long as its observer lives. Its first line says where, every other one what was
//! done to a port; the last of a port counts.

mod earlier;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use netns_core::record::{Line, NamespaceIdentity, RecordFile};
use netns_core::{IfName, Namespace, RouteSocket, link::Link};

use super::super::{Monitor, MonitorError};
use super::barred::Barred;
use super::trace::{Clsact, Journal, Trace};
use earlier::EarlierJournal;

const PREFIX: &str = "netns-observe-";
const KIND: &str = "observe";
/// Of an observer that detached from a port for good.
const LEFT: &str = "left";
/// Of one that took its barrier away.
const LOWERED: &str = "lowered";

/// Where an observer is, and what its filters are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalPlace {
    /// The namespace of the bridge.
    pub namespace: NamespaceIdentity,
    /// The bridge's index in that namespace, by which it is known: its name and its MAC address may change. `None` in
    /// what version 0.1.0 wrote.
    pub index: Option<u32>,
    /// The bridge's name when it was written down.
    pub bridge: IfName,
    /// The programs: [`Monitor::program_ids`](crate::Monitor::program_ids).
    pub programs: [u32; 2],
    /// The namespace's name, if it was opened by one, to find it by.
    pub name: Option<String>,
}

impl JournalPlace {
    /// The place of a bridge in `host`, which was opened by a name if there is one.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the namespace cannot be identified.
    pub fn of(
        host: &Namespace,
        bridge: &Link,
        monitor: &Monitor,
        name: Option<String>,
    ) -> Result<Self, MonitorError> {
        let identified = NamespaceIdentity::of(host);
        let namespace = identified.map_err(|source| MonitorError::Bridge { bridge: bridge.name, source })?;
        let (index, programs) = (Some(bridge.index), monitor.program_ids());
        Ok(Self { namespace, index, bridge: bridge.name, programs, name })
    }

    /// The namespace, if it is the calling thread's own or has a name.
    #[must_use]
    pub fn find(&self) -> Option<Namespace> {
        if let Some(current) = Namespace::current().ok().filter(|namespace| self.is_in(namespace)) {
            return Some(current);
        }
        // By the name that it had, and by any other: it may have another by now.
        let others = Namespace::list().unwrap_or_default();
        let names = self.name.iter().chain(&others);
        names.filter_map(|name| Namespace::open(name).ok()).find(|namespace| self.is_in(namespace))
    }

    /// Whether this is the place's namespace.
    #[must_use]
    pub fn is_in(&self, namespace: &Namespace) -> bool {
        match self.namespace.cookie {
            Some(_) => NamespaceIdentity::of(namespace).is_ok_and(|identity| identity.is(&self.namespace)),
            None => namespace.id().is_ok_and(|id| id == self.namespace.id),
        }
    }

    /// Whether somebody who says `bridge`, or has found it to be `found`, in the place's namespace means this bridge.
    /// A bridge that is gone is known by the name that it had.
    ///
    /// # Errors
    /// If the kernel does not say whether it is gone.
    pub fn is_of(
        &self,
        socket: &mut RouteSocket,
        bridge: &str,
        found: Option<&Link>,
    ) -> Result<bool, MonitorError> {
        let Some(index) = self.index else { return Ok(self.bridge.as_str() == bridge) };
        if found.is_some_and(|found| found.index == index) {
            return Ok(true);
        }
        if self.bridge.as_str() != bridge {
            return Ok(false);
        }
        match netns_core::link::get(socket, index) {
            Ok(_) => Ok(false),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(true),
            Err(source) => Err(MonitorError::Bridge { bridge: self.bridge, source }),
        }
    }

    fn line(&self) -> Line {
        let Self { namespace, index, bridge, programs: [ingress, egress], name } = self;
        let line = Line::new("bridge").with(bridge).with_option(*index).with(namespace);
        line.with(ingress).with(egress).with_option(name.as_ref())
    }

    fn read(line: &Line) -> Option<Self> {
        Some(Self {
            bridge: line.parse(0)?,
            index: line.optional(1)?,
            namespace: line.parse(2)?,
            programs: [line.parse(3)?, line.parse(4)?],
            name: line.optional(5)?,
        })
    }
}

impl Trace {
    fn line(&self) -> Line {
        let clsact = match self.clsact {
            Clsact::Unsure => "unsure",
            Clsact::Ours => "ours",
            Clsact::Leaving => "leaving",
            Clsact::NotOurs => "others",
        };
        Line::new("port").with(self.ifindex).with(clsact).with(self.name).with_option(self.mac)
    }

    fn read(line: &Line) -> Option<Self> {
        let clsact = match line.text(1)? {
            "unsure" => Clsact::Unsure,
            "ours" => Clsact::Ours,
            "leaving" => Clsact::Leaving,
            "others" => Clsact::NotOurs,
            _ => return None,
        };
        Some(Self { ifindex: line.parse(0)?, clsact, name: line.parse(2)?, mac: line.optional(3)? })
    }
}

/// A journal that outlives its observer, in a record that is locked for as long as this lives.
///
/// ```no_run
/// use netns_core::{IfName, Namespace, RouteSocket, link};
/// use netns_ebpf::{JournalFile, Monitor, Observer, JournalPlace};
/// use std::path::Path;
///
/// let monitor = Monitor::load(&Default::default())?;
/// let host = Namespace::current().unwrap();
/// let bridge = link::get(&mut RouteSocket::open().unwrap(), IfName::new("docker0").unwrap()).unwrap();
/// let place = JournalPlace::of(&host, &bridge, &monitor, None)?;
/// // What an observer of this bridge left that was killed is removed now.
/// let journal = JournalFile::begin(Path::new(JournalFile::FOLDER), &host, &place)?;
/// let observer = Observer::start(&monitor, &host, bridge.name, &journal)?;
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
/// for path in JournalFile::list(Path::new(JournalFile::FOLDER))? {
///     // An error if its observer lives.
///     let Some(journal) = JournalFile::open(path)? else { continue };
///     if let Some(host) = journal.place().and_then(|place| place.find()) {
///         println!("removed the filters from {:?}", journal.clean(&host)?);
///         journal.end()?;
///     }
/// }
/// # Ok::<(), MonitorError>(())
/// ```
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    place: Option<JournalPlace>,
    book: Mutex<Book>,
}

/// What was done to ports, by their index, and where that is written.
#[derive(Debug)]
struct Book {
    file: JournalPart,
    traces: BTreeMap<u32, Trace>,
    barred: Option<Barred>,
}

#[derive(Debug)]
enum JournalPart {
    Record(RecordFile),
    /// Of version 0.1.0, which is not written to any more.
    Earlier(EarlierJournal),
    Ended,
}

impl JournalFile {
    /// A folder for them that is empty after a restart, as the ports are.
    pub const FOLDER: &str = "/run";

    /// The journals that there are in a folder. [`Self::peek`] says of which bridges.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if the folder cannot be read.
    pub fn list(folder: &Path) -> Result<Vec<PathBuf>, MonitorError> {
        let failed =
            |source| MonitorError::Kernel { operation: format!("read {}", folder.display()), source };
        let mut journals = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let is_journal = name.to_str().is_some_and(|name| name.starts_with(PREFIX))
                // What a writer was killed over before it was in its place is no journal yet.
                && Path::new(&name).extension().is_none_or(|end| end != "new");
            if is_journal && entry.file_type().map_err(failed)?.is_file() {
                journals.push(entry.path());
            }
        }
        journals.sort_unstable();
        Ok(journals)
    }

    /// Where a journal is of, whether or not its observer lives; `None` if it is gone, or says nothing yet.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if it cannot be read, is of another version, or somebody else wrote into it.
    pub fn peek(path: &Path) -> Result<Option<JournalPlace>, MonitorError> {
        if let Some(text) = EarlierJournal::text(path)? {
            return Ok(EarlierJournal::read(path, &text)?.0);
        }
        let lines = RecordFile::peek(path, KIND).map_err(kept)?.unwrap_or_default();
        Ok(read(path, &lines)?.place)
    }

    /// Whether there is one of a bridge: it is being observed, or its observer was killed.
    #[must_use]
    pub fn is_there(folder: &Path, place: &JournalPlace) -> bool {
        // What cannot be looked at may be there.
        Self::path_in(folder, place).try_exists().unwrap_or(true)
    }

    fn path_in(folder: &Path, place: &JournalPlace) -> PathBuf {
        let namespace = place.namespace.cookie.unwrap_or(place.namespace.id.inode);
        folder.join(format!("{PREFIX}{namespace}-{}", place.index.unwrap_or_default()))
    }

    /// Begins the journal of a bridge in `host`. If there is one of an observer that was killed, what that left is removed
    /// first.
    ///
    /// # Errors
    /// [`MonitorError::Observed`] if the bridge is being observed, [`MonitorError::Kernel`] if the file cannot be written;
    /// as [`Self::clean`].
    pub fn begin(folder: &Path, host: &Namespace, place: &JournalPlace) -> Result<Self, MonitorError> {
        let earlier_form = Self::list(folder)?.into_iter().filter_map(|path| {
            let text = EarlierJournal::text(&path).ok()??;
            let found = EarlierJournal::read(&path, &text).ok()?.0?;
            (found.bridge == place.bridge && found.namespace.id == place.namespace.id).then_some(path)
        });
        for path in earlier_form {
            if let Some(journal) = Self::open(path)? {
                journal.clean(host)?;
                journal.end()?;
            }
        }
        let path = Self::path_in(folder, place);
        let record = RecordFile::create(&path, KIND).map_err(|error| locked(&path, error))?;
        let journal = Self::of_record(path, record)?;
        // What is of a namespace that is gone went with it.
        if journal.place.as_ref().is_some_and(|earlier| earlier.is_in(host)) {
            journal.clean(host)?;
        }
        let path = journal.path.clone();
        {
            let mut book = journal.book();
            book.traces.clear();
            book.barred = None;
            if let JournalPart::Record(record) = &mut book.file
                && let Err(error) = record.replace(vec![place.line()])
            {
                drop(book);
                // Nothing is left that it would speak of.
                journal.end()?;
                return Err(kept(error));
            }
        }
        let Self { book, .. } = journal;
        Ok(Self { path, place: Some(place.clone()), book })
    }

    /// Opens one that is there; `None` if it is gone by now.
    ///
    /// # Errors
    /// [`MonitorError::Observed`] if its observer lives, [`MonitorError::Kernel`] if it cannot be opened or makes no
    /// sense.
    pub fn open(path: PathBuf) -> Result<Option<Self>, MonitorError> {
        if EarlierJournal::text(&path)?.is_some() {
            let Some(earlier) = EarlierJournal::open(&path)? else { return Ok(None) };
            let (place, traces) = EarlierJournal::read(&path, earlier.content())?;
            let book = Mutex::new(Book { file: JournalPart::Earlier(earlier), traces, barred: None });
            return Ok(Some(Self { path, place, book }));
        }
        match RecordFile::open(&path, KIND).map_err(|error| locked(&path, error))? {
            Some(record) => Self::of_record(path, record).map(Some),
            None => Ok(None),
        }
    }

    fn of_record(path: PathBuf, record: RecordFile) -> Result<Self, MonitorError> {
        let JournalLine { place, traces, barred } = read(&path, record.lines())?;
        Ok(Self { path, place, book: Mutex::new(Book { file: JournalPart::Record(record), traces, barred }) })
    }

    /// Where it is of; `None` if its observer was killed before it had written that down, and so had done nothing.
    #[must_use]
    pub fn place(&self) -> Option<&JournalPlace> {
        self.place.as_ref()
    }

    /// Removes what is left of what it says, in the namespace that it is of; the names of the ports on which there was
    /// something.
    ///
    /// # Errors
    /// [`MonitorError::Left`] with what the kernel refused.
    pub fn clean(&self, host: &Namespace) -> Result<Vec<IfName>, MonitorError> {
        let Some(place) = &self.place else { return Ok(Vec::new()) };
        let refused = |source| MonitorError::Left { bridge: place.bridge, source };
        let traces: Vec<Trace> = self.book().traces.values().cloned().collect();
        let mut socket = RouteSocket::open_in(host).map_err(refused)?;
        let mut removed = Vec::new();
        // Before the programs, without which it would stop everything.
        let barred = self.book().barred.clone();
        if let Some(barred) = barred {
            barred.remove(host, &mut socket, place.index.unwrap_or_default()).map_err(refused)?;
        }
        for trace in traces {
            if trace.remove(&mut socket, place.programs).map_err(refused)? {
                removed.push(trace.name);
            }
        }
        Ok(removed)
    }

    /// What it says is left.
    pub(super) fn left(&self) -> (Vec<Trace>, Option<Barred>) {
        let book = self.book();
        (book.traces.values().cloned().collect(), book.barred.clone())
    }

    /// Ends it, by removing the file: nothing is left of what it says.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if the file cannot be removed.
    pub fn end(&self) -> Result<(), MonitorError> {
        match std::mem::replace(&mut self.book().file, JournalPart::Ended) {
            JournalPart::Record(record) => record.remove().map_err(kept),
            JournalPart::Earlier(earlier) => earlier.remove(&self.path),
            JournalPart::Ended => Ok(()),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing in between panics.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Lines, in one system call; now and then all that count, in a new file.
    fn append(&mut self, line: Line, place: Option<&JournalPlace>) -> io::Result<()> {
        self.append_all(&[line], place)
    }

    fn append_all(&mut self, lines: &[Line], place: Option<&JournalPlace>) -> io::Result<()> {
        let Self { file: JournalPart::Record(record), traces, barred } = self else { return Ok(()) };
        record.append(lines)?;
        let forwarding = barred.as_ref().map_or(0, |barred| barred.forwarding.len());
        if record.is_worth_compacting(traces.len() + forwarding) {
            let lines = place.map(JournalPlace::line).into_iter();
            let lines = lines.chain(barred.iter().flat_map(Barred::lines));
            let lines = lines.chain(traces.values().map(Trace::line));
            // Where there is no room for a second file the first goes on.
            let _ = record.replace(lines.collect());
        }
        Ok(())
    }
}

impl Journal for &JournalFile {
    fn note(&mut self, trace: &Trace) -> io::Result<()> {
        let mut book = self.book();
        let before = book.traces.insert(trace.ifindex, trace.clone());
        book.append(trace.line(), self.place.as_ref()).inspect_err(|_| {
            match before {
                Some(before) => book.traces.insert(trace.ifindex, before),
                None => book.traces.remove(&trace.ifindex),
            };
        })
    }

    fn note_barrier(&mut self, barred: &Barred) -> io::Result<()> {
        let mut book = self.book();
        book.barred = Some(barred.clone());
        let lines: Vec<Line> = barred.lines().collect();
        book.append_all(&lines, self.place.as_ref()).inspect_err(|_| book.barred = None)
    }

    fn note_forwarding(&mut self, ports: &[(u32, u16)]) -> io::Result<()> {
        let mut book = self.book();
        if let Some(barred) = &mut book.barred {
            barred.forwarding.extend(ports.iter().copied());
        }
        let lines: Vec<Line> = ports.iter().map(|&port| Barred::forwarding_line(port)).collect();
        book.append_all(&lines, self.place.as_ref())
    }

    fn forget_barrier(&mut self) {
        let mut book = self.book();
        book.barred = None;
        // One that stays on record is looked for in vain.
        let _ = book.append(Line::new(LOWERED), self.place.as_ref());
    }

    fn forget(&mut self, ifindex: u32) {
        let mut book = self.book();
        if book.traces.remove(&ifindex).is_some() {
            // One that stays on record is looked for in vain.
            let _ = book.append(Line::new(LEFT).with(ifindex), self.place.as_ref());
        }
    }
}

/// What a record says.
#[derive(Default)]
struct JournalLine {
    place: Option<JournalPlace>,
    traces: BTreeMap<u32, Trace>,
    barred: Option<Barred>,
}

fn read(path: &Path, lines: &[Line]) -> Result<JournalLine, MonitorError> {
    let unknown = |line: &Line| MonitorError::Kernel {
        operation: format!("read {}", path.display()),
        source: io::Error::new(ErrorKind::InvalidData, format!("this makes no sense: {line}")),
    };
    let mut said = JournalLine::default();
    let Some((first, rest)) = lines.split_first() else { return Ok(said) };
    let place =
        JournalPlace::read(first).filter(|_| first.key() == "bridge").ok_or_else(|| unknown(first))?;
    for line in rest {
        match line.key() {
            LEFT => {
                let index: u32 = line.parse(0).ok_or_else(|| unknown(line))?;
                said.traces.remove(&index);
            }
            LOWERED => said.barred = None,
            Barred::FORWARDING => {
                let barred = said.barred.as_mut().ok_or_else(|| unknown(line))?;
                let (port, before) = line.parse(0).zip(line.parse(1)).ok_or_else(|| unknown(line))?;
                barred.forwarding.insert(port, before);
            }
            Barred::KEY => said.barred = Some(Barred::read(line).ok_or_else(|| unknown(line))?),
            "port" => {
                let trace = Trace::read(line).ok_or_else(|| unknown(line))?;
                said.traces.insert(trace.ifindex, trace);
            }
            _ => return Err(unknown(line)),
        }
    }
    said.place = Some(place);
    Ok(said)
}

fn locked(path: &Path, error: netns_core::Error) -> MonitorError {
    if RecordFile::is_held(&error) {
        return MonitorError::Observed { journal: path.to_owned() };
    }
    kept(error)
}

fn kept(error: netns_core::Error) -> MonitorError {
    MonitorError::Kernel { operation: "keep the journal".to_owned(), source: error.into() }
}

#[cfg(test)]
mod tests;
