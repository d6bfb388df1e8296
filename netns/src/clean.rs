//! `netns clean`: removes what a kept or killed run left, and nothing else.

use crate::failure::Failure;
use crate::messages::say;
use crate::output::stdout;
use crate::state::{self, EarlierState, RunBefore, release_forwarding};
use crate::unrecorded;
use netns_core::record::{
    RecordFile, RecordedForwarding, RecordedLink, Removal, SharedSetting, remove_links,
};
use netns_core::{Folder, Namespace, RouteSocket};
use netns_topology::{Change, HeldLab};
use std::collections::HashSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;

pub(crate) fn clean() -> Result<ExitCode, Failure> {
    let mut cleaner = Cleaner { socket: RouteSocket::open()?, nothing: true };
    if let Some(record) = state::ended()? {
        match RunBefore::read(record.lines())? {
            Some(before) => {
                cleaner.remove(&before)?;
                record.remove()?;
            }
            None => take_down(record)?,
        }
        cleaner.nothing = false;
    }
    if let Some(earlier) = EarlierState::open()? {
        cleaner.remove_earlier(&earlier)?;
        earlier.remove()?;
        cleaner.nothing = false;
    }
    SharedSetting::tidy()?;
    unrecorded::report(&Namespace::current()?, None, None)?;
    if cleaner.nothing {
        writeln!(stdout(), "nothing to remove")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes the topology of a run down, and reports each thing.
fn take_down(record: RecordFile) -> Result<(), Failure> {
    let Some(lab) = HeldLab::left_by(record)? else { return Ok(()) };
    let done = lab.down(&mut |_| ControlFlow::Continue(()))?;
    let removed = |is_of_kind: fn(&Change) -> Option<&str>| {
        // Something that was tried twice was removed once.
        let mut seen = HashSet::new();
        let names = done.changes.iter().filter_map(is_of_kind).filter(|name| seen.insert(*name));
        names.collect::<Vec<&str>>()
    };
    let ports = removed(|change| match change {
        Change::RemoveLink { link, other: Some(_), .. } => Some(link.name.as_str()),
        _ => None,
    });
    let bridges = removed(|change| match change {
        Change::RemoveLink { link, other: None, .. } => Some(link.name.as_str()),
        _ => None,
    });
    let mut namespaces = removed(|change| match change {
        Change::RemoveNamespace(name) => Some(name),
        _ => None,
    });
    namespaces.reverse();
    for name in ports.into_iter().chain(bridges).chain(namespaces) {
        writeln!(stdout(), "removed {name}")?;
    }
    for why in done.left {
        report("", Removal::Left(why))?;
    }
    Ok(())
}

struct Cleaner {
    socket: RouteSocket,
    nothing: bool,
}

impl Cleaner {
    /// Removes what is left of it, and reports each thing.
    fn remove(&mut self, state: &RunBefore) -> Result<(), Failure> {
        self.remove_links(&state.links)?;
        if let Some(barrier) = &state.barrier {
            report(&barrier.0, barrier.remove(&Namespace::current()?)?)?;
        }
        for namespace in &state.namespaces {
            report(&namespace.name, namespace.remove()?)?;
        }
        put_back(state.folder, state.forwarding.as_ref())
    }

    fn remove_earlier(&mut self, earlier: &EarlierState) -> Result<(), Failure> {
        let ours = earlier.find(&mut self.socket)?;
        self.remove_links(&ours.links)?;
        for (name, namespace) in &ours.namespaces {
            let removal = if namespace.unbind(name)? { Removal::Removed } else { Removal::Gone };
            report(name, removal)?;
        }
        for why in ours.left {
            report("", Removal::Left(why))?;
        }
        put_back(earlier.folder(), earlier.forwarding().as_ref())
    }

    fn remove_links(&mut self, links: &[RecordedLink]) -> Result<(), Failure> {
        let removals = remove_links(&mut self.socket, links)?;
        links.iter().zip(removals).try_for_each(|(link, removal)| report(link.name.as_str(), removal))
    }
}

fn put_back(folder: Option<Folder>, forwarding: Option<&RecordedForwarding>) -> Result<(), Failure> {
    if let Some(folder) = folder {
        folder.restore()?;
    }
    if let Removal::Left(why) = release_forwarding(&Namespace::current()?, forwarding)? {
        report("", Removal::Left(why))?;
    }
    Ok(())
}

fn report(name: &str, removal: Removal) -> Result<(), Failure> {
    match removal {
        Removal::Removed => writeln!(stdout(), "removed {name}")?,
        Removal::Gone => {}
        Removal::Left(why) => say(format_args!("left alone: {why}")),
    }
    Ok(())
}
