//! A topology file and what is up of it: up, down, diff.

use crate::apply::{Executor, Progress};
use crate::error::{Error, Result};
use crate::file;
use crate::forwarding;
use crate::observe::Observed;
use crate::plan::{Change, number_groups, plan};
use crate::processes::{self, CommandState};
use crate::record::{LinkEntry, Record, RecordedRoute, Store, SysctlEntry};
use crate::topology::{LinkName, Place, ShellCommand, Sysctl, Topology};
use netns_core::record::SharedSetting;
use netns_core::{Namespace, barrier};
use netns_ebpf::Mode;
use netns_ebpf::layout::Violations;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How often a plan is made anew. Some changes take others with them: with an address the kernel removes routes and
/// the secondary addresses of its network, with a bridge its ports leave.
const ROUNDS: usize = 4;

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
    /// As [`Lab::topology`]; [`Error::Conflict`] if something is in the way; if the kernel does not tell what is
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
    /// As [`Lab::diff`], and then nothing was changed; [`Error::RolledBack`] if the kernel refuses a change.
    pub fn up(&self) -> Result<Done> {
        self.up_with(&mut |_| {})
    }

    /// As [`Lab::up`], and calls `tell` after each change, in the calling thread; not for those that undo what failed.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn up_with(&self, tell: &mut dyn FnMut(&Progress<'_>)) -> Result<Done> {
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
        let outcome = converge(&store, &topology, &mut record, &mut changes, tell).and_then(|()| {
            let applied = record.applied.replace(text);
            // What is up and not on record as such would be neither: it is undone then, as after any refusal.
            store.write(&record).inspect_err(|_| record.applied = applied)
        });
        match outcome {
            Ok(()) => {
                // Only now: it may take half a minute, and all is on record.
                forwarding::wait(&topology)?;
                Ok(Done { changes, was_up })
            }
            // Refused before anything was made.
            Err(error) if changes.is_empty() => {
                if before.is_none() && Store::read(&self.path)?.is_none() {
                    store.tidy_up(&self.path)?;
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
        converge(&store, &topology, &mut record, &mut Vec::new(), &mut |_| {})?;
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

    /// As [`Lab::down`], and calls `tell` after each change, in the calling thread.
    ///
    /// # Errors
    /// As [`Lab::down`].
    pub fn down_with(&self, tell: &mut dyn FnMut(&Progress<'_>)) -> Result<Done> {
        let store = self.lock()?;
        let Some(mut record) = Store::read(&self.path)? else {
            store.tidy_up(&self.path)?;
            return Ok(Done { changes: Vec::new(), was_up: false });
        };
        let mut changes = Vec::new();
        converge(&store, &Topology::default(), &mut record, &mut changes, tell)?;
        finish(store, &record)?;
        Ok(Done { changes, was_up: true })
    }

    /// What interfaces sent that their policies do not let them, each by the name of the port that found it, since the
    /// policy was set up. Nothing if the topology is not up.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn violations(&self) -> Result<Vec<(LinkName, Violations)>> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let judged = Observed::look(&Topology::default(), &record)?.judged;
        Ok(judged.into_iter().map(|(port, judged)| (port, judged.violations)).collect())
    }

    /// The commands that were started, and what has become of each. Nothing if the topology is not up.
    ///
    /// # Errors
    /// If the record cannot be read, or the kernel does not tell.
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

/// Plans and executes until there is nothing left to change.
fn converge(
    store: &Store,
    topology: &Topology,
    record: &mut Record,
    done: &mut Vec<Change>,
    tell: &mut dyn FnMut(&Progress<'_>),
) -> Result<()> {
    for _ in 0..ROUNDS {
        let observed = Observed::look(topology, record)?;
        let changes = plan(topology, record, &observed)?;
        record.groups = number_groups(topology, record)?;
        if changes.is_empty() {
            lower_barriers(record, topology)?;
            settle_settings(store, record, topology)?;
            tidy(record, topology, &observed);
            return Ok(());
        }
        done.extend_from_slice(&changes);
        Executor::new(store, record, tell).execute(&changes, &observed)?;
    }
    let left = plan(topology, record, &Observed::look(topology, record)?)?;
    Err(Error::Unstable(left.iter().map(ToString::to_string).collect()))
}

/// Takes away the barriers of places where nothing is enforced any more. Those of namespaces that are gone went with them.
fn lower_barriers(record: &mut Record, topology: &Topology) -> Result<()> {
    let is_needed = |place: &Place| {
        let is_enforced = |cable: &crate::topology::Cable| {
            cable.ends[0].link.place == *place
                && cable.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce)
        };
        topology.cables.iter().any(is_enforced)
    };
    let of_no_use: Vec<Place> = record.barriers.keys().filter(|place| !is_needed(place)).cloned().collect();
    for place in of_no_use {
        let namespace = match &place {
            Place::Host => Some(Namespace::current()?),
            Place::Namespace(name) => Namespace::open(name).ok(),
        };
        if let (Some(namespace), Some(name)) = (namespace, record.barriers.get(&place)) {
            barrier::remove(&namespace, name)?;
        }
        record.barriers.remove(&place);
    }
    Ok(())
}

/// Claims what the host is already set to, for others may be about to put it back, and releases what is not needed any more.
fn settle_settings(store: &Store, record: &mut Record, topology: &Topology) -> Result<()> {
    let wanted = || topology.sysctls.iter().filter(|sysctl| sysctl.is_shared());
    if wanted().next().is_none() && !record.sysctls.iter().any(SysctlEntry::is_shared) {
        return Ok(());
    }
    let (host, claimant) = (Namespace::current()?, Store::path(&record.file));
    let setting = |name| SharedSetting { namespace: &host, name, claimant: &claimant };
    let is_new = |record: &Record, sysctl: &Sysctl| record.sysctl(sysctl).is_none();
    let before = record.sysctls.len();
    for sysctl in wanted() {
        if is_new(record, sysctl) {
            record.sysctls.push(SysctlEntry::shared(sysctl, setting(&sysctl.key).before()?));
        }
    }
    if record.sysctls.len() > before {
        store.write(record)?;
    }
    for sysctl in wanted() {
        setting(&sysctl.key).claim(&sysctl.value)?;
    }
    let of_no_use = |recorded: &&SysctlEntry| !topology.sysctls.iter().any(|wanted| recorded.is(wanted));
    for recorded in record.sysctls.iter().filter(|recorded| recorded.is_shared()).filter(of_no_use) {
        setting(&recorded.key).release(&recorded.before(), &recorded.value)?;
    }
    Ok(())
}

/// Nothing is left of what the record says.
fn finish(store: Store, record: &Record) -> Result<()> {
    record.folder.restore()?;
    store.remove(record)
}

/// Drops from the record what is gone.
fn tidy(record: &mut Record, topology: &Topology, observed: &Observed) {
    let there = |link: &LinkEntry| observed.ours(link).is_some();
    let is = |recorded: &LinkEntry, link: &LinkName| recorded.is(link);
    for known in record.every_link_mut() {
        known.index = observed.ours(known).map(|now| now.index);
    }
    record.namespaces.retain(|name, _| topology.namespaces.contains(name));
    record.bridges.retain(|link| there(link) && topology.bridges.iter().any(|bridge| is(link, &bridge.link)));
    record.links.retain(|link| there(link) && topology.links.iter().any(|single| is(link, &single.link)));
    record.cables.retain(|ends| {
        let wanted = |link: &LinkEntry| {
            topology.cables.iter().flat_map(|cable| &cable.ends).any(|end| is(link, &end.link))
        };
        ends.iter().all(|end| there(end) && wanted(end))
    });
    record.addresses.retain(|(link, net)| {
        topology.addresses.iter().any(|address| link.is(&address.link) && address.net.to_string() == *net)
    });
    record.routes.retain(|route| topology.routes.iter().any(|wanted| RecordedRoute::new(wanted) == *route));
    record.sysctls.retain(|sysctl| topology.sysctls.iter().any(|wanted| sysctl.is(wanted)));
    let judged = |place: &Place| {
        let in_place =
            |cable: &crate::topology::Cable| cable.policy.is_some() && cable.ends[0].link.place == *place;
        topology.cables.iter().any(in_place)
    };
    record.programs.retain(|place, programs| {
        let present = programs.last().copied().filter(|_| judged(place));
        // Of the others those are known for as long as a filter may hold them.
        programs.retain(|ids| Some(*ids) == present || netns_ebpf::are_loaded(*ids));
        !programs.is_empty()
    });
    record.ways_out.retain(|known| topology.ways_out.iter().any(|way| known.is(way.bridge.name)));
    record.commands.retain(|started| {
        let is = |wanted: &crate::topology::ShellCommand| {
            wanted.namespace == started.namespace && wanted.command == started.command
        };
        topology.commands.iter().any(is)
    });
}
