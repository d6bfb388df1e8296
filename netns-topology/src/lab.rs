//! A topology file and what is up of it: up, down, diff.

mod keep;
mod verdicts;

use crate::apply::{Progress, Work};
use crate::converge::{converge, finish};
use crate::error::{Error, Result};
use crate::file;
use crate::forwarding;
use crate::observe::Observed;
use crate::plan::{Change, plan};
use crate::processes::{self, CommandState};
use crate::record::{Record, Store};
use crate::topology::{LinkName, ShellCommand, Topology};
use netns_ebpf::OverLimits;
use netns_ebpf::layout::Violations;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A topology file. It belongs to the namespace of the calling thread, which is the host of its topology.
#[derive(Debug, Clone)]
pub struct Lab {
    /// As it was given, for messages.
    given: PathBuf,
    /// Its full path, by which it is known.
    path: PathBuf,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// Whether it was up before, or some of it.
    pub was_up: bool,
    /// What was to go and was left alone, because something of somebody else is in its place: a sentence each.
    pub left: Vec<String>,
}

impl Lab {
    /// The topology of a file. It is read when it is needed: `down` works whatever the file says now, even if it is
    /// gone.
    ///
    /// # Errors
    /// If the folder that it is in cannot be found.
    pub fn new(file: impl Into<PathBuf>) -> Result<Self> {
        let given = file.into();
        let failed = || Error::system(format!("read {}", given.display()));
        let name = given.file_name().ok_or_else(|| failed()(std::io::ErrorKind::IsADirectory.into()))?;
        let parent = match given.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let named = parent.canonicalize().map_err(failed())?.join(name);
        let mut path = followed(named.clone());
        // 0.1.0 knew a symbolic link by its own path.
        if path != named && !Store::has(&path) && Store::has(&named) {
            path = named;
        }
        Ok(Self { given, path })
    }

    /// The records of all topologies that are up on this machine, or half up; an error in the place of each that cannot
    /// be read. They are looked at without a lock: what is being changed meanwhile may be missing.
    ///
    /// # Errors
    /// If [`FOLDER`](crate::FOLDER) cannot be read.
    pub fn all() -> Result<Vec<Result<Record>>> {
        Store::all()
    }

    /// Its full path, by which it is known. Of a symbolic link it is the path of the file that it leads to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says.
    ///
    /// # Errors
    /// [`Error::File`] if it makes no sense; if it cannot be read.
    pub fn topology(&self) -> Result<Topology> {
        file::parse(&self.given, &file::text_of(&self.given)?)
    }

    /// What is on record; `None` if the topology is not up.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn record(&self) -> Result<Option<Record>> {
        Ok(Store::read(&self.stored()?)?.map(|record| record.moved_to(&self.path)))
    }

    /// The path by which its record is kept: its own, or the one that it had when it was brought up, if it was moved since.
    fn stored(&self) -> Result<PathBuf> {
        if !Store::has(&self.path)
            && let Ok(text) = file::text_of(&self.path)
            && let Some(before) = Store::moved_from(&text)?
        {
            return Ok(before);
        }
        Ok(self.path.clone())
    }

    /// Waits for the lock. From then on the record is kept by the present path.
    fn lock(&self) -> Result<Store> {
        let (store, stored) = (Store::lock()?, self.stored()?);
        if stored != self.path {
            store.follow(&stored, &self.path)?;
        }
        Ok(store)
    }

    /// What [`Lab::up`] would change. Some of it may take more with it: see there.
    ///
    /// # Errors
    /// As [`Lab::topology`]; [`Error::Conflict`] if something is in the way; if the kernel does not say what is
    /// there.
    pub fn diff(&self) -> Result<Vec<Change>> {
        let topology = self.topology()?;
        let record = self.record_or_new()?;
        plan(&topology, &record, &Observed::look(&topology, &record)?)
    }

    /// Makes it so: changes what differs and nothing else, and waits until the ports of bridges with `stp` forward. What fails is undone: the topology that was up before is
    /// again, or nothing is.
    ///
    /// # Errors
    /// As [`Lab::diff`], and then nothing was changed, except that policies of interfaces that are there hold as the file says if
    /// all that is in the way is inside namespaces of the topology; [`Error::RolledBack`] if the kernel refuses a change.
    pub fn up(&self) -> Result<Done> {
        self.up_with(&mut |_| {})
    }

    /// As [`Lab::up`], and calls `report` after each change, in the calling thread; not for those that undo what
    /// failed.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn up_with(&self, report: &mut dyn FnMut(&Progress<'_>)) -> Result<Done> {
        let text = file::text_of(&self.given)?;
        let topology = file::parse(&self.given, &text)?;
        let store = self.lock()?;
        let mut record = match self.record_or_new() {
            Ok(record) => record,
            Err(error) => {
                store.tidy();
                return Err(error);
            }
        };
        let before = record.applied.clone();
        let was_up = Store::has(&record.file);
        let mut changes = Vec::new();
        let mut go_on = |progress: &Progress<'_>| going_on(report, progress);
        let mut work = Work::new(&store, &mut go_on);
        let outcome = converge(&mut work, &topology, &mut record, &mut changes).and_then(|()| {
            let applied = record.applied.replace(text.clone());
            // What is up and not on record as such would be neither: it is undone then, as after any refusal.
            store.write(&record).inspect_err(|_| record.applied = applied)
        });
        let left = std::mem::take(&mut work.left);
        let is_hindered = work.is_hindered;
        // Its namespaces are found by their names from here on.
        drop(work);
        match outcome {
            Ok(()) => {
                // Only now: it may take half a minute, and all is on record.
                forwarding::wait(&topology)?;
                Ok(Done { changes, was_up, left })
            }
            // Refused before anything was made.
            Err(error) if changes.is_empty() => {
                if before.is_none() && Store::read(&self.path)?.is_none() {
                    store.tidy_up(&self.path)?;
                } else if is_hindered && before.is_some() {
                    // What it says of policies holds from now on, and is what is put back if somebody takes it away.
                    record.applied = Some(text);
                    store.write(&record)?;
                }
                Err(error)
            }
            Err(error) => Err(match self.roll_back(store, before.as_deref(), record) {
                Ok(()) => Error::RolledBack(Box::new(error)),
                Err(rollback) => Error::NotRolledBack { why: Box::new(error), rollback: Box::new(rollback) },
            }),
        }
    }

    /// Goes back to the text that was up before, or to nothing.
    fn roll_back(&self, store: Store, before: Option<&str>, mut record: Record) -> Result<()> {
        let topology = match before {
            Some(text) => file::parse(&self.path, text)?,
            None => Topology::default(),
        };
        converge(
            &mut Work::new(&store, &mut |_| ControlFlow::Continue(())),
            &topology,
            &mut record,
            &mut Vec::new(),
        )?;
        if before.is_none() {
            return finish(store, &record);
        }
        // Where there is no space, what is on record beside it is of no consequence: it is gone.
        let _ = store.write(&record);
        Ok(())
    }

    /// Takes down what is on record, and nothing else. Settings of the host become what they were.
    ///
    /// # Errors
    /// If the kernel refuses; what is left stays on record.
    pub fn down(&self) -> Result<Done> {
        self.down_with(&mut |_| {})
    }

    /// As [`Lab::down`], and calls `report` after each change, in the calling thread.
    ///
    /// # Errors
    /// As [`Lab::down`].
    pub fn down_with(&self, report: &mut dyn FnMut(&Progress<'_>)) -> Result<Done> {
        let store = self.lock()?;
        let Some(mut record) = Store::read(&self.path)? else {
            store.tidy_up(&self.path)?;
            return Ok(Done { changes: Vec::new(), was_up: false, left: Vec::new() });
        };
        let mut changes = Vec::new();
        let mut go_on = |progress: &Progress<'_>| going_on(report, progress);
        let mut work = Work::new(&store, &mut go_on);
        converge(&mut work, &Topology::default(), &mut record, &mut changes)?;
        let left = std::mem::take(&mut work.left);
        drop(work);
        finish(store, &record)?;
        Ok(Done { changes, was_up: true, left })
    }

    /// What interfaces sent that their policies do not let them, each by the name of the port that found it, since the
    /// policy was set up. Nothing if the topology is not up.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn violations(&self) -> Result<Vec<(LinkName, Violations)>> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let judged = Observed::look(&Topology::default(), &record)?.judged;
        Ok(judged.into_iter().map(|(port, judged)| (port, judged.violations)).collect())
    }

    /// What was over the limits of interfaces, each by the name of its port, of those that have limits, since the policy was set
    /// up. Nothing if the topology is not up.
    ///
    /// # Errors
    /// If the kernel does not report it.
    pub fn over_limits(&self) -> Result<Vec<(LinkName, OverLimits)>> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let judged = Observed::look(&Topology::default(), &record)?.judged.into_iter();
        let limited = judged.filter(|(_, judged)| !judged.policy.limits.is_none());
        Ok(limited.map(|(port, judged)| (port, judged.over)).collect())
    }

    /// The commands that were started, and what has become of each. Nothing if the topology is not up.
    ///
    /// # Errors
    /// If the record cannot be read, or the kernel does not say.
    pub fn commands(&self) -> Result<Vec<(ShellCommand, CommandState)>> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let (running, stored) = (processes::running(&record.mark(), &record)?, self.stored()?);
        let started = record.commands.iter().map(|started| {
            let is_it = |process: &processes::Process| {
                process.namespace == started.namespace && process.command == started.command
            };
            let (namespace, command) = (started.namespace.clone(), started.command.clone());
            let exit = Store::exit(&stored, &namespace, &command);
            let ended = || processes::exit_code(&exit).map_or(CommandState::Ended, CommandState::Exited);
            let state = if running.iter().any(is_it) { CommandState::Running } else { ended() };
            (ShellCommand { namespace, command }, state)
        });
        Ok(started.collect())
    }

    /// The files with what the commands of each namespace wrote, by the namespace. They go with `down`.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn output(&self) -> Result<Vec<(String, PathBuf)>> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let folder = Store::output(&self.stored()?);
        let namespaces = record.commands.into_iter().map(|started| started.namespace);
        let namespaces: BTreeSet<String> = namespaces.collect();
        Ok(namespaces.into_iter().map(|namespace| (namespace.clone(), folder.join(namespace))).collect())
    }

    fn record_or_new(&self) -> Result<Record> {
        match self.record()? {
            Some(record) => Ok(record),
            None => Record::new(&self.path),
        }
    }
}

/// The file that a path leads to, over symbolic links, even if that file is gone.
fn followed(mut path: PathBuf) -> PathBuf {
    // As many as the kernel follows.
    for _ in 0..40 {
        if let Ok(found) = path.canonicalize() {
            return found;
        }
        let (Ok(target), Some(parent)) = (path.read_link(), path.parent()) else { break };
        let target = parent.join(target);
        path = match (target.parent().map(Path::canonicalize), target.file_name()) {
            (Some(Ok(parent)), Some(name)) => parent.join(name),
            _ => break,
        };
    }
    path
}

fn going_on(report: &mut dyn FnMut(&Progress<'_>), progress: &Progress<'_>) -> ControlFlow<()> {
    report(progress);
    ControlFlow::Continue(())
}
