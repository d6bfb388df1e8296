//! `netns clean`: removes what a run left that was kept or killed, and nothing else.

use crate::failure::Failure;
use crate::messages::say;
use crate::output::stdout;
use crate::state::{EarlierState, State, StateFile, release_forwarding};
use crate::unrecorded;
use netns_core::record::{RecordedForwarding, RecordedLink, Removal, remove_links};
use netns_core::{Folder, Namespace, RouteSocket};
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn clean() -> Result<ExitCode, Failure> {
    let mut cleaner = Cleaner { socket: RouteSocket::open()?, nothing: true };
    if let Some(file) = StateFile::ended()? {
        cleaner.remove(&file.read()?)?;
        file.remove()?;
        cleaner.nothing = false;
    }
    if let Some(earlier) = EarlierState::open()? {
        cleaner.remove_earlier(&earlier)?;
        earlier.remove()?;
        cleaner.nothing = false;
    }
    unrecorded::report(&Namespace::current()?, None, None)?;
    if cleaner.nothing {
        writeln!(stdout(), "nothing to remove")?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Cleaner {
    socket: RouteSocket,
    nothing: bool,
}

impl Cleaner {
    /// Removes what is there of it, and reports each thing.
    fn remove(&mut self, state: &State) -> Result<(), Failure> {
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
