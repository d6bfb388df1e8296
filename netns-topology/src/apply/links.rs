//! Making and changing links.

use super::Executor;
use crate::error::Result;
use crate::options::{defaults, differing};
use crate::plan::link_local;
use crate::topology::{BridgeSpec, Cable, CableEnd, LinkName, SingleLink};
use netns_core::address::{self, Address};
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, AddrGenMode, LinkChange, LinkKind, NewLink};
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{ErrorKind, IfName, IpNet, MacAddress, RouteSocket};
use std::os::fd::AsFd;

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

impl Executor<'_> {
    pub(super) fn add_bridge(&mut self, wanted: &BridgeSpec) -> Result<()> {
        let name = wanted.link.name;
        let socket = self.socket(&wanted.link.place)?;
        let request = bridge::Bridge {
            options: bridge::BridgeOptions {
                // LLDP passes no chain of a barrier.
                no_linklocal_learn: wanted.options.no_linklocal_learn.or(Some(true)),
                ..wanted.options
            },
            ..bridge::Bridge::new(name, wanted.mac.unwrap_or_default())
        };
        bridge::create(socket, &request)?;
        // An MTU that it is made with gives way to those of its ports; one that it is given, does not.
        let sized = LinkChange { mtu: Some(wanted.mtu), ..LinkChange::NONE };
        silence(socket, name, &sized)?;
        link::set_up(socket, name)?;
        Ok(())
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
        // Each end is born where it belongs. The port is the near one: it joins its bridge in the same request.
        let peer_namespace = self.entry(&far.link.place)?.0.try_clone()?;
        let master = match &near.port {
            Some(port) => Some(self.index(&LinkName { place: near.link.place.clone(), name: port.bridge })?),
            None => None,
        };
        let socket = self.socket(&near.link.place)?;
        let request = Veth {
            mac: Some(near.mac.unwrap_or_else(MacAddress::default)),
            peer_mac: Some(far.mac.unwrap_or_else(MacAddress::default)),
            mtu: Some(near.mtu),
            bridge: master,
            peer_namespace: Some(peer_namespace.as_fd()),
            ..Veth::new(near.link.name, far.link.name)
        };
        veth::create(socket, &request)?;
        if far.mtu != near.mtu {
            self.set_mtu(&far.link, far.mtu)?;
        }
        self.silence_and_set_up(far)?;
        if let Some(port) = &near.port {
            let index = self.index(&near.link)?;
            let socket = self.socket(&near.link.place)?;
            let options = differing(&port.options, &defaults());
            if options != PortOptions::default() {
                bridge::set_port(socket, index, &options)?;
            }
        }
        // From the first frame on.
        if let Some(policy) = &cable.policy {
            self.set_policy(&near.link, &far.link, policy)?;
        }
        // The port last: see "What was learnt on the way" in DESIGN.md. Asking for the ends makes them forward at once.
        self.silence_and_set_up(near)?;
        let far_index = link::get(self.socket(&far.link.place)?, far.link.name)?.index;
        self.indexes.insert(far.link.clone(), far_index);
        Ok(())
    }

    /// The kernel makes an address of its own as soon as a link is up, so it is kept from that before; asking for the link
    /// afterwards lets it forward at once.
    fn silence_and_set_up(&mut self, end: &CableEnd) -> Result<()> {
        let has_ipv6 = end.mtu >= LEAST_IPV6_MTU && self.has_ipv6;
        let (socket, name) = (self.socket(&end.link.place)?, end.link.name);
        let mut batch = Batch::new();
        if has_ipv6 {
            let silent = LinkChange { addrgenmode: Some(AddrGenMode::None), ..LinkChange::NONE };
            link::encode_set(&mut batch, name, &silent);
        }
        link::encode_set(&mut batch, name, &LinkChange { up: Some(true), ..LinkChange::NONE });
        link::encode_get(&mut batch, name, false);
        Ok(socket.execute(&mut batch)?)
    }

    /// By the MAC address, as the kernel would, but used at once.
    pub(super) fn add_link_local(&mut self, link: &LinkName) -> Result<()> {
        let socket = self.socket(&link.place)?;
        let link::Link { index, mac, .. } = link::get(socket, link.name)?;
        let net = IpNet::new(link_local(mac.unwrap_or_default()).into(), 64)?;
        let wanted = Address::new(index, net);
        match address::add(socket, &wanted) {
            // We were killed before the kernel was told to make none: its own is there by now, and waits.
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
