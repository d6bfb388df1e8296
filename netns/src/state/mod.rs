//! The record of a run: what it makes in the machine's own network, written down first, so that `netns clean` can remove
//! exactly that after a run was killed or kept. It is the record of a topology.

mod before;
mod earlier;

use crate::failure::Failure;
use crate::name;
pub(crate) use before::{RunBefore, release_forwarding};
pub(crate) use earlier::EarlierState;
use netns_core::Namespace;
use netns_core::record::{Line, RecordFile, SharedSetting};
use netns_topology::{RUN_RECORD, RUN_RECORD_KIND};
use std::path::Path;

/// Begins a record, which is locked for as long as it is held. The kernel releases the lock when the process ends, even by
/// SIGKILL.
///
/// Refuses if another run is in progress, or has left something.
pub(crate) fn begin() -> Result<RecordFile, Failure> {
    let record = if EarlierState::open()?.is_some() {
        None
    } else {
        Some(RecordFile::create(RUN_RECORD, RUN_RECORD_KIND).map_err(refused)?)
    };
    record.filter(|record| record.lines().is_empty()).ok_or_else(|| {
        Failure::usage(format!(
            "an earlier run was kept or killed and is still there; `{} clean` removes it",
            name::name()
        ))
    })
}

/// The record of a run that has ended; `None` if there is none.
pub(crate) fn ended() -> Result<Option<RecordFile>, Failure> {
    RecordFile::open(RUN_RECORD, RUN_RECORD_KIND).map_err(refused)
}

/// The record of a run that is in progress or has ended; `None` if there is none that can be read.
pub(crate) fn peek() -> Option<Vec<Line>> {
    RecordFile::peek(RUN_RECORD, RUN_RECORD_KIND).ok()?
}

/// A host's forwarding, which topologies may need too.
pub(crate) fn forwarding_of(host: &Namespace) -> SharedSetting<'_> {
    SharedSetting { namespace: host, name: "net/ipv4/ip_forward", claimant: Path::new(RUN_RECORD) }
}

fn refused(error: netns_core::Error) -> Failure {
    if RecordFile::is_held(&error) {
        return Failure::usage(format!("another `{} run` is going on", name::name()));
    }
    error.into()
}
