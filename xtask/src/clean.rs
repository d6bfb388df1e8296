//! `cargo xtask clean`: removes what a run left that was kept or killed, and nothing else.

use crate::failure::Failure;
use crate::output::stdout;
use crate::state::{State, StateFile};
use netns_core::{IfName, Namespace, RouteSocket, link};
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn clean() -> Result<ExitCode, Failure> {
    let mut out = stdout();
    let Some(mut file) = StateFile::ended()? else {
        writeln!(out, "nothing to remove")?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(state) = file.read()? {
        for name in remove(&state)? {
            writeln!(out, "removed {name}")?;
        }
    }
    file.remove()?;
    Ok(ExitCode::SUCCESS)
}

/// Removes what is there of it; the names of what was.
fn remove(state: &State) -> Result<Vec<String>, Failure> {
    let mut removed = Vec::new();
    let mut socket = RouteSocket::open()?;
    for port in &state.ports {
        if let Some(found) = find(&mut socket, port)?
            && found.kind.as_deref() == Some("veth")
        {
            link::delete(&mut socket, found.index)?;
            removed.push(port.clone());
        }
    }
    if let Some((name, mac)) = &state.bridge
        && let Some(found) = find(&mut socket, name)?
        && found.mac.is_some_and(|found| found.to_string() == *mac)
    {
        link::delete(&mut socket, found.index)?;
        removed.push(name.clone());
    }
    let names = Namespace::list()?;
    for name in state.namespaces.iter().filter(|name| names.contains(name)) {
        Namespace::delete(name)?;
        removed.push(name.clone());
    }
    state.folder().restore()?;
    state.forwarding().restore(&Namespace::current()?)?;
    Ok(removed)
}

fn find(socket: &mut RouteSocket, name: &str) -> Result<Option<link::Link>, Failure> {
    match link::get(socket, IfName::new(name)?) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.errno() == Some(NO_DEVICE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `ENODEV`.
const NO_DEVICE: i32 = 19;
