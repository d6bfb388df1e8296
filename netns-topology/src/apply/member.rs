//! A namespace on a bridge, made at once: its name, its cable, what may be sent by that, its addresses and routes.

use super::{Executor, LO};
use crate::error::{Error, Result};
use crate::options::{defaults, differing};
use crate::plan::Change;
use crate::topology::{Cable, CableEnd, LinkName, Place};
use netns_core::MacAddress;
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, LinkChange, OperationalState};
use netns_core::neighbour::{self, FdbEntry, Neighbour};
use netns_core::tc;
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_ebpf::{Mode, Policy, Slot};
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
        let Place::Namespace(name) = &far.link.place else { return Ok(()) };
        self.note_namespace(name)?;
        let (mac, addresses) = (far.mac.unwrap_or_default(), addresses(changes));
        let indexes @ [index, inside] = [self.choose(&near.link), self.choose(&far.link)];
        self.keep_indexes(cable, indexes);
        let bridge = self.bridge_of(near)?;
        let outside = std::sync::Arc::clone(self.entry(&near.link.place)?.0);

        // From inside, so that if the port's index or name is another link's, and the pair is refused, the rest of the batch
        // finds no link: the namespace is new and nobody knows it.
        let request = Veth { bridge, namespace: Some(outside.as_fd()), ..pair(near, far, [index, inside]) };
        let mut batch = Batch::new();
        veth::encode_create(&mut batch, &request);
        link::encode_set(&mut batch, LO, &UP);
        if far.mtu != near.mtu {
            link::encode_set(&mut batch, inside, &LinkChange { mtu: Some(far.mtu), ..LinkChange::NONE });
        }
        // In a request of its own: the kernel brings a link up before it looks at the rest.
        self.encode_silent(&mut batch, inside, far.mtu);
        link::encode_set(&mut batch, inside, &UP);
        self.encode_given(&mut batch, &far.link, mac, changes)?;
        self.encode_neighbours(&mut batch, &far.link.place, inside, &far.neighbours)?;
        self.socket(&far.link.place)?.execute(&mut batch)?;
        self.name_namespace(name)?;

        self.set_near_up(cable, indexes, &addresses)?;
        if link::get(self.socket(&far.link.place)?, inside)?.state != OperationalState::Up {
            self.slow.push((far.link.place.clone(), inside));
        }
        // It may be one of a thousand.
        self.sockets.remove(&far.link.place);
        Ok(())
    }

    /// Makes a cable, both ends down; the indexes of its ends. By itself: a batch is no transaction, and if this is refused
    /// because another link has an index, nothing else may be sent to that.
    pub(super) fn make_pair(&mut self, cable: &Cable) -> Result<[u32; 2]> {
        let [near, far] = &cable.ends;
        let indexes = [self.choose(&near.link), self.choose(&far.link)];
        // Each end is born where it belongs.
        let inside = std::sync::Arc::clone(self.entry(&far.link.place)?.0);
        let bridge = self.bridge_of(near)?;
        let request = Veth { bridge, peer_namespace: Some(inside.as_fd()), ..pair(near, far, indexes) };
        veth::create(self.socket(&near.link.place)?, &request)?;
        self.keep_indexes(cable, indexes);
        Ok(indexes)
    }

    /// The index of the bridge that an end is a port of, which it joins in the request that makes it.
    fn bridge_of(&mut self, end: &CableEnd) -> Result<Option<u32>> {
        let Some(port) = &end.port else { return Ok(None) };
        self.index(&LinkName { place: end.link.place.clone(), name: port.bridge }).map(Some)
    }

    fn keep_indexes(&mut self, cable: &Cable, indexes: [u32; 2]) {
        for (end, index) in cable.ends.iter().zip(indexes) {
            self.indexes.insert(end.link.clone(), index);
        }
    }

    /// Gives the near end of a cable that was just made all that it gets, and brings it up last.
    ///
    /// A port that is up while its peer is not counts as forwarding until the kernel's link watch finds that it has no carrier
    /// (`netif_oper_up` is true of a state that is not known yet), and what the bridge floods to it meanwhile passes the program
    /// and is dropped after it.
    ///
    /// Asking for the link makes the link watch run for it at once, instead of up to a second later: the port forwards from then
    /// on, and what the other end sends is not dropped for want of the carrier that has just come.
    pub(super) fn set_near_up(
        &mut self,
        cable: &Cable,
        [index, _]: [u32; 2],
        known: &[IpAddr],
    ) -> Result<()> {
        let [near, far] = &cable.ends;
        let place = &near.link.place;
        let bridge = self.bridge_of(near)?;
        self.new_ports.extend(bridge.map(|bridge| (place.clone(), bridge)));
        // From the first frame on.
        let slot = self.admit(cable, index)?;
        let mut batch = Batch::new();
        if let Some(slot) = slot {
            let (monitor, _) = self.monitor(place)?;
            tc::encode_add_clsact(&mut batch, index);
            for filter in monitor.filters(index, slot) {
                tc::encode_add_filter(&mut batch, &filter);
            }
        }
        self.encode_silent(&mut batch, index, near.mtu);
        let options = near.port.as_ref().map(|port| differing(&port.options, &defaults()));
        let options = options.filter(|options| *options != PortOptions::default());
        if let Some(options) = &options {
            bridge::encode_set_port(&mut batch, index, options);
        }
        if let Some(bridge) = bridge.filter(|_| cable.is_known) {
            let mac = far.mac.unwrap_or_default();
            neighbour::encode_set_fdb(&mut batch, &FdbEntry::fixed(index, mac));
            let known: Vec<_> = known.iter().map(|address| (*address, mac)).collect();
            self.encode_neighbours(&mut batch, place, bridge, &known)?;
        }
        if slot.is_some() || options.is_some() {
            // A port that was refused what keeps it in bounds stays down.
            self.socket(place)?.execute(&mut batch)?;
            batch.clear();
        }
        link::encode_set(&mut batch, index, &UP);
        link::encode_get(&mut batch, index, false);
        Ok(self.socket(place)?.execute(&mut batch)?)
    }

    /// Appends what a link of this place knows of others. What has no room in the batch is sent before.
    pub(super) fn encode_neighbours(
        &mut self,
        batch: &mut Batch,
        place: &Place,
        index: u32,
        neighbours: &[(IpAddr, MacAddress)],
    ) -> Result<()> {
        for &(address, mac) in neighbours {
            self.make_room(batch, place)?;
            neighbour::encode_set(batch, &Neighbour::permanent(index, address, mac));
        }
        Ok(())
    }

    /// A slot for a port that was just made, if there is a policy for it, with that; and a barrier for it.
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
        monitor.set_policy(slot, &Policy { egress, ..policy })?;
        if policy.mode == Mode::Enforce {
            self.bar(place, &[index])?;
        }
        Ok(Some(slot))
    }
}

/// The request for a cable, both ends down.
fn pair<'a>(near: &CableEnd, far: &CableEnd, [index, inside]: [u32; 2]) -> Veth<'a> {
    Veth {
        index: Some(index),
        peer_index: Some(inside),
        mac: Some(near.mac.unwrap_or_default()),
        peer_mac: Some(far.mac.unwrap_or_default()),
        mtu: Some(near.mtu),
        ..Veth::new(near.link.name, far.link.name)
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
