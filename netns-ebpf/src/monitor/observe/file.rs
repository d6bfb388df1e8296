//! What an observer puts onto ports, written into a record before it does, so that what a killed one left can be
//! removed.
//!
//! One record a bridge, locked for as long as its observer lives. Its first line says where, every other one what was
//! done to a port; the last of a port counts.

mod earlier;
mod lines;
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use netns_core::record::{Line, NamespaceIdentity, RecordFile};
use netns_core::{IfName, Namespace, RouteSocket, link::Link};

use super::super::{Monitor, MonitorError, Predecessors, are_loaded};
use super::barred::Barred;
use super::trace::{Inheritance, Journal, Trace};
use earlier::EarlierJournal;
use lines::{EARLIER, JournalLine, LEFT, LOWERED, read};
pub use place::JournalPlace;

const PREFIX: &str = "netns-observe-";
const KIND: &str = "observe";
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

/// What a journal says is its observer's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalClaims {
    /// The programs that may be on ports, as [`Monitor::program_ids`].
    pub programs: Vec<[u32; 2]>,
    /// The name of its barrier's table.
    pub barrier: Option<String>,
}

/// What was done to ports, by their index, and where that is written.
#[derive(Debug)]
struct Book {
    file: JournalPart,
    traces: BTreeMap<u32, Trace>,
    barred: Option<Barred>,
    /// Programs of observers before, of which some may be on ports.
    earlier: Vec<[u32; 2]>,
    /// What those left, as long as it is not taken over.
    inheritance: Inheritance,
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

    /// What a journal says is its observer's, whether or not that lives; nothing of one that is gone or was torn.
    ///
    /// # Errors
    /// As [`Self::peek`].
    pub fn claims(path: &Path) -> Result<JournalClaims, MonitorError> {
        if let Some(text) = EarlierJournal::text(path)? {
            let programs = EarlierJournal::read(path, &text)?.0.map(|place| place.programs);
            return Ok(JournalClaims { programs: programs.into_iter().collect(), barrier: None });
        }
        let lines = RecordFile::peek(path, KIND).map_err(kept)?.unwrap_or_default();
        let JournalLine { place, barred, mut earlier, .. } = read(path, &lines)?;
        earlier.extend(place.map(|place| place.programs));
        Ok(JournalClaims { programs: earlier, barrier: barred.map(|barred| barred.name) })
    }

    /// Whether there is one of a bridge: it is being observed, or its observer was killed.
    #[must_use]
    pub fn is_there(folder: &Path, place: &JournalPlace) -> bool {
        // What cannot be looked at may be there.
        Self::path_in(folder, place).try_exists().unwrap_or(true)
    }

    fn path_in(folder: &Path, place: &JournalPlace) -> PathBuf {
        Self::path_of(folder, &place.namespace, place.index.unwrap_or_default())
    }

    fn path_of(folder: &Path, namespace: &NamespaceIdentity, bridge: u32) -> PathBuf {
        folder.join(format!("{PREFIX}{}-{bridge}", namespace.cookie.unwrap_or(namespace.id.inode)))
    }

    /// Begins the journal of a bridge in `host`. If there is one of an observer that was killed, what that left is removed
    /// first.
    ///
    /// # Errors
    /// [`MonitorError::Observed`] if the bridge is being observed, [`MonitorError::Kernel`] if the file cannot be written;
    /// as [`Self::clean`].
    pub fn begin(folder: &Path, host: &Namespace, place: &JournalPlace) -> Result<Self, MonitorError> {
        Self::begin_with(folder, host, place, None)
    }

    /// As [`Self::begin`], for an observer with this monitor. If its programs take the place of all that are left
    /// ([`Self::predecessors`]), nothing is removed: the observer takes over, and is enforcing at every moment what the one
    /// before enforced, or what it enforces itself, even if it is killed over that.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn take_over(
        folder: &Path,
        host: &Namespace,
        place: &JournalPlace,
        monitor: &Monitor,
    ) -> Result<Self, MonitorError> {
        Self::begin_with(folder, host, place, Some(monitor))
    }

    /// What an observer of this bridge left that was killed, for the monitor of the next one. That it cannot be read
    /// [`Self::begin`] reports.
    #[must_use]
    pub fn predecessors(folder: &Path, host: &Namespace, bridge: &Link) -> Predecessors {
        let find = || {
            let namespace = NamespaceIdentity::of(host).ok()?;
            let path = Self::path_of(folder, &namespace, bridge.index);
            let lines = RecordFile::peek(&path, KIND).ok()??;
            let said = read(&path, &lines).ok()?;
            said.place.as_ref().filter(|place| place.is_in(host))?;
            let JournalLine { place, barred, earlier, .. } = said;
            let last = place?.programs;
            Some(predecessors(earlier.into_iter().chain([last]), barred.as_ref()))
        };
        find().unwrap_or_default()
    }

    fn begin_with(
        folder: &Path,
        host: &Namespace,
        place: &JournalPlace,
        monitor: Option<&Monitor>,
    ) -> Result<Self, MonitorError> {
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
        let left = journal.place.as_ref().filter(|earlier| earlier.is_in(host));
        let left = left.map(|earlier| journal.book().predecessors(earlier.programs));
        let takes_over =
            left.as_ref().is_some_and(|left| monitor.is_some_and(|monitor| monitor.succeeds(left)));
        if left.is_some() && !takes_over {
            journal.clean(host)?;
        }
        let path = journal.path.clone();
        {
            let mut book = journal.book();
            if let Some(left) = left.filter(|_| takes_over) {
                let traces = book.traces.values().cloned().collect();
                book.inheritance = Inheritance { traces, barred: book.barred.clone() };
                book.earlier = left.programs;
            } else {
                book.traces.clear();
                book.barred = None;
                book.earlier.clear();
            }
            let lines = book.lines(Some(place));
            if let JournalPart::Record(record) = &mut book.file
                && let Err(error) = record.replace(lines)
            {
                drop(book);
                if !takes_over {
                    // Nothing is left that it would speak of.
                    journal.end()?;
                }
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
            let book = Book {
                file: JournalPart::Earlier(earlier),
                traces,
                barred: None,
                earlier: Vec::new(),
                inheritance: Inheritance::default(),
            };
            return Ok(Some(Self { path, place, book: Mutex::new(book) }));
        }
        match RecordFile::open(&path, KIND).map_err(|error| locked(&path, error))? {
            Some(record) => Self::of_record(path, record).map(Some),
            None => Ok(None),
        }
    }

    fn of_record(path: PathBuf, record: RecordFile) -> Result<Self, MonitorError> {
        let JournalLine { place, traces, barred, earlier } = read(&path, record.lines())?;
        let (file, inheritance) = (JournalPart::Record(record), Inheritance::default());
        Ok(Self { path, place, book: Mutex::new(Book { file, traces, barred, earlier, inheritance }) })
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
            if self.remove_trace(&mut socket, place, &trace).map_err(refused)? {
                removed.push(trace.name);
            }
        }
        Ok(removed)
    }

    /// Removes from a port what is left there, of whichever of its programs; whether there was something.
    pub(super) fn remove_trace(
        &self,
        socket: &mut RouteSocket,
        place: &JournalPlace,
        trace: &Trace,
    ) -> Result<bool, netns_core::Error> {
        let earlier = self.book().earlier.clone();
        let mut pairs = std::iter::once(place.programs).chain(earlier);
        pairs.try_fold(false, |removed, programs| Ok(trace.remove(socket, programs)? || removed))
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
        let JournalPart::Record(record) = &mut self.file else { return Ok(()) };
        record.append(lines)?;
        let forwarding = self.barred.as_ref().map_or(0, |barred| barred.forwarding.len());
        if record.is_worth_compacting(self.earlier.len() + self.traces.len() + forwarding) {
            self.rewrite(place);
        }
        Ok(())
    }

    /// Writes all that counts into a new file. Where there is no room for a second file the first goes on.
    fn rewrite(&mut self, place: Option<&JournalPlace>) {
        let lines = self.lines(place);
        if let JournalPart::Record(record) = &mut self.file {
            let _ = record.replace(lines);
        }
    }

    /// All that counts.
    fn lines(&self, place: Option<&JournalPlace>) -> Vec<Line> {
        let lines = place.map(JournalPlace::line).into_iter();
        let earlier =
            self.earlier.iter().map(|[ingress, egress]| Line::new(EARLIER).with(ingress).with(egress));
        let lines = lines.chain(earlier).chain(self.barred.iter().flat_map(Barred::lines));
        lines.chain(self.traces.values().map(Trace::line)).collect()
    }

    /// The programs that may be on its ports, of which the last are these.
    fn predecessors(&self, last: [u32; 2]) -> Predecessors {
        predecessors(self.earlier.iter().copied().chain([last]), self.barred.as_ref())
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

    fn inheritance(&mut self) -> Inheritance {
        std::mem::take(&mut self.book().inheritance)
    }

    fn settle(&mut self) {
        let mut book = self.book();
        book.earlier.clear();
        // Programs that stay on record are looked for in vain.
        book.rewrite(self.place.as_ref());
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

/// Those of these programs that something holds.
fn predecessors(programs: impl Iterator<Item = [u32; 2]>, barred: Option<&Barred>) -> Predecessors {
    let programs = programs.filter(|&programs| are_loaded(programs)).collect();
    Predecessors { programs, stamp: barred.and_then(|barred| barred.stamp) }
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
