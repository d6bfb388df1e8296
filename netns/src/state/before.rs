//! The record that a run wrote before runs were topologies, so that what such a run left can be removed.

use super::forwarding_of;
use crate::failure::Failure;
use netns_core::record::{
    Line, RecordedBarrier, RecordedFolder, RecordedForwarding, RecordedLink, RecordedNamespace, Removal,
    SettingBefore,
};
use netns_core::{Folder, Namespace};
use netns_topology::RUN_RECORD;

/// The record's content.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunBefore {
    /// Names of namespaces.
    pub(crate) namespaces: Vec<RecordedNamespace>,
    /// Host ends of veth pairs, and the bridge.
    pub(crate) links: Vec<RecordedLink>,
    /// What the folder of named namespaces was before.
    pub(crate) folder: Option<Folder>,
    /// The barrier on the ports.
    pub(crate) barrier: Option<RecordedBarrier>,
    /// If IPv4 forwarding was off.
    pub(crate) forwarding: Option<RecordedForwarding>,
}

impl RunBefore {
    /// Parses the lines; `None` if they are a topology's, whose first line names a file.
    pub(crate) fn read(lines: &[Line]) -> Result<Option<Self>, Failure> {
        if lines.first().is_some_and(|line| line.key() == "file") {
            return Ok(None);
        }
        let mut state = Self::default();
        for line in lines {
            let unknown =
                || Failure::Kernel(format!("read record {RUN_RECORD}: this makes no sense: {line}"));
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
        Ok(Some(state))
    }
}

/// Switches forwarding off again if it was off, unless somebody else needs it.
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
