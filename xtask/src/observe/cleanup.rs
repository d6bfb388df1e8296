//! `cargo xtask observe --cleanup`: removes what observers that were killed left, and nothing else.

use crate::failure::Failure;
use crate::messages::say;
use crate::output::stdout;
use netns_core::IfName;
use netns_ebpf::{JournalFile, Place};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn cleanup(bridge: Option<IfName>) -> Result<ExitCode, Failure> {
    let mut out = stdout();
    let mut nothing = true;
    let mut outcome = Ok(ExitCode::SUCCESS);
    for path in JournalFile::list(Path::new(JournalFile::FOLDER), bridge)? {
        let journal = match JournalFile::open(path) {
            Ok(journal) => journal,
            Err(error) => {
                say(format_args!("error: {error}"));
                outcome = Err(Failure::Verdict);
                continue;
            }
        };
        if let Some(place) = journal.place()? {
            let Some(host) = place.find() else {
                tell_lost(&place);
                outcome = Err(Failure::Verdict);
                continue;
            };
            for port in journal.clean(&host)? {
                writeln!(out, "removed the filters from {port}, a port of {}", place.bridge)?;
                nothing = false;
            }
        }
        journal.end()?;
    }
    if nothing && outcome.is_ok() {
        writeln!(out, "nothing to remove")?;
    }
    outcome
}

/// The namespace where something was left is not to be found from here.
fn tell_lost(place: &Place) {
    let (bridge, inode) = (&place.bridge, place.namespace.inode);
    let command = "cargo xtask observe --cleanup";
    say(format_args!(
        "error: {bridge} was observed in the network namespace net:[{inode}]; run `{command}` in there"
    ));
}
