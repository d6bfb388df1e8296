//! `netns observe --cleanup`: removes what observers that were killed left, and nothing else.

use crate::failure::Failure;
use crate::messages::say;
use crate::name;
use crate::namespace::NamespaceWord;
use crate::output::stdout;
use crate::unrecorded;
use netns_core::link::Link;
use netns_core::{Namespace, RouteSocket, link};
use netns_ebpf::{JournalFile, JournalPlace, MonitorError};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Cleans up one bridge, in this namespace or another, or every bridge that was observed anywhere.
pub(super) fn cleanup(bridge: Option<&str>, netns: Option<&str>) -> Result<ExitCode, Failure> {
    let wanted = bridge.map(|bridge| Wanted::new(bridge, netns)).transpose()?;
    let mut out = stdout();
    let mut nothing = true;
    let mut outcome = Ok(ExitCode::SUCCESS);
    let mut failed = |error: &dyn std::fmt::Display| {
        say(format_args!("error: {error}"));
        outcome = Err(Failure::Verdict);
    };
    let mut wanted = wanted;
    for path in JournalFile::list(Path::new(JournalFile::FOLDER))? {
        // Looked at before it is locked: another bridge's observer may be alive.
        match (JournalFile::peek(&path), &mut wanted) {
            (Ok(None), Some(_)) => continue,
            (Ok(Some(place)), Some(wanted)) => match wanted.is(&place) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    failed(&error);
                    continue;
                }
            },
            (Ok(_), None) => {}
            (Err(error), _) => {
                failed(&error);
                continue;
            }
        }
        let journal = match JournalFile::open(path) {
            Ok(Some(journal)) => journal,
            Ok(None) => continue,
            // What a living observer holds is no leftover.
            Err(error @ MonitorError::Observed { .. }) if wanted.is_none() => {
                say(format_args!("left alone: {error}"));
                continue;
            }
            Err(error) => {
                failed(&error);
                continue;
            }
        };
        if let Some(place) = journal.place() {
            let Some(host) = place.find() else {
                failed(&lost(place));
                continue;
            };
            match journal.clean(&host) {
                Ok(ports) => {
                    for port in ports {
                        writeln!(out, "removed the filters from {port}, a port of {}", place.bridge)?;
                        nothing = false;
                    }
                }
                Err(error) => {
                    failed(&error);
                    continue;
                }
            }
        }
        if let Err(error) = journal.end() {
            failed(&error);
        }
    }
    // What is no longer on record.
    let (word, host, found) = match wanted {
        Some(Wanted { word, host, found, .. }) => (word, host, found),
        None => (None, Namespace::current()?, None),
    };
    // A bridge that is gone took everything with it.
    if bridge.is_none() || found.is_some() {
        unrecorded::report(&host, found.as_ref(), word.as_ref())?;
    }
    if nothing && outcome.is_ok() {
        writeln!(out, "nothing to remove")?;
    }
    outcome
}

/// The bridge that is meant.
struct Wanted<'a> {
    name: &'a str,
    /// Its namespace, if that is another one.
    word: Option<NamespaceWord>,
    host: Namespace,
    socket: RouteSocket,
    /// `None` if it is gone.
    found: Option<Link>,
}

impl<'a> Wanted<'a> {
    fn new(name: &'a str, netns: Option<&str>) -> Result<Self, Failure> {
        let (word, host) = super::host(netns)?;
        let mut socket = RouteSocket::open_in(&host)?;
        let found = match link::get_named(&mut socket, name) {
            Err(error) if error.kind() == netns_core::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        Ok(Self { name, word, host, socket, found })
    }

    fn is(&mut self, place: &JournalPlace) -> Result<bool, MonitorError> {
        Ok(place.is_in(&self.host) && place.is_of(&mut self.socket, self.name, self.found.as_ref())?)
    }
}

/// The namespace where something was left cannot be found from here.
fn lost(place: &JournalPlace) -> String {
    let (bridge, inode) = (&place.bridge, place.namespace.id.inode);
    let program = name::name();
    format!(
        "{bridge} was observed in the network namespace net:[{inode}]; run `{program} observe --cleanup` in there"
    )
}
