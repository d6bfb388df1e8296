//! What is left of observers that were killed, of ports and bridges that are not what they were.

use std::path::Path;

use netns_core::barrier::{self, Barrier};
use netns_core::{Error, Namespace, RouteSocket, link};

use super::file::JournalFile;
use super::trace::{Journal, Trace};
use crate::monitor::MonitorError;

impl JournalFile {
    /// Removes what observers that were killed left in `host` on bridges that are gone, and on ports that are gone or left
    /// their bridge. The index of such a port may be another link's by now, which a barrier of theirs would shut out, and
    /// nobody judges. What is left on a bridge's ports stays: that is enforced until [`Self::begin`] or [`Self::clean`].
    ///
    /// Bridges that are being observed are passed over, and so are journals of other namespaces.
    ///
    /// # Errors
    /// [`MonitorError::Left`] with what the kernel refused; as [`Self::list`] and [`Self::open`]. The first one; every
    /// journal is tried.
    pub fn tidy(folder: &Path, host: &Namespace) -> Result<(), MonitorError> {
        let mut outcome = Ok(());
        for path in Self::list(folder)? {
            outcome = outcome.and(match Self::open(path) {
                Ok(Some(journal)) => journal.tidy_up(host),
                Ok(None) | Err(MonitorError::Observed { .. }) => Ok(()),
                Err(error) => Err(error),
            });
        }
        outcome
    }

    fn tidy_up(&self, host: &Namespace) -> Result<(), MonitorError> {
        let Some((place, bridge)) = self.place().and_then(|place| Some((place, place.index?))) else {
            return Ok(());
        };
        if !place.is_in(host) {
            return Ok(());
        }
        let refused = |source| MonitorError::Left { bridge: place.bridge, source };
        let mut socket = RouteSocket::open_in(host).map_err(refused)?;
        let is_bridge = |link: &link::Link| link.kind.as_deref() == Some("bridge");
        if !get(&mut socket, bridge).map_err(refused)?.as_ref().is_some_and(is_bridge) {
            self.clean(host)?;
            return self.end();
        }
        let (traces, barred) = self.left();
        if let Some(barred) = &barred
            && let Some(mut barrier) = Barrier::open(host, &barred.name, 0).map_err(refused)?
        {
            let known: Vec<u32> = barrier.known_ports().collect();
            for port in known {
                let found = get(&mut socket, port).map_err(refused)?;
                if found.is_none_or(|link| link.master != Some(bridge)) {
                    barrier.remove(port).map_err(refused)?;
                }
            }
        }
        for trace in traces {
            let found = get(&mut socket, trace.ifindex).map_err(refused)?;
            if found.is_some_and(|link| link.master == Some(bridge) && is_same(&trace, &link)) {
                continue;
            }
            if let Some(barred) = &barred {
                barrier::remove_port(host, &barred.name, trace.ifindex).map_err(refused)?;
            }
            self.remove_trace(&mut socket, place, &trace).map_err(refused)?;
            let mut journal = self;
            journal.forget(trace.ifindex);
        }
        Ok(())
    }
}

/// Whether a link is the port that this was noted of, as far as its name and its MAC address say.
fn is_same(trace: &Trace, link: &link::Link) -> bool {
    link.name == trace.name || (trace.mac.is_some() && link.mac == trace.mac)
}

/// The link with this index; `None` if there is none.
fn get(socket: &mut RouteSocket, index: u32) -> Result<Option<link::Link>, Error> {
    match link::get(socket, index) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}
