//! A namespace on a bridge, made at once: its name, its cable, what may be sent by that, its addresses and routes.

use super::{Executor, LO};
use crate::error::{Error, Result};
use crate::options::{defaults, differing};
use crate::plan::Change;
use crate::topology::{Cable, LinkName, Place};
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, LinkChange, OperationalState};
use netns_core::neighbour::{self, FdbEntry, Neighbour};
use netns_core::tc;
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_ebpf::{Mode, Slot};
use std::net::IpAddr;
use std::os::fd::AsFd;

const UP: LinkChange<'static> = LinkChange { up: Some(true), ..LinkChange::NONE };

impl Executor<'_, '_> {
    /// Makes a namespace and its cable to a bridge.
    pub(super) fn make_member(&mut self, changes: &[&Change]) -> Result<()> {
        let cable = changes
            .iter()
            .find_map(|change| if let Change::AddCable(cable) = change { Some(cable) } else { None });
        let Some(cable) = cable else { return Ok(()) };
        let [near, far] = &cable.ends;
        if let Place::Namespace(name) = &far.link.place {
            self.make_namespace(name)?;
        }
        let (mac, addresses) = (far.mac.unwrap_or_default(), addresses(changes));
        let [index, inside] = self.make_cable(cable, &addresses)?;

        let mut batch = Batch::new();
        link::encode_set(&mut batch, LO, &UP);
        if far.mtu != near.mtu {
            link::encode_set(&mut batch, inside, &LinkChange { mtu: Some(far.mtu), ..LinkChange::NONE });
        }
        // In a request of its own: the kernel brings a link up before it looks at the rest.
        self.encode_silent(&mut batch, inside, far.mtu);
        link::encode_set(&mut batch, inside, &UP);
        self.encode_given(&mut batch, &far.link, mac, changes)?;
        encode_neighbours(&mut batch, inside, &far.neighbours);
        self.socket(&far.link.place)?.execute(&mut batch)?;

        self.set_port_up(&near.link.place, index)?;
        if link::get(self.socket(&far.link.place)?, inside)?.state != OperationalState::Up {
            self.slow.push((far.link.place.clone(), inside));
        }
        // It may be one of a thousand.
        self.sockets.remove(&far.link.place);
        Ok(())
    }

    /// Makes a cable, both ends down, with all that its near end gets; the indexes of its ends.
    pub(super) fn make_cable(&mut self, cable: &Cable, known: &[IpAddr]) -> Result<[u32; 2]> {
        let [near, far] = &cable.ends;
        let [index, inside] = [self.choose(&near.link), self.choose(&far.link)];
        // Each end is born where it belongs. The port is the near one: it joins its bridge in the same request.
        let peer_namespace = std::sync::Arc::clone(self.entry(&far.link.place)?.0);
        let bridge = match &near.port {
            Some(port) => Some(self.index(&LinkName { place: near.link.place.clone(), name: port.bridge })?),
            None => None,
        };
        // From the first frame on.
        let slot = self.admit(cable, index)?;
        let mut batch = Batch::new();
        veth::encode_create(
            &mut batch,
            &Veth {
                index: Some(index),
                peer_index: Some(inside),
                mac: Some(near.mac.unwrap_or_default()),
                peer_mac: Some(far.mac.unwrap_or_default()),
                mtu: Some(near.mtu),
                bridge,
                peer_namespace: Some(peer_namespace.as_fd()),
                ..Veth::new(near.link.name, far.link.name)
            },
        );
        if let Some(slot) = slot {
            let (monitor, _) = self.monitor(&near.link.place)?;
            tc::encode_add_clsact(&mut batch, index);
            for filter in monitor.filters(index, slot) {
                tc::encode_add_filter(&mut batch, &filter);
            }
        }
        self.encode_silent(&mut batch, index, near.mtu);
        if let Some(bridge) = bridge.filter(|_| cable.is_known) {
            let mac = far.mac.unwrap_or_default();
            neighbour::encode_set_fdb(&mut batch, &FdbEntry::fixed(index, mac));
            let known: Vec<_> = known.iter().map(|address| (*address, mac)).collect();
            encode_neighbours(&mut batch, bridge, &known);
        }
        if let Some(port) = &near.port {
            let options = differing(&port.options, &defaults());
            if options != PortOptions::default() {
                bridge::encode_set_port(&mut batch, index, &options);
            }
        }
        self.socket(&near.link.place)?.execute(&mut batch)?;
        self.indexes.insert(near.link.clone(), index);
        self.indexes.insert(far.link.clone(), inside);
        if let Some(bridge) = bridge {
            self.new_ports.insert((near.link.place.clone(), bridge));
        }
        Ok([index, inside])
    }

    /// A slot for the port that is going to have this index, if there is a policy for it, with that; and a barrier behind it.
    fn admit(&mut self, cable: &Cable, index: u32) -> Result<Option<Slot>> {
        let ([near, far], Some(policy)) = (&cable.ends, &cable.policy) else { return Ok(None) };
        // It has a number: see `Record::groups`.
        let group = policy.group.number(&self.record.groups).unwrap_or_default();
        let egress = self.egress(&near.link.place, policy)?;
        let policy = policy.of(far.mac.unwrap_or_default(), group);
        let policy = policy.map_err(|full| Error::Conflict(vec![format!("{}: {full}", far.link)]))?;
        let place = &near.link.place;
        let (monitor, _) = self.monitor(place)?;
        super::policy::release(monitor, index)?;
        let slot = monitor.assign(index)?;
        monitor.set_policy(slot, &policy)?;
        if egress.is_some() {
            monitor.set_egress(slot, egress)?;
        }
        if policy.mode == Mode::Enforce {
            let mut all = self.to_bar.remove(place).unwrap_or_default();
            all.push(index);
            self.bar(place, &all)?;
        }
        Ok(Some(slot))
    }

    /// The port is brought up last. A port that is up while its peer is not counts as forwarding until the kernel's link watch
    /// finds that it has no carrier (`netif_oper_up` is true of a state that is not known yet), and what the bridge floods to it
    /// meanwhile passes the program and is dropped after it.
    ///
    /// Asking for a link makes the link watch run for it at once, instead of up to a second later: the port forwards from then
    /// on, and what the other end sends is not dropped for want of the carrier that has just come.
    pub(super) fn set_port_up(&mut self, place: &Place, index: u32) -> Result<()> {
        let mut batch = Batch::new();
        link::encode_set(&mut batch, index, &UP);
        link::encode_get(&mut batch, index, false);
        Ok(self.socket(place)?.execute(&mut batch)?)
    }
}

fn encode_neighbours(batch: &mut Batch, index: u32, neighbours: &[(IpAddr, netns_core::MacAddress)]) {
    for &(address, mac) in neighbours {
        neighbour::encode_set(batch, &Neighbour::permanent(index, address, mac));
    }
}

/// The addresses among these changes.
fn addresses(changes: &[&Change]) -> Vec<IpAddr> {
    let address = |change: &&Change| match change {
        Change::AddAddress(address) => Some(address.net.address()),
        _ => None,
    };
    changes.iter().filter_map(address).collect()
}
