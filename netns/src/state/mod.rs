//! What a run makes in the machine's own network, written down before it makes it, so that `netns clean` can
//! remove exactly that after a run that was killed or kept.

mod earlier;

use crate::failure::Failure;
use crate::name;
pub(crate) use earlier::EarlierState;
use netns_core::record::{
    Line, NamespaceIdentity, RecordFile, RecordedBarrier, RecordedFolder, RecordedForwarding, RecordedLink,
    RecordedNamespace, Removal, SettingBefore, SharedSetting,
};
use netns_core::{Folder, Namespace, RouteSocket};
use std::path::Path;

const PATH: &str = "/run/netns-xtask.record";
const KIND: &str = "run";

/// What is on record.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Names of namespaces.
    pub(crate) namespaces: Vec<RecordedNamespace>,
    /// Host ends of veth pairs, and the bridge.
    pub(crate) links: Vec<RecordedLink>,
    /// How the folder of named namespaces was found.
    pub(crate) folder: Option<Folder>,
    /// The barrier behind the ports.
    pub(crate) barrier: Option<RecordedBarrier>,
    /// If IPv4 forwarding was off.
    pub(crate) forwarding: Option<RecordedForwarding>,
}

/// The record, locked for as long as this is held. A lock goes with its process, even by SIGKILL.
#[derive(Debug)]
pub(crate) struct StateFile(RecordFile);

impl StateFile {
    /// Begins a record.
    ///
    /// Refuses if another run is going on, or has left something.
    pub(crate) fn begin(folder: Folder) -> Result<Self, Failure> {
        let there = format!(
            "an earlier run was kept or killed and is still there; `{} clean` removes it",
            name::name()
        );
        if EarlierState::open()?.is_some() {
            return Err(Failure::usage(there));
        }
        let record = RecordFile::create(PATH, KIND).map_err(refused)?;
        if !record.lines().is_empty() {
            return Err(Failure::usage(there));
        }
        let mut file = Self(record);
        if let Err(failure) = file.append(&[RecordedFolder(folder).line()]) {
            // Nothing is in it, so nothing is to be cleaned.
            file.remove()?;
            return Err(failure);
        }
        Ok(file)
    }

    /// The record of a run that has ended; `None` if there is none.
    pub(crate) fn ended() -> Result<Option<Self>, Failure> {
        Ok(RecordFile::open(PATH, KIND).map_err(refused)?.map(Self))
    }

    /// The barrier of the run that is going on, or has ended and left one.
    pub(crate) fn barrier() -> Option<String> {
        let lines = RecordFile::peek(PATH, KIND).ok()??;
        let line = lines.iter().rfind(|line| line.key() == RecordedBarrier::KEY)?;
        RecordedBarrier::read(line).map(|barrier| barrier.0)
    }

    /// What it says.
    pub(crate) fn read(&self) -> Result<State, Failure> {
        let mut state = State::default();
        for line in self.0.lines() {
            let unknown = || Failure::Kernel(format!("read record {PATH}: this makes no sense: {line}"));
            match line.key() {
                RecordedNamespace::KEY => {
                    state.namespaces.push(RecordedNamespace::read(line).ok_or_else(unknown)?);
                }
                RecordedLink::KEY => state.links.push(RecordedLink::read(line).ok_or_else(unknown)?),
                RecordedFolder::KEY => {
                    state.folder = Some(RecordedFolder::read(line).ok_or_else(unknown)?.0);
                }
                RecordedBarrier::KEY => {
                    state.barrier = Some(RecordedBarrier::read(line).ok_or_else(unknown)?);
                }
                RecordedForwarding::KEY => {
                    state.forwarding = Some(RecordedForwarding::read(line).ok_or_else(unknown)?);
                }
                _ => return Err(unknown()),
            }
        }
        Ok(state)
    }

    /// Notes a namespace that is going to have this name.
    pub(crate) fn note_namespace(
        &mut self,
        name: &str,
        namespace: &Namespace,
        socket: &mut RouteSocket,
    ) -> Result<(), Failure> {
        let identity = NamespaceIdentity::of_new(namespace, socket)?;
        self.append(&[RecordedNamespace { name: name.to_owned(), identity }.line()])
    }

    /// Notes links that are going to be made.
    pub(crate) fn note_links(&mut self, links: &[RecordedLink]) -> Result<(), Failure> {
        self.append(&links.iter().map(RecordedLink::line).collect::<Vec<_>>())
    }

    /// Notes a barrier that is going to be made.
    pub(crate) fn note_barrier(&mut self, name: &str) -> Result<(), Failure> {
        self.append(&[RecordedBarrier(name.to_owned()).line()])
    }

    /// Notes that forwarding is going to be switched on, if it was not on.
    pub(crate) fn note_forwarding(&mut self, before: Option<&RecordedForwarding>) -> Result<(), Failure> {
        self.append(&Vec::from_iter(before.map(RecordedForwarding::line)))
    }

    fn append(&mut self, lines: &[Line]) -> Result<(), Failure> {
        Ok(self.0.append(lines)?)
    }

    /// Ends the record: nothing is left of what it says.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        Ok(self.0.remove()?)
    }
}

/// A host's forwarding, which topologies may need too.
pub(crate) fn forwarding_of(host: &Namespace) -> SharedSetting<'_> {
    SharedSetting { namespace: host, name: "net/ipv4/ip_forward", claimant: Path::new(PATH) }
}

/// Switches forwarding off again, if it was off, unless somebody else needs it.
pub(crate) fn release_forwarding(
    host: &Namespace,
    before: Option<&RecordedForwarding>,
) -> Result<Removal, Failure> {
    let Some(RecordedForwarding { interfaces }) = before.cloned() else {
        forwarding_of(host).withdraw()?;
        return Ok(Removal::Gone);
    };
    let before = SettingBefore { value: "0".to_owned(), interfaces: Some(interfaces) };
    Ok(forwarding_of(host).release(&before, "1")?)
}

fn refused(error: netns_core::Error) -> Failure {
    if RecordFile::is_held(&error) {
        return Failure::usage(format!("another `{} run` is going on", name::name()));
    }
    error.into()
}
