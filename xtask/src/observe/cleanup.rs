//! `cargo xtask observe --cleanup`: removes what observers that were killed left, and nothing else.

use super::record::{Place, Record};
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::{IfName, Namespace, RouteSocket};
use std::io::Write;
use std::process::ExitCode;

pub(super) fn cleanup(bridge: Option<IfName>) -> Result<ExitCode, Failure> {
    let mut out = stdout();
    let mut nothing = true;
    let mut outcome = Ok(ExitCode::SUCCESS);
    for path in Record::list(bridge)? {
        let record = match Record::open(path) {
            Ok(record) => record,
            Err(failure) => {
                eprintln!("error: {failure}");
                outcome = Err(Failure::Verdict);
                continue;
            }
        };
        if let Some(place) = record.place()? {
            let Some(host) = find(&place)? else {
                outcome = Err(Failure::Verdict);
                continue;
            };
            for port in record.remove_traces(&mut RouteSocket::open_in(&host)?, &place)? {
                writeln!(out, "removed the filters from {port}, a port of {}", place.bridge)?;
                nothing = false;
            }
        }
        record.end()?;
    }
    if nothing && outcome.is_ok() {
        writeln!(out, "nothing to remove")?;
    }
    outcome
}

/// The namespace where something was left; `None` if it is not to be found from here, which was said.
fn find(place: &Place) -> Result<Option<Namespace>, Failure> {
    let is_it =
        |namespace: &Namespace| namespace.id().is_ok_and(|id| (id.device, id.inode) == place.namespace);
    let here = Namespace::current()?;
    if is_it(&here) {
        return Ok(Some(here));
    }
    if let Some(there) = place.netns.as_deref().and_then(|name| Namespace::open(name).ok()).filter(is_it) {
        return Ok(Some(there));
    }
    let (bridge, inode) = (&place.bridge, place.namespace.1);
    let command = "cargo xtask observe --cleanup";
    eprintln!(
        "error: {bridge} was observed in the network namespace net:[{inode}]; run `{command}` in there"
    );
    Ok(None)
}
