//! Making and changing links.

use super::Executor;
use crate::error::Result;
use crate::plan::{Change, link_local};
use crate::topology::{Cable, LinkName, SingleLink};
use netns_core::address::{self, Address};
use netns_core::bridge;
use netns_core::link::{self, AddrGenMode, LinkChange, LinkKind, NewLink, OperationalState};
use netns_core::wire::Batch;
use netns_core::{ErrorKind, IfName, IpNet, RouteSocket};

/// Makes a change of a link, and lets it have no IPv6 address but those that are given, and none of those that wait. A
/// link may have no IPv6 at all: the kernel has none, or the MTU is below 1,280.
pub(super) fn silence(socket: &mut RouteSocket, name: IfName, change: &LinkChange<'_>) -> Result<()> {
    match link::set(socket, name, &LinkChange { addrgenmode: Some(AddrGenMode::None), ..*change }) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(link::set(socket, name, change)?),
        other => Ok(other?),
    }
}

/// `IPV6_MIN_MTU`: a link of less has no IPv6.
const LEAST_IPV6_MTU: u32 = 1280;

impl Executor<'_, '_> {
    /// Makes a bridge, up, with the addresses that are among the changes.
    pub(super) fn make_bridge(&mut self, changes: &[&Change]) -> Result<()> {
        let Some((Change::AddBridge(wanted), given)) = changes.split_first() else { return Ok(()) };
        let (name, mac) = (wanted.link.name, wanted.mac.unwrap_or_default());
        let index = self.choose(&wanted.link);
        let request = bridge::Bridge {
            index: Some(index),
            options: bridge::BridgeOptions {
                // LLDP passes no chain of a barrier.
                no_linklocal_learn: wanted.options.no_linklocal_learn.or(Some(true)),
                ..wanted.options
            },
            ..bridge::Bridge::new(name, mac)
        };
        // By itself: a batch is no transaction, and if this is refused because another link has the index, nothing else may
        // be sent to that.
        bridge::create(self.socket(&wanted.link.place)?, &request)?;
        self.indexes.insert(wanted.link.clone(), index);
        let mut batch = Batch::new();
        // An MTU that it is made with gives way to those of its ports; one that it is given, does not.
        link::encode_set(&mut batch, index, &LinkChange { mtu: Some(wanted.mtu), ..LinkChange::NONE });
        self.encode_silent(&mut batch, index, wanted.mtu);
        link::encode_set(&mut batch, index, &LinkChange { up: Some(true), ..LinkChange::NONE });
        self.encode_given(&mut batch, &wanted.link, mac, given)?;
        Ok(self.socket(&wanted.link.place)?.execute(&mut batch)?)
    }

    /// The index that a link is going to have.
    pub(super) fn choose(&self, link: &LinkName) -> u32 {
        // 0 lets the kernel choose; each has one: see `index`.
        self.chosen.get(link).copied().unwrap_or_default()
    }

    pub(super) fn add_single(&mut self, wanted: &SingleLink) -> Result<()> {
        let SingleLink { link: name, mut kind, on, mac, mtu } = wanted.clone();
        let socket = self.socket(&name.place)?;
        let below = on.map(|on| link::get(socket, on)).transpose()?.map(|below| below.index);
        if let LinkKind::Vxlan(options) = &mut kind {
            options.dev = below;
        }
        let on = below.filter(|_| kind.needs_link());
        link::create(socket, &NewLink { link: on, mac, mtu, ..NewLink::new(name.name, kind) })?;
        silence(socket, name.name, &LinkChange::NONE)?;
        Ok(link::set_up(socket, name.name)?)
    }

    pub(super) fn add_cable(&mut self, cable: &Cable) -> Result<()> {
        let [near, far] = &cable.ends;
        let indexes @ [_, inside] = self.make_pair(cable)?;
        let mut batch = Batch::new();
        if far.mtu != near.mtu {
            link::encode_set(&mut batch, inside, &LinkChange { mtu: Some(far.mtu), ..LinkChange::NONE });
        }
        self.encode_silent(&mut batch, inside, far.mtu);
        link::encode_set(&mut batch, inside, &LinkChange { up: Some(true), ..LinkChange::NONE });
        self.encode_neighbours(&mut batch, &far.link.place, inside, &far.neighbours)?;
        link::encode_get(&mut batch, inside, false);
        self.socket(&far.link.place)?.execute(&mut batch)?;
        // The port last: see "What was learnt on the way" in DESIGN.md. Asking for the ends makes them forward at once.
        self.set_near_up(cable, indexes, &[])?;
        for (link, index) in [&near.link, &far.link].into_iter().zip(indexes) {
            if link::get(self.socket(&link.place)?, index)?.state != OperationalState::Up {
                self.slow.push((link.place.clone(), index));
            }
        }
        Ok(())
    }

    /// Appends that the kernel is to give a link no IPv6 address of its own making, which it does as soon as the link is up.
    /// Otherwise every new interface would announce itself to the whole bridge, and a few of those announcements, copied to
    /// hundreds of ports at once, are more than a CPU's receive queue holds (`net.core.netdev_max_backlog`): the kernel would
    /// drop some that the program has counted.
    pub(super) fn encode_silent(&self, batch: &mut Batch, index: u32, mtu: u32) {
        if mtu >= LEAST_IPV6_MTU && self.has_ipv6 {
            let silent = LinkChange { addrgenmode: Some(AddrGenMode::None), ..LinkChange::NONE };
            link::encode_set(batch, index, &silent);
        }
    }

    /// By the MAC address, as the kernel would, but used at once.
    pub(super) fn add_link_local(&mut self, link: &LinkName) -> Result<()> {
        let socket = self.socket(&link.place)?;
        let link::Link { index, mac, .. } = link::get(socket, link.name)?;
        let net = IpNet::new(link_local(mac.unwrap_or_default()).into(), 64)?;
        let wanted = Address::new(index, net);
        match address::add(socket, &wanted) {
            // We were killed before the kernel was asked to make none: its own is there by now, and waits.
            Err(error) if error.kind() == ErrorKind::Exists => {
                address::delete(socket, index, net)?;
                Ok(address::add(socket, &wanted)?)
            }
            other => Ok(other?),
        }
    }

    pub(super) fn set_mtu(&mut self, link: &LinkName, mtu: u32) -> Result<()> {
        let change = LinkChange { mtu: Some(mtu), ..LinkChange::default() };
        Ok(link::set(self.socket(&link.place)?, link.name, &change)?)
    }

    pub(super) fn rename(&mut self, link: &LinkName, index: u32) -> Result<()> {
        let socket = self.socket(&link.place)?;
        let change = LinkChange { name: Some(link.name), ..LinkChange::NONE };
        match link::set(socket, index, &change) {
            // Before Linux 6.2 a link has to be down for that. What goes with it comes back in the next round.
            Err(error) if error.kind() == ErrorKind::Busy => {
                link::set(socket, index, &LinkChange { up: Some(false), ..LinkChange::NONE })?;
                link::set(socket, index, &change)?;
                Ok(link::set_up(socket, index)?)
            }
            other => Ok(other?),
        }
    }

    pub(super) fn attach(&mut self, port: &LinkName, bridge: IfName) -> Result<()> {
        let socket = self.socket(&port.place)?;
        let index = link::get(socket, bridge)?.index;
        Ok(bridge::attach(socket, port.name, index)?)
    }
}
