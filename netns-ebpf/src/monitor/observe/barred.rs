//! A barrier on record, and that it is taken away by what is on record.

use std::collections::BTreeMap;

use netns_core::barrier::{self, FORWARDED};
use netns_core::bridge::{self, BridgeOptions, PortOptions};
use netns_core::record::{Line, Removal, undo_twice};
use netns_core::{Error, Namespace, RouteSocket, link};

/// A barrier on record: its table's name, and what was changed of the bridge with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// The name of its table, which no other has.
    pub name: String,
    /// Whether the bridge learnt from frames to the addresses that bridges keep for themselves, and does not now: LLDP, and
    /// STP where it is on, pass no chain of nftables.
    pub has_learnt: bool,
    /// What it lets pass; `None` in what an earlier version wrote.
    pub stamp: Option<u32>,
    /// Which frames to reserved addresses its ports forwarded (`group_fwd_mask`), of those ports that forward LLDP and BPDUs
    /// now, by their index. Where these are not to be forwarded they pass no chain of nftables.
    pub forwarding: BTreeMap<u32, u16>,
}

impl Barred {
    pub(super) const KEY: &'static str = "barrier";

    pub(super) const FORWARDING: &'static str = "forwarding";

    pub(super) fn lines(&self) -> impl Iterator<Item = Line> {
        let first = Line::new(Self::KEY).with(&self.name).with(self.has_learnt).with_option(self.stamp);
        let forwarding = self.forwarding.iter().map(|(&port, &before)| (port, before));
        std::iter::once(first).chain(forwarding.map(Self::forwarding_line))
    }

    pub(super) fn forwarding_line((port, before): (u32, u16)) -> Line {
        Line::new(Self::FORWARDING).with(port).with(before)
    }

    pub(super) fn read(line: &Line) -> Option<Self> {
        let (name, has_learnt) = (line.parse(0)?, line.parse(1)?);
        Some(Self { name, has_learnt, stamp: line.parse(2), forwarding: BTreeMap::new() })
    }

    /// Takes the barrier away, and lets the bridge with this index learn and its ports forward as before; whether there was a
    /// barrier.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&self, host: &Namespace, socket: &mut RouteSocket, bridge: u32) -> Result<Removal, Error> {
        // First, so that nothing is forwarded that the host had, and no barrier stops.
        self.forwarding
            .iter()
            .try_for_each(|(&port, &before)| undo_twice(|| put_back(socket, bridge, port, before)))?;
        let removed = undo_twice(|| barrier::remove(host, &self.name))?;
        if self.has_learnt {
            undo_twice(|| match learns(socket, bridge) {
                Ok(Some(false)) => set_learning(socket, bridge, true),
                // Somebody else has switched it on again, or the bridge is gone.
                Ok(_) => Ok(()),
                Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
                Err(error) => Err(error),
            })?;
        }
        Ok(if removed { Removal::Removed } else { Removal::Gone })
    }
}

pub(super) fn learns(socket: &mut RouteSocket, bridge: u32) -> Result<Option<bool>, Error> {
    Ok(link::get(socket, bridge)?.bridge().and_then(|options| options.no_linklocal_learn).map(|deaf| !deaf))
}

pub(super) fn set_learning(socket: &mut RouteSocket, bridge: u32, learns: bool) -> Result<(), Error> {
    let options = BridgeOptions { no_linklocal_learn: Some(!learns), ..BridgeOptions::default() };
    bridge::set(socket, bridge, &options)
}

/// Which frames to reserved addresses a port of this bridge forwards; `None` if it is none any more.
pub(super) fn forwarding(socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<Option<u16>, Error> {
    match link::get(socket, port) {
        Ok(link) if link.master == Some(bridge) => Ok(link.port.and_then(|options| options.group_fwd_mask)),
        Ok(_) => Ok(None),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn set_forwarding(socket: &mut RouteSocket, port: u32, mask: u16) -> Result<(), Error> {
    let options = PortOptions { group_fwd_mask: Some(mask), ..PortOptions::NONE };
    match bridge::set_port(socket, port, &options) {
        // It left the bridge, or is gone.
        Err(error) if matches!(error.errno(), Some(libc::ENODEV | libc::EINVAL | libc::EOPNOTSUPP)) => Ok(()),
        other => other,
    }
}

/// Lets a port forward as before, unless somebody else has changed that since.
pub(super) fn put_back(socket: &mut RouteSocket, bridge: u32, port: u32, before: u16) -> Result<(), Error> {
    match forwarding(socket, bridge, port)? {
        Some(now) if now == before | FORWARDED => set_forwarding(socket, port, before),
        _ => Ok(()),
    }
}
